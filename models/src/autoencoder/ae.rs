//! The deterministic autoencoder.

use super::{AutoencoderConfig, AutoencoderError, squared_error::squared_error};
use crate::{
    FlowBackend, Init, LatentModel, Learn, Learned, Objective,
    network::{Decoder, Encoder},
};
use burn::{
    module::Module,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// Deterministic autoencoder: an encoder f and a decoder g that minimise the squared error `|x - g(f(x))|²` (Hinton & Salakhutdinov 2006,
/// Science 313:504). It has no density.
///
/// Should be created with [`Autoencoder::new`].
#[derive(Module, Debug)]
pub struct Autoencoder<B: Backend> {
    /// From data to latent.
    pub encoder: Encoder<B>,
    /// From latent to data, any real numbers.
    pub decoder: Decoder<B>,
    shape: [usize; 3],
    latent: usize,
}

impl<B: Backend> Autoencoder<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// An autoencoder with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        config: &AutoencoderConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoencoderError> {
        config.check()?;
        let AutoencoderConfig { shape, latent, ref network } = *config;
        let init = &mut Init::new(seed);
        Ok(Self {
            encoder: Encoder::new(network, shape, latent, init, device)?,
            decoder: Decoder::new(network, latent, shape, init, device)?,
            shape,
            latent,
        })
    }
}

impl<B: FlowBackend> LatentModel<B> for Autoencoder<B> {
    fn latent_dimension(&self) -> usize {
        self.latent
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.encoder.forward(x)
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decoder.forward(z)
    }
}

/// The squared error, summed over the coordinates.
impl<B: FlowBackend> Objective<B> for Autoencoder<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        squared_error(x.clone(), self.decode(self.encode(x)))
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for Autoencoder<B>
where
    B::InnerBackend: FlowBackend,
{
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        Learned::Loss(self.objective(x).mean())
    }
}
