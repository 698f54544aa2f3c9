//! What can be wrong with the description of a mixture.

use thiserror::Error;

/// A mixture that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum MixtureError {
    /// A value that it cannot have.
    #[error("{key} {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        what: String,
    },
}
