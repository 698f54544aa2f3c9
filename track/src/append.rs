//! A file that grows by whole pieces.

use crate::TrackError;
use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Every piece is written at once and whole: where it does not fit, what came of it is cut off again, and another attempt may follow.
#[derive(Debug)]
pub struct Appended {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Appended {
    /// A new file.
    pub fn create(path: &Path) -> Result<Self, TrackError> {
        let file = File::options().write(true).create_new(true).open(path);
        Ok(Self { path: path.to_path_buf(), file: file.map_err(TrackError::write(path))?, end: 0 })
    }

    /// A file that may be there already, of which the first `end` bytes are kept.
    pub fn open(path: &Path, end: u64) -> Result<Self, TrackError> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let mut opened =
            Self { path: path.to_path_buf(), file: file.map_err(TrackError::write(path))?, end };
        opened.cut().map_err(TrackError::write(path))?;
        Ok(opened)
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end)).map(drop)
    }

    /// Bytes that the file has.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Add a piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), TrackError> {
        if let Err(source) = self.file.write_all(piece) {
            let _ = self.cut();
            return Err(TrackError::Write { path: self.path.clone(), source });
        }
        self.end += piece.len() as u64;
        Ok(())
    }
}
