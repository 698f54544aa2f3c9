//! Work done so far, one line of JSON a piece: what a kill leaves of a long command, to go on from.

use super::RunError;
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// An append-only file of finished pieces by key, valid for one fingerprint of the settings. Only the places of the pieces are kept in memory.
///
/// Every line ends with the checksum of the rest of it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    writable: bool,
    done: HashMap<String, Place>,
    /// Bytes of whole lines.
    end: u64,
    /// Lines that were found, without the header.
    lines: usize,
    /// Those of them that are damaged.
    damaged: Vec<Place>,
}

/// Where a piece's line stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u64,
    length: usize,
}

/// Hexadecimal digits of a line's checksum.
const DIGITS: usize = 16;

fn checksum(text: &[u8]) -> String {
    format!("{:x}", Sha256::digest(text))[..DIGITS].to_owned()
}

/// The key of a line; none where the line is damaged.
fn key(line: &[u8]) -> Option<String> {
    let (rest, recorded) = line.strip_suffix(b"\"]\n")?.split_last_chunk::<DIGITS>()?;
    let rest = rest.strip_suffix(b",\"")?;
    let whole = checksum(rest).as_bytes() == recorded;
    let parts = || serde_json::from_slice::<(String, IgnoredAny, IgnoredAny)>(line).ok();
    whole.then(parts).flatten().map(|(key, ..)| key)
}

/// The first line. Journals of version 1 had no checksums.
fn header(fingerprint: &str) -> String {
    format!("{}\n", serde_json::json!({ "journal": 2, "fingerprint": fingerprint }))
}

impl Journal {
    /// Open the journal, with what it holds if it was written under the same fingerprint; a journal of other settings is begun
    /// anew. A last line that a kill cut short is left out, and so are [damaged](Self::damage) ones.
    ///
    /// # Errors
    /// The file cannot be read or written, or another process writes to it.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Self, RunError> {
        let write =
            |source| RunError::Write { path: path.to_path_buf(), source, hint: String::new() };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        folder.map_or(Ok(()), std::fs::create_dir_all).map_err(write)?;
        let file =
            File::options().read(true).append(true).create(true).open(path).map_err(write)?;
        match file.try_lock() {
            // Some file systems know no locks: there it is for the user not to start twice.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RunError::JournalLocked(path.to_path_buf()));
            }
        }
        let mut journal = Self::find(path, file, fingerprint)?;
        journal.writable = true;
        // Off with the torn end, or with another's journal.
        journal.file.set_len(journal.end).map_err(write)?;
        if journal.end == 0 {
            let header = header(fingerprint);
            journal.file.write_all(header.as_bytes()).map_err(write)?;
            journal.end = header.len() as u64;
        }
        journal.blank();
        Ok(journal)
    }

    /// What is in a journal that cannot be written to, or that another process writes to.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path, fingerprint: &str) -> Result<Self, RunError> {
        let file = File::open(path)
            .map_err(|source| RunError::Read { path: path.to_path_buf(), source })?;
        Self::find(path, file, fingerprint)
    }

    /// Find the pieces of an open file, if they are of the same fingerprint.
    fn find(path: &Path, file: File, fingerprint: &str) -> Result<Self, RunError> {
        let read = |source| RunError::Read { path: path.to_path_buf(), source };
        let header = header(fingerprint);
        let (mut done, mut damaged) = (HashMap::new(), Vec::new());
        let (mut end, mut lines) = (0, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(read)?;
            // The end, or what a kill left of the last line.
            if !line.ends_with(b"\n") {
                break;
            }
            let place = Place { from: end, length };
            if end == 0 {
                if line != header.as_bytes() {
                    break;
                }
            } else if !line.trim_ascii().is_empty() {
                lines += 1;
                match key(&line) {
                    Some(key) => {
                        done.insert(key, place);
                    }
                    None => damaged.push(place),
                }
            }
            end += length as u64;
        }
        let (path, writable) = (path.to_path_buf(), false);
        Ok(Self { path, file, writable, done, end, lines, damaged })
    }

    /// Overwrite damaged lines with blanks, so that they are spoken of once. Where that cannot be, they are spoken of again.
    fn blank(&self) {
        // Of a file that is open to append only the end can be written.
        let Ok(mut file) = File::options().write(true).open(&self.path) else { return };
        for Place { from, length } in &self.damaged {
            let blanks = vec![b' '; length - 1];
            let _ = file.seek(SeekFrom::Start(*from)).and_then(|_| file.write_all(&blanks));
        }
    }

    /// What is to be said of damaged lines that were found; nothing where there were none.
    pub fn damage(&self) -> Option<String> {
        let (damaged, lines, path) = (self.damaged.len(), self.lines, self.path.display());
        let said = || {
            format!(
                "{damaged} of {lines} lines of {path} are damaged: what they held is measured anew"
            )
        };
        (damaged > 0).then(said)
    }

    /// A finished piece, if it is there and reads as one.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let Place { from, length } = *self.done.get(key)?;
        let mut line = vec![0; length];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(from)).ok()?;
        file.read_exact(&mut line).ok()?;
        serde_json::from_slice::<(IgnoredAny, T, IgnoredAny)>(&line).ok().map(|(_, value, _)| value)
    }

    /// Write a finished piece; it is on the disk when this returns. What [`get`](Self::get) gives then is what it gives after a kill, to the last bit. A journal
    /// that is only [read](Self::read) keeps nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, key: &str, value: &impl Serialize) -> Result<(), RunError> {
        if !self.writable {
            return Ok(());
        }
        let write = |source: std::io::Error| RunError::Write {
            path: self.path.clone(),
            source,
            hint:
                " (what was done before is kept: free some space and give the same command again)"
                    .into(),
        };
        let line = serde_json::to_string(&(key, value)).map_err(|e| write(e.into()))?;
        // The list goes on after its last value.
        let rest = &line[..line.len() - 1];
        let line = format!("{rest},\"{}\"]\n", checksum(rest.as_bytes()));
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

    #[test]
    fn damaged_lines_are_left_out_and_spoken_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut journal = Journal::open(&path, "x").unwrap();
        for (key, value) in [("a", 1.5), ("b", 2.5), ("c", 3.5), ("d", 4.5)] {
            journal.put(key, &value).unwrap();
        }
        assert_eq!(journal.damage(), None);
        drop(journal);
        // Another value, which reads as well as the old one; and a byte that is no text.
        let text = std::fs::read_to_string(&path).unwrap().replace("1.5", "7.5");
        let mut bytes = text.into_bytes();
        let at = bytes.windows(3).position(|part| part == b"3.5").unwrap();
        bytes[at] = 0xff;
        std::fs::write(&path, bytes).unwrap();
        let values = |journal: &Journal| ["a", "b", "c", "d"].map(|key| journal.get::<f64>(key));
        let read = Journal::read(&path, "x").unwrap();
        let mut journal = Journal::open(&path, "x").unwrap();
        for journal in [&read, &journal] {
            assert_eq!(values(journal), [None, Some(2.5), None, Some(4.5)]);
            let said = journal.damage().unwrap();
            assert!(said.starts_with("2 of 4 lines of ") && said.contains("a.journal"), "{said}");
        }
        journal.put("a", &1.5).unwrap();
        drop(journal);
        let journal = Journal::open(&path, "x").unwrap();
        assert_eq!(values(&journal), [Some(1.5), Some(2.5), None, Some(4.5)]);
        assert_eq!(journal.damage(), None);
    }

    #[test]
    fn a_journal_that_another_writes_to_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        assert!(matches!(Journal::read(&path, "x"), Err(RunError::Read { .. })));
        let mut writer = Journal::open(&path, "x").unwrap();
        writer.put("a", &1.5).unwrap();
        let mut reader = Journal::read(&path, "x").unwrap();
        assert_eq!(reader.get::<f64>("a"), Some(1.5));
        reader.put("b", &2.5).unwrap();
        assert_eq!(reader.get::<f64>("b"), None);
        assert_eq!(Journal::read(&path, "y").unwrap().get::<f64>("a"), None);
        drop(writer);
        assert_eq!(Journal::open(&path, "x").unwrap().get::<f64>("a"), Some(1.5));
    }
}
