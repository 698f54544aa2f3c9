//! The reader of every format on damaged files: seeded mutations of a corpus, which must end in images or in an error, never in a panic.
//!
//! Formats: npz, parquet, CSV, idx, PNG, JPEG and WebP in a folder, MATLAB, CIFAR's archives, zip archives (Omniglot's, Tiny ImageNet's, EMNIST's).
//! Left out are CelebA's archive and CIFAR's in binary, which no small file is taken for, and MedMNIST's, an npz like others.
//!
//! `MUTATION_SECONDS=60` goes on for that many seconds; without it each file is mutated a few dozen times.

use super::{Images, Spec, noise, to_npz, vectors_to_npz};
use flate2::{Compression, write::GzEncoder};
use image::{DynamicImage, GrayImage, ImageFormat};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    io::{Cursor, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
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
    files.retain(|(name, _)| SUFFIXES.iter().any(|(suffix, _)| name.ends_with(suffix)));
    files.sort();
    // As the original is not: without compression, whose checksum would refuse nearly all damage.
    let doubles = std::fs::read(goldens.join("formats/doubles.mat")).unwrap();
    files.push(("doubles_32x32.mat".into(), doubles));
    let grey = Images::random(3, [1, 5, 4], 1);
    let pixels = grey.bytes().unwrap();
    files.push(("grey.npz".into(), to_npz(&pixels, grey.shape).unwrap()));
    files.push(("vectors.npz".into(), vectors_to_npz(&[1.0, -2.0, 0.5, 3.0], 2).unwrap()));
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 4];
    idx.extend(&*pixels);
    files.push(("images-ubyte.gz".into(), gz(&idx)));
    files.push(("images-ubyte".into(), idx));
    files.push(("vectors.csv".into(), b"id,a,b,label\n0,0.5,1,3\n1,-2,3e1,4\n".to_vec()));
    let [png, jpeg, webp] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP].map(picture);
    let drawing = |number| format!("images_background/A/character01/0001_0{number}.png");
    let drawings = [(&*drawing(1), png.as_slice()), (&*drawing(2), png.as_slice())];
    files.push(("images_background.zip".into(), zip_of(&drawings)));
    let photographs: [(&str, &[u8]); 2] = [
        ("tiny-imagenet-200/wnids.txt", b"n01\n"),
        ("tiny-imagenet-200/train/n01/images/n01_0.JPEG", &jpeg),
    ];
    files.push(("tiny-imagenet-200.zip".into(), zip_of(&photographs)));
    let mut pixels = vec![0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28];
    pixels.extend((0..784).map(|i| i as u8));
    let labels = [0, 0, 8, 1, 0, 0, 0, 1, 5];
    let letters = [("images-idx3", gz(&pixels)), ("labels-idx1", gz(&labels))]
        .map(|(kind, bytes)| (format!("gzip/emnist-letters-test-{kind}-ubyte.gz"), bytes));
    files.push((
        "gzip.zip".into(),
        zip_of(&letters.each_ref().map(|(n, b)| (n.as_str(), b.as_slice()))),
    ));
    files.push(("picture.jpg".into(), jpeg));
    files.push(("picture.webp".into(), webp));
    files
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

/// Where a file of a format is put in a folder, and the SPEC that reads it there, which is empty for that of the file itself.
type Place = fn(&Path) -> (PathBuf, String);

/// How a file is read, by the end of its name: where it is put, and the SPEC that reads it.
const SUFFIXES: [(&str, Place); 14] = [
    (".npz", itself),
    (".parquet", itself),
    (".csv", itself),
    ("-ubyte", itself),
    ("-ubyte.gz", itself),
    (".png", |dir| (dir.join("one.png"), format!("{}/", dir.display()))),
    (".jpg", |dir| (dir.join("one.jpg"), format!("{}/", dir.display()))),
    (".webp", |dir| (dir.join("one.webp"), format!("{}/", dir.display()))),
    ("images_background.zip", |dir| {
        (dir.join("omniglot/images_background.zip"), "omniglot:train".into())
    }),
    ("tiny-imagenet-200.zip", |dir| {
        (dir.join("tiny-imagenet/tiny-imagenet-200.zip"), "tiny-imagenet:train".into())
    }),
    ("gzip.zip", |dir| (dir.join("emnist/gzip.zip"), "emnist-letters:test".into())),
    ("_32x32.mat", |dir| (dir.join("svhn/train_32x32.mat"), "svhn:train".into())),
    ("cifar-10-python.tar.gz", |dir| {
        (dir.join("cifar10/cifar-10-python.tar.gz"), "cifar10:train".into())
    }),
    ("cifar-100-python.tar.gz", |dir| {
        (dir.join("cifar100/cifar-100-python.tar.gz"), "cifar100:test".into())
    }),
];

fn itself(dir: &Path) -> (PathBuf, String) {
    (dir.join("file"), String::new())
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
    let (suffix, place) = SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).unwrap();
    let (mut path, mut spec) = place(dir);
    if spec.is_empty() {
        path.set_file_name(format!("file{suffix}"));
        spec = path.display().to_string();
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let images = spec.parse::<Spec>().unwrap().load(dir).map_err(|error| error.to_string())?;
    assert!(!images.is_empty() && images.labels.iter().all(|l| l.len() == images.len()));
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

    /// Files of the corpus that no reader takes, though nothing damaged them: for what they hold; CIFAR's because they are too small, which is
    /// seen last.
    const BAD: [&str; 20] = [
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
        "cifar-10-python.tar.gz",
        "cifar-100-python.tar.gz",
    ];

    /// Damage tells nothing of a file that is not found, or not read to its end.
    #[test]
    fn what_is_not_damaged_is_read() {
        let refused = corpus().into_iter().filter_map(|(name, bytes)| {
            let dir = tempfile::tempdir().unwrap();
            let why = read(&name, &bytes, dir.path()).err()?;
            Some((name, why))
        });
        let refused: Vec<_> = refused.collect();
        let names: BTreeSet<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(BAD), "{refused:?}");
    }

    #[test]
    fn no_damage_makes_a_reader_panic() {
        let corpus = corpus();
        assert!(corpus.len() > 20);
        survive(&corpus, read);
    }
}
