//! A run in one line: what it is, how it stands, how good it is.

use super::{History, Point, RECONSTRUCTION, Settings, aurocs};
use crate::run::{FIRST, RunDir, RunError};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// What a run directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A model that is trained.
    Training,
    /// Scores and what they tell.
    Experiment,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process works on it.
    Running,
    /// It came to its end.
    Done,
    /// It was stopped and can be resumed.
    Stopped,
    /// It ended before its end without saying so: killed, or failed.
    Unfinished,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(match self {
            State::Running => "running",
            State::Done => "done",
            State::Stopped => "stopped",
            State::Unfinished => "unfinished",
        })
    }
}

/// What is known of a run at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: std::path::PathBuf,
    /// What it holds.
    pub kind: Kind,
    /// The model's name, or the run that an experiment judges.
    pub of: String,
    /// How it stands.
    pub state: State,
    /// Whole epochs done.
    pub epoch: Option<u64>,
    /// Epochs that it is to have.
    pub epochs: Option<u64>,
    /// What it is judged by.
    pub measure: Option<String>,
    /// The best value of that, and the epoch (of a training) that has it.
    pub best: Option<f64>,
    /// That epoch.
    pub best_epoch: Option<u64>,
    /// The measure after each epoch.
    pub curve: Vec<f64>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// Time since it last wrote something that counts.
    #[serde(skip)]
    pub age: Option<Duration>,
}

impl Summary {
    /// Look at a run.
    ///
    /// # Errors
    /// Files that are there and cannot be read.
    pub fn of(run: &RunDir) -> Result<Self, RunError> {
        Ok(Self::read(run, &Settings::read(run)?, &History::read(run)?))
    }

    /// The same of a run whose settings and history have been read.
    pub fn read(run: &RunDir, settings: &Settings, history: &History) -> Self {
        // Experiments have no model of their own.
        let model = settings.text("model.name");
        let summary = Self {
            name: run.name(),
            path: run.root().to_path_buf(),
            kind: if model.is_some() { Kind::Training } else { Kind::Experiment },
            of: model.or(settings.text("run")).unwrap_or("unknown").to_owned(),
            state: State::Unfinished,
            epoch: history.last_epoch(),
            epochs: settings.0.get("epochs").and_then(serde_json::Value::as_u64),
            measure: None,
            best: None,
            best_epoch: None,
            curve: Vec::new(),
            seconds: history.series("seconds").last().map(|point| point.value),
            age: age(run),
        };
        let summary = match summary.kind {
            Kind::Training => summary.training(run, history),
            Kind::Experiment => summary.experiment(run),
        };
        match run.is_locked() {
            true => Self { state: State::Running, ..summary },
            false => summary,
        }
    }

    fn training(self, run: &RunDir, history: &History) -> Self {
        let outcome: Option<serde_json::Value> =
            std::fs::read(run.outcome()).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let state = match outcome {
            Some(outcome) if outcome["interrupted"].is_null() => State::Done,
            Some(_) => State::Stopped,
            // Runs of versions that did not say how they ended.
            None if self.epoch.is_some() && self.epoch == self.epochs => State::Done,
            None => State::Unfinished,
        };
        let criterion = history.criterion();
        let best = criterion.and_then(|name| history.lowest(name));
        let curve = criterion.map(|name| history.series(name)).unwrap_or_default();
        Self {
            state,
            measure: criterion.map(str::to_owned),
            best: best.map(|Point { value, .. }| value),
            best_epoch: best.map(|Point { epoch, .. }| epoch),
            curve: curve.iter().map(|point| point.value).collect(),
            ..self
        }
    }

    fn experiment(self, run: &RunDir) -> Self {
        if !run.metrics().exists() {
            return self;
        }
        // A frontier that is chosen on its own labels is no result to name as the best.
        let found = aurocs(run).into_iter().filter(|auroc| !auroc.method.contains("oracle"));
        let best = found.max_by(|a, b| a.value.total_cmp(&b.value));
        Self {
            state: State::Done,
            measure: best.as_ref().map(|best| format!("AUROC of {}", best.method)),
            best: best.map(|best| best.value),
            ..self
        }
    }

    /// What it is of, in words.
    pub fn subject(&self) -> String {
        match self.kind {
            Kind::Training => self.of.clone(),
            Kind::Experiment => format!("OOD of {}", self.of),
        }
    }

    /// The result in words.
    pub fn result(&self) -> String {
        match (self.kind, self.best, self.measure.as_deref()) {
            (Kind::Experiment, Some(best), Some(measure)) => format!("{measure} {best:.3}"),
            (_, Some(best), Some("valid_bits_per_dimension")) => format!("{best:.3} bits/dim"),
            (_, Some(best), Some(RECONSTRUCTION)) => format!("reconstruction error {best:.4}"),
            (_, Some(best), _) => format!("loss {best:.4}"),
            _ => "-".to_owned(),
        }
    }
}

/// Time since the last epoch, result or checkpoint.
fn age(run: &RunDir) -> Option<Duration> {
    let files = [run.metrics_log(), run.metrics(), run.latest_model(), run.config()];
    let first = run.part(FIRST);
    let files = files.into_iter().chain([first.metrics_log(), first.latest_model()]);
    let times = files.filter_map(|file| std::fs::metadata(file).ok()?.modified().ok());
    SystemTime::now().duration_since(times.max()?).ok()
}
