//! Numerical invertibility (Behrmann et al. 2021, arXiv 2006.09347): `-max |x - f⁻¹(f(x))|`. Away from its data a flow may be invertible on paper only.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "invertibility",
    reads: Reads::Only(&[Statistic::InverseError]),
    scoring: Scoring::Plain(|v| -v[0]),
};
