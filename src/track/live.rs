//! A run that is shown while it goes on.

use crate::{
    config::{TrackConfig, Wandb as WandbMode},
    run::{RunDir, write_atomic},
};
use atypical_track::{
    Mlflow, Outcome, RunInfo, Table, TensorBoard, TrackError, Tracker, Trackers, Wandb,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What a run tells its trackers. Without trackers it is told to nobody.
pub struct Live {
    trackers: Mutex<Option<Trackers>>,
    /// The run's folder.
    folder: PathBuf,
    /// Whether `wandb` is to upload the run at its end.
    upload: bool,
}

impl Live {
    /// Begin to track a run, or go on with it.
    ///
    /// # Errors
    /// Settings that a tracker does not take. A tracker that cannot be reached is no error.
    pub fn start(
        config: &TrackConfig,
        run: &RunDir,
        name: &str,
        settings: Value,
    ) -> Result<Self, TrackError> {
        let folder = run.root();
        let mut trackers: Vec<Box<dyn Tracker>> = Vec::new();
        if config.wandb != WandbMode::Off {
            trackers.push(Box::new(Wandb::new(folder)));
        }
        if config.tensorboard {
            trackers.push(Box::new(TensorBoard::new(&folder.join("tensorboard"))));
        }
        if let Some(uri) = &config.mlflow {
            trackers.push(Box::new(Mlflow::new(uri)?));
        }
        if trackers.is_empty() {
            return Ok(Self {
                trackers: Mutex::new(None),
                folder: folder.to_path_buf(),
                upload: false,
            });
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        // W&B shows a sweep's run in the sweep only if it is of the sweep's project.
        let sweep = variable("WANDB_SWEEP_ID");
        let of_sweep = |name: &str| sweep.as_ref().and_then(|_| variable(name));
        let info = RunInfo {
            // What started this process may have named the run.
            id: variable("WANDB_RUN_ID").unwrap_or_else(|| id(folder)),
            name: name.to_owned(),
            project: of_sweep("WANDB_PROJECT").unwrap_or_else(|| config.project.clone()),
            entity: of_sweep("WANDB_ENTITY"),
            group: config.group.clone(),
            tags: config.tags.clone(),
            notes: config.notes.clone(),
            sweep: sweep.clone(),
            config: settings,
            dir: folder.to_path_buf(),
        };
        let warn = |warning: &str| eprintln!("warning: {warning}");
        let upload = config.wandb == WandbMode::Online;
        let trackers = Trackers::start(info, trackers, warn)?;
        let folder = folder.to_path_buf();
        Ok(Self { trackers: Mutex::new(Some(trackers)), folder, upload })
    }

    /// Numbers of a line of the log, nested ones named with a slash, `prefix` before each.
    pub fn log(&self, step: usize, prefix: &str, line: &Value) {
        self.tell(|trackers| {
            let mut numbers = BTreeMap::new();
            super::history::numbers(line, "", &mut numbers);
            let named = numbers
                .into_iter()
                .map(|(name, value)| (prefix.to_owned() + &name.replace('.', "/"), value));
            trackers.log(step as u64, named.collect());
        });
    }

    /// A picture.
    pub fn image(&self, step: usize, name: &str, png: &[u8]) {
        self.tell(|trackers| trackers.image(step as u64, name, png.to_vec()));
    }

    /// A table.
    pub fn table(&self, name: &str, table: impl FnOnce() -> Table) {
        self.tell(|trackers| trackers.table(0, name, table()));
    }

    /// A file of the run, where it is there.
    pub fn file(&self, path: &Path) {
        self.tell(|trackers| {
            if path.exists() {
                trackers.file(path);
            }
        });
    }

    /// What the run comes to.
    pub fn summary(&self, step: usize, values: BTreeMap<String, f64>) {
        self.tell(|trackers| trackers.summary(step as u64, values));
    }

    /// End it. What is told afterwards is told to nobody.
    pub fn finish(&self, outcome: Outcome) {
        let trackers = self.trackers.lock().ok().and_then(|mut trackers| trackers.take());
        let Some(trackers) = trackers else { return };
        if !trackers.finish(outcome) {
            eprintln!(
                "warning: to deliver it once they can be reached: atypical runs sync {}",
                self.folder.display()
            );
        }
        if self.upload
            && let Some(last) = sessions(&self.folder).pop()
            && let Err(problem) = upload(&self.folder, &[last], PATIENCE)
        {
            eprintln!("warning: {problem}");
        }
    }

    /// Tell trackers what they missed of a run that has ended, because they could not be reached or the run was killed, and how it ended; have W&B's own program upload the sessions that
    /// it has not. Says which trackers have it all now, and what is wrong with the others.
    pub fn deliver(
        config: &TrackConfig,
        run: &RunDir,
        name: &str,
        settings: &Value,
        outcome: Outcome,
    ) -> Delivery {
        let mut delivery = Delivery::default();
        let none = TrackConfig {
            wandb: WandbMode::Off,
            tensorboard: false,
            mlflow: None,
            ..config.clone()
        };
        let is_behind = |tracker| atypical_track::is_behind(run.root(), tracker);
        let mut told = |name_of: &'static str, alone: TrackConfig| {
            let live = Self::start(&alone, run, name, settings.clone());
            let whole = live.map(|live| {
                let trackers = live.trackers.into_inner().ok().flatten();
                trackers.is_none_or(|trackers| trackers.finish_within(outcome, PATIENCE))
            });
            match whole {
                Ok(true) => return true,
                Ok(false) => {
                    delivery.problems.push(format!("{name_of} did not take all of `{name}`"))
                }
                Err(problem) => delivery.problems.push(problem.to_string()),
            }
            false
        };
        let mut whole = Vec::new();
        if config.tensorboard {
            let alone = TrackConfig { tensorboard: true, ..none.clone() };
            if !is_behind("tensorboard") || told("TensorBoard", alone) {
                whole.push("TensorBoard");
            }
        }
        if config.mlflow.is_some() {
            let alone = TrackConfig { mlflow: config.mlflow.clone(), ..none.clone() };
            if !is_behind("mlflow") || told("MLflow", alone) {
                whole.push("MLflow");
            }
        }
        if config.wandb != WandbMode::Off {
            let alone = TrackConfig { wandb: WandbMode::Offline, ..none };
            let written = !is_behind("wandb") || told("W&B", alone);
            let all = sessions(run.root());
            let fresh: Vec<PathBuf> = all.iter().filter(|s| !is_uploaded(s)).cloned().collect();
            let uploaded = if fresh.is_empty() { Ok(()) } else { upload(run.root(), &fresh, LONG) };
            match uploaded {
                Ok(()) if all.is_empty() => {
                    delivery.problems.push(format!("nothing of `{name}` was written for W&B"));
                }
                Ok(()) if written => whole.push("W&B"),
                Ok(()) => {}
                Err(problem) => delivery.problems.push(problem),
            }
        }
        Delivery { whole, ..delivery }
    }

    fn tell(&self, what: impl FnOnce(&Trackers)) {
        if let Ok(trackers) = self.trackers.lock()
            && let Some(trackers) = trackers.as_ref()
        {
            what(trackers);
        }
    }
}

/// The run's id in trackers: made once, kept in its folder, so that a resumed run goes on as the same one.
fn id(folder: &Path) -> String {
    let file = folder.join("track/id");
    if let Ok(id) = std::fs::read_to_string(&file) {
        return id.trim().to_owned();
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = format!("{} {time} {}", folder.display(), std::process::id());
    let id = format!("{:x}", Sha256::digest(seed.as_bytes()))[..12].to_owned();
    if let Err(problem) = write_atomic(&file, id.as_bytes()) {
        eprintln!("warning: a resumed run will be tracked as a new one: {problem}");
    }
    id
}

/// How long a run waits for its upload, and a tracker for what it missed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long somebody waits who asked for an upload.
const LONG: Duration = Duration::from_secs(3600);

/// W&B's sessions of a run, the last one last. Its own program keeps other folders there.
fn sessions(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("wandb")).into_iter().flatten().flatten();
    let session = |entry: &std::fs::DirEntry| {
        entry.path().is_dir() && entry.file_name().to_string_lossy().starts_with("offline-run-")
    };
    let mut sessions: Vec<PathBuf> = entries.filter(session).map(|entry| entry.path()).collect();
    sessions.sort();
    sessions
}

/// Whether W&B's program has marked a session as uploaded.
fn is_uploaded(session: &Path) -> bool {
    let mut files = std::fs::read_dir(session).into_iter().flatten().flatten();
    files.any(|file| file.path().extension().is_some_and(|e| e == "synced"))
}

/// Have W&B's own program upload sessions of a run; what it says goes into a file there. Where that takes longer than `patience`, it goes on by itself.
fn upload(run: &Path, sessions: &[PathBuf], patience: Duration) -> Result<(), String> {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let sessions: Vec<PathBuf> = sessions.iter().map(absolute).collect();
    let shown: Vec<String> = sessions.iter().map(|path| path.display().to_string()).collect();
    let by_hand = format!("upload it with: wandb sync {}", shown.join(" "));
    let log = run.join("track/upload.log");
    let mut command = Command::new("wandb");
    // It makes a folder `wandb` where it is started.
    command.arg("sync").args(&sessions).current_dir(run);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(&log).map_or_else(|_| Stdio::null(), Stdio::from));
    let mut child = command.spawn().map_err(|error| {
        format!("the run was not uploaded: `wandb` cannot be started: {error}; {by_hand}")
    })?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(None) if start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) => {
                return Err(format!(
                    "the upload takes long, and goes on ({} is what it says); if it fails, {by_hand}",
                    log.display()
                ));
            }
            _ => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no word");
                return Err(format!("the run was not uploaded: wandb says: {last}; {by_hand}"));
            }
        }
    }
}

/// What came of telling trackers what they missed.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Those that have it all.
    pub whole: Vec<&'static str>,
    /// What is wrong with the others.
    pub problems: Vec<String>,
}
