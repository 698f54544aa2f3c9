//! The framing of a `.wandb` file: the log format of LevelDB with plain CRC-32, after a header of W&B's own.

use crate::{TrackError, append::Appended};
use crc::{CRC_32_ISO_HDLC, Crc};
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::Path,
};

/// The checksum of W&B.
pub const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// The name of the format, its magic number and its version. These bytes belong to the first block.
const HEADER: [u8; 7] = *b":W&B\xe1\xbe\x00";
/// A chunk does not cross the end of a block.
const BLOCK: usize = 32 * 1024;
/// Checksum, length and kind of a chunk.
const HEAD: usize = 7;

/// Kinds of chunks: a whole record, or its first, a middle or its last part.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Bytes from here to the end of the block.
fn room(at: u64) -> usize {
    BLOCK - (at % BLOCK as u64) as usize
}

fn checksum(kind: u8, chunk: &[u8]) -> u32 {
    let mut checksum = CRC.digest();
    checksum.update(&[kind]);
    checksum.update(chunk);
    checksum.finalize()
}

/// A log in the making: records wait in memory until they are written together.
#[derive(Debug)]
pub struct Log {
    file: Appended,
    waiting: Vec<u8>,
}

impl Log {
    /// A new file.
    pub fn create(path: &Path) -> Result<Self, TrackError> {
        Ok(Self { file: Appended::create(path)?, waiting: HEADER.to_vec() })
    }

    /// Add a record, cut into chunks where it crosses blocks.
    pub fn push(&mut self, mut record: &[u8]) {
        let mut first = true;
        loop {
            let room = room(self.file.end() + self.waiting.len() as u64);
            if room < HEAD {
                self.waiting.resize(self.waiting.len() + room, 0);
                continue;
            }
            let (chunk, rest) = record.split_at(record.len().min(room - HEAD));
            let kind = match (first, rest.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            self.waiting.extend(checksum(kind, chunk).to_le_bytes());
            // Shorter than a block.
            self.waiting.extend((chunk.len() as u16).to_le_bytes());
            self.waiting.push(kind);
            self.waiting.extend(chunk);
            (record, first) = (rest, false);
            if rest.is_empty() {
                break;
            }
        }
    }

    /// Write what waits. Where that fails it is forgotten.
    pub fn write(&mut self) -> Result<(), TrackError> {
        self.file.push(&std::mem::take(&mut self.waiting))
    }
}

/// Cut off what a kill left of a record at the end: `wandb sync` would stop there, and not go on to the next session. What is returned is
/// how many records are whole.
pub fn mend(path: &Path) -> Result<usize, TrackError> {
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened.map_err(TrackError::write(path))?,
    };
    let (mut records, mut end) = (0, 0);
    let mut reader = BufReader::new(&file);
    let mut at = HEADER.len() as u64;
    let mut chunk = Vec::new();
    let mut torn = reader.seek_relative(at as i64).is_err();
    while !torn {
        let room = room(at);
        let pad = if room < HEAD { room } else { 0 };
        let mut head = vec![0; pad + HEAD];
        torn = reader.read_exact(&mut head).is_err();
        let (checksum, kind) = (&head[pad..pad + 4], head[pad + 6]);
        let length = usize::from(u16::from_le_bytes([head[pad + 4], head[pad + 5]]));
        chunk.resize(length, 0);
        torn = torn || reader.read_exact(&mut chunk).is_err();
        torn = torn || checksum != self::checksum(kind, &chunk).to_le_bytes();
        at += (pad + HEAD + length) as u64;
        if !torn && matches!(kind, FULL | LAST) {
            (records, end) = (records + 1, at);
        }
    }
    file.set_len(end).map_err(TrackError::write(path))?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: &[&[u8]]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wandb");
        let mut log = Log::create(&path).unwrap();
        for record in records {
            log.push(record);
            log.write().unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_record_is_framed() {
        // The checksum of "\x01123456789", by Python's zlib.crc32.
        assert_eq!(log(&[b"123456789"]), *b":W&B\xe1\xbe\x00\xc0\x2e\xb5\x21\x09\x00\x01123456789");
        assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926, "the catalogue's check value");
    }

    #[test]
    fn records_are_split_at_blocks() {
        // What is left of the first block after its header and that of the chunk.
        let room = BLOCK - HEADER.len() - HEAD;
        let exact = log(&[&vec![7; room], b"x"]);
        assert_eq!(exact[13], 1, "it just fits");
        assert_eq!(exact[BLOCK + 6], 1);
        let long = log(&[&vec![7; room + BLOCK]]);
        let kinds = [13, BLOCK + 6, 2 * BLOCK + 6].map(|at| long[at]);
        assert_eq!(kinds, [2, 3, 4]);
        assert_eq!(long.len(), 2 * BLOCK + HEAD + HEAD);
        // Six bytes are too few for a chunk's head: they are zero.
        let padded = log(&[&vec![7; room - 6], b"x"]);
        assert_eq!(padded[BLOCK - 6..BLOCK], [0; 6]);
        assert_eq!(padded[BLOCK + 4..], [1, 0, 1, b'x']);
        // Seven are enough for an empty one.
        let empty = log(&[&vec![7; room - 7], b"x"]);
        assert_eq!(empty[BLOCK - 3..BLOCK], [0, 0, 2]);
        assert_eq!(empty[BLOCK + 4..], [1, 0, 4, b'x']);
    }

    #[test]
    fn a_torn_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wandb");
        let room = BLOCK - HEADER.len() - HEAD;
        let long = vec![7; room + BLOCK];
        let whole = log(&[&vec![7; room - 6], b"x", &long, b"y"]);
        let last = whole.len() - HEAD - 1;
        let ends = [(whole.len(), 4), (last, 3), (BLOCK + HEAD + 1, 2), (BLOCK - 6, 1), (0, 0)];
        for pair in ends.windows(2) {
            let [(end, records), (before, fewer)] = pair else { unreachable!() };
            std::fs::write(&path, &whole[..*end]).unwrap();
            assert_eq!(mend(&path).unwrap(), *records);
            assert_eq!(std::fs::read(&path).unwrap(), whole[..*end]);
            for torn in [end - 1, (end + before) / 2] {
                std::fs::write(&path, &whole[..torn]).unwrap();
                assert_eq!(mend(&path).unwrap(), *fewer, "{torn} of {end}");
                assert_eq!(std::fs::read(&path).unwrap(), whole[..*before]);
            }
        }
    }
}
