//! Networks between data and vectors: what autoencoders and energies are made of.

mod conv;
mod mlp;

pub use conv::{ConvDecoder, ConvEncoder};
pub use mlp::{Linear, Mlp};

use crate::{init::Init, ops::FlowBackend};
use burn::{
    module::Module,
    tensor::{Tensor, activation, backend::Backend},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The shape of an encoder; a decoder is its mirror image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum NetworkConfig {
    /// Fully connected layers.
    Mlp {
        /// Units of the hidden layers.
        hidden: Vec<usize>,
        /// Between the layers.
        #[serde(default)]
        activation: Activation,
    },
    /// Convolutions that keep or divide the map's side, then one fully connected layer.
    Conv {
        /// Channels after each convolution.
        channels: Vec<usize>,
        /// Stride of each convolution; left out, 1. Sides must be multiples of their product.
        #[serde(default)]
        strides: Vec<usize>,
        /// Side of the kernels, odd.
        #[serde(default = "kernel")]
        kernel: usize,
        /// Between the layers.
        #[serde(default)]
        activation: Activation,
    },
}

fn kernel() -> usize {
    3
}

/// Activation between the layers of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x sigmoid(x)`, smooth: for energies, and wherever second derivatives matter.
    Silu,
    /// `tanh x`.
    Tanh,
}

impl Activation {
    /// Applied to each element.
    pub fn apply<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            // burn's relu makes zeros of NaNs, which would hide them.
            Activation::Relu => x.clone().mask_fill(x.lower_equal_elem(0.0), 0.0),
            Activation::Silu => activation::silu(x),
            Activation::Tanh => x.tanh(),
        }
    }
}

/// A network that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum NetworkError {
    /// A layer without units.
    #[error("layer {0} of the network has no units; every layer needs at least 1")]
    EmptyLayer(usize),
    /// Strides that are not one a convolution.
    #[error(
        "strides has {strides} numbers and channels {channels}; give a stride for each convolution, or none for 1 throughout"
    )]
    Strides {
        /// Strides given.
        strides: usize,
        /// Convolutions.
        channels: usize,
    },
    /// A kernel without a centre.
    #[error("kernel is {0}, but it must be odd")]
    EvenKernel(usize),
    /// Strides that do not divide the map.
    #[error(
        "strides with the product {product} need sides that are multiples of it, but the map is {height}x{width}"
    )]
    Sides {
        /// Product of the strides.
        product: usize,
        /// Height of the map.
        height: usize,
        /// Width of the map.
        width: usize,
    },
    /// More weights than any machine at hand holds.
    #[error("the network has {0:.1e} parameters, more than 1e9; lower its layers or the vector")]
    TooLarge(f64),
}

/// Most parameters of one network, some ten times the largest in the literature: 4 GiB of weights, 16 in training.
const MAX_PARAMETERS: f64 = 1e9;

impl NetworkConfig {
    /// Whether it can be built for maps of this shape, `[channels, height, width]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, [_, height, width]: [usize; 3]) -> Result<(), NetworkError> {
        let layers = match self {
            NetworkConfig::Mlp { hidden, .. } => hidden,
            NetworkConfig::Conv { channels, strides, kernel, .. } => {
                if !strides.is_empty() && strides.len() != channels.len() {
                    let [strides, channels] = [strides.len(), channels.len()];
                    return Err(NetworkError::Strides { strides, channels });
                }
                if kernel % 2 == 0 {
                    return Err(NetworkError::EvenKernel(*kernel));
                }
                // A product too large to be counted divides no side either.
                let product = strides.iter().fold(1, |p: usize, s| p.saturating_mul(*s));
                if product == 0 || height % product != 0 || width % product != 0 {
                    return Err(NetworkError::Sides { product, height, width });
                }
                channels
            }
        };
        match layers.iter().position(|units| *units == 0) {
            Some(layer) => Err(NetworkError::EmptyLayer(layer)),
            None => Ok(()),
        }
    }

    /// [`check`](Self::check), and whether the network between the shape and a vector of this length has a size that can be.
    fn check_size(&self, shape: [usize; 3], vector: usize) -> Result<(), NetworkError> {
        self.check(shape)?;
        let [mut from, mut positions] = [shape[0], shape[1] * shape[2]].map(|n| n as f64);
        let mut parameters = 0.0;
        match self {
            NetworkConfig::Mlp { hidden, .. } => {
                (from, positions) = (from * positions, 1.0);
                for &units in hidden {
                    parameters += from * units as f64;
                    from = units as f64;
                }
            }
            NetworkConfig::Conv { channels, strides, kernel, .. } => {
                for &units in channels {
                    parameters += from * units as f64 * (*kernel as f64).powi(2);
                    from = units as f64;
                }
                positions /= strides.iter().map(|s| *s as f64).product::<f64>().powi(2);
            }
        }
        parameters += from * positions * vector as f64;
        if parameters > MAX_PARAMETERS {
            return Err(NetworkError::TooLarge(parameters));
        }
        Ok(())
    }
}

/// A network from maps to vectors.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Encoder<B: Backend> {
    /// Fully connected.
    Mlp(Mlp<B>),
    /// Convolutional.
    Conv(ConvEncoder<B>),
}

impl<B: Backend> Encoder<B> {
    /// A network from `shape`, `[channels, height, width]`, to `outputs` numbers.
    ///
    /// # Errors
    /// A configuration that does not fit the shape, or too many weights.
    pub fn new(
        config: &NetworkConfig,
        shape: [usize; 3],
        outputs: usize,
        init: &mut Init,
        device: &B::Device,
    ) -> Result<Self, NetworkError> {
        config.check_size(shape, outputs)?;
        Ok(match config {
            NetworkConfig::Mlp { hidden, activation } => {
                let sizes = [&[shape.iter().product()], &hidden[..], &[outputs]].concat();
                Self::Mlp(Mlp::new(&sizes, *activation, init, device))
            }
            NetworkConfig::Conv { .. } => {
                Self::Conv(ConvEncoder::new(config, shape, outputs, init, device))
            }
        })
    }
}

impl<B: FlowBackend> Encoder<B> {
    /// # Shapes
    /// - x: `[batch, D]`, flattened maps
    /// - output: `[batch, outputs]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Mlp(net) => net.forward(x),
            Self::Conv(net) => net.forward(x),
        }
    }
}

/// A network from vectors to maps, the mirror image of an [`Encoder`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Decoder<B: Backend> {
    /// Fully connected.
    Mlp(Mlp<B>),
    /// Convolutional, with transposed convolutions.
    Conv(ConvDecoder<B>),
}

impl<B: Backend> Decoder<B> {
    /// A network from `inputs` numbers to `shape`, `[channels, height, width]`.
    ///
    /// # Errors
    /// A configuration that does not fit the shape, or too many weights.
    pub fn new(
        config: &NetworkConfig,
        inputs: usize,
        shape: [usize; 3],
        init: &mut Init,
        device: &B::Device,
    ) -> Result<Self, NetworkError> {
        config.check_size(shape, inputs)?;
        Ok(match config {
            NetworkConfig::Mlp { hidden, activation } => {
                let mirrored: Vec<usize> = hidden.iter().rev().copied().collect();
                let sizes = [&[inputs], &mirrored[..], &[shape.iter().product()]].concat();
                Self::Mlp(Mlp::new(&sizes, *activation, init, device))
            }
            NetworkConfig::Conv { .. } => {
                Self::Conv(ConvDecoder::new(config, inputs, shape, init, device))
            }
        })
    }
}

impl<B: FlowBackend> Decoder<B> {
    /// # Shapes
    /// - z: `[batch, inputs]`
    /// - output: `[batch, D]`, flattened maps
    pub fn forward(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Mlp(net) => net.forward(z),
            Self::Conv(net) => net.forward(z),
        }
    }
}
