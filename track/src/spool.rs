//! What is to be delivered, one line of JSON an event, in a file: it outlives a kill, and memory does not grow.

use crate::{TrackError, append::Appended};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Bytes at a time, if that is a line at least.
const BYTES: usize = 1 << 20;
/// Delivered bytes that are worth writing the rest anew for.
const COMPACT: u64 = 1 << 20;
/// Digits of the cursor: every u64 has its place.
const DIGITS: usize = 20;

/// The spool of a tracker. A second file beside it says how much of it is delivered, and is locked as long as the spool is open.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: Appended,
    cursor: File,
    /// Where the first line begins that is not known to be delivered.
    delivered: u64,
    /// Where lines end that were handed out and are not known to be delivered.
    handed: VecDeque<u64>,
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Bytes of whole lines; a kill may have torn the last.
fn whole(path: &Path) -> std::io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(BYTES as u64);
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        (&file).take(end - from).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

impl Spool {
    /// Open a spool, with what an earlier run left in it.
    pub fn open(path: &Path) -> Result<Self, TrackError> {
        let at = beside(path, ".at");
        let error = TrackError::write(&at);
        let mut cursor = File::options();
        cursor.read(true).write(true).create(true).truncate(false);
        let mut cursor = cursor.open(&at).map_err(&error)?;
        match cursor.try_lock() {
            // Some file systems know no locks: there it is for the user not to start twice.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(TrackError::Locked(path.to_path_buf())),
        }
        let mut delivered = String::new();
        cursor.read_to_string(&mut delivered).map_err(&error)?;
        let end = whole(path).map_err(TrackError::write(path))?;
        // A kill between writing the rest anew and the cursor leaves a cursor behind the end: then all that is there is the rest.
        let delivered = delivered.trim().parse().ok().filter(|at| *at <= end).unwrap_or(0);
        let file = Appended::open(path, end)?;
        Ok(Self { path: path.to_path_buf(), file, cursor, delivered, handed: VecDeque::new() })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Add a line.
    pub fn push(&mut self, line: &[u8]) -> Result<(), TrackError> {
        self.file.push(line)
    }

    /// The next lines, at most as many as `most`; none where all were handed out.
    pub fn hand_out(&mut self, most: usize) -> Result<Vec<Vec<u8>>, TrackError> {
        let mut at = self.handed.back().copied().unwrap_or(self.delivered);
        let mut lines = Vec::new();
        if at == self.file.end() {
            return Ok(lines);
        }
        let error = TrackError::read(&self.path);
        let mut file = File::open(&self.path).map_err(&error)?;
        file.seek(SeekFrom::Start(at)).map_err(&error)?;
        let mut rest = BufReader::new(file.take(self.file.end() - at));
        let mut bytes = 0;
        while lines.len() < most && bytes < BYTES {
            let mut line = Vec::new();
            let length = rest.read_until(b'\n', &mut line).map_err(&error)?;
            if length == 0 {
                break;
            }
            bytes += length;
            at += length as u64;
            self.handed.push_back(at);
            lines.push(line);
        }
        Ok(lines)
    }

    /// All lines that were handed out are delivered, but for the last `held`.
    pub fn settle(&mut self, held: usize) -> Result<(), TrackError> {
        let settled = self.handed.len().saturating_sub(held);
        let Some(at) = self.handed.drain(..settled).next_back() else { return Ok(()) };
        self.delivered = at;
        if self.delivered >= COMPACT && self.file.end() - self.delivered < COMPACT / 2 {
            self.compact()?;
        }
        self.write_cursor()
    }

    /// Hand out again what is not delivered.
    pub fn rewind(&mut self) {
        self.handed.clear();
    }

    /// Hand out again the last `lines` of those that were handed out.
    pub fn take_back(&mut self, lines: usize) {
        self.handed.truncate(self.handed.len().saturating_sub(lines));
    }

    fn write_cursor(&mut self) -> Result<(), TrackError> {
        let text = format!("{:0DIGITS$}", self.delivered);
        let written = self
            .cursor
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.cursor.write_all(text.as_bytes()));
        written.map_err(TrackError::write(&self.path))
    }

    /// Write what is not delivered into a file that takes the spool's place.
    fn compact(&mut self) -> Result<(), TrackError> {
        let error = TrackError::write(&self.path);
        let mut rest = Vec::new();
        let mut file = File::open(&self.path).map_err(&error)?;
        file.seek(SeekFrom::Start(self.delivered)).map_err(&error)?;
        file.read_to_end(&mut rest).map_err(&error)?;
        let new = beside(&self.path, ".new");
        std::fs::write(&new, &rest).map_err(&error)?;
        std::fs::rename(&new, &self.path).map_err(&error)?;
        self.file = Appended::open(&self.path, rest.len() as u64)?;
        self.handed.iter_mut().for_each(|at| *at -= self.delivered);
        self.delivered = 0;
        Ok(())
    }

    /// How many lines are not delivered.
    pub fn left(&self) -> usize {
        let count = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.delivered))?;
            Ok::<_, std::io::Error>(BufReader::new(file).split(b'\n').count())
        };
        count().unwrap_or(0)
    }

    /// Everything is delivered: nothing is left on disk.
    pub fn remove(&self) {
        // What cannot be removed is opened again at the next start, and found to be delivered.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(beside(&self.path, ".at"));
        let _ = self.path.parent().map(std::fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(spool: &mut Spool) -> Vec<String> {
        let lines = spool.hand_out(1000).unwrap();
        lines.into_iter().map(|line| String::from_utf8(line).unwrap().trim().to_owned()).collect()
    }

    #[test]
    fn what_is_not_delivered_is_handed_out_again_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.spool.jsonl");
        let mut spool = Spool::open(&path).unwrap();
        assert!(matches!(Spool::open(&path), Err(TrackError::Locked(_))));
        for line in ["1\n", "2\n", "3\n"] {
            spool.push(line.as_bytes()).unwrap();
        }
        assert_eq!(texts(&mut spool), ["1", "2", "3"]);
        assert_eq!(texts(&mut spool), [""; 0]);
        spool.settle(2).unwrap();
        spool.push(b"4\n").unwrap();
        assert_eq!(texts(&mut spool), ["4"], "after those that are held back");
        spool.take_back(2);
        assert_eq!(texts(&mut spool), ["3", "4"]);
        drop(spool);
        // A kill tore a line.
        let mut torn = File::options().append(true).open(&path).unwrap();
        torn.write_all(b"5").unwrap();
        let mut spool = Spool::open(&path).unwrap();
        spool.push(b"6\n").unwrap();
        assert_eq!(spool.left(), 4);
        assert_eq!(texts(&mut spool), ["2", "3", "4", "6"]);
        spool.settle(0).unwrap();
        spool.remove();
        assert!(!dir.path().exists(), "an empty folder goes as well");
    }

    #[test]
    fn delivered_lines_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.spool.jsonl");
        let mut spool = Spool::open(&path).unwrap();
        let mut seen = Vec::new();
        for number in 0..100 {
            spool.push(format!("{number:0>60000}\n").as_bytes()).unwrap();
            seen.extend(texts(&mut spool).iter().map(|text| text.parse::<u32>().unwrap()));
            spool.settle(1).unwrap();
            assert!(path.metadata().unwrap().len() < 2 * COMPACT);
        }
        assert_eq!(seen, Vec::from_iter(0..100));
        // As if killed between the compaction and the cursor.
        std::fs::write(&path, "last\n").unwrap();
        drop(spool);
        assert_eq!(texts(&mut Spool::open(&path).unwrap()), ["last"]);
    }
}
