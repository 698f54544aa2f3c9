//! Gradient norm (Grathwohl et al. 2020, arXiv 1912.03263): `-‖∇ₓ log p(x)‖₂`. Where the density is high but its mass small, the gradient is steep.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "gradient norm",
    reads: Reads::Only(&[Statistic::GradientNorm]),
    scoring: Scoring::Plain(|v| -v[0]),
};
