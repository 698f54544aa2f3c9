//! What was measured before, by content: a batch of images is measured once by a model and settings, whatever set or command it comes in.

use super::OodError;
use crate::{
    config::ModelConfig,
    data::Images,
    progress::Progress,
    run::{Journal, RunError},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Raised whenever a statistic or a method comes out otherwise than before, so that older numbers are not taken for those of now.
const MEASURES: u32 = 2;

/// What all numbers of a model depend on: its weights (their digest), its architecture, and the formulas of this program.
pub fn fingerprint(weights: &str, model: &ModelConfig) -> String {
    let of = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), MEASURES, weights, model));
    format!("{:x}", Sha256::digest(of.expect("a configuration is JSON")))
}

/// What one measurement took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// What was measured.
    pub what: String,
    /// Images measured now.
    pub computed: usize,
    /// Images whose numbers were there.
    pub kept: usize,
    /// Seconds of measuring.
    pub seconds: f64,
}

/// Measurements of a model, kept in a file beside it.
///
/// A piece is what a batch of images came to. Its key is the SHA-256 of the images' pixels and of all settings that the numbers depend on, so that nothing else is ever taken for it; a model
/// of other weights begins the file anew. Batches, not single images: a backend may round an image differently in another batch.
#[derive(Debug, Default)]
pub struct Cache {
    journal: Option<Mutex<Journal>>,
    timings: Mutex<Vec<Timing>>,
}

/// What is measured, with all that the numbers depend on besides the model and the images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement<'a, S> {
    pub what: &'a str,
    pub settings: &'a S,
}

impl Cache {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The cache of a model, by its [`fingerprint`]. Where nothing can be written, or another process writes, what is there is read all the same; `warn` hears of that, and of damage.
    pub fn open(path: &Path, fingerprint: &str, mut warn: impl FnMut(&str)) -> Self {
        let journal = Journal::open(path, fingerprint).or_else(|error| {
            warn(&format!("what is measured now is not kept: {error}"));
            Journal::read(path, fingerprint)
        });
        let journal = journal.ok();
        if let Some(damage) = journal.as_ref().and_then(Journal::damage) {
            warn(&damage);
        }
        Self { journal: journal.map(Mutex::new), timings: Mutex::default() }
    }

    /// What all measurements took, in the order in which they were begun.
    pub fn timings(&self) -> Vec<Timing> {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One thing an image, from the file or by `compute`, which gets `size` images at a time and moves the bar.
    pub(super) fn pieces<T: Serialize + DeserializeOwned, S: Serialize>(
        &self,
        of: Measurement<S>,
        images: &Images,
        size: usize,
        bar: &mut Progress,
        mut compute: impl FnMut(&[usize], &mut Progress) -> Result<Vec<T>, OodError>,
    ) -> Result<Vec<T>, OodError> {
        let settings = serde_json::to_vec(&(of.what, of.settings, images.shape));
        let settings = settings.expect("settings are JSON");
        let all: Vec<usize> = (0..images.len()).collect();
        let mut out = Vec::with_capacity(images.len());
        for index in all.chunks(size) {
            let mut key = Sha256::new();
            key.update(&settings);
            for i in index {
                key.update(images.sample(*i)?);
            }
            let key = format!("{:x}", key.finalize());
            let kept: Option<Vec<T>> =
                self.get(&key).filter(|kept: &Vec<T>| kept.len() == index.len());
            let was_kept = kept.is_some();
            let start = Instant::now();
            let piece = match kept {
                Some(kept) => {
                    bar.skip(index.len());
                    kept
                }
                None => {
                    let computed = compute(index, bar)?;
                    self.put(&key, &computed)?;
                    // As it will be read another time, kept or not: reading may change the last bit of a number. What is not finite does not read.
                    let text = serde_json::to_vec(&computed).unwrap_or_default();
                    serde_json::from_slice(&text).unwrap_or(computed)
                }
            };
            self.note(of.what, was_kept, index.len(), start.elapsed().as_secs_f64());
            out.extend(piece);
        }
        Ok(out)
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let journal = self.journal.as_ref()?;
        journal.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    fn put(&self, key: &str, piece: &impl Serialize) -> Result<(), RunError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.lock().unwrap_or_else(PoisonError::into_inner).put(key, piece)
    }

    fn note(&self, what: &str, kept: bool, images: usize, seconds: f64) {
        let mut timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        let place = timings.iter().position(|t| t.what == what).unwrap_or_else(|| {
            timings.push(Timing { what: what.to_owned(), computed: 0, kept: 0, seconds: 0.0 });
            timings.len() - 1
        });
        let timing = &mut timings[place];
        if kept {
            timing.kept += images;
        } else {
            timing.computed += images;
            timing.seconds += seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Verbosity;

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/scores.jsonl");
        let images = Images::random(10, [1, 2, 2], 0);
        let measure = |cache: &Cache, settings: u32, images: &Images| {
            let mut measured = 0;
            let mut bar = Progress::new(Verbosity::Quiet, "", images.len());
            let of = Measurement { what: "sum", settings: &settings };
            let sums = cache.pieces(of, images, 4, &mut bar, |index, _| {
                measured += index.len();
                let sum = |i: &usize| {
                    images.sample(*i).unwrap().iter().map(|p| f64::from(*p) / 7.0).sum()
                };
                Ok(index.iter().map(sum).collect::<Vec<f64>>())
            });
            (sums.unwrap(), measured)
        };
        let none = measure(&Cache::none(), 0, &images);
        let open = |fingerprint: &str| {
            let mut said = Vec::new();
            let cache = Cache::open(&path, fingerprint, |text| said.push(text.to_owned()));
            (cache, said)
        };
        let (cache, said) = open("w");
        assert!(said.is_empty());
        assert_eq!(measure(&cache, 0, &images), (none.0.clone(), 10));
        assert_eq!(measure(&cache, 0, &images), (none.0.clone(), 0));
        assert_eq!(measure(&cache, 1, &images).1, 10, "other settings");
        // Beside it, what is there is read, and nothing is kept.
        let (second, said) = open("w");
        assert!(said.len() == 1 && said[0].starts_with("what is measured now is not kept"));
        assert_eq!(measure(&second, 0, &images), (none.0.clone(), 0));
        assert_eq!([0; 2].map(|_| measure(&second, 2, &images).1), [10; 2]);
        let timing = &cache.timings()[0];
        assert_eq!((timing.computed, timing.kept), (20, 10));
        drop(cache);
        // Two whole batches of the first nine images are there.
        let (cache, _) = open("w");
        assert_eq!(measure(&cache, 0, &images.take(9)), (none.0[..9].to_vec(), 1));
        let mut pixels = images.bytes().unwrap().into_owned();
        pixels[0] ^= 1;
        let other = Images { pixels: pixels.into(), ..images.clone() };
        assert_eq!(measure(&cache, 0, &other).1, 4, "another image");
        drop(cache);
        // The first batch again, and what comes after it is there.
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        std::fs::write(&path, text.replacen(line, &line.replace(",[", ",[9"), 1)).unwrap();
        let (cache, said) = open("w");
        assert!(said.len() == 1 && said[0].contains("1 of 8 lines of "), "{said:?}");
        assert_eq!(measure(&cache, 0, &images), (none.0.clone(), 4));
        drop(cache);
        let (cache, _) = open("other weights");
        assert_eq!(measure(&cache, 0, &images).1, 10);
    }

    #[test]
    fn what_is_not_finite_is_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c"), "w", |text| panic!("{text}"));
        let images = Images::random(3, [1, 2, 2], 0);
        for _ in 0..2 {
            let mut bar = Progress::new(Verbosity::Quiet, "", images.len());
            let of = Measurement { what: "", settings: &() };
            let nan = |_: &[usize], _: &mut Progress| Ok(vec![f64::NAN; 3]);
            let got = cache.pieces(of, &images, 4, &mut bar, nan).unwrap();
            assert!(got.iter().all(|v: &f64| v.is_nan()));
        }
        assert_eq!(cache.timings()[0].computed, 6);
    }
}
