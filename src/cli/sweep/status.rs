//! `sweep status`.

use super::{CliError, Queue, print, print_json};
use crate::sweep::store::{self, State, Store, StoreError};
use clap::Args;
use std::{io::IsTerminal, time::Duration};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

const NONE: &str = "no sweeps yet; create one with: atypical sweep create FILE";

#[derive(Debug, Args)]
pub struct Status {
    /// The sweep [default: all of them]
    sweep: Option<String>,
    /// Look again every two seconds until nothing is left to do
    #[arg(long, requires = "sweep")]
    watch: bool,
}

impl Status {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        let mut store = match queue.open() {
            // Nobody said where it is: there is no sweep yet.
            Err(CliError::Store(StoreError::Missing(_)))
                if self.sweep.is_none() && queue.named().is_none() =>
            {
                return match queue.common.json {
                    true => print_json(&serde_json::json!({})),
                    false => print(NONE),
                };
            }
            store => store?,
        };
        let names = match &self.sweep {
            Some(name) => vec![name.clone()],
            None => {
                let all = store.sweeps()?;
                all.into_iter().map(|listed| listed.sweep.name).collect()
            }
        };
        if names.is_empty() && !queue.common.json {
            return print(NONE);
        }
        loop {
            let all = statuses(&mut store, &names)?;
            if queue.common.json {
                let all: serde_json::Map<String, serde_json::Value> = all
                    .into_iter()
                    .map(|(name, status)| (name, serde_json::to_value(status).unwrap_or_default()))
                    .collect();
                return print_json(&all);
            }
            let text = queue.text(&all);
            if self.watch && std::io::stdout().is_terminal() {
                // To the top, and away with what is below.
                print(format_args!("\x1b[H\x1b[2J{text}"))?;
            } else {
                print(&text)?;
            }
            if !self.watch || all.iter().all(|(_, status)| status.finished) {
                return Ok(());
            }
            std::thread::sleep(EVERY);
        }
    }
}

fn statuses(store: &mut Store, names: &[String]) -> Result<Vec<(String, store::Status)>, CliError> {
    let mut all = Vec::new();
    for name in names {
        all.push((name.clone(), store.status(name)?));
    }
    Ok(all)
}

impl Queue<'_> {
    /// The counts of each sweep, and who works on what.
    fn text(&self, all: &[(String, store::Status)]) -> String {
        let mut header = vec!["sweep".to_owned()];
        header.extend(State::ALL.iter().map(|state| state.name().to_owned()));
        header.push("time left".to_owned());
        let mut lines = vec![header];
        for (name, status) in all {
            let mut line = vec![name.clone()];
            let count = |state: &State| status.counts.get(state).copied().unwrap_or(0).to_string();
            line.extend(State::ALL.iter().map(count));
            line.push(left(status));
            lines.push(line);
        }
        let mut text = crate::report::aligned(&lines);
        let running: Vec<Vec<String>> = all
            .iter()
            .flat_map(|(_, status)| &status.running)
            .map(|running| {
                let silent = match running.expired {
                    true => format!("not heard of for {}", spoken(running.silent)),
                    false => String::new(),
                };
                vec![
                    crate::sweep::space::short_id(&running.id).to_owned(),
                    running.label.clone(),
                    running.owner.clone(),
                    spoken(running.seconds),
                    silent,
                ]
            })
            .collect();
        if !running.is_empty() {
            text.push('\n');
            text.push_str(&crate::report::aligned(&running));
        }
        text.trim_end().to_owned()
    }
}

/// How long it will take, by what has been done so far and the agents that are at work.
fn left(status: &store::Status) -> String {
    let agents = status.running.iter().filter(|running| !running.expired).count();
    match status.seconds_left {
        _ if status.finished => "-".to_owned(),
        _ if agents == 0 => "no agent works on it".to_owned(),
        Some(seconds) => spoken(seconds / agents as f64),
        None => "not known yet".to_owned(),
    }
}

/// A time as a person says it.
fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
