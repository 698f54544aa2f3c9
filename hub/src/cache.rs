//! The cache, laid out as that of Python's `huggingface_hub`: what one has fetched, the other finds.
//!
//! `blobs/ETAG` has the bytes, `snapshots/COMMIT/FILE` is a link to them, `refs/BRANCH` says which commit a branch was. Blobs get their name when they are
//! whole, so a name that exists can be trusted; meanwhile they are `ETAG.incomplete`.

use super::{HubError, names::Kind};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

/// One repository's part of the cache.
pub(super) struct Cache {
    hub: PathBuf,
    name: String,
    root: PathBuf,
}

impl Cache {
    pub fn new(hub: &Path, kind: Kind, repo: &str) -> Self {
        let name = format!("{}--{}", kind.plural(), repo.replace('/', "--"));
        Self { hub: hub.to_path_buf(), root: hub.join(&name), name }
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Where the bytes of a blob are gathered.
    pub fn part(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit that a revision is, or was when it was last looked up.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        if super::names::is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = std::fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        super::names::is_commit(commit).then(|| commit.to_owned())
    }

    /// Remember which commit a branch or tag is.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if super::names::is_commit(revision) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        make_parent(&path)?;
        let beside = path.with_extension(format!("{}.incomplete", std::process::id()));
        let written =
            std::fs::write(&beside, commit).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|e| HubError::write(&path, e, commit.len() as u64))
    }

    /// Put a blob into a snapshot under its file's name.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, HubError> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        if !path.exists() {
            // A link whose blob is gone.
            let _ = std::fs::remove_file(&path);
            let linked = link(&self.blob(etag), &path, file.split('/').count() + 1);
            // Another process may have been first.
            linked
                .or_else(|e| if path.exists() { Ok(()) } else { Err(e) })
                .map_err(|e| HubError::write(&path, e, 0))?;
        }
        Ok(path)
    }

    /// The right to write a blob; `wait` is called meanwhile, now and then. It ends with the process that has it, however that ends.
    pub fn lock(&self, etag: &str, mut wait: impl FnMut()) -> Result<File, HubError> {
        let path = self.hub.join(".locks").join(&self.name).join(format!("{etag}.lock"));
        make_parent(&path)?;
        make_parent(&self.blob(etag))?;
        let error = |e| HubError::write(&path, e, 0);
        let file = File::create(&path).map_err(error)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    wait();
                    std::thread::sleep(Duration::from_millis(100));
                }
                // Some network file systems have no locks: there two downloads at a time end in a wrong checksum, and in another try.
                Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(e)) => return Err(error(e)),
            }
        }
    }
}

fn make_parent(path: &Path) -> Result<&Path, HubError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| HubError::write(folder, e, 0))?;
    Ok(folder)
}

/// A relative link, `up` folders up and down to `blobs`: the cache can be moved.
#[cfg(unix)]
fn link(blob: &Path, path: &Path, up: usize) -> std::io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new(&"../".repeat(up)).join("blobs").join(name), path)
}

#[cfg(not(unix))]
fn link(blob: &Path, path: &Path, _: usize) -> std::io::Result<()> {
    std::fs::hard_link(blob, path)
}
