//! An experiment, shown to trackers once it is done.

use super::{Auroc, Cell, Live, Outcome, Table, TrackError, aurocs};
use crate::{config::TrackConfig, report::Columns, run::RunDir};
use serde_json::Value;
use std::collections::BTreeMap;

/// Columns of the score file that say what a row is.
const NAMES: [&str; 2] = ["dataset", "label"];
/// The two scores that belong into one picture.
const PAIR: [&str; 2] = ["log_likelihood", "lid"];

/// Show an experiment: every AUROC, the scores as tables under the names that the Python reference gave them (`scatter/…`, `scores_histogram/…`), the figures, the report.
///
/// # Errors
/// Settings that a tracker does not take. What is missing in the folder is left out.
pub fn show(
    config: &TrackConfig,
    run: &RunDir,
    name: &str,
    settings: Value,
) -> Result<(), TrackError> {
    let live = Live::start(config, run, name, settings)?;
    let results: BTreeMap<String, f64> =
        aurocs(run).iter().map(|auroc| (key(auroc), auroc.value)).collect();
    live.log(0, "", &serde_json::json!(results));
    if let Ok(scores) = Columns::read(&run.scores()) {
        if let Some(table) = table(&scores, &PAIR) {
            let [a, b] = PAIR;
            live.table(&format!("scatter/Score-Scatterplot-{a}-vs-{b}"), || table);
        }
        for column in PAIR {
            if let Some(table) = table(&scores, &[column]) {
                live.table(&format!("scores_histogram/{column}"), || table);
            }
        }
    }
    for entry in std::fs::read_dir(run.figures()).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        if let (Some(name), true) = (name, path.extension().is_some_and(|e| e == "png"))
            && let Ok(png) = std::fs::read(&path)
        {
            live.image(0, &format!("figures/{name}"), &png);
        }
    }
    for file in [run.report(), run.metrics(), run.scores(), run.config()] {
        live.file(&file);
    }
    live.summary(0, results);
    live.finish(Outcome::Done);
    Ok(())
}

/// What an AUROC is called. Trackers make folders of what stands before a slash, which SPECs have too.
fn key(auroc: &Auroc) -> String {
    let [inside, outside] = auroc.sets.clone().map(|spec| spec.replace('/', "_"));
    format!("auroc/{} {inside} vs {outside}", auroc.method)
}

/// Columns of scores with what each row is; none where one is not there.
fn table(scores: &Columns, columns: &[&str]) -> Option<Table> {
    let names: Vec<&str> = NAMES.iter().chain(columns).copied().collect();
    let found: Option<Vec<&[String]>> = names.iter().map(|name| scores.get(name)).collect();
    let found = found?;
    let cell = |column: &&[String], row: usize| match column[row].parse::<f64>() {
        Ok(number) => Cell::from(number),
        Err(_) => Cell::from(column[row].as_str()),
    };
    let rows = (0..scores.rows()).map(|row| found.iter().map(|column| cell(column, row)).collect());
    Some(Table {
        columns: names.iter().map(|name| (*name).to_owned()).collect(),
        rows: rows.collect(),
    })
}
