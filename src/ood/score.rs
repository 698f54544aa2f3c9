//! Sets of images to scores: every statistic once an image, every method of them.

use super::{Chosen, Entry, Models, OodError, Scored, Statistic, Statistics, choose_scale, method};
use crate::{
    config::{LidConfig, Method},
    data::Images,
    eval::dual::Pairs,
    lid::{LidEstimator, Prepared, Spectral, StopAt},
};
use atypical_models::FlowBackend;
use std::collections::BTreeSet;

/// What is to be scored, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// By which methods.
    pub methods: &'a [Method],
    /// How LID is read.
    pub lid: &'a LidConfig,
    /// Training images, for the scale of LID and for the methods that are fitted.
    pub calibration: &'a Images,
    /// How many of them.
    pub calibration_count: usize,
    /// Seed of their draw.
    pub seed: u64,
}

/// The scores of one set.
#[derive(Clone, Debug)]
pub struct SetScores {
    /// SPEC of the set.
    pub name: String,
    /// What the methods read.
    pub statistics: Statistics,
    /// What LID is read from, where it is asked for.
    pub prepared: Vec<Prepared>,
    /// The scores of the methods that have one, in the order asked for.
    pub scores: Vec<(Method, Vec<f64>)>,
}

impl SetScores {
    /// A statistic of every image; nothing where it is not asked for.
    pub fn get(&self, statistic: Statistic) -> &[f64] {
        self.statistics.get(&statistic).map_or(&[], Vec::as_slice)
    }

    /// The scores by a method; nothing where it has none.
    pub fn score(&self, method: Method) -> &[f64] {
        let found = self.scores.iter().find(|(m, _)| *m == method);
        found.map_or(&[], |(_, scores)| scores)
    }

    /// Likelihood and LID.
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs { likelihood: self.get(Statistic::LogLikelihood), lid: self.get(Statistic::Lid) }
    }

    /// What tells this set from others, by some methods.
    pub fn entries(&self, methods: &[Method]) -> Scored<'_> {
        let entry = |method: &Method| match method::spec(*method) {
            Some(spec) => Entry::Score(spec.title, self.score(*method)),
            None => Entry::Dual(self.pairs()),
        };
        Scored { name: &self.name, entries: methods.iter().map(entry).collect() }
    }

    /// The statistics, and the scores that the methods make of them, as named columns.
    pub fn columns(&self) -> Vec<(String, &[f64])> {
        let statistics = self.statistics.iter().map(|(s, v)| (s.name().to_owned(), v.as_slice()));
        let scores = self.scores.iter().map(|(m, v)| (format!("score_{}", m.name()), v.as_slice()));
        statistics.chain(scores).collect()
    }
}

/// Score sets of images; the scale of LID is chosen, and methods are fitted, on training images alone.
///
/// # Errors
/// Images of another shape, statistics that are not finite, a scale that cannot be chosen, a method that cannot be fitted.
pub fn score<B: FlowBackend>(
    plan: &Plan,
    models: &Models<B>,
    sets: &[&Images],
) -> Result<(Vec<SetScores>, Option<Chosen>), OodError> {
    let scorer = &models.scorer;
    for images in sets.iter().copied().chain([plan.calibration]) {
        images.expect_shape(scorer.shape())?;
    }
    let asked = method::statistics(plan.methods);
    let mut scores = Vec::with_capacity(sets.len());
    for images in sets {
        let statistics = models.measure(images, &asked)?;
        let (prepared, of_methods) = (Vec::new(), Vec::new());
        let name = images.name.clone();
        scores.push(SetScores { name, statistics, prepared, scores: of_methods });
    }
    // Nothing is measured where nothing is fitted.
    let training = method::any_fitted(plan.methods)
        .then(|| plan.calibration.draw(plan.calibration_count, plan.seed));
    let mut train = match &training {
        Some(images) => models.measure(images, &asked)?,
        None => Statistics::new(),
    };
    let mut chosen = None;
    if asked.iter().any(|statistic| statistic.is_of_spectrum()) {
        let (estimator, route) = (plan.lid.estimator, plan.lid.estimator.route());
        let mut training_prepared = None;
        if estimator.has_scale() {
            let (scale, count, seed) = (&plan.lid.scale, plan.calibration_count, plan.seed);
            chosen = Some(choose_scale(
                estimator,
                scale,
                plan.calibration,
                count,
                seed,
                |images, stop| {
                    let prepared = scorer.prepare_all(images, route, stop)?;
                    // The images that methods are fitted on, too.
                    training_prepared = training.is_some().then(|| prepared.clone());
                    Ok(prepared)
                },
            )?);
        }
        let stop = chosen.map_or(StopAt::Everywhere, |c| StopAt::Scale(c.r));
        // An estimator without a scale does not look at r.
        let r = chosen.map_or(0.0, |c| c.r);
        if let Some(images) = &training {
            let prepared = match training_prepared {
                Some(prepared) => prepared,
                None => scorer.prepare_all(images, route, stop)?,
            };
            train.extend(read(plan, &asked, &prepared, r));
        }
        for (set, images) in scores.iter_mut().zip(sets) {
            set.prepared = scorer.prepare_all(images, route, stop)?;
            set.statistics.extend(read(plan, &asked, &set.prepared, r));
        }
    }
    for set in &mut scores {
        set.scores = method::scores(plan.methods, &train, &set.statistics)?;
    }
    Ok((scores, chosen))
}

/// The statistics of what LID is read from, at scale r.
fn read(plan: &Plan, asked: &BTreeSet<Statistic>, prepared: &[Prepared], r: f64) -> Statistics {
    let value = |statistic: Statistic, of: &Prepared| match (statistic, of) {
        (Statistic::LogRho, Prepared::Spectrum(spectrum)) => Spectral.log_rho(spectrum, r),
        (Statistic::LogRho, _) => f64::NAN,
        _ => plan.lid.estimator.lid(of, r),
    };
    let asked = asked.iter().copied().filter(|statistic| statistic.is_of_spectrum());
    asked.map(|s| (s, prepared.iter().map(|p| value(s, p)).collect())).collect()
}
