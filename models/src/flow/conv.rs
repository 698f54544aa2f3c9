//! Convolutions that keep the map's size, and the residual network made of them.

use super::init::Init;
use crate::ops::{FlowBackend, same_conv};
use burn::{
    module::{Module, Param},
    nn::{Dropout, DropoutConfig},
    tensor::{Tensor, activation::relu, backend::Backend},
};

/// Convolution with stride 1 and zero padding that keeps height and width.
#[derive(Module, Debug)]
pub struct SameConv<B: Backend> {
    /// `[out, in, kernel, kernel]`, the kernel's side odd.
    pub weight: Param<Tensor<B, 4>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> SameConv<B> {
    /// Weights uniform on `±1/sqrt(fan in)`, PyTorch's default, or on `±bound` where one is given.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        bound: Option<f32>,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let [input, output] = channels;
        let bound = bound.unwrap_or(1.0 / ((input * kernel * kernel) as f32).sqrt());
        Self {
            weight: init.uniform([output, input, kernel, kernel], bound, device),
            bias: init.uniform([output], bound, device),
        }
    }
}

impl<B: FlowBackend> SameConv<B> {
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, out, height, width]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        same_conv(x, self.weight.val(), self.bias.val())
    }
}

/// Two activated convolutions beside a skip connection.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    /// First convolution.
    pub first: SameConv<B>,
    /// Second convolution, almost zero at the start, so that the block starts as the identity.
    pub second: SameConv<B>,
    dropout: Dropout,
}

impl<B: FlowBackend> ResidualBlock<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = self.first.forward(relu(x.clone()));
        x + self.second.forward(self.dropout.forward(relu(h)))
    }
}

/// Residual network of a coupling: 1x1 convolution, residual blocks, 1x1 convolution.
///
/// On `[batch, D, 1, 1]` tensors with kernel 1 it is the residual network on vectors.
#[derive(Module, Debug)]
pub struct ConvResidualNet<B: Backend> {
    /// From the input's channels to the hidden ones.
    pub initial: SameConv<B>,
    /// The residual blocks.
    pub blocks: Vec<ResidualBlock<B>>,
    /// From the hidden channels to the output's.
    pub output: SameConv<B>,
}

impl<B: Backend> ConvResidualNet<B> {
    /// A network from `channels[0]` to `channels[1]` channels.
    pub fn new(
        channels: [usize; 2],
        config: &super::Conditioner,
        kernel: usize,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let hidden = config.hidden;
        let mut conv = |channels, kernel, bound| SameConv::new(channels, kernel, bound, init, device);
        Self {
            initial: conv([channels[0], hidden], 1, None),
            blocks: (0..config.blocks)
                .map(|_| ResidualBlock {
                    first: conv([hidden, hidden], kernel, None),
                    second: conv([hidden, hidden], kernel, Some(1e-3)),
                    dropout: DropoutConfig::new(config.dropout).init(),
                })
                .collect(),
            output: conv([hidden, channels[1]], 1, None),
        }
    }

    /// Hidden channels.
    pub fn hidden(&self) -> usize {
        self.initial.bias.dims()[0]
    }

    /// The same network with dropout off, for Jacobians on an autodiff backend (where dropout is otherwise active).
    pub fn without_dropout(mut self) -> Self {
        for block in &mut self.blocks {
            block.dropout.prob = 0.0;
        }
        self
    }
}

impl<B: FlowBackend> ConvResidualNet<B> {
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, out, height, width]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = self.blocks.iter().fold(self.initial.forward(x), |h, block| block.forward(h));
        self.output.forward(h)
    }
}
