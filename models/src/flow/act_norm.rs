//! Activation normalisation.

use super::Bijection;
use crate::ops::{FlowBackend, channel_affine};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
};

/// Per-channel affine map `z = exp(log_scale) · x + shift` (Kingma & Dhariwal 2018, "Glow", arXiv 1807.03039).
///
/// [`initialize`](Self::initialize) sets it from one batch so that its output has zero mean and unit variance.
#[derive(Module, Debug)]
pub struct ActNorm<B: Backend> {
    /// Log of the scale, `[channels]`.
    pub log_scale: Param<Tensor<B, 1>>,
    /// Shift, `[channels]`.
    pub shift: Param<Tensor<B, 1>>,
}

impl<B: Backend> ActNorm<B> {
    /// The identity on `channels` channels.
    pub fn new(channels: usize, device: &B::Device) -> Self {
        Self {
            log_scale: Param::from_tensor(Tensor::zeros([channels], device)),
            shift: Param::from_tensor(Tensor::zeros([channels], device)),
        }
    }

    /// Data-dependent initialisation; returns how many channels are constant over the batch. A constant channel has no
    /// scale to learn from the batch: it keeps scale 1 and is only centred.
    pub fn initialize(&mut self, x: Tensor<B, 4>) -> usize {
        let [n, c, h, w] = x.dims();
        let samples = x.swap_dims(0, 1).reshape([c, n * h * w]);
        let (variance, mean) = samples.var_mean(1);
        let constant = variance.clone().lower_elem(1e-12);
        let count = constant.clone().int().sum().into_data().iter::<i64>().sum::<i64>() as usize;
        let log_scale = (variance.log() * -0.5).mask_fill(constant, 0.0).reshape([c]);
        let shift = -mean.reshape([c]) * log_scale.clone().exp();
        set(&mut self.log_scale, log_scale);
        set(&mut self.shift, shift);
        count
    }

    fn log_det(&self, batch: usize, positions: usize) -> Tensor<B, 1> {
        (self.log_scale.val().sum() * positions as f64).expand([batch])
    }
}

/// Give a parameter a new value without history, its identity and tracking unchanged.
fn set<B: Backend>(param: &mut Param<Tensor<B, 1>>, value: Tensor<B, 1>) {
    let tracked = param.val().is_require_grad();
    let id = param.id;
    *param = Param::initialized(id, value.detach().set_require_grad(tracked));
}

impl<B: FlowBackend> Bijection<B> for ActNorm<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, _, h, w] = x.dims();
        let z = channel_affine(x, self.log_scale.val().exp(), self.shift.val());
        (z, self.log_det(n, h * w))
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, _, h, w] = z.dims();
        let scale = (-self.log_scale.val()).exp();
        // The difference first: where z is near the shift, two products would cancel.
        let centred = channel_affine(z, scale.ones_like(), -self.shift.val());
        let x = channel_affine(centred, scale.clone(), scale.zeros_like());
        (x, -self.log_det(n, h * w))
    }
}
