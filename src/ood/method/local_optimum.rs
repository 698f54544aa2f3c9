//! Local optimum: `log p(x) - log p(x*)`, x* where an ascent of the likelihood from x ends: an image that the model would rather change is out of distribution.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "local optimum",
    reads: Reads::Only(&[Statistic::OptimumRise]),
    scoring: Scoring::Plain(|v| -v[0]),
};
