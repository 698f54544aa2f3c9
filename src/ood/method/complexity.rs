//! Complexity (Serrà et al. 2020, arXiv 1909.11480): `S(x) = -log₂ p(x) - L(x)` with `L` the bits of a lossless codec; the score is `-S`. Against the
//! paper's 8-bit pixels our density of `x` in [0, 1] shifts every `S` by `8 D` bits alike.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "complexity",
    reads: Reads::Only(&[Statistic::LogLikelihood, Statistic::Complexity]),
    scoring: Scoring::Plain(|v| v[0] / std::f64::consts::LN_2 + v[1]),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_as_good_as_the_codec_scores_nothing() {
        // 100 bits by both.
        let score = SPEC.score(&[]).unwrap();
        assert!(score(&[-100.0 * std::f64::consts::LN_2, 100.0]).abs() < 1e-12);
        // The simpler image of two as likely ones is the more suspicious.
        assert!(score(&[-70.0, 50.0]) < score(&[-70.0, 90.0]));
    }
}
