//! Sets of images to scores: every statistic once an image, every method of them.

use super::{
    Chosen, Entry, Models, OodError, Scored, Statistic, Statistics, choose_scale,
    method::{self, FitError, batch_typicality},
    scorer::{latent_dimension, within_reach},
    statistic::{check_finite, p_value},
};
use crate::{
    config::{LidConfig, Method, OodConfig},
    data::{Images, Kind},
    eval::dual::Pairs,
    lid::{Estimator, LidEstimator, Prepared, Scale, Spectral, StopAt},
};
use atypical_models::{Ability, FlowBackend, Model, Undefined};
use serde::{Deserialize, Serialize};
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
    /// Seed of their draw, and of batches.
    pub seed: u64,
    /// Images of a batch, for the method that judges batches.
    pub batch: usize,
}

impl<'a> Plan<'a> {
    /// What a configuration asks for, by these training images.
    pub fn new(config: &'a OodConfig, calibration: &'a Images) -> Self {
        Self {
            methods: &config.methods,
            lid: &config.lid,
            calibration,
            calibration_count: config.calibration_count,
            seed: config.seed,
            batch: config.batch,
        }
    }

    /// The training images that methods and the scale are fitted on.
    pub fn drawn(&self) -> Images {
        self.calibration.draw(self.calibration_count, self.seed)
    }

    /// Refuse what is known to go wrong before anything is measured: images of another shape or kind than the model and the methods take, too few of them, what
    /// the model has not, a dimension that its LID does not reach.
    ///
    /// # Errors
    /// The first that is found.
    pub fn check<B: FlowBackend>(
        &self,
        model: &Model<B>,
        sets: &[&Images],
    ) -> Result<(), OodError> {
        let batched = self.methods.contains(&Method::BatchTypicality);
        for images in sets.iter().copied().chain([self.calibration]) {
            expect_domain(model, images)?;
        }
        let too_few = sets.iter().find(|images| batched && images.len() < self.batch);
        if let Some(images) = too_few {
            let (set, batch, found) = (images.name.clone(), self.batch, images.len());
            return Err(OodError::Batch { set, batch, found });
        }
        for &method in self.methods {
            if let (true, Kind::Vectors) = (is_coded(method), self.calibration.kind) {
                return Err(OodError::NoPictures { set: self.calibration.name.clone() });
            }
            if let Some(why) = undefined(method, self.lid.estimator, model) {
                let what = format!("the method {}", method.name());
                return Err(OodError::Undefined { what, why });
            }
        }
        if let (true, Scale::Calibrated { dimension: Some(target), .. }) =
            (self.reads_scale(), &self.lid.scale)
        {
            within_reach(*target, latent_dimension(model))?;
        }
        let found = self.calibration.len().min(self.calibration_count);
        match method::neediest(self.methods) {
            Some((method, needed)) if found < needed => {
                Err(FitError::TooFew { method: method.name(), needed, found }.into())
            }
            _ => Ok(()),
        }
    }

    /// What is measured: all that the methods read, and the log-likelihood of a model that has one, for the report.
    fn asked<B: FlowBackend>(&self, models: &Models<B>) -> BTreeSet<Statistic> {
        let mut asked = method::statistics(self.methods);
        if models.scorer.model().lacks(Ability::Density).is_none() {
            asked.insert(Statistic::LogLikelihood);
        }
        asked
    }

    /// Whether LID is asked for, at a scale.
    fn reads_scale(&self) -> bool {
        reads_spectrum(&method::statistics(self.methods)) && self.lid.estimator.has_scale()
    }

    /// Whether anything is fitted.
    pub fn is_fitted(&self) -> bool {
        let scaled = self.reads_scale() && !matches!(self.lid.scale, Scale::Fixed { .. });
        scaled || method::any_fitted(self.methods)
    }
}

/// Whether a method compares a log-density with the length of a code.
fn is_coded(method: Method) -> bool {
    matches!(method, Method::Complexity | Method::ComplexityMixture)
}

/// Why a method cannot judge by a model, with LID by `estimator`; nothing where it can.
pub fn undefined<B: FlowBackend>(
    method: Method,
    estimator: Estimator,
    model: &Model<B>,
) -> Option<Undefined> {
    let needed = |statistic: Statistic| match statistic {
        Statistic::Lid => estimator.needs(),
        statistic => statistic.needs(),
    };
    let coded = is_coded(method).then_some(Ability::Bits);
    let mut needed =
        coded.into_iter().chain(method::reads(method).iter().copied().filter_map(needed));
    needed.find_map(|ability| model.lacks(ability))
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
    /// Scores of batches, where they are asked for.
    pub batches: Vec<f64>,
    /// p-values of [`Statistic::LatentFit`], where it is asked for.
    pub p_values: Vec<f64>,
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

    /// What tells this set from others, by some methods, in a run.
    pub fn entries<'a>(&'a self, run: &'a str, methods: &[Method]) -> Scored<'a> {
        let entry = |method: &Method| match (method::spec(*method), method) {
            (Some(spec), _) => Entry::Score(spec.title, self.score(*method)),
            (None, Method::BatchTypicality) => {
                Entry::Batches("typicality of batches", &self.batches)
            }
            (None, _) => Entry::Dual(self.pairs()),
        };
        Scored { name: &self.name, run, entries: methods.iter().map(entry).collect() }
    }

    /// The statistics, and the scores that the methods make of them, as named columns.
    pub fn columns(&self) -> Vec<(String, &[f64])> {
        let statistics = self.statistics.iter().map(|(s, v)| (s.name().to_owned(), v.as_slice()));
        let scores = self.scores.iter().map(|(m, v)| (format!("score_{}", m.name()), v.as_slice()));
        let p_values = (!self.p_values.is_empty()).then(|| {
            (format!("{}_p_value", Statistic::LatentFit.name()), self.p_values.as_slice())
        });
        statistics.chain(p_values).chain(scores).collect()
    }
}

/// Refuse images that are not of the model's domain.
///
/// # Errors
/// Images of another shape, vectors outside of [0, 1] where a flow begins with a logit.
pub fn expect_domain<B: FlowBackend>(model: &Model<B>, images: &Images) -> Result<(), OodError> {
    images.expect_shape(model.shape())?;
    if !model.as_flow().is_some_and(|flow| flow.begins_with_logit()) {
        return Ok(());
    }
    match images.outside_of_unit()? {
        Some(dimension) => Err(OodError::OutsideLogit { set: images.name.clone(), dimension }),
        None => Ok(()),
    }
}

/// What methods know of training images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Statistics of training images; none where no method is fitted.
    pub train: Statistics,
    /// The scale of LID; none where it is not read or the estimator has none.
    pub chosen: Option<Chosen>,
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
    plan.check(models.scorer.model(), sets)?;
    // All that takes seconds comes first.
    let measured: Result<Vec<SetScores>, OodError> =
        sets.iter().map(|images| measure(plan, models, images)).collect();
    let measured = measured?;
    let fit = fit(plan, models)?;
    let scores = measured.into_iter().zip(sets);
    let scores: Result<_, _> =
        scores.map(|(set, images)| finish(plan, models, &fit, set, images)).collect();
    Ok((scores?, fit.chosen))
}

/// Score a set by what is known of training images.
///
/// # Errors
/// Images of another shape, statistics that are not finite, a method that cannot be fitted.
pub fn score_with<B: FlowBackend>(
    plan: &Plan,
    models: &Models<B>,
    fit: &Fit,
    images: &Images,
) -> Result<SetScores, OodError> {
    images.expect_shape(models.scorer.shape())?;
    let measured = measure(plan, models, images)?;
    finish(plan, models, fit, measured, images)
}

/// Choose the scale of LID, and measure what methods are fitted on, on training images.
///
/// # Errors
/// Too few training images, statistics that are not finite, a scale that cannot be chosen.
pub fn fit<B: FlowBackend>(plan: &Plan, models: &Models<B>) -> Result<Fit, OodError> {
    plan.check(models.scorer.model(), &[])?;
    let scorer = &models.scorer;
    let asked = plan.asked(models);
    // Nothing is measured where nothing is fitted.
    let training = method::any_fitted(plan.methods).then(|| plan.drawn());
    let mut fit = Fit::default();
    if let Some(images) = &training {
        fit.train = models.measure(images, &asked)?;
    }
    if !reads_spectrum(&asked) {
        return Ok(fit);
    }
    let (estimator, route) = (plan.lid.estimator, plan.lid.estimator.route());
    let mut prepared = None;
    if estimator.has_scale() {
        let (scale, count, seed) = (&plan.lid.scale, plan.calibration_count, plan.seed);
        let prepare = |images: &Images, stop| {
            let all = scorer.prepare_all(images, route, stop)?;
            // The images that methods are fitted on, too.
            prepared = training.is_some().then(|| all.clone());
            Ok(all)
        };
        fit.chosen = Some(choose_scale(
            estimator,
            scale,
            plan.calibration,
            scorer.latent_dimension(),
            count,
            seed,
            prepare,
        )?);
    }
    if let Some(images) = &training {
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => scorer.prepare_all(images, route, stop(fit.chosen))?,
        };
        let of_spectrum = read(plan, &asked, &prepared, fit.chosen);
        check_finite(&of_spectrum, images)?;
        fit.train.extend(of_spectrum);
    }
    Ok(fit)
}

/// All statistics but those of the spectrum.
fn measure<B: FlowBackend>(
    plan: &Plan,
    models: &Models<B>,
    images: &Images,
) -> Result<SetScores, OodError> {
    let statistics = models.measure(images, &plan.asked(models))?;
    let name = images.name.clone();
    let p_values = statistics
        .get(&Statistic::LatentFit)
        .map_or(Vec::new(), |fits| fits.iter().map(|fit| p_value(*fit)).collect());
    let (prepared, scores, batches) = Default::default();
    Ok(SetScores { name, statistics, prepared, scores, batches, p_values })
}

/// The statistics of the spectrum, and the scores.
fn finish<B: FlowBackend>(
    plan: &Plan,
    models: &Models<B>,
    fit: &Fit,
    mut set: SetScores,
    images: &Images,
) -> Result<SetScores, OodError> {
    let asked = plan.asked(models);
    if reads_spectrum(&asked) {
        let route = plan.lid.estimator.route();
        set.prepared = models.scorer.prepare_all(images, route, stop(fit.chosen))?;
        let of_spectrum = read(plan, &asked, &set.prepared, fit.chosen);
        check_finite(&of_spectrum, images)?;
        set.statistics.extend(of_spectrum);
    }
    set.scores = method::scores(plan.methods, &fit.train, &set.statistics)?;
    if plan.methods.contains(&Method::BatchTypicality) {
        let of =
            |from: &Statistics| from.get(&Statistic::LogLikelihood).cloned().unwrap_or_default();
        let (likelihoods, training) = (of(&set.statistics), of(&fit.train));
        set.batches = batch_typicality::scores(&likelihoods, &training, plan.batch, plan.seed);
    }
    Ok(set)
}

fn reads_spectrum(asked: &BTreeSet<Statistic>) -> bool {
    asked.iter().any(|statistic| statistic.is_of_spectrum())
}

fn stop(chosen: Option<Chosen>) -> StopAt {
    chosen.map_or(StopAt::Everywhere, |c| StopAt::Scale(c.r))
}

/// The statistics of what LID is read from, at the chosen scale.
fn read(
    plan: &Plan,
    asked: &BTreeSet<Statistic>,
    prepared: &[Prepared],
    chosen: Option<Chosen>,
) -> Statistics {
    // An estimator without a scale does not look at r.
    let r = chosen.map_or(0.0, |c| c.r);
    let value = |statistic: Statistic, of: &Prepared| match (statistic, of) {
        (Statistic::LogRho, Prepared::Spectrum(spectrum)) => Spectral.log_rho(spectrum, r),
        (Statistic::LogRho, _) => f64::NAN,
        _ => plan.lid.estimator.lid(of, r),
    };
    let asked = asked.iter().copied().filter(|statistic| statistic.is_of_spectrum());
    asked.map(|s| (s, prepared.iter().map(|p| value(s, p)).collect())).collect()
}
