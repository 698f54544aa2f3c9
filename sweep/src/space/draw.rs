//! Coordinates of draws.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Where coordinates come from. Each is a function of the seed, the draw and the dimension alone, so that more draws begin with the same
/// ones.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Random { seed: u32 },
    Sobol { seed: u32 },
}

/// How many dimensions the Sobol sequence has.
pub(super) const SOBOL_DIMENSIONS: u32 = sobol_burley::NUM_DIMENSIONS;
/// How many draws.
pub(super) const SOBOL_DRAWS: u32 = 1 << 16;

impl Source {
    /// How many draws there are.
    pub fn draws(self) -> u32 {
        match self {
            Self::Random { .. } => u32::MAX,
            Self::Sobol { .. } => SOBOL_DRAWS,
        }
    }

    /// A number in [0, 1). Sobol: `dimension` is below [`SOBOL_DIMENSIONS`], `draw` below [`draws`](Self::draws).
    pub fn coordinate(self, draw: u32, dimension: u32) -> f64 {
        match self {
            Self::Random { seed } => {
                let mut random = ChaCha8Rng::seed_from_u64(u64::from(seed));
                random.set_stream(u64::from(draw));
                // A coordinate takes two words.
                random.set_word_pos(2 * u128::from(dimension));
                random.random()
            }
            Self::Sobol { seed } => f64::from(sobol_burley::sample(draw, dimension, seed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sobol_fills_every_dyadic_bin_once() {
        for seed in [0, 1, u32::MAX] {
            for dimension in [0, 1, 2, 7, 100, SOBOL_DIMENSIONS - 1] {
                let u: Vec<f64> =
                    (0..1 << 12).map(|i| Source::Sobol { seed }.coordinate(i, dimension)).collect();
                for k in 0..=12 {
                    let mut bins: Vec<usize> =
                        u[..1 << k].iter().map(|u| (u * f64::from(1 << k)) as usize).collect();
                    bins.sort_unstable();
                    assert!(
                        bins.into_iter().eq(0..1 << k),
                        "2^{k} draws, dimension {dimension}, seed {seed}"
                    );
                }
            }
        }
    }

    #[test]
    fn random_coordinates_are_uniform_and_unrelated() {
        let n = 1000;
        let column = |seed, dimension| -> Vec<f64> {
            (0..n).map(|i| Source::Random { seed }.coordinate(i, dimension)).collect()
        };
        let columns = [column(0, 0), column(0, 1), column(0, 2), column(1, 0)];
        let mean = |x: &mut dyn Iterator<Item = f64>| x.sum::<f64>() / f64::from(n);
        for (i, a) in columns.iter().enumerate() {
            // Standard errors: 1 / sqrt(12 n) of the mean, 1 / (12 sqrt(n)) of a product of two centred ones.
            assert!((mean(&mut a.iter().copied()) - 0.5).abs() < 4.0 / f64::from(12 * n).sqrt());
            for b in &columns[..i] {
                let product = mean(&mut a.iter().zip(b).map(|(a, b)| (a - 0.5) * (b - 0.5)));
                assert!(product.abs() < 4.0 / (12.0 * f64::from(n).sqrt()), "{product}");
            }
        }
    }
}
