//! Typicality (Nalisnick et al. 2019, arXiv 1906.02994), of single images: `-|log p(x) - E log p|`, the expectation over training images. An image
//! may be too likely.

use super::{Reads, Scoring, Spec, mean};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "typicality",
    reads: Reads::Only(&[Statistic::LogLikelihood]),
    scoring: Scoring::Fitted {
        least: 1,
        fit: |train| {
            let expected = mean(train[0]);
            Ok(Box::new(move |v| -(v[0] - expected).abs()))
        },
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_gaussian_is_not_typical() {
        // In 100 dimensions, log p is -‖x‖²/2 - c: -50 on average, 0 at the mode, -50 on the shell of radius 10.
        let score = SPEC.score(&[&[-49.0, -51.0, -50.0]]).unwrap();
        assert_eq!(score(&[0.0]), -50.0);
        assert_eq!(score(&[-50.0]), 0.0);
        assert_eq!(score(&[-60.0]), score(&[-40.0]));
    }
}
