//! Laplace's approximation of the density in a Gaussian window of width σ around x (MacKay 1992), `log E p(x + σ ε)` for the quadratic expansion of log p at x:
//! `log p + ½ σ² gᵀ (1 + σ² Λ)⁻¹ g - ½ Σ_i log(1 + σ² λ_i)` with the gradient g and the eigenvalues λ of `-∇² log p(x)`, negative ones taken as zero. A likely image on a thin ridge of the
//! density has little mass around it.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "Laplace",
    reads: Reads::Only(&[Statistic::LogLikelihood, Statistic::Slope, Statistic::Curvature]),
    scoring: Scoring::Plain(|v| v[0] + v[1] - v[2]),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_gaussian_it_is_the_log_mass_in_the_window() {
        // N(0, s²) in 2 dimensions, at its mode: the mean density in a window exp(-‖u‖²/2σ²) is that of N(0, s² + σ²).
        let (s, sigma): (f64, f64) = (0.5, 1.5);
        let log_p = -(std::f64::consts::TAU * s * s).ln();
        let curvature = (sigma * sigma / (s * s)).ln_1p();
        let mean_density = -(std::f64::consts::TAU * (s * s + sigma * sigma)).ln();
        let score = SPEC.score(&[]).unwrap()(&[log_p, 0.0, curvature]);
        assert!((score - mean_density).abs() < 1e-12);
    }
}
