//! `runs`.

use super::{CliError, Common, print_json};
use crate::{config::Environment, run::RunDir};

pub fn run(common: &Common) -> Result<(), CliError> {
    let environment = Environment::read()?;
    let runs = RunDir::list(&environment.model_dir);
    let last = |run: &RunDir| -> serde_json::Value {
        let text = std::fs::read_to_string(run.metrics_log()).unwrap_or_default();
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
    };
    if common.json {
        let rows: Vec<serde_json::Value> = runs
            .iter()
            .map(|r| serde_json::json!({ "name": r.name(), "path": r.root(), "last_epoch": last(r) }))
            .collect();
        return print_json(&rows);
    }
    if runs.is_empty() {
        println!("no runs in {} yet; start with: atypical demo", environment.model_dir.display());
    }
    for run in runs {
        let epoch = last(&run);
        let state = match epoch["valid_bits_per_dimension"].as_f64() {
            Some(bits) => format!("epoch {}, {bits:.3} bits/dim", epoch["epoch"]),
            None if run.metrics().exists() => "experiment".into(),
            None => "no epoch yet".into(),
        };
        println!("{:32} {state}", run.name());
    }
    Ok(())
}
