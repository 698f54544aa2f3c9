//! Where expectation maximisation starts.

use super::{Covariance, GaussianMixture, em::Statistics, mixture::host};
use crate::ops::FlowBackend;
use burn::tensor::Tensor;
use faer::Mat;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the start from a batch saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Components that start where another does, because the batch has fewer different inputs than there are components. They stay there.
    pub coincident: usize,
}

impl<B: FlowBackend> GaussianMixture<B> {
    /// Start from a batch: means by k-means++ (Arthur & Vassilvitskii 2007), which takes inputs in turn with probability proportional to the squared distance
    /// from the nearest one taken; equal weights; of every covariance the diagonal alone, the variances of the inputs around the mean that is nearest to each.
    /// The draws are those of the seed that the mixture was made with, on every backend.
    ///
    /// Inputs with values that are not finite are passed over; where none is left, the mixture stays as it is.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn initialize(&mut self, x: Tensor<B, 2>) -> Start {
        let [_, d] = x.dims();
        let k = self.means.dims()[0];
        let x = host(x);
        let finite = |row: &&[f64]| row.iter().all(|x| x.is_finite());
        let rows: Vec<&[f64]> = x.chunks(d).filter(finite).collect();
        let n = rows.len();
        if n == 0 {
            return Start { coincident: k };
        }
        let (chosen, different) = plus_plus(&rows, k, self.seed);
        let centre: Vec<f64> =
            (0..d).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / n as f64).collect();
        let nearest = |row: &[f64]| {
            let distances = chosen.iter().map(|c| squared(row, rows[*c]));
            distances.zip(&chosen).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| rows[*c])
        };
        // A mean is an input itself and adds nothing to the spread around it, so it does not count. Where there are no
        // others, what is left is the spread around the centre.
        let count = if n > different { n - different } else { n } as f64;
        let mut variances = vec![0.0; d];
        for row in &rows {
            let around = nearest(row).filter(|_| n > different).unwrap_or(&centre);
            for ((variance, x), m) in variances.iter_mut().zip(*row).zip(around) {
                *variance += (x - m).powi(2) / count;
            }
        }
        let covariance = match self.covariance {
            Covariance::Full => Mat::from_fn(d, d, |i, j| if i == j { variances[i] } else { 0.0 }),
            Covariance::Diagonal => Mat::from_fn(1, d, |_, i| variances[i]),
        };
        self.maximise(&Statistics {
            weights: vec![1.0 / k as f64; k],
            means: chosen.iter().map(|c| rows[*c].to_vec()).collect(),
            covariances: vec![covariance; k],
        });
        Start { coincident: k - different }
    }
}

/// The places of k inputs, and how many of them are different.
fn plus_plus(rows: &[&[f64]], k: usize, seed: u64) -> (Vec<usize>, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = vec![rng.random_range(0..rows.len())];
    let mut distances = vec![f64::INFINITY; rows.len()];
    loop {
        let latest = rows[chosen[chosen.len() - 1]];
        distances.iter_mut().zip(rows).for_each(|(d, row)| *d = d.min(squared(row, latest)));
        let total: f64 = distances.iter().sum();
        if chosen.len() == k || total == 0.0 {
            break;
        }
        let target = total * rng.random::<f64>();
        let mut below = 0.0;
        let next = distances.iter().position(|d| {
            below += d;
            below > target
        });
        // Rounding may leave the sum just below the target: then the last that is not taken yet.
        let Some(next) = next.or_else(|| distances.iter().rposition(|d| *d > 0.0)) else { break };
        chosen.push(next);
    }
    let different = chosen.len();
    (different..k).for_each(|i| chosen.push(chosen[i % different]));
    (chosen, different)
}

/// Squared distance.
fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}
