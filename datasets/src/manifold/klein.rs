//! The Klein bottle.

use super::charts::Charts;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// The Klein bottle in four dimensions, where it does not cross itself (do Carmo 1976, "Differential Geometry of Curves and Surfaces"):
/// `((R + r cos v) cos u, (R + r cos v) sin u, r sin v cos u/2, r sin v sin u/2)`, uniform in both angles. LID 2.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KleinBottle {
    /// Radius R of the circle that the tube runs around.
    pub major: f64,
    /// Radius r of the tube.
    pub minor: f64,
}

impl Charts for KleinBottle {
    fn weights(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn draw(&self, _: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        vec![rng.random_range(0.0..TAU), rng.random_range(0.0..TAU)]
    }

    fn point(&self, _: usize, z: &[f64]) -> Vec<f64> {
        let [u, v] = [z[0], z[1]];
        let (radius, height) = (self.major + self.minor * v.cos(), self.minor * v.sin());
        let half = 0.5 * u;
        vec![radius * u.cos(), radius * u.sin(), height * half.cos(), height * half.sin()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tube_comes_back_turned_over() {
        let klein = KleinBottle { major: 1.0, minor: 0.5 };
        for v in [0.3, 2.0, 4.0] {
            let [start, round] = [[0.4, v], [0.4 + TAU, TAU - v]].map(|z| klein.point(0, &z));
            for (a, b) in start.iter().zip(&round) {
                assert!((a - b).abs() < 1e-12, "{start:?}, {round:?}");
            }
            // Whatever the place, the point is r from the circle's.
            let tube = (start[0].hypot(start[1]) - 1.0).hypot(start[2].hypot(start[3]));
            assert!((tube - 0.5).abs() < 1e-12);
        }
    }
}
