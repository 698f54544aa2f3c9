//! The `model` section of a two-step model.

use super::{EarlyStopping, ModelConfig, Optimizer, Scheduler, TrainConfig, model::Checked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An autoencoder, and then a density on its latents. The settings of the training are the first step's; `second_training` says where the second's differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TwoStepConfig {
    /// The autoencoder, itself a `model`.
    pub first: Box<ModelConfig>,
    /// The density of its latents, itself a `model`, of vectors as long as the latents.
    pub second: Box<ModelConfig>,
    /// How the second step is trained, where otherwise than the first.
    #[serde(default)]
    pub second_training: SecondTraining,
}

/// Settings of the second step; what is null is as in the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct SecondTraining {
    /// Passes over the latents.
    pub epochs: Option<usize>,
    /// Latents in one step.
    pub batch_size: Option<usize>,
    /// The optimizer.
    pub optimizer: Option<Optimizer>,
    /// How the learning rate changes.
    pub scheduler: Option<Scheduler>,
    /// Largest L2 norm of all gradients together.
    pub clip_grad_norm: Option<f64>,
    /// When to stop early.
    pub early_stopping: Option<EarlyStopping>,
}

impl TwoStepConfig {
    /// Check both halves, and that they fit one another.
    pub(super) fn check(&self) -> Checked {
        let within = |half: &str, checked: Checked| {
            let place = |key: String| key.replacen("model", &format!("model.{half}"), 1);
            checked.map_err(|(key, problem)| (place(key), problem))
        };
        let Some(latent) = self.first.latent() else {
            let problem =
                "is no autoencoder; the first step is one of autoencoder, vae, avb, wae, bigan";
            return Err(("model.first.name".into(), problem.into()));
        };
        within("first", self.first.check())?;
        if !self.second.is_estimator() {
            if matches!(*self.second, ModelConfig::PixelCnn(_)) {
                let problem = "is pixel_cnn, a density of the grey levels of pixels, which latents have not; the second step is one of rq_nsf_vector, glow_vector, flow, energy, lstm_mixture, gaussian_mixture";
                return Err(("model.second.name".into(), problem.into()));
            }
            let problem = "is no density estimator; the second step is one of rq_nsf_vector, glow_vector, flow, energy, lstm_mixture, gaussian_mixture";
            return Err(("model.second.name".into(), problem.into()));
        }
        within("second", self.second.check())?;
        let shape = self.second.shape();
        if shape != [latent, 1, 1] {
            let key = match *self.second {
                ModelConfig::RqNsfVector { .. } | ModelConfig::GlowVector(_) => "dimension",
                _ => "shape",
            };
            let problem = format!(
                "makes the second step a density of inputs of shape {shape:?}, but the latents of the first are vectors of dimension {latent}, [{latent}, 1, 1]"
            );
            return Err((format!("model.second.{key}"), problem));
        }
        Ok(())
    }
}

impl TrainConfig {
    /// The training of the first step of a two-step model, as one of its own.
    pub(crate) fn first_step(&self, two_step: &TwoStepConfig) -> Self {
        Self { model: (*two_step.first).clone(), ..self.clone() }
    }

    /// That of the second, on latents, which have no grey levels.
    pub(crate) fn second_step(&self, two_step: &TwoStepConfig) -> Self {
        let own = two_step.second_training.clone();
        let mut config = self.clone();
        config.model = (*two_step.second).clone();
        // What it samples are latents.
        config.samples.quality = 0;
        (config.data.dequantize, config.data.noise, config.data.mutation) = (false, 0.0, 0.0);
        config.epochs = own.epochs.unwrap_or(config.epochs);
        config.batch_size = own.batch_size.unwrap_or(config.batch_size);
        config.optimizer = own.optimizer.unwrap_or(config.optimizer);
        config.scheduler = own.scheduler.unwrap_or(config.scheduler);
        config.clip_grad_norm = own.clip_grad_norm.or(config.clip_grad_norm);
        // An estimator makes nothing again.
        let patience = config.early_stopping.patience;
        let inherited = EarlyStopping { patience, ..EarlyStopping::default() };
        config.early_stopping = own.early_stopping.unwrap_or(inherited);
        config
    }
}
