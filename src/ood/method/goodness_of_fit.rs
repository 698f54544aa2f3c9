//! Goodness of fit of the latent to its prior (after Bomatter et al. 2026, arXiv 2605.22496): if `p` were the truth, the D coordinates of `z = f(x)` would be D
//! independent draws of N(0, 1), and their Anderson-Darling statistic A² would have a known distribution. The score is `-A²`; [`p_value`] is the
//! false-positive rate that goes with it.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "goodness of fit",
    reads: Reads::Only(&[Statistic::LatentFit]),
    scoring: Scoring::Plain(|v| -v[0]),
};
