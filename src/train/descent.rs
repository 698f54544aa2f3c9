//! A flow on its way down the gradient.

use super::{
    FusedAdamW, TrainError, Trainee,
    metric::BatchLoss,
    trainee::{clip_norm, largest_weight},
    weights,
};
use crate::config::Optimizer;
use atypical_models::{
    FlowBackend,
    flow::{Flow, Level},
};
use burn::{
    optim::{Optimizer as _, adaptor::OptimizerAdaptor},
    record::{BinBytesRecorder, FullPrecisionSettings, Recorder},
    tensor::{Tensor, backend::AutodiffBackend},
    train::TrainStep,
};
use std::path::Path;

type AdamW<B> = OptimizerAdaptor<FusedAdamW, Vec<Level<B>>, B>;

/// A flow with its optimizer: training, one step after the other.
///
/// It is the weights' only owner, so that every step changes them where they lie.
pub struct Descent<B: AutodiffBackend>
where
    B: FlowBackend,
    B::InnerBackend: FlowBackend,
{
    trainee: Trainee<B>,
    optimizer: AdamW<B>,
    largest_norm: f64,
}

/// What a step saw before it changed the weights.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The batch's loss.
    pub loss: BatchLoss,
    /// The gradient's joint L2 norm, before it was clipped.
    pub norm: f64,
}

impl<B> Descent<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    /// At the start; gradients are scaled to a norm of at most `clip_norm`, if there is one.
    pub fn new(flow: Flow<B>, optimizer: &Optimizer, clip_norm: Option<f64>) -> Self {
        Self {
            trainee: Trainee::new(flow),
            optimizer: FusedAdamW::of(optimizer).into(),
            largest_norm: clip_norm.unwrap_or(f64::INFINITY),
        }
    }

    /// The flow that learns.
    pub fn trainee(&self) -> &Trainee<B> {
        &self.trainee
    }

    /// One step at the learning rate `lr`. Nothing changes if the loss or the gradient's norm is not finite.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn step(&mut self, x: Tensor<B, 2>, lr: f64) -> Seen {
        let mut output = TrainStep::step(&self.trainee, x);
        let norm = clip_norm(&self.trainee, &mut output.grads, self.largest_norm);
        let seen = Seen { loss: output.item, norm };
        if seen.loss.nats.is_finite() && norm.is_finite() {
            let levels = std::mem::take(&mut self.trainee.flow.levels);
            self.trainee.flow.levels = self.optimizer.step(lr, levels, output.grads);
        }
        seen
    }

    /// Largest absolute value among the weights; NaN if one is NaN.
    pub fn largest_weight(&self) -> f64 {
        largest_weight(&self.trainee)
    }

    /// Weights as safetensors, and the optimizer's state.
    pub(super) fn to_bytes(&self) -> Result<[Vec<u8>; 2], TrainError> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let optimizer = recorder
            .record(self.optimizer.to_record(), ())
            .map_err(|error| TrainError::Optimizer(error.to_string()))?;
        Ok([weights::to_bytes(&self.trainee.flow)?, optimizer])
    }

    /// Go on from what [`to_bytes`](Self::to_bytes) gave; the paths name the two in messages.
    pub(super) fn restore(
        &mut self,
        [flow, optimizer]: [(Vec<u8>, &Path); 2],
        device: &B::Device,
    ) -> Result<(), TrainError> {
        weights::from_bytes(&mut self.trainee.flow, flow.0, flow.1)?;
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let record = recorder.load(optimizer.0, device).map_err(|error| TrainError::Weights {
            path: optimizer.1.to_path_buf(),
            problem: error.to_string(),
        })?;
        self.optimizer = self.optimizer.clone().load_record(record);
        Ok(())
    }
}
