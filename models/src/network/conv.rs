//! Convolutional networks, with one fully connected layer on the vector's side.

use super::{Activation, Linear, NetworkConfig};
use crate::{
    init::Init,
    ops::{FlowBackend, same_conv},
};
use burn::{
    module::{Module, Param},
    tensor::{
        Tensor,
        backend::Backend,
        module::{conv_transpose2d, conv2d},
        ops::{ConvOptions, ConvTransposeOptions},
    },
};

/// A convolution whose output is `stride` times smaller than its input, zeros around it.
#[derive(Module, Debug)]
pub struct StridedConv<B: Backend> {
    /// `[out, in, kernel, kernel]`.
    pub weight: Param<Tensor<B, 4>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
    stride: usize,
}

impl<B: FlowBackend> StridedConv<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if self.stride == 1 {
            return same_conv(x, weight, bias);
        }
        let pad = weight.dims()[2] / 2;
        let options = ConvOptions::new([self.stride; 2], [pad; 2], [1; 2], 1);
        conv2d(x, weight, Some(bias), options)
    }
}

/// A transposed convolution whose output is `stride` times larger than its input.
#[derive(Module, Debug)]
pub struct StridedDeconv<B: Backend> {
    /// `[in, out, kernel, kernel]`.
    pub weight: Param<Tensor<B, 4>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
    stride: usize,
}

impl<B: FlowBackend> StridedDeconv<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if self.stride == 1 {
            // The transpose of a convolution that keeps the size is one again, with the kernel turned round.
            return same_conv(x, weight.swap_dims(0, 1).flip([2, 3]), bias);
        }
        let (stride, pad) = ([self.stride; 2], [weight.dims()[2] / 2; 2]);
        let options = ConvTransposeOptions::new(stride, pad, [self.stride - 1; 2], [1; 2], 1);
        conv_transpose2d(x, weight, Some(bias), options)
    }
}

/// Channels and strides of a configuration, which has been checked.
fn layers(config: &NetworkConfig) -> (&[usize], Vec<usize>, usize, Activation) {
    let NetworkConfig::Conv { channels, strides, kernel, activation } = config else {
        unreachable!("only of convolutions");
    };
    let strides = if strides.is_empty() { vec![1; channels.len()] } else { strides.clone() };
    (channels, strides, *kernel, *activation)
}

/// Convolutions, each with an activation behind it, then a fully connected layer.
#[derive(Module, Debug)]
pub struct ConvEncoder<B: Backend> {
    /// The convolutions in order.
    pub convs: Vec<StridedConv<B>>,
    /// From the last map to the output.
    pub output: Linear<B>,
    shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl<B: Backend> ConvEncoder<B> {
    /// As [`Encoder::new`](super::Encoder::new), of a checked configuration.
    pub(super) fn new(
        config: &NetworkConfig,
        shape: [usize; 3],
        outputs: usize,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let (channels, strides, kernel, activation) = layers(config);
        let [mut input, mut height, mut width] = shape;
        let mut convs = Vec::with_capacity(channels.len());
        for (&output, &stride) in channels.iter().zip(&strides) {
            let bound = 1.0 / ((input * kernel * kernel) as f32).sqrt();
            convs.push(StridedConv {
                weight: init.uniform([output, input, kernel, kernel], bound, device),
                bias: init.uniform([output], bound, device),
                stride,
            });
            (input, height, width) = (output, height / stride, width / stride);
        }
        let output = Linear::new([input * height * width, outputs], init, device);
        Self { convs, output, shape, activation }
    }
}

impl<B: FlowBackend> ConvEncoder<B> {
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch, outputs]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [c, h, w] = self.shape;
        let batch = x.dims()[0];
        let x = x.reshape([batch, c, h, w]);
        let x = self.convs.iter().fold(x, |x, conv| self.activation.apply(conv.forward(x)));
        self.output.forward(x.flatten(1, 3))
    }
}

/// A fully connected layer, then transposed convolutions, with an activation between each two.
#[derive(Module, Debug)]
pub struct ConvDecoder<B: Backend> {
    /// From the input to the smallest map.
    pub input: Linear<B>,
    /// The transposed convolutions in order.
    pub deconvs: Vec<StridedDeconv<B>>,
    smallest: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl<B: Backend> ConvDecoder<B> {
    /// As [`Decoder::new`](super::Decoder::new), of a checked configuration.
    pub(super) fn new(
        config: &NetworkConfig,
        inputs: usize,
        shape: [usize; 3],
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let (channels, strides, kernel, activation) = layers(config);
        let [image, height, width] = shape;
        let product: usize = strides.iter().product();
        let deepest = channels.last().copied().unwrap_or(image);
        let smallest = [deepest, height / product, width / product];
        let input = Linear::new([inputs, smallest.iter().product()], init, device);
        let mut deconvs = Vec::with_capacity(channels.len());
        for layer in (0..channels.len()).rev() {
            let from = channels[layer];
            let to = if layer == 0 { image } else { channels[layer - 1] };
            // PyTorch takes the second dimension of a transposed convolution's weight for its inputs.
            let bound = 1.0 / ((to * kernel * kernel) as f32).sqrt();
            deconvs.push(StridedDeconv {
                weight: init.uniform([from, to, kernel, kernel], bound, device),
                bias: init.uniform([to], bound, device),
                stride: strides[layer],
            });
        }
        Self { input, deconvs, smallest, activation }
    }
}

impl<B: FlowBackend> ConvDecoder<B> {
    /// # Shapes
    /// - z: `[batch, inputs]`
    /// - output: `[batch, D]`
    pub fn forward(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        let [c, h, w] = self.smallest;
        let batch = z.dims()[0];
        let x = self.input.forward(z).reshape([batch, c, h, w]);
        let x = self.deconvs.iter().fold(x, |x, deconv| deconv.forward(self.activation.apply(x)));
        x.flatten(1, 3)
    }
}
