//! Convolutions that do not look ahead.

use crate::{
    init::Init,
    ops::{FlowBackend, rectified_conv, same_conv},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend, module::conv2d, ops::ConvOptions},
};

/// What a convolution sees from the pixel at `(i, j)`, with `r = (kernel - 1) / 2`. Together the two see all that is above, and all that is left in the
/// same row: there is no blind spot (van den Oord et al. 2016, arXiv 1606.05328).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Rows `i - r` to `i`, columns `j - r` to `j + r`: the down-shifted convolution of PixelCNN++.
    Vertical,
    /// Rows `i - r` to `i`, columns `j - r` to `j`: the down-right-shifted one.
    Horizontal,
}

/// Convolution that keeps the map's size and has only the taps that its [`Stream`] sees; zeros around the map.
#[derive(Module, Debug)]
pub struct CausalConv<B: Backend> {
    /// `[out, in, rows, columns]`; the last row is the pixel's own.
    pub weight: Param<Tensor<B, 4>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> CausalConv<B> {
    /// Weights uniform on `±1/sqrt(fan in)`, PyTorch's default; `kernel` is odd.
    pub fn new(
        [input, output]: [usize; 2],
        stream: Stream,
        kernel: usize,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let rows = kernel / 2 + 1;
        let columns = match stream {
            Stream::Vertical => kernel,
            Stream::Horizontal => rows,
        };
        let bound = 1.0 / ((input * rows * columns) as f32).sqrt();
        Self {
            weight: init.uniform([output, input, rows, columns], bound, device),
            bias: init.uniform([output], bound, device),
        }
    }

    /// The taps in a square kernel, zeros for what lies ahead: the masked kernel of PixelCNN, `[out, in, kernel, kernel]`.
    fn masked(&self) -> Tensor<B, 4> {
        let weight = self.weight.val();
        let device = weight.device();
        let [output, input, rows, columns] = weight.dims();
        let kernel = 2 * rows - 1;
        let weight = if columns == kernel {
            weight
        } else {
            let ahead = Tensor::zeros([output, input, rows, kernel - columns], &device);
            Tensor::cat(vec![weight, ahead], 3)
        };
        let below = Tensor::zeros([output, input, kernel - rows, kernel], &device);
        Tensor::cat(vec![weight, below], 2)
    }

    /// The last row of the map that belongs to the last rows of a map, for a vertical stream.
    ///
    /// # Shapes
    /// - rows: `[batch, in, rows, width]`
    /// - output: `[batch, out, 1, width]`
    pub(super) fn last_row(&self, rows: Tensor<B, 4>) -> Tensor<B, 4> {
        let options = ConvOptions::new([1, 1], [0, self.weight.dims()[3] / 2], [1, 1], 1);
        conv2d(rows, self.weight.val(), Some(self.bias.val()), options)
    }

    /// The weight as a matrix for the taps of one pixel, row by row, each with its channels: `[rows · columns · in, out]`.
    pub(super) fn matrix(&self) -> Tensor<B, 2> {
        let weight = self.weight.val();
        let [output, input, rows, columns] = weight.dims();
        weight.permute([2, 3, 1, 0]).reshape([rows * columns * input, output])
    }
}

impl<B: FlowBackend> CausalConv<B> {
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, out, height, width]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        same_conv(x, self.masked(), self.bias.val())
    }

    /// [`forward`](Self::forward) of what is positive of x, plus `beside`, if there is something.
    ///
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - beside, output: `[batch, out, height, width]`
    pub fn forward_rectified(&self, x: Tensor<B, 4>, beside: Option<Tensor<B, 4>>) -> Tensor<B, 4> {
        rectified_conv(x, self.masked(), self.bias.val(), beside)
    }
}

/// The map moved by one pixel along a dimension, zeros behind it, so that no pixel sees itself.
pub(super) fn shifted<B: Backend>(x: Tensor<B, 4>, dim: usize) -> Tensor<B, 4> {
    let mut border = x.dims();
    let side = border[dim];
    border[dim] = 1;
    let border = Tensor::zeros(border, &x.device());
    if side == 1 {
        return border;
    }
    Tensor::cat(vec![border, x.narrow(dim, 0, side - 1)], dim)
}
