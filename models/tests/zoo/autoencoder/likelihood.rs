//! The discretised logistic: against `mpmath` with 200 digits, by `scripts/reference/vae_goldens.py`, and as a distribution.

use crate::golden::Golden;
use atypical_models::{
    FlowBackend,
    autoencoder::{DiscretizedLogistic, LEVELS, Likelihood, discretized_logistic, levels},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::Param,
    tensor::{Tensor, TensorData, backend::Backend},
};

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Element by element, relative to its own size and `floor`.
fn close(name: &str, got: &[f64], golden: &Golden, tolerance: f64, floor: impl Fn(usize) -> f64) {
    let positions = ["level", "location", "log_scale"].map(|key| golden.get(key).0);
    for (i, (got, expected)) in got.iter().zip(golden.get(name).0).enumerate() {
        let at = positions.each_ref().map(|key| key[i]);
        let error = (got - expected).abs() / (expected.abs() + floor(i));
        assert!(error < tolerance, "{name} at {at:?} is {got}, not {expected}: {error:.1e}");
    }
}

/// `tolerance` of the gradients; where reciprocals are estimates, also of the terms that cancel in them.
fn exact<B: FlowBackend>(tolerance: f64, estimates: bool) {
    let golden = Golden::open("discretized_logistic");
    let n = golden.get("level").0.len();
    let [level, location, log_scale] = ["level", "location", "log_scale"]
        .map(|key| golden.tensor::<Autodiff<B>, 1>(key, [n]).require_grad());
    let log_p = discretized_logistic(level, location.clone(), log_scale.clone());
    let gradients = log_p.clone().sum().backward();
    close("log_p", &values(log_p), &golden, 1e-6, |_| 1.0);
    let by = |x: Tensor<Autodiff<B>, 1>| values(x.grad(&gradients).unwrap());
    let at = ["level", "location", "log_scale"].map(|key| golden.get(key).0);
    let slope = |i: usize| (-at[2][i]).exp();
    let terms = |i: usize| ((at[0][i] / LEVELS - at[1][i]).abs() + 1.0 / LEVELS) * slope(i);
    close("by_location", &by(location), &golden, tolerance, slope);
    let floor = |i| if estimates { 1.0 + terms(i) } else { 1.0 };
    close("by_log_scale", &by(log_scale), &golden, tolerance, floor);
}

fn normalised<B: FlowBackend>() {
    let device = Default::default();
    let level: Vec<f32> = (0..256).map(|level| level as f32).collect();
    let level = Tensor::<B, 3>::from_data(TensorData::new(level, [256, 1, 1]), &device);
    let locations = [-3.0, 0.0, 0.2, 0.5, 0.7003, 0.998, 1.0, 7.0];
    let location = Tensor::<B, 1>::from_floats(locations, &device).reshape([1, 8, 1]);
    let log_scales = [-9.0, -6.0, -4.0, -2.0, 0.0, 4.0];
    let log_scale = Tensor::<B, 1>::from_floats(log_scales, &device).reshape([1, 1, 6]);
    let log_p = discretized_logistic(level, location, log_scale);
    assert_eq!(log_p.dims(), [256, 8, 6]);
    // Sums on the host, in f64.
    let mut sums = [0.0; 48];
    values(log_p).iter().enumerate().for_each(|(i, log_p)| sums[i % 48] += log_p.exp());
    for (i, sum) in sums.iter().enumerate() {
        let (location, log_scale) = (locations[i / 6], log_scales[i % 6]);
        // What f32 makes of the distance to the location, in units of the scale.
        let rounding = 1e-6 + 1e-7 * f64::exp(-log_scale);
        assert!((sum - 1.0).abs() < rounding, "{sum} at {location}, {log_scale}");
    }
}

#[test]
fn exact_on_flex() {
    exact::<Flex>(5e-6, false);
}

#[test]
fn exact_on_ndarray() {
    // burn's gradients of logarithms take reciprocals, for which NdArray has the processor's estimate of 12 bits.
    exact::<NdArray<f32>>(5e-4, true);
}

#[test]
fn the_levels_sum_to_one_on_flex() {
    normalised::<Flex>();
}

#[test]
fn the_levels_sum_to_one_on_ndarray() {
    normalised::<NdArray<f32>>();
}

#[test]
fn gradients_are_finite_at_extremes() {
    let device = Default::default();
    for level in [0.0, 17.0, 255.0] {
        for at in [-1e30, -1e3, 0.0, 17.0 / 256.0, 1e3, 1e30] {
            for log_scale in [-15.0, 0.0, 15.0, 80.0] {
                let [level, location, log_scale] = [level, at, log_scale]
                    .map(|v| Tensor::<Autodiff<Flex>, 1>::from_floats([v], &device).require_grad());
                let log_p = discretized_logistic(level, location.clone(), log_scale.clone());
                let gradients = log_p.clone().backward();
                let by = [location, log_scale].map(|x| values(x.grad(&gradients).unwrap())[0]);
                let log_p = values(log_p)[0];
                assert!(log_p.is_finite() && log_p <= 0.0, "{at}: {log_p}");
                assert!(by[0].is_finite() && by[1].is_finite(), "{at}: {by:?}");
            }
        }
    }
}

#[test]
fn every_pixel_is_its_level() {
    let device = Default::default();
    for u in [0.0, 0.3, 0.999] {
        let x: Vec<f32> = (0..256).map(|pixel| (pixel as f32 + u) / 256.0).collect();
        let x = Tensor::<Flex, 1>::from_data(TensorData::new(x, [256]), &device);
        let expected: Vec<f64> = (0..256).map(f64::from).collect();
        assert_eq!(values(levels(x)), expected);
    }
    let outside = Tensor::<Flex, 1>::from_floats([-3.0, -1e-9, 1.0, 1.5, 1e30], &device);
    assert_eq!(values(levels(outside)), [0.0, 0.0, 255.0, 255.0, 255.0]);
}

/// Draws have the probabilities of their levels, each channel with its scale, and are uniform within a level.
fn draws_follow_the_distribution<B: FlowBackend>() {
    const N: usize = 20_000;
    let device = Default::default();
    let log_scale = Tensor::<B, 1>::from_floats([-1.0, -4.0], &device);
    let logistic = DiscretizedLogistic { log_scale: Param::from_tensor(log_scale.clone()) };
    let likelihood = Likelihood::DiscretizedLogistic(logistic);
    let location = Tensor::<B, 2>::from_floats([[0.9, 0.9, 0.3, 0.3]], &device);
    let x = likelihood.sample(location.clone().expand([N, 4]));
    let within = values(x.clone());
    assert!(within.iter().all(|x| (0.0..=1.0).contains(x)));
    let mean = within.iter().map(|x| (x * LEVELS).fract()).sum::<f64>() / (4 * N) as f64;
    assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / (4 * N) as f64).sqrt(), "{mean}");

    let level = values(levels(x));
    for coordinate in 0..4 {
        let at = location.clone().narrow(1, coordinate, 1);
        let scale = log_scale.clone().narrow(0, coordinate / 2, 1).unsqueeze();
        for tested in [0.0, 70.0, 77.0, 128.0, 255.0] {
            let one = Tensor::<B, 2>::full([1, 1], tested, &device);
            let p = values(discretized_logistic(one, at.clone(), scale.clone()))[0].exp();
            let seen = level.iter().skip(coordinate).step_by(4).filter(|l| **l == tested).count();
            let deviation = (seen as f64 - N as f64 * p) / (N as f64 * p * (1.0 - p) + 1.0).sqrt();
            assert!(deviation.abs() < 5.0, "level {tested} of {coordinate}: {seen}, p = {p}");
        }
    }
    // One input's log-density is the sum over its coordinates, and that of the unit cube.
    let x = Tensor::<B, 2>::from_floats([[0.0, 0.5, 0.9999, 0.28]], &device);
    let scales = Tensor::<B, 2>::from_floats([[-1.0, -1.0, -4.0, -4.0]], &device);
    let each = values(discretized_logistic(levels(x.clone()), location.clone(), scales));
    let density = values(likelihood.log_prob(x, location))[0];
    assert!((density - each.iter().sum::<f64>() - 4.0 * LEVELS.ln()).abs() < 1e-5, "{density}");
}

#[test]
fn draws_follow_the_distribution_on_flex() {
    draws_follow_the_distribution::<Flex>();
}

#[test]
fn draws_follow_the_distribution_on_ndarray() {
    draws_follow_the_distribution::<NdArray<f32>>();
}
