//! Gaussian mixtures, by expectation maximisation in steps (Cappé & Moulines 2009, arXiv 0712.4273).

mod config;
mod em;
mod error;
#[allow(clippy::module_inception)]
mod mixture;
mod start;

pub use config::{Covariance, MixtureConfig};
pub use error::MixtureError;
pub use mixture::GaussianMixture;
pub use start::Start;
