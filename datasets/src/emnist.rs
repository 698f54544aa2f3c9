//! EMNIST (Cohen et al. 2017) as published: idx files, compressed, in a `gzip.zip`.

use super::{
    DataError, Images, idx,
    original::{at_most, format, open, transpose},
    zipped::{archive, begin, entry},
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};
use zip::ZipArchive;

/// Bytes of a file at most, compressed or not: the largest, the images of `byclass`, is of 547 MB.
const LIMIT: usize = 1 << 30;

/// The first label of `byclass` and `bymerge` that is no digit.
const LETTERS: i64 = 10;

/// A variant (`balanced`, `byclass`, `bymerge`, `digits`, `letters`, `mnist`) and its split `train` or `test`, pictures upright, from `gzip.zip`, from a
/// folder that holds it, or from one that holds the files of it, as they are or in `gzip/`, compressed or not.
///
/// # Errors
/// Files that are missing, truncated or damaged, or do not belong together.
pub(super) fn load(path: &Path, variant: &str, split: &str) -> Result<Images, DataError> {
    let names = names(variant, split);
    let zip = packed(path);
    let read = |name: &String| -> Result<(PathBuf, Vec<u8>), DataError> {
        let (file, bytes) = if let Some(file) = unpacked(path, name) {
            let bytes = at_most(LIMIT, open(&file)?).map_err(|e| format(&file, e.to_string()))?;
            (file, bytes)
        } else {
            let mut archive = archive(&zip, open(&zip)?)?;
            let (file, inner) = inside(&zip, &archive, name)?;
            (file, entry(&zip, &mut archive, &inner, LIMIT)?)
        };
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok((file, bytes));
        }
        let inflated = at_most(LIMIT, MultiGzDecoder::new(bytes.as_slice())).map_err(|error| {
            format(
                &file,
                format!("the gzip data is truncated or corrupt ({error}); fetch the file again"),
            )
        })?;
        Ok((file, inflated))
    };
    let [(path, images), (label_path, labels)] = [read(&names[0])?, read(&names[1])?];
    let images = idx::decode(&path, &images, Some((&label_path, &labels)))?;
    let [_, height, width] = images.shape;
    if height != width {
        return Err(format(
            &path,
            format!(
                "its pictures are {height} x {width} (height x width, from byte 8 of its header); EMNIST's are square: it is another file, or damaged; fetch it again"
            ),
        ));
    }
    // Columns come first in the files.
    let mut pixels = images.pixels.into_bytes()?;
    transpose(&mut pixels, height);
    Ok(Images { pixels: pixels.into(), ..images })
}

/// How many images the header of a split's file announces; it is all that is read.
///
/// # Errors
/// Files that are missing, or whose header is truncated or damaged.
pub(super) fn count(path: &Path, variant: &str, split: &str) -> Result<usize, DataError> {
    let [name, _] = names(variant, split);
    if let Some(file) = unpacked(path, &name) {
        return idx::count(&file, open(&file)?);
    }
    let zip = packed(path);
    let mut archive = archive(&zip, open(&zip)?)?;
    let (file, inner) = inside(&zip, &archive, &name)?;
    idx::count(&file, BufReader::new(begin(&zip, &mut archive, &inner)?))
}

/// A file in the archive: its path for messages, and its name there.
fn inside(
    zip: &Path,
    archive: &ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<(PathBuf, String), DataError> {
    let end = format!("/{name}.gz");
    match archive.file_names().find(|entry| format!("/{entry}").ends_with(&end)) {
        Some(inner) => Ok((zip.join(&end[1..]), inner.to_owned())),
        None => Err(format(zip, format!("it has no file `gzip{end}`; fetch it again"))),
    }
}

/// Whether the files that [`load`] reads for a split are there, packed or not.
pub(super) fn is_there(folder: &Path, variant: &str, split: &str) -> bool {
    packed(folder).is_file()
        || names(variant, split).iter().all(|name| unpacked(folder, name).is_some())
}

/// The files of images and of labels.
fn names(variant: &str, split: &str) -> [String; 2] {
    ["images-idx3", "labels-idx1"].map(|kind| format!("emnist-{variant}-{split}-{kind}-ubyte"))
}

/// A file out of the archive, if it is there.
fn unpacked(path: &Path, name: &str) -> Option<PathBuf> {
    let places = [path.join("gzip"), path.to_path_buf()];
    let files =
        places.iter().flat_map(|place| ["", ".gz"].map(|end| place.join(format!("{name}{end}"))));
    files.into_iter().find(|file| file.is_file())
}

/// The archive, there or not.
fn packed(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("gzip.zip") } else { path.to_path_buf() }
}

/// What of `byclass` or `bymerge` is no digit, labels as they are: nothing that MNIST has too.
pub(super) fn without_digits(images: &Images) -> Images {
    let labels = images.labels.iter().flatten();
    let index: Vec<usize> =
        labels.enumerate().filter(|(_, l)| **l >= LETTERS).map(|(i, _)| i).collect();
    images.select(&index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations::zip_of;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images(dims: [u32; 3], pixels: &[u8]) -> Vec<u8> {
        let dims: Vec<u8> = dims.iter().flat_map(|d| d.to_be_bytes()).collect();
        [&[0, 0, 8, 3], dims.as_slice(), pixels].concat()
    }

    fn labels(labels: &[u8]) -> Vec<u8> {
        [&[0, 0, 8, 1], (labels.len() as u32).to_be_bytes().as_slice(), labels].concat()
    }

    const IMAGES: &str = "emnist-byclass-test-images-idx3-ubyte";
    const LABELS: &str = "emnist-byclass-test-labels-idx1-ubyte";

    fn files() -> [(&'static str, Vec<u8>); 2] {
        let pixels: Vec<u8> = (0..12).collect();
        [(IMAGES, images([3, 2, 2], &pixels)), (LABELS, labels(&[9, 10, 61]))]
    }

    fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let files: Vec<_> = files.iter().map(|(n, b)| (format!("gzip/{n}.gz"), gz(b))).collect();
        zip_of(&files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect::<Vec<_>>())
    }

    fn from_zip(zip: &[u8]) -> Result<Images, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gzip.zip"), zip).unwrap();
        load(folder.path(), "byclass", "test").map_err(|error| error.to_string())
    }

    #[test]
    fn pictures_are_upright_from_wherever_they_lie() {
        let upright = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11];
        let check = |path: &Path| {
            let images = load(path, "byclass", "test").unwrap();
            assert_eq!((images.shape, images.pixels), ([1, 2, 2], upright.to_vec().into()));
            assert_eq!(images.labels, Some(vec![9, 10, 61]));
            assert!(is_there(path, "byclass", "test"));
        };
        for place in ["", "gzip"] {
            for compressed in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let place = folder.path().join(place);
                std::fs::create_dir_all(&place).unwrap();
                for (name, bytes) in files() {
                    let (end, bytes) = if compressed { (".gz", gz(&bytes)) } else { ("", bytes) };
                    assert!(!is_there(folder.path(), "byclass", "test"));
                    std::fs::write(place.join(format!("{name}{end}")), bytes).unwrap();
                }
                assert!(!is_there(folder.path(), "byclass", "train"));
                assert!(!is_there(folder.path(), "letters", "test"));
                check(folder.path());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let zip = folder.path().join("gzip.zip");
        std::fs::write(&zip, zipped(&files())).unwrap();
        check(folder.path());
        check(&zip);
        let message = load(&zip, "letters", "train").unwrap_err().to_string();
        assert!(
            message.contains("it has no file `gzip/emnist-letters-train-images-idx3-ubyte.gz`"),
            "{message}"
        );
        let message =
            load(&folder.path().join("nowhere"), "mnist", "test").unwrap_err().to_string();
        assert!(message.starts_with("cannot read") && message.contains("nowhere"), "{message}");
    }

    #[test]
    fn letters_alone_keep_their_labels() {
        let images = from_zip(&zipped(&files())).unwrap();
        let letters = without_digits(&images);
        assert_eq!((letters.len(), letters.labels), (2, Some(vec![10, 61])));
        assert_eq!(letters.pixels, images.bytes().unwrap()[4..]);
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = zipped(&files());
        for end in 0..good.len() {
            assert!(from_zip(&good[..end]).is_err(), "{end}");
        }
        let images = from_zip(&good).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            if let Ok(read) = from_zip(&bytes) {
                assert_eq!(
                    (read.pixels, read.labels),
                    (images.pixels.clone(), images.labels.clone()),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let with =
            |bytes: Vec<u8>| from_zip(&zipped(&[(IMAGES, bytes), files()[1].clone()])).unwrap_err();
        for (file, expected) in [
            (
                self::images([3, 1, 2], &[0; 6]),
                "its pictures are 1 x 2 (height x width, from byte 8",
            ),
            (self::images([u32::MAX; 3], &[0; 6]), "(bytes 4 to 16), more than memory"),
            (self::images([3, 2, 2], &[0; 11]), "12 in all from byte 16 on, but 11 follow"),
            (
                self::images([2, 2, 2], &[0; 8]),
                "holds 2 images: the two files do not belong together",
            ),
            (labels(&[1; 20]), "magic number (byte 0) is 0x00000801"),
        ] {
            let message = with(file);
            assert!(
                message.contains("gzip.zip/emnist-byclass-test-") && message.contains(expected),
                "{message}"
            );
        }
        // An entry whose own compression is damaged, though its archive is whole.
        let mut packed = gz(&self::images([3, 2, 2], &[0; 12]));
        packed.truncate(packed.len() - 8);
        let name = format!("gzip/{IMAGES}.gz");
        let message = from_zip(&zip_of(&[(&name, &packed)])).unwrap_err();
        assert!(
            message.contains(&format!("gzip.zip/{IMAGES}.gz is not usable: the gzip data is"))
                && message.contains("(behind byte 28: "),
            "{message}"
        );
    }
}
