//! A torus in space and the circle in its tube.
//!
//! As in the benchmark of Kamkari et al. 2024 (arXiv 2406.03537).

use super::charts::Charts;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// Component 0 is the torus (uniform by area, LID 2), 1 the circle at the centre of its tube (uniform, LID 1).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TorusCircle {
    /// Radius of the circle.
    pub major: f64,
    /// Radius of the tube.
    pub minor: f64,
    /// Weights of torus and circle.
    pub weights: [f64; 2],
}

impl Charts for TorusCircle {
    fn weights(&self) -> Vec<f64> {
        self.weights.to_vec()
    }

    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let around = rng.random_range(0.0..TAU);
        if component == 1 {
            return vec![around];
        }
        // The tube's area is the larger the farther outside.
        loop {
            let tube: f64 = rng.random_range(0.0..TAU);
            if rng.random_range(0.0..self.major + self.minor) < self.major + self.minor * tube.cos()
            {
                return vec![around, tube];
            }
        }
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        let (radius, height) = match z {
            [_, tube] => (self.major + self.minor * tube.cos(), self.minor * tube.sin()),
            _ => (self.major, 0.0),
        };
        vec![radius * z[0].cos(), radius * z[0].sin(), height]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    #[test]
    fn points_lie_on_the_torus_and_the_circle_uniformly() {
        let torus = TorusCircle { major: 1.0, minor: 0.5, weights: [1.0, 1.0] };
        let points = sample(&torus, 3, 4000, 0);
        let (mut outside, mut count) = (0.0, 0.0);
        for (x, component) in points.values.chunks(3).zip(&points.component) {
            let radius = x[0].hypot(x[1]);
            let tube = (radius - 1.0).hypot(x[2]);
            assert!((tube - if *component == 0 { 0.5 } else { 0.0 }).abs() < 1e-12);
            if *component == 0 {
                outside += f64::from(u8::from(radius > 1.0));
                count += 1.0;
            }
        }
        // The outer half has 1/2 + r / (π R) of the area.
        let expected = 0.5 + 0.5 / std::f64::consts::PI;
        assert!((outside / count - expected).abs() < 0.03);
    }
}
