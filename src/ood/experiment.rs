//! One experiment: in-distribution against OOD sets.

use super::{
    Models, OodError, Plan, SetScores, Statistic,
    evaluate::{DUAL_CROSS_FITTED, DUAL_ORACLE, RowError, Scored, rows},
    method::{self, LID, LIKELIHOOD, mean},
    score,
};
use crate::{
    config::{BootstrapConfig, Method, OodConfig},
    data::Images,
    eval::{CONVENTION, EvalError, IN, Interval, OUT, Roc, bootstrap::Bootstrap, dual},
    lid::{Prepared, scale},
    progress::Verbosity,
    report::{self, Figure, Group, Row, ScoreTable},
    run::{RunDir, write_atomic},
};
use atypical_models::FlowBackend;
use serde::Serialize;

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

impl Experiment<'_> {
    /// The in-distribution set, then the others.
    fn sets(&self) -> Vec<&Images> {
        std::iter::once(&self.inside).chain(&self.outside).collect()
    }
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

/// Score, evaluate and write `scores.parquet`, `metrics.json`, `table.md`, `table.tex`, `matrix.md`, `matrix.tex`, `figures/` and `report.html`.
///
/// # Errors
/// Images of another shape, scores that are not finite, files that cannot be written.
pub fn run<B: FlowBackend>(
    experiment: &Experiment,
    models: &Models<B>,
    out: &RunDir,
    config_yaml: &str,
) -> Result<Results, OodError> {
    let config = experiment.config;
    let sets = experiment.sets();
    if config.methods.contains(&Method::Dual) {
        for (side, images) in sets.iter().enumerate() {
            let side = if side == 0 { IN } else { OUT };
            if images.len() < 2 {
                return Err(EvalError::TooFew { side, count: images.len() }.into());
            }
        }
    }
    let plan = Plan::new(config, &experiment.calibration);
    let (scores, chosen) = score(&plan, models, &sets)?;
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
    let samples = models.scorer.samples(report::SHEET);
    write(experiment, &results, &scores, &samples, out, config_yaml)?;
    Ok(results)
}

fn evaluate(config: &OodConfig, scores: &[SetScores]) -> Result<Vec<Row>, RowError> {
    let BootstrapConfig { resamples, level } = config.bootstrap;
    let bootstrap = Bootstrap { resamples, level, seed: config.seed };
    let scored: Vec<Scored> = scores.iter().map(|set| set.entries(&config.methods)).collect();
    let [inside, outside @ ..] = scored.as_slice() else { return Ok(Vec::new()) };
    rows(inside, outside, &bootstrap)
}

/// Two sentences from the measured numbers of the first pair.
fn finding(rows: &[Row], scores: &[SetScores]) -> String {
    let value = |method: &str| rows.iter().find(|r| r.method == method).map(|r| r.auroc.value);
    let (inside, outside) = (&scores[0], &scores[1]);
    let mut text = String::new();
    let likelihood = value(LIKELIHOOD);
    if let Some(likelihood) = likelihood {
        let (a, b) = (
            mean(inside.get(Statistic::LogLikelihood)),
            mean(outside.get(Statistic::LogLikelihood)),
        );
        text = format!(
            "An image of {} has a higher likelihood than one of {} in {:.0} % of all pairs ({b:.0} against {a:.0} nats on average): \
             by likelihood alone the two are told apart with an AUROC of {likelihood:.3}. ",
            outside.name,
            inside.name,
            100.0 * (1.0 - likelihood)
        );
    }
    if let (Some(lid), Some(dual)) = (value(LID), value(DUAL_CROSS_FITTED)) {
        let (a, b) = (mean(inside.get(Statistic::Lid)), mean(outside.get(Statistic::Lid)));
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
    samples: &[u8],
    out: &RunDir,
    config_yaml: &str,
) -> Result<(), OodError> {
    write_atomic(&out.config(), config_yaml.as_bytes())?;
    let mut table = ScoreTable::default();
    for (i, set) in scores.iter().enumerate() {
        let mut columns = set.columns();
        let errors: Option<Vec<f64>> =
            results.scale.and_then(|r| set.prepared.iter().map(|p| p.standard_error(r)).collect());
        if let Some(errors) = errors.as_ref().filter(|errors| !errors.is_empty()) {
            columns.push(("lid_standard_error".to_owned(), errors));
        }
        table.extend(&set.name, if i == 0 { "in" } else { "out" }, &columns)?;
    }
    table.write(&out.scores(), CONVENTION)?;
    let json = serde_json::to_vec_pretty(results).unwrap_or_default();
    write_atomic(&out.metrics(), &json)?;
    report::write_tables(out.root(), &results.rows)?;

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
    let sets = experiment.sets();
    for images in &sets {
        let text = format!("{} images, SHA-256 of their pixels {}…", images.len(), images.digest());
        facts.push((images.name.clone(), text));
    }
    let shape = experiment.inside.shape;
    let of_set = |images: &&Images| report::sheet(images.name.clone(), &images.pixels, shape);
    let mut sheets: Vec<report::Sheet> = sets.iter().map(of_set).collect();
    sheets.push(report::sheet("samples of the model".into(), samples, shape));
    // The last method with a score: a combination, if there is one.
    let (by, method) = match scores[0].scores.last() {
        Some((method, _)) => (method::spec(*method).map_or("", |spec| spec.title), Some(*method)),
        None => (LIKELIHOOD, None),
    };
    let ends = sets.iter().zip(scores).map(|(images, set)| {
        let values = method.map_or(set.get(Statistic::LogLikelihood), |m| set.score(m));
        report::ends(&images.name, &images.pixels, shape, values)
    });
    let page = report::Page {
        sheets,
        ends: ends.collect(),
        ends_by: by.to_owned(),
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
    let groups = |statistic| -> Vec<Group<'_>> {
        scores.iter().map(|s| Group { name: &s.name, values: s.get(statistic) }).collect()
    };
    let mut figures = vec![report::histogram(
        "likelihood",
        "log-likelihood (nats)",
        "Log-likelihood of each image. Where the OOD images lie to the right of the in-distribution ones, likelihood misleads.".into(),
        &groups(Statistic::LogLikelihood),
    )];
    let inside = &scores[0];
    let with_lid = !inside.get(Statistic::Lid).is_empty();
    if with_lid {
        figures.push(report::histogram(
            "lid",
            "local intrinsic dimension",
            "Local intrinsic dimension at each image: the number of directions in which the model lets it vary.".into(),
            &groups(Statistic::Lid),
        ));
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
                curves.push((format!("{label} {}", area(label)), roc.points()));
            }
        };
        for (method, scores) in &inside.scores {
            if let Some(spec) = method::spec(*method) {
                single(spec.title, scores, outside.score(*method));
            }
        }
        if with_lid && let Ok(points) = dual::frontier(inside.pairs(), outside.pairs()) {
            let points = points.iter().map(|p| (p.fpr, p.tpr)).collect();
            curves.push((format!("{DUAL_ORACLE} {}", area(DUAL_ORACLE)), points));
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
