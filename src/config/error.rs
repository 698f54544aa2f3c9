//! What can be wrong with a configuration.

use super::tree::Origin;
use std::path::PathBuf;
use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Text that is no YAML.
    #[error("{origin}: this is no YAML: {problem}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        problem: String,
    },
    /// A key that nothing reads.
    #[error("{origin}: unknown key `{path}`{guess}; known here: {known}")]
    Unknown {
        /// Where it was set.
        origin: Origin,
        /// The key.
        path: String,
        /// "; did you mean …?" or nothing.
        guess: String,
        /// The keys that are known there.
        known: String,
    },
    /// A value of the wrong type, or a missing one.
    #[error("{origin}: `{path}` {problem}")]
    Type {
        /// Where it was set.
        origin: Origin,
        /// The key.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A value outside its range.
    #[error("{origin}: `{path}` {problem}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The key.
        path: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An override that cannot be applied.
    #[error("{argument}: {problem}")]
    Set {
        /// `--set …`, or the name of the environment variable.
        argument: String,
        /// What is wrong.
        problem: String,
    },
    /// A configuration that cannot be written down.
    #[error("the configuration cannot be written: {0}")]
    Write(String),
    /// A `.env` that cannot be read.
    #[error("cannot read .env: {0}")]
    DotEnv(String),
}
