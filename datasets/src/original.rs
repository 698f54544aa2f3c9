//! What the readers of original files share.

use super::DataError;
use std::{
    fs::File,
    io::{BufReader, Error, Read, Result},
    path::Path,
};

/// A file that is there, but is not what it should be.
pub(super) fn format(path: &Path, problem: impl Into<String>) -> DataError {
    DataError::Format { path: path.to_path_buf(), problem: problem.into() }
}

/// A file, opened.
pub(super) fn open(path: &Path) -> std::result::Result<BufReader<File>, DataError> {
    File::open(path).map(BufReader::new).map_err(|source| unreadable(path, source))
}

/// All bytes of a file.
pub(super) fn read(path: &Path) -> std::result::Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| unreadable(path, source))
}

/// Size of a file in bytes.
pub(super) fn size(path: &Path) -> std::result::Result<u64, DataError> {
    std::fs::metadata(path).map(|file| file.len()).map_err(|source| unreadable(path, source))
}

/// Why a file that is not there cannot be read, as the system says it.
pub(super) fn missing() -> Error {
    // ENOENT, on Windows ERROR_FILE_NOT_FOUND.
    Error::from_raw_os_error(2)
}

/// A file or folder that cannot be read.
pub(super) fn unreadable(path: &Path, source: Error) -> DataError {
    DataError::Read { path: path.to_path_buf(), source, hint: String::new() }
}

/// All bytes of a stream of at most `limit` of them. The bound is on what is read, not on what a header announces: a file made to unpack to
/// more than memory is refused.
///
/// # Errors
/// A stream that is damaged, with the place, or longer.
pub(super) fn at_most(limit: usize, stream: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.take(limit as u64 + 1).read_to_end(&mut bytes) {
        let problem = format!("behind byte {}: {error}", bytes.len());
        return Err(Error::new(error.kind(), problem));
    }
    if bytes.len() > limit {
        return Err(Error::other(format!("it holds more than the {limit} bytes that it may")));
    }
    Ok(bytes)
}

/// Room for as many bytes as are announced, before any of them is read: memory that there is not ends no process. Of `most` bytes that can follow, no more
/// are asked for, so that what is announced falsely turns out where it is missing.
///
/// # Errors
/// More bytes than there is memory for, in words.
pub(super) fn room(announced: u64, most: u64) -> std::result::Result<Vec<u8>, String> {
    let mut room = Vec::new();
    match usize::try_from(announced.min(most)).map(|bytes| room.try_reserve_exact(bytes)) {
        Ok(Ok(())) => Ok(room),
        _ => Err(format!(
            "{announced} bytes, for which there is no memory: if that is right, divide it into several files, or write pictures to a parquet file, \
             which is decoded to disk beyond DATA_MEMORY"
        )),
    }
}

/// Squares, from columns first to rows first.
pub(super) fn transpose(pixels: &mut [u8], side: usize) {
    for square in pixels.chunks_exact_mut(side * side) {
        for row in 0..side {
            for column in row + 1..side {
                square.swap(row * side + column, column * side + row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_may_be() {
        assert_eq!(at_most(3, [1, 2, 3].as_slice()).unwrap(), [1, 2, 3]);
        // The stream has no end: it is left after the first byte too many.
        let message = at_most(3, std::io::repeat(0)).unwrap_err().to_string();
        assert_eq!(message, "it holds more than the 3 bytes that it may");
    }

    #[test]
    fn memory_that_there_is_not_is_an_error() {
        assert!(room(1000, u64::MAX).unwrap().capacity() >= 1000);
        // What cannot follow needs no room.
        assert!(room(u64::MAX, 1000).unwrap().capacity() < 1 << 20);
        for announced in [1 << 62, u64::MAX] {
            let message = room(announced, u64::MAX).unwrap_err();
            assert!(message.starts_with(&format!("{announced} bytes, for which there is no")));
            assert!(message.contains("parquet"), "{message}");
        }
    }

    #[test]
    fn damage_has_a_place() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> Result<usize> {
                Err(Error::other("it broke"))
            }
        }
        let message = at_most(9, [1, 2].as_slice().chain(Broken)).unwrap_err().to_string();
        assert_eq!(message, "behind byte 2: it broke");
    }

    #[test]
    fn squares_are_turned_one_by_one() {
        let mut pixels = [1, 2, 3, 4, 5, 6, 7, 8];
        transpose(&mut pixels, 2);
        assert_eq!(pixels, [1, 3, 2, 4, 5, 7, 6, 8]);
    }
}
