//! The density around an image, by draws.

use crate::{data::normal, ood::method::log_sum_exp};
use atypical_models::{DensityModel, FlowBackend, flow::Flow};
use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The unit ball that draws come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ball {
    /// `Σ |u_i| ≤ 1`.
    L1,
    /// `Σ u_i² ≤ 1`.
    L2,
    /// `max |u_i| ≤ 1`.
    Max,
}

impl Ball {
    /// A point uniform on the unit ball (Barthe et al. 2005, arXiv math/0503650): `g / (Σ |g_i|^p + e)^(1/p)` with g_i of a density
    /// proportional to `exp(-|g|^p)` and e exponential.
    pub fn draw(self, dimension: usize, rng: &mut impl Rng) -> Vec<f64> {
        let exponential = |rng: &mut _| -(1.0 - Rng::random::<f64>(rng)).ln();
        match self {
            Self::Max => (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect(),
            Self::L1 => {
                let g: Vec<f64> = (0..dimension)
                    .map(|_| exponential(rng) * if rng.random::<bool>() { 1.0 } else { -1.0 })
                    .collect();
                let norm = g.iter().map(|g| g.abs()).sum::<f64>() + exponential(rng);
                g.into_iter().map(|g| g / norm).collect()
            }
            Self::L2 => {
                let g: Vec<f64> = (0..dimension).map(|_| normal(rng) * 0.5f64.sqrt()).collect();
                let norm = (g.iter().map(|g| g * g).sum::<f64>() + exponential(rng)).sqrt();
                g.into_iter().map(|g| g / norm).collect()
            }
        }
    }
}

/// Fold a coordinate back into [0, 1], as if its ends were mirrors: images have no density beyond them.
pub fn fold(x: f64) -> f64 {
    let x = x.rem_euclid(2.0);
    if x > 1.0 { 2.0 - x } else { x }
}

/// `log [1/K Σ_k p(x_k)]` over points `[K, D]`, in nats.
pub fn log_mean_density<B: FlowBackend>(model: &impl DensityModel<B>, points: Tensor<B, 2>) -> f64 {
    log_mean(model.log_prob(points).into_data().iter::<f64>().collect())
}

/// The same over the points that latents `[K, D]` decode to.
pub fn log_mean_density_of_latents<B: FlowBackend>(flow: &Flow<B>, z: Tensor<B, 2>) -> f64 {
    let (count, dimension) = (z.dims()[0], flow.dimension() as f64);
    let log_dets = flow.decode(z.clone()).1;
    let prior = z.powi_scalar(2).sum_dim(1).reshape([count]) * -0.5;
    let normaliser = 0.5 * dimension * (2.0 * std::f64::consts::PI).ln();
    log_mean((prior - log_dets - normaliser).into_data().iter::<f64>().collect())
}

fn log_mean(values: Vec<f64>) -> f64 {
    log_sum_exp(values.iter().copied()) - (values.len() as f64).ln()
}

/// `count` points around `centre`, `[count, D]`: the centre plus what `draw` gives, each coordinate through `then`.
pub fn points<B: FlowBackend>(
    centre: &[f64],
    count: usize,
    mut draw: impl FnMut() -> Vec<f64>,
    then: fn(f64) -> f64,
    device: &B::Device,
) -> Tensor<B, 2> {
    let rows = (0..count).flat_map(|_| {
        let moved: Vec<f32> = draw().iter().zip(centre).map(|(u, x)| then(x + u) as f32).collect();
        moved
    });
    let data = TensorData::new(rows.collect(), [count, centre.len()]);
    Tensor::from_data(data, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::flow::FlowConfig;
    use burn::backend::Flex;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    type Norm = fn(&[f64]) -> f64;

    #[test]
    fn draws_are_uniform_on_their_ball() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let norms: [(Ball, Norm); 3] = [
            (Ball::L1, |u| u.iter().map(|u| u.abs()).sum()),
            (Ball::L2, |u| u.iter().map(|u| u * u).sum::<f64>().sqrt()),
            (Ball::Max, |u| u.iter().map(|u| u.abs()).fold(0.0, f64::max)),
        ];
        for (ball, norm) in norms {
            for dimension in [1, 3, 12] {
                let n = 4000;
                // The mass within radius t is t^D, so norm^D is uniform on [0, 1].
                let mut mass: Vec<f64> = (0..n)
                    .map(|_| norm(&ball.draw(dimension, &mut rng)).powi(dimension as i32))
                    .collect();
                mass.sort_by(f64::total_cmp);
                let apart = mass.iter().enumerate().map(|(i, m)| (m - i as f64 / n as f64).abs());
                // The Kolmogorov-Smirnov bound at a level of 1e-4 is 2.2 / √n.
                let apart = apart.fold(0.0, f64::max);
                assert!(apart < 2.2 / (n as f64).sqrt(), "{ball:?}, D = {dimension}: {apart}");
            }
        }
    }

    #[test]
    fn coordinates_are_folded_at_both_ends() {
        for (x, folded) in
            [(0.3, 0.3), (-0.2, 0.2), (1.25, 0.75), (2.5, 0.5), (-1.5, 0.5), (1.0, 1.0)]
        {
            assert!((fold(x) - folded).abs() < 1e-15, "{x}");
        }
    }

    /// No step: z = x.
    fn standard_normal(dimension: usize) -> Flow<Flex> {
        let config = FlowConfig { shape: [dimension, 1, 1], transform: Vec::new() };
        Flow::new(&config, 0, &Default::default()).unwrap()
    }

    #[test]
    fn a_normal_convolved_with_a_normal_is_a_normal() {
        let flow = standard_normal(3);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let (x, sigma) = ([1.0, -0.5, 0.3], 0.7);
        let mut draw = || (0..3).map(|_| sigma * normal(&mut rng)).collect();
        let points = points::<Flex>(&x, 40_000, &mut draw, |x| x, &Default::default());
        let variance = 1.0 + sigma * sigma;
        let square: f64 = x.iter().map(|x| x * x).sum();
        let expected =
            -0.5 * square / variance - 1.5 * (2.0 * std::f64::consts::PI * variance).ln();
        let got = log_mean_density(&flow, points.clone());
        // Standard error: 0.003.
        assert!((got - expected).abs() < 0.012, "{got}, not {expected}");
        let of_latents = log_mean_density_of_latents(&flow, points);
        assert!((got - of_latents).abs() < 1e-5);
    }

    #[test]
    fn the_mass_of_a_ball_is_that_of_the_chi_squared_distribution() {
        let flow = standard_normal(2);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let radius = 1.5;
        let mut draw = || Ball::L2.draw(2, &mut rng).into_iter().map(|u| radius * u).collect();
        let points = points::<Flex>(&[0.0, 0.0], 40_000, &mut draw, |x| x, &Default::default());
        // P(|z| < r) = 1 - exp(-r²/2) in the plane; the mean density is that over π r².
        let mass: f64 = 1.0 - (-radius * radius / 2.0).exp();
        let expected = (mass / (std::f64::consts::PI * radius * radius)).ln();
        let got = log_mean_density(&flow, points);
        // Standard error: 0.002.
        assert!((got - expected).abs() < 0.01, "{got}, not {expected}");
    }
}
