//! What can go wrong in a training.

use crate::{
    config::ConfigError, data::DataError, report::ScoreError, run::RunError, track::TrackError,
};
use atypical_models::ModelError;
use std::path::PathBuf;
use thiserror::Error;

/// A training that cannot start or go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What trackers do not take.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// The table of the measures.
    #[error(transparent)]
    Table(#[from] ScoreError),
    /// The model's description.
    #[error("the model cannot be built: {0}")]
    Model(#[from] ModelError),
    /// A model of another family where a flow is needed.
    #[error("{what} needs a flow, and the run `{run}` is {family}")]
    NotAFlow {
        /// The run.
        run: String,
        /// Its family.
        family: &'static str,
        /// What needs a flow.
        what: &'static str,
    },
    /// Less than one batch.
    #[error(
        "there are {images} training images, fewer than one batch of {batch_size}; lower batch_size or use more data"
    )]
    TooFewImages {
        /// Images.
        images: usize,
        /// Batch size.
        batch_size: usize,
    },
    /// Batches that do not come.
    #[error("the batches cannot be prepared: {0}")]
    Batches(String),
    /// Weights that do not belong to the model.
    #[error(
        "{path} does not fit this model: {problem}; use the configuration that it was trained with"
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// Weights that are not what was written.
    #[error(
        "{0} is damaged: its bytes do not have the checksum that it holds; copy it again from where it is whole, or train anew (`atypical doctor` examines what is there)"
    )]
    Damaged(PathBuf),
    /// A model without anything to learn.
    #[error(
        "the model has no parameters to learn; add a step that has some (act_norm, conv1x1, coupling) to model.transform"
    )]
    NoParameters,
    /// Vectors that a logit is not defined on.
    #[error(
        "`{set}` has values outside of [0, 1], in column {dimension} (from 0), and the flow begins with a logit, which is defined there alone; leave it out of \
         model.transform, or put {{kind: whiten}} in its place"
    )]
    OutsideLogit {
        /// The set.
        set: String,
        /// The first column with such values.
        dimension: usize,
    },
    /// A loss, gradient or weight that is not finite.
    #[error(
        "{what} became {value} at step {step} (epoch {epoch}) of the {training}; nothing of this step was kept. {kept}. Try a smaller learning rate (--set {keys}optimizer.lr=…) or gradient clipping (--set {keys}clip_grad_norm=1)"
    )]
    Diverged {
        /// What was trained.
        training: &'static str,
        /// What is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step, from 1.
        step: usize,
        /// The epoch, from 1.
        epoch: usize,
        /// What there is to go on from, in a sentence.
        kept: String,
        /// What the keys of its settings begin with.
        keys: &'static str,
    },
    /// A resume with another configuration.
    #[error(
        "the run was started with another configuration: {0}; resume without --config and --set, or start a new run with --run"
    )]
    OtherConfig(String),
    /// A first step whose latents say nothing.
    #[error(
        "the first step: {problem}. A density of such latents is one of noise, and the second step was not begun; train anew under another name with --run"
    )]
    FirstStep {
        /// What is wrong with it.
        problem: String,
    },
    /// A first step that is to go on after its end.
    #[error(
        "the first step is done, after {epochs} epochs, and the second has learned from its latents: its length cannot change any more (`model.second_training.epochs` can); start a new run with --run"
    )]
    FirstStepDone {
        /// Epochs of the first step.
        epochs: usize,
    },
    /// A two-step model that is asked for before it is whole.
    #[error(
        "the steps of `{run}` are not all trained yet; go on with: atypical train --resume --run {run}"
    )]
    StepsNotDone {
        /// The run.
        run: String,
    },
    /// The optimizer's state.
    #[error("the optimizer's state could not be kept: {0}")]
    Optimizer(String),
    /// The training ended before it was started.
    #[error("the training ended without a result: {0}")]
    NoResult(String),
}
