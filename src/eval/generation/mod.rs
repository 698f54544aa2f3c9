//! How much samples of a model are like real data, without a density: by two samples alone.
//!
//! Two views of it. The [kernel distance](KernelDistance) is one number, 0 where both sides have the same distribution, with a standard error; it is taken of the pixels and of
//! [random features](RandomFeatures). [`Prdc`] tells fidelity (precision, density) from diversity (recall, coverage) by nearest neighbours among the features.
//!
//! The features are those of a convolutional network with random weights that are always the same ones: nothing is downloaded, and numbers of different models on the same data may be
//! compared. They are not comparable with those that the literature has on the features of a trained Inception network. As all of these depend a little on the number of samples,
//! compare models at the same number.
//!
//! ```
//! use atypical::{data::Images, eval::generation::quality};
//! let [generated, real] = [1, 2].map(|seed| Images::random(60, [1, 8, 8], seed));
//! let quality = quality(&generated, &real, 0).unwrap();
//! let distance = quality.kernel_distance.features.unwrap();
//! assert!(distance.value.abs() < 5.0 * distance.standard_error && quality.coverage > 0.8);
//! ```

mod features;
mod kernel_distance;
mod points;
mod prdc;

pub use features::RandomFeatures;
pub use kernel_distance::{FEWEST, KernelDistance};
pub use points::Points;
pub use prdc::Prdc;

use super::EvalError;
use crate::{
    data::{Images, Kind},
    progress::{Progress, Verbosity},
};
use prdc::Balls;
use serde::{Deserialize, Serialize};

/// Nearest neighbours that [`Prdc`] looks at, as Naeem et al. 2020 do.
pub const NEIGHBOURS: usize = 5;

/// Seed of the weights of the random features: the same ones for everybody.
const WEIGHTS: u64 = 0;

/// Pieces of work that [`quality_with`] advances its bar by.
pub const STEPS: usize = 7;

const GENERATED: &str = "generated";
const REAL: &str = "real";

/// How much generated samples are like real ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The distance of the two distributions by their polynomial moments: 0 where they are the same.
    pub kernel_distance: KernelDistances,
    /// Share of generated samples that lie among the real ones.
    pub precision: f64,
    /// Share of real samples that lie among the generated ones.
    pub recall: f64,
    /// How densely real samples lie around the generated ones: 1 where both are of the same distribution, and it may be higher.
    pub density: f64,
    /// Share of real samples that have a generated one among them.
    pub coverage: f64,
    /// Generated samples.
    pub n_generated: usize,
    /// Real samples.
    pub n_real: usize,
}

/// The kernel distance in two spaces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelDistances {
    /// Of the pixels, scaled to [-1, 1]; of vectors, of their numbers in units of the real ones' standard deviation.
    pub pixels: KernelDistance,
    /// Of the random features; vectors have none.
    pub features: Option<KernelDistance>,
}

/// Compare generated with real samples. `seed` decides which samples make a subset of the kernel distance, and nothing else.
///
/// Vectors are compared coordinate by coordinate in units of the real ones' standard deviation, and have no other features.
///
/// # Errors
/// Samples of different shapes or kinds, fewer than [`FEWEST`] on a side, numbers that are NaN, infinite or so large that third powers overflow.
///
/// # Performance
/// O(n²) in time, in parallel, and O(n) in memory: 8 bytes a value. 2000 images of 784 pixels on a side take seconds on 2 cores.
pub fn quality(generated: &Images, real: &Images, seed: u64) -> Result<Quality, EvalError> {
    let mut bar = Progress::new(Verbosity::Quiet, "quality", STEPS);
    quality_with(generated, real, seed, &mut bar)
}

/// [`quality`], on a bar of [`STEPS`] steps.
///
/// # Errors
/// As [`quality`].
pub fn quality_with(
    generated: &Images,
    real: &Images,
    seed: u64,
    bar: &mut Progress,
) -> Result<Quality, EvalError> {
    let described = |images: &Images| match images.kind {
        Kind::Pixels => format!("images of shape {:?}", images.shape),
        Kind::Vectors => format!("vectors of dimension {}", images.dimension()),
    };
    if (generated.shape, generated.kind) != (real.shape, real.kind) {
        let (generated, real) = (described(generated), described(real));
        return Err(EvalError::Different { generated, real });
    }
    let (mut x, mut y) = (Points::of_values(generated)?, Points::of_values(real)?);
    kernel_distance::check(&x, &y)?;
    let features = match real.kind {
        Kind::Pixels => {
            let network = RandomFeatures::new(real.shape[0], WEIGHTS);
            let x = network.of(&x, real.shape);
            bar.advance(1, "features");
            let y = network.of(&y, real.shape);
            bar.advance(1, "features");
            Some((x, y))
        }
        Kind::Vectors => {
            Points::standardise(&mut x, &mut y);
            bar.advance(2, "");
            None
        }
    };
    let pixels = KernelDistance::new(&x, &y, seed)?;
    bar.advance(1, "kernel distance");
    let distance = features.as_ref().map(|(x, y)| KernelDistance::new(x, y, seed)).transpose()?;
    bar.advance(1, "kernel distance");
    let (x, y) = features.unwrap_or((x, y));
    let generated_balls = Balls::new(&x, NEIGHBOURS)?;
    bar.advance(1, "neighbours");
    let real_balls = Balls::new(&y, NEIGHBOURS)?;
    bar.advance(1, "neighbours");
    let prdc = Prdc::between(&generated_balls, &real_balls);
    bar.advance(1, "");
    Ok(Quality {
        kernel_distance: KernelDistances { pixels, features: distance },
        precision: prdc.precision,
        recall: prdc.recall,
        density: prdc.density,
        coverage: prdc.coverage,
        n_generated: generated.len(),
        n_real: real.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Spec;
    use serde::Deserialize;
    use std::path::Path;

    /// What `scripts/reference/generation_goldens.py` writes.
    #[derive(Deserialize)]
    pub(super) struct Goldens {
        pub clouds: Vec<Cloud>,
        pub features: Vec<Features>,
    }

    #[derive(Deserialize)]
    pub(super) struct Cloud {
        pub name: String,
        dimension: usize,
        generated: Vec<f64>,
        real: Vec<f64>,
        pub k: usize,
        /// Precision, recall, density, coverage.
        pub prdc: [f64; 4],
        pub squared_mmd: f64,
        pub kernel_distance: KernelDistance,
        pub subsets: usize,
    }

    impl Cloud {
        /// Generated and real ones.
        pub fn points(&self) -> (Points, Points) {
            let points = |values: &[f64]| Points::new(values.to_vec(), self.dimension);
            (points(&self.generated), points(&self.real))
        }
    }

    #[derive(Deserialize)]
    pub(super) struct Features {
        pub shape: [usize; 3],
        pub pixels: Vec<u8>,
        pub features: Vec<f64>,
    }

    pub(super) fn goldens() -> Goldens {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/generation.json");
        let goldens: Goldens =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(goldens.clouds.len() >= 8 && goldens.features.len() >= 4);
        goldens
    }

    fn demo(split: &str) -> Images {
        format!("demo:{split}").parse::<Spec>().unwrap().load(Path::new("nowhere")).unwrap()
    }

    /// The pixels changed by their place in the set.
    fn changed(images: &Images, mut change: impl FnMut(usize, u8) -> u8) -> Images {
        let pixels = images.bytes().unwrap();
        let pixels: Vec<u8> = pixels.iter().enumerate().map(|(i, p)| change(i, *p)).collect();
        Images { pixels: pixels.into(), ..images.clone() }
    }

    #[test]
    fn all_numbers_know_worse_samples_from_better_ones() {
        let real = demo("test");
        let noise = Images::random(real.len(), real.shape, 1);
        let noise = noise.bytes().unwrap();
        let noised = |share: u32| {
            let level = |i: usize, p: u8| {
                ((u32::from(p) * (16 - share) + u32::from(noise[i]) * share) / 16) as u8
            };
            quality(&changed(&demo("train").take(500), level), &real, 0).unwrap()
        };
        let [own, little, much] = [0, 4, 12].map(noised);
        let features = |quality: &Quality| quality.kernel_distance.features.unwrap();
        assert!(features(&own).value.abs() < 4.0 * features(&own).standard_error, "{own:?}");
        assert!((own.density - 1.0).abs() < 0.2 && own.coverage > 0.9, "{own:?}");
        for (better, worse) in [(&own, &little), (&little, &much)] {
            let gap = features(worse).value - features(better).value;
            assert!(gap > 4.0 * features(worse).standard_error, "{better:?} {worse:?}");
            assert!(worse.density < better.density && worse.coverage < better.coverage);
        }
        let pixels = much.kernel_distance.pixels;
        assert!(pixels.value > 4.0 * pixels.standard_error, "{much:?}");
        assert!(much.precision < own.precision && much.recall < own.recall, "{much:?}");
        assert_eq!((much.n_generated, much.n_real), (500, 500));
    }

    #[test]
    fn units_of_vectors_do_not_matter() {
        let sample = |n: usize, seed: u64, unit: [f32; 2]| {
            let images = Images::random(n, [1, 1, 2], seed);
            let pixels = images.bytes().unwrap();
            let values: Vec<f32> = pixels
                .chunks(2)
                .flat_map(|p| [unit[0] * f32::from(p[0]), unit[1] * f32::from(p[1])])
                .collect();
            Images::of_vectors("v".into(), 2, &values, None)
        };
        let of = |unit| quality(&sample(150, 1, unit), &sample(100, 2, unit), 3).unwrap();
        let (plain, scaled) = (of([1.0, 1.0]), of([1024.0, 0.25]));
        assert_eq!(plain, scaled);
        assert_eq!(plain.kernel_distance.features, None);
        assert!(plain.coverage > 0.8, "{plain:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (a, b) = (Images::random(30, [1, 4, 4], 0), Images::random(30, [3, 4, 4], 0));
        let message = quality(&a, &b, 0).unwrap_err().to_string();
        assert!(message.contains("[1, 4, 4]") && message.contains("[3, 4, 4]"), "{message}");
        assert_eq!(
            quality(&a.take(19), &a, 0),
            Err(EvalError::TooFewSamples { side: GENERATED, count: 19, needed: 20 })
        );
        let vectors = |value: f32| {
            let values: Vec<f32> = (0..60).map(|i| i as f32).chain([1.0, value]).collect();
            Images::of_vectors("v".into(), 2, &values, None)
        };
        let pixels = Images::random(31, [2, 1, 1], 0);
        let message = quality(&vectors(1.0), &pixels, 0).unwrap_err().to_string();
        assert!(message.contains("vectors of dimension 2"), "{message}");
        assert_eq!(
            quality(&vectors(f32::NAN), &vectors(1.0), 0),
            Err(EvalError::NotFinite { side: GENERATED, count: 1, first: 30 })
        );
    }
}
