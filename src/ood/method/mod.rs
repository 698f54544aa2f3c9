//! Methods: from the statistics of an image to one score, higher for more in-distribution images.
//!
//! One file a method, with its paper and its formula. A method that has something to fit fits it on training images alone; none sees
//! an OOD image. [`spec`] is the registry.

pub(super) mod batch_typicality;
mod combined;
mod complexity;
mod complexity_mixture;
mod data_ball;
mod dose;
mod dual_calibrated;
mod gaussian_convolution;
mod goodness_of_fit;
mod gradient_norm;
mod hessian_spectrum;
mod invertibility;
mod laplace;
mod latent_ball;
mod latent_box;
mod latent_likelihood;
mod latent_norm;
mod lid;
mod likelihood;
mod likelihood_ratio;
mod likelihood_regret;
mod local_mass;
mod local_optimum;
mod mixture;
mod reconstruction;
mod shells;
mod typicality;
mod waic;

use super::{Statistic, Statistics};
use crate::config::Method;
use std::collections::BTreeSet;
use thiserror::Error;

/// Number of the rules by which statistics become scores, raised where the same statistics have another score: what was calibrated by other rules is calibrated anew.
pub const RULES: u32 = 2;

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
    /// By what `fit` makes of the columns of training images, one column a statistic.
    Fitted {
        /// Fewest training images.
        least: usize,
        /// What makes the score.
        fit: fn(&[&[f64]]) -> Result<Score, FitError>,
    },
}

impl Spec {
    /// The score, fitted on the columns of training images if it is one that is.
    ///
    /// # Errors
    /// Columns that it cannot be fitted on.
    pub fn score(&self, train: &[&[f64]]) -> Result<Score, FitError> {
        match self.scoring {
            Scoring::Plain(score) => Ok(Box::new(score)),
            Scoring::Fitted { least, fit } => {
                let Some(found) = train.first().map(|column| column.len()) else {
                    return Err(FitError::Nothing { method: self.title });
                };
                if found < least {
                    return Err(FitError::TooFew { method: self.title, needed: least, found });
                }
                fit(train)
            }
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
    /// No statistics, but the scores of the other methods that read [some](Self::Only): of a log-density how typical it is.
    Scores,
}

/// A method that cannot be fitted.
#[derive(Debug, Error, PartialEq)]
pub enum FitError {
    /// Too few training images.
    #[error(
        "{method} is fitted on training images and needs at least {needed}, not {found}; raise `calibration_count`, or name more images as `calibration`"
    )]
    TooFew {
        /// The method.
        method: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A method that reads what others read, alone.
    #[error("{method} reads what the other methods read; name some of them too")]
    Nothing {
        /// The method.
        method: &'static str,
    },
    /// A statistic that tells nothing.
    #[error(
        "{method} cannot be fitted: a statistic of the training images is constant or not finite"
    )]
    Degenerate {
        /// The method.
        method: &'static str,
    },
    /// One of many that a method reads tells nothing.
    #[error(
        "{method} cannot be fitted: {what} is constant or not finite over the training images; leave out the method that reads it"
    )]
    DegenerateOf {
        /// The method.
        method: &'static str,
        /// What it reads.
        what: &'static str,
    },
}

/// The specification of a method with one score an image; none of [`Method::Dual`], which chooses two thresholds together, and of
/// [`Method::BatchTypicality`], which judges images together.
pub fn spec(method: Method) -> Option<&'static Spec> {
    Some(match method {
        Method::Likelihood => &likelihood::SPEC,
        Method::Lid => &lid::SPEC,
        Method::Dual | Method::BatchTypicality => return None,
        Method::DualCalibrated => &dual_calibrated::SPEC,
        Method::LikelihoodRatio => &likelihood_ratio::SPEC,
        Method::Complexity => &complexity::SPEC,
        Method::ComplexityMixture => &complexity_mixture::SPEC,
        Method::GradientNorm => &gradient_norm::SPEC,
        Method::Typicality => &typicality::SPEC,
        Method::Waic => &waic::SPEC,
        Method::LatentLikelihood => &latent_likelihood::SPEC,
        Method::LatentNorm => &latent_norm::SPEC,
        Method::LatentBox => &latent_box::SPEC,
        Method::LocalMass => &local_mass::SPEC,
        Method::GaussianConvolution => &gaussian_convolution::SPEC,
        Method::DataBall => &data_ball::SPEC,
        Method::LatentBall => &latent_ball::SPEC,
        Method::Shells => &shells::SPEC,
        Method::LocalOptimum => &local_optimum::SPEC,
        Method::Laplace => &laplace::SPEC,
        Method::HessianSpectrum => &hessian_spectrum::SPEC,
        Method::Invertibility => &invertibility::SPEC,
        Method::GoodnessOfFit => &goodness_of_fit::SPEC,
        Method::Reconstruction => &reconstruction::SPEC,
        Method::LikelihoodRegret => &likelihood_regret::SPEC,
        Method::Dose => &dose::SPEC,
        Method::Combined => &combined::SPEC,
    })
}

/// The statistics that a method itself reads.
pub fn reads(method: Method) -> &'static [Statistic] {
    match (spec(method).map(|spec| spec.reads), method) {
        (Some(Reads::Only(reads)), _) => reads,
        (None, Method::Dual) => &[Statistic::LogLikelihood, Statistic::Lid],
        (None, _) => &[Statistic::LogLikelihood],
        (Some(Reads::All | Reads::Scores), _) => &[],
    }
}

/// Whether its score is a log-density, of the image or of its latent, bare or averaged over a neighbourhood or over models. Most of what a density in many dimensions draws
/// is not where the density is largest (Nalisnick et al. 2019, arXiv 1906.02994): an image may have too high a score.
fn is_density(method: Method) -> bool {
    matches!(
        method,
        Method::Likelihood
            | Method::Waic
            | Method::LatentLikelihood
            | Method::LatentNorm
            | Method::LatentBox
            | Method::LocalMass
            | Method::GaussianConvolution
            | Method::DataBall
            | Method::LatentBall
            | Method::Laplace
    )
}

/// All statistics that some methods read.
pub fn statistics(methods: &[Method]) -> BTreeSet<Statistic> {
    methods.iter().flat_map(|method| reads(*method)).copied().collect()
}

/// Whether one of them is fitted on training images.
pub fn any_fitted(methods: &[Method]) -> bool {
    let mut specs = methods.iter().filter_map(|m| spec(*m));
    methods.contains(&Method::BatchTypicality)
        || specs.any(|spec| matches!(spec.scoring, Scoring::Fitted { .. }))
}

/// The one of them that needs the most training images to be fitted on, and how many; none where none is fitted.
pub fn neediest(methods: &[Method]) -> Option<(Method, usize)> {
    let needs = methods.iter().filter_map(|method| match spec(*method)?.scoring {
        Scoring::Fitted { least, .. } => Some((*method, least)),
        Scoring::Plain(_) => None,
    });
    needs.max_by_key(|(_, least)| *least)
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
    let all: Vec<Statistic> = set.keys().copied().collect();
    // What the methods that read scores read: those of training images and of the set, and of which methods.
    let mut read: [Vec<Vec<f64>>; 2] = Default::default();
    let mut read_of = Vec::new();
    let mut scored = Vec::new();
    let (last, first): (Vec<Method>, Vec<Method>) =
        methods.iter().partition(|m| matches!(spec(**m), Some(Spec { reads: Reads::Scores, .. })));
    for &method in first.iter().chain(&last) {
        let Some(spec) = spec(method) else { continue };
        let columns = |from: &Statistics, scores: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let of = |reads: &[Statistic]| {
                reads.iter().map(|s| from.get(s).cloned().unwrap_or_default()).collect()
            };
            match spec.reads {
                Reads::Only(reads) => of(reads),
                Reads::All => of(&all),
                Reads::Scores => scores.to_vec(),
            }
        };
        let (train, set) = (columns(train, &read[0]), columns(set, &read[1]));
        let score = spec.score(&train.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let score = score.map_err(|error| {
            let names = match (&error, spec.reads) {
                (FitError::Degenerate { .. }, Reads::All) => all.iter().map(|s| s.name()).collect(),
                (FitError::Degenerate { .. }, Reads::Scores) => read_of.clone(),
                _ => Vec::new(),
            };
            let tells =
                |column: &&Vec<f64>| deviation(column) > 0.0 && deviation(column).is_finite();
            let found = names.into_iter().zip(&train).find(|(_, column)| !tells(column));
            let of = |(what, _)| FitError::DegenerateOf { method: spec.title, what };
            found.map_or(error, of)
        })?;
        let each = |columns: &[Vec<f64>]| -> Vec<f64> {
            let images = columns.first().map_or(0, Vec::len);
            let row = |i: usize| columns.iter().map(|column| column[i]).collect::<Vec<f64>>();
            (0..images).map(|i| score(&row(i))).collect()
        };
        let scores = each(&set);
        if matches!(spec.reads, Reads::Only(_)) && !last.is_empty() {
            let mut evidence = [each(&train), scores.clone()];
            if is_density(method) {
                let typical = typicality::SPEC.score(&[&evidence[0]])?;
                evidence.iter_mut().flatten().for_each(|score| *score = typical(&[*score]));
            }
            read_of.push(method.name());
            read.iter_mut().zip(evidence).for_each(|(read, scores)| read.push(scores));
        }
        scored.push((method, scores));
    }
    // In the order asked for.
    scored.sort_by_key(|(method, _)| methods.iter().position(|m| m == method));
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

/// `log Σ exp(v)`; NaN where a value is.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, super::largest);
    if largest.is_nan() {
        return largest;
    }
    if largest.is_infinite() {
        return largest;
    }
    largest + values.map(|v| (v - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_rise_with_what_speaks_for_an_image() {
        // What a method reads: of an in-distribution image, and of one that is less so.
        let all: [(Method, &[f64], &[f64]); 19] = [
            (Method::Likelihood, &[2.0], &[1.0]),
            (Method::Lid, &[2.0], &[1.0]),
            (Method::LikelihoodRatio, &[2.0, 1.0], &[2.0, 1.5]),
            (Method::Complexity, &[2.0, 8.0], &[2.0, 7.0]),
            (Method::GradientNorm, &[1.0], &[2.0]),
            (Method::Waic, &[2.0, 0.5], &[2.0, 1.0]),
            (Method::LatentLikelihood, &[2.0], &[1.0]),
            (Method::LatentNorm, &[1.0], &[2.0]),
            (Method::LatentBox, &[-1.0], &[-2.0]),
            (Method::LocalMass, &[2.0], &[1.0]),
            (Method::GaussianConvolution, &[2.0], &[1.0]),
            (Method::DataBall, &[2.0], &[1.0]),
            (Method::LatentBall, &[2.0], &[1.0]),
            (Method::Shells, &[2.0], &[1.0]),
            (Method::LocalOptimum, &[1.0], &[2.0]),
            (Method::Invertibility, &[1e-6], &[1e-3]),
            (Method::GoodnessOfFit, &[0.5], &[9.0]),
            (Method::Reconstruction, &[0.01], &[0.02]),
            (Method::LikelihoodRegret, &[1.0], &[2.0]),
        ];
        for (method, more, less) in all {
            let score = spec(method).unwrap().score(&[]).unwrap();
            assert!(score(more) > score(less), "{method:?}");
        }
        for (method, more, less) in [
            (Method::Laplace, [5.0, 1.0, 2.0], [5.0, 1.0, 3.0]),
            (Method::Laplace, [5.0, 1.0, 2.0], [5.0, 0.5, 2.0]),
        ] {
            let score = spec(method).unwrap().score(&[]).unwrap();
            assert!(score(&more) > score(&less), "{method:?}");
        }
        let score = spec(Method::HessianSpectrum).unwrap().score(&[]).unwrap();
        assert!(score(&[200.0]) > score(&[100.0]));
    }

    #[test]
    fn the_neediest_method_decides() {
        assert_eq!(neediest(&[Method::Likelihood, Method::Dual, Method::BatchTypicality]), None);
        let all = [Method::Typicality, Method::ComplexityMixture, Method::Dose];
        assert_eq!(neediest(&all), Some((Method::ComplexityMixture, 6)));
        assert_eq!(
            neediest(&[Method::Dose, Method::DualCalibrated]),
            Some((Method::DualCalibrated, 20))
        );
        for method in [Method::Typicality, Method::Combined] {
            let spec = spec(method).unwrap();
            let (_, needed) = neediest(&[method]).unwrap();
            let few = vec![0.0; needed - 1];
            let error = FitError::TooFew { method: spec.title, needed, found: needed - 1 };
            assert_eq!(spec.score(&[&few]).err(), Some(error));
        }
    }

    #[test]
    fn too_high_a_density_is_evidence_too() {
        // Log-densities and LID of 101 training images, in orders that have little to do with each other.
        let column = |step: usize| (0..101).map(|i| (i * step % 101) as f64).collect::<Vec<_>>();
        let train = Statistics::from([
            (Statistic::LogLikelihood, column(37)),
            (Statistic::Lid, column(58)),
        ]);
        let combined = |log_p: f64, lid: f64| {
            let set = Statistics::from([
                (Statistic::LogLikelihood, vec![log_p]),
                (Statistic::Lid, vec![lid]),
            ]);
            let methods = [Method::Combined, Method::Likelihood, Method::Lid];
            let scores = scores(&methods, &train, &set).unwrap();
            assert_eq!(scores[1], (Method::Likelihood, vec![log_p]), "its own score stays");
            assert_eq!(scores[0].0, Method::Combined);
            scores[0].1[0]
        };
        assert!(combined(150.0, 50.0) < combined(95.0, 50.0));
        assert!(combined(95.0, 50.0) < combined(50.0, 50.0));
        assert!((combined(80.0, 50.0) - combined(20.0, 50.0)).abs() < 1e-12);
        let constant = Statistics::from([
            (Statistic::LogLikelihood, column(37)),
            (Statistic::Lid, vec![3.0; 101]),
        ]);
        for (method, what) in [(Method::Combined, "lid"), (Method::Dose, "lid")] {
            let methods = [Method::Likelihood, Method::Lid, method];
            let error = scores(&methods, &constant, &constant).unwrap_err();
            let title = spec(method).unwrap().title;
            assert_eq!(error, FitError::DegenerateOf { method: title, what });
        }
        // A dimension is no density.
        assert!(combined(50.0, 150.0) > combined(50.0, 50.0));
    }

    #[test]
    fn nan_is_not_summed_away() {
        assert!(log_sum_exp([f64::NAN, f64::NAN].into_iter()).is_nan());
        assert!(log_sum_exp([0.0, f64::NAN].into_iter()).is_nan());
        assert_eq!(log_sum_exp([f64::NEG_INFINITY; 2].into_iter()), f64::NEG_INFINITY);
        assert!((log_sum_exp([0.0, 0.0].into_iter()) - 2f64.ln()).abs() < 1e-15);
    }
}
