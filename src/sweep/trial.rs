//! One attempt at a trial: its process, and what it leaves.

use super::{
    Agent, Measure, SweepError,
    plan::name_of,
    space::{Command as What, short_id},
    store::Claim,
};
use crate::run::{RunDir, write_atomic};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What a process of this program exits with when it was stopped.
pub const STOPPED: i32 = 130;
/// What it exits with when another process writes to its run.
pub const OCCUPIED: i32 = 75;
/// Bytes of its log that are kept of a failure.
const TAIL: u64 = 8192;

/// A process that works on a trial.
pub(super) struct Attempt {
    child: Child,
    run: RunDir,
    log: PathBuf,
    /// Where its own part of the log begins: attempts before it wrote there too.
    from: u64,
    measure: Measure,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    /// It came to its end.
    Done {
        /// What it is judged by.
        value: f64,
        /// All that is to be known of it.
        result: serde_json::Value,
    },
    /// It was told to stop.
    Interrupted,
    /// Another process, perhaps of an agent that died, works on the run.
    Occupied,
    /// It failed.
    Failed {
        /// Its last words.
        error: String,
        /// The end of its log.
        log: String,
    },
}

impl Attempt {
    /// Start the process; what was begun before goes on.
    pub fn start(agent: &Agent, claim: &Claim) -> Result<Self, SweepError> {
        let config: serde_json::Value = serde_json::from_str(&claim.trial.config).map_err(|e| {
            SweepError::Trial { id: claim.trial.id.clone(), problem: e.to_string() }
        })?;
        let what = agent.spec.file.command;
        let name = name_of(what, &config).unwrap_or(&claim.trial.id).to_owned();
        // Beside the runs: an experiment replaces its folder as a whole.
        let folder = agent.model_dir.join(agent.sweep).join("trials");
        let beside = |ending: &str| folder.join(format!("{}.{ending}", short_id(&claim.trial.id)));
        let (file, log) = (beside("yaml"), beside("log"));
        let run = RunDir::at(agent.model_dir.join(&name));
        take(&run, &beside_run(&folder, &name), &claim.trial.id)?;
        write_atomic(&file, claim.trial.config.as_bytes())?;
        let mut command = Command::new(&agent.program);
        match what {
            What::Train if run.config().exists() && run.is_begun() => {
                command.args(["train", "--resume", "--run", &name])
            }
            What::Train => command.arg("train").arg("--config").arg(&file).args(["--run", &name]),
            What::Ood => command.arg("ood").arg("--config").arg(&file).args(["--name", &name]),
        };
        if let (Some(budget), Some(key)) = (claim.budget, agent.spec.budget()) {
            command.args(["--set", &format!("{key}={budget}")]);
        }
        // What the trial is was settled when it was made.
        let settled =
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATYPICAL_"));
        settled.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.args(&agent.options).arg("--stop-with-stdin").env("MODEL_DIR", &agent.model_dir);
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let write =
            |source| crate::run::RunError::Write { path: log.clone(), source, hint: String::new() };
        let (out, err) = (open().map_err(write)?, open().map_err(write)?);
        let from = out.metadata().map_or(0, |metadata| metadata.len());
        // Ctrl-C is for the agent, which tells the trial to stop.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|source| SweepError::Start { program: agent.program.clone(), source })?;
        Ok(Self { child, run, log, from, measure: agent.spec.measure() })
    }

    /// How it ended, if it has.
    pub fn ending(&mut self) -> Result<Option<Ending>, SweepError> {
        let Some(status) = self.child.try_wait().map_err(SweepError::Wait)? else {
            return Ok(None);
        };
        Ok(Some(match status.code() {
            Some(0) => match self.measure.read(&self.run) {
                Ok((value, result)) => Ending::Done { value, result },
                Err(problem) => Ending::Failed { error: problem, log: self.tail() },
            },
            Some(STOPPED) => Ending::Interrupted,
            Some(OCCUPIED) => Ending::Occupied,
            _ => {
                let log = self.tail();
                let said = log.lines().rev().find(|line| line.starts_with("error: "));
                let error = said
                    .map_or_else(|| status.to_string(), |line| line["error: ".len()..].to_owned());
                Ending::Failed { error, log }
            }
        }))
    }

    /// Let it write a checkpoint and end.
    pub fn tell_to_stop(&mut self) {
        // It reads the end of its input as the word to stop.
        drop(self.child.stdin.take());
    }

    /// End it at once.
    pub fn kill(&mut self) -> Result<(), SweepError> {
        self.child.kill().map_err(SweepError::Wait)
    }

    /// The end of what it printed.
    fn tail(&self) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.from.max(length.saturating_sub(TAIL))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        read().map_or_else(|e| format!("no log: {e}"), text)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // However the agent ends, nothing works on in its name.
        self.tell_to_stop();
    }
}

/// Where it is noted which trial a run belongs to.
fn beside_run(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.address", name.replace('/', "_")))
}

/// Make a run this trial's. A run of that name that is another's, of an earlier form of the sweep or of no sweep, is not gone on with.
fn take(run: &RunDir, note: &Path, id: &str) -> Result<(), SweepError> {
    let owner = std::fs::read_to_string(note).ok();
    if run.config().exists() && owner.as_deref() != Some(id) {
        return Err(SweepError::Taken(run.root().to_path_buf()));
    }
    Ok(write_atomic(note, id.as_bytes())?)
}
