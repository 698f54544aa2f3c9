//! One step of a flow, built.

use super::{ActNorm, Bijection, Conv1x1, Coupling, Logit, Scale, Squeeze, Whiten};
use crate::ops::FlowBackend;
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
    /// Fixed affine map.
    Scale(Scale),
    /// Standardisation by the training data.
    Whiten(Whiten<B>),
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
    /// Whether it has weights that are learned.
    pub fn learns(&self) -> bool {
        matches!(self, Layer::ActNorm(_) | Layer::Conv1x1(_) | Layer::Coupling(_))
    }

    /// The same step with dropout off.
    pub fn without_dropout(self) -> Self {
        match self {
            Layer::Coupling(coupling) => Layer::Coupling(coupling.without_dropout()),
            other => other,
        }
    }
}

impl<B: FlowBackend> Layer<B> {
    /// The matrix over channels of the inverse of a step that is affine at every position alike; none for the other steps.
    ///
    /// # Shapes
    /// - output: `[channels, channels]`
    pub fn inverse_matrix(&self) -> Option<Tensor<B, 2>> {
        match self {
            Layer::ActNorm(step) => {
                let scale = (-step.log_scale.val()).exp();
                let [c] = scale.dims();
                Some(Tensor::eye(c, &scale.device()) * scale.unsqueeze_dim(1))
            }
            Layer::Conv1x1(step) => Some(step.inverse_matrix()),
            Layer::Squeeze(_)
            | Layer::Logit(_)
            | Layer::Scale(_)
            | Layer::Whiten(_)
            | Layer::Coupling(_) => None,
        }
    }
}

impl<B: FlowBackend> Bijection<B> for Layer<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        match self {
            Layer::Logit(step) => step.forward(x),
            Layer::Scale(step) => step.forward(x),
            Layer::Whiten(step) => step.forward(x),
            Layer::Squeeze(step) => step.forward(x),
            Layer::ActNorm(step) => step.forward(x),
            Layer::Conv1x1(step) => step.forward(x),
            Layer::Coupling(step) => step.forward(x),
        }
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        match self {
            Layer::Logit(step) => step.inverse(z),
            Layer::Scale(step) => step.inverse(z),
            Layer::Whiten(step) => step.inverse(z),
            Layer::Squeeze(step) => step.inverse(z),
            Layer::ActNorm(step) => step.inverse(z),
            Layer::Conv1x1(step) => step.inverse(z),
            Layer::Coupling(step) => step.inverse(z),
        }
    }
}
