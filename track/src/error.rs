//! What can go wrong with a tracker.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// A tracker that cannot take what it is given.
#[derive(Debug, Error)]
pub enum TrackError {
    /// A run that no tracker can be told of.
    #[error("the run's {field} `{value}` cannot be tracked: {problem}")]
    Run {
        /// Which part of [`RunInfo`](crate::RunInfo).
        field: &'static str,
        /// What it is.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The address of a tracker or its credentials.
    #[error("{key}=`{value}` cannot be used: {problem}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it is; secrets are not shown.
        value: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// A file that a tracker writes.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file that was given to be tracked.
    #[error("cannot read {path}, which was to be tracked: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process has the spool.
    #[error("another process delivers {0}; wait for it, or stop it")]
    Locked(PathBuf),
    /// A server that cannot be reached, or does not answer in time.
    #[error("no answer from {url}: {source}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The cause.
        source: Box<ureq::Error>,
    },
    /// A server that refuses.
    #[error("{url} answers {status}: {message}")]
    Answer {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// An answer that is not of the protocol.
    #[error("{url} answers what is not of an MLflow server: {problem}; check the address")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// An event that no further attempt would get through.
    #[error("{what} cannot be tracked: {problem}")]
    Event {
        /// Which event.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl TrackError {
    /// For `map_err`: a file that cannot be written.
    pub(crate) fn write(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_path_buf(), source }
    }

    /// For `map_err`: a file that was to be tracked and cannot be read.
    pub(crate) fn read(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_path_buf(), source }
    }

    /// Whether it is the event that is at fault, so that another attempt comes to the same.
    ///
    /// A server that refuses credentials or is overloaded may take the event later.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Read { .. } | Self::Event { .. } => true,
            Self::Answer { status, .. } => {
                (400..500).contains(status) && ![401, 403, 407, 408, 425, 429].contains(status)
            }
            _ => false,
        }
    }
}
