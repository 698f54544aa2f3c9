//! Ball: `log E p(x + u)`, u uniform on an l_p ball around the image, by draws: the mass of the ball over its volume. A high density on a thin
//! region has little mass around it.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "ball",
    reads: Reads::Only(&[Statistic::DataBall]),
    scoring: Scoring::Plain(|v| v[0]),
};
