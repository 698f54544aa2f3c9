//! All methods together, as evidence: `Σ_j w_j log F_j(s_j)` (Fisher 1932), where `s_j` is the score by method j and `F_j` the share of training images that score
//! as low. An image is out-of-distribution where methods find it rarer than training images are; how far one of them falls below these counts, how far it lies above
//! does not. Of a log-density `s_j` is its typicality, `-|s - E s|` over training images: that an image is too likely is evidence as well.
//!
//! `F_j` is the empirical distribution function of the training images' scores and, below their smallest, that of the Gaussian with their median and lower
//! spread, if it is less. Methods that say the same share one vote: `w_j = 1 / Σ_k |ρ_jk|`, with the correlations ρ of the `log F` over training images.

use super::{FitError, Reads, Scoring, Spec, deviation, mean};
use crate::ood::statistic::log_cdf;

const TITLE: &str = "combined";
/// Fewest training images: below, a tail is guesswork.
pub(super) const NEEDED: usize = 20;
/// The 5 % quantile of the standard normal, negative.
const FIVE_PERCENT: f64 = 1.644_853_626_951_472_8;

pub const SPEC: Spec = Spec {
    title: TITLE,
    reads: Reads::Scores,
    scoring: Scoring::Fitted {
        least: NEEDED,
        fit: |train| {
            let tails: Vec<Tail> =
                train.iter().map(|s| Tail::fit(s, TITLE)).collect::<Result<_, _>>()?;
            let evidence: Vec<Vec<f64>> = tails
                .iter()
                .zip(train)
                .map(|(tail, scores)| scores.iter().map(|s| tail.log_share(*s)).collect())
                .collect();
            let weights: Vec<f64> = evidence
                .iter()
                .map(|a| 1.0 / evidence.iter().map(|b| correlation(a, b).abs()).sum::<f64>())
                .collect();
            Ok(Box::new(move |v| {
                tails.iter().zip(&weights).zip(v).map(|((t, w), s)| w * t.log_share(*s)).sum()
            }))
        },
    },
};

/// The lower tail of a method's scores.
pub(super) struct Tail {
    /// Rising.
    scores: Vec<f64>,
    median: f64,
    spread: f64,
}

impl Tail {
    /// Of at least one score.
    pub(super) fn fit(scores: &[f64], method: &'static str) -> Result<Self, FitError> {
        let found = scores.len();
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[found / 2];
        let below = (median - sorted[found / 20]) / FIVE_PERCENT;
        let spread = if below > 0.0 { below } else { deviation(scores) };
        if !(spread > 0.0 && spread.is_finite()) {
            return Err(FitError::Degenerate { method });
        }
        Ok(Self { scores: sorted, median, spread })
    }

    /// Log of the share of training images that score as low.
    pub(super) fn log_share(&self, score: f64) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let n = self.scores.len() as f64;
        // The i-th of n stands for (i - 1/2) / n; linear in between, the middle of those that tie.
        let low = self.scores.partition_point(|s| *s < score);
        let high = self.scores.partition_point(|s| *s <= score);
        let rank = if high > low {
            0.5 * (low + high) as f64
        } else if low == 0 {
            let gaussian = log_cdf((score - self.median) / self.spread);
            return gaussian.min((0.5 / n).ln());
        } else if low == self.scores.len() {
            n - 0.5
        } else {
            let (before, after) = (self.scores[low - 1], self.scores[low]);
            low as f64 - 0.5 + (score - before) / (after - before)
        };
        (rank / n).ln()
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>();
    products / (a.len() as f64 - 1.0) / (deviation(a) * deviation(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, 2, … in an order that has little to do with the other columns'.
    fn column(step: usize) -> Vec<f64> {
        (0..101).map(|i| (i * step % 101) as f64).collect()
    }

    #[test]
    fn shares_are_empirical_and_gaussian_beyond() {
        let tail = Tail::fit(&column(1), TITLE).unwrap();
        let share = |score| tail.log_share(score).exp();
        assert!((share(50.0) - 0.5).abs() < 1e-12);
        assert!((share(24.5) - 0.25 / 1.01).abs() < 1e-3);
        assert!((share(0.0) - 0.5 / 101.0).abs() < 1e-12);
        assert_eq!(share(1e9), 100.5 / 101.0);
        // The median is 50, the 5 % quantile 5: a spread of 27.4.
        let z: f64 = -200.0 / (45.0 / FIVE_PERCENT);
        assert!((tail.log_share(-150.0) - log_cdf(z)).abs() < 1e-12);
        assert!(tail.log_share(-1e3) < tail.log_share(-150.0));
        assert!(tail.log_share(f64::NAN).is_nan());
    }

    #[test]
    fn one_rare_score_outweighs_common_ones_and_twins_share_a_vote() {
        let (a, b) = (column(37), column(58));
        let score = SPEC.score(&[&a, &b]).unwrap();
        assert!(score(&[-300.0, 50.0]) < score(&[20.0, 20.0]));
        // Very high scores are no evidence.
        assert!(score(&[1e6, 50.0]) > score(&[50.0, 50.0]));
        let twins = SPEC.score(&[&a, &a, &b]).unwrap();
        let tail = Tail::fit(&a, TITLE).unwrap();
        let shares = |x: f64, y: f64| [tail.log_share(x), tail.log_share(y)];
        let rho = correlation(
            &a.iter().map(|s| tail.log_share(*s)).collect::<Vec<_>>(),
            &b.iter().map(|s| tail.log_share(*s)).collect::<Vec<_>>(),
        )
        .abs();
        let [x, y] = shares(10.0, 80.0);
        let expected = 2.0 * x / (2.0 + rho) + y / (1.0 + 2.0 * rho);
        assert!((twins(&[10.0, 10.0, 80.0]) - expected).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let refused = |train: &[f64]| SPEC.score(&[train]).err().unwrap();
        assert_eq!(refused(&[3.0; 40]), FitError::Degenerate { method: TITLE });
        assert_eq!(refused(&[3.0]), FitError::TooFew { method: TITLE, needed: 20, found: 1 });
    }
}
