//! What `train` reads.

use super::{ModelConfig, Section, TrackConfig};
use crate::{
    data::{Corruption, Spec},
    eval::generation::FEWEST,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the run under MODEL_DIR; the file's name where left out, `--run` wins.
    #[serde(default)]
    pub run: Option<String>,
    /// Seed of weights, data order, dequantisation noise and dropout.
    #[serde(default)]
    pub seed: u64,
    /// The data.
    pub data: DataConfig,
    /// The model.
    pub model: ModelConfig,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    #[serde(default)]
    pub scheduler: Scheduler,
    /// Passes over the training data.
    #[serde(default = "epochs")]
    pub epochs: usize,
    /// Images in one step; the last, smaller batch of an epoch is left out.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Largest L2 norm of all gradients together; null for no clipping.
    #[serde(default = "clip")]
    pub clip_grad_norm: Option<f64>,
    /// When to stop early.
    #[serde(default)]
    pub early_stopping: EarlyStopping,
    /// Sample grids.
    #[serde(default)]
    pub samples: SamplesConfig,
    /// Stop after this many steps in all; null for no limit.
    #[serde(default)]
    pub max_steps: Option<usize>,
    /// Write a checkpoint every so many steps, besides the one at the end of each epoch.
    #[serde(default = "checkpoint_steps")]
    pub checkpoint_steps: usize,
    /// Where the run is shown besides its folder.
    #[serde(default)]
    pub track: TrackConfig,
}

/// The data of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DataConfig {
    /// SPEC of the training images.
    pub train: String,
    /// SPEC of the validation images; left out: a share of the training images.
    #[serde(default)]
    pub valid: Option<String>,
    /// That share, in (0, 1).
    #[serde(default = "valid_fraction")]
    pub valid_fraction: f64,
    /// Add uniform noise below one grey level, so that the density is one of continuous data.
    #[serde(default = "yes")]
    pub dequantize: bool,
    /// Standard deviation δ of Gaussian noise that is added to every image, in units of x in [0, 1]: for the ensemble of the LID
    /// estimator `lidl`.
    #[serde(default)]
    pub noise: f64,
    /// Chance of each pixel value to be replaced by a random one: for the background model of the OOD method likelihood_ratio.
    #[serde(default)]
    pub mutation: f64,
    /// Use the first so many training images; null for all.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// The optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019).
    AdamW {
        /// Learning rate.
        #[serde(default = "lr")]
        lr: f64,
        /// Weight decay.
        #[serde(default = "weight_decay")]
        weight_decay: f64,
        /// Decay of the first moment.
        #[serde(default = "beta_1")]
        beta_1: f64,
        /// Decay of the second moment.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::AdamW {
            lr: lr(),
            weight_decay: weight_decay(),
            beta_1: beta_1(),
            beta_2: beta_2(),
            epsilon: epsilon(),
        }
    }
}

impl Optimizer {
    /// Learning rate at the start.
    pub fn lr(&self) -> f64 {
        let Optimizer::AdamW { lr, .. } = self;
        *lr
    }
}

/// How the learning rate changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum Scheduler {
    /// Not at all.
    Constant {},
    /// Cosine from the first step down to 0 at the last.
    Cosine {},
    /// Times `gamma` after every epoch.
    Exponential {
        /// The factor, in (0, 1].
        #[serde(default = "gamma")]
        gamma: f64,
    },
    /// Linear warm-up over the first tenth of the steps, then cosine down to 0 at the last.
    OneCycle {},
}

impl Scheduler {
    /// Whether it is laid out for the length of a training, which then cannot change.
    pub fn fixes_the_length(&self) -> bool {
        matches!(self, Scheduler::OneCycle {} | Scheduler::Cosine {})
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Scheduler::Exponential { gamma: gamma() }
    }
}

/// When to stop early.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Stop after so many epochs that were no better; null for never.
    pub patience: Option<usize>,
    /// What tells the better of two epochs, whose weights are kept too.
    pub measure: Measure,
}

/// A measure on validation images by which epochs are compared; the lower, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The loss. Of a model whose objective ranks nothing, as that of players against each other, the last epoch is the best.
    #[default]
    Loss,
    /// The squared error, summed over an image, with which it is made again from its latent: of autoencoders.
    Reconstruction,
}

/// Sample grids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct SamplesConfig {
    /// Draw a grid every so many epochs; 0 for never.
    pub every: usize,
    /// Samples in a grid.
    pub count: usize,
    /// Samples that are compared with as many validation images whenever a grid is drawn: kernel distance, precision, recall, density, coverage; 0 for none.
    pub quality: usize,
}

impl Default for SamplesConfig {
    fn default() -> Self {
        Self { every: 1, count: 64, quality: 0 }
    }
}

fn epochs() -> usize {
    400
}
fn batch_size() -> usize {
    128
}
#[allow(clippy::unnecessary_wraps)]
fn clip() -> Option<f64> {
    Some(1.0)
}
fn checkpoint_steps() -> usize {
    200
}
fn valid_fraction() -> f64 {
    0.1
}
fn yes() -> bool {
    true
}
fn lr() -> f64 {
    1e-3
}
fn weight_decay() -> f64 {
    0.01
}
fn beta_1() -> f64 {
    0.9
}
fn beta_2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn gamma() -> f64 {
    0.99
}

/// Refuse a value, naming its key.
pub(super) fn check(
    path: &str,
    value: impl std::fmt::Display,
    ok: bool,
    allowed: &str,
) -> Result<(), (String, String)> {
    if ok {
        Ok(())
    } else {
        Err((path.to_owned(), format!("is {value}, but it must be {allowed}")))
    }
}

/// Refuse a SPEC that does not parse.
pub(super) fn check_spec(path: &str, spec: &str) -> Result<(), (String, String)> {
    match spec.parse::<Spec>() {
        Ok(_) => Ok(()),
        Err(error) => Err((path.to_owned(), format!("is no data: {error}"))),
    }
}

impl DataConfig {
    /// What images are trained on instead of themselves.
    pub fn corruption(&self) -> Corruption {
        Corruption { noise: self.noise, mutation: self.mutation }
    }
}

impl Section for TrainConfig {
    const DEFAULT_TAGS: &'static [(&'static str, &'static str)] =
        &[("optimizer.kind", "adam_w"), ("scheduler.kind", "exponential")];

    fn validate(&self) -> Result<(), (String, String)> {
        check_spec("data.train", &self.data.train)?;
        if let Some(valid) = &self.data.valid {
            check_spec("data.valid", valid)?;
        }
        let fraction = self.data.valid_fraction;
        check("data.valid_fraction", fraction, fraction > 0.0 && fraction < 1.0, "in (0, 1)")?;
        check("data.limit", 0, self.data.limit != Some(0), "at least 1, or null")?;
        self.model.check()?;
        let noise = self.data.noise;
        check("data.noise", noise, (0.0..=1.0).contains(&noise), "in [0, 1]")?;
        if noise > 0.0 {
            let with = "0 where `data.dequantize` is false";
            check("data.noise", noise, self.data.dequantize, with)?;
            self.model.check_noise(noise)?;
        }
        let mutation = self.data.mutation;
        check("data.mutation", mutation, (0.0..1.0).contains(&mutation), "in [0, 1)")?;
        let [_, height, width] = self.model.shape();
        let pixels = mutation == 0.0 || height * width > 1;
        check("data.mutation", mutation, pixels, "0 for a model of vectors, which have no pixels")?;
        let seeded = mutation == 0.0 || self.data.dequantize;
        let allowed = "0 where `data.dequantize` is false; a background model is trained with data.dequantize=true";
        check("data.mutation", mutation, seeded, allowed)?;
        let Optimizer::AdamW { lr, weight_decay, beta_1, beta_2, epsilon } = self.optimizer;
        check("optimizer.lr", lr, lr > 0.0 && lr.is_finite(), "positive")?;
        check("optimizer.weight_decay", weight_decay, weight_decay >= 0.0, "at least 0")?;
        check("optimizer.beta_1", beta_1, (0.0..1.0).contains(&beta_1), "in [0, 1)")?;
        check("optimizer.beta_2", beta_2, (0.0..1.0).contains(&beta_2), "in [0, 1)")?;
        check("optimizer.epsilon", epsilon, epsilon > 0.0, "positive")?;
        if let Scheduler::Exponential { gamma } = self.scheduler {
            check("scheduler.gamma", gamma, gamma > 0.0 && gamma <= 1.0, "in (0, 1]")?;
        }
        check("epochs", self.epochs, self.epochs > 0, "at least 1")?;
        check("batch_size", self.batch_size, self.batch_size > 1, "at least 2")?;
        if let Some(clip) = self.clip_grad_norm {
            check("clip_grad_norm", clip, clip > 0.0, "positive, or null")?;
        }
        let patience = self.early_stopping.patience;
        check("early_stopping.patience", 0, patience != Some(0), "at least 1, or null")?;
        let measure = self.early_stopping.measure;
        if measure == Measure::Reconstruction && !self.model.reconstructs() {
            let problem = "is `reconstruction`, but the model makes nothing again from a latent; leave it out, or write `loss`";
            return Err(("early_stopping.measure".into(), problem.into()));
        }
        let count = self.samples.count;
        check("samples.count", count, (1..=4096).contains(&count), "from 1 to 4096")?;
        let quality = self.samples.quality;
        let enough = quality == 0 || (FEWEST..=10_000).contains(&quality);
        check("samples.quality", quality, enough, &format!("0, or from {FEWEST} to 10000"))?;
        check("max_steps", 0, self.max_steps != Some(0), "at least 1, or null")?;
        check("checkpoint_steps", 0, self.checkpoint_steps > 0, "at least 1")?;
        self.track.check()?;
        // Last: what both steps share is named as what it is.
        if let ModelConfig::TwoStep(two_step) = &self.model {
            let place = |(key, problem)| (format!("model.second_training.{key}"), problem);
            self.second_step(two_step).validate().map_err(place)?;
        }
        Ok(())
    }
}
