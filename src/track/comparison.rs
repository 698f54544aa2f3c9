//! Several runs side by side.

use super::{Difference, History, Kind, Settings, Summary, differences};
use crate::run::{RunDir, RunError};
use serde::Serialize;
use std::collections::BTreeMap;

/// A result that at least one of the runs has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What it is.
    pub name: String,
    /// What each run has, in their order.
    pub values: Vec<Option<f64>>,
}

/// Several runs side by side: their results, and the settings on which they differ.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The runs.
    pub runs: Vec<Summary>,
    /// Their logs.
    #[serde(skip)]
    pub histories: Vec<History>,
    /// Of trainings every measure at the best epoch, of experiments every AUROC.
    pub results: Vec<Compared>,
    /// The settings on which they differ.
    pub settings: Vec<Difference>,
}

impl Comparison {
    /// Look at the runs.
    ///
    /// # Errors
    /// Files that are there and cannot be read.
    pub fn of(runs: &[RunDir]) -> Result<Self, RunError> {
        let mut summaries = Vec::new();
        let (mut settings, mut histories) = (Vec::new(), Vec::new());
        let mut found: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
        for (i, run) in runs.iter().enumerate() {
            let (own, history) = (Settings::read(run)?, History::read(run)?);
            let summary = Summary::read(run, &own, &history);
            let results = match summary.kind {
                Kind::Training => measures(&summary, &history),
                Kind::Experiment => aurocs(run).iter().map(|a| (a.to_string(), a.value)).collect(),
            };
            for (name, value) in results {
                found.entry(name).or_insert_with(|| vec![None; runs.len()])[i] = Some(value);
            }
            settings.push(own);
            histories.push(history);
            summaries.push(summary);
        }
        let results = found.into_iter().map(|(name, values)| Compared { name, values }).collect();
        let settings = differences(&settings);
        Ok(Self { runs: summaries, histories, results, settings })
    }
}

/// Every measure at the best epoch; how many epochs and seconds it took in all.
fn measures(summary: &Summary, history: &History) -> Vec<(String, f64)> {
    let at = summary.best_epoch;
    let best = history.names().into_iter().filter(|name| !["lr", "step", "seconds"].contains(name));
    let mut measures: Vec<(String, f64)> = best
        .filter_map(|name| {
            let point = history.series(name).into_iter().find(|point| Some(point.epoch) == at)?;
            Some((name.to_owned(), point.value))
        })
        .collect();
    measures.extend(at.map(|epoch| ("best epoch".to_owned(), epoch as f64)));
    measures.extend(summary.epoch.map(|epoch| ("epochs".to_owned(), epoch as f64)));
    measures.extend(summary.seconds.map(|seconds| ("seconds".to_owned(), seconds)));
    measures
}

/// A result of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Auroc {
    /// The method.
    pub method: String,
    /// SPECs of the in-distribution and of the OOD set.
    pub sets: [String; 2],
    /// The area.
    pub value: f64,
}

impl std::fmt::Display for Auroc {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let [inside, outside] = &self.sets;
        write!(f, "AUROC of {}, {inside} against {outside}", self.method)
    }
}

/// The AUROC of every pair and method of an experiment; none where there is no result.
pub fn aurocs(run: &RunDir) -> Vec<Auroc> {
    let results: Option<serde_json::Value> =
        std::fs::read(run.metrics()).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let auroc = |row: &serde_json::Value| {
        let text = |key: &str| Some(row[key].as_str()?.to_owned());
        Some(Auroc {
            method: text("method")?,
            sets: [text("inside")?, text("outside")?],
            value: row["auroc"]["value"].as_f64()?,
        })
    };
    let results = results.unwrap_or_default();
    results["rows"].as_array().into_iter().flatten().filter_map(auroc).collect()
}

/// A number with the digits that tell it from its neighbours.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v.fract() == 0.0 && v < 1e9 => format!("{value:.0}"),
        v if (100.0..1e6).contains(&v) => format!("{value:.1}"),
        v if (1e-3..100.0).contains(&v) => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_short() {
        let numbers = [4.0, 0.0, 2.49451, -1234.56, 1e-5, f64::NAN].map(number);
        assert_eq!(numbers, ["4", "0", "2.4945", "-1234.6", "1.000e-5", "NaN"]);
    }
}
