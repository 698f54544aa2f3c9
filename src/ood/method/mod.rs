//! Methods: from the statistics of an image to one score, higher for more in-distribution images.
//!
//! One file a method, with its paper and its formula. A method that has something to fit fits it on training images alone; none sees
//! an OOD image. [`spec`] is the registry.

mod combined;
mod complexity;
mod complexity_mixture;
mod dose;
mod goodness_of_fit;
mod gradient_norm;
mod invertibility;
mod latent_box;
mod latent_norm;
mod lid;
mod likelihood;
mod likelihood_ratio;
mod local_mass;
mod mixture;
mod typicality;
mod waic;

use super::{Statistic, Statistics};
use crate::config::Method;
use std::collections::BTreeSet;
use thiserror::Error;

/// Title of the likelihood, in every output.
pub const LIKELIHOOD: &str = likelihood::SPEC.title;
/// Title of LID alone.
pub const LID: &str = lid::SPEC.title;

/// A score of an image's statistics, in the order in which the method reads them.
pub type Score = Box<dyn Fn(&[f64]) -> f64 + Send + Sync>;

/// What a method reads and how it scores.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// As tables and figures write it.
    pub title: &'static str,
    /// What it reads.
    pub reads: Reads,
    /// How it makes of them a score.
    pub scoring: Scoring,
}

/// How a method scores.
#[derive(Clone, Copy, Debug)]
pub enum Scoring {
    /// By this formula.
    Plain(fn(&[f64]) -> f64),
    /// By what this makes of the columns of training images, one column a statistic.
    Fitted(fn(&[&[f64]]) -> Result<Score, FitError>),
}

impl Spec {
    /// The score, fitted on the columns of training images if it is one that is.
    ///
    /// # Errors
    /// Columns that it cannot be fitted on.
    pub fn score(&self, train: &[&[f64]]) -> Result<Score, FitError> {
        match self.scoring {
            Scoring::Plain(score) => Ok(Box::new(score)),
            Scoring::Fitted(fit) => fit(train),
        }
    }
}

/// The statistics that a method reads.
#[derive(Clone, Copy, Debug)]
pub enum Reads {
    /// These.
    Only(&'static [Statistic]),
    /// All that the other methods of the experiment read.
    All,
}

/// A method that cannot be fitted.
#[derive(Debug, Error, PartialEq)]
pub enum FitError {
    /// Too few training images.
    #[error(
        "{method} is fitted on training images and needs at least {needed}, not {found}; raise `calibration_count`"
    )]
    TooFew {
        /// The method.
        method: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A statistic that tells nothing.
    #[error(
        "{method} cannot be fitted: a statistic of the training images is constant or not finite"
    )]
    Degenerate {
        /// The method.
        method: &'static str,
    },
}

/// The specification of a method with one score; none of [`Method::Dual`], which chooses two thresholds together.
pub fn spec(method: Method) -> Option<&'static Spec> {
    Some(match method {
        Method::Likelihood => &likelihood::SPEC,
        Method::Lid => &lid::SPEC,
        Method::Dual => return None,
        Method::LikelihoodRatio => &likelihood_ratio::SPEC,
        Method::Complexity => &complexity::SPEC,
        Method::ComplexityMixture => &complexity_mixture::SPEC,
        Method::GradientNorm => &gradient_norm::SPEC,
        Method::Typicality => &typicality::SPEC,
        Method::Waic => &waic::SPEC,
        Method::LatentNorm => &latent_norm::SPEC,
        Method::LatentBox => &latent_box::SPEC,
        Method::LocalMass => &local_mass::SPEC,
        Method::Invertibility => &invertibility::SPEC,
        Method::GoodnessOfFit => &goodness_of_fit::SPEC,
        Method::Dose => &dose::SPEC,
        Method::Combined => &combined::SPEC,
    })
}

/// All statistics that some methods read; the log-likelihood is always one.
pub fn statistics(methods: &[Method]) -> BTreeSet<Statistic> {
    let mut all = BTreeSet::from([Statistic::LogLikelihood]);
    for method in methods {
        match spec(*method).map(|spec| spec.reads) {
            Some(Reads::Only(reads)) => all.extend(reads),
            Some(Reads::All) => {}
            None => all.extend([Statistic::Lid]),
        }
    }
    all
}

/// Whether one of them is fitted on training images.
pub fn any_fitted(methods: &[Method]) -> bool {
    let mut specs = methods.iter().filter_map(|m| spec(*m));
    specs.any(|spec| matches!(spec.scoring, Scoring::Fitted(_)))
}

/// The scores of every image of a set, by the methods that have one; `train` has the same statistics of training images.
///
/// # Errors
/// Training images that a method cannot be fitted on.
pub fn scores(
    methods: &[Method],
    train: &Statistics,
    set: &Statistics,
) -> Result<Vec<(Method, Vec<f64>)>, FitError> {
    let all: Vec<Statistic> = statistics(methods).into_iter().collect();
    let mut scored = Vec::new();
    for &method in methods {
        let Some(spec) = spec(method) else { continue };
        let reads = match spec.reads {
            Reads::Only(reads) => reads,
            Reads::All => &all,
        };
        let columns = |from: &'_ Statistics| -> Vec<Vec<f64>> {
            reads.iter().map(|s| from.get(s).cloned().unwrap_or_default()).collect()
        };
        let (train, set) = (columns(train), columns(set));
        let score = spec.score(&train.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let images = set.first().map_or(0, Vec::len);
        let row = |i: usize| set.iter().map(|column| column[i]).collect::<Vec<f64>>();
        scored.push((method, (0..images).map(|i| score(&row(i))).collect()));
    }
    Ok(scored)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation, with n - 1.
fn deviation(values: &[f64]) -> f64 {
    let m = mean(values);
    let squares: f64 = values.iter().map(|v| (v - m).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// `log Σ exp(v)`.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    largest + values.map(|v| (v - largest).exp()).sum::<f64>().ln()
}
