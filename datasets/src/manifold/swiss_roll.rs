//! The Swiss roll.
//!
//! Tenenbaum, de Silva & Langford 2000, "A global geometric framework for nonlinear dimensionality reduction"
//! (doi:10.1126/science.290.5500.2319), with the constants of scikit-learn.

use super::charts::Charts;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;

/// `(t cos t, h, t sin t)`, t uniform from 1.5 π to 4.5 π, h uniform from 0 to `height`. LID 2.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SwissRoll {
    /// Height of the roll.
    pub height: f64,
}

impl Charts for SwissRoll {
    fn weights(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn draw(&self, _: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        vec![rng.random_range(1.5 * PI..4.5 * PI), rng.random_range(0.0..self.height)]
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        vec![z[0] * z[0].cos(), z[1], z[0] * z[0].sin()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    #[test]
    fn the_radius_is_the_angle() {
        for x in sample(&SwissRoll { height: 21.0 }, 3, 500, 0).values.chunks(3) {
            let t = x[0].hypot(x[2]);
            assert!((1.5 * PI - 1e-9..4.5 * PI).contains(&t) && (0.0..21.0).contains(&x[1]));
            assert!((x[2].atan2(x[0]) - t).sin().abs() < 1e-12);
        }
    }
}
