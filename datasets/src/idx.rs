//! The idx format of MNIST: big-endian magic, dimensions, bytes; plain or gzip-compressed.

use super::{DataError, Images, original::format};
use flate2::read::MultiGzDecoder;
use std::{io::Read, path::Path};

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
        return Err(format(path, format!("it holds no images ({dims:?})")));
    }
    let labels = labels
        .map(|(label_path, bytes)| {
            let (_, labels) = array(label_path, bytes, 1)?;
            if labels.len() != n {
                let problem = format!(
                    "it holds {} labels, but {} holds {n} images: the two files do not belong together",
                    labels.len(),
                    path.display()
                );
                return Err(format(label_path, problem));
            }
            Ok(labels.into_iter().map(i64::from).collect())
        })
        .transpose()?;
    Ok(Images::of_pixels(path.display().to_string(), shape, pixels, labels))
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read {
        path: path.to_path_buf(),
        source,
        hint: String::new(),
    })
}

/// Decompress where the gzip magic says so, and take the header and the bytes apart. The header is read first, and then no more than one byte beyond what
/// it announces: a small file made to unpack to more than memory is refused.
fn array(path: &Path, bytes: &[u8], rank: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut stream: Box<dyn Read + '_> = if bytes.starts_with(&[0x1f, 0x8b]) {
        // Reads to the end of the file, so that bytes after the compressed stream are an error too.
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let mut read = |most: u64| {
        let mut part = Vec::new();
        stream.by_ref().take(most).read_to_end(&mut part).map_err(|error| {
            format(
                path,
                format!("the gzip data is truncated or corrupt ({error}); fetch the file again"),
            )
        })?;
        Ok(part)
    };
    let size = 4 + 4 * usize::from(rank);
    let header = read(size as u64)?;
    if header.len() < size {
        let problem =
            format!("it ends after {} bytes, before the idx header is complete", header.len());
        return Err(format(path, problem));
    }
    if header[..2] != [0, 0] || header[2] != 8 || header[3] != rank {
        let expected = u32::from_be_bytes([0, 0, 8, rank]);
        let found = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let problem = format!(
            "its magic number is {found:#010x}, an idx file of {rank}-dimensional bytes starts with {expected:#010x}"
        );
        return Err(format(path, problem));
    }
    let dims: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect();
    let Some(expected) = dims
        .iter()
        .try_fold(1usize, |product, &d| product.checked_mul(d))
        .filter(|&expected| isize::try_from(expected).is_ok())
    else {
        let problem = format!(
            "its header announces {dims:?} bytes, more than memory can have: the file is damaged; fetch it again"
        );
        return Err(format(path, problem));
    };
    let data = read(expected as u64 + 1)?;
    if data.len() != expected {
        let found = if data.len() > expected { "more".into() } else { data.len().to_string() };
        let problem = format!(
            "its header announces {dims:?} bytes, {expected} in all, but {found} follow: the file is truncated or damaged; fetch it again"
        );
        return Err(format(path, problem));
    }
    Ok((dims, data))
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
        assert_eq!(plain.sample(1), [7, 8, 9, 10, 11, 12]);
        assert_eq!(plain.labels, Some(vec![7, 9]));
        assert_eq!(
            plain,
            decode(Path::new("x"), &gz(&raw), Some((Path::new("y"), &gz(&labels)))).unwrap()
        );
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        let good = idx(3, &[2, 2, 2], &[0; 8]);
        assert!(
            problem(&good[..20], None)
                .contains("images is not usable: its header announces [2, 2, 2]")
        );
        assert!(problem(&good[..9], None).contains("before the idx header is complete"));
        let compressed = gz(&good);
        assert!(
            problem(&compressed[..compressed.len() - 6], None).contains("truncated or corrupt")
        );
        let trailing = [compressed.as_slice(), b"more"].concat();
        assert!(problem(&trailing, None).contains("truncated or corrupt"));
        let mut corrupt = compressed.clone();
        corrupt[14] ^= 0xff;
        // The header is read before the checksum: it may be what is wrong.
        let message = problem(&corrupt, None);
        assert!(
            ["gzip", "header", "magic", "no images"].iter().any(|part| message.contains(part)),
            "{message}"
        );
        assert!(problem(&idx(1, &[8], &[0; 8]), None).contains("0x00000801"));
        assert!(problem(&idx(3, &[0, 2, 2], &[]), None).contains("no images"));
        assert!(
            problem(&[good.clone(), vec![1]].concat(), None).contains("8 in all, but more follow")
        );
        assert!(problem(&idx(3, &[u32::MAX; 3], &[0; 8]), None).contains("more than memory"));
    }

    #[test]
    fn what_inflates_to_more_than_is_announced_is_not_read_to_its_end() {
        let bomb = gz(&idx(3, &[1, 2, 2], &vec![0; 10 << 20]));
        assert!(bomb.len() < 1 << 18);
        // Its end, with the checksum, is missing: reading that far would be another error.
        for end in [bomb.len(), bomb.len() / 2] {
            let message = problem(&bomb[..end], None);
            assert!(
                message.contains("announces [1, 2, 2] bytes, 4 in all, but more follow"),
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
        assert!(message.contains("labels is not usable: it holds 3 labels, but images holds 2"));
    }
}
