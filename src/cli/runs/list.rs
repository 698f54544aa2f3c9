//! `runs list`.

use super::{
    super::{CliError, Common, print, print_json},
    print_table,
};
use crate::{
    config::Environment,
    run::RunDir,
    track::{Kind, Summary, sparkline},
};
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Bars of a curve.
const WIDTH: usize = 16;

#[derive(Debug, Args)]
pub struct List {
    /// The order
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Sort {
    /// By name
    Name,
    /// The last changed first
    Age,
    /// Trainings by their best validation measure, the lowest first; experiments after them, the highest AUROC first
    Best,
}

impl List {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let runs = RunDir::list(&environment.model_dir);
        let (mut summaries, mut damaged) = (Vec::new(), Vec::new());
        for run in &runs {
            let name = run.name_under(&environment.model_dir);
            match Summary::of(run) {
                Ok(summary) => summaries.push(Summary { name, ..summary }),
                Err(problem) => damaged.push(format!("{name}: {problem}")),
            }
        }
        match self.sort {
            Sort::Name => {}
            Sort::Age => summaries.sort_by_key(|s| s.age.unwrap_or(Duration::MAX)),
            Sort::Best => summaries
                .sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)),
        }
        for problem in &damaged {
            eprintln!("warning: {problem}");
        }
        if common.json {
            return print_json(&serde_json::json!({ "runs": summaries }));
        }
        if runs.is_empty() {
            return print(format_args!(
                "no runs in {} yet; start with: atypical demo",
                environment.model_dir.display()
            ));
        }
        let header = ["run", "model", "state", "epoch", "result", "curve", "changed"];
        let mut lines = vec![header.map(str::to_owned).to_vec()];
        lines.extend(summaries.iter().map(line));
        print_table(&lines)
    }
}

/// Where a run stands among others by its result; one without a result comes last.
fn key(summary: &Summary) -> (bool, f64) {
    match summary.kind {
        Kind::Training => (false, summary.best.unwrap_or(f64::INFINITY)),
        Kind::Experiment => (true, -summary.best.unwrap_or(f64::NEG_INFINITY)),
    }
}

fn line(summary: &Summary) -> Vec<String> {
    let epoch = match (summary.epoch, summary.epochs) {
        (Some(epoch), Some(epochs)) => format!("{epoch}/{epochs}"),
        _ => "-".to_owned(),
    };
    vec![
        summary.name.clone(),
        summary.subject(),
        summary.state.to_string(),
        epoch,
        summary.result(),
        sparkline(&summary.curve, WIDTH),
        summary.age.map_or_else(|| "-".to_owned(), ago),
    ]
}

/// A time as a person says it.
pub(super) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..86_400 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count} {unit} ago")
}
