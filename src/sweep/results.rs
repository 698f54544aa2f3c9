//! What the trials of a sweep came to, the best first.

use super::{
    Measure, Spec, SweepError,
    plan::name_of,
    space::{Command, short_id},
    store::{Goal, Record, State},
};
use crate::report::{Figure, Frame, ScoreError, Values, Vertical, extent, parallel};
use serde::Serialize;
use std::{collections::BTreeSet, path::Path};

/// A trial and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The start of its address.
    pub id: String,
    /// Its run.
    pub run: String,
    /// What was chosen on each axis that is active in it.
    pub choices: Vec<(String, String)>,
    /// How it stands.
    pub state: State,
    /// What it is judged by, where it has that.
    pub value: Option<f64>,
    /// The rung that it has reached.
    pub rung: u32,
    /// Attempts that failed.
    pub attempts: u32,
    /// Seconds that agents worked on it.
    pub seconds: f64,
    /// Its last error.
    pub error: Option<String>,
}

/// The trials of a sweep, the best first, those without a result last.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// What they are judged by.
    pub measure: String,
    /// All axes, in the order of their first trial.
    pub axes: Vec<String>,
    /// The trials.
    pub trials: Vec<Ranked>,
}

impl Results {
    /// Of the trials in the queue.
    ///
    /// # Errors
    /// Trials that this program cannot read.
    pub fn of(spec: &Spec, records: &[Record]) -> Result<Self, SweepError> {
        let Measure { name, goal } = spec.measure();
        let mut trials = records
            .iter()
            .map(|record| Ranked::of(spec.file.command, record))
            .collect::<Result<Vec<_>, _>>()?;
        let mut axes: Vec<String> = Vec::new();
        for (axis, _) in trials.iter().flat_map(|trial| &trial.choices) {
            if !axes.contains(axis) {
                axes.push(axis.clone());
            }
        }
        let key = |trial: &Ranked| match (trial.value, goal) {
            (None, _) => f64::INFINITY,
            (Some(value), Goal::Min) => value,
            (Some(value), Goal::Max) => -value,
        };
        trials.sort_by(|a, b| key(a).total_cmp(&key(b)));
        Ok(Self { measure: name, axes, trials })
    }

    /// Header and rows of the table.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let with_rungs = self.trials.iter().any(|trial| trial.rung > 0);
        let mut header = vec!["run".to_owned(), "trial".to_owned(), "state".to_owned()];
        header.extend(self.axes.iter().cloned());
        header.push(self.measure.clone());
        header.extend(with_rungs.then(|| "rung".to_owned()));
        header.push("seconds".into());
        let line = |trial: &Ranked| {
            let state = trial.state.name().to_owned();
            let mut line = vec![trial.run.clone(), trial.id.clone(), state];
            line.extend(self.axes.iter().map(|axis| trial.choice(axis).unwrap_or("-").to_owned()));
            line.push(trial.value.map_or("-".to_owned(), |value| format!("{value:.5}")));
            line.extend(with_rungs.then(|| trial.rung.to_string()));
            line.push(format!("{:.0}", trial.seconds));
            line
        };
        std::iter::once(header).chain(self.trials.iter().map(line)).collect()
    }

    /// Write `results.csv`, `results.parquet` and, where there are results, the parallel-coordinates figure `trials.svg` and `.png` into a folder.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ScoreError> {
        let text =
            |of: &dyn Fn(&Ranked) -> String| Values::Text(self.trials.iter().map(of).collect());
        let number =
            |of: &dyn Fn(&Ranked) -> f64| Values::Number(self.trials.iter().map(of).collect());
        let mut columns = vec![
            ("trial", text(&|t| t.id.clone())),
            ("run", text(&|t| t.run.clone())),
            ("state", text(&|t| t.state.name().to_owned())),
        ];
        for axis in &self.axes {
            let choice = |t: &Ranked| t.choice(axis).unwrap_or_default().to_owned();
            columns.push((axis, text(&choice)));
        }
        columns.extend([
            (self.measure.as_str(), number(&|t| t.value.unwrap_or(f64::NAN))),
            ("rung", number(&|t| f64::from(t.rung))),
            ("attempts", number(&|t| f64::from(t.attempts))),
            ("seconds", number(&|t| t.seconds)),
        ]);
        let frame = Frame { columns, note: "one row a trial, the best first" };
        for file in ["results.csv", "results.parquet"] {
            frame.write(&folder.join(file))?;
        }
        match self.figure() {
            Some(figure) => Ok(figure.write(folder)?),
            None => Ok(()),
        }
    }

    /// A line a trial through what was chosen and what came of it; none where fewer than two trials have a result.
    pub fn figure(&self) -> Option<Figure> {
        let with_result: Vec<(&Ranked, f64)> =
            self.trials.iter().filter_map(|trial| Some((trial, trial.value?))).collect();
        if with_result.len() < 2 {
            return None;
        }
        let choices = |axis: &String| -> Vec<Option<&str>> {
            with_result.iter().map(|(trial, _)| trial.choice(axis)).collect()
        };
        let mut scales: Vec<Scale> =
            self.axes.iter().map(|axis| Scale::of(axis, &choices(axis))).collect();
        let values: Vec<f64> = with_result.iter().map(|(_, value)| *value).collect();
        scales.push(Scale::of_numbers(&self.measure, values));
        let row = |i: usize| scales.iter().map(|scale| scale.places[i]).collect();
        let rows: Vec<Vec<f64>> = (0..with_result.len()).map(row).collect();
        let axes: Vec<Vertical> = scales.into_iter().map(|scale| scale.axis).collect();
        let caption =
            format!("One line a trial, from the best by {} (orange) to the worst.", self.measure);
        Some(parallel("trials", caption, &axes, &rows))
    }
}

impl Ranked {
    fn of(command: Command, record: &Record) -> Result<Self, SweepError> {
        let unreadable = |e: serde_json::Error| SweepError::Trial {
            id: record.trial.id.clone(),
            problem: e.to_string(),
        };
        let config = serde_json::from_str(&record.trial.config).map_err(unreadable)?;
        Ok(Self {
            id: short_id(&record.trial.id).to_owned(),
            run: name_of(command, &config).unwrap_or_default().to_owned(),
            choices: serde_json::from_str(&record.trial.sets).map_err(unreadable)?,
            state: record.state,
            value: record.value,
            rung: record.rung,
            attempts: record.attempts,
            seconds: record.spent,
            error: record.error.clone(),
        })
    }

    fn choice(&self, axis: &str) -> Option<&str> {
        let (_, label) = self.choices.iter().find(|(name, _)| name == axis)?;
        Some(label)
    }
}

/// An axis of the figure, and where each trial lies on it.
struct Scale {
    axis: Vertical,
    places: Vec<f64>,
}

/// Ratio of the largest to the smallest number from which on a scale is logarithmic.
const WIDE: f64 = 20.0;

impl Scale {
    fn of(title: &str, choices: &[Option<&str>]) -> Self {
        let number = |choice: &Option<&str>| {
            choice.and_then(|c| c.parse().ok()).filter(|v: &f64| v.is_finite())
        };
        let numbers: Option<Vec<f64>> = choices.iter().map(number).collect();
        // Few numbers are told apart better as names are.
        let names: BTreeSet<&str> = choices.iter().map(|choice| choice.unwrap_or("-")).collect();
        match numbers {
            Some(numbers) if names.len() > 5 => Self::of_numbers(title, numbers),
            numbers => Self::of_names(title, choices, numbers.as_deref()),
        }
    }

    fn of_numbers(title: &str, numbers: Vec<f64>) -> Self {
        let (low, high) = extent(numbers.iter().copied());
        let logarithmic = low > 0.0 && high / low >= WIDE;
        let map = |v: f64| if logarithmic { v.ln() } else { v };
        let span = (map(high) - map(low)).max(f64::MIN_POSITIVE);
        let place = |v: f64| (map(v) - map(low)) / span;
        let at = |share: f64| map(low) + share * (map(high) - map(low));
        let value = |share: f64| if logarithmic { at(share).exp() } else { at(share) };
        // As many decimals as tell neighbouring ticks apart.
        let apart = (high - low) / 4.0;
        let decimals = match logarithmic || apart <= 0.0 {
            true => None,
            false => Some((1.0 - apart.log10().floor()).clamp(0.0, 9.0) as usize),
        };
        let ticks =
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, digits(value(share), decimals)));
        Self {
            axis: Vertical { title: title.to_owned(), ticks: ticks.to_vec(), named: false },
            places: numbers.into_iter().map(place).collect(),
        }
    }

    /// Names in their order, numbers by their size.
    fn of_names(title: &str, choices: &[Option<&str>], numbers: Option<&[f64]>) -> Self {
        let labels: Vec<&str> = choices.iter().map(|choice| choice.unwrap_or("-")).collect();
        let mut names: Vec<(f64, &str)> = match numbers {
            Some(numbers) => numbers.iter().copied().zip(labels.iter().copied()).collect(),
            None => labels.iter().map(|label| (0.0, *label)).collect(),
        };
        names.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        names.dedup();
        let last = (names.len().max(2) - 1) as f64;
        let place = |label: &&str| {
            names.iter().position(|(_, name)| name == label).unwrap_or(0) as f64 / last
        };
        let ticks = names.iter().map(|(_, name)| (place(name), (*name).to_owned())).collect();
        Self {
            places: labels.iter().map(place).collect(),
            axis: Vertical { title: title.to_owned(), ticks, named: true },
        }
    }
}

/// A number to `decimals`, or, where ticks lie in ratios, to three digits.
fn digits(value: f64, decimals: Option<usize>) -> String {
    match decimals {
        Some(decimals) => format!("{value:.decimals$}"),
        None if (0.01..1000.0).contains(&value.abs()) => {
            let decimals = (2.0 - value.abs().log10().floor()).max(0.0) as usize;
            format!("{value:.decimals$}")
        }
        None => format!("{value:.2e}"),
    }
}
