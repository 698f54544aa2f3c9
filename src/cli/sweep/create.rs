//! `sweep plan` and `sweep create`.

use super::{CliError, Queue, print, print_json, print_table};
use crate::sweep::{
    self,
    store::{Creation, PATIENCE, Store},
};
use clap::Args;
use std::path::PathBuf;

/// Trials that a plan shows, where not all of them are asked for.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct Plan {
    /// The sweep's file [configs/sweeps/ has some]
    file: PathBuf,
    /// Show every trial
    #[arg(long)]
    all: bool,
}

impl Plan {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let plan = sweep::Plan::read(&self.file)?;
        warn(&plan);
        if queue.common.json {
            let trials: Vec<serde_json::Value> = plan
                .trials
                .iter()
                .map(|t| {
                    serde_json::json!({
                        "id": t.trial.id, "run": t.run, "choices": t.point.choices, "sets": t.point.sets,
                    })
                })
                .collect();
            return print_json(&serde_json::json!({
                "sweep": plan.spec.file.name, "trials": trials, "excluded": plan.excluded, "duplicates": plan.duplicates,
            }));
        }
        let shown = if self.all { plan.trials.len() } else { plan.trials.len().min(SHOWN) };
        let mut lines = vec![vec!["trial".to_owned(), "run".to_owned(), "choices".to_owned()]];
        lines.extend(plan.trials[..shown].iter().map(|t| {
            vec![
                sweep::space::short_id(&t.trial.id).to_owned(),
                t.run.clone(),
                t.trial.label.clone(),
            ]
        }));
        print_table(&lines)?;
        let more = plan.trials.len() - shown;
        if more > 0 {
            print(format_args!("and {more} more; --all shows them"))?;
        }
        print(format_args!("{}", counted(&plan)))
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// The sweep's file [configs/sweeps/ has some]
    file: PathBuf,
}

impl Create {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let plan = sweep::Plan::read(&self.file)?;
        warn(&plan);
        let mut store = Store::create(&queue.url(), PATIENCE)?;
        let name = &plan.spec.file.name;
        let known = store.sweeps()?;
        if let Some(known) = known.iter().find(|known| known.sweep.name == *name) {
            let before = sweep::Spec::of(&known.sweep)?;
            let same = before.measure() == plan.spec.measure()
                && before.file.command == plan.spec.file.command;
            if !same {
                return Err(CliError::Other(format!(
                    "the sweep `{name}` is there with another `metric` or `command`, by which its results were ranked; choose another name, or take it out first: atypical sweep rm {name}"
                )));
            }
        }
        let creation = store.create_sweep(&plan.spec.sweep())?;
        let trials: Vec<_> = plan.trials.iter().map(|t| t.trial.clone()).collect();
        let new = store.add_trials(name, &trials)?;
        if queue.common.json {
            return print_json(&serde_json::json!({
                "sweep": name, "store": queue.shown_url(), "trials": trials.len(), "new": new,
            }));
        }
        print(format_args!("{}", counted(&plan)))?;
        let there = trials.len() as u64 - new;
        let how = match creation {
            Creation::Created => "new",
            Creation::Same => "there already",
            Creation::Updated => "there with another file, which gives way",
        };
        print(format_args!(
            "the sweep `{name}` is {how}; {new} trials were added{}",
            if there > 0 { format!(", {there} were there") } else { String::new() }
        ))?;
        print(format_args!("work it off with: atypical sweep agent {name}"))
    }
}

fn warn(plan: &sweep::Plan) {
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
}

/// How many trials, and how many were left out.
fn counted(plan: &sweep::Plan) -> String {
    let mut text = format!("{} trials", plan.trials.len());
    for (count, why) in [(plan.excluded, "excluded"), (plan.duplicates, "the same as others")] {
        if count > 0 {
            text.push_str(&format!(", {count} {why}"));
        }
    }
    text
}
