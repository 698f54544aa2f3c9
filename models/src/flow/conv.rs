//! Convolutions that keep the map's size, and the residual network made of them.

use crate::init::Init;
use crate::ops::{FlowBackend, conv_product, rectified_conv, same_conv, tiled};
use burn::{
    module::{Module, Param},
    nn::{Dropout, DropoutConfig},
    tensor::{Tensor, backend::Backend},
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
    /// [`forward`](Self::forward) of what is positive of x, plus `skip`, if there is one.
    fn forward_rectified(&self, x: Tensor<B, 4>, skip: Option<Tensor<B, 4>>) -> Tensor<B, 4> {
        rectified_conv(x, self.weight.val(), self.bias.val(), skip)
    }

    /// The linear part: tangents of the input to tangents of the output.
    fn push(&self, tangent: Tensor<B, 4>) -> Tensor<B, 4> {
        conv_product(tangent, self.weight.val(), false)
    }

    /// Its adjoint: cotangents of the output to cotangents of the input.
    fn pull(&self, cotangent: Tensor<B, 4>) -> Tensor<B, 4> {
        conv_product(cotangent, self.weight.val(), true)
    }
}

impl<B: FlowBackend> ResidualBlock<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = self.first.forward_rectified(x.clone(), None);
        // Dropout scales by no less than zero: it may as well come before the activation.
        self.second.forward_rectified(self.dropout.forward(h), Some(x))
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

/// A residual network's activation patterns at a batch of inputs. The network is piecewise linear: the pattern is its
/// derivative.
#[derive(Clone, Debug)]
pub struct Pattern<B: Backend> {
    /// For each block, where its two activations pass: 0 or 1, `[batch, hidden, height, width]`.
    blocks: Vec<[Tensor<B, 4>; 2]>,
}

impl<B: Backend> Pattern<B> {
    /// The patterns of some samples of the batch.
    pub fn select(&self, samples: &[usize]) -> Self {
        let pick = |pair: &[Tensor<B, 4>; 2]| [0, 1].map(|i| rows(&pair[i], samples));
        Self { blocks: self.blocks.iter().map(pick).collect() }
    }

    /// Numbers that it holds.
    pub fn numbers(&self) -> usize {
        self.blocks.iter().flatten().map(|passes| passes.shape().num_elements()).sum()
    }
}

/// Some entries of the first dimension.
pub fn rows<B: Backend, const D: usize>(x: &Tensor<B, D>, index: &[usize]) -> Tensor<B, D> {
    let index: Vec<i64> = index.iter().map(|&i| i as i64).collect();
    x.clone().select(0, Tensor::from_data(index.as_slice(), &x.device()))
}

impl<B: FlowBackend> ConvResidualNet<B> {
    /// The output at a batch of inputs, and the activation patterns there, without dropout.
    ///
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    pub fn linearize(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Pattern<B>) {
        let passes = |x: &Tensor<B, 4>| x.clone().greater_elem(0.0).float();
        let mut h = self.initial.forward(x);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let inner = block.first.forward_rectified(h.clone(), None);
            blocks.push([passes(&h), passes(&inner)]);
            h = block.second.forward_rectified(inner, Some(h));
        }
        (self.output.forward(h), Pattern { blocks })
    }

    /// Jacobian-vector products at the inputs of a [`Pattern`]: tangents of the input to tangents of the output. The forward
    /// pass, which is the same for all directions, was done once, in [`linearize`](Self::linearize).
    ///
    /// # Shapes
    /// - tangents: `[count · batch, in, height, width]`, direction k of sample i at `k · batch + i`
    /// - output: `[count · batch, out, height, width]`
    pub fn push(&self, pattern: &Pattern<B>, tangents: Tensor<B, 4>) -> Tensor<B, 4> {
        let mut t = self.initial.push(tangents);
        for (block, [outer, inner]) in self.blocks.iter().zip(&pattern.blocks) {
            let s = block.first.push(tiled(t.clone(), outer));
            t = t + block.second.push(tiled(s, inner));
        }
        self.output.push(t)
    }

    /// Vector-Jacobian products at the inputs of a [`Pattern`]: cotangents of the output to cotangents of the input.
    ///
    /// # Shapes
    /// - cotangents: `[count · batch, out, height, width]`, ordered as in [`push`](Self::push)
    /// - output: `[count · batch, in, height, width]`
    pub fn pull(&self, pattern: &Pattern<B>, cotangents: Tensor<B, 4>) -> Tensor<B, 4> {
        self.pull_hidden(pattern, self.output.pull(cotangents))
    }

    /// [`pull`](Self::pull) from the last hidden map, before the output layer.
    ///
    /// # Shapes
    /// - cotangents: `[count · batch, hidden, height, width]`
    pub fn pull_hidden(&self, pattern: &Pattern<B>, cotangents: Tensor<B, 4>) -> Tensor<B, 4> {
        let mut g = cotangents;
        for (block, [outer, inner]) in self.blocks.iter().zip(&pattern.blocks).rev() {
            let s = tiled(block.second.pull(g.clone()), inner);
            g = g + tiled(block.first.pull(s), outer);
        }
        self.initial.pull(g)
    }
}
