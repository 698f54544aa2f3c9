//! Latent ball: `log E p(f⁻¹(z + u))`, u uniform on an l_p ball around the latent `z = f(x)`, by draws: the mean density over what the model takes for
//! neighbours of the image.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "latent ball",
    reads: Reads::Only(&[Statistic::LatentBall]),
    scoring: Scoring::Plain(|v| v[0]),
};
