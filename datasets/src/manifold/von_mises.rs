//! Circles and flat tori with a density that is not uniform.
//!
//! The von Mises distribution on the circle has LID 1 wherever it is dense or thin: an estimator must not mistake density for
//! dimension. As in the benchmark of Kamkari et al. 2024 (arXiv 2406.03537).

use super::charts::Charts;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::{PI, TAU};

/// A product of unit circles in planes, `(cos θ_1, sin θ_1, cos θ_2, …)`, the angles of density `exp(κ cos θ) / (2π I_0(κ))`.
/// LID is the number of circles: one is the circle, two are the flat torus in 4-D.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct VonMises {
    /// Number of circles.
    pub circles: usize,
    /// Concentration κ > 0.
    pub concentration: f64,
}

impl VonMises {
    /// An angle, by Best & Fisher 1979, "Efficient simulation of the von Mises distribution" (doi:10.2307/2346732).
    fn angle(&self, rng: &mut ChaCha8Rng) -> f64 {
        let k = self.concentration;
        let tau = 1.0 + (1.0 + 4.0 * k * k).sqrt();
        let rho = (tau - (2.0 * tau).sqrt()) / (2.0 * k);
        let r = (1.0 + rho * rho) / (2.0 * rho);
        loop {
            let (u, v, side): (f64, f64, bool) = (rng.random(), rng.random(), rng.random());
            let z = (PI * u).cos();
            let f = (1.0 + r * z) / (r + z);
            let c = k * (r - f);
            if c * (2.0 - c) > v || (c / v).ln() + 1.0 >= c {
                return (if side { f.acos() } else { -f.acos() }).rem_euclid(TAU);
            }
        }
    }
}

impl Charts for VonMises {
    fn weights(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn draw(&self, _: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..self.circles).map(|_| self.angle(rng)).collect()
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        z.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    #[test]
    fn points_lie_on_circles_with_the_moments_of_the_law() {
        let n = 20_000;
        let points = sample(&VonMises { circles: 2, concentration: 2.0 }, 4, n, 0);
        for x in points.values.chunks(2) {
            assert!((x[0].hypot(x[1]) - 1.0).abs() < 1e-12);
        }
        // The mean of cos θ is I_1(2) / I_0(2), of cos 2θ I_2(2) / I_0(2) (Abramowitz & Stegun, table 9.8).
        let (i0, i1, i2) = (2.279_585, 1.590_637, 0.688_948);
        for circle in 0..2 {
            let mean = |f: &dyn Fn(&[f64]) -> f64| {
                points.values.chunks(4).map(|x| f(&x[2 * circle..])).sum::<f64>() / n as f64
            };
            assert!((mean(&|x| x[0]) - i1 / i0).abs() < 0.01);
            assert!((mean(&|x| 2.0 * x[0] * x[0] - 1.0) - i2 / i0).abs() < 0.01);
            assert!(mean(&|x| x[1]).abs() < 0.01);
        }
    }
}
