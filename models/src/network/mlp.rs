//! Fully connected networks.

use super::Activation;
use crate::init::Init;
use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
};

/// `y = W x + b`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Linear<B> {
    /// Weights uniform on `±1/sqrt(inputs)`, PyTorch's default.
    pub fn new([inputs, outputs]: [usize; 2], init: &mut Init, device: &B::Device) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self {
            weight: init.uniform([outputs, inputs], bound, device),
            bias: init.uniform([outputs], bound, device),
        }
    }

    /// # Shapes
    /// - x: `[batch, in]`
    /// - output: `[batch, out]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

/// Fully connected layers with an activation between each two.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// The layers in order.
    pub layers: Vec<Linear<B>>,
    #[module(skip)]
    activation: Activation,
}

impl<B: Backend> Mlp<B> {
    /// Layers between each two of the sizes, the input's first.
    pub fn new(
        sizes: &[usize],
        activation: Activation,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let layers = sizes.windows(2).map(|ends| Linear::new([ends[0], ends[1]], init, device));
        Self { layers: layers.collect(), activation }
    }

    /// # Shapes
    /// - x: `[batch, first size]`
    /// - output: `[batch, last size]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (l, layer)| {
            let y = layer.forward(x);
            if l < last { self.activation.apply(y) } else { y }
        })
    }
}
