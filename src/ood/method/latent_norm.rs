//! Latent norm: `-‖z‖₂`, the likelihood under the prior without the change of volume.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "latent norm",
    reads: Reads::Only(&[Statistic::LatentNorm]),
    scoring: Scoring::Plain(|v| -v[0]),
};
