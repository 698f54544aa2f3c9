//! What a trial is judged by, read from its run.

use super::store::Goal;
use crate::{
    run::RunDir,
    track::{History, Point, aurocs},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What trials are judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Of trainings a measure of their log (`valid_bits_per_dimension`), of experiments a method, whose AUROC is averaged over the pairs of sets.
    pub name: String,
    /// What is better.
    pub goal: Goal,
}

impl Measure {
    /// The best value that a run has reached, and what else is to be known of it.
    ///
    /// # Errors
    /// There is no such measure, or the run cannot be read; in words.
    pub fn read(&self, run: &RunDir) -> Result<(f64, Value), String> {
        if run.metrics().exists() {
            return self.of_experiment(run);
        }
        let history = History::read(run).map_err(|e| e.to_string())?;
        let series = history.series(&self.name);
        let finite = series.iter().copied().filter(|point| point.value.is_finite());
        let better = |a: &Point, b: &Point| match self.goal {
            Goal::Min => b.value < a.value,
            Goal::Max => b.value > a.value,
        };
        let best = finite.reduce(|a, b| if better(&a, &b) { b } else { a });
        let Some(best) = best else {
            return Err(self.missing(history.names().into_iter()));
        };
        let at = |name: &&str| history.series(name).into_iter().find(|p| p.epoch == best.epoch);
        let results: Map<String, Value> = history
            .names()
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), at(name)?.value.into())))
            .collect();
        Ok((best.value, json!({ "run": run.root(), "epoch": best.epoch, "results": results })))
    }

    fn of_experiment(&self, run: &RunDir) -> Result<(f64, Value), String> {
        let all = aurocs(run);
        let own: Vec<f64> = all.iter().filter(|a| a.method == self.name).map(|a| a.value).collect();
        if own.is_empty() {
            let methods: BTreeSet<&str> = all.iter().map(|auroc| auroc.method.as_str()).collect();
            return Err(self.missing(methods.into_iter()));
        }
        let results: Map<String, Value> =
            all.iter().map(|auroc| (auroc.to_string(), auroc.value.into())).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        Ok((mean, json!({ "run": run.root(), "results": results })))
    }

    fn missing<'a>(&self, there: impl Iterator<Item = &'a str>) -> String {
        let there = match there.collect::<Vec<_>>().as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has: {}", names.join(", ")),
        };
        format!("the run has no measure `{}` with a finite value; {there}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_judged_by_their_best() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        std::fs::write(run.config(), "model: {name: glow}\n").unwrap();
        let log = "{\"epoch\":1,\"valid_loss\":3}\n{\"epoch\":2,\"valid_loss\":1}\n{\"epoch\":3,\"valid_loss\":2}\n";
        std::fs::write(run.metrics_log(), log).unwrap();
        let measure = |name: &str, goal| Measure { name: name.into(), goal };
        let (value, result) = measure("valid_loss", Goal::Min).read(&run).unwrap();
        assert_eq!((value, &result["epoch"]), (1.0, &json!(2)));
        assert_eq!(measure("valid_loss", Goal::Max).read(&run).unwrap().0, 3.0);
        let error = measure("loss", Goal::Min).read(&run).unwrap_err();
        assert!(error.contains("`loss`") && error.contains("valid_loss"), "{error}");
    }

    #[test]
    fn experiments_are_judged_by_the_mean_over_their_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        std::fs::write(run.config(), "run: r\n").unwrap();
        let row = |method: &str, outside: &str, value: f64| json!({ "inside": "x", "outside": outside, "method": method, "auroc": { "value": value } });
        let rows = [row("LID", "y", 0.5), row("LID", "z", 1.0), row("LID, gap", "y", 0.25)];
        std::fs::write(run.metrics(), json!({ "rows": rows }).to_string()).unwrap();
        let measure = |name: &str| Measure { name: name.into(), goal: Goal::Max };
        assert_eq!(measure("LID").read(&run).unwrap().0, 0.75);
        let error = measure("dual").read(&run).unwrap_err();
        assert!(error.contains("LID"), "{error}");
    }
}
