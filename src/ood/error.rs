//! What can go wrong in an experiment.

use super::{ComplexityError, Failure, GateError, RowError, method::FitError};
use crate::{
    data::DataError,
    eval::EvalError,
    jacobian::JacobianError,
    lid::{ScaleError, model_free::ModelFreeError},
    report::ScoreError,
    run::RunError,
};
use atypical_models::Undefined;
use thiserror::Error;

/// An experiment that cannot be finished.
#[derive(Debug, Error)]
pub enum OodError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Scores.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A gate.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The score file.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A second derivative.
    #[error("the Hessian of log p(x) cannot be had: {0}")]
    Hessian(#[from] atypical_forward::ForwardError),
    /// A method or an estimator that reads what the model has not.
    #[error("{what} cannot judge by this run: {why}")]
    Undefined {
        /// The method or the estimator.
        what: String,
        /// What the model lacks, and why.
        why: Undefined,
    },
    /// Products with the Jacobian of a model that is no flow.
    #[error(
        "matrix-free LID needs a flow, and the model is {family}; ask for its spectrum instead, lid.estimator=threshold"
    )]
    NotAFlow {
        /// The model's family.
        family: &'static str,
    },
    /// The scale of LID.
    #[error("the scale of LID cannot be chosen: {0}")]
    Scale(#[from] ScaleError),
    /// An image without a LID.
    #[error("{0}")]
    Image(#[from] Failure),
    /// A dimension that no LID takes.
    #[error(
        "the scale cannot be calibrated to dimension {target}: LID lies below {dimension}, the dimension of the model's latents; choose a dimension below, e.g. \
         lid.scale.dimension={half} (`lid --dimension {half}`), or a scale, lid.scale={{kind: fixed, r: -1}} (`lid --scale -1`)",
        half = dimension / 2
    )]
    Dimension {
        /// The dimension asked for.
        target: f64,
        /// Dimension of the latents.
        dimension: usize,
    },
    /// A journal that does not hold what was written to it.
    #[error(
        "the journal {path} does not hold what was written to it; remove it and give the command again"
    )]
    Journal {
        /// The file.
        path: std::path::PathBuf,
    },
    /// Vectors that a logit is not defined on.
    #[error(
        "`{set}` has values outside of [0, 1], in column {dimension} (from 0), and the flow begins with a logit, which is defined there alone: its density of them is none. Were they scaled as those \
         that it was trained on?"
    )]
    OutsideLogit {
        /// The set.
        set: String,
        /// The first column with such values.
        dimension: usize,
    },
    /// Fewer images than a batch has.
    #[error(
        "batch_typicality judges {batch} images together, and {set} has {found}; set `batch` to fewer"
    )]
    Batch {
        /// The set.
        set: String,
        /// Images of a batch.
        batch: usize,
        /// Images of the set.
        found: usize,
    },
    /// An ensemble that cannot be one.
    #[error(
        "the estimator lidl needs an ensemble of runs trained on noised data (--ensemble A,B,… with `data.noise` set): {0}"
    )]
    Ensemble(String),
    /// A scale to be chosen, but nothing to choose it on.
    #[error(
        "choosing the scale needs training images; give them with --calibration SPEC, or a number as the scale"
    )]
    NoCalibration,
    /// The model-free dimension.
    #[error(
        "the dimension to calibrate the scale to cannot be estimated by LPCA: {0} (or give the dimension: --dimension, or lid.scale.dimension)"
    )]
    ModelFree(#[from] ModelFreeError),
    /// The dimension around every image.
    #[error("{estimator}: {problem}")]
    Local {
        /// The estimator.
        estimator: &'static str,
        /// What is wrong.
        problem: ModelFreeError,
    },
    /// A Jacobian.
    #[error("{0}")]
    Jacobian(#[from] JacobianError),
    /// A method that cannot be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// An image that a codec refuses.
    #[error(transparent)]
    Complexity(#[from] ComplexityError),
    /// Complexity of what has no pixels.
    #[error(
        "`{set}` holds vectors, and lossless codecs measure pictures: leave out the methods that read complexity"
    )]
    NoPictures {
        /// The set.
        set: String,
    },
    /// A likelihood ratio without a second model.
    #[error("the likelihood ratio needs a background model; name its run as `background`")]
    NoBackground,
    /// A density over a set of another dimension.
    #[error(
        "{key} `{run}` has a log-density over {theirs} dimensions, the model one over {ours}: nats of one are none of the other"
    )]
    OtherDimension {
        /// Key of the configuration.
        key: &'static str,
        /// The run.
        run: String,
        /// Its dimensions.
        theirs: usize,
        /// Those of the model.
        ours: usize,
    },
    /// A model of other images.
    #[error(
        "{key} `{run}` was trained on {images}, the model on {own}; models are compared on what both have learned"
    )]
    OtherData {
        /// Key of the configuration.
        key: &'static str,
        /// The run.
        run: String,
        /// What it was trained on.
        images: String,
        /// What the model was trained on.
        own: String,
    },
    /// A background model like any other.
    #[error(
        "background `{0}` was trained without `data.mutation` and knows as much as the model itself; train one with --set data.mutation=0.1"
    )]
    NotMutated(String),
    /// Numbers that say nothing.
    #[error(
        "the {what} of {bad} of the {of} images of {set} is NaN or infinite; the model is numerically broken there (check \
         the training's last losses, or train with a smaller learning rate; a two-step model may have more latents than its decoder has directions: lower model.first.latent)"
    )]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// The set.
        set: String,
        /// How many.
        bad: usize,
        /// Of how many.
        of: usize,
    },
    /// An error at one image.
    #[error("image {index} of {set}: {problem}")]
    At {
        /// The set.
        set: String,
        /// The image.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The report's template.
    #[error("the report cannot be rendered: {0}")]
    Report(#[from] minijinja::Error),
}

impl OodError {
    /// Say which image it is about.
    pub(super) fn at(self, set: &str, index: usize) -> Self {
        Self::At { set: set.to_owned(), index, problem: self.to_string() }
    }
}
