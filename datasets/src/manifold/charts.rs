//! Sampling a union of manifolds by their charts.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// A sample of a manifold.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// Dimension D of the ambient space.
    pub dimension: usize,
    /// Coordinates: `n x D`, row-major.
    pub values: Vec<f64>,
    /// True LID of every point, in dimensions: `n`.
    pub lid: Vec<f64>,
    /// The component of the mixture that every point lies on: `n`.
    pub component: Vec<usize>,
}

/// A union of manifolds, each the image of latent vectors under a smooth map of full rank: the latents' length is its LID.
pub(super) trait Charts: Sync {
    /// Weight of every component; only their ratios matter.
    fn weights(&self) -> Vec<f64>;

    /// A random latent vector of a component.
    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64>;

    /// The point of a latent vector: D values.
    fn point(&self, component: usize, latent: &[f64]) -> Vec<f64>;
}

/// `n` points, the same for the same seed.
pub(super) fn sample(charts: &dyn Charts, dimension: usize, n: usize, seed: u64) -> Points {
    points(charts, dimension, &latents(charts, n, seed))
}

/// Components and latent vectors of `n` points.
pub(super) fn latents(charts: &dyn Charts, n: usize, seed: u64) -> Vec<(usize, Vec<f64>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let weights = charts.weights();
    let mut draw = || {
        let component = pick(&weights, &mut rng);
        (component, charts.draw(component, &mut rng))
    };
    (0..n).map(|_| draw()).collect()
}

/// The points of latent vectors, in parallel.
pub(super) fn points(
    charts: &dyn Charts,
    dimension: usize,
    latents: &[(usize, Vec<f64>)],
) -> Points {
    let values =
        latents.par_iter().flat_map_iter(|(component, z)| charts.point(*component, z)).collect();
    Points {
        dimension,
        values,
        lid: latents.iter().map(|(_, z)| z.len() as f64).collect(),
        component: latents.iter().map(|(component, _)| *component).collect(),
    }
}

/// An index, with probability proportional to its weight.
fn pick(weights: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    weights.len() - 1
}
