//! `runs rm`.

use super::super::{CliError, Common, load::open_runs, print, print_json};
use crate::config::Environment;
use clap::Args;
use std::io::{IsTerminal, Write};

#[derive(Debug, Args)]
pub struct Rm {
    /// The runs: names under MODEL_DIR or paths
    #[arg(required = true)]
    runs: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Rm {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        // All of them are there, or none is removed.
        let runs = open_runs(&environment, &self.runs)?;
        let names: Vec<String> = runs.iter().map(|run| run.root().display().to_string()).collect();
        if !self.yes && !asked(&names)? {
            return print("nothing was removed");
        }
        for run in runs {
            run.remove()?;
        }
        match common.json {
            true => print_json(&serde_json::json!({ "removed": names })),
            false => print(format_args!("removed {}", names.join(", "))),
        }
    }
}

/// Ask whoever sits at the terminal.
fn asked(names: &[String]) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Other(
            "nobody is there to ask whether to remove runs; say --yes".to_owned(),
        ));
    }
    eprint!("remove {}? Weights and results cannot be brought back [y/N] ", names.join(", "));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(CliError::Stdout)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
