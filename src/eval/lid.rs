//! How well estimates of local intrinsic dimension match a known one.

use super::{EvalError, Roc, check};
use serde::Serialize;

/// Estimates against the truth, point by point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LidMetrics {
    /// Mean absolute error, in dimensions.
    pub mae: f64,
    /// Mean of `(estimate - truth) / truth`, over points of LID above 0; none where there are no such points.
    pub relative_bias: Option<f64>,
    /// Concordance index: the probability that of two points of different LID the one of higher LID has the higher estimate, ties
    /// counting half; 1 is perfect order, 0.5 none. None where all points have the same LID.
    pub concordance: Option<f64>,
    /// Points.
    pub n: usize,
}

impl LidMetrics {
    /// Compare; both have one value a point.
    ///
    /// # Errors
    /// No points, or NaN among the estimates.
    pub fn new(estimates: &[f64], truth: &[f64]) -> Result<Self, EvalError> {
        check("LID", estimates)?;
        let pairs = || estimates.iter().zip(truth);
        let n = estimates.len();
        let mae = pairs().map(|(e, t)| (e - t).abs()).sum::<f64>() / n as f64;
        let biases: Vec<f64> =
            pairs().filter(|(_, t)| **t > 0.0).map(|(e, t)| (e - t) / t).collect();
        let relative_bias =
            (!biases.is_empty()).then(|| biases.iter().sum::<f64>() / biases.len() as f64);

        let mut classes = truth.to_vec();
        classes.sort_by(f64::total_cmp);
        classes.dedup();
        let members = |class: f64| -> Vec<f64> {
            pairs().filter(|(_, t)| **t == class).map(|(e, _)| *e).collect()
        };
        let members: Vec<Vec<f64>> = classes.iter().map(|class| members(*class)).collect();
        let (mut concordant, mut total) = (0.0, 0.0);
        for (i, higher) in members.iter().enumerate() {
            for lower in &members[..i] {
                let count = (higher.len() * lower.len()) as f64;
                concordant += count * Roc::new(higher, lower)?.auroc();
                total += count;
            }
        }
        let concordance = (total > 0.0).then(|| concordant / total);
        Ok(Self { mae, relative_bias, concordance, n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let truth = [0.0, 1.0, 1.0, 2.0];
        let metrics = LidMetrics::new(&[0.5, 1.0, 2.0, 1.0], &truth).unwrap();
        assert_eq!(metrics.mae, (0.5 + 0.0 + 1.0 + 1.0) / 4.0);
        assert_eq!(metrics.relative_bias, Some((0.0 + 1.0 - 0.5) / 3.0));
        // Pairs of different truth: 0-1 twice right, 0-2 right, 1-2 once tied, once wrong.
        assert_eq!(metrics.concordance, Some(3.5 / 5.0));
    }

    #[test]
    fn the_concordance_is_that_of_counting_all_pairs() {
        let truth: Vec<f64> = (0..60).map(|i| f64::from(i * 7 % 4)).collect();
        let estimates: Vec<f64> =
            (0..60).map(|i| f64::from(i * 11 % 9) + truth[i as usize]).collect();
        let (mut concordant, mut total) = (0.0, 0.0);
        for i in 0..60 {
            for j in 0..60 {
                if truth[i] > truth[j] {
                    total += 1.0;
                    concordant += match estimates[i].total_cmp(&estimates[j]) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
        }
        let found = LidMetrics::new(&estimates, &truth).unwrap().concordance.unwrap();
        assert!((found - concordant / total).abs() < 1e-12);
    }

    #[test]
    fn what_is_undefined_is_none() {
        let metrics = LidMetrics::new(&[0.0, 1.0], &[0.0, 0.0]).unwrap();
        assert_eq!((metrics.relative_bias, metrics.concordance), (None, None));
        assert!(LidMetrics::new(&[f64::NAN], &[1.0]).is_err());
        assert_eq!(LidMetrics::new(&[], &[]), Err(EvalError::Empty("LID")));
    }
}
