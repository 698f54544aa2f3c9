//! The mass of the density in shrinking balls around an image, by Markov chains.

use super::Ball;
use crate::{config::ShellsConfig, data::normal, lid::matrix_free::norm};
use atypical_models::{DensityModel, FlowBackend};
use burn::tensor::{Tensor, TensorData};
use rand::Rng;

/// How the mass grows from the innermost ball to the outermost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shells {
    /// Radius of the innermost ball.
    pub radius: f64,
    /// `log P(innermost ball | outermost ball)`, in nats.
    pub log_share: f64,
    /// `log_share / log(innermost radius / outermost radius)`: the dimension in which mass grows, D where the density is flat.
    pub dimension: f64,
}

/// The share of the moves that are to be accepted; step lengths follow it.
const ACCEPTED: f64 = 0.3;

/// Shrink a ball around x until it has half its mass, `levels` times, by the distances of Markov chains that sample the density within it (Metropolis et al. 1953): multilevel
/// splitting (Au & Beck 2001; Cérou & Guyader 2007). The half of the chains outside the smaller ball goes on from where those inside are. The reference has fixed
/// radii, whose shares all round to 0 or 1 in hundreds of dimensions.
///
/// Every coordinate goes through `then` before the density is asked for. NaN where a density is.
pub fn shells<B: FlowBackend>(
    model: &impl DensityModel<B>,
    x: &[f64],
    config: ShellsConfig,
    then: fn(f64) -> f64,
    rng: &mut impl Rng,
    device: &B::Device,
) -> Shells {
    let ShellsConfig { radius: outer, levels, chains, steps } = config;
    let dimension = x.len();
    let log_p = |points: &[&Vec<f64>]| -> Vec<f64> {
        let rows = points.iter().flat_map(|u| u.iter().zip(x).map(|(u, x)| then(x + u) as f32));
        let rows = TensorData::new(rows.collect(), [points.len(), dimension]);
        model.log_prob(Tensor::from_data(rows, device)).into_data().iter::<f64>().collect()
    };
    let at = |u: Vec<f64>, log_p: f64| Chain { radius: norm(&u), u, log_p };
    let start: Vec<Vec<f64>> = (0..chains)
        .map(|_| Ball::L2.draw(dimension, rng).into_iter().map(|u| outer * u).collect())
        .collect();
    let densities = log_p(&start.iter().collect::<Vec<_>>());
    let mut broken = densities.iter().any(|d| d.is_nan());
    let mut all: Vec<Chain> = start.into_iter().zip(densities).map(|(u, l)| at(u, l)).collect();
    let mut radius = outer;
    // A move of a tenth of the radius, over all coordinates.
    let mut share = 0.1 / (dimension as f64).sqrt();
    for _ in 0..levels {
        for _ in 0..steps {
            let moved: Vec<Vec<f64>> = all
                .iter()
                .map(|c| c.u.iter().map(|u| u + share * radius * normal(rng)).collect())
                .collect();
            let inside: Vec<usize> = (0..chains).filter(|&i| norm(&moved[i]) <= radius).collect();
            let mut accepted = 0;
            if !inside.is_empty() {
                let points: Vec<&Vec<f64>> = inside.iter().map(|&i| &moved[i]).collect();
                for (&i, density) in inside.iter().zip(log_p(&points)) {
                    broken |= density.is_nan();
                    if rng.random::<f64>().ln() <= density - all[i].log_p {
                        all[i] = at(moved[i].clone(), density);
                        accepted += 1;
                    }
                }
            }
            let rate = f64::from(accepted) / chains as f64;
            share *= (0.5 * (rate - ACCEPTED)).exp();
        }
        all.sort_by(|a, b| a.radius.total_cmp(&b.radius));
        let half = chains / 2;
        radius = (all[half - 1].radius + all[half].radius) / 2.0;
        let (near, far) = all.split_at_mut(half);
        far.clone_from_slice(near);
    }
    let log_share = levels as f64 * 0.5f64.ln();
    if broken {
        return Shells { radius, log_share, dimension: f64::NAN };
    }
    Shells { radius, log_share, dimension: log_share / (radius / outer).ln() }
}

#[derive(Clone)]
struct Chain {
    /// Where it is, seen from x.
    u: Vec<f64>,
    radius: f64,
    log_p: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::flow::{Flow, FlowConfig};
    use burn::backend::Flex;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// No step: z = x.
    fn of_a_standard_normal(x: &[f64], config: ShellsConfig) -> Shells {
        let flow = FlowConfig { shape: [x.len(), 1, 1], transform: Vec::new() };
        let flow = Flow::<Flex>::new(&flow, 0, &Default::default()).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        shells(&flow, x, config, |x| x, &mut rng, &Default::default())
    }

    #[test]
    fn masses_are_those_of_a_plane_normal() {
        let config = ShellsConfig { radius: 4.0, levels: 4, chains: 2000, steps: 20 };
        // Around the centre, P(|z| < r) = 1 - exp(-r²/2).
        let got = of_a_standard_normal(&[0.0, 0.0], config);
        let mass = |r: f64| (1.0 - (-r * r / 2.0).exp()).ln();
        let expected = mass(got.radius) - mass(4.0);
        // Four levels, each with a relative error of 1/√2000.
        assert!((got.log_share - expected).abs() < 0.2, "{got:?}, not {expected}");
        // Off it, by the midpoint rule. A chain that stays where it began would find the shares of a flat density.
        let x = [2.5, 0.0];
        let got = of_a_standard_normal(&x, config);
        let mass = |r: f64| {
            let n = 400;
            let mut sum = 0.0;
            for i in 0..n {
                let rho = (i as f64 + 0.5) / n as f64 * r;
                for j in 0..n {
                    let angle = (j as f64 + 0.5) / n as f64 * std::f64::consts::TAU;
                    let (a, b) = (x[0] + rho * angle.cos(), rho * angle.sin());
                    sum += rho * r * (-(a * a + b * b) / 2.0).exp();
                }
            }
            sum.ln()
        };
        let expected = mass(got.radius) - mass(4.0);
        assert!((got.log_share - expected).abs() < 0.2, "{got:?}, not {expected}");
        let flat = 2.0 * (got.radius / 4.0).ln();
        assert!((got.log_share - flat).abs() > 0.3, "{got:?}");
    }

    #[test]
    fn a_flat_density_grows_in_all_dimensions() {
        let config = ShellsConfig { radius: 1e-3, levels: 6, chains: 200, steps: 10 };
        let got = of_a_standard_normal(&[0.3; 36], config);
        // The relative error of a level's share is 1/√200, of log(r/R) over six levels 0.04.
        assert!((got.dimension - 36.0).abs() < 5.0, "{got:?}");
    }

    #[test]
    fn a_density_that_is_nan_anywhere_is_not_hidden() {
        let flow = FlowConfig { shape: [2, 1, 1], transform: Vec::new() };
        let flow = Flow::<Flex>::new(&flow, 0, &Default::default()).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let config = ShellsConfig { radius: 1.0, levels: 2, chains: 100, steps: 5 };
        // Beyond 0.5, the log-density of NaN.
        let half = |x: f64| if x > 0.5 { f64::NAN } else { x };
        let got = shells(&flow, &[0.0, 0.0], config, half, &mut rng, &Default::default());
        assert!(got.dimension.is_nan(), "{got:?}");
    }
}
