//! What every LID estimator offers, and the list of them.

use super::{
    Densities, Gap, Krylov, Lidl, Spectral, Spectrum, Threshold, model_free::ModelFree, scale,
};
use atypical_models::Ability;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Local intrinsic dimension in two phases: what is costly is prepared once a sample, reading it at a scale is cheap.
pub trait LidEstimator {
    /// What is prepared.
    type Prepared;

    /// LID at log-scale `r` (`sigma = exp(r)`), in dimensions.
    fn lid(&self, prepared: &Self::Prepared, r: f64) -> f64;
}

/// The estimators by name.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Estimator {
    /// Number of eigenvalues of JᵀJ above exp(2r) (Horvat & Pfister 2022).
    #[default]
    Threshold,
    /// Rate of change of the linearised, convolved log-density (Kamkari et al. 2024; Tempczyk et al. 2022).
    Spectral,
    /// Singular values before the largest gap, at no scale (Stanczuk et al. 2022).
    Gap,
    /// Spectral LID from products with J alone, by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017).
    MatrixFree,
    /// Rate at which the density falls over an ensemble of runs trained on noised data (Tempczyk et al. 2022).
    Lidl,
    /// Without the model: principal components of the neighbours above 5 % of the largest (Fukunaga & Olsen 1971).
    Lpca,
    /// Without the model: maximum likelihood of distances to neighbours (Levina & Bickel 2004).
    Mle,
    /// Without the model: ratio of the distances to two neighbours (Facco et al. 2017).
    Twonn,
    /// Without the model: expected simplex skewness (Johnsson, Soneson & Fontes 2015).
    Ess,
    /// Without the model: correlation integral (Grassberger & Procaccia 1983).
    Corrint,
}

/// What an estimator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Route {
    /// The spectrum of the decoder's Jacobian.
    Spectrum,
    /// Products with the decoder's Jacobian.
    Krylov,
    /// Log-densities of an ensemble.
    Ensemble,
    /// The points themselves.
    Points(ModelFree),
}

/// What is prepared of one sample, by [`Route`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prepared {
    /// The spectrum of the decoder's Jacobian.
    Spectrum(Spectrum),
    /// Quadrature rules.
    Krylov(Krylov),
    /// Log-densities at several levels of noise.
    Densities(Densities),
    /// A LID that knows no scale.
    Point(f64),
}

impl Estimator {
    /// All of them.
    pub const ALL: [Estimator; 10] = [
        Estimator::Threshold,
        Estimator::Spectral,
        Estimator::Gap,
        Estimator::MatrixFree,
        Estimator::Lidl,
        Estimator::Lpca,
        Estimator::Mle,
        Estimator::Twonn,
        Estimator::Ess,
        Estimator::Corrint,
    ];

    /// What it reads.
    pub fn route(self) -> Route {
        match self {
            Estimator::Threshold | Estimator::Spectral | Estimator::Gap => Route::Spectrum,
            Estimator::MatrixFree => Route::Krylov,
            Estimator::Lidl => Route::Ensemble,
            Estimator::Lpca => Route::Points(ModelFree::Lpca),
            Estimator::Mle => Route::Points(ModelFree::Mle),
            Estimator::Twonn => Route::Points(ModelFree::Twonn),
            Estimator::Ess => Route::Points(ModelFree::Ess),
            Estimator::Corrint => Route::Points(ModelFree::Corrint),
        }
    }

    /// Its name, as configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Estimator::Threshold => "threshold",
            Estimator::Spectral => "spectral",
            Estimator::Gap => "gap",
            Estimator::MatrixFree => "matrix_free",
            Estimator::Lidl => "lidl",
            Estimator::Lpca => ModelFree::Lpca.name(),
            Estimator::Mle => ModelFree::Mle.name(),
            Estimator::Twonn => ModelFree::Twonn.name(),
            Estimator::Ess => ModelFree::Ess.name(),
            Estimator::Corrint => ModelFree::Corrint.name(),
        }
    }

    /// LID over the scales that figures [show](scale::shown); NaN where a matrix-free estimate has not enough steps to say it.
    pub fn curve(self, prepared: &Prepared) -> Vec<f64> {
        let resolves = |r: f64| match prepared {
            Prepared::Krylov(krylov) => krylov.resolves(r),
            Prepared::Spectrum(_) | Prepared::Densities(_) | Prepared::Point(_) => true,
        };
        let lid = |r: f64| if resolves(r) { self.lid(prepared, r) } else { f64::NAN };
        scale::shown().into_iter().map(lid).collect()
    }

    /// What a model must have for it; nothing where it reads the points alone. Products with the Jacobian are those of a flow.
    pub fn needs(self) -> Option<Ability> {
        Some(match self {
            Estimator::Threshold | Estimator::Gap => Ability::Latents,
            Estimator::Spectral => Ability::NormalLatents,
            Estimator::MatrixFree => Ability::Bijection,
            Estimator::Lidl => Ability::Density,
            _ => return None,
        })
    }

    /// Whether its LID depends on a scale.
    pub fn has_scale(self) -> bool {
        matches!(self, Estimator::Threshold | Estimator::Spectral | Estimator::MatrixFree)
    }
}

impl Prepared {
    /// Eigenvalues, or nodes, that came out negative by rounding.
    pub fn negative(&self) -> usize {
        match self {
            Prepared::Spectrum(spectrum) => spectrum.negative(),
            Prepared::Krylov(krylov) => krylov.negative,
            Prepared::Densities(_) | Prepared::Point(_) => 0,
        }
    }

    /// The smallest scale r that the Jacobian, or the products with it, resolve; below, LID reads rounding.
    pub fn resolution(&self) -> f64 {
        match self {
            Prepared::Spectrum(spectrum) => spectrum.resolution(),
            Prepared::Krylov(krylov) => krylov.resolution(),
            Prepared::Densities(_) | Prepared::Point(_) => f64::NEG_INFINITY,
        }
    }

    /// Whether a matrix-free estimate is within its tolerance; the others are exact.
    pub fn converged(&self) -> bool {
        match self {
            Prepared::Krylov(krylov) => krylov.converged,
            Prepared::Spectrum(_) | Prepared::Densities(_) | Prepared::Point(_) => true,
        }
    }

    /// Standard error of a matrix-free estimate at scale r, in dimensions.
    pub fn standard_error(&self, r: f64) -> Option<f64> {
        match self {
            Prepared::Krylov(krylov) => Some(krylov.read(r).standard_error),
            Prepared::Spectrum(_) | Prepared::Densities(_) | Prepared::Point(_) => None,
        }
    }
}

impl LidEstimator for Estimator {
    type Prepared = Prepared;

    /// # Panics
    /// On what was prepared for another route.
    fn lid(&self, prepared: &Prepared, r: f64) -> f64 {
        match (self, prepared) {
            (Estimator::Threshold, Prepared::Spectrum(spectrum)) => Threshold.lid(spectrum, r),
            (Estimator::Spectral, Prepared::Spectrum(spectrum)) => Spectral.lid(spectrum, r),
            (Estimator::Gap, Prepared::Spectrum(spectrum)) => Gap.lid(spectrum, r),
            (Estimator::MatrixFree, Prepared::Krylov(krylov)) => krylov.read(r).lid,
            (Estimator::Lidl, Prepared::Densities(densities)) => Lidl.lid(densities, r),
            (_, Prepared::Point(lid)) => *lid,
            _ => panic!("{} cannot read what was prepared for another route", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for estimator in Estimator::ALL {
            let name = serde_json::to_value(estimator).unwrap();
            assert_eq!(name, estimator.name());
            let value = estimator.to_possible_value().unwrap();
            assert_eq!(value.get_name(), estimator.name());
        }
    }
}
