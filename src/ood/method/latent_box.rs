//! Latent box: `Σ_i log [Φ(z_i + r) - Φ(z_i - r)]`, the mass that the prior puts into a box of half-width r around the latent.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "latent box",
    reads: Reads::Only(&[Statistic::LatentBox]),
    scoring: Scoring::Plain(|v| v[0]),
};
