//! `runs sync`.

use super::super::{CliError, Common, load::open_runs, print, print_json};
use crate::{
    config::{Environment, Loaded, OodConfig, TrainConfig},
    run::{RunDir, RunError},
    track::{Delivery, Kind, Live, Outcome, State, Summary},
};
use clap::Args;

#[derive(Debug, Args)]
pub struct Sync {
    /// The runs: names under MODEL_DIR or paths
    #[arg(required = true)]
    runs: Vec<String>,
}

impl Sync {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let mut all = serde_json::Map::new();
        let mut problems = 0;
        for run in open_runs(&environment, &self.runs)? {
            let name = run.name_under(&environment.model_dir);
            // One that cannot be reached is no reason to leave out the others.
            let delivery = deliver(&run, &name).unwrap_or_else(|problem| Delivery {
                problems: vec![format!("{name}: {problem}")],
                ..Default::default()
            });
            for problem in &delivery.problems {
                eprintln!("error: {problem}");
            }
            problems += delivery.problems.len();
            if !common.json {
                match delivery.whole.as_slice() {
                    [] if delivery.problems.is_empty() => {
                        print(format_args!(
                            "{name}: shown nowhere (`track:` in its configuration)"
                        ))?;
                    }
                    [] => {}
                    whole => {
                        print(format_args!("{name}: all of it is with {}", whole.join(" and ")))?
                    }
                }
            }
            all.insert(
                name,
                serde_json::json!({ "whole": delivery.whole, "problems": delivery.problems }),
            );
        }
        if common.json {
            print_json(&all)?;
        }
        match problems {
            0 => Ok(()),
            _ => Err(CliError::Other(format!("{problems} trackers still miss something"))),
        }
    }
}

fn deliver(run: &RunDir, name: &str) -> Result<Delivery, CliError> {
    let Summary { kind, state, .. } = Summary::of(run)?;
    // Nobody begins to write to it meanwhile.
    let _lock = run.lock()?;
    let outcome = match state {
        State::Running => return Err(RunError::Locked(run.root().to_path_buf()).into()),
        State::Done => Outcome::Done,
        State::Stopped => Outcome::Preempted,
        State::Unfinished => Outcome::Failed,
    };
    let (track, settings) = match kind {
        Kind::Training => {
            let config = Loaded::<TrainConfig>::file(&run.config())?.config;
            (config.track.clone(), serde_json::to_value(&config))
        }
        Kind::Experiment => {
            let config = Loaded::<OodConfig>::file(&run.config())?.config;
            (config.track.clone(), serde_json::to_value(&config))
        }
    };
    Ok(Live::deliver(&track, run, name, &settings.unwrap_or_default(), outcome))
}
