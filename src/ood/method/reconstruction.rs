//! Reconstruction error: `-1/D ‖x - decode(encode(x))‖²`. What an autoencoder has not learned it cannot make again.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "reconstruction",
    reads: Reads::Only(&[Statistic::ReconstructionError]),
    scoring: Scoring::Plain(|v| -v[0]),
};
