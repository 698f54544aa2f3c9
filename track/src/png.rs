//! What the head of a PNG file says.

use crate::TrackError;

/// Size and channels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Png {
    pub width: u32,
    pub height: u32,
    pub channels: u8,
}

impl Png {
    /// Of a file that `name` was given for.
    pub fn read(name: &str, file: &[u8]) -> Result<Self, TrackError> {
        let head =
            file.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").and_then(|rest| rest.first_chunk());
        let Some([w0, w1, w2, w3, h0, h1, h2, h3, _depth, colour]) = head else {
            let what = format!("the image `{name}`");
            return Err(TrackError::Event { what, problem: "it is not a PNG file".into() });
        };
        let channels = match colour {
            0 => 1,
            4 => 2,
            6 => 4,
            _ => 3,
        };
        let width = u32::from_be_bytes([*w0, *w1, *w2, *w3]);
        Ok(Self { width, height: u32::from_be_bytes([*h0, *h1, *h2, *h3]), channels })
    }
}
