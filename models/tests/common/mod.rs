//! What the test suites share.

use atypical_models::flow::*;
use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Tensor, TensorData, backend::Backend},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Adds noise to every float parameter, so that no step is near the identity.
pub struct Perturb {
    rng: ChaCha8Rng,
    size: f32,
}

impl<B: Backend> ModuleMapper<B> for Perturb {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (rng, size) = (&mut self.rng, self.size);
        param.map(|tensor| {
            let noise: Vec<f32> =
                (0..tensor.shape().num_elements()).map(|_| rng.random_range(-size..size)).collect();
            let tracked = tensor.is_require_grad();
            let noise = Tensor::from_data(TensorData::new(noise, tensor.shape()), &tensor.device());
            (tensor + noise).detach().set_require_grad(tracked)
        })
    }
}

pub fn perturbed<B: Backend>(config: &FlowConfig, size: f32, device: &B::Device) -> Flow<B> {
    let flow = Flow::<B>::new(config, 7, device).expect("the registry's flows can be built");
    moved(flow, size)
}

/// With noise added to its weights.
pub fn moved<B: Backend>(flow: Flow<B>, size: f32) -> Flow<B> {
    flow.map(&mut Perturb { rng: ChaCha8Rng::seed_from_u64(1), size })
}

/// Values uniform on `range`.
pub fn uniform<B: Backend, const D: usize>(
    dims: [usize; D],
    range: std::ops::Range<f32>,
    seed: u64,
    device: &B::Device,
) -> Tensor<B, D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> =
        (0..dims.iter().product()).map(|_| rng.random_range(range.clone())).collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Largest `|a - b| / (1 + |b|)`.
pub fn deviation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}
