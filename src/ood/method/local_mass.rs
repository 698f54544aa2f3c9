//! Local probability mass: `log ρ_r(x)`, the model's linearised density convolved with `N(0, e^{2r} I)`
//! ([`Spectral::log_rho`](crate::lid::Spectral::log_rho); Kamkari et al. 2024, arXiv 2403.18910), at the scale r of LID: high only where the
//! neighbourhood holds mass, not where a thin peak is high.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "local mass",
    reads: Reads::Only(&[Statistic::LogRho]),
    scoring: Scoring::Plain(|v| v[0]),
};
