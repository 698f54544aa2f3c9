//! Gaussian convolution: `log E p(x + σ ε)` with ε standard normal, by draws: the density that a blurred model gives the image, where
//! [local mass](super::local_mass) convolves the linearised model in closed form.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "Gaussian convolution",
    reads: Reads::Only(&[Statistic::Convolution]),
    scoring: Scoring::Plain(|v| v[0]),
};
