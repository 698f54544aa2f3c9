//! Autoencoders: deterministic, variational and adversarial.

mod adversarial_config;
mod ae;
mod avb;
mod bigan;
mod config;
mod critic;
mod deviation;
mod error;
mod gradient_penalty;
mod implicit;
mod likelihood;
mod mmd;
mod squared_error;
mod vae;
mod wae;

pub use adversarial_config::{AvbConfig, BiGanConfig, Penalty, WaeConfig};
pub use ae::Autoencoder;
pub use avb::Avb;
pub use bigan::BiGan;
pub use config::{AutoencoderConfig, LikelihoodConfig, VaeConfig};
pub use critic::Critic;
pub use error::AutoencoderError;
pub use gradient_penalty::gradient_penalty;
pub use implicit::{ConvImplicit, ImplicitEncoder};
pub use likelihood::{
    DiscretizedLogistic, Gaussian, LEVELS, Likelihood, discretized_logistic, levels,
};
pub use mmd::mmd;
pub use vae::{Elbo, Posterior, Vae};
pub use wae::Wae;
