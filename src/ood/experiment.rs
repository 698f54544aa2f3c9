//! One experiment: in-distribution against OOD sets.

use super::{Failure, Scorer, choose_scale};
use crate::{
    config::{Method, OodConfig},
    data::{DataError, Images},
    eval::{
        CONVENTION, EvalError, IN, Interval, Metrics, OUT, Roc, bootstrap::Bootstrap, dual,
        dual::Pairs,
    },
    jacobian::JacobianError,
    lid::{LidEstimator, Prepared, ScaleError, StopAt, model_free::ModelFreeError, scale},
    progress::Verbosity,
    report::{self, Figure, Group, Row, ScoreError, ScoreTable},
    run::{RunDir, RunError, write_atomic},
};
use atypical_models::FlowBackend;
use serde::Serialize;
use thiserror::Error;

/// An experiment that cannot be finished.
#[derive(Debug, Error)]
pub enum OodError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The score file.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The scale of LID.
    #[error("the scale of LID cannot be chosen: {0}")]
    Scale(#[from] ScaleError),
    /// An image without a LID.
    #[error("{0}")]
    Image(#[from] Failure),
    /// A dimension that no LID takes.
    #[error(
        "the scale cannot be calibrated to dimension {target}: LID lies between 0 and {dimension}"
    )]
    Dimension {
        /// The dimension asked for.
        target: f64,
        /// D.
        dimension: usize,
    },
    /// A journal that does not hold what was written to it.
    #[error(
        "the journal {path} does not hold what was written to it; remove it and give the command again"
    )]
    Journal {
        /// The file.
        path: std::path::PathBuf,
    },
    /// An ensemble that cannot be one.
    #[error(
        "the estimator lidl needs an ensemble of runs trained on noised data (--ensemble A,B,… with `data.noise` set): {0}"
    )]
    Ensemble(String),
    /// A scale to be chosen, but nothing to choose it on.
    #[error(
        "choosing the scale needs training images; give them with --calibration SPEC, or a number as the scale"
    )]
    NoCalibration,
    /// The model-free dimension.
    #[error(
        "the dimension to calibrate the scale to cannot be estimated by LPCA: {0} (or give the dimension: --dimension, or lid.scale.dimension)"
    )]
    ModelFree(#[from] ModelFreeError),
    /// The dimension around every image.
    #[error("{estimator}: {problem}")]
    Local {
        /// The estimator.
        estimator: &'static str,
        /// What is wrong.
        problem: ModelFreeError,
    },
    /// A Jacobian.
    #[error("{0}")]
    Jacobian(#[from] JacobianError),
    /// Likelihoods that say nothing.
    #[error(
        "the log-likelihood of {bad} of the {of} images of {set} is NaN or infinite; the model is numerically broken there (check \
         the training's last losses, or train with a smaller learning rate)"
    )]
    Likelihood {
        /// The set.
        set: String,
        /// How many.
        bad: usize,
        /// Of how many.
        of: usize,
    },
    /// An error at one image.
    #[error("image {index} of {set}: {problem}")]
    At {
        /// The set.
        set: String,
        /// The image.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The report's template.
    #[error("the report cannot be rendered: {0}")]
    Report(#[from] minijinja::Error),
}

impl OodError {
    /// Say which image it is about.
    pub(super) fn at(self, set: &str, index: usize) -> Self {
        Self::At { set: set.to_owned(), index, problem: self.to_string() }
    }
}

/// The scores of one set.
#[derive(Clone, Debug)]
pub struct SetScores {
    /// SPEC of the set.
    pub name: String,
    /// log p(x) in nats.
    pub log_likelihood: Vec<f64>,
    /// What LID is read from, where it is asked for.
    pub prepared: Vec<Prepared>,
    /// LID at the chosen scale, where LID is asked for.
    pub lid: Vec<f64>,
}

/// The images of an experiment.
#[derive(Debug)]
pub struct Experiment<'a> {
    /// Its settings.
    pub config: &'a OodConfig,
    /// Title of the report.
    pub title: String,
    /// Training images for the scale.
    pub calibration: Images,
    /// Held-out in-distribution images.
    pub inside: Images,
    /// OOD images.
    pub outside: Vec<Images>,
    /// `name: value` pairs for the report.
    pub facts: Vec<(String, String)>,
    /// Progress.
    pub verbosity: Verbosity,
}

/// What an experiment found.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The label convention.
    pub convention: &'static str,
    /// One row a pair and method.
    pub rows: Vec<Row>,
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
    /// Resamples behind every interval.
    pub resamples: usize,
    /// What was seen, in two sentences.
    pub finding: String,
    /// Settings that the numbers depend on.
    pub seed: u64,
}

impl Results {
    /// AUROC of a method on the first pair.
    pub fn auroc(&self, method: &str) -> Option<Interval> {
        self.rows.iter().find(|r| r.method == method).map(|r| r.auroc)
    }
}

/// Names of the methods in every output.
pub const LIKELIHOOD: &str = "likelihood";
/// LID alone.
pub const LID: &str = "LID";
/// Likelihood and LID, frontier chosen on the samples it is scored with.
pub const DUAL_ORACLE: &str = "dual (oracle)";
/// Likelihood and LID, frontier chosen on the other half.
pub const DUAL_CROSS_FITTED: &str = "dual (cross-fitted)";

/// Score, evaluate and write `scores.parquet`, `metrics.json`, `table.md`, `table.tex`, `figures/` and `report.html`.
///
/// # Errors
/// Images of another shape, scores that are not finite, files that cannot be written.
pub fn run<B: FlowBackend>(
    experiment: &Experiment,
    scorer: &Scorer<B>,
    out: &RunDir,
    config_yaml: &str,
) -> Result<Results, OodError> {
    let config = experiment.config;
    let sets: Vec<&Images> =
        std::iter::once(&experiment.inside).chain(&experiment.outside).collect();
    for images in sets.iter().copied().chain([&experiment.calibration]) {
        images.expect_shape(scorer.shape())?;
    }
    if config.methods.contains(&Method::Dual) {
        for (side, images) in sets.iter().enumerate() {
            let side = if side == 0 { IN } else { OUT };
            if images.len() < 2 {
                return Err(EvalError::TooFew { side, count: images.len() }.into());
            }
        }
    }
    // Likelihoods first: they take seconds, and what is wrong with a model shows in them.
    let mut scores: Vec<SetScores> = Vec::new();
    for images in &sets {
        let log_likelihood = scorer.log_likelihood(images);
        let bad = log_likelihood.iter().filter(|v| !v.is_finite()).count();
        if bad > 0 {
            return Err(OodError::Likelihood { set: images.name.clone(), bad, of: images.len() });
        }
        let (prepared, lid) = (Vec::new(), Vec::new());
        scores.push(SetScores { name: images.name.clone(), log_likelihood, prepared, lid });
    }
    let mut chosen = None;
    if config.needs_lid() {
        let estimator = config.lid.estimator;
        let choose = || {
            choose_scale(
                estimator,
                &config.lid.scale,
                &experiment.calibration,
                config.calibration_count,
                config.seed,
                |images, stop| scorer.prepare_all(images, estimator.route(), stop),
            )
        };
        chosen = if estimator.has_scale() { Some(choose()?) } else { None };
        let stop = chosen.map_or(StopAt::Everywhere, |c| StopAt::Scale(c.r));
        // An estimator without a scale does not look at r.
        let r = chosen.map_or(0.0, |c| c.r);
        for (set, images) in scores.iter_mut().zip(&sets) {
            set.prepared = scorer.prepare_all(images, estimator.route(), stop)?;
            set.lid = set.prepared.iter().map(|p| estimator.lid(p, r)).collect();
        }
    }
    let prepared = || scores.iter().flat_map(|s| &s.prepared);
    let r = chosen.map_or(f64::NAN, |c| c.r);
    let errors: Vec<f64> = prepared().filter_map(|p| p.standard_error(r)).collect();
    let rows = evaluate(config, &scores)?;
    let results = Results {
        convention: CONVENTION,
        finding: finding(&rows, &scores),
        rows,
        scale: chosen.map(|c| c.r),
        calibrated_to: chosen.and_then(|c| c.dimension),
        unresolved: prepared().filter(|p| r < p.resolution()).count(),
        not_converged: prepared().filter(|p| !p.converged()).count(),
        lid_standard_error: (!errors.is_empty())
            .then(|| (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()),
        resamples: config.bootstrap.resamples,
        negative_eigenvalues: prepared().map(Prepared::negative).sum(),
        seed: config.seed,
    };
    write(experiment, &results, &scores, out, config_yaml)?;
    Ok(results)
}

fn evaluate(config: &OodConfig, scores: &[SetScores]) -> Result<Vec<Row>, OodError> {
    let bootstrap = Bootstrap {
        resamples: config.bootstrap.resamples,
        level: config.bootstrap.level,
        seed: config.seed,
    };
    let inside = &scores[0];
    let mut rows = Vec::new();
    for outside in &scores[1..] {
        let row = |method: &str, auroc, metrics| Row {
            inside: inside.name.clone(),
            outside: outside.name.clone(),
            method: method.to_owned(),
            auroc,
            metrics,
        };
        let single = |method, a: &[f64], b: &[f64]| -> Result<Row, EvalError> {
            Ok(row(method, bootstrap.auroc(a, b)?, Some(Metrics::new(a, b)?)))
        };
        for method in &config.methods {
            match method {
                Method::Likelihood => {
                    rows.push(single(LIKELIHOOD, &inside.log_likelihood, &outside.log_likelihood)?);
                }
                Method::Lid => rows.push(single(LID, &inside.lid, &outside.lid)?),
                Method::Dual => {
                    let (a, b) = (pairs(inside), pairs(outside));
                    rows.push(row(DUAL_ORACLE, bootstrap.dual_oracle(a, b)?, None));
                    rows.push(row(DUAL_CROSS_FITTED, bootstrap.dual_cross_fitted(a, b)?, None));
                }
            }
        }
    }
    Ok(rows)
}

fn pairs(set: &SetScores) -> Pairs<'_> {
    Pairs { likelihood: &set.log_likelihood, lid: &set.lid }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Two sentences from the measured numbers of the first pair.
fn finding(rows: &[Row], scores: &[SetScores]) -> String {
    let value = |method: &str| rows.iter().find(|r| r.method == method).map(|r| r.auroc.value);
    let (inside, outside) = (&scores[0], &scores[1]);
    let mut text = String::new();
    let likelihood = value(LIKELIHOOD);
    if let Some(likelihood) = likelihood {
        let (a, b) = (mean(&inside.log_likelihood), mean(&outside.log_likelihood));
        text = format!(
            "An image of {} has a higher likelihood than one of {} in {:.0} % of all pairs ({b:.0} against {a:.0} nats on average): \
             by likelihood alone the two are told apart with an AUROC of {likelihood:.3}. ",
            outside.name,
            inside.name,
            100.0 * (1.0 - likelihood)
        );
    }
    if let (Some(lid), Some(dual)) = (value(LID), value(DUAL_CROSS_FITTED)) {
        let (a, b) = (mean(&inside.lid), mean(&outside.lid));
        let more = match likelihood {
            Some(likelihood) if lid.max(dual) <= likelihood => "Its geometry tells no more",
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

fn write(
    experiment: &Experiment,
    results: &Results,
    scores: &[SetScores],
    out: &RunDir,
    config_yaml: &str,
) -> Result<(), OodError> {
    write_atomic(&out.config(), config_yaml.as_bytes())?;
    let mut table = ScoreTable::default();
    for (i, set) in scores.iter().enumerate() {
        let mut columns: Vec<(&str, &[f64])> = vec![("log_likelihood", &set.log_likelihood)];
        if !set.lid.is_empty() {
            columns.push(("lid", &set.lid));
        }
        let errors: Option<Vec<f64>> =
            results.scale.and_then(|r| set.prepared.iter().map(|p| p.standard_error(r)).collect());
        if let Some(errors) = errors.as_ref().filter(|_| !set.lid.is_empty()) {
            columns.push(("lid_standard_error", errors));
        }
        table.extend(&set.name, if i == 0 { "in" } else { "out" }, &columns)?;
    }
    table.write(&out.scores(), CONVENTION)?;
    let json = serde_json::to_vec_pretty(results).unwrap_or_default();
    write_atomic(&out.metrics(), &json)?;
    write_atomic(&out.root().join("table.md"), report::markdown(&results.rows).as_bytes())?;
    write_atomic(&out.root().join("table.tex"), report::latex(&results.rows).as_bytes())?;

    let figures = figures(experiment, results, scores);
    for figure in &figures {
        figure.write(&out.figures())?;
    }
    let mut facts = experiment.facts.clone();
    if let Some(r) = results.scale {
        let how = results.calibrated_to.map_or(String::new(), |d| {
            format!(", calibrated to dimension {d:.0} on training images")
        });
        facts.push(("scale of LID".into(), format!("r = {r:.3}{how}")));
        let negative = results.negative_eigenvalues;
        facts.push(("eigenvalues negative by rounding".into(), negative.to_string()));
        facts.push(("images that do not resolve the scale".into(), results.unresolved.to_string()));
        if let Some(error) = results.lid_standard_error {
            let text = format!("{error:.1} dimensions (root mean square)");
            facts.push(("standard error of matrix-free LID".into(), text));
            let short = results.not_converged.to_string();
            facts.push(("images short of the tolerance".into(), short));
        }
    }
    let page = report::Page {
        title: experiment.title.clone(),
        finding: results.finding.clone(),
        rows: &results.rows,
        figures: &figures,
        convention: CONVENTION,
        facts,
        config: config_yaml.to_owned(),
    };
    write_atomic(&out.report(), report::html(&page)?.as_bytes())?;
    Ok(())
}

fn figures(experiment: &Experiment, results: &Results, scores: &[SetScores]) -> Vec<Figure> {
    let groups = |column: fn(&SetScores) -> &[f64]| -> Vec<Group<'_>> {
        scores.iter().map(|s| Group { name: &s.name, values: column(s) }).collect()
    };
    let mut figures = vec![report::histogram(
        "likelihood",
        "log-likelihood (nats)",
        "Log-likelihood of each image. Where the OOD images lie to the right of the in-distribution ones, likelihood misleads.".into(),
        &groups(|s| &s.log_likelihood),
    )];
    let inside = &scores[0];
    let with_lid = !inside.lid.is_empty();
    if with_lid {
        figures.push(report::histogram(
            "lid",
            "local intrinsic dimension",
            "Local intrinsic dimension at each image: the number of directions in which the model lets it vary.".into(),
            &groups(|s| &s.lid),
        ));
        let points: Vec<(&str, &[f64], &[f64])> = scores
            .iter()
            .map(|s| (s.name.as_str(), s.log_likelihood.as_slice(), s.lid.as_slice()))
            .collect();
        figures.push(report::scatter(
            "likelihood_lid",
            "Likelihood and LID together, one dot an image. Images of high likelihood and low LID sit on thin, dense regions that \
             hold almost no probability."
                .into(),
            &points,
        ));
    }
    for (i, outside) in scores[1..].iter().enumerate() {
        // The numbers of the table.
        let area = |method: &str| {
            let mut rows = results.rows.iter();
            let row = rows.find(|r| r.outside == outside.name && r.method == method);
            row.map_or(String::new(), |r| format!("{:.3}", r.auroc.value))
        };
        let mut curves = Vec::new();
        let mut single = |label: &str, a: &[f64], b: &[f64]| {
            if let Ok(roc) = Roc::new(a, b) {
                let points = roc.fpr.iter().copied().zip(roc.tpr.iter().copied()).collect();
                curves.push((format!("{label} {}", area(label)), points));
            }
        };
        single(LIKELIHOOD, &inside.log_likelihood, &outside.log_likelihood);
        if with_lid {
            single(LID, &inside.lid, &outside.lid);
            if let Ok(points) = dual::frontier(pairs(inside), pairs(outside)) {
                let points = points.iter().map(|p| (p.fpr, p.tpr)).collect();
                curves.push((format!("{DUAL_ORACLE} {}", area(DUAL_ORACLE)), points));
            }
        }
        let name = if scores.len() == 2 { "roc".to_owned() } else { format!("roc_{}", i + 1) };
        figures.push(report::roc(
            &name,
            format!("ROC of {} against {}, AUROC in the legend; below the diagonal a score ranks the wrong way round.", inside.name, outside.name),
            &curves,
        ));
    }
    if let (true, Some(chosen)) = (with_lid, results.scale) {
        let scales = scale::shown();
        let estimator = &experiment.config.lid.estimator;
        let bands: Vec<(&str, Vec<[f64; 3]>)> = scores
            .iter()
            .map(|set| {
                let curves: Vec<Vec<f64>> =
                    set.prepared.iter().map(|p| estimator.curve(p)).collect();
                let at = |i: usize| curves.iter().map(|curve| curve[i]).collect();
                let bands = (0..scales.len()).map(|i| report::band(at(i))).collect();
                (set.name.as_str(), bands)
            })
            .collect();
        figures.push(report::lid_curve(
            "lid_scale",
            "Mean LID against the scale at which it is read, with the band of the middle 80 % of images; the dashed line is the scale used.".into(),
            &scales,
            &bands,
            &[("all", chosen)],
            experiment.inside.dimension(),
        ));
    }
    figures
}
