//! The linearised density, convolved with a Gaussian.

use super::{LidEstimator, Spectrum};

/// With `x ≈ f(z0) + J (z - z0)` and `z ~ N(0, I)`, the model's density convolved with `N(0, σ² I)` is a Gaussian, and at x
///
/// `log ρ_r(x) = -D/2 log 2π - ½ Σ log(λ_i + σ²) - ½ Σ λ_i (q_iᵀz0)² / (λ_i + σ²)`.
///
/// `LID_r(x) = D + d/dr log ρ_r(x) = D + σ² ( -Σ 1/(λ_i + σ²) + Σ λ_i ((q_iᵀz0) / (λ_i + σ²))² )`
/// (Kamkari et al. 2024, arXiv 2403.18910; the estimator linearises LIDL, Tempczyk et al. 2022). Neither needs
/// eigenvectors: the sums over `q_iᵀz0` are quadratic forms in the tridiagonal matrix that [`Spectrum`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct Spectral;

impl Spectral {
    /// `log ρ_r(x)`, in nats; of a decoder from fewer dimensions d than D, over the d dimensions that it spans, where the others add the same constant for all x at one scale.
    pub fn log_rho(&self, spectrum: &Spectrum, r: f64) -> f64 {
        let variance = (2.0 * r).exp();
        let dimension = spectrum.dimension() as f64;
        let log_det: f64 = spectrum.eigenvalues().iter().map(|l| (l + variance).ln()).sum();
        let w = spectrum.resolvent(variance);
        // zᵀ A (A + v)⁻¹ z = zᵀz - v zᵀw
        let form: f64 = spectrum.latent().iter().zip(&w).map(|(z, w)| z * (z - variance * w)).sum();
        -0.5 * (dimension * (2.0 * std::f64::consts::PI).ln() + log_det + form)
    }
}

impl LidEstimator for Spectral {
    type Prepared = Spectrum;

    fn lid(&self, spectrum: &Spectrum, r: f64) -> f64 {
        let variance = (2.0 * r).exp();
        let trace: f64 = spectrum.eigenvalues().iter().map(|l| variance / (l + variance)).sum();
        let w = spectrum.resolvent(variance);
        // v zᵀ A (A + v)⁻² z = v wᵀ A w = v wᵀ(z - v w)
        let form: f64 =
            spectrum.latent().iter().zip(&w).map(|(z, w)| variance * w * (z - variance * w)).sum();
        spectrum.dimension() as f64 - trace + form
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lid::spectrum::tests::random_jacobian;

    /// Straight from the definition, with eigenvectors.
    fn dense(jacobian: &[f32], z: &[f32], r: f64) -> (f64, f64) {
        let n = z.len();
        let j = faer::Mat::<f64>::from_fn(n, n, |a, b| f64::from(jacobian[a * n + b]));
        let evd = (j.transpose() * &j).self_adjoint_eigen(faer::Side::Lower).unwrap();
        let (values, vectors) = (evd.S().column_vector(), evd.U());
        let v = (2.0 * r).exp();
        let (mut rho, mut lid) = (-(n as f64) * (2.0 * std::f64::consts::PI).ln(), n as f64);
        for i in 0..n {
            let l = values[i];
            let p: f64 = (0..n).map(|k| vectors[(k, i)] * f64::from(z[k])).sum();
            rho -= (l + v).ln() + l * p * p / (l + v);
            lid += v * (-1.0 / (l + v) + l * (p / (l + v)).powi(2));
        }
        (rho / 2.0, lid)
    }

    #[test]
    fn agrees_with_eigenvectors() {
        let (jacobian, z) = random_jacobian(17, 3);
        let spectrum = Spectrum::new(&jacobian, &z).unwrap();
        for r in [-6.0, -2.0, 0.0, 1.0, 5.0] {
            let (rho, lid) = dense(&jacobian, &z, r);
            assert!((Spectral.log_rho(&spectrum, r) - rho).abs() < 1e-8 * rho.abs(), "rho at {r}");
            assert!((Spectral.lid(&spectrum, r) - lid).abs() < 1e-8, "lid at {r}");
        }
    }

    #[test]
    fn lid_is_dimension_plus_the_derivative_of_log_rho() {
        let (jacobian, z) = random_jacobian(12, 4);
        let spectrum = Spectrum::new(&jacobian, &z).unwrap();
        for r in [-3.0, -1.0, 0.5] {
            let h = 1e-5;
            let slope = (Spectral.log_rho(&spectrum, r + h) - Spectral.log_rho(&spectrum, r - h))
                / (2.0 * h);
            assert!((Spectral.lid(&spectrum, r) - 12.0 - slope).abs() < 1e-5);
        }
    }

    #[test]
    fn a_linear_decoder_gives_the_gaussian_in_closed_form() {
        // x = diag(s) z is N(0, diag(s²)); convolved: N(0, diag(s² + v)). At x = s z0.
        let (s, z) = ([2.0f32, 0.5, 0.25], [0.3f32, -1.0, 2.0]);
        let jacobian = [s[0], 0., 0., 0., s[1], 0., 0., 0., s[2]];
        let spectrum = Spectrum::new(&jacobian, &z).unwrap();
        let r = -0.7f64;
        let v = (2.0 * r).exp();
        let expected: f64 = s
            .iter()
            .zip(z)
            .map(|(&s, z)| {
                let (variance, x) = (f64::from(s * s) + v, f64::from(s * z));
                -0.5 * ((2.0 * std::f64::consts::PI * variance).ln() + x * x / variance)
            })
            .sum();
        assert!((Spectral.log_rho(&spectrum, r) - expected).abs() < 1e-6);
    }

    #[test]
    fn extreme_scales_are_finite() {
        let (jacobian, z) = random_jacobian(9, 5);
        let spectrum = Spectrum::new(&jacobian, &z).unwrap();
        for r in [-20.0, 20.0] {
            assert!(
                Spectral.lid(&spectrum, r).is_finite()
                    && Spectral.log_rho(&spectrum, r).is_finite()
            );
        }
        // Everything is smaller than a scale of e^20, nothing smaller than e^-20.
        assert!(Spectral.lid(&spectrum, 20.0).abs() < 1e-6);
        assert!((Spectral.lid(&spectrum, -20.0) - 9.0).abs() < 1e-6);
    }
}
