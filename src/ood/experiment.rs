//! One experiment: in-distribution against OOD sets, by one run or several.

use super::{
    Models, OodError, Plan, SetScores, Statistic, Timing,
    evaluate::{DUAL_CROSS_FITTED, DUAL_ORACLE, Scored, rows},
    method::{self, LID, LIKELIHOOD, mean},
    score,
};
use crate::{
    config::{BootstrapConfig, Method, OodConfig},
    data::{Images, Kind},
    eval::{CONVENTION, EvalError, IN, Interval, OUT, bootstrap::Bootstrap},
    lid::{Prepared, scale},
    report::{self, Curve, Figure, Group, Row, ScoreTable},
    run::{RunDir, write_atomic},
};
use atypical_models::{FlowBackend, Model};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// The part of an experiment that one run judges.
#[derive(Debug)]
pub struct Experiment<'a> {
    /// Its settings.
    pub config: &'a OodConfig,
    /// Name of the run, as tables and figures write it.
    pub run: String,
    /// Training images for the scale.
    pub calibration: Images,
    /// Held-out in-distribution sets.
    pub inside: Vec<Images>,
    /// OOD sets.
    pub outside: Vec<Images>,
    /// `name: value` pairs for the report.
    pub facts: Vec<(String, String)>,
}

impl Experiment<'_> {
    /// The in-distribution sets, then the others.
    fn sets(&self) -> Vec<&Images> {
        self.inside.iter().chain(&self.outside).collect()
    }

    /// Refuse what is known to go wrong before anything is measured.
    ///
    /// # Errors
    /// As [`Plan::check`], and a set of one image where dual thresholds are asked for.
    pub fn check<B: FlowBackend>(&self, model: &Model<B>) -> Result<(), OodError> {
        let sets = self.sets();
        if self.config.methods.contains(&Method::Dual) {
            for (number, images) in sets.iter().enumerate() {
                let side = if number < self.inside.len() { IN } else { OUT };
                if images.len() < 2 {
                    return Err(EvalError::TooFew { side, count: images.len() }.into());
                }
            }
        }
        Plan::new(self.config, &self.calibration).check(model, &sets)
    }
}

/// What one run said of its sets.
#[derive(Debug)]
pub struct Judged<'a> {
    experiment: Experiment<'a>,
    /// Of the in-distribution sets, then of the others.
    scores: Vec<SetScores>,
    rows: Vec<Row>,
    results: RunResults,
    samples: Vec<u8>,
    latent_dimension: usize,
    timings: Vec<Timing>,
}

/// What an experiment found.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The label convention.
    pub convention: &'static str,
    /// One row a run, pair and method.
    pub rows: Vec<Row>,
    /// What the numbers of each run depend on.
    pub runs: Vec<RunResults>,
    /// Resamples behind every interval.
    pub resamples: usize,
    /// What was seen, in two sentences a run.
    pub finding: String,
    /// Settings that the numbers depend on.
    pub seed: u64,
}

/// The scale of one run's LID, and what was wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct RunResults {
    /// The run.
    pub run: String,
    /// The scale r (log-sigma), where LID is asked for.
    pub scale: Option<f64>,
    /// The dimension that the scale was calibrated to, where it was.
    pub calibrated_to: Option<f64>,
    /// Eigenvalues that came out negative by rounding, over all images.
    pub negative_eigenvalues: usize,
    /// Images whose Jacobian does not resolve the scale: r lies below [`Prepared::resolution`].
    pub unresolved: usize,
    /// Images at which matrix-free LID stopped short of its tolerance.
    pub not_converged: usize,
    /// Root mean square of the standard errors of matrix-free LID, in dimensions.
    pub lid_standard_error: Option<f64>,
    /// Sets with images that methods or the scale were fitted on: their numbers are flattered.
    pub fitted_on: Vec<Overlap>,
    /// OOD sets with images of in-distribution sets, which are on both sides.
    pub on_both_sides: Vec<Overlap>,
    /// Methods whose score is the same of all images of all sets: their AUROC of 0.5 says nothing.
    pub constant: Vec<&'static str>,
}

/// Images of a set that are elsewhere too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    /// The set.
    pub set: String,
    /// How many.
    pub images: usize,
}

impl Results {
    /// AUROC of a method on the first pair.
    pub fn auroc(&self, method: &str) -> Option<Interval> {
        self.rows.iter().find(|r| r.method == method).map(|r| r.auroc)
    }
}

/// Score the sets by a run, and evaluate the scores.
///
/// # Errors
/// Images of another shape, scores that are not finite.
pub fn judge<'a, B: FlowBackend>(
    experiment: Experiment<'a>,
    models: &Models<B>,
) -> Result<Judged<'a>, OodError> {
    experiment.check(models.scorer.model())?;
    let config = experiment.config;
    let sets = experiment.sets();
    let plan = Plan::new(config, &experiment.calibration);
    let (scores, chosen) = score(&plan, models, &sets)?;
    let prepared = || scores.iter().flat_map(|s| &s.prepared);
    let r = chosen.map_or(f64::NAN, |c| c.r);
    let errors: Vec<f64> = prepared().filter_map(|p| p.standard_error(r)).collect();
    let results = RunResults {
        run: experiment.run.clone(),
        scale: chosen.map(|c| c.r),
        calibrated_to: chosen.and_then(|c| c.dimension),
        unresolved: prepared().filter(|p| r < p.resolution()).count(),
        not_converged: prepared().filter(|p| !p.converged()).count(),
        lid_standard_error: (!errors.is_empty())
            .then(|| (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()),
        negative_eigenvalues: prepared().map(Prepared::negative).sum(),
        fitted_on: match plan.is_fitted() {
            true => overlaps(&[&plan.drawn()], &sets)?,
            false => Vec::new(),
        },
        on_both_sides: {
            let [inside, outside] = [&experiment.inside, &experiment.outside]
                .map(|sets| sets.iter().collect::<Vec<_>>());
            overlaps(&inside, &outside)?
        },
        constant: config.methods.iter().filter_map(|m| constant(*m, &scores)).collect(),
    };
    let entries: Vec<Scored> =
        scores.iter().map(|set| set.entries(&experiment.run, &config.methods)).collect();
    let (inside, outside) = entries.split_at(experiment.inside.len());
    let mut all = Vec::new();
    for inside in inside {
        all.extend(rows(inside, outside, &bootstrap(config))?);
    }
    let (samples, timings) = (models.scorer.samples(report::SHEET), models.timings());
    let latent_dimension = models.scorer.latent_dimension();
    Ok(Judged { rows: all, results, samples, latent_dimension, timings, scores, experiment })
}

/// The title of a method whose score is the same of all images.
fn constant(method: Method, scores: &[SetScores]) -> Option<&'static str> {
    let spec = method::spec(method)?;
    let mut values = scores.iter().flat_map(|set| set.score(method));
    let first = values.next();
    values.all(|value| Some(value) == first).then_some(spec.title)
}

/// The sets that hold some of the images of others.
fn overlaps(others: &[&Images], sets: &[&Images]) -> Result<Vec<Overlap>, OodError> {
    // By their digests: images on disk stay there.
    let mut known = HashSet::new();
    for other in others {
        for i in 0..other.len() {
            known.insert(Sha256::digest(other.sample(i)?));
        }
    }
    let mut overlaps = Vec::new();
    for images in sets {
        let mut shared = 0;
        for i in 0..images.len() {
            shared += usize::from(known.contains(&Sha256::digest(images.sample(i)?)));
        }
        if shared > 0 {
            overlaps.push(Overlap { set: images.name.clone(), images: shared });
        }
    }
    Ok(overlaps)
}

fn bootstrap(config: &OodConfig) -> Bootstrap {
    let BootstrapConfig { resamples, level } = config.bootstrap;
    Bootstrap { resamples, level, seed: config.seed }
}

impl Judged<'_> {
    fn inside(&self) -> &[SetScores] {
        &self.scores[..self.experiment.inside.len()]
    }

    fn outside(&self) -> &[SetScores] {
        &self.scores[self.experiment.inside.len()..]
    }

    /// Two sentences from the measured numbers of the first pair.
    fn finding(&self) -> String {
        let value =
            |method: &str| self.rows.iter().find(|r| r.method == method).map(|r| r.auroc.value);
        let (inside, outside) = (&self.inside()[0], &self.outside()[0]);
        let mut text = String::new();
        let likelihood = value(LIKELIHOOD);
        if let Some(likelihood) = likelihood {
            let (a, b) = (
                mean(inside.get(Statistic::LogLikelihood)),
                mean(outside.get(Statistic::LogLikelihood)),
            );
            text = format!(
                "An image of {} has a higher likelihood than one of {} in {:.0} % of all pairs ({} against {} nats on average): \
                 by likelihood alone the two are told apart with an AUROC of {likelihood:.3}. ",
                outside.name,
                inside.name,
                100.0 * (1.0 - likelihood),
                nats(b),
                nats(a)
            );
        }
        if let (Some(lid), Some(dual)) = (value(LID), value(DUAL_CROSS_FITTED)) {
            let (a, b) = (mean(inside.get(Statistic::Lid)), mean(outside.get(Statistic::Lid)));
            let more = match likelihood {
                // Within the noise of the sets, one is no more than the other.
                Some(likelihood) if lid.max(dual) <= likelihood + 0.02 => {
                    "Its geometry tells no more"
                }
                _ => "Its geometry tells more",
            };
            text.push_str(&format!(
                "{more}: the local intrinsic dimension is {b:.0} on average at {} images and {a:.0} at {} images, \
                 an AUROC of {lid:.3} for LID alone and of {dual:.3} for likelihood and LID together (cross-fitted).",
                outside.name, inside.name
            ));
        }
        text.trim_end().to_owned()
    }

    /// What the report says about the run.
    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = self.experiment.facts.clone();
        let results = &self.results;
        for Overlap { set, images } in &results.fitted_on {
            let name = "calibration images that are in a set, whose numbers they flatter";
            facts.push((name.to_owned(), format!("{images} in {set}")));
        }
        for Overlap { set, images } in &results.on_both_sides {
            let name = "images that are in-distribution and OOD";
            facts.push((name.to_owned(), format!("{images} in {set}")));
        }
        if !results.constant.is_empty() {
            facts.push(("the same of all images".to_owned(), results.constant.join(", ")));
        }
        if let Some(r) = results.scale {
            let how = results.calibrated_to.map_or(String::new(), |d| {
                format!(", calibrated to dimension {d:.0} on calibration images")
            });
            let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
            add("scale of LID", format!("r = {r:.3}{how}"));
            add("eigenvalues negative by rounding", results.negative_eigenvalues.to_string());
            add("images that do not resolve the scale", results.unresolved.to_string());
            if let Some(error) = results.lid_standard_error {
                let text = format!("{error:.1} dimensions (root mean square)");
                add("standard error of matrix-free LID", text);
                add("images short of the tolerance", results.not_converged.to_string());
            }
        }
        facts
    }

    /// Add the scores of all sets to a table.
    fn tabulate(&self, table: &mut ScoreTable) -> Result<(), OodError> {
        let sets = self.experiment.sets();
        for (number, (set, images)) in self.scores.iter().zip(sets).enumerate() {
            let label = if number < self.experiment.inside.len() { "in" } else { "out" };
            let mut columns = set.columns();
            let errors = |r| set.prepared.iter().map(|p: &Prepared| p.standard_error(r)).collect();
            let errors: Option<Vec<f64>> = self.results.scale.and_then(errors);
            if let Some(errors) = errors.as_ref().filter(|errors| !errors.is_empty()) {
                columns.push(("lid_standard_error".to_owned(), errors));
            }
            table.extend(&self.experiment.run, &set.name, label, &columns)?;
            table.name_files(images.files.as_deref());
        }
        Ok(())
    }

    /// The images of each set at both ends of the last score, which is a combination if there is one, and the name of that score.
    fn ends(&self) -> Result<(Vec<report::Ends>, &'static str), OodError> {
        let last = self.scores[0].scores.last().map(|(method, _)| *method);
        let title = last.and_then(method::spec).map_or(LIKELIHOOD, |spec| spec.title);
        let sets = self.experiment.sets().into_iter().zip(&self.scores);
        // Vectors are not to be seen.
        let ends = sets.filter(|(images, _)| images.kind == Kind::Pixels).map(|(images, set)| {
            let values = last.map_or(set.get(Statistic::LogLikelihood), |m| set.score(m));
            report::ends(images, values)
        });
        Ok((ends.collect::<Result<_, _>>()?, title))
    }

    fn figures(&self) -> Vec<Figure> {
        let scores = &self.scores;
        let groups = |statistic| -> Vec<Group<'_>> {
            scores.iter().map(|s| Group { name: &s.name, values: s.get(statistic) }).collect()
        };
        let mut figures = Vec::new();
        let with_likelihood = !scores[0].get(Statistic::LogLikelihood).is_empty();
        if with_likelihood {
            figures.push(report::histogram(
                "likelihood",
                "log-likelihood (nats)",
                "Log-likelihood of each image. Where the OOD images lie to the right of the in-distribution ones, likelihood misleads.".into(),
                &groups(Statistic::LogLikelihood),
            ));
        }
        let with_lid = !scores[0].get(Statistic::Lid).is_empty();
        if with_lid {
            figures.push(report::histogram(
                "lid",
                "local intrinsic dimension",
                "Local intrinsic dimension at each image: the number of directions in which the model lets it vary.".into(),
                &groups(Statistic::Lid),
            ));
        }
        if with_lid && with_likelihood {
            let points: Vec<(&str, &[f64], &[f64])> = scores
                .iter()
                .map(|s| (s.name.as_str(), s.get(Statistic::LogLikelihood), s.get(Statistic::Lid)))
                .collect();
            figures.push(report::scatter(
                "likelihood_lid",
                "Likelihood and LID together, one dot an image. Images of high likelihood and low LID sit on thin, dense regions that \
                 hold almost no probability."
                    .into(),
                &points,
            ));
        }
        let pairs = self.inside().iter().flat_map(|a| self.outside().iter().map(move |b| (a, b)));
        let one = self.scores.len() == 2;
        for (inside, outside) in pairs {
            let name = match one {
                true => "roc".to_owned(),
                false => format!("roc_{}_{}", inside.name, outside.name),
            };
            let caption = format!(
                "ROC of {} against {}, AUROC in the legend; below the diagonal a score ranks the wrong way round. Shaded: the {} interval at each false-positive rate, where there are many curves of the first and of the best one.",
                inside.name,
                outside.name,
                self.rows[0].auroc.coverage(),
            );
            figures.push(report::roc(&name, caption, &self.curves(inside, outside)));
        }
        if let (true, Some(chosen)) = (with_lid, self.results.scale) {
            let scales = scale::shown();
            let estimator = &self.experiment.config.lid.estimator;
            let band = |set: &SetScores| {
                let curves: Vec<Vec<f64>> =
                    set.prepared.iter().map(|p| estimator.curve(p)).collect();
                let at = |i: usize| curves.iter().map(|curve| curve[i]).collect();
                (0..scales.len()).map(|i| report::band(at(i))).collect()
            };
            let bands: Vec<(&str, Vec<[f64; 3]>)> =
                scores.iter().map(|set| (set.name.as_str(), band(set))).collect();
            figures.push(report::lid_curve(
                "lid_scale",
                "Mean LID against the scale at which it is read, with the band of the middle 80 % of images; the dashed line is the scale used.".into(),
                &scales,
                &bands,
                &[("all", chosen)],
                self.latent_dimension,
            ));
        }
        figures
    }

    /// The ROC curves of all scores on a pair.
    fn curves(&self, inside: &SetScores, outside: &SetScores) -> Vec<Curve> {
        let bootstrap = bootstrap(self.experiment.config);
        // The numbers of the table.
        let auroc = |method: &str| {
            let mut rows = self.rows.iter();
            let is_it = |r: &&Row| {
                r.inside == inside.name && r.outside == outside.name && r.method == method
            };
            rows.find(is_it).map_or(f64::NAN, |r| r.auroc.value)
        };
        let mut curves = Vec::new();
        for (method, a) in &inside.scores {
            let b = outside.score(*method);
            if let Some(spec) = method::spec(*method)
                && let Ok(curve) = Curve::new(spec.title, a, b, &bootstrap)
            {
                curves.push(Curve { auroc: auroc(spec.title), ..curve });
            }
        }
        let both = [Statistic::LogLikelihood, Statistic::Lid];
        if both.iter().all(|statistic| !inside.get(*statistic).is_empty()) {
            curves.extend(Curve::dual(DUAL_ORACLE, inside.pairs(), outside.pairs()));
        }
        curves
    }
}

/// Write what all runs found: `scores.parquet`, `metrics.json`, `timings.json`, the tables, `figures/` and `report.html`.
///
/// # Errors
/// Files that cannot be written.
pub fn write(
    title: String,
    judged: &[Judged],
    out: &RunDir,
    config_yaml: &str,
    mut facts: Vec<(String, String)>,
) -> Result<Results, OodError> {
    let several = judged.len() > 1;
    // What is said of one run among several says which.
    let of = |run: &Judged, text: &str| match several {
        true => format!("{}: {text}", run.experiment.run),
        false => text.to_owned(),
    };
    let config = judged[0].experiment.config;
    let findings: Vec<String> = judged
        .iter()
        .map(|run| (run, run.finding()))
        .filter(|(_, text)| !text.is_empty())
        .map(|(run, text)| of(run, &text))
        .collect();
    let results = Results {
        convention: CONVENTION,
        rows: judged.iter().flat_map(|run| run.rows.clone()).collect(),
        runs: judged.iter().map(|run| run.results.clone()).collect(),
        resamples: config.bootstrap.resamples,
        finding: findings.join("\n"),
        seed: config.seed,
    };
    write_atomic(&out.config(), config_yaml.as_bytes())?;
    let mut table = ScoreTable::default();
    let (mut figures, mut sheets): (Vec<Figure>, Vec<report::Sheet>) = Default::default();
    let (mut ends, mut timings): (Vec<report::Ends>, Vec<Timing>) = Default::default();
    for run in judged {
        run.tabulate(&mut table)?;
        figures.extend(run.figures().into_iter().map(|figure| match several {
            true => {
                let name = format!("{}_{}", run.experiment.run, figure.name);
                let caption = of(run, &figure.caption);
                figure.renamed(name, caption)
            }
            false => figure,
        }));
        facts.extend(run.facts().into_iter().map(|(name, value)| (of(run, &name), value)));
        for images in run.experiment.sets() {
            // A set that several runs judge is shown once.
            if sheets.iter().all(|sheet| sheet.caption != images.name) {
                let (digest, n) = (images.digest()?, images.len());
                let text = match images.kind {
                    Kind::Pixels => {
                        sheets.push(report::sheet(
                            images.name.clone(),
                            &images.take(report::SHEET).bytes()?,
                            images.shape,
                        ));
                        format!("{n} images, SHA-256 of their pixels {digest}…")
                    }
                    Kind::Vectors => format!("{n} vectors, SHA-256 of their numbers {digest}…"),
                };
                facts.push((images.name.clone(), text));
            }
        }
        let samples = of(run, "samples of the model");
        if run.experiment.inside[0].kind == Kind::Pixels && !run.samples.is_empty() {
            sheets.push(report::sheet(samples, &run.samples, run.experiment.inside[0].shape));
        }
        let (own, by) = run.ends()?;
        // Each run by its own score: they may have other methods.
        let by = |set: &str| format!("{}, by {by}", of(run, set));
        ends.extend(own.into_iter().map(|e| report::Ends { set: by(&e.set), ..e }));
        let named = |t: &Timing| Timing { what: of(run, &t.what), ..t.clone() };
        timings.extend(run.timings.iter().map(named));
    }
    table.write(&out.scores(), CONVENTION)?;
    let json = serde_json::to_vec_pretty(&results).unwrap_or_default();
    write_atomic(&out.metrics(), &json)?;
    let json = serde_json::to_vec_pretty(&timings).unwrap_or_default();
    write_atomic(&out.root().join("timings.json"), &json)?;
    report::write_tables(out.root(), &results.rows)?;
    for figure in &figures {
        figure.write(&out.figures())?;
    }
    let page = report::Page {
        sheets,
        ends,
        title,
        finding: results.finding.clone(),
        rows: &results.rows,
        figures: &figures,
        convention: CONVENTION,
        facts,
        timings: &timings,
        config: config_yaml.to_owned(),
    };
    write_atomic(&out.report(), report::html(&page)?.as_bytes())?;
    Ok(results)
}

/// A log-density with digits enough to tell two apart.
fn nats(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}
