//! Initial weights and fixed noise, drawn on the host so that every backend has the same numbers.

use burn::{
    module::Param,
    tensor::{Tensor, TensorData, backend::Backend},
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// A stream of initial weights.
pub struct Init(ChaCha8Rng);

impl Init {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A parameter uniform on `[-bound, bound]`.
    pub fn uniform<B: Backend, const D: usize>(
        &mut self,
        dims: [usize; D],
        bound: f32,
        device: &B::Device,
    ) -> Param<Tensor<B, D>> {
        let values: Vec<f32> =
            (0..dims.iter().product()).map(|_| self.0.random_range(-bound..=bound)).collect();
        Param::from_data(TensorData::new(values, dims), device)
    }

    /// Standard normal numbers, by Box and Muller.
    pub fn normal<B: Backend, const D: usize>(
        &mut self,
        dims: [usize; D],
        device: &B::Device,
    ) -> Tensor<B, D> {
        let mut draw = || {
            let radius = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
            (radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos()) as f32
        };
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| draw()).collect();
        Tensor::from_data(TensorData::new(values, dims), device)
    }

    /// A random permutation of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..n as i64).collect();
        order.shuffle(&mut self.0);
        order
    }
}
