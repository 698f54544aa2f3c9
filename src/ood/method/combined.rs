//! All statistics together, as one class: the log-density of the whole vector of statistics under a Gaussian mixture that is fitted on training images. Where
//! [DoSE](super::dose) takes the statistics as independent, this sees that a likelihood is high *for an image of that complexity*.

use super::{Reads, Scoring, Spec, mixture::Mixture};

const TITLE: &str = "combined";

pub const SPEC: Spec = Spec {
    title: TITLE,
    reads: Reads::All,
    scoring: Scoring::Fitted(|train| {
        let mixture = Mixture::fit(train, TITLE)?;
        Ok(Box::new(move |v| mixture.log_density(v)))
    }),
};
