//! What every LID estimator offers, and the list of them.

use super::{Spectral, Spectrum, Threshold};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Local intrinsic dimension out of a decoder's spectrum.
pub trait LidEstimator {
    /// LID at log-scale `r` (`sigma = exp(r)`), in dimensions.
    fn lid(&self, spectrum: &Spectrum, r: f64) -> f64;

    /// Whether LID can only fall as `r` grows, whatever the spectrum.
    fn is_monotone(&self) -> bool;
}

/// The estimators by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Number of eigenvalues of JᵀJ above exp(2r) (Horvat & Pfister 2022).
    #[default]
    Threshold,
    /// Rate of change of the linearised, convolved log-density (Kamkari et al. 2024; Tempczyk et al. 2022).
    Spectral,
}

impl LidEstimator for Estimator {
    fn lid(&self, spectrum: &Spectrum, r: f64) -> f64 {
        match self {
            Estimator::Threshold => Threshold.lid(spectrum, r),
            Estimator::Spectral => Spectral.lid(spectrum, r),
        }
    }

    fn is_monotone(&self) -> bool {
        match self {
            Estimator::Threshold => Threshold.is_monotone(),
            Estimator::Spectral => Spectral.is_monotone(),
        }
    }
}
