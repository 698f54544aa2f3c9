//! The idx format of MNIST: big-endian magic, dimensions, bytes; plain or gzip-compressed.

use super::{DataError, Images, Kind};
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
    Ok(Images {
        name: path.display().to_string(),
        shape,
        pixels,
        labels,
        kind: Kind::Pixels,
        files: None,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read {
        path: path.to_path_buf(),
        source,
        hint: String::new(),
    })
}

fn format(path: &Path, problem: impl Into<String>) -> DataError {
    DataError::Format { path: path.to_path_buf(), problem: problem.into() }
}

/// Decompress where the gzip magic says so, then take the header and the bytes apart.
fn array(path: &Path, bytes: &[u8], rank: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut inflated = Vec::new();
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        // Reads to the end of the file, so that bytes after the compressed stream are an error too.
        MultiGzDecoder::new(bytes).read_to_end(&mut inflated).map_err(|error| {
            format(
                path,
                format!("the gzip data is truncated or corrupt ({error}); fetch the file again"),
            )
        })?;
        &inflated
    } else {
        bytes
    };
    let header = 4 + 4 * usize::from(rank);
    if bytes.len() < header {
        let problem =
            format!("it ends after {} bytes, before the idx header is complete", bytes.len());
        return Err(format(path, problem));
    }
    if bytes[..2] != [0, 0] || bytes[2] != 8 || bytes[3] != rank {
        let expected = u32::from_be_bytes([0, 0, 8, rank]);
        let found = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let problem = format!(
            "its magic number is {found:#010x}, an idx file of {rank}-dimensional bytes starts with {expected:#010x}"
        );
        return Err(format(path, problem));
    }
    let dims: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect();
    let expected = dims.iter().try_fold(1usize, |product, &d| product.checked_mul(d));
    let found = bytes.len() - header;
    if expected != Some(found) {
        let problem = format!(
            "its header announces {dims:?} bytes, but {found} follow: the file is truncated or damaged; fetch it again"
        );
        return Err(format(path, problem));
    }
    Ok((dims, bytes[header..].to_vec()))
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
        assert!(
            problem(&corrupt, None).contains("gzip") || problem(&corrupt, None).contains("header")
        );
        assert!(problem(&idx(1, &[8], &[0; 8]), None).contains("0x00000801"));
        assert!(problem(&idx(3, &[0, 2, 2], &[]), None).contains("no images"));
        assert!(problem(&[good.clone(), vec![1]].concat(), None).contains("9 follow"));
        assert!(
            problem(&idx(3, &[u32::MAX, u32::MAX, u32::MAX], &[0; 8]), None).contains("8 follow")
        );
    }

    #[test]
    fn labels_must_belong_to_the_images() {
        let good = idx(3, &[2, 1, 1], &[0, 1]);
        let message = problem(&good, Some(&idx(1, &[3], &[0, 1, 2])));
        assert!(message.contains("labels is not usable: it holds 3 labels, but images holds 2"));
    }
}
