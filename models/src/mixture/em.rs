//! Expectation maximisation.

use super::{Covariance, GaussianMixture, mixture::host};
use crate::{FlowBackend, Learn, Learned};
use burn::{
    module::{AutodiffModule, Param},
    tensor::{
        Int, Tensor, TensorData,
        backend::{AutodiffBackend, Backend},
    },
};
use faer::{
    Accum, Mat, Par, Side,
    linalg::{matmul::matmul, triangular_inverse::invert_lower_triangular},
};
use rayon::prelude::*;

/// The size of step t is `(t + 2)^-0.6`: smaller and smaller, but in total without bound, as stochastic approximation needs it.
const DECAY: f64 = 0.6;
/// A component is empty below this part of an even share of the weight.
const EMPTY: f64 = 1e-3;
/// Inputs whose products are summed at once.
const INPUTS: usize = 1024;

/// Sufficient statistics of a mixture, centred: how much of the data each component takes, its mean, and its covariance around that mean. The sums
/// of `x` and `x xᵀ` say the same, but a variance that is small beside the squared mean drowns in their rounding.
pub(super) struct Statistics {
    pub weights: Vec<f64>,
    /// D each.
    pub means: Vec<Vec<f64>>,
    /// D x D, of diagonal covariances 1 x D.
    pub covariances: Vec<Mat<f64>>,
}

impl Statistics {
    /// Those of a batch, of which component k takes the part `parts[k][i]` of input i.
    fn of(x: &[f64], d: usize, parts: &[Vec<f64>], covariance: Covariance) -> Self {
        let n = x.len() / d;
        let moments: Vec<(f64, Vec<f64>, Mat<f64>)> =
            parts.par_iter().map(|parts| moments(x, d, parts, covariance)).collect();
        let mut statistics = Self { weights: vec![], means: vec![], covariances: vec![] };
        for (total, mean, covariance) in moments {
            statistics.weights.push(total / n as f64);
            statistics.means.push(mean);
            statistics.covariances.push(covariance);
        }
        statistics
    }

    /// `s ← (1 - γ) s + γ ŝ`, of centred statistics: with the shares a and b of old and new in a component,
    /// `μ = a μ + b μ̂` and `Σ = a Σ + b Σ̂ + a b (μ̂ - μ) (μ̂ - μ)ᵀ`.
    fn step(&mut self, batch: &Self, size: f64) {
        for c in 0..self.weights.len() {
            let (old, new) = ((1.0 - size) * self.weights[c], size * batch.weights[c]);
            self.weights[c] = old + new;
            if new == 0.0 {
                continue;
            }
            let (a, b) = (old / (old + new), new / (old + new));
            let mean = &mut self.means[c];
            let apart: Vec<f64> =
                batch.means[c].iter().zip(&*mean).map(|(m, mean)| m - mean).collect();
            mean.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += b * apart);
            let (old, new) = (&self.covariances[c], &batch.covariances[c]);
            let rows = old.nrows();
            self.covariances[c] = Mat::from_fn(rows, old.ncols(), |row, j| {
                // A single row is the diagonal.
                let i = if rows == 1 { j } else { row };
                a * old[(row, j)] + b * new[(row, j)] + a * b * apart[i] * apart[j]
            });
        }
    }

    /// Place components that have become empty at the inputs that the mixture explains worst, with an even share and the mean covariance of the others;
    /// returns how many.
    fn replace_empty(&mut self, x: &[f64], log_prob: &[f64]) -> usize {
        let k = self.weights.len();
        let empty = |weight: f64| weight * (k as f64) < EMPTY;
        if !self.weights.iter().any(|w| empty(*w)) {
            return 0;
        }
        let mut worst: Vec<usize> = (0..log_prob.len()).collect();
        worst.sort_by(|a, b| log_prob[*a].total_cmp(&log_prob[*b]));
        let kept: f64 = self.weights.iter().filter(|w| !empty(**w)).sum();
        let [rows, columns] = [self.covariances[0].nrows(), self.covariances[0].ncols()];
        let mut covariance = Mat::<f64>::zeros(rows, columns);
        for (weight, own) in self.weights.iter().zip(&self.covariances) {
            if !empty(*weight) {
                covariance += faer::Scale(weight / kept) * own;
            }
        }
        let d = self.means[0].len();
        let places = (0..k).filter(|c| empty(self.weights[*c])).collect::<Vec<_>>();
        // A batch of fewer inputs than that leaves some for the next.
        let replaced = places.len().min(worst.len());
        for (c, input) in places.into_iter().zip(worst) {
            self.weights[c] = 1.0 / k as f64;
            self.means[c] = x[input * d..][..d].to_vec();
            self.covariances[c] = covariance.clone();
        }
        let total: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= total);
        replaced
    }
}

/// Total of the parts, and mean and covariance with the parts as weights; zeros where the total is zero.
fn moments(
    x: &[f64],
    d: usize,
    parts: &[f64],
    covariance: Covariance,
) -> (f64, Vec<f64>, Mat<f64>) {
    let taken: Vec<(f64, &[f64])> =
        parts.iter().copied().zip(x.chunks(d)).filter(|(part, _)| *part > 0.0).collect();
    let total: f64 = taken.iter().map(|(part, _)| part).sum();
    let mut mean = vec![0.0; d];
    for (part, x) in &taken {
        mean.iter_mut().zip(*x).for_each(|(mean, x)| *mean += part / total * x);
    }
    let spread = match covariance {
        Covariance::Full => {
            let mut spread = Mat::zeros(d, d);
            for taken in taken.chunks(INPUTS) {
                let apart = Mat::from_fn(d, taken.len(), |i, row| {
                    (taken[row].0 / total).sqrt() * (taken[row].1[i] - mean[i])
                });
                matmul(spread.as_mut(), Accum::Add, &apart, apart.transpose(), 1.0, Par::Seq);
            }
            spread
        }
        Covariance::Diagonal => Mat::from_fn(1, d, |_, i| {
            taken.iter().map(|(part, x)| part / total * (x[i] - mean[i]).powi(2)).sum()
        }),
    };
    (total, mean, spread)
}

/// The factor `W = L⁻ᵀ` of the precision of a covariance `L Lᵀ` with the floor on its diagonal, and whether that took more than the floor.
fn precision_factor(covariance: &Mat<f64>, floor: f64, form: Covariance) -> (Mat<f64>, bool) {
    let d = covariance.ncols();
    if form == Covariance::Diagonal {
        return (Mat::from_fn(1, d, |_, i| (covariance[(0, i)] + floor).sqrt().recip()), false);
    }
    // What rounding to f32 can do to an eigenvalue at most. It shows where data are wide in some directions and flat in others.
    let rounding = f64::from(f32::EPSILON) * (0..d).map(|i| covariance[(i, i)]).sum::<f64>();
    let mut ridge = floor;
    loop {
        let with_ridge =
            Mat::from_fn(d, d, |i, j| covariance[(i, j)] + if i == j { ridge } else { 0.0 });
        if let Ok(llt) = with_ridge.llt(Side::Lower) {
            let mut inverse = Mat::zeros(d, d);
            invert_lower_triangular(inverse.as_mut(), llt.L(), Par::Seq);
            return (inverse.transpose().to_owned(), ridge > floor);
        }
        ridge = (10.0 * ridge).max(rounding);
        if ridge.is_infinite() {
            // A covariance that is not one of numbers, nor is the density.
            return (Mat::from_fn(d, d, |_, _| f64::NAN), true);
        }
    }
}

impl<B: FlowBackend> GaussianMixture<B> {
    /// One step of expectation maximisation, and the mean negative log-density of the batch before it, `[1]`, in nats.
    ///
    /// Expectation: component k takes the part `w_k N(x; μ_k, Σ_k) / p(x)` of every input. Its share of the batch, and the mean and the covariance of what it takes, are
    /// averaged with those so far, `s ← (1 - γ) s + γ ŝ` with `γ = size` (stepwise EM: Cappé & Moulines 2009, arXiv 0712.4273). Maximisation: weights, means and
    /// covariances are these averages, plus the floor. A step of size 1 on all data is EM as in the textbooks, and never lowers the likelihood (but
    /// for the floor).
    ///
    /// A component whose weight falls below a thousandth of an even share is placed anew, at the input of the batch that has the lowest density.
    ///
    /// Where the batch has a density that is not finite (values that are not, or so far away that f32 has no number for it), the mixture stays as it is.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn em_step(&mut self, x: Tensor<B, 2>, size: f64) -> Tensor<B, 1> {
        let device = x.device();
        let [n, d] = x.dims();
        let x = x.detach();
        let joint = host(self.log_joint(x.clone()));
        let log_prob: Vec<f64> =
            (0..n).map(|i| log_sum_exp(joint[i..].iter().step_by(n))).collect();
        let objective = -log_prob.iter().sum::<f64>() / n as f64;
        if objective.is_finite() {
            let x = host(x);
            let part = |(joint, log_prob): (&f64, &f64)| (joint - log_prob).exp();
            let parts: Vec<Vec<f64>> = joint
                .chunks(n)
                .map(|joint| joint.iter().zip(&log_prob).map(part).collect())
                .collect();
            let mut statistics = self.statistics();
            statistics.step(&Statistics::of(&x, d, &parts, self.covariance), size);
            let replaced = statistics.replace_empty(&x, &log_prob);
            let raised = self.maximise(&statistics);
            add(&mut self.steps, 1);
            add(&mut self.replaced, replaced);
            add(&mut self.raised, raised);
        }
        Tensor::from_data(TensorData::new(vec![objective], [1]), &device)
    }
}

impl<B: Backend> GaussianMixture<B> {
    fn statistics(&self) -> Statistics {
        let [k, rows, d] = self.covariances.dims();
        let (means, covariances) = (host(self.means.val()), host(self.covariances.val()));
        let matrix = |c| Mat::from_fn(rows, d, |i, j| covariances[(c * rows + i) * d + j]);
        Statistics {
            weights: host(self.log_weights.val()).into_iter().map(f64::exp).collect(),
            means: means.chunks(d).map(<[f64]>::to_vec).collect(),
            covariances: (0..k).map(matrix).collect(),
        }
    }

    /// The parameters that are most likely given the statistics; returns how many covariances took more than the floor.
    pub(super) fn maximise(&mut self, statistics: &Statistics) -> usize {
        let factors: Vec<(Mat<f64>, bool)> = statistics
            .covariances
            .par_iter()
            .map(|covariance| precision_factor(covariance, self.floor, self.covariance))
            .collect();
        let log_weights = statistics.weights.iter().map(|weight| weight.ln()).collect();
        set(&mut self.log_weights, log_weights);
        set(&mut self.means, statistics.means.concat());
        set(&mut self.covariances, statistics.covariances.iter().flat_map(by_rows).collect());
        set(&mut self.precision_factors, factors.iter().flat_map(|(w, _)| by_rows(w)).collect());
        factors.iter().filter(|(_, raised)| *raised).count()
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for GaussianMixture<B>
where
    B::InnerBackend: FlowBackend,
{
    /// [`em_step`](Self::em_step) of size `(t + 2)^-0.6` after t steps.
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        let mut inner = self.valid();
        let steps: f64 = host(inner.steps.val().float())[0];
        let objective = inner.em_step(x.inner(), (steps + 2.0).powf(-DECAY));
        *self = Self::from_inner(inner);
        Learned::Moved(objective)
    }
}

/// `log Σ exp`; NaN where any is.
fn log_sum_exp<'a>(logs: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    let largest = logs.clone().copied().fold(f64::MIN, f64::max);
    largest + logs.map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// Entries row by row.
fn by_rows(matrix: &Mat<f64>) -> Vec<f64> {
    let entry = |i: usize| matrix[(i / matrix.ncols(), i % matrix.ncols())];
    (0..matrix.nrows() * matrix.ncols()).map(entry).collect()
}

/// Give a parameter new values, its identity and shape unchanged.
fn set<B: Backend, const D: usize>(param: &mut Param<Tensor<B, D>>, values: Vec<f64>) {
    let old = param.val();
    let new = Tensor::from_data(TensorData::new(values, old.dims()), &old.device());
    *param = Param::initialized(param.id, new);
}

fn add<B: Backend>(counter: &mut Param<Tensor<B, 1, Int>>, count: usize) {
    *counter = Param::initialized(counter.id, counter.val() + count as i64);
}
