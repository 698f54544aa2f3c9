//! Every reader on damaged files: seeded mutations of a corpus, which must end in images or in an error, never in a panic.
//!
//! `ATYPICAL_MUTATIONS=60` goes on for that many seconds; without it each file is mutated a few dozen times.

use super::{Images, Spec, noise, to_npz, vectors_to_npz};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Mutations of a file where nothing says how long to go on.
const FEW: u64 = 40;

/// Files of every format: their name, by which they are read, and their bytes.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut files = Vec::new();
    for folder in ["parquet", "formats", "import"] {
        for entry in std::fs::read_dir(goldens.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
    files.retain(|(name, _)| SUFFIXES.iter().any(|(suffix, _)| name.ends_with(suffix)));
    files.sort();
    let grey = Images::random(3, [1, 5, 4], 1);
    files.push(("grey.npz".into(), to_npz(&grey.pixels, grey.shape).unwrap()));
    files.push(("vectors.npz".into(), vectors_to_npz(&[1.0, -2.0, 0.5, 3.0], 2).unwrap()));
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 4];
    idx.extend(&grey.pixels);
    files.push(("images-ubyte".into(), idx));
    files
}

/// How a file is read, by the end of its name: where it is put, and the SPEC that reads it.
const SUFFIXES: [(&str, fn(&Path) -> (PathBuf, String)); 9] = [
    (".npz", itself),
    (".parquet", itself),
    (".csv", itself),
    ("-ubyte", itself),
    (".png", |dir| (dir.join("one.png"), format!("{}/", dir.display()))),
    ("_32x32.mat", |dir| (dir.join("svhn/train_32x32.mat"), "svhn:train".into())),
    ("cifar-10-python.tar.gz", |dir| {
        (dir.join("cifar10/cifar-10-python.tar.gz"), "cifar10:train".into())
    }),
    ("cifar-100-python.tar.gz", |dir| {
        (dir.join("cifar100/cifar-100-python.tar.gz"), "cifar100:test".into())
    }),
    (".pt", |dir| (dir.join("checkpoint.pt"), String::new())),
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

/// Read a file as a user would; a panic is told with its seed.
fn read(name: &str, bytes: &[u8], dir: &Path) -> Result<Result<(), String>, ()> {
    let (suffix, place) = SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).unwrap();
    let (mut path, mut spec) = place(dir);
    if spec.is_empty() {
        path.set_file_name(format!("file{suffix}"));
        spec = path.display().to_string();
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        if *suffix == ".pt" {
            return crate::import::damaged(&path).map_err(|error| error.to_string());
        }
        let images = spec.parse::<Spec>().unwrap().load(dir).map_err(|error| error.to_string())?;
        assert!(!images.is_empty() && images.labels.iter().all(|l| l.len() == images.len()));
        Ok(())
    }));
    result.map_err(|_| ())
}

#[test]
fn no_damage_makes_a_reader_panic() {
    let seconds = std::env::var("ATYPICAL_MUTATIONS").ok().map(|s| s.parse().unwrap());
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let corpus = corpus();
    assert!(corpus.len() > 20);
    let (mut seed, mut refused, mut taken) = (0, 0, 0);
    loop {
        for (name, bytes) in &corpus {
            let dir = tempfile::tempdir().unwrap();
            let damaged = mutate(bytes, &mut noise::rng(noise::mix(seed, 0x6d75_7461)));
            match read(name, &damaged, dir.path()) {
                Ok(Ok(())) => taken += 1,
                Ok(Err(message)) => {
                    assert!(!message.is_empty());
                    refused += 1;
                }
                Err(()) => panic!("{name} under seed {seed} makes its reader panic"),
            }
            seed += 1;
        }
        let over = match end {
            Some(end) => Instant::now() > end,
            None => seed >= FEW * corpus.len() as u64,
        };
        if over {
            break;
        }
    }
    assert!(refused > taken / 4 && taken > 0, "{refused} refused, {taken} taken of {seed}");
}
