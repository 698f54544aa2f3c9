//! Energy-based models.
//!
//! An [`Energy`] is a network `E(x)` and the density `p(x) = exp(-E(x)) / Z` (Du & Mordatch 2019, arXiv 1903.08689). Nobody knows `Z`, and nobody
//! needs it to learn: the gradient of the log-likelihood is the mean gradient of the energy at samples less that at data, and
//! [`Langevin`] dynamics makes samples. So log-densities are right up to a constant: they rank inputs, but their nats cannot be compared
//! between models, and there are no bits per dimension.

mod config;
mod error;
mod langevin;
mod model;
mod spectral_norm;

pub use config::EnergyConfig;
pub use error::EnergyError;
pub use langevin::{Domain, Langevin};
pub use model::{Energy, Gap};
pub use spectral_norm::{SingularPair, SpectralNorm};
