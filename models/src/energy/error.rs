//! What can be wrong with the description of an energy-based model.

use crate::network::NetworkError;
use thiserror::Error;

/// An energy-based model that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum EnergyError {
    /// A value outside its range.
    #[error("{key} {problem}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The value, and the range allowed.
        problem: String,
    },
    /// A network that cannot be built for the shape.
    #[error("network: {0}")]
    Network(#[from] NetworkError),
}
