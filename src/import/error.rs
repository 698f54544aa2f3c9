//! What can be wrong with what is imported.

use crate::{config::ConfigError, run::RunError, sweep::space::SpaceError, train::TrainError};
use atypical_models::flow::FlowError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A configuration or a checkpoint of the reference that cannot be taken over.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Text that is neither YAML nor JSON.
    #[error("{path} is no YAML and no JSON: {problem}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        problem: String,
    },
    /// A key of the old configuration.
    #[error("{path}: `{key}` {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint.
    #[error("{path} {problem}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A run of that name is there already.
    #[error("the run {0} exists already; choose another name with --out")]
    Exists(PathBuf),
    /// A flow that cannot be built.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A configuration that does not hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A sweep whose axes make no space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A run that cannot be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Weights that cannot be written.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl ImportError {
    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }
}
