//! Likelihood and LID by two thresholds (Kamkari et al. 2024, arXiv 2403.18910), calibrated on training images: `min(log F_L(log p(x)), log F_LID(LID_r(x)))`, F the share of training images that are
//! as low, as in [`combined`](super::combined). To accept where the score is at least `log q` is to accept where both are above their q-quantiles of training images: one family of the
//! pairs of thresholds among which [`dual`](crate::config::Method::Dual) chooses by the labels of OOD images.

use super::{
    Reads, Scoring, Spec,
    combined::{NEEDED, Tail},
};
use crate::ood::{Statistic, largest};

const TITLE: &str = "dual (calibrated)";

pub const SPEC: Spec = Spec {
    title: TITLE,
    reads: Reads::Only(&[Statistic::LogLikelihood, Statistic::Lid]),
    scoring: Scoring::Fitted {
        least: NEEDED,
        fit: |train| {
            let tails = train.iter().map(|values| Tail::fit(values, TITLE));
            let tails: Vec<Tail> = tails.collect::<Result<_, _>>()?;
            Ok(Box::new(move |v| {
                let shares = tails.iter().zip(v).map(|(tail, value)| tail.log_share(*value));
                // The smaller; NaN where either is.
                -shares.map(|share| -share).fold(0.0, largest)
            }))
        },
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_must_be_as_high_as_those_of_training_images() {
        let train: Vec<f64> = (0..101).map(f64::from).collect();
        let score = SPEC.score(&[&train, &train]).unwrap();
        // The lower of both counts; how high the other is does not.
        assert_eq!(score(&[50.0, 20.0]), score(&[1e9, 20.0]));
        assert!((score(&[50.0, 1e9]).exp() - 0.5).abs() < 1e-12);
        assert!(score(&[50.0, 20.0]) < score(&[30.0, 30.0]));
        assert!(score(&[-300.0, 60.0]) < score(&[0.0, 60.0]));
        assert!(score(&[f64::NAN, 60.0]).is_nan() && score(&[60.0, f64::NAN]).is_nan());
    }
}
