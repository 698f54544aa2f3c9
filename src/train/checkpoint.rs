//! A training as the files of a checkpoint, and back.

use super::{Descent, TrainError};
use crate::run::{Checkpoint, RunDir, RunError};
use atypical_models::FlowBackend;
use burn::tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

/// Name of the model's file in a checkpoint.
pub const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.bin";
const STATE: &str = "state.json";

/// Where a training stands; kept in every checkpoint as `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Validation loss of the best epoch so far, in nats.
    pub best_loss: Option<f64>,
    /// Best validation error of reconstruction so far, where that tells the better of two epochs.
    #[serde(default)]
    pub best_reconstruction: Option<f64>,
    /// The best epoch, from 1.
    pub best_epoch: usize,
    /// Validation loss after the last whole epoch, in nats.
    pub valid_loss: Option<f64>,
    /// Sum of the training losses of the epoch at hand.
    pub epoch_loss: f64,
    /// Seconds of training, over all legs.
    pub seconds: f64,
}

/// The checkpoint of a training.
pub fn of<B>(descent: &Descent<B>, state: &State) -> Result<Checkpoint, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let [model, optimizer] = descent.to_bytes()?;
    let state = serde_json::to_vec_pretty(state).unwrap_or_default();
    let files = [(MODEL, model), (OPTIMIZER, optimizer), (STATE, state)];
    Ok(Checkpoint { files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into() })
}

/// Take up a run's newest whole checkpoint.
pub fn latest<B>(
    run: &RunDir,
    descent: &mut Descent<B>,
    device: &B::Device,
) -> Result<State, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let warn = |e: &RunError| eprintln!("warning: {e}; trying the one before");
    let (step, mut checkpoint) = run
        .checkpoints()
        .latest(warn)
        .ok_or_else(|| RunError::NoCheckpoint(run.root().to_path_buf()))?;
    let path = run.root().join(format!("checkpoints/step-{step:08}"));
    let mut file = |name: &str| {
        let lacks = || TrainError::NoResult(format!("{} lacks {name}", path.display()));
        checkpoint.files.remove(name).ok_or_else(lacks)
    };
    let [model, optimizer, state] = [file(MODEL)?, file(OPTIMIZER)?, file(STATE)?];
    let [model_path, optimizer_path] = [MODEL, OPTIMIZER].map(|name| path.join(name));
    descent.restore([(model, &model_path), (optimizer, &optimizer_path)], device)?;
    serde_json::from_slice(&state)
        .map_err(|e| TrainError::NoResult(format!("{}/{STATE}: {e}", path.display())))
}
