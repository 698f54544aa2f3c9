//! Checkpoints to resume from: folders of files under a manifest of checksums.

use super::{RunError, sync_folder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Checkpoints kept: the newest, and one to fall back on.
const KEPT: usize = 2;
const MANIFEST: &str = "manifest.json";

/// The checkpoints of a run, one folder each, named by the step.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    root: PathBuf,
}

/// The files of one checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Contents by file name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Size and SHA-256 of every file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest(BTreeMap<String, (usize, String)>);

impl Manifest {
    fn of(checkpoint: &Checkpoint) -> Self {
        let digest = |bytes: &Vec<u8>| (bytes.len(), format!("{:x}", Sha256::digest(bytes)));
        Self(checkpoint.files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect())
    }
}

impl Checkpoints {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Write a checkpoint under its step, in one step: first a hidden folder, synced, then its rename. Older ones go, but
    /// for the one before.
    ///
    /// # Errors
    /// Anything that cannot be written; earlier checkpoints are intact.
    pub fn save(&self, step: usize, checkpoint: &Checkpoint) -> Result<(), RunError> {
        let hidden = self.root.join(format!(".step-{step:08}"));
        let aside = self.root.join(format!(".old-{step:08}"));
        let path = self.root.join(format!("step-{step:08}"));
        let written = self.write(&hidden, checkpoint).and_then(|()| {
            // The same step may be there already, damaged or whole: it goes when the new one is in its place.
            let _ = std::fs::remove_dir_all(&aside);
            let _ = std::fs::rename(&path, &aside);
            std::fs::rename(&hidden, &path).map_err(|source| {
                let _ = std::fs::rename(&aside, &path);
                RunError::Write { path: path.clone(), source, hint: String::new() }
            })
        });
        let _ = std::fs::remove_dir_all(&aside);
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&hidden);
        }
        written?;
        sync_folder(&self.root);
        for old in self.steps().into_iter().rev().skip(KEPT) {
            // What cannot be removed now is removed later; it harms nothing.
            let _ = std::fs::remove_dir_all(self.root.join(format!("step-{old:08}")));
        }
        Ok(())
    }

    fn write(&self, folder: &Path, checkpoint: &Checkpoint) -> Result<(), RunError> {
        let manifest = serde_json::to_vec_pretty(&Manifest::of(checkpoint)).unwrap_or_default();
        let files = checkpoint.files.iter().map(|(name, bytes)| (name.as_str(), bytes));
        for (name, bytes) in files.chain([(MANIFEST, &manifest)]) {
            super::write_atomic(&folder.join(name), bytes)?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole, with its step; `warn` hears of damaged ones that were passed over.
    pub fn latest(&self, mut warn: impl FnMut(&RunError)) -> Option<(usize, Checkpoint)> {
        self.steps().into_iter().rev().find_map(|step| match self.load(step) {
            Ok(checkpoint) => Some((step, checkpoint)),
            Err(error) => {
                warn(&error);
                None
            }
        })
    }

    /// A checkpoint, verified against its manifest.
    ///
    /// # Errors
    /// Files that are missing, truncated or changed.
    pub fn load(&self, step: usize) -> Result<Checkpoint, RunError> {
        let path = self.root.join(format!("step-{step:08}"));
        let damaged = |problem: String| RunError::Damaged { path: path.clone(), problem };
        let read = |name: &str| {
            std::fs::read(path.join(name))
                .map_err(|e| damaged(format!("{name} cannot be read ({e})")))
        };
        let manifest: Manifest = serde_json::from_slice(&read(MANIFEST)?)
            .map_err(|e| damaged(format!("{MANIFEST} is no manifest ({e})")))?;
        let mut checkpoint = Checkpoint::default();
        for (name, (size, _)) in &manifest.0 {
            let bytes = read(name)?;
            if bytes.len() != *size {
                let found = bytes.len();
                return Err(damaged(format!(
                    "{name} has {found} bytes instead of {size}: it is truncated"
                )));
            }
            checkpoint.files.insert(name.clone(), bytes);
        }
        if Manifest::of(&checkpoint) != manifest {
            return Err(damaged("a file's checksum is not the one that was written".into()));
        }
        Ok(checkpoint)
    }

    /// Steps that have a checkpoint, rising.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(n: u8) -> Checkpoint {
        let files = [("a".to_owned(), vec![n; 100]), ("b".to_owned(), vec![n, 1, 2])];
        Checkpoint { files: files.into_iter().collect() }
    }

    #[test]
    fn the_newest_whole_checkpoint_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path().to_path_buf());
        for step in [5, 10, 200] {
            checkpoints.save(step, &checkpoint(step as u8)).unwrap();
        }
        assert_eq!(checkpoints.steps(), [10, 200]);
        let newest = |warnings: &mut Vec<String>| {
            checkpoints.latest(|e| warnings.push(e.to_string())).map(|(step, _)| step)
        };
        let mut warnings = Vec::new();
        assert_eq!(newest(&mut warnings), Some(200));
        assert_eq!(checkpoints.load(200).unwrap(), checkpoint(200));

        std::fs::write(dir.path().join("step-00000200/a"), [1; 50]).unwrap();
        assert_eq!(newest(&mut warnings), Some(10));
        assert!(warnings[0].contains("a has 50 bytes instead of 100"), "{warnings:?}");

        std::fs::write(dir.path().join("step-00000010/b"), [10, 1, 3]).unwrap();
        assert_eq!(newest(&mut warnings), None);
        assert!(warnings[2].contains("checksum"), "{warnings:?}");
    }

    #[test]
    fn an_unfinished_checkpoint_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path().to_path_buf());
        checkpoints.save(1, &checkpoint(1)).unwrap();
        // What a kill in the middle leaves.
        std::fs::create_dir(dir.path().join(".step-00000002")).unwrap();
        std::fs::write(dir.path().join(".step-00000002/a"), [0; 10]).unwrap();
        assert_eq!(checkpoints.steps(), [1]);
        checkpoints.save(2, &checkpoint(2)).unwrap();
        assert_eq!(checkpoints.load(2).unwrap(), checkpoint(2));
    }
}
