//! Pictures one after the other on a stream, each after its length.

use super::DataError;
use std::io::Read;

/// Bytes that one picture may have.
const LARGEST: u32 = 1 << 28;

/// The bytes of the next picture of a stream: its length as 4 bytes, little-endian, then so many; none at the end. `number` counts the pictures from 0, for errors.
///
/// # Errors
/// A stream that cannot be read, that ends within a picture, or that announces one of more than 256 MiB.
pub fn frame(input: &mut impl Read, number: usize) -> Result<Option<Vec<u8>>, DataError> {
    let broken = |problem: String| DataError::Format {
        path: "standard input".into(),
        problem: format!("image {number} (counted from 0): {problem}"),
    };
    let read = |e: std::io::Error| broken(format!("cannot be read ({e})"));
    let mut length = Vec::new();
    input.take(4).read_to_end(&mut length).map_err(read)?;
    if length.is_empty() {
        return Ok(None);
    }
    let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else {
        return Err(broken("it ends within the 4 bytes of the length".into()));
    };
    let length = u32::from_le_bytes(length);
    if length > LARGEST {
        let hint = "is the length there, as 4 bytes, little-endian?";
        return Err(broken(format!("{length} bytes are announced; {hint}")));
    }
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() < length as usize {
        let found = bytes.len();
        return Err(broken(format!("it ends after {found} of {length} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_to_their_end_and_no_further() {
        let mut input: &[u8] = &[2, 0, 0, 0, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9];
        let mut next = || frame(&mut input, 0).unwrap();
        assert_eq!([next(), next(), next()], [Some(vec![7, 8]), Some(vec![]), Some(vec![9])]);
        assert_eq!(next(), None);
    }

    #[test]
    fn broken_frames_are_explained() {
        let error = |mut input: &[u8]| frame(&mut input, 3).unwrap_err().to_string();
        assert!(error(&[1, 0]).contains("image 3 (counted from 0): it ends within the 4 bytes"));
        assert!(error(&[5, 0, 0, 0, 1]).contains("it ends after 1 of 5 bytes"));
        assert!(error(b"\x89PNG....").contains("is the length there"));
    }
}
