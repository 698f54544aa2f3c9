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

impl<B: FlowBackend> SameConv<B> {
    /// The transposed map, without bias: cotangents of the output to cotangents of the input.
    fn pull_back(&self, cotangent: Tensor<B, 4>) -> Tensor<B, 4> {
        let weight = self.weight.val().swap_dims(0, 1).flip([2, 3]);
        let bias = Tensor::zeros([weight.dims()[0]], &weight.device());
        same_conv(cotangent, weight, bias)
    }
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
        let mut conv =
            |channels, kernel, bound| SameConv::new(channels, kernel, bound, init, device);
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

/// A residual network's activation pattern at one input. The network is piecewise linear: the pattern is its derivative.
#[derive(Clone, Debug)]
pub struct Pattern<B: Backend> {
    /// For each block, where its two activations pass: 0 or 1, `[1, hidden, height, width]`.
    blocks: Vec<[Tensor<B, 4>; 2]>,
}

impl<B: FlowBackend> ConvResidualNet<B> {
    /// The output at one input, and the activation pattern there, without dropout.
    ///
    /// # Shapes
    /// - x: `[1, in, height, width]`
    pub fn linearize(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Pattern<B>) {
        let passes = |x: &Tensor<B, 4>| x.clone().greater_elem(0.0).float();
        let mut h = self.initial.forward(x);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let inner = block.first.forward(relu(h.clone()));
            blocks.push([passes(&h), passes(&inner)]);
            h = h + block.second.forward(relu(inner));
        }
        (self.output.forward(h), Pattern { blocks })
    }

    /// Vector-Jacobian products at the input of a [`Pattern`]: cotangents of the last hidden map to cotangents of the input,
    /// any number at a time. The reverse sweep that automatic differentiation would do, but the forward pass, which is the
    /// same for all of them, is done once.
    ///
    /// # Shapes
    /// - cotangents: `[count, hidden, height, width]`
    /// - output: `[count, in, height, width]`
    pub fn pull_back(&self, pattern: &Pattern<B>, cotangents: Tensor<B, 4>) -> Tensor<B, 4> {
        let count = cotangents.dims()[0];
        let mut g = cotangents;
        for (block, [outer, inner]) in self.blocks.iter().zip(&pattern.blocks).rev() {
            let t = block.second.pull_back(g.clone()) * inner.clone().repeat_dim(0, count);
            let t = block.first.pull_back(t) * outer.clone().repeat_dim(0, count);
            g = g + t;
        }
        self.initial.pull_back(g)
    }
}
