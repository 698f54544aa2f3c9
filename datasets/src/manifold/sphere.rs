//! Spheres.

use super::{charts::Charts, normal};
use rand_chacha::ChaCha8Rng;

/// The unit sphere of d dimensions in d + 1, uniform by area (Muller 1959, doi:10.1145/377939.377946). LID d.
///
/// Latents are stereographic projections from the pole `(0, …, 0, 1)`: `x = (2 z, |z|² - 1) / (|z|² + 1)`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sphere {
    /// Its dimension d.
    pub dimension: usize,
}

impl Charts for Sphere {
    fn weights(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn draw(&self, _: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let x: Vec<f64> = (0..=self.dimension).map(|_| normal(rng)).collect();
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        let to_pole = length - x[self.dimension];
        x[..self.dimension].iter().map(|v| v / to_pole).collect()
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        let square = z.iter().map(|v| v * v).sum::<f64>();
        let plane = z.iter().map(|v| 2.0 * v / (square + 1.0));
        plane.chain([(square - 1.0) / (square + 1.0)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    #[test]
    fn points_are_uniform_on_the_sphere() {
        for dimension in [1, 2, 10] {
            let points = sample(&Sphere { dimension }, dimension + 1, 4000, 0);
            let points: Vec<&[f64]> = points.values.chunks(dimension + 1).collect();
            let n = points.len() as f64;
            for x in &points {
                assert!((x.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
            }
            // Every coordinate has mean 0 and variance 1 / (d + 1), also that of the pole.
            for i in 0..=dimension {
                let mean = points.iter().map(|x| x[i]).sum::<f64>() / n;
                let variance = points.iter().map(|x| x[i] * x[i]).sum::<f64>() / n;
                let expected = 1.0 / (dimension as f64 + 1.0);
                assert!(mean.abs() < 4.0 * (expected / n).sqrt(), "{dimension}, {i}: {mean}");
                assert!((variance / expected - 1.0).abs() < 0.1, "{dimension}, {i}: {variance}");
            }
        }
    }
}
