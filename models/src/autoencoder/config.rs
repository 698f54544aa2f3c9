//! The descriptions of autoencoders. Unknown keys are refused by the configuration layer above, which knows the file and the line.

use crate::network::{Activation, NetworkConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A deterministic autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AutoencoderConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Dimension of the latent, at most that of the data.
    pub latent: usize,
    /// The encoder; the decoder is its mirror image.
    pub network: NetworkConfig,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self { shape: [1, 28, 28], latent: 20, network: network() }
    }
}

impl AutoencoderConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// The first key that cannot be as it is, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_networks(self.shape, self.latent, &self.network)
    }
}

/// A variational autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VaeConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Dimension of the latent, at most that of the data.
    pub latent: usize,
    /// The encoder; the decoder is its mirror image.
    pub network: NetworkConfig,
    /// The distribution of an input, given its latent.
    pub likelihood: LikelihoodConfig,
    /// Weight of the divergence from the prior in training; scores are those of 1, whatever is said here.
    pub beta: f64,
    /// Draws behind the importance-weighted bound that scores are; 1 for the evidence lower bound.
    pub importance_samples: usize,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            latent: 20,
            network: network(),
            likelihood: LikelihoodConfig::Gaussian { sigma: None },
            beta: 1.0,
            importance_samples: 64,
        }
    }
}

impl VaeConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// The first key that cannot be as it is, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_networks(self.shape, self.latent, &self.network)?;
        if let LikelihoodConfig::Gaussian { sigma: Some(sigma) } = self.likelihood
            && !(sigma > 0.0 && sigma.is_finite())
        {
            return Err((
                "likelihood.sigma",
                format!("is {sigma}, but it must be positive and finite, or null to learn it"),
            ));
        }
        if !(self.beta > 0.0 && self.beta.is_finite()) {
            let wrong = format!("is {}, but it must be positive and finite", self.beta);
            return Err(("beta", wrong));
        }
        if self.importance_samples == 0 {
            return Err(("importance_samples", "is 0, but it must be at least 1".into()));
        }
        Ok(())
    }
}

/// The distribution of an input, given its latent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum LikelihoodConfig {
    /// Normal around what the decoder says, which may be any real number, also where the data are images.
    Gaussian {
        /// Standard deviation of every coordinate; null to learn one for all, from the deviation of the first batch on.
        #[serde(default)]
        sigma: Option<f64>,
    },
    /// For images: logistic around what the decoder says, counted in the 256 levels of a pixel; one scale a channel is learned.
    DiscretizedLogistic {},
}

fn network() -> NetworkConfig {
    NetworkConfig::Mlp { hidden: vec![256], activation: Activation::default() }
}

/// What every pair of encoder and decoder needs.
pub(super) fn check_networks(
    shape: [usize; 3],
    latent: usize,
    network: &NetworkConfig,
) -> Result<(), (&'static str, String)> {
    if shape.contains(&0) {
        return Err(("shape", format!("is {shape:?}, but every side must be at least 1")));
    }
    let Some(dimension) = shape.iter().try_fold(1, |d: usize, side| d.checked_mul(*side)) else {
        return Err(("shape", format!("is {shape:?}, but no input has so many numbers")));
    };
    if latent == 0 {
        return Err(("latent", "is 0, but it must be at least 1".into()));
    }
    if latent > dimension {
        let wrong =
            format!("is {latent}, but it must be at most the data's dimension, {dimension}");
        return Err(("latent", wrong));
    }
    network.check(shape).map_err(|error| ("network", format!("cannot be built: {error}")))
}
