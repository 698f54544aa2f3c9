//! Several runs on one self-contained HTML page.

use super::{Comparison, History, number};
use crate::{
    report::{Axes, Figure, Series, curves, page, picture},
    run::{RunDir, RunError},
};
use minijinja::context;
use std::collections::BTreeSet;

/// Render the page: results and settings side by side, the curves of all runs in one figure a measure, the latest samples of each.
///
/// # Errors
/// Runs whose files cannot be read, a template that does not render.
pub fn of_runs(title: &str, runs: &[RunDir]) -> Result<String, PageError> {
    let comparison = Comparison::of(runs)?;
    let names: Vec<&str> = comparison.runs.iter().map(|run| run.name.as_str()).collect();
    let figures = figures(&names, &comparison.histories);
    let samples: Vec<_> = runs
        .iter()
        .zip(&names)
        .filter_map(|(run, name)| {
            let path = run.last_samples()?;
            let png = std::fs::read(&path).ok()?;
            let file =
                path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            Some(picture(format!("samples of {name}, {file}"), &png))
        })
        .collect();
    let lines: Vec<_> = comparison
        .runs
        .iter()
        .map(|run| {
            context! {
                name => run.name,
                of => run.subject(),
                state => run.state.to_string(),
                result => run.result(),
                best_epoch => run.best_epoch,
                seconds => run.seconds,
            }
        })
        .collect();
    let figures: Vec<_> =
        figures.iter().map(|f| context! { svg => f.svg, caption => f.caption }).collect();
    Ok(page(
        "runs.html",
        include_str!("templates/runs.html"),
        context! {
            title => title,
            lines => lines,
            names => names,
            results => comparison.results.iter().map(|result| context! {
                name => result.name,
                cells => result.values.iter().map(|v| v.map_or("-".to_owned(), number)).collect::<Vec<_>>(),
            }).collect::<Vec<_>>(),
            settings => comparison.settings,
            figures => figures,
            samples => samples,
            version => env!("CARGO_PKG_VERSION"),
        },
    )?)
}

/// One figure a measure that some run has in at least two epochs: the curves of all runs.
fn figures(names: &[&str], histories: &[History]) -> Vec<Figure> {
    let measures: BTreeSet<&str> = histories.iter().flat_map(History::names).collect();
    let hidden = ["step", "seconds", "lr"];
    let shown = measures.into_iter().filter(|name| !hidden.contains(name));
    let figure = |measure: &str| {
        let series: Vec<Series> = names
            .iter()
            .zip(histories)
            .map(|(name, history)| {
                let points = history.series(measure);
                let points = points.iter().map(|p| (p.epoch as f64, p.value)).collect();
                Series { name, points }
            })
            .filter(|series| !series.points.is_empty())
            .collect();
        let enough = series.iter().any(|series| series.points.len() > 1);
        let label = measure.replace(['_', '.'], " ");
        let caption = format!("{label} after each epoch");
        enough.then(|| curves(measure, caption, Axes { x: "epoch", y: &label }, &series))
    };
    shown.filter_map(figure).collect()
}

/// A page that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A run that cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The template.
    #[error("the page cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
}
