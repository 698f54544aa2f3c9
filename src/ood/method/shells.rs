//! Shells: the dimension in which probability grows around the image, `d log P(B_r(x)) / d log r`, by Metropolis chains in shrinking balls. It asks for values of the density only,
//! no Jacobian, and grows with the local intrinsic dimension at scales beyond the thickness of the data.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "shells",
    reads: Reads::Only(&[Statistic::ShellDimension]),
    scoring: Scoring::Plain(|v| v[0]),
};
