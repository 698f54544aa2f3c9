//! Work done so far, one line of JSON a piece: what a kill leaves of a long command, to go on from.

use super::RunError;
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// An append-only file of finished pieces by key, valid for one fingerprint of the settings. Only the places of the pieces are kept in memory.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    done: HashMap<String, Place>,
    /// Bytes of whole lines.
    end: u64,
}

/// Where a piece's line stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u64,
    length: usize,
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
        let read = |source| RunError::Read { path: path.to_path_buf(), source };
        let header = format!("{}\n", serde_json::json!({ "fingerprint": fingerprint }));
        let (mut done, mut end) = (HashMap::new(), 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(read)?;
            if end == 0 {
                if line != header.as_bytes() {
                    break;
                }
            } else {
                let whole = line.ends_with(b"\n");
                let key = serde_json::from_slice::<(String, IgnoredAny)>(&line);
                let (true, Ok((key, _))) = (whole, key) else { break };
                done.insert(key, Place { from: end, length });
            }
            end += length as u64;
        }
        // Off with the torn end, or with another's journal.
        file.set_len(end).map_err(write)?;
        if end == 0 {
            file.write_all(header.as_bytes()).map_err(write)?;
            end = header.len() as u64;
        }
        Ok(Self { path: path.to_path_buf(), file, done, end })
    }

    /// A finished piece, if it is there and reads as one.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let Place { from, length } = *self.done.get(key)?;
        let mut line = vec![0; length];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(from)).ok()?;
        file.read_exact(&mut line).ok()?;
        serde_json::from_slice::<(IgnoredAny, T)>(&line).ok().map(|(_, value)| value)
    }

    /// Write a finished piece; it is on the disk when this returns. What [`get`](Self::get) gives then is what it gives after a kill, to the last bit.
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
        let line = format!("{line}\n");
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // No half of a line before the next one.
            let _ = self.file.set_len(self.end);
            return Err(write(source));
        }
        self.done.insert(key.to_owned(), Place { from: self.end, length: line.len() });
        self.end += line.len() as u64;
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
