//! A Gaussian without one dimension: how many it has depends on the scale at which one looks.
//!
//! As in the benchmark of Kamkari et al. 2024 (arXiv 2406.03537).

use super::{charts::Charts, draw::normal};
use rand_chacha::ChaCha8Rng;

/// `x_i ~ N(0, s_i²)` with `s_i² = ratio^i`, i = 0 … D - 1. The true LID is D, the limit at scale 0.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MultiscaleGaussian {
    /// Dimension D.
    pub dimension: usize,
    /// Ratio of one variance to the one before, below 1.
    pub ratio: f64,
}

impl MultiscaleGaussian {
    /// Standard deviations s_i, falling: D values.
    pub fn deviations(&self) -> Vec<f64> {
        (0..self.dimension).map(|i| self.ratio.sqrt().powi(i as i32)).collect()
    }

    /// `LID_σ = Σ s_i² / (s_i² + σ²)`, in dimensions: what `D + d log ρ_σ / d log σ` is at the mean, with ρ_σ the density
    /// convolved with `N(0, σ² I)`. Away from the mean, `Σ σ² x_i² / (s_i² + σ²)²` comes on top.
    pub fn lid(&self, sigma: f64) -> f64 {
        let variances = self.deviations().into_iter().map(|s| s * s);
        variances.map(|v| v / (v + sigma * sigma)).sum()
    }
}

impl Charts for MultiscaleGaussian {
    fn weights(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn draw(&self, _: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..self.dimension).map(|_| normal(rng)).collect()
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        self.deviations().into_iter().zip(z).map(|(s, z)| s * z).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    const GAUSSIAN: MultiscaleGaussian = MultiscaleGaussian { dimension: 6, ratio: 0.1 };

    #[test]
    fn variances_fall_by_the_ratio() {
        let n = 20_000;
        let points = sample(&GAUSSIAN, 6, n, 0);
        for i in 0..6 {
            let column = points.values.iter().skip(i).step_by(6);
            let variance = column.map(|x| x * x).sum::<f64>() / n as f64;
            assert!((variance / 0.1f64.powi(i as i32) - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn lid_at_a_scale_is_the_slope_of_the_convolved_density() {
        // log ρ_σ at the mean, but for a constant.
        let log_density = |r: f64| -> f64 {
            let widths = GAUSSIAN.deviations().into_iter().map(|s| s * s + (2.0 * r).exp());
            -0.5 * widths.map(f64::ln).sum::<f64>()
        };
        for r in [-6.0f64, -3.0, -1.0, 0.5] {
            let h = 1e-4;
            let slope = (log_density(r + h) - log_density(r - h)) / (2.0 * h);
            assert!((GAUSSIAN.lid(r.exp()) - (6.0 + slope)).abs() < 1e-6);
        }
        assert!((GAUSSIAN.lid(1e-9) - 6.0).abs() < 1e-9);
    }
}
