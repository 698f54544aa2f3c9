//! One step of a flow, built.

use super::{ActNorm, Bijection, Conv1x1, Coupling, Logit, Squeeze};
use crate::ops::{FlowBackend, same_conv};
use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};

/// A step of a flow with its weights. A [split](super::Step::Split) has none and is no bijection of one tensor: it is kept
/// by the [`Flow`](super::Flow) between its levels.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Layer<B: Backend> {
    /// Elementwise logit.
    Logit(Logit),
    /// Space to depth.
    Squeeze(Squeeze),
    /// Per-channel affine map.
    ActNorm(ActNorm<B>),
    /// Invertible 1x1 convolution.
    Conv1x1(Conv1x1<B>),
    /// Coupling.
    Coupling(Coupling<B>),
}

impl<B: Backend> Layer<B> {
    /// The same step with dropout off.
    pub fn without_dropout(self) -> Self {
        match self {
            Layer::Coupling(coupling) => Layer::Coupling(coupling.without_dropout()),
            other => other,
        }
    }
}

impl<B: FlowBackend> Layer<B> {
    /// The linear part of an affine step's inverse, applied to tangents; none for the other steps.
    ///
    /// # Shapes
    /// - tangents: `[count, channels, height, width]` in the step's output
    pub fn inverse_linear(&self, tangents: &Tensor<B, 4>) -> Option<Tensor<B, 4>> {
        let mix = |matrix: Tensor<B, 2>| {
            let [c, _] = matrix.dims();
            let bias = Tensor::zeros([c], &matrix.device());
            same_conv(tangents.clone(), matrix.reshape([c, c, 1, 1]), bias)
        };
        match self {
            Layer::Squeeze(step) => Some(step.inverse(tangents.clone()).0),
            Layer::ActNorm(step) => {
                let scale = (-step.log_scale.val()).exp();
                let [c] = scale.dims();
                Some(mix(Tensor::eye(c, &scale.device()) * scale.unsqueeze_dim(1)))
            }
            Layer::Conv1x1(step) => Some(mix(step.inverse_matrix())),
            Layer::Logit(_) | Layer::Coupling(_) => None,
        }
    }
}

impl<B: FlowBackend> Bijection<B> for Layer<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        match self {
            Layer::Logit(step) => step.forward(x),
            Layer::Squeeze(step) => step.forward(x),
            Layer::ActNorm(step) => step.forward(x),
            Layer::Conv1x1(step) => step.forward(x),
            Layer::Coupling(step) => step.forward(x),
        }
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        match self {
            Layer::Logit(step) => step.inverse(z),
            Layer::Squeeze(step) => step.inverse(z),
            Layer::ActNorm(step) => step.inverse(z),
            Layer::Conv1x1(step) => step.inverse(z),
            Layer::Coupling(step) => step.inverse(z),
        }
    }
}
