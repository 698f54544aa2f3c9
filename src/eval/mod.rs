//! How well scores tell in-distribution from out-of-distribution samples.
//!
//! Plain f64, no tensors: these are numbers of record. [`Roc`] treats one score, [`dual`] the pair (likelihood, LID),
//! [`LidMetrics`] holds estimates of LID against known ones; [`bootstrap`] puts intervals around both. The convention is [`CONVENTION`], written into every output.
//!
//! [`generation`] compares a model's samples with real ones.

pub mod bootstrap;
pub mod dual;
pub mod generation;
mod lid;
mod roc;

pub use bootstrap::{Interval, MetricIntervals};
pub use lid::LidMetrics;
pub use roc::{Metrics, Roc};

use thiserror::Error;

/// Which class is positive and which way a score points.
pub const CONVENTION: &str = "scores are higher for more in-distribution samples; AUROC = P(in > out) + P(in = out)/2; \
     aupr_in: in-distribution positive; aupr_out: out-of-distribution positive, score negated; \
     fpr95: share of out-of-distribution samples accepted where at least 95 % of in-distribution samples are";

/// Scores that cannot be evaluated.
#[derive(Debug, Error, PartialEq)]
pub enum EvalError {
    /// One side has no samples.
    #[error("there are no {0} scores; both sides need at least one")]
    Empty(&'static str),
    /// NaN among the scores.
    #[error(
        "{count} of the {side} scores are NaN, the first at index {first}; a NaN has no rank, so mend or drop those samples"
    )]
    Nan {
        /// Which side.
        side: &'static str,
        /// How many.
        count: usize,
        /// Index of the first.
        first: usize,
    },
    /// Two scores that are not of the same samples.
    #[error(
        "one score is of {one} samples, the other of {other}; a difference is of the same ones"
    )]
    Unpaired {
        /// Samples of one.
        one: usize,
        /// Samples of the other.
        other: usize,
    },
    /// A pair of columns of different lengths.
    #[error("the likelihood column has {likelihood} values, the LID column {lid}")]
    Lengths {
        /// Length of the likelihood column.
        likelihood: usize,
        /// Length of the LID column.
        lid: usize,
    },
    /// Cross-fitting needs both halves to hold something.
    #[error(
        "cross-fitting splits each side in two halves and needs at least 2 {side} samples, not {count}"
    )]
    TooFew {
        /// Which side.
        side: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Generated and real samples of different kinds.
    #[error(
        "the generated samples are {generated}, the real ones {real}; only samples of one kind and shape can be compared"
    )]
    Different {
        /// What the generated ones are.
        generated: String,
        /// What the real ones are.
        real: String,
    },
    /// A comparison of too few samples.
    #[error("there are {count} {side} samples, but the comparison needs at least {needed}")]
    TooFewSamples {
        /// Which side.
        side: &'static str,
        /// How many there are.
        count: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Samples with numbers that are not finite.
    #[error(
        "{count} numbers of the {side} samples are NaN or infinite, the first in sample {first} (counted from 0); mend or drop those samples"
    )]
    NotFinite {
        /// Which side.
        side: &'static str,
        /// How many numbers.
        count: usize,
        /// Index of the first sample that has one.
        first: usize,
    },
    /// Samples on disk that cannot be read back.
    #[error("{0}")]
    Unreadable(String),
    /// Samples whose distances overflow.
    #[error(
        "the samples hold numbers so large that their distances overflow; look for strays among them, or scale all of them down"
    )]
    TooLarge,
}

/// Refuse empty and NaN scores. Infinities have a rank and are fine.
fn check(side: &'static str, scores: &[f64]) -> Result<(), EvalError> {
    if scores.is_empty() {
        return Err(EvalError::Empty(side));
    }
    let count = scores.iter().filter(|s| s.is_nan()).count();
    match scores.iter().position(|s| s.is_nan()) {
        Some(first) => Err(EvalError::Nan { side, count, first }),
        None => Ok(()),
    }
}

pub(crate) const IN: &str = "in-distribution";
pub(crate) const OUT: &str = "out-of-distribution";
