//! `sweep`.

mod agent;
mod change;
mod create;
mod results;
mod status;
mod submit;

use super::{CliError, Common, print, print_json, print_table};
use crate::{
    config::Environment,
    sweep::store::{PATIENCE, Store},
};
use clap::{Args, Subcommand};

/// Many trainings or experiments by one file: a queue that any number of agents work off.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical sweep plan configs/sweeps/lr_small.yaml             what would run
  atypical sweep create configs/sweeps/lr_small.yaml           put it into the queue; again after a change of the file adds what is new
  atypical sweep agent lr_small                                work it off; start as many as there are devices, any time, on any machine that shares the store
  atypical sweep status lr_small --watch
  atypical sweep results lr_small                              a table, and a figure with a line a trial
  atypical sweep submit lr_small --slurm --agents 8 --sbatch=--gres=gpu:1 --sbatch=--time=4:00:00

The queue is the file sweeps.sqlite in MODEL_DIR, or SWEEP_STORE or --store says where: a path on a local disk, or for many machines
postgres://USER:PASSWORD@HOST/DATABASE. Runs lie in MODEL_DIR/<sweep>/. An agent that dies loses nothing: its trial goes to another one, which
resumes it from its last checkpoint. A trial that crashes again and again is set aside with its log.")]
pub struct Sweep {
    #[command(subcommand)]
    command: Command,
    /// Where the queue is: a file, or postgres://… [default: SWEEP_STORE, or sweeps.sqlite in MODEL_DIR]
    #[arg(long, global = true)]
    store: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a sweep would run; nothing is written
    Plan(create::Plan),
    /// Put the trials of a sweep into the queue
    Create(create::Create),
    /// Claim trials and run them, one after the other
    Agent(agent::Agent),
    /// How sweeps stand
    Status(status::Status),
    /// Give trials that were set aside or cancelled another chance
    Retry(change::Retry),
    /// Cancel trials; agents stop those that they work on
    Cancel(change::Cancel),
    /// What the trials came to, the best first
    Results(results::Results),
    /// Have a cluster run agents
    Submit(submit::Submit),
    /// Take a sweep with all its trials out of the queue; its runs stay
    Rm(change::Rm),
}

impl Sweep {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let queue = Queue { common, environment: Environment::read()?, store: self.store.clone() };
        match &self.command {
            Command::Plan(command) => command.run(&queue),
            Command::Create(command) => command.run(&queue),
            Command::Agent(command) => command.run(&queue),
            Command::Status(command) => command.run(&queue),
            Command::Retry(command) => command.run(&queue),
            Command::Cancel(command) => command.run(&queue),
            Command::Results(command) => command.run(&queue),
            Command::Submit(command) => command.run(&queue),
            Command::Rm(command) => command.run(&queue),
        }
    }
}

/// This program, which agents start for every trial.
fn program() -> Result<std::path::PathBuf, CliError> {
    std::env::current_exe().map_err(|e| CliError::Other(format!("cannot find this program: {e}")))
}

/// What every subcommand has.
struct Queue<'a> {
    common: &'a Common,
    environment: Environment,
    store: Option<String>,
}

impl Queue<'_> {
    /// Where the queue is said to be.
    fn named(&self) -> Option<&String> {
        self.store.as_ref().or(self.environment.sweep_store.as_ref())
    }

    /// Where the queue is.
    fn url(&self) -> String {
        let default = || self.environment.model_dir.join("sweeps.sqlite").display().to_string();
        self.named().cloned().unwrap_or_else(default)
    }

    /// The same without a password.
    fn shown_url(&self) -> String {
        let url = self.url();
        let parts = url.split_once("://").and_then(|(scheme, rest)| {
            let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
            let (user, host) = (user.split(':').next()?, host.split('?').next()?);
            Some(format!("{scheme}://{user}{}{host}", if user.is_empty() { "" } else { "@" }))
        });
        parts.unwrap_or(url)
    }

    fn open(&self) -> Result<Store, CliError> {
        Ok(Store::open(&self.url(), PATIENCE)?)
    }

    /// The sweep's entry in the queue.
    fn spec(&self, store: &mut Store, name: &str) -> Result<crate::sweep::Spec, CliError> {
        let sweep = store.sweep(name)?;
        Ok(crate::sweep::Spec::of(&sweep)?)
    }
}
