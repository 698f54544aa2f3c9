//! Likelihood regret (Xiao, Yan & Amit 2020, arXiv 2003.02977): the encoder of a VAE serves the images that it was trained on well; the bound of others gains more where the posterior is
//! fitted to them alone: `max_q ELBO(x; q) - ELBO(x; q(z | x))`, negated.

use super::{Reads, Scoring, Spec};
use crate::ood::Statistic;

pub const SPEC: Spec = Spec {
    title: "likelihood regret",
    reads: Reads::Only(&[Statistic::Regret]),
    scoring: Scoring::Plain(|v| -v[0]),
};
