//! The lollipop: a disc on a segment, and a dot.
//!
//! Tempczyk et al. 2022 (arXiv 2206.14882), in the proportions of Kamkari et al. 2024 (arXiv 2406.03537).

use super::charts::Charts;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::FRAC_1_SQRT_2;

/// Component 0 is the candy (uniform in a disc around `(centre, centre)`, LID 2), 1 the stick (uniform on the segment of the
/// diagonal from `(end, end)` to the candy, LID 1), 2 the dot (the origin, LID 0).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Lollipop {
    /// Both coordinates of the candy's centre.
    pub centre: f64,
    /// Radius of the candy.
    pub radius: f64,
    /// Both coordinates of the stick's far end.
    pub end: f64,
    /// Weights of candy, stick and dot.
    pub weights: [f64; 3],
}

impl Charts for Lollipop {
    fn weights(&self) -> Vec<f64> {
        self.weights.to_vec()
    }

    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match component {
            0 => loop {
                let z: [f64; 2] = [rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)];
                if z[0] * z[0] + z[1] * z[1] < 1.0 {
                    return z.to_vec();
                }
            },
            1 => vec![rng.random()],
            _ => vec![],
        }
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        match z {
            [a, b] => vec![self.centre + self.radius * a, self.centre + self.radius * b],
            [t] => {
                let rim = self.centre - self.radius * FRAC_1_SQRT_2;
                vec![self.end + t * (rim - self.end); 2]
            }
            _ => vec![0.0; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    #[test]
    fn candy_stick_and_dot_are_where_they_should_be() {
        let lollipop = Lollipop { centre: 3.0, radius: 1.0, end: 1.5, weights: [4.0, 2.0, 1.0] };
        let points = sample(&lollipop, 2, 2000, 0);
        let mut outer = 0;
        for (x, component) in points.values.chunks(2).zip(&points.component) {
            let from_centre = (x[0] - 3.0).hypot(x[1] - 3.0);
            match component {
                0 => assert!(from_centre < 1.0),
                1 => assert!(x[0] == x[1] && x[0] >= 1.5 && from_centre >= 1.0 - 1e-12),
                _ => assert_eq!(x, [0.0, 0.0]),
            }
            outer += usize::from(*component == 0 && from_centre > 0.5f64.sqrt());
        }
        // Uniform: half of the disc's area is outside radius sqrt(1/2).
        let candy = points.component.iter().filter(|c| **c == 0).count();
        assert!((outer as f64 / candy as f64 - 0.5).abs() < 0.05);
    }
}
