//! Local intrinsic dimension alone (Kamkari et al. 2024, arXiv 2403.18910): inputs on thin regions of the density have a low one.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec =
    Spec { title: "LID", reads: Reads::Only(&[Statistic::Lid]), scoring: Scoring::Plain(|v| v[0]) };
