//! Sweeps: many trainings or experiments by one file, in a queue that any number of agents work off.
//!
//! The crate `atypical-sweep` makes trials out of a sweep's file ([`space`]) and keeps the queue ([`store`]). Here they become runs: [`Plan`] resolves each trial to a whole configuration,
//! [`Agent`] claims trials and runs them in processes of their own, [`Results`] ranks what they came to.

mod agent;
mod measure;
mod plan;
mod results;
mod slurm;
mod spec;
mod trial;

pub use agent::{Agent, Tally};
pub use atypical_sweep::{space, store};
pub use measure::Measure;
pub use plan::{Plan, Planned};
pub use results::{Ranked, Results};
pub use slurm::{Array, job, requeue};
pub use spec::Spec;
pub use trial::{OCCUPIED, STOPPED};

use crate::{config::ConfigError, run::RunError};
use std::path::PathBuf;
use thiserror::Error;

/// A sweep that cannot be planned or worked off.
#[derive(Debug, Error)]
pub enum SweepError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The sweep's file.
    #[error(transparent)]
    Space(#[from] space::SpaceError),
    /// A file of another kind.
    #[error(transparent)]
    Kind(ConfigError),
    /// The queue.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A file of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A trial whose configuration is none.
    #[error("{file}: the trial `{label}`: {problem}")]
    Config {
        /// The sweep's file.
        file: String,
        /// The trial.
        label: String,
        /// What is wrong with what it sets.
        problem: Box<ConfigError>,
    },
    /// Settings of the sweep that do not fit its trials.
    #[error("{file}: {problem}")]
    File {
        /// The sweep's file.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A trial of the queue that this program cannot read.
    #[error(
        "the trial {id} of the queue cannot be read: {problem}; was it made by another version?"
    )]
    Trial {
        /// The trial.
        id: String,
        /// Why.
        problem: String,
    },
    /// A run of a trial's name that is not its own.
    #[error(
        "the run {0} is there already, and is not this trial's: the sweep had other settings then, or it is of no sweep; remove it with `atypical runs rm`, or name runs otherwise by `run` in the sweep's file"
    )]
    Taken(PathBuf),
    /// The process of a trial cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// This program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process of a trial cannot be watched.
    #[error("cannot watch the process of a trial: {0}")]
    Wait(std::io::Error),
    /// Slurm.
    #[error("the array was not submitted: {problem}; its script is {script}")]
    Slurm {
        /// The script.
        script: PathBuf,
        /// Why.
        problem: String,
    },
}
