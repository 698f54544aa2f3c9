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
    /// Where `wandb sync` finds the run, if it is to be uploaded at its end.
    upload: Option<PathBuf>,
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
            return Ok(Self { trackers: Mutex::new(None), upload: None });
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
        let upload = (config.wandb == WandbMode::Online).then(|| folder.join("wandb"));
        let trackers = Trackers::start(info, trackers, warn)?;
        Ok(Self { trackers: Mutex::new(Some(trackers)), upload })
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
        trackers.finish(outcome);
        if let Some(folder) = &self.upload {
            upload(folder);
        }
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
    let id = crate::hex(&Sha256::digest(seed.as_bytes()))[..12].to_owned();
    if let Err(problem) = write_atomic(&file, id.as_bytes()) {
        eprintln!("warning: a resumed run will be tracked as a new one: {problem}");
    }
    id
}

/// How long a run waits for its upload.
const PATIENCE: Duration = Duration::from_secs(20);

/// Have W&B's own program upload the last session. Where that takes long, it goes on by itself.
fn upload(folder: &Path) {
    let sessions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let Some(session) = sessions.map(|entry| entry.path()).filter(|path| path.is_dir()).max()
    else {
        return;
    };
    let by_hand = format!("upload it with: wandb sync {}", session.display());
    let mut command = Command::new("wandb");
    command.arg("sync").arg(&session);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let why = format!("`wandb` cannot be started: {error}");
            return eprintln!("warning: the run was not uploaded: {why}; {by_hand}");
        }
    };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return,
            Ok(None) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) => {
                return eprintln!(
                    "warning: the upload takes long, and goes on; if it fails, {by_hand}"
                );
            }
            _ => return eprintln!("warning: the run was not uploaded; {by_hand}"),
        }
    }
}
