//! Gaussian mixture with full covariances, by expectation-maximisation; as many components as the Bayesian information criterion likes best.

use super::{FitError, deviation, log_sum_exp, mean};
use faer::{Mat, Side};

/// Most components that are tried.
const COMPONENTS: usize = 5;
/// Most rounds of expectation and maximisation.
const ROUNDS: usize = 500;
/// Gain in mean log-likelihood (nats) at which they end.
const SETTLED: f64 = 1e-8;
/// Added to every variance of the standardised data, so that no component shrinks to a point.
const RIDGE: f64 = 1e-4;

/// A fitted mixture.
#[derive(Debug)]
pub struct Mixture {
    /// Mean and standard deviation of each variable; the components are of the standardised variables.
    standard: Vec<[f64; 2]>,
    components: Vec<Component>,
}

#[derive(Debug)]
struct Component {
    log_weight: f64,
    mean: Vec<f64>,
    /// The Cholesky factor of the covariance, lower triangle, row by row.
    factor: Vec<Vec<f64>>,
}

impl Component {
    fn new(weight: f64, mean: Vec<f64>, covariance: &Mat<f64>) -> Option<Self> {
        let llt = covariance.llt(Side::Lower).ok()?;
        let factor = (0..mean.len()).map(|i| (0..=i).map(|j| llt.L()[(i, j)]).collect()).collect();
        Some(Self { log_weight: weight.ln(), mean, factor })
    }

    /// Log of weight times density.
    fn log_density(&self, x: &[f64]) -> f64 {
        // y = L⁻¹ (x - μ), row by row.
        let mut y = Vec::with_capacity(x.len());
        let mut log_det = 0.0;
        for (row, (x, mean)) in self.factor.iter().zip(x.iter().zip(&self.mean)) {
            let known: f64 = row.iter().zip(&y).map(|(l, y)| l * y).sum();
            let diagonal = row[y.len()];
            y.push((x - mean - known) / diagonal);
            log_det += diagonal.ln();
        }
        let squares: f64 = y.iter().map(|y| y * y).sum();
        let normaliser = 0.5 * x.len() as f64 * (2.0 * std::f64::consts::PI).ln();
        self.log_weight - 0.5 * squares - log_det - normaliser
    }
}

impl Mixture {
    /// Fewest rows of so many columns.
    pub const fn least(columns: usize) -> usize {
        2 * (columns + 1)
    }

    /// Fit to columns of equal length; `method` is named in errors.
    ///
    /// # Errors
    /// Fewer rows than [`least`](Self::least), columns that are constant or not finite.
    pub fn fit(columns: &[&[f64]], method: &'static str) -> Result<Self, FitError> {
        let d = columns.len();
        let found = columns.first().map_or(0, |c| c.len());
        let needed = Self::least(d);
        if found < needed {
            return Err(FitError::TooFew { method, needed, found });
        }
        let standard: Vec<[f64; 2]> = columns.iter().map(|c| [mean(c), deviation(c)]).collect();
        if standard.iter().any(|[m, s]| !(m.is_finite() && s.is_finite() && *s > 0.0)) {
            return Err(FitError::Degenerate { method });
        }
        let rows: Vec<Vec<f64>> = (0..found)
            .map(|i| standard.iter().zip(columns).map(|([m, s], c)| (c[i] - m) / s).collect())
            .collect();
        let parameters = |k: usize| (k * (1 + d + d * (d + 1) / 2) - 1) as f64;
        let fits = (1..=COMPONENTS.min(found / needed)).filter_map(|k| {
            let (components, log_likelihood) = expectation_maximisation(&rows, k)?;
            let criterion = parameters(k) * (found as f64).ln() - 2.0 * log_likelihood;
            Some((components, criterion))
        });
        let best = fits.min_by(|a, b| a.1.total_cmp(&b.1));
        let (components, _) = best.ok_or(FitError::Degenerate { method })?;
        Ok(Self { standard, components })
    }

    /// Log-density at a row, in nats.
    pub fn log_density(&self, row: &[f64]) -> f64 {
        let x: Vec<f64> = row.iter().zip(&self.standard).map(|(v, [m, s])| (v - m) / s).collect();
        let volume: f64 = self.standard.iter().map(|[_, s]| s.ln()).sum();
        log_sum_exp(self.components.iter().map(|c| c.log_density(&x))) - volume
    }
}

/// Components and the log-likelihood of all rows; none where a covariance degenerates.
fn expectation_maximisation(rows: &[Vec<f64>], k: usize) -> Option<(Vec<Component>, f64)> {
    let mut responsibilities = slices(rows, k);
    let mut before = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        let components: Vec<Component> =
            responsibilities.iter().map(|r| maximise(rows, r)).collect::<Option<_>>()?;
        let joint: Vec<Vec<f64>> =
            components.iter().map(|c| rows.iter().map(|x| c.log_density(x)).collect()).collect();
        let total: Vec<f64> =
            (0..rows.len()).map(|i| log_sum_exp(joint.iter().map(|column| column[i]))).collect();
        let log_likelihood: f64 = total.iter().sum();
        if log_likelihood - before < SETTLED * rows.len() as f64 {
            return Some((components, log_likelihood));
        }
        before = log_likelihood;
        for (responsibility, joint) in responsibilities.iter_mut().zip(&joint) {
            for ((r, joint), total) in responsibility.iter_mut().zip(joint).zip(&total) {
                *r = (joint - total).exp();
            }
        }
    }
    let components: Vec<Component> =
        responsibilities.iter().map(|r| maximise(rows, r)).collect::<Option<_>>()?;
    Some((components, before))
}

/// The start: k equal slices along the axis of greatest variance.
fn slices(rows: &[Vec<f64>], k: usize) -> Vec<Vec<f64>> {
    let all = vec![1.0; rows.len()];
    let (_, covariance) = moments(rows, &all);
    let axis: Vec<f64> = match covariance.self_adjoint_eigen(Side::Lower) {
        // Eigenvalues rise.
        Ok(eigen) => {
            let d = covariance.nrows();
            (0..d).map(|i| eigen.U()[(i, d - 1)]).collect()
        }
        Err(_) => vec![1.0; covariance.nrows()],
    };
    let along = |row: &[f64]| row.iter().zip(&axis).map(|(a, b)| a * b).sum::<f64>();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| along(&rows[a]).total_cmp(&along(&rows[b])));
    let mut slices = vec![vec![0.0; rows.len()]; k];
    for (place, row) in order.into_iter().enumerate() {
        slices[place * k / rows.len()][row] = 1.0;
    }
    slices
}

fn maximise(rows: &[Vec<f64>], responsibility: &[f64]) -> Option<Component> {
    let share = responsibility.iter().sum::<f64>() / rows.len() as f64;
    let (mean, mut covariance) = moments(rows, responsibility);
    (0..mean.len()).for_each(|i| covariance[(i, i)] += RIDGE);
    Component::new(share, mean, &covariance)
}

/// Weighted mean and covariance.
fn moments(rows: &[Vec<f64>], weights: &[f64]) -> (Vec<f64>, Mat<f64>) {
    let d = rows[0].len();
    let total: f64 = weights.iter().sum();
    let weighted = |value: &dyn Fn(&[f64]) -> f64| {
        rows.iter().zip(weights).map(|(row, w)| w * value(row)).sum::<f64>() / total
    };
    let mean: Vec<f64> = (0..d).map(|i| weighted(&|row| row[i])).collect();
    let covariance =
        Mat::from_fn(d, d, |i, j| weighted(&|row| (row[i] - mean[i]) * (row[j] - mean[j])));
    (mean, covariance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifold::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn normals(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| normal(&mut rng)).collect()
    }

    #[test]
    fn a_gaussian_gets_its_own_density() {
        // x ~ N(1, 4), y = x + N(0, 1): correlated, on different scales.
        let (a, b) = (normals(20_000, 1), normals(20_000, 2));
        let x: Vec<f64> = a.iter().map(|a| 1.0 + 2.0 * a).collect();
        let y: Vec<f64> = x.iter().zip(&b).map(|(x, b)| 100.0 * (x + b)).collect();
        let mixture = Mixture::fit(&[&x, &y], "test").unwrap();
        let truth = |x: f64, y: f64| {
            let normal =
                |d: f64, s: f64| -0.5 * (d / s).powi(2) - (s * std::f64::consts::TAU.sqrt()).ln();
            normal(x - 1.0, 2.0) + normal(y - 100.0 * x, 100.0)
        };
        for (x, y) in [(1.0, 100.0), (3.0, 250.0), (-2.0, -100.0), (4.0, 100.0)] {
            let (got, expected) = (mixture.log_density(&[x, y]), truth(x, y));
            assert!((got - expected).abs() < 0.1, "at ({x}, {y}): {got}, not {expected}");
        }
    }

    #[test]
    fn two_heaps_are_two_components() {
        let left: Vec<f64> = normals(400, 3).iter().map(|v| v - 6.0).collect();
        let right: Vec<f64> = normals(1200, 4).iter().map(|v| 6.0 + 0.5 * v).collect();
        let mixture = Mixture::fit(&[&[left, right].concat()], "test").unwrap();
        assert_eq!(mixture.components.len(), 2);
        // Weights 1/4 and 3/4; densities at the two centres.
        let at = |x: f64| mixture.log_density(&[x]).exp();
        let height = |weight: f64, s: f64| weight / (s * std::f64::consts::TAU.sqrt());
        assert!((at(-6.0) / height(0.25, 1.0) - 1.0).abs() < 0.15);
        assert!((at(6.0) / height(0.75, 0.5) - 1.0).abs() < 0.15);
        assert!(at(0.0) < 1e-4);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let refused = |columns: &[&[f64]]| Mixture::fit(columns, "test").unwrap_err();
        assert_eq!(refused(&[&[1.0; 10]]), FitError::Degenerate { method: "test" });
        assert_eq!(refused(&[&[1.0, f64::NAN, 2.0, 3.0]]), FitError::Degenerate { method: "test" });
        let few = FitError::TooFew { method: "test", needed: 6, found: 3 };
        assert_eq!(refused(&[&[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0]]), few);
        // A column twice: the ridge keeps the covariance regular.
        let x = normals(50, 5);
        assert!(Mixture::fit(&[&x, &x], "test").unwrap().log_density(&[0.0, 0.0]).is_finite());
    }
}
