//! WAIC (Choi et al. 2018, arXiv 1810.01392): `E_θ[log p_θ(x)] - Var_θ[log p_θ(x)]` over an ensemble of models.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "WAIC",
    reads: Reads::Only(&[Statistic::EnsembleMean, Statistic::EnsembleVariance]),
    scoring: Scoring::Plain(|v| v[0] - v[1]),
};
