//! An autoencoder of any kind.

use crate::{
    FlowBackend, LatentModel, Learn, Learned, Objective, Turn,
    autoencoder::{Autoencoder, Avb, BiGan, Vae, Wae},
};
use burn::{
    module::Module,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// A model that represents inputs by latents of fewer dimensions, from which it makes them again: what two_step_zoo calls a generalised autoencoder.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum AnyAutoencoder<B: Backend> {
    /// Deterministic.
    Plain(Autoencoder<B>),
    /// Variational.
    Vae(Vae<B>),
    /// By adversarial variational Bayes.
    Avb(Avb<B>),
    /// Wasserstein.
    Wae(Wae<B>),
    /// Bidirectional GAN.
    BiGan(BiGan<B>),
}

/// The same expression of whichever it is.
macro_rules! each {
    ($model:expr, $it:ident => $of:expr) => {
        match $model {
            AnyAutoencoder::Plain($it) => $of,
            AnyAutoencoder::Vae($it) => $of,
            AnyAutoencoder::Avb($it) => $of,
            AnyAutoencoder::Wae($it) => $of,
            AnyAutoencoder::BiGan($it) => $of,
        }
    };
}

impl<B: Backend> AnyAutoencoder<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        each!(self, it => it.shape())
    }
}

impl<B: FlowBackend> LatentModel<B> for AnyAutoencoder<B> {
    fn latent_dimension(&self) -> usize {
        each!(self, it => it.latent_dimension())
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        each!(self, it => it.encode(x))
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        each!(self, it => it.decode(z))
    }
}

impl<B: FlowBackend> Objective<B> for AnyAutoencoder<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        each!(self, it => it.objective(x))
    }
}

impl<B> Learn<B> for AnyAutoencoder<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn turns(&self) -> Vec<Turn> {
        each!(self, it => it.turns())
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        each!(self, it => it.learn(turn, x))
    }
}
