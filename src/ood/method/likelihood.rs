//! Likelihood (Bishop 1994): `log p(x)`, the score that the paradox is about.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "likelihood",
    reads: Reads::Only(&[Statistic::LogLikelihood]),
    scoring: Scoring::Plain(|v| v[0]),
};
