//! An autoencoder with a density on its latents.

use super::{AnyAutoencoder, AnyEstimator};
use crate::{DensityModel, FlowBackend, LatentModel, two_step::volume};
use atypical_forward::on_forward;
use burn::{
    module::{Module, Param},
    tensor::{Tensor, TensorData, backend::Backend},
};

/// Inputs whose Jacobians are made together.
const CHUNK: usize = 64;

/// Two-step density estimation (Loaiza-Ganem et al. 2022, arXiv 2204.07172; the mathematics is in [`two_step`](crate::two_step)):
///
/// `log p(x) = log p(u) - Σ log s - ½ log det JᵀJ`, `z = encode(x)`, `u = (z - m) / s`, `J = ∂decode/∂z`
///
/// with the mean m and the standard deviation s of the training data's latents, in each coordinate. The density is one on the manifold that the decoder
/// spans, of the latent's dimension, at the point of it that x is encoded to: a distance of x from the manifold does not count.
#[derive(Module, Debug)]
pub struct TwoStep<B: Backend> {
    /// The autoencoder, which learns the manifold.
    pub first: AnyAutoencoder<B>,
    /// The density of the standardised latents.
    pub second: AnyEstimator<B>,
    /// m, `[d]`.
    pub mean: Param<Tensor<B, 1>>,
    /// s, `[d]`.
    pub deviation: Param<Tensor<B, 1>>,
}

impl<B: Backend> TwoStep<B> {
    /// Both parts, which belong together, and the mean and standard deviation of each latent coordinate.
    pub fn new(
        first: AnyAutoencoder<B>,
        second: AnyEstimator<B>,
        [mean, deviation]: [Vec<f32>; 2],
        device: &B::Device,
    ) -> Self {
        let parameter = |values: Vec<f32>| {
            let length = values.len();
            Param::from_data(TensorData::new(values, [length]), device)
        };
        Self { first, second, mean: parameter(mean), deviation: parameter(deviation) }
    }
}

impl<B: Backend> TwoStep<B> {
    /// `u = (z - m) / s`.
    ///
    /// # Shapes
    /// - z, output: `[batch, d]`
    pub fn standardised(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        let (mean, deviation) = (self.mean.val().detach(), self.deviation.val().detach());
        (z - mean.unsqueeze()) / deviation.unsqueeze()
    }
}

impl<B: FlowBackend> DensityModel<B> for TwoStep<B> {
    fn dimension(&self) -> usize {
        self.first.shape().iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let twin: AnyAutoencoder<_> = on_forward(self.first.clone());
        let z = self.first.encode(x);
        self.second.log_prob(self.standardised(z.clone()))
            - self.deviation.val().detach().log().sum()
            - volume(|z| twin.decode(z), z, CHUNK)
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let standardised = self.second.sample(n, device);
        self.decode(standardised * self.deviation.val().unsqueeze() + self.mean.val().unsqueeze())
    }
}

impl<B: FlowBackend> LatentModel<B> for TwoStep<B> {
    fn latent_dimension(&self) -> usize {
        self.first.latent_dimension()
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.first.encode(x)
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.first.decode(z)
    }
}
