//! Random numbers, vectors and frames.

use faer::Mat;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// What latent coordinates are drawn from, independently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Uniform between -1 and 1.
    Uniform,
    /// Of mean 0 and variance 1.
    Normal,
    /// Of mean 0 and scale 1 (variance 2).
    Laplace,
}

impl Law {
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Law::Uniform => rng.random_range(-1.0..1.0),
            Law::Normal => normal(rng),
            Law::Laplace => {
                let u: f64 = rng.random_range(-1.0..1.0);
                -u.signum() * (1.0 - u.abs()).ln()
            }
        }
    }
}

/// Standard normal, by Box & Muller 1958.
pub fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    // 1 - u is never 0.
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Random orthonormal columns: `rows x columns`, columns <= rows.
pub(super) fn frame(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| normal(rng)).qr().compute_thin_Q()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn laws_have_their_moments() {
        for (law, variance, fourth) in
            [(Law::Uniform, 1.0 / 3.0, 0.2), (Law::Normal, 1.0, 3.0), (Law::Laplace, 2.0, 24.0)]
        {
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let draws: Vec<f64> = (0..100_000).map(|_| law.draw(&mut rng)).collect();
            let moment = |k: i32| draws.iter().map(|x| x.powi(k)).sum::<f64>() / 1e5;
            assert!(moment(1).abs() < 0.02, "{law:?}");
            assert!((moment(2) / variance - 1.0).abs() < 0.02, "{law:?}: {}", moment(2));
            assert!((moment(4) / fourth - 1.0).abs() < 0.1, "{law:?}: {}", moment(4));
        }
    }

    #[test]
    fn frames_are_orthonormal() {
        let frame = frame(9, 4, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!((frame.nrows(), frame.ncols()), (9, 4));
        let gram = frame.transpose() * &frame;
        assert!((gram - Mat::<f64>::identity(4, 4)).norm_max() < 1e-14);
    }
}
