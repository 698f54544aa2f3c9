//! Counting the directions that the decoder does not squash.

use super::{LidEstimator, Spectrum};

/// `LID_r(x) = #{i : λ_i > exp(2r)}`: the number of singular values of J above sigma (Horvat & Pfister 2022, "Intrinsic
/// dimensionality estimation using normalizing flows").
#[derive(Clone, Copy, Debug)]
pub struct Threshold;

impl LidEstimator for Threshold {
    type Prepared = Spectrum;

    fn lid(&self, spectrum: &Spectrum, r: f64) -> f64 {
        let threshold = (2.0 * r).exp();
        spectrum.eigenvalues().partition_point(|&l| l > threshold) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lies_above() {
        // J = diag(4, 2, 1, 1/8): singular values above exp(r).
        let jacobian = [4.0, 0., 0., 0., 0., 2.0, 0., 0., 0., 0., 1.0, 0., 0., 0., 0., 0.125];
        let spectrum = Spectrum::new(&jacobian, &[0.0; 4]).unwrap();
        for (sigma, expected) in [(5.0, 0.0), (3.0, 1.0), (1.5, 2.0), (0.5, 3.0), (0.1, 4.0)] {
            assert_eq!(Threshold.lid(&spectrum, f64::ln(sigma)), expected);
        }
    }
}
