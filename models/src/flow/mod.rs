//! Normalizing flows on images and vectors.
//!
//! Every step is a [`Bijection`] on `[batch, channels, height, width]` tensors; a vector of dimension `D` is a `[D, 1, 1]`
//! image. A [`Flow`] chains the steps that a [`FlowConfig`] lists and puts a standard normal behind them:
//! `log p(x) = log N(z; 0, I) + log |det dz/dx|` with `z = f(x)`.

mod act_norm;
mod config;
mod conv;
mod conv1x1;
mod coupling;
mod error;
#[allow(clippy::module_inception)]
mod flow;

mod layer;
mod logit;
mod scale;
mod squeeze;
mod whiten;

pub use crate::ops::CouplingMap;
pub use act_norm::ActNorm;
pub use config::{
    Conditioner, Elementwise, FlowConfig, ImagePreset, LogitForm, Mask, Step, VectorPreset,
};
pub use conv::{ConvResidualNet, Pattern, SameConv, rows};
pub use conv1x1::Conv1x1;
pub use coupling::Coupling;
pub use error::FlowError;
pub use flow::{Flow, Initialization, Level};

pub use layer::Layer;
pub use logit::Logit;
pub use scale::Scale;
pub use squeeze::Squeeze;
pub use whiten::Whiten;

use burn::tensor::{Tensor, backend::Backend};

/// An invertible map with a tractable log-determinant.
pub trait Bijection<B: Backend> {
    /// Data to latent: `z = f(x)` and `log |det dz/dx|` in nats.
    ///
    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - z: the same number of elements; log-determinant: `[batch]`
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>);

    /// Latent to data: `x = f⁻¹(z)` and `log |det dx/dz|` in nats.
    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>);
}

/// Sum over everything but the batch.
pub(crate) fn sum_per_sample<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, 1> {
    let batch = x.dims()[0];
    x.reshape([batch as i32, -1]).sum_dim(1).reshape([batch])
}
