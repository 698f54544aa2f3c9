//! `sweep retry`, `sweep cancel` and `sweep rm`.

use super::{CliError, Queue, print, print_json};
use crate::sweep::store::{Filter, Store};
use clap::Args;

#[derive(Debug, Args)]
pub struct Retry {
    /// The sweep
    sweep: String,
    /// These trials alone, by their addresses or the beginnings of them [default: all that were set aside or cancelled]
    trials: Vec<String>,
}

impl Retry {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let changed = each(queue, &self.sweep, &self.trials, Store::retry)?;
        said(queue, changed, "back in the queue")
    }
}

#[derive(Debug, Args)]
pub struct Cancel {
    /// The sweep
    sweep: String,
    /// These trials alone, by their addresses or the beginnings of them [default: all that are not finished]
    trials: Vec<String>,
}

impl Cancel {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let changed = each(queue, &self.sweep, &self.trials, Store::cancel)?;
        said(queue, changed, "cancelled")
    }
}

#[derive(Debug, Args)]
pub struct Rm {
    /// The sweep
    sweep: String,
    /// Even while agents work on it
    #[arg(long, short)]
    yes: bool,
}

impl Rm {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let mut store = queue.open()?;
        let running = store.status(&self.sweep)?.running;
        if !self.yes && running.iter().any(|running| !running.expired) {
            return Err(CliError::Other(format!(
                "{} agents work on `{1}`; `atypical sweep cancel {1}` stops them, or say --yes",
                running.len(),
                self.sweep
            )));
        }
        store.remove_sweep(&self.sweep)?;
        match queue.common.json {
            true => print_json(&serde_json::json!({ "removed": self.sweep })),
            false => print(format_args!("the sweep `{}` is gone; its runs stay", self.sweep)),
        }
    }
}

type Change = fn(&mut Store, &str, Filter) -> Result<u64, crate::sweep::store::StoreError>;

/// Change all trials of a sweep, or those that are named.
fn each(queue: &Queue, sweep: &str, trials: &[String], change: Change) -> Result<u64, CliError> {
    let mut store = queue.open()?;
    if trials.is_empty() {
        return Ok(change(&mut store, sweep, Filter::All)?);
    }
    let records = store.trials(sweep, Filter::All)?;
    let mut ids = Vec::new();
    for beginning in trials {
        let mut fits = records.iter().map(|r| &r.trial.id).filter(|id| id.starts_with(beginning));
        match (fits.next(), fits.next()) {
            (Some(id), None) => ids.push(id.clone()),
            (None, _) => {
                return Err(CliError::Other(format!(
                    "the sweep `{sweep}` has no trial `{beginning}`; `atypical sweep results {sweep}` lists them"
                )));
            }
            _ => {
                return Err(CliError::Other(format!(
                    "several trials of `{sweep}` begin with `{beginning}`; write more of the address"
                )));
            }
        }
    }
    let mut changed = 0;
    for id in ids {
        changed += change(&mut store, sweep, Filter::Trial(&id))?;
    }
    Ok(changed)
}

fn said(queue: &Queue, changed: u64, what: &str) -> Result<(), CliError> {
    match queue.common.json {
        true => print_json(&serde_json::json!({ "changed": changed })),
        false => print(format_args!("{changed} trials are {what}")),
    }
}
