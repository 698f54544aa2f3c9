//! `runs`.

mod compare;
mod diff;
mod list;
mod rm;
mod show;
mod sync;

use super::{CliError, Common, print_table};
use clap::{Args, Subcommand};

/// List the runs, look at one, compare several, remove some.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical runs                                    all of them, with their curves
  atypical runs --sort best
  atypical runs show rq_nsf_fmnist_small
  atypical runs compare glow_a glow_b              results and the settings that differ, side by side
  atypical runs diff glow_a glow_b
  atypical runs rm failed_1 failed_2 --yes
  atypical runs sync glow_a                        the server was away while it trained
  MODEL_DIR=/scratch/runs atypical runs --json | jq '.runs[].name'
  atypical report glow_a glow_b --out both.html    the same as a page with figures")]
pub struct Runs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the runs: what they are, how they stand, how good they are [the default]
    List(list::List),
    /// One run: its measures with their curves, its settings, its files
    Show(show::Show),
    /// Results of several runs and the settings on which they differ, side by side
    Compare(compare::Compare),
    /// The settings on which two runs differ
    Diff(diff::Diff),
    /// Remove runs
    Rm(rm::Rm),
    /// Tell trackers what they missed of runs that have ended: MLflow whose server was away, W&B's sessions that are not uploaded
    Sync(sync::Sync),
}

impl Runs {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        match &self.command {
            None => self.list.run(common),
            Some(Command::List(command)) => command.run(common),
            Some(Command::Show(command)) => command.run(common),
            Some(Command::Compare(command)) => command.run(common),
            Some(Command::Diff(command)) => command.run(common),
            Some(Command::Rm(command)) => command.run(common),
            Some(Command::Sync(command)) => command.run(common),
        }
    }
}

/// A setting as a person writes it; a dash where there is none.
fn shown(value: Option<&serde_json::Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
