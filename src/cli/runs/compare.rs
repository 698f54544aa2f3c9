//! `runs compare`.

use super::{
    super::{CliError, Common, load::open_runs, print, print_json},
    print_table, shown,
};
use crate::{
    config::Environment,
    track::{Comparison, number},
};
use clap::Args;

#[derive(Debug, Args)]
pub struct Compare {
    /// The runs: names under MODEL_DIR or paths
    #[arg(required = true, num_args = 2..)]
    runs: Vec<String>,
}

impl Compare {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let runs = open_runs(&environment, &self.runs)?;
        let comparison = Comparison::of(&runs)?;
        if common.json {
            return print_json(&comparison);
        }
        let mut header = vec![String::new()];
        header.extend(comparison.runs.iter().map(|summary| summary.name.clone()));
        let mut lines = vec![header.clone()];
        lines.push(row("state", comparison.runs.iter().map(|s| s.state.to_string())));
        lines.extend(comparison.results.iter().map(|result| {
            row(&result.name, result.values.iter().map(|v| v.map_or("-".into(), number)))
        }));
        print_table(&lines)?;
        print("")?;
        if comparison.settings.is_empty() {
            return print("no setting differs");
        }
        let setting =
            |d: &crate::track::Difference| row(&d.key, d.values.iter().map(|v| shown(v.as_ref())));
        header[0] = "settings that differ".to_owned();
        print_table(
            &std::iter::once(header)
                .chain(comparison.settings.iter().map(setting))
                .collect::<Vec<_>>(),
        )
    }
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells).collect()
}
