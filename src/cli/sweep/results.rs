//! `sweep results`.

use super::{CliError, Queue, print, print_json, print_table};
use crate::sweep::{self, store::Filter};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Results {
    /// The sweep
    sweep: String,
    /// Folder for results.csv, results.parquet and the figure trials.svg and .png [default: that of the sweep's runs]
    #[arg(long, short)]
    out: Option<PathBuf>,
}

impl Results {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let mut store = queue.open()?;
        let spec = queue.spec(&mut store, &self.sweep)?;
        let records = store.trials(&self.sweep, Filter::All)?;
        let results = sweep::Results::of(&spec, &records)?;
        let folder =
            self.out.clone().unwrap_or_else(|| queue.environment.model_dir.join(&self.sweep));
        if queue.common.json {
            print_json(&results)?;
            return Ok(results.write(&folder)?);
        }
        print_table(&results.lines())?;
        for trial in results.trials.iter().filter(|t| t.state == sweep::store::State::Quarantined) {
            let error = trial.error.as_deref().unwrap_or("no word of why");
            print(format_args!(
                "{} was set aside after {} attempts: {error}",
                trial.id, trial.attempts
            ))?;
        }
        results.write(&folder)?;
        print(format_args!("written to {}", folder.display()))
    }
}
