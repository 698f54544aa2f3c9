//! Whitening.

use super::{Bijection, sum_per_sample};
use burn::{
    module::{Module, Param, ParamId},
    tensor::{Tensor, TensorData, backend::Backend},
};

/// Standardises each element by the training data: `z = (x - m) / s`, `log |det| = -Σ log s`, with the mean m and the standard deviation s of
/// that element over the training data. Both are measured before the training, by [`Flow::whiten`](super::Flow::whiten), and not learned.
///
/// Other than [`ActNorm`](super::ActNorm) it has a scale for each element, not for each channel, knows all of the data, not a batch, and stays as it is.
#[derive(Module, Debug)]
pub struct Whiten<B: Backend> {
    /// m, `[channels, height, width]`.
    pub mean: Param<Tensor<B, 3>>,
    /// s, `[channels, height, width]`.
    pub deviation: Param<Tensor<B, 3>>,
}

impl<B: Backend> Whiten<B> {
    /// The identity on maps of this shape.
    pub fn new(shape: [usize; 3], device: &B::Device) -> Self {
        let fixed =
            |value: f64| Param::initialized(ParamId::new(), Tensor::full(shape, value, device));
        Self { mean: fixed(0.0), deviation: fixed(1.0) }
    }

    /// The same with these means and standard deviations, each of as many numbers as a map has elements.
    pub(super) fn set(&mut self, [mean, deviation]: [Vec<f32>; 2]) {
        let shape = self.mean.dims();
        let device = self.mean.device();
        let fixed = |values: Vec<f32>| {
            Param::initialized(
                ParamId::new(),
                Tensor::from_data(TensorData::new(values, shape), &device),
            )
        };
        (self.mean, self.deviation) = (fixed(mean), fixed(deviation));
    }

    /// m and s, `[1, channels, height, width]` each. Constants, whatever the record that they are from says.
    fn standards(&self) -> [Tensor<B, 4>; 2] {
        [&self.mean, &self.deviation].map(|param| param.val().detach().unsqueeze())
    }

    /// `Σ log s`, for each of the batch.
    fn log_volume(&self, batch: usize) -> Tensor<B, 1> {
        let [_, deviation] = self.standards();
        sum_per_sample(deviation.log()).expand([batch])
    }

    /// `dx/dz`, `[batch, channels, height, width]`.
    pub fn inverse_slope(&self, batch: usize) -> Tensor<B, 4> {
        let [_, deviation] = self.standards();
        let [_, c, h, w] = deviation.dims();
        deviation.expand([batch, c, h, w])
    }
}

impl<B: Backend> Bijection<B> for Whiten<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let ([mean, deviation], batch) = (self.standards(), x.dims()[0]);
        ((x - mean) / deviation, -self.log_volume(batch))
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let ([mean, deviation], batch) = (self.standards(), z.dims()[0]);
        (z * deviation + mean, self.log_volume(batch))
    }
}
