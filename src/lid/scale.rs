//! Choosing the scale r at which LID is read.

use super::LidEstimator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How the scale r (log-sigma) is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scale {
    /// A number.
    Fixed {
        /// The scale r: sigma = exp(r), in the data's units.
        r: f64,
    },
    /// The middle of the longest run of scales over which the mean LID of training samples stays within `tolerance`.
    Plateau {
        /// Largest change of the mean LID over the run, in dimensions.
        #[serde(default = "defaults::tolerance")]
        tolerance: f64,
        /// Lowest scale looked at.
        #[serde(default = "defaults::low")]
        low: f64,
        /// Highest scale looked at.
        #[serde(default = "defaults::high")]
        high: f64,
        /// Number of scales looked at.
        #[serde(default = "defaults::steps")]
        steps: usize,
    },
    /// The scale at which the mean LID of training samples equals a dimension known without the model.
    Calibrated {
        /// The dimension to meet. Left out: the dimension that LPCA finds in the training data.
        #[serde(default)]
        dimension: Option<f64>,
        /// Threshold of LPCA, as a fraction of the largest eigenvalue of the covariance; used when `dimension` is left out.
        #[serde(default = "defaults::alpha")]
        alpha: f64,
        /// Lowest scale allowed.
        #[serde(default = "defaults::low")]
        low: f64,
        /// Highest scale allowed.
        #[serde(default = "defaults::high")]
        high: f64,
    },
}

impl Default for Scale {
    fn default() -> Self {
        Scale::Calibrated {
            dimension: None,
            alpha: defaults::alpha(),
            low: defaults::low(),
            high: defaults::high(),
        }
    }
}

impl Scale {
    /// The plateau with its usual numbers.
    pub fn usual_plateau() -> Self {
        Scale::Plateau {
            tolerance: defaults::tolerance(),
            low: defaults::low(),
            high: defaults::high(),
            steps: defaults::steps(),
        }
    }
}

mod defaults {
    pub fn tolerance() -> f64 {
        1.0
    }
    pub fn low() -> f64 {
        -20.0
    }
    pub fn high() -> f64 {
        20.0
    }
    pub fn steps() -> usize {
        201
    }
    pub fn alpha() -> f64 {
        1e-3
    }
}

/// A scale that cannot be chosen.
#[derive(Debug, Error, PartialEq)]
pub enum ScaleError {
    /// Nothing to calibrate on.
    #[error("choosing a scale needs at least one calibration sample")]
    NoSamples,
    /// The mean LID never takes the value asked for.
    #[error(
        "no scale in [{low}, {high}] gives a mean LID of {target:.1}: it is {at_low:.1} at the low end and {at_high:.1} at the high end; \
         set lid.scale.dimension between the two, or fix the scale"
    )]
    NotBracketed {
        /// The dimension asked for.
        target: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// Mean LID at the lower end.
        at_low: f64,
        /// Mean LID at the upper end.
        at_high: f64,
    },
    /// No run of scales is flat.
    #[error(
        "the mean LID has no plateau within {tolerance} dimensions away from 0 and {dimension}: calibrate the scale (--scale calibrate, or `kind: calibrated`), give it as a number, or raise lid.scale.tolerance"
    )]
    NoPlateau {
        /// The tolerance.
        tolerance: f64,
        /// The dimension D.
        dimension: usize,
    },
}

/// The scales that figures show.
pub fn shown() -> Vec<f64> {
    (0..61).map(|i| -8.0 + 0.2 * f64::from(i)).collect()
}

/// Mean LID of the samples at scale r.
pub fn mean_lid<E: LidEstimator>(estimator: &E, prepared: &[E::Prepared], r: f64) -> f64 {
    prepared.iter().map(|p| estimator.lid(p, r)).sum::<f64>() / prepared.len() as f64
}

/// The scale at which the mean LID of `prepared` samples crosses `target` from above, by bisection on [low, high].
///
/// Needs the mean LID to be above the target at `low` and not above it at `high`; where LID is not monotone in r, as
/// [`Spectral`](super::Spectral)'s, it finds one of the crossings.
///
/// # Errors
/// No samples, or a target outside what the two ends give.
pub fn calibrate<E: LidEstimator>(
    estimator: &E,
    prepared: &[E::Prepared],
    target: f64,
    low: f64,
    high: f64,
) -> Result<f64, ScaleError> {
    if prepared.is_empty() {
        return Err(ScaleError::NoSamples);
    }
    let mean = |r| mean_lid(estimator, prepared, r);
    let (at_low, at_high) = (mean(low), mean(high));
    // Written so that NaN is an error.
    if !(at_low > target && at_high <= target) {
        return Err(ScaleError::NotBracketed { target, low, high, at_low, at_high });
    }
    let (mut a, mut b) = (low, high);
    while b - a > 1e-6 {
        let middle = (a + b) / 2.0;
        if mean(middle) > target { a = middle } else { b = middle }
    }
    Ok((a + b) / 2.0)
}

/// The middle of the longest run of scales on a grid over which the mean LID changes by at most `tolerance`, and by at most a tenth of
/// its distances from 0 and from D: every curve flattens out towards both, where everything or nothing is below the scale.
///
/// # Errors
/// No samples, or no run of at least two scales.
pub fn plateau<E: LidEstimator>(
    estimator: &E,
    prepared: &[E::Prepared],
    dimension: usize,
    tolerance: f64,
    [low, high]: [f64; 2],
    steps: usize,
) -> Result<f64, ScaleError> {
    if prepared.is_empty() {
        return Err(ScaleError::NoSamples);
    }
    let at = |i: usize| low + (high - low) * i as f64 / (steps.max(2) - 1) as f64;
    let curve: Vec<f64> = (0..steps.max(2)).map(|i| mean_lid(estimator, prepared, at(i))).collect();
    let dimension_f = dimension as f64;
    let flat = |min: f64, max: f64| {
        min > 0.0
            && max - min <= tolerance.min(0.1 * min).min(0.1 * (dimension_f - max))
            && max < dimension_f
    };
    let mut longest = (0, 0);
    let mut from = 0;
    for to in 0..curve.len() {
        // Shrink the window from the left until it is flat and inside.
        while from <= to {
            let window = &curve[from..=to];
            let (min, max) = window
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
            if flat(min, max) {
                break;
            }
            from += 1;
        }
        if from <= to && to - from > longest.1 - longest.0 {
            longest = (from, to);
        }
    }
    if longest.0 == longest.1 {
        return Err(ScaleError::NoPlateau { tolerance, dimension });
    }
    Ok((at(longest.0) + at(longest.1)) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lid::{Spectral, Spectrum, Threshold};

    /// J = diag(10 x 3, 0.001 x 5): dimension 3 on every scale between.
    fn spectra() -> Vec<Spectrum> {
        let mut jacobian = vec![0.0; 64];
        for i in 0..8 {
            jacobian[i * 9] = if i < 3 { 10.0 } else { 0.001 };
        }
        vec![Spectrum::new(&jacobian, &[0.0; 8]).unwrap(); 2]
    }

    #[test]
    fn the_plateau_lies_between_the_two_clusters() {
        let r = plateau(&Threshold, &spectra(), 8, 1.0, [-20.0, 20.0], 201).unwrap();
        let middle = (10f64.ln() + 0.001f64.ln()) / 2.0;
        assert!((r - middle).abs() < 0.3, "{r}, not {middle}");
        let r = plateau(&Spectral, &spectra(), 8, 0.1, [-20.0, 20.0], 201).unwrap();
        assert!((r - middle).abs() < 0.5, "{r}, not {middle}");
    }

    #[test]
    fn without_structure_there_is_no_plateau() {
        let identity = Spectrum::new(&[1.0, 0.0, 0.0, 1.0], &[0.0; 2]).unwrap();
        assert_eq!(
            plateau(&Threshold, &[identity], 2, 0.1, [-20.0, 20.0], 201),
            Err(ScaleError::NoPlateau { tolerance: 0.1, dimension: 2 })
        );
    }

    #[test]
    fn calibration_meets_the_dimension() {
        for target in [1.0, 3.0, 5.5] {
            let r = calibrate(&Spectral, &spectra(), target, -20.0, 20.0).unwrap();
            assert!((mean_lid(&Spectral, &spectra(), r) - target).abs() < 1e-3);
        }
        let r = calibrate(&Threshold, &spectra(), 3.0, -20.0, 20.0).unwrap();
        // The count jumps from 8 to 3 at r = log 0.001.
        assert!((r - 0.001f64.ln()).abs() < 1e-4);
    }

    #[test]
    fn an_impossible_dimension_is_refused_with_both_ends() {
        let error = calibrate(&Threshold, &spectra(), 9.0, -20.0, 20.0).unwrap_err();
        assert_eq!(
            error,
            ScaleError::NotBracketed {
                target: 9.0,
                low: -20.0,
                high: 20.0,
                at_low: 8.0,
                at_high: 0.0
            }
        );
        assert_eq!(calibrate(&Threshold, &[], 1.0, -1.0, 1.0), Err(ScaleError::NoSamples));
    }
}
