//! `runs`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::Environment,
    run::{FIRST, RunDir},
};

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
        let [bits, loss] =
            ["valid_bits_per_dimension", "valid_loss"].map(|key| epoch[key].as_f64());
        let state = match (bits, loss) {
            (Some(bits), _) => format!("epoch {}, {bits:.3} bits/dim", epoch["epoch"]),
            (None, Some(loss)) => format!("epoch {}, loss {loss:.4}", epoch["epoch"]),
            _ if run.part(FIRST).config().exists() => "steps not finished".into(),
            _ if run.metrics().exists() => "experiment".into(),
            _ => "no epoch yet".into(),
        };
        print(format_args!("{:32} {state}", run.name()))?;
    }
    Ok(())
}
