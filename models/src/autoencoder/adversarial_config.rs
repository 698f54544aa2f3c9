//! The descriptions of the autoencoders that play against a critic or match distributions.

use super::config::check_networks;
use crate::network::{Activation, NetworkConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adversarial variational Bayes ([`Avb`](super::Avb)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AvbConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Dimension of the latent, at most that of the data.
    pub latent: usize,
    /// The encoder's network; the decoder is its mirror image.
    pub network: NetworkConfig,
    /// Dimension of the encoder's noise.
    pub noise_dimension: usize,
    /// Standard deviation of the encoder's noise.
    pub input_sigma: f64,
    /// Features of a convolutional encoder, which then meet the noise; a fully connected one takes the noise with its input.
    pub features: usize,
    /// Units of the critic's hidden layers.
    pub critic_hidden: Vec<usize>,
    /// Activation of the critic.
    pub critic_activation: Activation,
    /// The critic's learning rate over that of the rest.
    pub critic_rate: f64,
    /// Draws of the noise over which the log-density is averaged; they are the same for every input.
    pub samples: usize,
}

impl Default for AvbConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            latent: 20,
            network: mlp(),
            noise_dimension: 256,
            input_sigma: 3.0,
            features: 256,
            critic_hidden: hidden(),
            critic_activation: Activation::Relu,
            critic_rate: 1.0,
            samples: 16,
        }
    }
}

impl AvbConfig {
    /// Whether a model can be built of it.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_networks(self.shape, self.latent, &self.network)?;
        at_least_one("noise_dimension", self.noise_dimension)?;
        positive("input_sigma", self.input_sigma)?;
        at_least_one("features", self.features)?;
        layers("critic_hidden", &self.critic_hidden)?;
        positive("critic_rate", self.critic_rate)?;
        at_least_one("samples", self.samples)
    }
}

/// Wasserstein autoencoder ([`Wae`](super::Wae)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WaeConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Dimension of the latent, at most that of the data.
    pub latent: usize,
    /// The encoder's network; the decoder is its mirror image.
    pub network: NetworkConfig,
    /// What draws the latents' distribution to the prior.
    pub penalty: Penalty,
    /// Weight of the penalty beside the squared error of reconstruction.
    pub lambda: f64,
    /// Standard deviation of the prior.
    pub sigma: f64,
}

impl Default for WaeConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            latent: 20,
            network: NetworkConfig::Conv {
                channels: vec![64, 64, 32, 32],
                strides: Vec::new(),
                kernel: 3,
                activation: Activation::Relu,
            },
            penalty: Penalty::Adversarial {
                hidden: hidden(),
                activation: Activation::Relu,
                rate: half(),
            },
            lambda: 10.0,
            sigma: 1.0,
        }
    }
}

impl WaeConfig {
    /// Whether a model can be built of it.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_networks(self.shape, self.latent, &self.network)?;
        if let Penalty::Adversarial { hidden, rate, .. } = &self.penalty {
            layers("penalty.hidden", hidden)?;
            positive("penalty.rate", *rate)?;
        }
        not_negative("lambda", self.lambda)?;
        positive("sigma", self.sigma)
    }
}

/// What draws the distribution of a Wasserstein autoencoder's latents to the prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum Penalty {
    /// The maximum mean discrepancy between the two, with the inverse multiquadratic kernel.
    Mmd {},
    /// A critic that tells latents from draws of the prior.
    Adversarial {
        /// Units of its hidden layers.
        #[serde(default = "hidden")]
        hidden: Vec<usize>,
        /// Between its layers.
        #[serde(default)]
        activation: Activation,
        /// Its learning rate over that of the rest.
        #[serde(default = "half")]
        rate: f64,
    },
}

/// Bidirectional GAN ([`BiGan`](super::BiGan)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BiGanConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Dimension of the latent, at most that of the data.
    pub latent: usize,
    /// The encoder's network; the generator is its mirror image.
    pub network: NetworkConfig,
    /// Units of the critic's hidden layers.
    pub critic_hidden: Vec<usize>,
    /// Activation of the critic.
    pub critic_activation: Activation,
    /// Turns of the critic in each step, before the one of encoder and generator.
    pub critic_turns: usize,
    /// The critic's learning rate over that of the rest.
    pub critic_rate: f64,
    /// Weight of the penalty on the critic's gradient.
    pub lambda: f64,
    /// Weight of the squared error of reconstruction.
    pub reconstruction: f64,
}

impl Default for BiGanConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            latent: 20,
            network: mlp(),
            critic_hidden: hidden(),
            critic_activation: Activation::Relu,
            critic_turns: 2,
            critic_rate: 1.0,
            lambda: 10.0,
            reconstruction: 1.0,
        }
    }
}

impl BiGanConfig {
    /// Whether a model can be built of it.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_networks(self.shape, self.latent, &self.network)?;
        layers("critic_hidden", &self.critic_hidden)?;
        at_least_one("critic_turns", self.critic_turns)?;
        positive("critic_rate", self.critic_rate)?;
        not_negative("lambda", self.lambda)?;
        not_negative("reconstruction", self.reconstruction)
    }
}

fn mlp() -> NetworkConfig {
    NetworkConfig::Mlp { hidden: vec![256], activation: Activation::Relu }
}

fn hidden() -> Vec<usize> {
    vec![256, 256]
}

fn half() -> f64 {
    0.5
}

type Checked = Result<(), (&'static str, String)>;

fn layers(key: &'static str, hidden: &[usize]) -> Checked {
    match hidden.contains(&0) {
        true => Err((key, format!("is {hidden:?}, but every layer needs at least 1 unit"))),
        false => Ok(()),
    }
}

fn at_least_one(key: &'static str, value: usize) -> Checked {
    match value {
        0 => Err((key, "is 0, but it must be at least 1".to_owned())),
        _ => Ok(()),
    }
}

fn positive(key: &'static str, value: f64) -> Checked {
    match value > 0.0 && value.is_finite() {
        false => Err((key, format!("is {value}, but it must be finite and more than 0"))),
        true => Ok(()),
    }
}

fn not_negative(key: &'static str, value: f64) -> Checked {
    match value >= 0.0 && value.is_finite() {
        false => Err((key, format!("is {value}, but it must be finite and at least 0"))),
        true => Ok(()),
    }
}
