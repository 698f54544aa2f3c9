//! `runs`.

use super::{CliError, Common, print, print_json};
use crate::{config::Environment, run::RunDir};

pub fn run(common: &Common) -> Result<(), CliError> {
    let environment = Environment::read()?;
    let runs = RunDir::list(&environment.model_dir);
    if common.json {
        let rows: Vec<serde_json::Value> = runs
            .iter()
            .map(|r| serde_json::json!({ "name": r.name(), "path": r.root(), "last_epoch": r.last_epoch() }))
            .collect();
        return print_json(&serde_json::json!({ "runs": rows }));
    }
    if runs.is_empty() {
        print(format_args!(
            "no runs in {} yet; start with: atypical demo",
            environment.model_dir.display()
        ))?;
    }
    for run in runs {
        let epoch = run.last_epoch().unwrap_or_default();
        let state = match epoch["valid_bits_per_dimension"].as_f64() {
            Some(bits) => format!("epoch {}, {bits:.3} bits/dim", epoch["epoch"]),
            None if run.metrics().exists() => "experiment".into(),
            None => "no epoch yet".into(),
        };
        print(format_args!("{:32} {state}", run.name()))?;
    }
    Ok(())
}
