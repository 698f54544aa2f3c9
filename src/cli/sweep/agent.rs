//! `sweep agent`.

use super::{CliError, Queue, print, print_json, program};
use crate::sweep::{self, store::Store};
use clap::Args;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Args)]
pub struct Agent {
    /// The sweep
    sweep: String,
    /// End after so many trials
    #[arg(long)]
    most: Option<usize>,
    /// Seconds without a sign of life after which a trial goes to another agent
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..))]
    lease: u64,
    /// End when all that is left is in other agents' hands, instead of waiting to take over what they drop
    #[arg(long)]
    no_wait: bool,
}

impl Agent {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        // A backend that is not there is said before a trial is claimed.
        queue.common.backend()?;
        // A heartbeat must not wait for longer than a lease lasts.
        let patience = Duration::from_secs(self.lease.min(30) / 3);
        let mut store = Store::open(&queue.url(), patience)?;
        let spec = queue.spec(&mut store, &self.sweep)?;
        let signals = Signals::listen()?;
        let program = program()?;
        let quiet = queue.common.quiet;
        let told = Cell::new(false);
        let stop = || {
            let stop = signals.stop();
            if stop && !told.replace(true) && !quiet {
                eprintln!(
                    "stopping: the trial at hand writes a checkpoint and goes back into the queue"
                );
            }
            stop
        };
        let say = |line: &str| {
            if !quiet {
                eprintln!("{line}");
            }
        };
        let mut agent = sweep::Agent {
            store,
            sweep: &self.sweep,
            spec,
            name: name(),
            lease: Duration::from_secs(self.lease),
            model_dir: queue.environment.model_dir.clone(),
            program,
            options: options(queue),
            stop: &stop,
            say: &say,
        };
        let tally = agent.run(self.most, !self.no_wait)?;
        if let Some(job) = sweep::job().filter(|_| tally.stopped && signals.is_preempted()) {
            // Before: Slurm ends this process when it does so.
            say(&format!("job {job} is to be requeued"));
            if !sweep::requeue(&job) {
                eprintln!("warning: job {job} was not requeued; submit another agent");
            }
        }
        if queue.common.json {
            print_json(&tally)?;
        } else if !quiet {
            let more = match (tally.done, tally.failed, tally.stopped) {
                (0, 0, false) => "; nothing is left to do",
                _ => "",
            };
            print(format_args!("{} done, {} failed attempts{more}", tally.done, tally.failed))?;
            print(format_args!("what came of it: atypical sweep results {}", self.sweep))?;
        }
        match tally {
            sweep::Tally { stopped: true, .. } => Err(CliError::Stopped),
            sweep::Tally { done: 0, failed: 1.., .. } => Err(CliError::Other(format!(
                "every trial failed; `atypical sweep results {}` says why",
                self.sweep
            ))),
            _ => Ok(()),
        }
    }
}

/// The options that trials inherit.
fn options(queue: &Queue) -> Vec<std::ffi::OsString> {
    let mut options = vec!["--device".into(), queue.common.device.to_string().into()];
    if let Some(backend) = queue.common.backend {
        options.extend(["--backend".into(), backend.name().into()]);
    }
    options
}

/// Host and process: what other people know this agent by.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => std::env::var("HOSTNAME").unwrap_or_else(|_| "unknown host".into()),
        host => host.to_owned(),
    };
    format!("{host}, process {}", std::process::id())
}

/// What it was told from outside.
struct Signals {
    /// How often it was told to stop.
    stops: Arc<AtomicUsize>,
    /// Slurm's word that the time is nearly over.
    preempted: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let failed = |e: String| CliError::Other(format!("cannot listen for signals: {e}"));
        let (stops, preempted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let counter = stops.clone();
        ctrlc::set_handler(move || {
            // A second Ctrl-C does not wait for the checkpoint; what there is stays, and the trial's process ends with this one.
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                std::process::exit(130);
            }
        })
        .map_err(|e| failed(e.to_string()))?;
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, preempted.clone())
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { stops, preempted })
    }

    fn stop(&self) -> bool {
        self.stops.load(Ordering::SeqCst) > 0 || self.is_preempted()
    }

    fn is_preempted(&self) -> bool {
        self.preempted.load(Ordering::SeqCst)
    }
}
