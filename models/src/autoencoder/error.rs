//! What can be wrong with the description of an autoencoder.

use crate::network::NetworkError;
use thiserror::Error;

/// An autoencoder that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum AutoencoderError {
    /// A key with a value that cannot be.
    #[error("{key} {wrong}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        wrong: String,
    },
    /// A network that cannot be built.
    #[error("network cannot be built: {0}")]
    Network(#[from] NetworkError),
}

impl From<(&'static str, String)> for AutoencoderError {
    fn from((key, wrong): (&'static str, String)) -> Self {
        Self::Key { key, wrong }
    }
}
