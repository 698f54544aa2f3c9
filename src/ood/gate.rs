//! A gate before a deployed model: accept an image, or reject it as out-of-distribution, at a stated rate of false alarms.

use super::{Fit, Models, OodError, Plan, fit, score_with};
use crate::{config::Method, data::Images};
use atypical_models::FlowBackend;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A calibrated gate: split conformal prediction (Vovk et al. 2005; Bates et al. 2023, arXiv 2104.08279) on the score of one method.
///
/// The p-value of an image is `(1 + #{i : s_i ≤ s}) / (n + 1)` over the scores `s_i` of n held-out in-distribution images. An image is rejected where it is at most α:
/// of images from the distribution of the held-out ones, at most a share α is rejected, on average over the draw of these.
///
/// ```no_run
/// use atypical::{
///     config::{Method, OodConfig},
///     data::decode,
///     ood::{Gate, Models, Plan, Scorer},
///     progress::Verbosity,
///     run::RunDir,
///     train,
/// };
/// use burn::backend::Flex;
///
/// let device = Default::default();
/// let run = RunDir::open("runs".as_ref(), "rq_nsf_fmnist_small")?;
/// let (model, trained) = train::open_model::<Flex>(&run, &device)?;
/// let (training, held_out) = train::images(&trained, "data".as_ref())?;
///
/// let config = OodConfig::by_methods(vec![Method::Likelihood, Method::Complexity, Method::Combined]);
/// let plan = Plan::new(&config, &training);
/// let scorer = Scorer::of(&config, model, trained.data.dequantize, device, Verbosity::Quiet);
/// let models = Models::new(&config, scorer);
/// let gate = Gate::calibrate(&plan, &models, &held_out, 0.05)?;
///
/// let image = decode(&std::fs::read("photo.png")?, "photo.png", 1)?;
/// let verdict = gate.judge(&plan, &models, &image)?[0];
/// println!("{} (p = {:.3})", if verdict.accept { "accept" } else { "reject" }, verdict.p_value);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    method: Method,
    fit: Fit,
    /// Scores of the held-out images, rising.
    held_out: Vec<f64>,
    false_alarms: f64,
}

/// What a gate says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether it passes.
    pub accept: bool,
    /// The share of in-distribution images that are as atypical.
    pub p_value: f64,
    /// The score of the method, higher for more in-distribution images.
    pub score: f64,
}

/// A gate that cannot be.
#[derive(Debug, Error, PartialEq)]
pub enum GateError {
    /// A method without a score of its own.
    #[error(
        "the methods dual and batch_typicality have no score of an image, which a gate needs; ask for combined, lid or likelihood"
    )]
    NoScore,
    /// A rate that so few images cannot tell.
    #[error(
        "a rate of false alarms of {rate} needs at least {needed} held-out images, not {found}: the smallest p-value is 1 / ({found} + 1); give it more (--held-out, where its training holds out so many), or raise the rate"
    )]
    TooFew {
        /// The rate.
        rate: f64,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
}

impl Gate {
    /// Fit the last method of the plan on its training images and calibrate it on held-out ones. Where it reads what the others read, these come before it.
    ///
    /// # Errors
    /// A method without a score, too few held-out images for the rate, whatever scoring fails with.
    pub fn calibrate<B: FlowBackend>(
        plan: &Plan,
        models: &Models<B>,
        held_out: &Images,
        false_alarms: f64,
    ) -> Result<Self, OodError> {
        let method = *plan.methods.last().ok_or(GateError::NoScore)?;
        super::method::spec(method).ok_or(GateError::NoScore)?;
        enough(held_out.len(), false_alarms)?;
        let fit = fit(plan, models)?;
        let mut gate = Self { method, fit, held_out: Vec::new(), false_alarms };
        gate.held_out = gate.scores(plan, models, held_out)?;
        gate.held_out.sort_by(f64::total_cmp);
        Ok(gate)
    }

    /// The same gate at another rate.
    ///
    /// # Errors
    /// Too few held-out images for it.
    pub fn at(mut self, false_alarms: f64) -> Result<Self, GateError> {
        enough(self.held_out.len(), false_alarms)?;
        self.false_alarms = false_alarms;
        Ok(self)
    }

    /// Images that it was calibrated on.
    pub fn calibrated_on(&self) -> usize {
        self.held_out.len()
    }

    /// Judge images, with the plan and the models that it was calibrated with.
    ///
    /// # Errors
    /// Images of another shape, scores that are not finite.
    pub fn judge<B: FlowBackend>(
        &self,
        plan: &Plan,
        models: &Models<B>,
        images: &Images,
    ) -> Result<Vec<Verdict>, OodError> {
        let scores = self.scores(plan, models, images)?;
        Ok(scores.into_iter().map(|score| self.verdict(score)).collect())
    }

    fn verdict(&self, score: f64) -> Verdict {
        let n = self.held_out.len() as f64;
        let as_low = self.held_out.partition_point(|s| *s <= score);
        let p_value = (1.0 + as_low as f64) / (n + 1.0);
        Verdict { accept: p_value > self.false_alarms, p_value, score }
    }

    fn scores<B: FlowBackend>(
        &self,
        plan: &Plan,
        models: &Models<B>,
        images: &Images,
    ) -> Result<Vec<f64>, OodError> {
        let set = score_with(plan, models, &self.fit, images)?;
        let scores = set.score(self.method).to_vec();
        let bad = scores.iter().filter(|s| s.is_nan()).count();
        if bad > 0 {
            let (what, set, of) = (self.method.name(), images.name.clone(), scores.len());
            return Err(OodError::NotFinite { what, set, bad, of });
        }
        Ok(scores)
    }
}

/// Whether so many images can tell a rate: the smallest p-value is `1 / (found + 1)`.
fn enough(found: usize, rate: f64) -> Result<(), GateError> {
    // 1 / 0.05 - 1 is 19.000000000000004.
    let needed = (1.0 / rate - 1.0 - 1e-9).ceil() as usize;
    if found < needed { Err(GateError::TooFew { rate, needed, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn gate(mut held_out: Vec<f64>, false_alarms: f64) -> Gate {
        held_out.sort_by(f64::total_cmp);
        Gate { method: Method::Likelihood, fit: Fit::default(), held_out, false_alarms }
    }

    #[test]
    fn p_values_are_ranks() {
        let gate = gate(vec![3.0, 1.0, 2.0], 0.25);
        let p = |score| gate.verdict(score).p_value;
        assert_eq!([0.5, 1.0, 1.5, 2.0, 9.0].map(p), [0.25, 0.5, 0.5, 0.75, 1.0]);
        assert!(!gate.verdict(0.5).accept && gate.verdict(1.0).accept);
        assert_eq!(gate.verdict(f64::NEG_INFINITY).p_value, 0.25);
    }

    #[test]
    fn false_alarms_are_as_often_as_stated() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut draw = |n| -> Vec<f64> { (0..n).map(|_| rng.random::<f64>().ln()).collect() };
        for rate in [0.01, 0.05, 0.3] {
            let (mut alarms, mut all) = (0, 0);
            for _ in 0..200 {
                let gate = gate(draw(199), rate);
                let images = draw(200);
                alarms += images.iter().filter(|s| !gate.verdict(**s).accept).count();
                all += images.len();
            }
            let share = alarms as f64 / all as f64;
            // Exactly the rate, as it is a multiple of 1/200; the standard error is at most 0.0033.
            assert!((share - rate).abs() < 0.011, "{share}, not {rate}");
        }
    }

    #[test]
    fn a_rate_needs_its_images() {
        let error = gate(vec![0.0; 18], 0.5).at(0.05).unwrap_err();
        assert_eq!(error, GateError::TooFew { rate: 0.05, needed: 19, found: 18 });
        assert!(gate(vec![0.0; 19], 0.5).at(0.05).is_ok());
    }
}
