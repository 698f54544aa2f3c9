//! The log of a training, `metrics.jsonl`, as curves.

use crate::{
    report::{Axes, Figure, Frame, ScoreError, Series, Values, curves},
    run::{RunDir, RunError},
};
use std::collections::{BTreeMap, BTreeSet};

/// The validation error of reconstruction, where a training is judged by it.
pub const RECONSTRUCTION: &str = "valid_reconstruction_error";

/// A measure in one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Its value.
    pub value: f64,
}

/// Every measure of every epoch of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// What was measured in each epoch; nested measures are named with a dot (`quality.recall`).
    epochs: Vec<(u64, BTreeMap<String, f64>)>,
    /// Lines that could not be read.
    pub damaged: usize,
}

impl History {
    /// Read a run's log; a run without one has an empty history.
    ///
    /// # Errors
    /// A log that is there and cannot be read.
    pub fn read(run: &RunDir) -> Result<Self, RunError> {
        let path = run.metrics_log();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(RunError::Read { path, source }),
        }
    }

    fn parse(text: &str) -> Self {
        let mut history = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
            let epoch = value.as_ref().and_then(|value| value["epoch"].as_u64());
            let (Some(value), Some(epoch)) = (value, epoch) else {
                history.damaged += 1;
                continue;
            };
            let mut measures = BTreeMap::new();
            numbers(&value, "", &mut measures);
            measures.remove("epoch");
            history.epochs.push((epoch, measures));
        }
        history
    }

    /// Whether no epoch is whole yet.
    pub fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }

    /// The last whole epoch.
    pub fn last_epoch(&self) -> Option<u64> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// Names of everything that was measured.
    pub fn names(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self
            .epochs
            .iter()
            .flat_map(|(_, measures)| measures.keys().map(String::as_str))
            .collect();
        names.into_iter().collect()
    }

    /// One measure over the epochs that have it.
    pub fn series(&self, name: &str) -> Vec<Point> {
        let point = |(epoch, measures): &(u64, BTreeMap<String, f64>)| {
            measures.get(name).map(|value| Point { epoch: *epoch, value: *value })
        };
        self.epochs.iter().filter_map(point).collect()
    }

    /// The validation measure that a model is judged by: its error of reconstruction where it was trained by that, bits per dimension where it has a
    /// likelihood, else its loss.
    pub fn criterion(&self) -> Option<&'static str> {
        [RECONSTRUCTION, "valid_bits_per_dimension", "valid_loss"]
            .into_iter()
            .find(|name| !self.series(name).is_empty())
    }

    /// The lowest value of a measure, the first where several are equal.
    pub fn lowest(&self, name: &str) -> Option<Point> {
        let points = self.series(name).into_iter().filter(|point| point.value.is_finite());
        points.reduce(|best, point| if point.value < best.value { point } else { best })
    }

    /// Training and validation curves of the criterion.
    pub fn figure(&self) -> Option<Figure> {
        let valid = self.criterion()?;
        let train = valid.replacen("valid", "train", 1);
        let series =
            |name: &str| self.series(name).iter().map(|p| (p.epoch as f64, p.value)).collect();
        let groups = [("training", train.as_str()), ("validation", valid)];
        let groups = groups.map(|(name, measure)| Series { name, points: series(measure) });
        let groups: Vec<Series> = groups.into_iter().filter(|s| !s.points.is_empty()).collect();
        let label = valid.trim_start_matches("valid_").replace('_', " ");
        let caption = format!("{label} after each epoch");
        Some(curves("learning", caption, Axes { x: "epoch", y: &label }, &groups))
    }

    /// Write `metrics.parquet` (one row an epoch) and the learning curve into the run's folder.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, run: &RunDir) -> Result<(), ScoreError> {
        let names = self.names();
        let mut columns =
            vec![("epoch", Values::Integer(self.epochs.iter().map(|(e, _)| *e as i64).collect()))];
        columns.extend(names.iter().map(|name| {
            let of = |(_, measures): &(u64, BTreeMap<String, f64>)| {
                measures.get(*name).copied().unwrap_or(f64::NAN)
            };
            (*name, Values::Number(self.epochs.iter().map(of).collect()))
        }));
        let note = "one row an epoch; losses in nats";
        Frame { columns, note }.write(&run.metrics_table())?;
        if let Some(figure) = self.figure() {
            figure.write(&run.figures())?;
        }
        Ok(())
    }
}

/// The numbers of a JSON value by their paths; what JSON writes as null was not finite.
pub(super) fn numbers(value: &serde_json::Value, path: &str, into: &mut BTreeMap<String, f64>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                numbers(value, &path, into);
            }
        }
        serde_json::Value::Number(number) => {
            into.insert(path.to_owned(), number.as_f64().unwrap_or(f64::NAN));
        }
        serde_json::Value::Null => {
            into.insert(path.to_owned(), f64::NAN);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Columns;

    const LOG: &str = "\
{\"epoch\": 1, \"valid_loss\": 3.5, \"valid_bits_per_dimension\": 2.0, \"quality\": {\"recall\": 0.25}}
{\"epoch\": 2, \"valid_loss\": 1.5, \"valid_bits_per_dimension\": 1.0}
{\"epoch\": 3, \"valid_loss\": null, \"valid_bits_per_dimension\": 1.0}
{\"epo";

    #[test]
    fn a_log_becomes_curves() {
        let history = History::parse(LOG);
        assert_eq!((history.last_epoch(), history.damaged), (Some(3), 1));
        assert_eq!(history.names(), ["quality.recall", "valid_bits_per_dimension", "valid_loss"]);
        assert_eq!(history.series("quality.recall"), [Point { epoch: 1, value: 0.25 }]);
        assert_eq!(history.criterion(), Some("valid_bits_per_dimension"));
        let lowest = |name| history.lowest(name).unwrap();
        assert_eq!(lowest("valid_bits_per_dimension"), Point { epoch: 2, value: 1.0 });
        assert_eq!(lowest("valid_loss"), Point { epoch: 2, value: 1.5 });
    }

    #[test]
    fn the_table_has_every_number() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        History::parse(LOG).write(&run).unwrap();
        let table = Columns::read(&run.metrics_table()).unwrap();
        assert_eq!(table.get("epoch").unwrap(), ["1", "2", "3"]);
        let recall: Vec<f64> =
            table.get("quality.recall").unwrap().iter().map(|t| t.parse().unwrap()).collect();
        assert!(recall[0] == 0.25 && recall[1].is_nan());
        assert!(run.figures().join("learning.svg").exists());
    }
}
