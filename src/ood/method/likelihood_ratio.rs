//! Likelihood ratio (Ren et al. 2019, arXiv 1906.02845): `log p(x) - log p_b(x)`, where the background model `p_b` was trained on inputs whose
//! pixels were mutated at random: what both models know of the background cancels.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "likelihood ratio",
    reads: Reads::Only(&[Statistic::LogLikelihood, Statistic::BackgroundLogLikelihood]),
    scoring: Scoring::Plain(|v| v[0] - v[1]),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_that_knows_as_much_leaves_nothing() {
        let score = SPEC.score(&[]).unwrap();
        assert_eq!(score(&[-3.5, -3.5]), 0.0);
        assert_eq!(score(&[-1.0, -3.5]), 2.5);
    }
}
