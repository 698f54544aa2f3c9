//! The idx format of MNIST: big-endian magic, dimensions, bytes; plain or gzip-compressed.

use super::{
    DataError, Images,
    original::{format, open, read, room},
};
use flate2::read::MultiGzDecoder;
use std::{
    io::{BufRead, Read},
    path::Path,
};

/// Images, and labels where a file of them is given.
///
/// # Errors
/// Files that cannot be read, are truncated or corrupt, are not idx, hold no images, or do not belong together.
pub(super) fn load(images: &Path, labels: Option<&Path>) -> Result<Images, DataError> {
    let labels = labels.map(|path| Ok((path, read(path)?))).transpose()?;
    decode(images, &read(images)?, labels.as_ref().map(|(path, bytes)| (*path, bytes.as_slice())))
}

/// [`load`] from bytes that are in memory already, compressed or not; the paths name them in messages.
pub(super) fn decode(
    path: &Path,
    images: &[u8],
    labels: Option<(&Path, &[u8])>,
) -> Result<Images, DataError> {
    let (dims, pixels) = array(path, images, 3)?;
    let (n, shape) = (dims[0], [1, dims[1], dims[2]]);
    if n == 0 || shape.contains(&0) {
        let problem =
            format!("its header announces no images: {dims:?} (from byte 4 on); fetch it again");
        return Err(format(path, problem));
    }
    let labels = labels
        .map(|(label_path, bytes)| {
            let (_, labels) = array(label_path, bytes, 1)?;
            expect_labels(label_path, labels.len(), path, n)?;
            Ok(labels.into_iter().map(i64::from).collect())
        })
        .transpose()?;
    Ok(Images::of_pixels(path.display().to_string(), shape, pixels, labels))
}

/// How many images the header of a file announces; it is all that is read. The path is for messages.
///
/// # Errors
/// A header that is truncated, corrupt or another.
pub(super) fn count(path: &Path, file: impl BufRead) -> Result<usize, DataError> {
    header(path, &mut unpacked(file), 3).map(|dims| dims[0])
}

/// [`count`] of a file whose labels are in another, which must announce as many.
///
/// # Errors
/// As for [`count`], and files that do not belong together.
pub(super) fn count_labelled(images: &Path, labels: &Path) -> Result<usize, DataError> {
    let n = count(images, open(images)?)?;
    let announced = header(labels, &mut unpacked(open(labels)?), 1)?;
    expect_labels(labels, announced[0], images, n)?;
    Ok(n)
}

/// Refuse labels of another number than that of the images.
fn expect_labels(path: &Path, labels: usize, images: &Path, n: usize) -> Result<(), DataError> {
    if labels == n {
        return Ok(());
    }
    let problem = format!(
        "it holds {labels} labels (byte 4 of its header), but {} holds {n} images: the two files do not belong together; fetch both again",
        images.display()
    );
    Err(format(path, problem))
}

/// Bytes that one of gzip unpacks to at most.
const UNPACKED: u64 = 1032;

/// Take the header and the bytes apart. The header is read first, and then no more than one byte beyond what it announces: a small file made to unpack
/// to more than memory is refused.
fn array(path: &Path, bytes: &[u8], rank: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut stream = unpacked(bytes);
    let dims = header(path, &mut stream, rank)?;
    let start = 4 + 4 * dims.len();
    let Some(expected) = dims
        .iter()
        .try_fold(1usize, |product, &d| product.checked_mul(d))
        .filter(|&expected| isize::try_from(expected).is_ok())
    else {
        let problem = format!(
            "its header announces {dims:?} bytes (bytes 4 to {start}), more than memory can have: the file is damaged; fetch it again"
        );
        return Err(format(path, problem));
    };
    let most = bytes.len() as u64 * if is_packed(bytes) { UNPACKED } else { 1 };
    let mut data = room(expected as u64, most).map_err(|problem| {
        format(path, format!("its header announces {dims:?} (bytes 4 to {start}), {problem}"))
    })?;
    part(path, &mut stream, start, expected as u64 + 1, &mut data)?;
    if data.len() != expected {
        let found = if data.len() > expected { "more".into() } else { data.len().to_string() };
        let problem = format!(
            "its header announces {dims:?} bytes, {expected} in all from byte {start} on, but {found} follow: the file is truncated or damaged; fetch it again"
        );
        return Err(format(path, problem));
    }
    Ok((dims, data))
}

/// Whether a file begins with the magic of gzip.
fn is_packed(begin: &[u8]) -> bool {
    begin.starts_with(&[0x1f, 0x8b])
}

/// What a file holds: decompressed where it is gzip.
fn unpacked<'a>(mut bytes: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    if bytes.fill_buf().is_ok_and(is_packed) {
        // Reads to the end of the file, so that bytes after the compressed stream are an error too.
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    }
}

/// The dimensions that the header announces.
fn header(path: &Path, stream: &mut dyn Read, rank: u8) -> Result<Vec<usize>, DataError> {
    let size = 4 + 4 * usize::from(rank);
    let mut header = Vec::new();
    part(path, stream, 0, size as u64, &mut header)?;
    if header.len() < size {
        let problem = format!(
            "it ends at byte {}, within the idx header of {size} bytes: it is truncated, or another file; fetch it again",
            header.len()
        );
        return Err(format(path, problem));
    }
    if header[..2] != [0, 0] || header[2] != 8 || header[3] != rank {
        let expected = u32::from_be_bytes([0, 0, 8, rank]);
        let found = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let problem = format!(
            "its magic number (byte 0) is {found:#010x}, an idx file of {rank}-dimensional bytes starts with {expected:#010x}: it is damaged, or another file; \
             fetch it again"
        );
        return Err(format(path, problem));
    }
    Ok(header[4..]
        .chunks_exact(4)
        .map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect())
}

/// The next bytes, at most `most`, behind those of `part`; `start` of them came before.
fn part(
    path: &Path,
    stream: &mut dyn Read,
    start: usize,
    most: u64,
    part: &mut Vec<u8>,
) -> Result<(), DataError> {
    let read = stream.take(most).read_to_end(part);
    read.map(|_| ()).map_err(|error| {
        let read = start + part.len();
        format(
            path,
            format!("the gzip data is truncated or corrupt behind byte {read} of what it unpacks to ({error}); fetch the file again"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn idx(rank: u8, dims: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, 8, rank];
        dims.iter().for_each(|d| out.extend(d.to_be_bytes()));
        out.extend(bytes);
        out
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn problem(images: &[u8], labels: Option<&[u8]>) -> String {
        let labels = labels.map(|bytes| (Path::new("labels"), bytes));
        decode(Path::new("images"), images, labels).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_compressed_files_give_the_same_images() {
        let raw = idx(3, &[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let labels = idx(1, &[2], &[7, 9]);
        let plain = decode(Path::new("x"), &raw, Some((Path::new("y"), &labels))).unwrap();
        assert_eq!((plain.len(), plain.shape), (2, [1, 2, 3]));
        assert_eq!(*plain.sample(1).unwrap(), [7, 8, 9, 10, 11, 12]);
        assert_eq!(plain.labels, Some(vec![7, 9]));
        assert_eq!(
            plain,
            decode(Path::new("x"), &gz(&raw), Some((Path::new("y"), &gz(&labels)))).unwrap()
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let good = idx(3, &[2, 2, 2], &[0; 8]);
        let packed = gz(&good);
        // Not compressed within: the middle of the stream is a pixel.
        let mut stored = GzEncoder::new(Vec::new(), Compression::none());
        stored.write_all(&idx(3, &[1, 100, 100], &[7; 10_000])).unwrap();
        let stored = stored.finish().unwrap();
        for (file, expected) in [
            (&good[..9], "it ends at byte 9, within the idx header of 16 bytes"),
            (
                &good[..20],
                "announces [2, 2, 2] bytes, 8 in all from byte 16 on, but 4 follow: the file is truncated",
            ),
            (&[good.as_slice(), &[1]].concat(), "8 in all from byte 16 on, but more follow"),
            (
                &idx(1, &[12], &[0; 12]),
                "its magic number (byte 0) is 0x00000801, an idx file of 3-dimensional bytes starts with 0x00000803",
            ),
            (&idx(3, &[0, 2, 2], &[]), "announces no images: [0, 2, 2] (from byte 4 on)"),
            (&idx(3, &[u32::MAX; 3], &[0; 8]), "(bytes 4 to 16), more than memory"),
            (
                &packed[..packed.len() - 6],
                "truncated or corrupt behind byte 24 of what it unpacks to",
            ),
            (&[packed.as_slice(), b"more"].concat(), "truncated or corrupt behind byte 24"),
            (&stored[..stored.len() / 2], "truncated or corrupt behind byte 50"),
        ] {
            let message = problem(file, None);
            assert!(
                message.starts_with("images is not usable: ")
                    && message.contains(expected)
                    && message.contains("fetch"),
                "{message}"
            );
        }
        let mut corrupt = packed.clone();
        corrupt[14] ^= 0xff;
        // The header is read before the checksum: it may be what is wrong.
        let message = problem(&corrupt, None);
        assert!(["gzip", "header", "magic"].iter().any(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn what_inflates_to_more_than_is_announced_is_not_read_to_its_end() {
        let bomb = gz(&idx(3, &[1, 2, 2], &vec![0; 10 << 20]));
        assert!(bomb.len() < 1 << 18);
        // Its end, with the checksum, is missing: reading that far would be another error.
        for end in [bomb.len(), bomb.len() / 2] {
            let message = problem(&bomb[..end], None);
            assert!(
                message.contains(
                    "announces [1, 2, 2] bytes, 4 in all from byte 16 on, but more follow"
                ),
                "{message}"
            );
        }
        let absurd = gz(&idx(3, &[u32::MAX; 3], &vec![0; 1 << 20]));
        assert!(problem(&absurd, None).contains("more than memory"));
        // What is announced is read to the end, where the checksum is.
        let mut good = gz(&idx(3, &[1, 2, 2], &[1, 2, 3, 4]));
        let checksum = good.len() - 8;
        good[checksum] ^= 1;
        assert!(problem(&good, None).contains("truncated or corrupt"));
    }

    #[test]
    fn labels_must_belong_to_the_images() {
        let good = idx(3, &[2, 1, 1], &[0, 1]);
        let message = problem(&good, Some(&idx(1, &[3], &[0, 1, 2])));
        assert!(message.contains(
            "labels is not usable: it holds 3 labels (byte 4 of its header), but images holds 2"
        ));
        // They are told apart by their headers already.
        let dir = tempfile::tempdir().unwrap();
        let [images, labels] = ["images", "labels"].map(|name| dir.path().join(name));
        std::fs::write(&images, &good).unwrap();
        std::fs::write(&labels, idx(1, &[2], &[])).unwrap();
        assert_eq!(count_labelled(&images, &labels).unwrap(), 2);
        std::fs::write(&labels, idx(1, &[3], &[])).unwrap();
        let message = count_labelled(&images, &labels).unwrap_err().to_string();
        assert!(message.contains("it holds 3 labels"), "{message}");
    }
}
