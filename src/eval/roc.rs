//! ROC curve and the numbers read off it, for one score.

use super::{EvalError, IN, OUT, check};
use serde::{Deserialize, Serialize};

/// Receiver operating characteristic of one score; tied scores make one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// Thresholds, falling; a sample is accepted when its score is at least the threshold. The first accepts nothing.
    pub thresholds: Vec<f64>,
    /// Share of out-of-distribution samples accepted.
    pub fpr: Vec<f64>,
    /// Share of in-distribution samples accepted.
    pub tpr: Vec<f64>,
    counts: [usize; 2],
}

/// The usual numbers of one score. See [`CONVENTION`](super::CONVENTION).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Average precision, in-distribution positive.
    pub aupr_in: f64,
    /// Average precision, out-of-distribution positive.
    pub aupr_out: f64,
    /// Share of out-of-distribution samples accepted at 95 % of in-distribution samples accepted.
    pub fpr95: f64,
    /// In-distribution samples.
    pub n_in: usize,
    /// Out-of-distribution samples.
    pub n_out: usize,
}

impl Metrics {
    /// All metrics of a score.
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn new(inside: &[f64], outside: &[f64]) -> Result<Self, EvalError> {
        let roc = Roc::new(inside, outside)?;
        let negated = |scores: &[f64]| scores.iter().map(|s| -s).collect::<Vec<_>>();
        Ok(Self {
            auroc: roc.auroc(),
            aupr_in: roc.average_precision(),
            aupr_out: Roc::new(&negated(outside), &negated(inside))?.average_precision(),
            fpr95: roc.fpr_at(0.95),
            n_in: inside.len(),
            n_out: outside.len(),
        })
    }
}

impl Roc {
    /// The curve of in-distribution against out-of-distribution scores, in O(n log n).
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn new(inside: &[f64], outside: &[f64]) -> Result<Self, EvalError> {
        check(IN, inside)?;
        check(OUT, outside)?;
        let mut scores: Vec<(f64, bool)> =
            inside.iter().map(|&s| (s, true)).chain(outside.iter().map(|&s| (s, false))).collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let counts = [inside.len(), outside.len()];
        let mut roc =
            Self { thresholds: vec![f64::INFINITY], fpr: vec![0.0], tpr: vec![0.0], counts };
        let (mut accepted_in, mut accepted_out) = (0usize, 0usize);
        // `==` rather than total order: -0 and 0 are one score.
        for group in scores.chunk_by(|a, b| a.0 == b.0) {
            let hits = group.iter().filter(|s| s.1).count();
            accepted_in += hits;
            accepted_out += group.len() - hits;
            roc.thresholds.push(group[0].0);
            roc.tpr.push(accepted_in as f64 / counts[0] as f64);
            roc.fpr.push(accepted_out as f64 / counts[1] as f64);
        }
        Ok(roc)
    }

    /// The curve, `(fpr, tpr)`.
    pub fn points(&self) -> Vec<(f64, f64)> {
        self.fpr.iter().copied().zip(self.tpr.iter().copied()).collect()
    }

    /// Area under the curve by trapezoids: `P(in > out) + P(in = out)/2`.
    pub fn auroc(&self) -> f64 {
        area(&self.fpr, &self.tpr)
    }

    /// Average precision `Σ (R_k - R_{k-1}) P_k`, in-distribution positive: the step-wise sum, without interpolation.
    pub fn average_precision(&self) -> f64 {
        let [n_in, n_out] = self.counts.map(|n| n as f64);
        (1..self.tpr.len())
            .map(|k| {
                let (hits, misses) = (self.tpr[k] * n_in, self.fpr[k] * n_out);
                (self.tpr[k] - self.tpr[k - 1]) * hits / (hits + misses)
            })
            .sum()
    }

    /// Smallest false-positive rate among thresholds that accept at least `tpr` of the in-distribution samples.
    pub fn fpr_at(&self, tpr: f64) -> f64 {
        let reached = self.tpr.iter().position(|&t| t >= tpr).unwrap_or(self.tpr.len() - 1);
        self.fpr[reached]
    }
}

/// Signed area under the path through the points, by trapezoids.
pub(super) fn area(fpr: &[f64], tpr: &[f64]) -> f64 {
    fpr.windows(2).zip(tpr.windows(2)).map(|(f, t)| (f[1] - f[0]) * (t[0] + t[1]) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        inside: Vec<f64>,
        outside: Vec<f64>,
        auroc: f64,
        aupr_in: f64,
        aupr_out: f64,
        fpr95: f64,
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/eval.json"));
        let goldens: Vec<Golden> = serde_json::from_str(text).unwrap();
        assert!(goldens.len() >= 5);
        for golden in goldens {
            let got = Metrics::new(&golden.inside, &golden.outside).unwrap();
            for (key, got, expected) in [
                ("auroc", got.auroc, golden.auroc),
                ("aupr_in", got.aupr_in, golden.aupr_in),
                ("aupr_out", got.aupr_out, golden.aupr_out),
                ("fpr95", got.fpr95, golden.fpr95),
            ] {
                assert!(
                    (got - expected).abs() < 1e-12,
                    "{} {key}: {got}, not {expected}",
                    golden.name
                );
            }
        }
    }

    #[test]
    fn auroc_is_the_probability_of_the_right_order() {
        let (inside, outside) = ([1.0, 2.0, 2.0, f64::INFINITY], [2.0, 0.0, f64::NEG_INFINITY]);
        let mut count = 0.0;
        for a in inside {
            for b in outside {
                count += if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                };
            }
        }
        assert_eq!(Roc::new(&inside, &outside).unwrap().auroc(), count / 12.0);
    }

    #[test]
    fn bad_scores_are_refused() {
        assert_eq!(Roc::new(&[], &[1.0]), Err(EvalError::Empty(IN)));
        assert_eq!(
            Roc::new(&[1.0], &[0.0, f64::NAN, f64::NAN]),
            Err(EvalError::Nan { side: OUT, count: 2, first: 1 })
        );
    }
}
