//! Complexity and likelihood as two variables (Osada et al. 2024, arXiv 2402.10477): the log-density of `(log p(x), L(x))` under a Gaussian mixture that is
//! fitted on training images.

use super::{Reads, Scoring, Spec, mixture::Mixture};
use crate::ood::Statistic;

const TITLE: &str = "complexity mixture";

pub const SPEC: Spec = Spec {
    title: TITLE,
    reads: Reads::Only(&[Statistic::LogLikelihood, Statistic::Complexity]),
    scoring: Scoring::Fitted {
        least: Mixture::least(2),
        fit: |train| {
            let mixture = Mixture::fit(train, TITLE)?;
            Ok(Box::new(move |v| mixture.log_density(v)))
        },
    },
};
