//! Encoders whose latents have no density that could be written down.

use super::AvbConfig;
use crate::{
    init::Init,
    network::{Activation, Encoder, Mlp, NetworkConfig, NetworkError},
    ops::FlowBackend,
};
use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};

/// `z = E(x, ε)`: a network whose second input is noise, so that z has any distribution given x (Mescheder et al. 2017, arXiv 1701.04722).
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum ImplicitEncoder<B: Backend> {
    /// Fully connected; the noise is part of the input.
    Mlp(Mlp<B>),
    /// Convolutional; the noise is joined to the features.
    Conv(ConvImplicit<B>),
}

/// Convolutions of x, whose features and the noise go through fully connected layers.
///
/// The noise meets a hidden layer. Joined to the last layer alone, it would make of `z` given x a constant matrix times the noise, about a
/// centre: Gaussian latents of one covariance for all x.
#[derive(Module, Debug)]
pub struct ConvImplicit<B: Backend> {
    /// From x to the features.
    pub convs: Encoder<B>,
    /// From features and noise to z.
    pub mixer: Mlp<B>,
    #[module(skip)]
    activation: Activation,
}

impl<B: Backend> ImplicitEncoder<B> {
    /// Of a checked configuration.
    pub(super) fn new(
        config: &AvbConfig,
        init: &mut Init,
        device: &B::Device,
    ) -> Result<Self, NetworkError> {
        let AvbConfig { shape, features, noise_dimension: noise, latent, .. } = config;
        Ok(match &config.network {
            NetworkConfig::Mlp { hidden, activation } => {
                let inputs = shape.iter().product::<usize>() + noise;
                let sizes = [&[inputs], &hidden[..], &[*latent]].concat();
                Self::Mlp(Mlp::new(&sizes, *activation, init, device))
            }
            NetworkConfig::Conv { activation, .. } => {
                let convs = Encoder::new(&config.network, *shape, *features, init, device)?;
                let sizes = [features + noise, *features, *latent];
                let mixer = Mlp::new(&sizes, *activation, init, device);
                Self::Conv(ConvImplicit { convs, mixer, activation: *activation })
            }
        })
    }
}

impl<B: FlowBackend> ImplicitEncoder<B> {
    /// # Shapes
    /// - x: `[batch, D]`
    /// - noise: `[batch, noise_dimension]`
    /// - output: `[batch, d]`
    pub fn forward(&self, x: Tensor<B, 2>, noise: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Mlp(net) => net.forward(Tensor::cat(vec![x, noise], 1)),
            Self::Conv(ConvImplicit { convs, mixer, activation }) => {
                let features = activation.apply(convs.forward(x));
                mixer.forward(Tensor::cat(vec![features, noise], 1))
            }
        }
    }
}
