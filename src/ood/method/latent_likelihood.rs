//! Latent likelihood (Loaiza-Ganem et al. 2022): `log p(u)`, the density of the latent that a two-step model's second step has learned, without the change of volume.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "latent likelihood",
    reads: Reads::Only(&[Statistic::LatentLogLikelihood]),
    scoring: Scoring::Plain(|v| v[0]),
};
