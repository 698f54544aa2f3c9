//! SVHN's cropped digits (Netzer et al. 2011) as published: MATLAB files of version 5, little-endian, with arrays `X`, uint8 `[32, 32, 3, N]`, and `y`,
//! `[N, 1]`.
//!
//! (The crate matfile calls itself alpha, prints to the terminal, and multiplies dimensions unchecked.)

use super::{
    DataError, Images,
    original::{at_most, format, open, transpose},
};
use flate2::read::ZlibDecoder;
use std::{
    io::{ErrorKind, Read},
    ops::ControlFlow,
    path::Path,
};

/// Values of an image.
const PIXELS: usize = 3 * 32 * 32;

/// More images than any of the files has: `extra` is of 531,131. No file unpacks to more memory than they take.
const MOST: usize = 1_000_000;

/// Types of elements.
const UINT8: u32 = 2;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// The images of one of the files, with the digits as labels: the file's label 10 is the digit 0.
///
/// # Errors
/// Files that cannot be read, are truncated or damaged, or hold other arrays.
pub(super) fn load(path: &Path) -> Result<Images, DataError> {
    let mut images = decode(open(path)?).map_err(|problem| format(path, problem))?;
    images.name = path.display().to_string();
    Ok(images)
}

/// A stream that knows how many bytes of it were read.
struct Counted<R> {
    stream: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// How many images the header of `X` announces; what follows is not read.
///
/// # Errors
/// Files that cannot be read, or do not begin with `X`'s or other arrays' headers.
pub(super) fn count(path: &Path) -> Result<usize, DataError> {
    announced(open(path)?).map_err(|problem| format(path, problem))
}

fn announced(stream: impl Read) -> Result<usize, String> {
    let mut file = Counted { stream, at: 0 };
    let (mut pixels, mut names) = (None, Vec::new());
    arrays(&mut file, false, |array| {
        names.push(array.name.clone());
        if array.name != "X" {
            return ControlFlow::Continue(());
        }
        pixels = Some(array);
        ControlFlow::Break(())
    })?;
    pixels.ok_or_else(|| lacks("X", &names, file.at))?.images()
}

fn decode(stream: impl Read) -> Result<Images, String> {
    let mut file = Counted { stream, at: 0 };
    let (mut pixels, mut labels, mut names) = (None, None, Vec::new());
    arrays(&mut file, true, |array| {
        names.push(array.name.clone());
        match array.name.as_str() {
            "X" => pixels = Some(array),
            "y" => labels = Some(array),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let lacks = |name| lacks(name, &names, file.at);
    let (x, y) = (pixels.ok_or_else(|| lacks("X"))?, labels.ok_or_else(|| lacks("y"))?);
    let n = x.images()?;
    let width = match y.kind {
        UINT8 => 1,
        DOUBLE => 8,
        _ => 0,
    };
    if y.shape != [n as i32, 1] || width == 0 {
        return Err(format!(
            "`y` is {}; it should be uint8 or double [{n}, 1]: take the original file",
            y.describe()
        ));
    }
    for (array, bytes) in [(&x, n * PIXELS), (&y, n * width)] {
        if array.data.len() != bytes {
            return Err(format!(
                "`{}` is {}, but has {} bytes, not {bytes}: the file is damaged; fetch it again",
                array.name,
                array.describe(),
                array.data.len()
            ));
        }
    }
    let labels = y.data.chunks_exact(width).enumerate().map(|(i, label)| {
        let label = match *label {
            [label] => f64::from(label),
            _ => f64::from_le_bytes(std::array::from_fn(|i| label[i])),
        };
        match label as i64 {
            digit @ 1..=10 if digit as f64 == label => Ok(digit % 10),
            _ => Err(format!(
                "image {i} (from 0) has label {label}; labels run from 1 to 10, which is the digit 0: the file is damaged, or another; fetch it again"
            )),
        }
    });
    let labels = Some(labels.collect::<Result<_, _>>()?);
    // The first dimension, rows, varies fastest.
    let mut pixels = x.data;
    transpose(&mut pixels, 32);
    Ok(Images::of_pixels(String::new(), [3, 32, 32], pixels, labels))
}

/// All arrays of a file in their order, to its end or until `each` breaks off; with the data of `X` and `y`, or without.
fn arrays(
    file: &mut Counted<impl Read>,
    data: bool,
    mut each: impl FnMut(Array) -> ControlFlow<()>,
) -> Result<(), String> {
    let mut header = [0; 128];
    file.read_exact(&mut header).map_err(|e| damaged("its header", file.at, &e))?;
    match header[124..] {
        [0, 1, b'I', b'M'] => {}
        [0, 2, b'I', b'M'] => {
            return Err("it is a MATLAB file of version 7.3 (HDF5; byte 124); take the original one, or save it with `-v7`".into());
        }
        ref found => {
            return Err(format!(
                "it is no little-endian MATLAB file of version 5: bytes 124 to 128 are {found:?}, not [0, 1, 73, 77]; take the original one"
            ));
        }
    }
    loop {
        let start = file.at;
        let mut tag = Vec::new();
        let read = file.by_ref().take(8).read_to_end(&mut tag);
        read.map_err(|e| damaged("an array", file.at, &e))?;
        if tag.is_empty() {
            return Ok(());
        }
        let ended = || ErrorKind::UnexpectedEof.into();
        let tag = tag.try_into().map_err(|_| damaged("an array", file.at, &ended()))?;
        let [kind, size] = numbers(tag);
        let mut body = file.by_ref().take(size.into());
        let inside = |problem| format!("in the array at byte {start}, {problem}");
        let array = match kind {
            COMPRESSED => {
                let mut unpacked = Counted { stream: ZlibDecoder::new(&mut body), at: 0 };
                let mut tag = [0; 8];
                let read = unpacked.read_exact(&mut tag);
                read.map_err(|e| inside(damaged("its tag", unpacked.at, &e)))?;
                let [kind, _] = numbers(tag);
                // To the end, where the checksum is.
                if kind == MATRIX { matrix(&mut unpacked, data).map_err(inside)? } else { None }
            }
            MATRIX => matrix(&mut Counted { stream: &mut body, at: 8 }, data).map_err(inside)?,
            _ => None,
        };
        if array.is_some_and(|array| each(array).is_break()) {
            return Ok(());
        }
        // What is left of an array that is not asked for.
        let left = std::io::copy(&mut body, &mut std::io::sink());
        let short = body.limit() > 0;
        left.and_then(|_| if short { Err(ended()) } else { Ok(()) })
            .map_err(|e| inside(damaged("its end", file.at, &e)))?;
    }
}

/// An array `X` or `y`; of others, the name.
struct Array {
    name: String,
    class: &'static str,
    shape: Vec<i32>,
    /// How the elements are stored: whole numbers of class double lie there as uint8. 0 where they were not read.
    kind: u32,
    data: Vec<u8>,
}

impl Array {
    /// How many images there are, as `X`.
    fn images(&self) -> Result<usize, String> {
        match self.shape[..] {
            [32, 32, 3, n] if n > 0 && self.class == "uint8" && [0, UINT8].contains(&self.kind) => {
                Ok(n as usize)
            }
            _ => Err(format!(
                "`X` is {}; it should be uint8 [32, 32, 3, N]: take the original file",
                self.describe()
            )),
        }
    }

    fn describe(&self) -> String {
        format!("{} {:?} (stored as type {})", self.class, self.shape, self.kind)
    }
}

/// The matrix that a stream holds, to the stream's end where its data are read; none if it is no array of numbers.
fn matrix(stream: &mut Counted<impl Read>, data: bool) -> Result<Option<Array>, String> {
    let (_, flags) = element(stream, "its element of flags", 8)?;
    let class = match flags.first() {
        Some(6) => "double",
        Some(9) => "uint8",
        Some(7..=15) => "of another type",
        _ => return Ok(None),
    };
    let (_, dimensions) = element(stream, "its element of dimensions", 4 * 32)?;
    let shape = dimensions
        .chunks_exact(4)
        .map(|d| i32::from_le_bytes(std::array::from_fn(|i| d[i])))
        .collect();
    let (_, name) = element(stream, "its element of the name", 64)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    if !data || !["X", "y"].contains(&name.as_str()) {
        return Ok(Some(Array { name, class, shape, kind: 0, data: Vec::new() }));
    }
    let (kind, data) = element(stream, &format!("`{name}`"), MOST * PIXELS)?;
    // Reads the checksum, too.
    at_most(0, &mut *stream)
        .map_err(|e| damaged(&format!("what follows `{name}`"), stream.at, &e))?;
    Ok(Some(Array { name, class, shape, kind, data }))
}

/// Type and bytes of the next element of an array.
fn element(
    stream: &mut Counted<impl Read>,
    what: &str,
    limit: usize,
) -> Result<(u32, Vec<u8>), String> {
    let mut tag = [0; 8];
    stream.read_exact(&mut tag).map_err(|e| damaged(what, stream.at, &e))?;
    let [kind, size] = numbers(tag);
    // Up to four bytes lie in the tag itself.
    if kind >> 16 > 0 {
        let bytes = tag[4..].get(..(kind >> 16) as usize);
        let bytes =
            bytes.ok_or_else(|| damaged(what, stream.at, &ErrorKind::InvalidData.into()))?;
        return Ok((kind & 0xffff, bytes.to_vec()));
    }
    let size = size as usize;
    if size > limit {
        return Err(format!(
            "{what} (at byte {} of it) announces {size} bytes; it may have {limit}: the file is damaged, or another; fetch it again",
            stream.at
        ));
    }
    let mut bytes = Vec::new();
    let read = stream.by_ref().take(size as u64).read_to_end(&mut bytes);
    read.map_err(|e| damaged(what, stream.at, &e))?;
    let mut padding = [0; 8];
    stream
        .read_exact(&mut padding[..size.next_multiple_of(8) - size])
        .map_err(|e| damaged(what, stream.at, &e))?;
    if bytes.len() < size {
        return Err(damaged(what, stream.at, &ErrorKind::UnexpectedEof.into()));
    }
    Ok((kind, bytes))
}

fn lacks(name: &str, names: &[String], at: u64) -> String {
    format!(
        "it has no array `{name}`; it has {names:?}: it is truncated at byte {at}, or another file; fetch it again"
    )
}

fn numbers([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u32; 2] {
    [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes)
}

fn damaged(what: &str, at: u64, error: &std::io::Error) -> String {
    format!("{what} is truncated or damaged at byte {at} ({error}); fetch the file again")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three images, labels 1, 10 and 5, uint8, compressed.
    const TRAIN: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/formats/train_32x32.mat"
    ));
    /// The same, labels as double, not compressed.
    const DOUBLES: &[u8] =
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/formats/doubles.mat"));

    fn problem(bytes: &[u8]) -> String {
        decode(bytes).unwrap_err()
    }

    fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
        let padding = vec![0; bytes.len().next_multiple_of(8) - bytes.len()];
        [&kind.to_le_bytes(), &(bytes.len() as u32).to_le_bytes(), bytes, &padding].concat()
    }

    fn array(class: u8, shape: &[i32], name: &str, data: Vec<u8>) -> Vec<u8> {
        let shape: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
        let flags = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
        element(MATRIX, &[flags, element(5, &shape), element(1, name.as_bytes()), data].concat())
    }

    fn file(arrays: &[Vec<u8>]) -> Vec<u8> {
        let mut header = vec![b' '; 124];
        header.extend([0, 1, b'I', b'M']);
        [header, arrays.concat()].concat()
    }

    fn x(n: i32, images: usize) -> Vec<u8> {
        array(9, &[32, 32, 3, n], "X", element(UINT8, &vec![7; images * PIXELS]))
    }

    fn y(labels: &[u8]) -> Vec<u8> {
        array(9, &[labels.len() as i32, 1], "y", element(UINT8, labels))
    }

    #[test]
    fn images_come_upright_and_ten_is_zero() {
        let images = decode(TRAIN).unwrap();
        assert_eq!((images.len(), images.shape), (3, [3, 32, 32]));
        assert_eq!(images.labels, Some(vec![1, 0, 5]));
        for n in 0..3 {
            for (c, row, column) in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 31, 2), (2, 5, 30)] {
                let expected = (n * 50 + c * 20 + row * 3 + column) as u8;
                assert_eq!(images.sample(n).unwrap()[(c * 32 + row) * 32 + column], expected);
            }
        }
        assert_eq!(images, decode(DOUBLES).unwrap());
        assert_eq!(decode(file(&[y(&[3]), x(1, 1)]).as_slice()).unwrap().pixels, [7; PIXELS]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train_32x32.mat");
        std::fs::write(&path, TRAIN).unwrap();
        assert_eq!(load(&path).unwrap().name, path.display().to_string());
        std::fs::write(&path, &TRAIN[..100]).unwrap();
        assert!(
            load(&path)
                .unwrap_err()
                .to_string()
                .contains("train_32x32.mat is not usable: its header")
        );
    }

    #[test]
    fn images_are_counted_by_the_header_of_their_array() {
        for good in [TRAIN, DOUBLES] {
            assert_eq!(announced(good), Ok(3));
        }
        // Behind other arrays; what follows the header does not count, and may be missing.
        let behind = file(&[y(&[1, 2, 3]), x(7, 7)]);
        assert_eq!(announced(behind.as_slice()), Ok(7));
        assert_eq!(announced(&behind[..behind.len() - 10_000]), Ok(7));
        let message = announced(file(&[y(&[1])]).as_slice()).unwrap_err();
        assert!(message.contains(r#"it has no array `X`; it has ["y"]"#), "{message}");
        let message = announced(file(&[x(-1, 1)]).as_slice()).unwrap_err();
        assert!(message.contains("it should be uint8 [32, 32, 3, N]"), "{message}");
        let message = announced(&behind[..140]).unwrap_err();
        assert!(
            message.contains(
                "in the array at byte 128, its element of flags is truncated or damaged at byte 12 "
            ),
            "{message}"
        );
    }

    #[test]
    fn truncated_files_are_refused() {
        for good in [TRAIN, DOUBLES] {
            for end in 0..good.len() {
                let message = problem(&good[..end]);
                assert!(
                    message.contains("truncated or damaged at byte ")
                        || message.contains(&format!("it is truncated at byte {end}, or another")),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn flipped_bytes_are_refused_where_there_is_a_checksum() {
        let images = decode(TRAIN).unwrap();
        let mut accepted = Vec::new();
        for at in 0..TRAIN.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = TRAIN.to_vec();
                bytes[at] ^= flip;
                if let Ok(read) = decode(bytes.as_slice()) {
                    assert_eq!(read, images, "{at}");
                    accepted.push(at);
                }
            }
        }
        // The text of the header means nothing, nor does a bit after the end of the data of each array.
        accepted.retain(|at| *at >= 124);
        assert!(accepted.len() <= 2, "{accepted:?}");
        for at in (0..DOUBLES.len()).filter(|at| at % 8 < 4 || *at < 400) {
            let mut bytes = DOUBLES.to_vec();
            bytes[at] ^= 0xff;
            if let Ok(read) = decode(bytes.as_slice()) {
                assert_eq!(read.len(), 3);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let one = y(&[1]);
        let files = [
            (
                file(&[x(2, 2), one.clone()]),
                "`y` is uint8 [1, 1] (stored as type 2); it should be uint8 or double [2, 1]",
            ),
            (
                file(&[x(2, 1), y(&[1, 2])]),
                "`X` is uint8 [32, 32, 3, 2] (stored as type 2), but has 3072 bytes, not 6144",
            ),
            (file(&[x(0, 0), y(&[])]), "it should be uint8 [32, 32, 3, N]"),
            (file(&[x(-1, 1), one.clone()]), "it should be uint8 [32, 32, 3, N]"),
            (file(&[x(i32::MAX, 1), one.clone()]), "[2147483647, 1]"),
            (file(&[x(1, 1), y(&[0])]), "image 0 (from 0) has label 0; labels run from 1 to 10"),
            (file(&[x(1, 1), y(&[11])]), "has label 11"),
            (
                file(&[x(1, 1), array(6, &[1, 1], "y", element(DOUBLE, &1.5f64.to_le_bytes()))]),
                "has label 1.5",
            ),
            (
                file(&[x(1, 1), array(6, &[1, 1], "y", element(DOUBLE, &f64::NAN.to_le_bytes()))]),
                "has label NaN",
            ),
            (
                file(&[x(1, 1), array(12, &[1, 1], "y", element(5, &[1, 0, 0, 0]))]),
                "`y` is of another type [1, 1] (stored as type 5)",
            ),
            (
                file(&[array(6, &[32, 32, 3, 1], "X", element(UINT8, &[0; PIXELS])), one.clone()]),
                "`X` is double [32, 32, 3, 1]",
            ),
            (
                file(&[
                    array(9, &[28, 28, 3, 1], "X", element(UINT8, &[0; 3 * 28 * 28])),
                    one.clone(),
                ]),
                "[28, 28, 3, 1]",
            ),
            (
                file(&[array(9, &[1, 1], "z", element(UINT8, &[0])), one.clone()]),
                r#"it has no array `X`; it has ["z", "y"]"#,
            ),
            (file(&[array(1, &[1, 1], "cell", Vec::new())]), "it has no array `X`; it has []"),
            (
                file(&[array(9, &[1; 40], "X", Vec::new())]),
                "in the array at byte 128, its element of dimensions (at byte 32 of it) announces 160 bytes; it may have 128",
            ),
            (
                file(&[array(9, &[1, 1], "X", vec![2, 0, 0, 0, 255, 255, 255, 255])]),
                "`X` (at byte 64 of it) announces 4294967295 bytes; it may have 3072000000",
            ),
            (
                file(&[array(9, &[1, 1], "X", vec![2, 0, 5, 0, 1, 1, 1, 1])]),
                "in the array at byte 128, `X` is truncated or damaged at byte 64",
            ),
            (
                // The second array, cut within its data.
                file(&[y(&[3]), x(1, 1)]).split_at(1000).0.to_vec(),
                "in the array at byte 200, `X` is truncated or damaged at byte 800",
            ),
        ];
        for (file, expected) in files {
            let message = problem(&file);
            assert!(message.contains(expected), "{message}");
        }
        let header = |end: [u8; 4]| problem(&[vec![b' '; 124], end.to_vec()].concat());
        assert!(header([0, 2, b'I', b'M']).contains("7.3 (HDF5; byte 124)"));
        assert!(header([1, 0, b'M', b'I']).contains("bytes 124 to 128 are [1, 0, 77, 73], not"));
        assert!(problem(&TRAIN[..100]).contains("its header is truncated or damaged at byte 100"));
        // Within the pixels, of which some were unpacked before.
        let message = problem(&TRAIN[..400]);
        assert!(message.contains("in the array at byte 128, `X` is truncated or damaged at byte "));
    }
}
