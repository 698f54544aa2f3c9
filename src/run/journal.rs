//! Work done so far, one line of JSON a piece: what a kill leaves of a long command, to go on from.

use super::RunError;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// An append-only file of finished pieces by key, valid for one fingerprint of the settings.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    done: HashMap<String, serde_json::Value>,
}

impl Journal {
    /// Open the journal, with what it holds if it was written under the same fingerprint; a journal of other settings is begun
    /// anew. A last line that a kill cut short is left out.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Self, RunError> {
        let write =
            |source| RunError::Write { path: path.to_path_buf(), source, hint: String::new() };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        folder.map_or(Ok(()), std::fs::create_dir_all).map_err(write)?;
        let mut file =
            File::options().read(true).append(true).create(true).open(path).map_err(write)?;
        match file.try_lock() {
            // Some file systems know no locks: there it is for the user not to start twice.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RunError::JournalLocked(path.to_path_buf()));
            }
        }
        let mut bytes = Vec::new();
        let read = |source| RunError::Read { path: path.to_path_buf(), source };
        file.read_to_end(&mut bytes).map_err(read)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut done = HashMap::new();
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let header = format!("{}\n", serde_json::json!({ "fingerprint": fingerprint }));
        let mut kept = 0;
        if lines.next() == Some(&header) {
            kept = header.len();
            for line in lines {
                let Ok((key, value)) = serde_json::from_str::<(String, serde_json::Value)>(line)
                else {
                    break;
                };
                done.insert(key, value);
                kept += line.len();
            }
        }
        // Off with the torn end, or with another's journal.
        file.set_len(kept as u64).map_err(write)?;
        if kept == 0 {
            file.write_all(header.as_bytes()).map_err(write)?;
        }
        Ok(Self { path: path.to_path_buf(), file, done })
    }

    /// A finished piece, if it is there and reads as one.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.done.get(key).and_then(|value| T::deserialize(value).ok())
    }

    /// Write a finished piece; it is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, key: &str, value: &impl Serialize) -> Result<(), RunError> {
        let write = |source: std::io::Error| RunError::Write {
            path: self.path.clone(),
            source,
            hint:
                " (what was done before is kept: free some space and give the same command again)"
                    .into(),
        };
        let line = serde_json::to_string(&(key, value)).map_err(|e| write(e.into()))?;
        // As it will be read after a kill: numbers of both origins are the same to the last bit.
        let (_, value): (String, _) = serde_json::from_str(&line).map_err(|e| write(e.into()))?;
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes()).map_err(write)?;
        self.file.sync_data().map_err(write)?;
        self.done.insert(key.to_owned(), value);
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Remove the file if nothing was done.
    pub fn leave(self) {
        if self.done.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Everything is done: remove the file.
    pub fn finish(self) {
        // What stays is found to be complete next time, or begun anew.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut journal = Journal::open(&path, "x").unwrap();
        journal.put("a", &1.5).unwrap();
        journal.put("b", &[1, 2]).unwrap();
        drop(journal);
        // Killed in the middle of a line.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, bytes).unwrap();
        let mut journal = Journal::open(&path, "x").unwrap();
        assert_eq!(journal.get::<f64>("a"), Some(1.5));
        assert_eq!(journal.get::<Vec<i32>>("b"), None);
        journal.put("b", &[3]).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path, "x").unwrap().get::<Vec<i32>>("b"), Some(vec![3]));
        let held = Journal::open(&path, "x").unwrap();
        assert!(matches!(Journal::open(&path, "x"), Err(RunError::JournalLocked(_))));
        drop(held);
        // Other settings begin anew.
        assert_eq!(Journal::open(&path, "y").unwrap().get::<f64>("a"), None);
        Journal::open(&path, "y").unwrap().leave();
        assert!(!path.exists(), "an empty journal is no use");
        let mut journal = Journal::open(&path, "y").unwrap();
        journal.put("a", &2.5).unwrap();
        journal.leave();
        let journal = Journal::open(&path, "y").unwrap();
        assert_eq!(journal.get::<f64>("a"), Some(2.5));
        journal.finish();
        assert!(!path.exists());
    }

    #[test]
    fn bytes_that_are_no_journal_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        std::fs::write(&path, [0xff, 0x00, b'\n', 0x13]).unwrap();
        assert_eq!(Journal::open(&path, "x").unwrap().get::<f64>("a"), None);
    }
}
