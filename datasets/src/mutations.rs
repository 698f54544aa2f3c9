//! The reader of every format on damaged files: seeded mutations of a corpus, which must end in images or in an error, never in a panic.
//!
//! Formats: npz of a set, of a split and of all splits, parquet, CSV, idx, PNG, JPEG and WebP in a folder, MATLAB, CIFAR's two versions, packed or not,
//! zip archives (Omniglot's, Tiny ImageNet's, EMNIST's, CelebA's), EMNIST's files out of theirs. Of two files that belong together one is damaged at a time.
//!
//! `MUTATION_SECONDS=60` goes on for that many seconds; without it each file is mutated a few dozen times.

use super::{DATASETS, Images, Source, Spec, noise, to_npz, vectors_to_npz};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use image::{DynamicImage, GrayImage, ImageFormat};
use npyz::WriterBuilder;
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    io::{Cursor, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

/// Mutations of a file where nothing says how long to go on.
const FEW: u64 = 40;

/// A file: its name, by whose end it is known how to read it, and its bytes.
pub type File = (String, Vec<u8>);

/// Files of every format.
///
/// # Panics
/// Without the sources of this crate.
pub fn corpus() -> Vec<File> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut files = Vec::new();
    for folder in ["parquet", "formats"] {
        for entry in std::fs::read_dir(goldens.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
    files.retain(|(name, _)| FORMATS.iter().any(|format| name.ends_with(format.end)));
    files.sort();
    // As the original is not: without compression, whose checksum would refuse nearly all damage.
    let doubles = std::fs::read(goldens.join("formats/doubles.mat")).unwrap();
    files.push(("doubles_32x32.mat".into(), doubles));
    let hundred = std::fs::read(goldens.join("formats/cifar-100-python.tar.gz")).unwrap();
    files.push(("cifar-100-test".into(), pickle(&hundred)));
    // Of CIFAR-10 one label an image, of CIFAR-100 two.
    let photograph: Vec<u8> = (0..3072).map(|i| i as u8).collect();
    let batch = [&[3], &*photograph, &[9], &*photograph].concat();
    files.push(("test_batch.bin".into(), batch));
    let binary = [&[19, 99], &*photograph].concat();
    files.push(("cifar-100-binary.tar.gz".into(), tar_gz("cifar-100-binary/test.bin", &binary)));
    let grey = Images::random(3, [1, 5, 4], 1);
    let pixels = grey.bytes().unwrap();
    files.push(("grey.npz".into(), to_npz(&pixels, grey.shape).unwrap()));
    files.push(("train.npz".into(), to_npz(&photograph, [3, 32, 32]).unwrap()));
    let drawing = &photograph[..784];
    let splits: [(&str, &[u64], &[u8]); 4] = [
        ("train_images", &[1, 28, 28], drawing),
        ("train_labels", &[1, 1], &[1]),
        ("val_images", &[1, 28, 28], drawing),
        ("val_labels", &[1, 1], &[0]),
    ];
    files.push(("breastmnist.npz".into(), npz_of(npyz::Order::C, &splits)));
    let values = [1.0, -2.0, 0.5, 3.0];
    files.push(("vectors.npz".into(), vectors_to_npz(&values, 2).unwrap()));
    let columns: [(&str, &[u64], &[f64]); 1] = [("embeddings", &[2, 2], &values.map(f64::from))];
    files.push(("columns.npz".into(), npz_of(npyz::Order::Fortran, &columns)));
    let idx = idx([3, 5, 4], &pixels);
    files.push(("images-ubyte.gz".into(), gz(&idx)));
    files.push(("images-ubyte".into(), idx));
    files.push(("vectors.csv".into(), b"id,a,b,label\n0,0.5,1,3\n1,-2,3e1,4\n".to_vec()));
    let [png, jpeg, webp] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP].map(picture);
    let drawing = |number| format!("images_background/A/character01/0001_0{number}.png");
    let drawings = [(&*drawing(1), png.as_slice()), (&*drawing(2), png.as_slice())];
    files.push(("images_background.zip".into(), zip_of(&drawings)));
    let photographs: [(&str, &[u8]); 4] = [
        ("tiny-imagenet-200/wnids.txt", b"n01\n"),
        ("tiny-imagenet-200/train/n01/images/n01_0.JPEG", &jpeg),
        ("tiny-imagenet-200/val/val_annotations.txt", b"val_0.JPEG\tn01\t0\t0\t3\t4\n"),
        ("tiny-imagenet-200/val/images/val_0.JPEG", &jpeg),
    ];
    let photographs = zip_of(&photographs);
    files.push(("tiny-imagenet-200-val.zip".into(), photographs.clone()));
    files.push(("tiny-imagenet-200.zip".into(), photographs));
    let letters = [(LETTERS, letter()), (LETTER_LABELS, LETTER_LABEL.to_vec())];
    let packed = letters.each_ref().map(|(name, bytes)| (format!("gzip/{name}.gz"), gz(bytes)));
    files.push((
        "gzip.zip".into(),
        zip_of(&packed.each_ref().map(|(n, b)| (n.as_str(), b.as_slice()))),
    ));
    files.extend(letters.map(|(name, bytes)| (name.into(), bytes)));
    files.push((FACES.into(), faces()));
    files.push((PARTITION.into(), partition()));
    files.push(("picture.jpg".into(), jpeg));
    files.push(("picture.webp".into(), webp));
    files
}

/// EMNIST's files out of their archive.
const LETTERS: &str = "emnist-letters-test-images-idx3-ubyte";
const LETTER_LABELS: &str = "emnist-letters-test-labels-idx1-ubyte";

const LETTER_LABEL: [u8; 9] = [0, 0, 8, 1, 0, 0, 0, 1, 5];

fn letter() -> Vec<u8> {
    let pixels: Vec<u8> = (0..784).map(|i| i as u8).collect();
    idx([1, 28, 28], &pixels)
}

/// CelebA's archive, and the list of its splits.
const FACES: &str = "img_align_celeba.zip";
const PARTITION: &str = "list_eval_partition.txt";

/// As small as its readers take them.
fn faces() -> Vec<u8> {
    let mut jpeg = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(148, 148).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let faces = ["img_align_celeba/000001.jpg", "img_align_celeba/000003.jpg"];
    zip_of(&faces.map(|face| (face, jpeg.get_ref().as_slice())))
}

fn partition() -> Vec<u8> {
    b"000001.jpg 0\n000002.jpg 2\n000003.jpg 0\n".to_vec()
}

/// An idx file of pictures.
fn idx(dims: [u32; 3], pixels: &[u8]) -> Vec<u8> {
    [&[0, 0, 8, 3], &*dims.map(u32::to_be_bytes).concat(), pixels].concat()
}

/// The pickle `test` of CIFAR's archive.
fn pickle(archive: &[u8]) -> Vec<u8> {
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    let mut entries = tar.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap().ends_with("test")).unwrap();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

/// An archive of one file.
fn tar_gz(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
    gz(&tar.into_inner().unwrap())
}

/// An archive of these arrays: names, shapes, values.
pub(crate) fn npz_of<T: npyz::AutoSerialize + Copy>(
    order: npyz::Order,
    arrays: &[(&str, &[u64], &[T])],
) -> Vec<u8> {
    let mut npz = npyz::npz::NpzWriter::new(Cursor::new(Vec::new()));
    for (name, shape, values) in arrays {
        let array = npz.array(name, Default::default()).unwrap();
        let mut writer = array.default_dtype().shape(shape).order(order).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
    }
    npz.zip_writer().finish().unwrap().into_inner()
}

/// An archive of these files.
pub(crate) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A small picture as a file; in colour where the format has no grey.
fn picture(format: ImageFormat) -> Vec<u8> {
    let mut picture: DynamicImage =
        GrayImage::from_fn(9, 7, |x, y| image::Luma([(31 * x + 7 * y) as u8])).into();
    if format == ImageFormat::WebP {
        picture = picture.into_rgb8().into();
    }
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// How a file is read, by the end of its name.
struct Format {
    end: &'static str,
    /// Where it is put in a folder.
    place: &'static str,
    /// The SPEC that reads it there: that of a set, [`ITSELF`] or [`FOLDER`].
    spec: &'static str,
}

/// In place of the SPEC of the file itself.
const ITSELF: &str = "";

/// In place of that of the folder.
const FOLDER: &str = "/";

const fn format(end: &'static str, place: &'static str, spec: &'static str) -> Format {
    Format { end, place, spec }
}

/// The first that fits counts.
const FORMATS: [Format; 24] = [
    format("breastmnist.npz", "breastmnist/breastmnist.npz", "breastmnist:train"),
    format("train.npz", "cifar10/train.npz", "cifar10:train"),
    format(".npz", "file.npz", ITSELF),
    format(".parquet", "file.parquet", ITSELF),
    format(".csv", "file.csv", ITSELF),
    format(LETTERS, "emnist/emnist-letters-test-images-idx3-ubyte", "emnist-letters:test"),
    format(LETTER_LABELS, "emnist/emnist-letters-test-labels-idx1-ubyte", "emnist-letters:test"),
    format("-ubyte", "file-ubyte", ITSELF),
    format("-ubyte.gz", "file-ubyte.gz", ITSELF),
    format(".png", "one.png", FOLDER),
    format(".jpg", "one.jpg", FOLDER),
    format(".webp", "one.webp", FOLDER),
    format("images_background.zip", "omniglot/images_background.zip", "omniglot:train"),
    format("tiny-imagenet-200.zip", "tiny-imagenet/tiny-imagenet-200.zip", "tiny-imagenet:train"),
    format("tiny-imagenet-200-val.zip", "tiny-imagenet/tiny-imagenet-200.zip", "tiny-imagenet:val"),
    format("gzip.zip", "emnist/gzip.zip", "emnist-letters:test"),
    format(FACES, "celeba/img_align_celeba.zip", "celeba-32:train"),
    format(PARTITION, "celeba/list_eval_partition.txt", "celeba-32:train"),
    format("_32x32.mat", "svhn/train_32x32.mat", "svhn:train"),
    format("cifar-10-python.tar.gz", "cifar10/cifar-10-python.tar.gz", "cifar10:train"),
    format("cifar-100-python.tar.gz", "cifar100/cifar-100-python.tar.gz", "cifar100:test"),
    format("cifar-100-test", "cifar100/cifar-100-python/test", "cifar100:test"),
    format("cifar-100-binary.tar.gz", "cifar100/cifar-100-binary.tar.gz", "cifar100:test"),
    format("test_batch.bin", "cifar10/test_batch.bin", "cifar10:test"),
];

/// What is beside a file where it does not do alone.
fn beside(end: &str) -> Option<File> {
    let (name, bytes) = match end {
        FACES => (PARTITION, partition()),
        PARTITION => (FACES, faces()),
        LETTERS => (LETTER_LABELS, LETTER_LABEL.to_vec()),
        LETTER_LABELS => (LETTERS, letter()),
        _ => return None,
    };
    Some((name.into(), bytes))
}

/// Bytes flipped, cut, doubled, overwritten: one to eight such changes.
fn mutate(bytes: &[u8], rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=8) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + rng.random_range(1..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let end = (at + rng.random_range(1..16)).min(bytes.len());
                bytes.drain(at..end);
            }
            // Numbers of four bytes that are too large, as lengths and dimensions.
            _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
        }
    }
    bytes
}

/// Read a file of the corpus in a folder, as a user would.
///
/// # Errors
/// The message that a user would see.
///
/// # Panics
/// On a name that ends as none of the corpus; a folder that cannot be written.
pub fn read(name: &str, bytes: &[u8], dir: &Path) -> Result<(), String> {
    let format = FORMATS.iter().find(|format| name.ends_with(format.end)).unwrap();
    let path = dir.join(format.place);
    // Once in a folder.
    if !path.exists() {
        let folder = path.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        if let Some((name, bytes)) = beside(format.end) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let spec = match format.spec {
        ITSELF => path.display().to_string(),
        FOLDER => format!("{}/", dir.display()),
        set => set.into(),
    };
    let spec: Spec = spec.parse().unwrap();
    // What the headers say alone.
    let announced = match &spec.source {
        Source::Named(name, split) => {
            DATASETS.iter().find(|set| set.name == name).map(|set| set.count(split, dir))
        }
        _ => None,
    };
    let images = spec.load(dir).map_err(|error| error.to_string())?;
    assert!(!images.is_empty() && images.labels.iter().all(|l| l.len() == images.len()));
    if let Some(announced) = announced {
        assert!(announced.unwrap().is_none_or(|count| count == images.len()));
    }
    // Every sample can be had, from wherever it is.
    images.digest().unwrap();
    Ok(())
}

/// Mutate the files again and again, and read each in a folder of its own.
///
/// # Panics
/// Where a reader does, with the seed; where next to nothing is refused, or nothing taken.
pub fn survive(corpus: &[File], read: impl Fn(&str, &[u8], &Path) -> Result<(), String>) {
    let seconds = std::env::var("MUTATION_SECONDS").ok().map(|s| s.parse().unwrap());
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let (mut seed, mut refused, mut taken) = (0, 0, 0);
    while end.map_or(seed < FEW * corpus.len() as u64, |end| Instant::now() < end) {
        for (name, bytes) in corpus {
            let dir = tempfile::tempdir().unwrap();
            let damaged = mutate(bytes, &mut noise::rng(noise::mix(seed, 0x6d75_7461)));
            let attempt = AssertUnwindSafe(|| read(name, &damaged, dir.path()));
            match catch_unwind(attempt) {
                Ok(Ok(())) => taken += 1,
                Ok(Err(message)) => {
                    assert!(!message.is_empty());
                    refused += 1;
                }
                Err(_) => panic!("{name} under seed {seed} makes its reader panic"),
            }
            seed += 1;
        }
    }
    assert!(refused > taken / 4 && taken > 0, "{refused} refused, {taken} taken of {seed}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Files of the corpus that no reader takes, though nothing damaged them, for what they hold.
    const BAD: [&str; 18] = [
        "damaged_picture.parquet",
        "lz4.parquet",
        "no_pictures.parquet",
        "no_rows.parquet",
        "null_labels.parquet",
        "null_picture.parquet",
        "pixels_beyond.parquet",
        "pixels_ragged.parquet",
        "plain_mixed.parquet",
        "text_labels.parquet",
        "two_pictures.parquet",
        "two_sizes.parquet",
        "vectors_dates.parquet",
        "vectors_nan_columns.parquet",
        "vectors_nan_list.parquet",
        "vectors_null.parquet",
        "vectors_ragged.parquet",
        "vectors_text.parquet",
    ];

    /// Files of CIFAR, whole but for their number of images, which is compared last.
    const FEW_IMAGES: [&str; 5] = [
        "cifar-10-python.tar.gz",
        "cifar-100-binary.tar.gz",
        "cifar-100-python.tar.gz",
        "cifar-100-test",
        "test_batch.bin",
    ];

    /// Damage tells nothing of a file that is not found, or not read to its end.
    #[test]
    fn what_is_not_damaged_is_read() {
        let refused = corpus().into_iter().filter_map(|(name, bytes)| {
            let dir = tempfile::tempdir().unwrap();
            let why = read(&name, &bytes, dir.path()).err()?;
            Some((name, why))
        });
        let (few, refused): (Vec<_>, Vec<_>) =
            refused.partition(|(_, why)| why.contains(" images instead of "));
        fn names(files: &[(String, String)]) -> BTreeSet<&str> {
            files.iter().map(|(name, _)| name.as_str()).collect()
        }
        assert_eq!(names(&refused), BTreeSet::from(BAD), "{refused:?}");
        assert_eq!(names(&few), BTreeSet::from(FEW_IMAGES), "{few:?}");
    }

    #[test]
    fn no_damage_makes_a_reader_panic() {
        let corpus = corpus();
        assert!(corpus.len() > 20);
        survive(&corpus, read);
    }
}
