//! Sampling from PixelCNN++ pixel by pixel, with all that earlier pixels computed kept (Ramachandran et al. 2017, arXiv 1704.06001): the vertical stream is
//! computed a row at a time, the horizontal one a pixel at a time, and neither ever computes anything twice.

use super::{CausalConv, LogisticMixture, PixelCnn, logistic::to_real, pixel_cnn::gate};
use crate::ops::{FlowBackend, same_conv};
use burn::tensor::{Distribution, Tensor, backend::Backend};
use std::collections::VecDeque;

/// A vertical convolution with the rows of its input that it still needs.
struct VerticalConv<'a, B: Backend> {
    conv: &'a CausalConv<B>,
    /// Each `[n, in, 1, width]`, the last one at the end.
    rows: VecDeque<Tensor<B, 4>>,
}

impl<'a, B: Backend> VerticalConv<'a, B> {
    fn new(conv: &'a CausalConv<B>, n: usize, width: usize, device: &B::Device) -> Self {
        let [_, input, rows, _] = conv.weight.dims();
        let outside = Tensor::zeros([n, input, 1, width], device);
        Self { conv, rows: vec![outside; rows].into() }
    }

    /// The output's next row, from the input's.
    fn next(&mut self, row: Tensor<B, 4>) -> Tensor<B, 4> {
        self.rows.pop_front();
        self.rows.push_back(row);
        self.conv.last_row(Tensor::cat(self.rows.iter().cloned().collect(), 2))
    }
}

/// A horizontal convolution with the pixels of its input that it still needs.
struct HorizontalConv<B: Backend> {
    /// `[taps · in, out]`.
    matrix: Tensor<B, 2>,
    /// `[1, out]`.
    bias: Tensor<B, 2>,
    /// `[n, in]` for each pixel of the last rows, with as many zeros before each row as a kernel may reach.
    rows: VecDeque<Vec<Tensor<B, 2>>>,
    outside: Tensor<B, 2>,
}

impl<B: Backend> HorizontalConv<B> {
    fn new(conv: &CausalConv<B>, n: usize, width: usize, device: &B::Device) -> Self {
        let [_, input, side, _] = conv.weight.dims();
        let outside = Tensor::zeros([n, input], device);
        let above = vec![outside.clone(); side - 1 + width];
        Self {
            matrix: conv.matrix(),
            bias: conv.bias.val().unsqueeze(),
            rows: vec![above; side].into(),
            outside,
        }
    }

    fn start_row(&mut self) {
        self.rows.pop_front();
        self.rows.push_back(vec![self.outside.clone(); self.rows.len()]);
    }

    /// The output's next pixel, from the input's.
    fn next(&mut self, pixel: Tensor<B, 2>) -> Tensor<B, 2> {
        let side = self.rows.len();
        let row = &mut self.rows[side - 1];
        row.push(pixel);
        let end = row.len();
        let taps = self.rows.iter().flat_map(|row| row[end - side..end].iter().cloned());
        Tensor::cat(taps.collect(), 1).matmul(self.matrix.clone()) + self.bias.clone()
    }
}

/// What is positive of x. burn's relu makes zeros of NaNs.
fn rectified<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone().mask_fill(x.lower_equal_elem(0.0), 0.0)
}

/// `[n, channels]` of the pixel in one column of a row `[n, channels, 1, width]`.
fn column<B: Backend>(row: &Tensor<B, 4>, j: usize) -> Tensor<B, 2> {
    let [n, channels, _, _] = row.dims();
    row.clone().narrow(3, j, 1).reshape([n, channels])
}

impl<B: FlowBackend> PixelCnn<B> {
    /// Draws, `[n, D]`.
    pub(super) fn generate(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let [channels, height, width] = self.shape;
        let vertical = |conv| VerticalConv::new(conv, n, width, device);
        let horizontal = |conv| HorizontalConv::new(conv, n, width, device);
        let mut vertical_input = vertical(&self.vertical);
        let mut horizontal_input = horizontal(&self.horizontal);
        let blocks = self.layers.iter();
        let mut vertical_blocks: Vec<_> = blocks
            .clone()
            .map(|layer| [&layer.vertical.first, &layer.vertical.second].map(vertical))
            .collect();
        let mut horizontal_blocks: Vec<_> = blocks
            .map(|layer| [&layer.horizontal.first, &layer.horizontal.second].map(horizontal))
            .collect();
        let output = self.output.weight.val().flatten::<2>(1, 3).transpose();
        let output_bias = self.output.bias.val().unsqueeze::<2>();

        let outside = Tensor::<B, 2>::zeros([n, channels + 1], device);
        let mut row_above = Tensor::zeros([n, channels + 1, 1, width], device);
        let mut drawn = Vec::with_capacity(height * width);
        for _ in 0..height {
            let mut u = vertical_input.next(row_above);
            let mut links = Vec::with_capacity(self.layers.len());
            for (layer, [first, second]) in self.layers.iter().zip(&mut vertical_blocks) {
                let h = first.next(rectified(u.clone()));
                u = u + gate(second.next(rectified(h)));
                let (weight, bias) = (layer.link.weight.val(), layer.link.bias.val());
                links.push(same_conv(rectified(u.clone()), weight, bias));
            }
            horizontal_input.start_row();
            horizontal_blocks.iter_mut().flatten().for_each(HorizontalConv::start_row);
            let mut left = outside.clone();
            let mut row = Vec::with_capacity(width);
            for j in 0..width {
                let mut x = horizontal_input.next(left);
                for (link, [first, second]) in links.iter().zip(&mut horizontal_blocks) {
                    let h = first.next(rectified(x.clone())) + column(link, j);
                    x = x + gate(second.next(rectified(h)));
                }
                let parameters = rectified(x).matmul(output.clone()) + output_bias.clone();
                let mixture =
                    LogisticMixture::new(parameters.unsqueeze_dim(2), channels, self.min_log_scale);
                let levels = mixture.draw();
                let inside = Tensor::ones([n, 1], device);
                left = Tensor::cat(vec![to_real(levels.clone()), inside], 1);
                row.push(left.clone());
                drawn.push(levels);
            }
            row_above = Tensor::stack::<3>(row, 2).unsqueeze_dim(2);
        }
        let levels = Tensor::stack::<3>(drawn, 2).reshape([n, channels * height * width]);
        // The largest sum that f32 does not round up to the next level is 255 + 1 - 2^-16.
        let top = 1.0 - 2f64.powi(-16);
        let u = Tensor::random(levels.dims(), Distribution::Uniform(0.0, top), device);
        (levels + u) / 256.0
    }
}
