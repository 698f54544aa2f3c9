//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as published: the binary or the Python version, unpacked or still in its `.tar.gz`.

use super::{
    DataError, Images,
    original::{at_most, format, missing, open, size},
    pickle::Pickle,
};
use flate2::read::GzDecoder;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Values of an image, and its shape: it lies channels first in both versions.
const PIXELS: usize = 3 * 32 * 32;
const SHAPE: [usize; 3] = [3, 32, 32];

/// Bytes that the archives unpack to at most: the largest is of 187 MB.
const UNPACKED: u64 = 512 << 20;

/// One of the two sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cifar {
    /// How its archives' names begin.
    stem: &'static str,
    /// The folders in the archives: of the binary version, of the Python version.
    folders: [&'static str; 2],
    train: &'static [&'static str],
    test: &'static [&'static str],
    /// Images of a file of `train` and of `test`.
    images: [usize; 2],
    /// Label bytes before each image of the binary version; the last one counts.
    label_bytes: usize,
    /// The labels of the Python version.
    key: &'static str,
    classes: i64,
}

/// Ten classes.
pub(super) const CIFAR10: Cifar = Cifar {
    stem: "cifar-10",
    folders: ["cifar-10-batches-bin", "cifar-10-batches-py"],
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: &["test_batch"],
    images: [10_000, 10_000],
    label_bytes: 1,
    key: "labels",
    classes: 10,
};

/// A hundred classes; their twenty groups are not read.
pub(super) const CIFAR100: Cifar = Cifar {
    stem: "cifar-100",
    folders: ["cifar-100-binary", "cifar-100-python"],
    train: &["train"],
    test: &["test"],
    images: [50_000, 10_000],
    label_bytes: 2,
    key: "fine_labels",
    classes: 100,
};

/// A version of a set: its files in a folder, or in an archive.
struct Version {
    binary: bool,
    names: Vec<String>,
    /// The folder that the archive unpacks to, or the one that it lies in.
    unpacked: [PathBuf; 2],
    archive: PathBuf,
}

impl Version {
    /// Where the files lie out of the archive: where the first of them does.
    fn place(&self) -> Option<&Path> {
        self.unpacked.iter().find(|p| p.join(&self.names[0]).is_file()).map(PathBuf::as_path)
    }
}

impl Cifar {
    /// Both versions, the likelier first.
    fn versions(&self, folder: &Path, split: &str) -> [Version; 2] {
        let names = if split == "test" { self.test } else { self.train };
        [("binary", ".bin", self.folders[0]), ("python", "", self.folders[1])].map(
            |(version, end, subfolder)| Version {
                binary: version == "binary",
                names: names.iter().map(|name| format!("{name}{end}")).collect(),
                unpacked: [folder.join(subfolder), folder.to_path_buf()],
                archive: folder.join(format!("{}-{version}.tar.gz", self.stem)),
            },
        )
    }

    /// Whether there is something that [`load`](Self::load) reads for a split: an archive, or the first of the files. It tells which others are missing.
    pub fn is_there(&self, folder: &Path, split: &str) -> bool {
        self.found(folder, split).is_ok()
    }

    /// The split `train` or `test` from what lies in a folder: the files themselves, the folder of them that the archive unpacks to, or the archive.
    ///
    /// # Errors
    /// Nothing of this kind there, or files that are truncated, damaged or others.
    pub fn load(&self, folder: &Path, split: &str) -> Result<Images, DataError> {
        let count = self.images[usize::from(split == "test")];
        let version = self.found(folder, split)?;
        let binary = version.binary;
        // A pickle from Python 3 writes half of all pixel values as two bytes. Names of pictures take the third part.
        let limit = count * if binary { self.record() } else { 3 * PIXELS };
        let names = &version.names;
        let files = match version.place() {
            Some(place) => names.iter().map(|name| read(&place.join(name), limit)).collect(),
            None => unpack(&version.archive, names, |_, bytes| at_most(limit, bytes)),
        }?;
        let mut pixels = Vec::with_capacity(names.len() * count * PIXELS);
        let mut all = Vec::new();
        for (path, bytes) in &files {
            let labels = if binary {
                self.binary(bytes, &mut pixels)
            } else {
                self.python(bytes, &mut pixels)
            };
            let labels = labels.map_err(|problem| format(path, problem))?;
            if let Some(i) = labels.iter().position(|label| !(0..self.classes).contains(label)) {
                let place = if binary {
                    format!("byte {}", i * self.record() + self.label_bytes - 1)
                } else {
                    format!("`{}`", self.key)
                };
                let problem = format!(
                    "image {i} (from 0) has label {} ({place}); labels run from 0 to {}: the file is damaged or of another set; fetch it again",
                    labels[i],
                    self.classes - 1
                );
                return Err(format(path, problem));
            }
            if labels.len() != count {
                let problem = format!(
                    "it has {} images instead of {count}: the file is truncated or another; fetch it again",
                    labels.len()
                );
                return Err(format(path, problem));
            }
            all.extend(labels);
        }
        Ok(Images::of_pixels(folder.display().to_string(), SHAPE, pixels, Some(all)))
    }

    /// How many images a split has by the sizes of its files; none of the Python version, whose sizes do not tell.
    ///
    /// # Errors
    /// Nothing of this kind there, or files that no number of images fills.
    pub fn count(&self, folder: &Path, split: &str) -> Result<Option<usize>, DataError> {
        let version = self.found(folder, split)?;
        if !version.binary {
            return Ok(None);
        }
        let names = &version.names;
        let sizes = match version.place() {
            Some(place) => {
                let size = |name| Ok((place.join(name), size(&place.join(name))?));
                names.iter().map(size).collect::<Result<Vec<_>, DataError>>()
            }
            None => unpack(&version.archive, names, |size, _| Ok(size)),
        }?;
        let images = sizes
            .iter()
            .map(|(path, size)| self.images_in(*size).map_err(|problem| format(path, problem)));
        images.sum::<Result<usize, _>>().map(Some)
    }

    /// Images of a file of that size in the binary version.
    fn images_in(&self, size: u64) -> Result<usize, String> {
        let record = self.record() as u64;
        match size % record {
            0 => Ok((size / record) as usize),
            left => Err(format!(
                "it has {size} bytes, which end {left} bytes into an image of {record}: the file is truncated or another; fetch it again"
            )),
        }
    }

    /// What of both versions is there.
    fn found(&self, folder: &Path, split: &str) -> Result<Version, DataError> {
        let there = |version: &Version| version.place().is_some() || version.archive.is_file();
        let versions = self.versions(folder, split);
        let places = versions
            .iter()
            .flat_map(|version| {
                [version.unpacked[0].join(&version.names[0]), version.archive.clone()]
            })
            .map(|place| place.display().to_string())
            .collect::<Vec<_>>();
        versions.into_iter().find(there).ok_or_else(|| DataError::Read {
            path: folder.to_path_buf(),
            source: missing(),
            hint: format!("\nLooked for {}.", places.join(", ")),
        })
    }

    /// Bytes of an image in the binary version.
    fn record(&self) -> usize {
        self.label_bytes + PIXELS
    }

    /// The labels, and the pixels appended to `pixels`.
    fn binary(&self, bytes: &[u8], pixels: &mut Vec<u8>) -> Result<Vec<i64>, String> {
        let mut labels = Vec::with_capacity(self.images_in(bytes.len() as u64)?);
        for record in bytes.chunks_exact(self.record()) {
            labels.push(record[self.label_bytes - 1].into());
            pixels.extend(&record[self.label_bytes..]);
        }
        Ok(labels)
    }

    /// [`binary`](Self::binary) for the Python version.
    fn python(&self, bytes: &[u8], pixels: &mut Vec<u8>) -> Result<Vec<i64>, String> {
        let pickle = Pickle::read(bytes)?;
        let data = pickle.array("data")?;
        let count = match data.shape[..] {
            [count, values] if data.dtype == "u1" && values == PIXELS as i64 => count as usize,
            _ => {
                return Err(format!(
                    "`data` is of type `{}` and shape {:?}; it should be `u1` (uint8) and [images, {PIXELS}]: it is another file; fetch the original one",
                    data.dtype, data.shape
                ));
            }
        };
        if count.checked_mul(PIXELS) != Some(data.bytes.len()) {
            return Err(format!(
                "`data` has {} bytes for {} images of {PIXELS}: the file is damaged; fetch it again",
                data.bytes.len(),
                data.shape[0]
            ));
        }
        if data.fortran {
            for i in 0..count {
                pixels.extend(data.bytes[i..].iter().step_by(count));
            }
        } else {
            pixels.extend(&*data.bytes);
        }
        let labels = pickle.integers(self.key)?;
        if labels.len() != count {
            return Err(format!(
                "`{}` has {} values for {count} images: the file is damaged; fetch it again",
                self.key,
                labels.len()
            ));
        }
        Ok(labels)
    }
}

fn read(path: &Path, limit: usize) -> Result<(PathBuf, Vec<u8>), DataError> {
    let bytes = at_most(limit, open(path)?).map_err(|e| {
        format(path, format!("{e}: the file is another one, or damaged; fetch it again"))
    })?;
    Ok((path.to_path_buf(), bytes))
}

/// What is taken of the files of these names, in this order, each from its size and its bytes. Nothing is written, so that it does not matter which paths
/// the archive gives its files.
fn unpack<T>(
    archive: &Path,
    names: &[String],
    take: impl Fn(u64, &mut dyn Read) -> std::io::Result<T>,
) -> Result<Vec<(PathBuf, T)>, DataError> {
    let damaged = |place: &str, error: std::io::Error| {
        format(
            archive,
            format!("the tar.gz archive is truncated or damaged {place} ({error}); fetch it again"),
        )
    };
    let mut last = "at its begin".to_owned();
    let mut found: Vec<_> = names.iter().map(|_| None).collect();
    let mut tar = tar::Archive::new(GzDecoder::new(open(archive)?).take(UNPACKED));
    for entry in tar.entries().map_err(|e| damaged(&last, e))? {
        let mut entry = entry.map_err(|e| damaged(&last, e))?;
        let inner = entry.path().map_err(|e| damaged(&last, e))?;
        last = format!("behind the header of its entry `{}`", inner.display());
        let path = archive.join(inner);
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(i) = names.iter().position(|n| Some(n.as_str()) == name)
            && entry.header().entry_type().is_file()
        {
            let part = take(entry.size(), &mut entry).map_err(|e| damaged(&last, e))?;
            found[i] = Some((path, part));
        }
    }
    // To the end, where the checksum is.
    let mut rest = tar.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(|e| damaged(&last, e))?;
    if rest.limit() == 0 {
        return Err(format(
            archive,
            format!(
                "it unpacks to more than {UNPACKED} bytes: it is another archive, or damaged; fetch it again"
            ),
        ));
    }
    let lacks =
        |i: usize| format(archive, format!("it has no file `{}`; fetch it again", names[i]));
    found.into_iter().enumerate().map(|(i, file)| file.ok_or_else(|| lacks(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    /// Five files of one image each, and one of one; as Python 2 writes them.
    const PYTHON_2: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/formats/cifar-10-python.tar.gz"
    ));
    /// Files of two images; as Python 3 writes them.
    const PYTHON_3: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/formats/cifar-100-python.tar.gz"
    ));
    const SMALL_10: Cifar = Cifar { images: [1, 1], ..CIFAR10 };
    const SMALL_100: Cifar = Cifar { images: [2, 2], ..CIFAR100 };

    /// The fixtures' pixels: of image i at position j.
    fn pixel(i: usize, j: usize) -> u8 {
        ((i * 17 + j) % 256) as u8
    }

    fn image(i: usize) -> Vec<u8> {
        (0..PIXELS).map(|j| pixel(i, j)).collect()
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn problem(cifar: &Cifar, files: &[(&str, &[u8])], split: &str) -> String {
        cifar.load(folder(files).path(), split).unwrap_err().to_string()
    }

    fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// A file of a fixture.
    fn member(archive: &[u8], name: &str) -> Vec<u8> {
        let folder = folder(&[("x.tar.gz", archive)]);
        let take = |_, bytes: &mut dyn Read| at_most(1 << 20, bytes);
        unpack(&folder.path().join("x.tar.gz"), &[name.to_owned()], take).unwrap().remove(0).1
    }

    fn record(labels: &[u8], i: usize) -> Vec<u8> {
        [labels, &image(i)].concat()
    }

    #[test]
    fn the_binary_version_is_read_from_files_folders_and_archives() {
        let train: Vec<Vec<u8>> = (0..5).map(|i| record(&[9 - i as u8], i)).collect();
        let names: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
        for place in ["", "cifar-10-batches-bin/"] {
            let names: Vec<String> = names.iter().map(|name| format!("{place}{name}")).collect();
            let files: Vec<(&str, &[u8])> =
                names.iter().zip(&train).map(|(n, b)| (n.as_str(), b.as_slice())).collect();
            let archive = tar_gz(&files);
            for folder in [folder(&files), folder(&[("cifar-10-binary.tar.gz", &archive)])] {
                let images = SMALL_10.load(folder.path(), "train").unwrap();
                assert_eq!((images.len(), images.shape), (5, SHAPE));
                assert!((0..5).all(|i| images.sample(i).unwrap() == image(i)));
                assert_eq!(images.labels, Some(vec![9, 8, 7, 6, 5]));
            }
        }
        // Of CIFAR-100's two labels the second counts.
        let test = [record(&[19, 99], 3), record(&[0, 7], 4)].concat();
        let folder = folder(&[("cifar-100-binary/test.bin", &test)]);
        let images = SMALL_100.load(folder.path(), "test").unwrap();
        assert_eq!(
            (&*images.sample(1).unwrap(), images.labels.as_deref()),
            (image(4).as_slice(), Some([99, 7].as_slice()))
        );
    }

    #[test]
    fn the_python_version_is_read_as_python_2_and_3_write_it() {
        let ten = folder(&[("cifar-10-python.tar.gz", PYTHON_2)]);
        let images = SMALL_10.load(ten.path(), "train").unwrap();
        assert!((0..5).all(|i| images.sample(i).unwrap() == image(i)));
        assert_eq!((images.len(), images.labels), (5, Some(vec![0, 1, 2, 3, 4])));
        let images = SMALL_10.load(ten.path(), "test").unwrap();
        assert_eq!((images.pixels, images.labels), (image(9).into(), Some(vec![9])));

        let hundred = folder(&[("cifar-100-python.tar.gz", PYTHON_3)]);
        for split in ["train", "test"] {
            // The array of `test` is in Fortran order.
            let images = SMALL_100.load(hundred.path(), split).unwrap();
            assert_eq!(images.pixels, [image(0), image(1)].concat(), "{split}");
            assert_eq!(images.labels, Some(vec![99, 42]));
        }
        let test = member(PYTHON_3, "test");
        let unpacked = folder(&[("cifar-100-python/test", &test)]);
        assert_eq!(SMALL_100.load(unpacked.path(), "test").unwrap().len(), 2);
    }

    #[test]
    fn images_are_counted_by_the_sizes_of_files() {
        let count = |cifar: &Cifar, files: &[(&str, &[u8])], split: &str| {
            cifar.count(folder(files).path(), split).map_err(|error| error.to_string())
        };
        let names: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
        let batch = [record(&[1], 0), record(&[2], 1)].concat();
        let mut files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), batch.as_slice())).collect();
        let two = Cifar { images: [2, 2], ..CIFAR10 };
        assert_eq!(two.load(folder(&files).path(), "train").unwrap().len(), 10);
        assert_eq!(count(&two, &files, "train"), Ok(Some(10)));
        assert_eq!(
            count(&two, &[("cifar-10-binary.tar.gz", &tar_gz(&files))], "train"),
            Ok(Some(10))
        );
        // What is there, not what should be.
        files[4].1 = &batch[..3073];
        assert_eq!(count(&two, &files, "train"), Ok(Some(9)));
        files[4].1 = &batch[..4000];
        let message = count(&two, &files, "train").unwrap_err();
        assert!(
            message.contains("data_batch_5.bin is not usable: it has 4000 bytes, which end 927"),
            "{message}"
        );
        let message = count(&two, &files[..4], "train").unwrap_err();
        assert!(
            message.contains("cannot read") && message.contains("data_batch_5.bin"),
            "{message}"
        );
        assert_eq!(count(&SMALL_100, &[("test.bin", &batch[..3074])], "test"), Ok(Some(1)));
        assert_eq!(count(&SMALL_10, &[("cifar-10-python.tar.gz", PYTHON_2)], "test"), Ok(None));
        assert!(count(&SMALL_10, &[], "test").unwrap_err().contains("Looked for"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = problem(&CIFAR10, &[], "train");
        for name in ["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-python.tar.gz"] {
            assert!(message.contains(name), "{message}");
        }
        let first = record(&[0], 0);
        let files: [(&str, &[u8]); 1] = [("data_batch_1.bin", &first)];
        fn there(files: &[(&str, &[u8])], split: &str) -> bool {
            SMALL_10.is_there(folder(files).path(), split)
        }
        assert!(there(&files, "train") && !there(&files, "test"));
        assert!(!there(&[("notes.txt", &first)], "train") && !there(&[], "train"));
        assert!(there(&[("cifar-10-python.tar.gz", PYTHON_2)], "test"));
        assert!(there(&[("cifar-10-batches-py/test_batch", &first)], "test"));
        let message = problem(&SMALL_10, &files, "train");
        assert!(
            message.contains("cannot read") && message.contains("data_batch_2.bin"),
            "{message}"
        );
        let archive = tar_gz(&[("data_batch_1.bin", &first)]);
        let message = problem(&SMALL_10, &[("cifar-10-binary.tar.gz", &archive)], "test");
        assert!(message.contains("it has no file `test_batch.bin`"), "{message}");
    }

    #[test]
    fn damaged_binary_files_are_refused() {
        let good = record(&[3], 0);
        for end in 1..good.len() {
            let message = problem_of(|pixels| SMALL_10.binary(&good[..end], pixels));
            let expected =
                format!("it has {end} bytes, which end {end} bytes into an image of 3073");
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let good = record(&[3], 0);
        let long = [good.as_slice(), &[0]].concat();
        let second = [record(&[1, 2], 0), record(&[3, 100], 1)].concat();
        let bomb = tar_gz(&[("test_batch.bin", &vec![0; 1 << 20])]);
        let noise: Vec<u8> = (0..20_000u32).map(|i| (i * i % 251) as u8).collect();
        let packed = tar_gz(&[("notes.txt", &noise), ("test_batch.bin", &good)]);
        let mut python = member(PYTHON_2, "test_batch");
        let label = python.windows(3).rposition(|bytes| bytes == b"K\x09e").unwrap();
        python[label + 1] = 10;
        for (cifar, name, bytes, expected) in [
            (
                SMALL_10,
                "test_batch.bin",
                long.as_slice(),
                "test_batch.bin is not usable: it holds more than the 3073 bytes that it may: the file is another one",
            ),
            // The original file of another number of images.
            (
                CIFAR10,
                "test_batch.bin",
                &good,
                "test_batch.bin is not usable: it has 1 images instead of 10000: the file is truncated",
            ),
            (
                CIFAR100,
                "cifar-100-python.tar.gz",
                PYTHON_3,
                "it has 2 images instead of 10000: the file is truncated",
            ),
            (SMALL_10, "test_batch.bin", b"", "it has 0 images instead of 1: the file is"),
            (
                SMALL_10,
                "test_batch.bin",
                &record(&[10], 0),
                "image 0 (from 0) has label 10 (byte 0); labels run from 0 to 9",
            ),
            (
                SMALL_100,
                "test.bin",
                &second,
                "image 1 (from 0) has label 100 (byte 3075); labels run from 0 to 99",
            ),
            (
                SMALL_10,
                "test_batch",
                &python,
                "image 0 (from 0) has label 10 (`labels`); labels run from 0 to 9",
            ),
            (
                SMALL_10,
                "cifar-10-binary.tar.gz",
                &packed[..packed.len() / 2],
                "truncated or damaged behind the header of its entry `notes.txt`",
            ),
            (
                SMALL_10,
                "cifar-10-binary.tar.gz",
                b"no archive",
                "truncated or damaged at its begin",
            ),
            (
                SMALL_10,
                "cifar-10-binary.tar.gz",
                &bomb,
                "behind the header of its entry `test_batch.bin` (it holds more than the 3073 bytes",
            ),
        ] {
            let message = problem(&cifar, &[(name, bytes)], "test");
            assert!(message.contains(expected) && message.contains("fetch it again"), "{message}");
        }
    }

    fn problem_of(read: impl Fn(&mut Vec<u8>) -> Result<Vec<i64>, String>) -> String {
        read(&mut Vec::new()).unwrap_err()
    }

    #[test]
    fn damaged_pickles_are_refused() {
        for good in [member(PYTHON_2, "test_batch"), member(PYTHON_3, "train")] {
            for end in 0..good.len() {
                assert!(
                    problem_of(|pixels| SMALL_100.python(&good[..end], pixels)).contains("at byte")
                );
            }
        }
        // Pixels have no checksum: a damaged file is refused or gives other images, and nothing worse.
        for (cifar, count, good) in [
            (SMALL_10, 1, member(PYTHON_2, "test_batch")),
            (SMALL_100, 2, member(PYTHON_3, "train")),
        ] {
            let mut refused = 0;
            for at in 0..good.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = good.clone();
                    bytes[at] ^= flip;
                    match cifar.python(&bytes, &mut Vec::new()) {
                        Ok(labels) => assert_eq!(labels.len(), count),
                        Err(_) => refused += 1,
                    }
                }
            }
            assert!(refused > 300, "{refused}");
        }
    }

    #[test]
    fn arrays_of_other_types_and_shapes_are_refused() {
        let good = member(PYTHON_2, "test_batch");
        let replaced = |from: &[u8], to: &[u8]| {
            let at = good.windows(from.len()).position(|window| window == from).unwrap();
            let bytes = [&good[..at], to, &good[at + from.len()..]].concat();
            problem_of(|pixels| SMALL_10.python(&bytes, pixels))
        };
        let message = replaced(b"U\x02u1", b"U\x02f8");
        assert!(
            message.contains("`data` is of type `f8` and shape [1, 3072]; it should be `u1`"),
            "{message}"
        );
        assert!(replaced(b"M\x00\x0c", b"M\x00\x0d").contains("shape [1, 3328]"));
        assert!(replaced(b"M\x00\x0c", b"J\xff\xff\xff\x7f").contains("shape [1, 2147483647]"));
        let shape =
            |images: &[u8]| replaced(b"K\x01M\x00\x0c\x86", &[images, b"M\x00\x0c\x86"].concat());
        assert!(shape(b"K\x02").contains("`data` has 3072 bytes for 2 images of 3072"));
        assert!(shape(b"J\xff\xff\xff\xff").contains("3072 bytes for -1 images"));
        assert!(replaced(b"U\x06labels", b"U\x06labelz").contains("no key `labels`"));
        assert!(replaced(b"K\x09e", b"K\x09K\x01e").contains("2 values for 1 images"));
        assert!(
            replaced(b"cnumpy\ndtype", b"cposix\nsystem")
                .contains("`posix.system`. Code in pickles is never run")
        );
    }

    #[test]
    fn damaged_archives_are_refused() {
        let archive = |bytes: &[u8]| {
            let folder = folder(&[("cifar-10-python.tar.gz", bytes)]);
            SMALL_10.load(folder.path(), "test").map_err(|error| error.to_string())
        };
        let good = archive(PYTHON_2).unwrap();
        for end in 0..PYTHON_2.len() {
            assert!(archive(&PYTHON_2[..end]).is_err(), "{end}");
        }
        for at in 0..PYTHON_2.len() {
            let mut bytes = PYTHON_2.to_vec();
            bytes[at] ^= 0x10;
            // What is not covered by the checksum is the time and the like.
            if let Ok(images) = archive(&bytes) {
                assert_eq!(images.pixels, good.pixels, "{at}");
            }
        }
    }
}
