//! The spectrum of the Hessian: the number of directions in which log p is flat at the scale σ, `Σ_i 1 / (1 + σ² max(λ_i, 0))` over the eigenvalues λ of `-∇² log p(x)`: D less the
//! effective number of parameters of MacKay (1992). As LID, it counts the directions in which an image may vary, but by the density's second derivative in data space.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "Hessian spectrum",
    reads: Reads::Only(&[Statistic::FlatDirections]),
    scoring: Scoring::Plain(|v| v[0]),
};
