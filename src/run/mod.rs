//! The run directory: what a training or an experiment leaves on disk.
//!
//! Every file is written atomically (to a temporary file beside it, synced, renamed): a kill or a full disk at any moment
//! leaves the old contents or the new, never half of either.

mod checkpoint;
mod journal;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use journal::Journal;

use std::{
    fs::TryLockError,
    io::Write,
    path::{Component, Path, PathBuf},
};
use thiserror::Error;

/// A run directory that cannot be used.
#[derive(Debug, Error)]
pub enum RunError {
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}; nothing was changed there{hint}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A run of that name is there already.
    #[error(
        "the run {0} exists already; continue it with --resume, or choose another name with --run"
    )]
    Exists(PathBuf),
    /// A name that does not lie under MODEL_DIR.
    #[error(
        "`{0}` cannot be the name of a run: a name lies under MODEL_DIR, so it has no `..` and does not begin with `/`"
    )]
    Name(String),
    /// Another process works in it.
    #[error("another process is writing to the run {0}; wait for it, or choose another name")]
    Locked(PathBuf),
    /// Another process works on the same output.
    #[error("another process is writing to {0}; wait for it, or choose another output")]
    JournalLocked(PathBuf),
    /// A training where an experiment was to be written.
    #[error("{0} is not an experiment: its files stay; choose another name with --name")]
    NotAnExperiment(PathBuf),
    /// No run of that name.
    #[error(
        "there is no run `{name}` (looked in {looked}){guess}; train one with `atypical train`, or list them with `atypical runs`"
    )]
    Missing {
        /// The name or path given.
        name: String,
        /// Where it was looked for.
        looked: PathBuf,
        /// "; did you mean …?" or nothing.
        guess: String,
    },
    /// A checkpoint whose files are not what was written.
    #[error("the checkpoint {path} is damaged: {problem}")]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No checkpoint can be used.
    #[error(
        "the run {0} has no usable checkpoint to resume from; start it anew under another name with --run"
    )]
    NoCheckpoint(PathBuf),
}

/// Replace a file's contents in one step.
///
/// # Errors
/// The directory or the file cannot be written; the old contents are intact.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<(), RunError> {
    let error = |source: std::io::Error| {
        let hint = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::FileTooLarge => {
                format!(" ({} bytes were needed; free some space and try again)", contents.len())
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                " (set MODEL_DIR to a folder that you may write to)".into()
            }
            _ => String::new(),
        };
        RunError::Write { path: path.to_path_buf(), source, hint }
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(error)?;
    let mut builder = tempfile::Builder::new();
    // Readable by whom the umask lets read, as any other file; temporary files are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(error)?;
    file.write_all(contents).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    sync_folder(folder);
    Ok(())
}

/// Make a rename durable. Some file systems cannot sync folders: there the rename is as durable as they make it.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// All files of a folder, without those whose names begin with a dot.
fn copy(from: &Path, to: &Path) -> Result<(), RunError> {
    let read = |path: &Path, source| RunError::Read { path: path.to_path_buf(), source };
    for entry in std::fs::read_dir(from).map_err(|e| read(from, e))? {
        let path = entry.map_err(|e| read(from, e))?.path();
        let Some(name) = path.file_name().filter(|name| !name.to_string_lossy().starts_with('.'))
        else {
            continue;
        };
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            write_atomic(&to.join(name), &std::fs::read(&path).map_err(|e| read(&path, e))?)?;
        }
    }
    Ok(())
}

/// The right to write to a run.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

/// A run directory in the making. Dropped without [`commit`](Self::commit), it leaves nothing.
#[derive(Debug)]
pub struct Staged {
    _lock: Option<std::fs::File>,
    folder: RunDir,
    place: RunDir,
    old: PathBuf,
}

impl Staged {
    /// Where to write meanwhile.
    pub fn folder(&self) -> &RunDir {
        &self.folder
    }

    /// Put it in its place; what was there goes.
    ///
    /// # Errors
    /// The folders cannot be renamed; what was there stays.
    pub fn commit(self) -> Result<RunDir, RunError> {
        let place = self.place.root();
        let _ = std::fs::remove_dir_all(&self.old);
        let _ = std::fs::rename(place, &self.old);
        std::fs::rename(self.folder.root(), place).map_err(|source| {
            let _ = std::fs::rename(&self.old, place);
            RunError::Write { path: place.to_path_buf(), source, hint: String::new() }
        })?;
        let _ = std::fs::remove_dir_all(&self.old);
        Ok(self.place.clone())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.folder.root());
        // What it was to replace may be an empty folder, made for it.
        let _ = std::fs::remove_dir(self.place.root());
    }
}

/// Where an imported run is from.
pub const ORIGIN: &str = "import.json";
/// Folder of the first step of a two-step model.
pub const FIRST: &str = "first";
/// Folder of the second.
pub const SECOND: &str = "second";

/// A run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// A new run under `model_dir`. A run that ended before it left anything to resume from or to read is begun anew.
    ///
    /// # Errors
    /// A name outside `model_dir`, a run of that name that exists, or a folder that cannot be made.
    pub fn create(model_dir: &Path, name: &str) -> Result<Self, RunError> {
        let mut parts = Path::new(name).components().peekable();
        if parts.peek().is_none() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(RunError::Name(name.to_owned()));
        }
        let run = Self { root: model_dir.join(name) };
        // A training that was killed before its first checkpoint may have left weights, and nothing to go on from.
        let killed = run.root.join(".lock").exists() && !run.outcome().exists();
        let kept = run.metrics().exists() || (run.best_model().exists() && !killed);
        if kept || run.is_begun() {
            return Err(RunError::Exists(run.root));
        }
        std::fs::create_dir_all(&run.root).map_err(|source| RunError::Write {
            path: run.root.clone(),
            source,
            hint: " (set MODEL_DIR to a folder that you may write to)".into(),
        })?;
        Ok(run)
    }

    /// An existing run: a name under `model_dir`, or a path.
    ///
    /// # Errors
    /// There is none, with the most similar name.
    pub fn open(model_dir: &Path, name: &str) -> Result<Self, RunError> {
        for root in [model_dir.join(name), PathBuf::from(name)] {
            let run = Self { root };
            if run.config().exists() {
                return Ok(run);
            }
        }
        let guess = Self::list(model_dir)
            .into_iter()
            .map(|run| run.name_under(model_dir))
            .map(|other| (strsim::jaro_winkler(name, &other), other))
            .filter(|(similarity, _)| *similarity > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(String::new(), |(_, other)| format!("; did you mean `{other}`?"));
        Err(RunError::Missing { name: name.to_owned(), looked: model_dir.to_path_buf(), guess })
    }

    /// A run whose files lie elsewhere, copied to `name` under `model_dir`, links followed. `mark` says which files they are: what was copied under the same mark
    /// before is taken as it is, anything else there gives way.
    ///
    /// # Errors
    /// A name outside `model_dir`, files that cannot be read or written.
    pub fn copied(model_dir: &Path, name: &str, from: &Path, mark: &str) -> Result<Self, RunError> {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(RunError::Name(name.to_owned()));
        }
        let run = Self { root: model_dir.join(name) };
        let known = run.root.join(".from");
        if std::fs::read_to_string(&known).is_ok_and(|known| known == mark) && run.config().exists()
        {
            return Ok(run);
        }
        // Only one process copies; another waits for it, and takes what it made.
        let lock = run.root.with_file_name(format!(".{}.lock", run.name()));
        if let Some(folder) = lock.parent() {
            std::fs::create_dir_all(folder).map_err(|source| RunError::Write {
                path: folder.to_path_buf(),
                source,
                hint: " (set MODEL_DIR to a folder that you may write to)".into(),
            })?;
        }
        let lock = std::fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
        if std::fs::read_to_string(&known).is_ok_and(|known| known == mark) && run.config().exists()
        {
            return Ok(run);
        }
        let staged = run.stage()?;
        copy(from, staged.folder().root())?;
        write_atomic(&staged.folder().root().join(".from"), mark.as_bytes())?;
        let run = staged.commit();
        drop(lock);
        run
    }

    /// The sample grid of the latest epoch, where there is one.
    pub fn last_samples(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.root.join("samples")).ok()?.flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "png"))
            .max()
    }

    /// Keep other processes from writing to this run until the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written to.
    pub fn lock(&self) -> Result<Lock, RunError> {
        let path = self.root.join(".lock");
        let error = |source| RunError::Write { path: path.clone(), source, hint: String::new() };
        let file = std::fs::File::create(&path).map_err(error)?;
        let mut locked = file.try_lock();
        // Whoever only looks whether it is locked holds it for a moment.
        for _ in 0..10 {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked(self.root.clone())),
            // Some network file systems have no locks: there nothing guards the run.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(Lock { _file: file })
            }
            Err(TryLockError::Error(source)) => Err(error(source)),
        }
    }

    /// Remove the folder of a run that failed before it wrote anything; any other stays.
    pub fn remove_if_empty(&self) {
        let lock = self.root.join(".lock");
        let only_the_lock = std::fs::read_dir(&self.root)
            .is_ok_and(|mut files| files.all(|file| file.is_ok_and(|file| file.path() == lock)));
        if only_the_lock {
            let _ = std::fs::remove_file(lock).and_then(|()| std::fs::remove_dir(&self.root));
        }
    }

    /// Whether there is a checkpoint to resume from, its own or of a step of it.
    pub fn is_begun(&self) -> bool {
        let parts = [self.clone(), self.part(FIRST), self.part(SECOND)];
        parts.iter().any(|part| !part.checkpoints().steps().is_empty())
    }

    /// Whether another process is writing to it.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = std::fs::File::open(self.root.join(".lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Remove it, all at once: a removal that is cut short leaves nothing that looks like a run.
    ///
    /// # Errors
    /// Another process writes to it, or it cannot be removed.
    pub fn remove(self) -> Result<(), RunError> {
        let lock = self.lock()?;
        let error =
            |source| RunError::Write { path: self.root.clone(), source, hint: String::new() };
        let going = self.root.with_file_name(format!(".{}.removed", self.name()));
        let _ = std::fs::remove_dir_all(&going);
        std::fs::rename(&self.root, &going).map_err(error)?;
        drop(lock);
        std::fs::remove_dir_all(&going).map_err(error)
    }

    /// A folder beside this one, to take its place when everything is in it.
    ///
    /// # Errors
    /// The folder cannot be made, or another process makes one for the same place.
    pub fn stage(&self) -> Result<Staged, RunError> {
        let beside = |suffix: &str| self.root.with_file_name(format!(".{}.{suffix}", self.name()));
        let folder = beside("new");
        let error = |source| RunError::Write { path: folder.clone(), source, hint: String::new() };
        std::fs::create_dir_all(&folder).map_err(error)?;
        // The folder is its own lock, and leaves nothing behind. Not everywhere can folders be opened: there nothing guards it.
        let file = std::fs::File::open(&folder).ok();
        if file.as_ref().is_some_and(|f| matches!(f.try_lock(), Err(TryLockError::WouldBlock))) {
            return Err(RunError::Locked(self.root.clone()));
        }
        for entry in std::fs::read_dir(&folder).map_err(error)?.flatten() {
            let path = entry.path();
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
            gone.map_err(error)?;
        }
        let (place, old) = (self.clone(), beside("old"));
        Ok(Staged { _lock: file, folder: Self { root: folder }, place, old })
    }

    /// All runs under `model_dir`, by name; those in folders that are no runs, as a sweep's, too.
    pub fn list(model_dir: &Path) -> Vec<Self> {
        let of = |folder: &Path| -> Vec<Self> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let folders = entries.map(|entry| Self { root: entry.path() });
            folders.filter(|run| run.root.is_dir() && !run.name().starts_with('.')).collect()
        };
        let is_run = |run: &Self| run.config().exists();
        let mut runs: Vec<Self> = of(model_dir)
            .into_iter()
            .flat_map(|run| if is_run(&run) { vec![run] } else { of(&run.root) })
            .filter(is_run)
            .collect();
        runs.sort_by(|a, b| a.root.cmp(&b.root));
        runs
    }

    /// The folder of a run, which may not be there yet.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// What [`open`](Self::open) finds it by: its path under `model_dir`, or all of it.
    pub fn name_under(&self, model_dir: &Path) -> String {
        self.root.strip_prefix(model_dir).unwrap_or(&self.root).display().to_string()
    }

    /// A run within this one: a step of a two-step model.
    pub fn part(&self, name: &str) -> Self {
        Self { root: self.root.join(name) }
    }

    /// What a training came to, where it has ended.
    pub fn outcome(&self) -> PathBuf {
        self.root.join("outcome.json")
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its name: the folder's.
    pub fn name(&self) -> String {
        self.root.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.yaml")
    }

    /// Weights with the best validation loss.
    pub fn best_model(&self) -> PathBuf {
        self.root.join("model/best.safetensors")
    }

    /// Weights at the last checkpoint.
    pub fn latest_model(&self) -> PathBuf {
        self.root.join("model/latest.safetensors")
    }

    /// The weights that count: the best ones, or the latest before the first validation.
    pub fn weights(&self) -> PathBuf {
        let best = self.best_model();
        if best.exists() { best } else { self.latest_model() }
    }

    /// What its model has measured of images.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache/measured.jsonl")
    }

    /// Samples that were drawn of its model, by what they depend on.
    pub fn generated(&self, key: &str) -> PathBuf {
        self.root.join(format!("cache/generated-{key}.npz"))
    }

    /// One JSON object an epoch.
    pub fn metrics_log(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// What the log says of the last whole epoch.
    pub fn last_epoch(&self) -> Option<serde_json::Value> {
        let log = std::fs::read_to_string(self.metrics_log()).ok()?;
        serde_json::from_str(log.lines().last()?).ok()
    }

    /// The log as a table.
    pub fn metrics_table(&self) -> PathBuf {
        self.root.join("metrics.parquet")
    }

    /// Results of an experiment.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.json")
    }

    /// One row a scored sample.
    pub fn scores(&self) -> PathBuf {
        self.root.join("scores.parquet")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Folder of the figures.
    pub fn figures(&self) -> PathBuf {
        self.root.join("figures")
    }

    /// Sample grid after an epoch.
    pub fn samples(&self, epoch: usize) -> PathBuf {
        self.root.join(format!("samples/epoch-{epoch:04}.png"))
    }

    /// Inputs and what an autoencoder makes of them, after an epoch.
    pub fn reconstructions(&self, epoch: usize) -> PathBuf {
        self.root.join(format!("reconstructions/epoch-{epoch:04}.png"))
    }

    /// The checkpoints to resume from.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.root.join("checkpoints"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomic(&path, b"old").unwrap();
        // A folder cannot be replaced by a file: the rename fails after the temporary file was written.
        let blocked = dir.path().join("folder");
        std::fs::create_dir(&blocked).unwrap();
        std::fs::write(blocked.join("inside"), b"kept").unwrap();
        assert!(write_atomic(&blocked, b"new").is_err());
        assert_eq!(std::fs::read(blocked.join("inside")).unwrap(), b"kept");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "no temporary file is left: {names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let message = RunDir::create(&file, "run").unwrap_err().to_string();
        assert!(message.contains("file/run") && message.contains("MODEL_DIR"), "{message}");
    }

    #[test]
    fn a_run_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path(), "run").unwrap();
        let lock = run.lock().unwrap();
        assert!(matches!(run.lock(), Err(RunError::Locked(_))));
        drop(lock);
        run.lock().unwrap();
    }

    #[test]
    fn a_staged_folder_takes_its_place_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path(), "run").unwrap();
        write_atomic(&run.config(), b"old").unwrap();
        let staged = run.stage().unwrap();
        write_atomic(&staged.folder().config(), b"half").unwrap();
        assert!(matches!(run.stage(), Err(RunError::Locked(_))), "two at once");
        drop(staged);
        assert_eq!(std::fs::read(run.config()).unwrap(), b"old");
        let fresh = RunDir::create(dir.path(), "fresh").unwrap();
        drop(fresh.stage().unwrap());
        assert!(!fresh.root().exists(), "an empty folder is left");
        let staged = run.stage().unwrap();
        write_atomic(&staged.folder().config(), b"new").unwrap();
        assert_eq!(staged.commit().unwrap(), run);
        assert_eq!(std::fs::read(run.config()).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_is_copied_once_for_each_mark() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("snapshot");
        write_atomic(&from.join("config.yaml"), b"a").unwrap();
        write_atomic(&from.join("model/best.safetensors"), b"weights").unwrap();
        write_atomic(&from.join(".gitattributes"), b"").unwrap();
        let copied = |mark: &str| RunDir::copied(dir.path(), "hf/org/name", &from, mark).unwrap();
        let run = copied("1");
        assert_eq!(std::fs::read(run.best_model()).unwrap(), b"weights");
        assert!(!run.root().join(".gitattributes").exists());
        // What a run gains here stays with it, until other files take its place.
        write_atomic(&run.cache(), b"measured").unwrap();
        write_atomic(&from.join("config.yaml"), b"b").unwrap();
        assert_eq!(std::fs::read(copied("1").config()).unwrap(), b"a");
        assert!(run.cache().exists());
        assert_eq!(std::fs::read(copied("2").config()).unwrap(), b"b");
        assert!(!run.cache().exists());
        assert!(RunDir::copied(dir.path(), "../x", &from, "1").is_err());
    }

    #[test]
    fn runs_are_found_by_name_and_path_and_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path(), "rq_nsf").unwrap();
        write_atomic(&run.config(), b"").unwrap();
        assert_eq!(RunDir::create(dir.path(), "rq_nsf").unwrap(), run, "it left nothing yet");
        write_atomic(&run.best_model(), b"").unwrap();
        assert!(matches!(RunDir::create(dir.path(), "rq_nsf"), Err(RunError::Exists(_))));
        assert_eq!(RunDir::open(dir.path(), "rq_nsf").unwrap(), run);
        assert_eq!(
            RunDir::open(Path::new("elsewhere"), run.root().to_str().unwrap()).unwrap(),
            run
        );
        let message = RunDir::open(dir.path(), "rq-nsf").unwrap_err().to_string();
        assert!(message.contains("did you mean `rq_nsf`?"), "{message}");
    }
}
