//! A set of images.

use super::{DataError, Pixels, manifold::normal, noise};
use rand::{Rng, RngCore};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// What the values of samples are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Grey levels, one byte each; a model sees `(pixel + u) / 256`.
    #[default]
    Pixels,
    /// Numbers, f32 in four bytes, little end first; a model sees them as they are.
    Vectors,
}

impl Kind {
    /// Bytes of a value.
    fn bytes(self) -> usize {
        match self {
            Self::Pixels => 1,
            Self::Vectors => 4,
        }
    }
}

/// Samples of one shape: images, uint8 with channels first, or vectors of shape `[D, 1, 1]`.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct Images {
    /// Where they come from, for messages and tables.
    pub name: String,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// What the values are.
    pub kind: Kind,
    /// Sample by sample, each in channel, row, column order; of vectors the bytes of their numbers.
    pub pixels: Pixels,
    /// One label a sample, where the source has them.
    pub labels: Option<Vec<i64>>,
    /// The file that each sample is from, where each has one of its own.
    pub files: Option<Vec<String>>,
    /// What lies beside the samples and was not taken, to be told to who may miss it: "column `id`", "file `notes.txt`".
    pub left_out: Vec<String>,
}

/// The dequantisation noise `u` in `x = (pixel + u) / 256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// `u = 1/2`, the middle of the pixel's cell: no noise.
    Off,
    /// Uniform on [0, 1), from the seed, the epoch and the sample's index: fresh in every epoch.
    Training {
        /// The run's seed.
        seed: u64,
        /// The epoch.
        epoch: u64,
    },
    /// Uniform on [0, 1), from the seed and the sample's own pixels: an image gets the same noise in whatever batch, order
    /// or file it comes, and its likelihood and its LID share it.
    Evaluation {
        /// The seed.
        seed: u64,
    },
}

/// What images are trained on instead of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Corruption {
    /// Standard deviation of Gaussian noise, in units of x in [0, 1].
    pub noise: f64,
    /// Chance of each pixel value to be replaced by a random one (Ren et al. 2019, arXiv 1906.02845).
    pub mutation: f64,
}

/// Keeps Gaussian noise apart from that of the dequantisation.
const GAUSSIAN: u64 = 0x6761_7573;

/// Keeps mutations apart from both.
const MUTATION: u64 = 0x6d75_7461;

/// Keeps draws around a sample apart from its noise.
const STREAM: u64 = 0x6172_6f75;

/// Keeps the order of a draw apart from those of epochs and of splits.
const DRAW: u64 = u64::MAX - 1;

impl Images {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.size()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Values of one sample.
    pub fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of one sample.
    fn size(&self) -> usize {
        self.dimension() * self.kind.bytes()
    }

    /// Pixels of sample `index`; of a vector, the bytes of its numbers.
    ///
    /// # Errors
    /// A temporary file that cannot be read back; there is one only where [`Pixels::on_disk`] says so.
    pub fn sample(&self, index: usize) -> Result<Cow<'_, [u8]>, DataError> {
        self.pixels.sample(index, self.size())
    }

    /// The bytes of all samples, in memory whatever their number.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, DataError> {
        self.pixels.bytes()
    }

    /// Images as a reader finds them, without files of their own.
    pub fn of_pixels(
        name: String,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Option<Vec<i64>>,
    ) -> Self {
        let left_out = Vec::new();
        let pixels = pixels.into();
        Self { name, shape, kind: Kind::Pixels, pixels, labels, files: None, left_out }
    }

    /// Vectors `[n, dimension]`, as samples.
    pub fn of_vectors(
        name: String,
        dimension: usize,
        values: &[f32],
        labels: Option<Vec<i64>>,
    ) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = [dimension, 1, 1];
        Self { kind: Kind::Vectors, ..Self::of_pixels(name, shape, bytes, labels) }
    }

    /// The samples at `index`, in that order.
    pub fn select(&self, index: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            shape: self.shape,
            kind: self.kind,
            pixels: self.pixels.select(index, self.size()),
            labels: self.labels.as_ref().map(|labels| index.iter().map(|&i| labels[i]).collect()),
            files: self.files.as_ref().map(|f| index.iter().map(|&i| f[i].clone()).collect()),
            left_out: self.left_out.clone(),
        }
    }

    /// The first `n` samples, or all where there are fewer.
    pub fn take(&self, n: usize) -> Self {
        self.select(&(0..n.min(self.len())).collect::<Vec<_>>())
    }

    /// `n` different samples by seed, or all where there are fewer.
    pub fn draw(&self, n: usize, seed: u64) -> Self {
        let order = super::epoch_order(self.len(), seed, DRAW);
        self.select(&order[..n.min(order.len())])
    }

    /// A seeded split into (the others, a share `fraction` of the samples, at least one).
    pub fn split(&self, fraction: f64, seed: u64) -> (Self, Self) {
        let order = super::epoch_order(self.len(), seed, u64::MAX);
        let count = ((self.len() as f64 * fraction).round() as usize).max(1).min(self.len());
        (self.select(&order[count..]), self.select(&order[..count]))
    }

    /// Samples `index` as a model sees them: images as floats in [0, 1), `(pixel + u) / 256`; vectors as they are, without noise.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    ///
    /// # Shapes
    /// - output: `[index.len(), D]`, row-major
    pub fn unit(&self, index: &[usize], noise: Noise) -> Result<Vec<f32>, DataError> {
        self.corrupted(index, noise, Corruption::default())
    }

    /// All values without noise, in their own units: grey levels, or the numbers of vectors.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    ///
    /// # Shapes
    /// - output: `[n, D]`, row-major
    pub fn numbers(&self) -> Result<Vec<f64>, DataError> {
        let mut out = Vec::with_capacity(self.len() * self.dimension());
        for i in 0..self.len() {
            let sample = self.sample(i)?;
            match self.kind {
                Kind::Pixels => out.extend(sample.iter().map(|&pixel| f64::from(pixel))),
                Kind::Vectors => out.extend(floats(&sample).map(f64::from)),
            }
        }
        Ok(out)
    }

    /// The least and the greatest value of each of the D dimensions over all samples, as a model sees them: of pixels always 0 and 1.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn ends(&self) -> Result<Vec<[f32; 2]>, DataError> {
        if self.kind == Kind::Pixels {
            return Ok(vec![[0.0, 1.0]; self.dimension()]);
        }
        let mut ends = vec![[f32::INFINITY, f32::NEG_INFINITY]; self.dimension()];
        for i in 0..self.len() {
            for ([low, high], value) in ends.iter_mut().zip(floats(&self.sample(i)?)) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        Ok(ends)
    }

    /// The first dimension with values outside of [0, 1], if there is one.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn outside_of_unit(&self) -> Result<Option<usize>, DataError> {
        let outside = |&[low, high]: &[f32; 2]| low < 0.0 || high > 1.0;
        Ok(self.ends()?.iter().position(outside))
    }

    /// [`unit`](Self::unit) with pixel values mutated and Gaussian noise added, by the same seeds; dequantisation must be on. Vectors are not mutated.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn corrupted(
        &self,
        index: &[usize],
        noise: Noise,
        corruption: Corruption,
    ) -> Result<Vec<f32>, DataError> {
        let Corruption { noise: sigma, mutation } = corruption;
        let mut out = Vec::with_capacity(index.len() * self.dimension());
        for &i in index {
            let sample = self.sample(i)?;
            let seed = noise.seed(i, &sample);
            let rng = |part| noise::rng(noise::mix(seed.unwrap_or_default(), part));
            let start = out.len();
            match self.kind {
                Kind::Pixels => dequantized(&sample, seed, &mut out),
                Kind::Vectors => out.extend(floats(&sample)),
            }
            let row = &mut out[start..];
            if mutation > 0.0 && self.kind == Kind::Pixels {
                let mut rng = rng(MUTATION);
                for (x, &pixel) in row.iter_mut().zip(&*sample) {
                    if rng.random::<f64>() < mutation {
                        // The place in the cell stays.
                        *x += (f32::from(rng.random::<u8>()) - f32::from(pixel)) / 256.0;
                    }
                }
            }
            if sigma > 0.0 {
                let mut rng = rng(GAUSSIAN);
                row.iter_mut().for_each(|x| *x += (sigma * normal(&mut rng)) as f32);
            }
        }
        Ok(out)
    }

    /// A random stream of sample i's own: from the seed and its pixels, whatever its place in the set.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn stream(&self, i: usize, seed: u64) -> Result<Xoshiro256PlusPlus, DataError> {
        let content = noise::content(&self.sample(i)?);
        Ok(noise::rng(noise::mix(noise::mix(seed, STREAM), content)))
    }

    /// The first digits of the SHA-256 of all pixels: the same images, the same digits.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn digest(&self) -> Result<String, DataError> {
        let mut digest = Sha256::new();
        for i in 0..self.len() {
            digest.update(self.sample(i)?);
        }
        Ok(format!("{:x}", digest.finalize())[..16].to_owned())
    }

    /// Refuse samples of another shape; and pixels, which a model sees in [0, 1], where vectors of that many numbers are meant.
    ///
    /// # Errors
    /// [`DataError::Shape`] with both shapes, [`DataError::Pixels`].
    pub fn expect_shape(&self, expected: [usize; 3]) -> Result<(), DataError> {
        if self.shape == expected {
            let [dimension, height, width] = expected;
            let vectors = ![1, 3].contains(&dimension) && height * width == 1;
            return match self.kind {
                Kind::Pixels if vectors => Err(DataError::Pixels { name: self.name.clone() }),
                _ => Ok(()),
            };
        }
        Err(DataError::Shape { name: self.name.clone(), found: self.shape, expected })
    }

    /// Uniform random images, for tests and benches.
    pub fn random(n: usize, shape: [usize; 3], seed: u64) -> Self {
        let mut rng = noise::rng(seed);
        let pixels = (0..n * shape.iter().product::<usize>()).map(|_| rng.random()).collect();
        let name = format!("random:{seed}");
        Self::of_pixels(name, shape, pixels, None)
    }
}

impl Noise {
    /// That of samples which are evaluated, as a model of dequantised pixels or of their middles sees them.
    pub fn evaluation(dequantized: bool, seed: u64) -> Self {
        if dequantized { Self::Evaluation { seed } } else { Self::Off }
    }

    /// The seed of sample i's noise; none where noise is off.
    fn seed(self, i: usize, sample: &[u8]) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Training { seed, epoch } => Some(noise::mix(noise::mix(seed, epoch), i as u64)),
            Self::Evaluation { seed } => Some(noise::mix(seed, noise::content(sample))),
        }
    }
}

/// The numbers of a vector.
fn floats(sample: &[u8]) -> impl Iterator<Item = f32> {
    sample.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Pixels in their cells of [0, 1): at a place by the seed, or in the middle.
fn dequantized(sample: &[u8], seed: Option<u64>, out: &mut Vec<f32>) {
    let Some(seed) = seed else {
        out.extend(sample.iter().map(|&p| (f32::from(p) + 0.5) / 256.0));
        return;
    };
    let mut rng = noise::rng(seed);
    // Pixel and noise together fill f32's 24 bits, so x is exact. The noise's last bit is 1: its values are odd
    // multiples of 2^-16, symmetric about 1/2, and x lies strictly inside the pixel's cell.
    for four in sample.chunks(4) {
        let mut bits = rng.next_u64();
        for &p in four {
            let u = ((bits & 0xffff) | 1) as f32;
            bits >>= 16;
            out.push((f32::from(p) * 65536.0 + u) / 16_777_216.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_the_ends_of_their_columns() {
        let vectors = Images::of_vectors("v".into(), 2, &[1.0, -5.0, 3.0, -5.0, 2.0, -5.0], None);
        assert_eq!(vectors.ends().unwrap(), [[1.0, 3.0], [-5.0, -5.0]]);
        assert_eq!(Images::random(2, [1, 2, 1], 1).ends().unwrap(), [[0.0, 1.0]; 2]);
    }

    #[test]
    fn every_pixel_stays_in_its_cell() {
        // Every value 4096 times, so that the noise comes close to both ends of the cell.
        let pixels: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let images = Images { pixels: pixels.into(), ..Images::random(1, [1, 1024, 1024], 0) };
        for noise in
            [Noise::Off, Noise::Training { seed: 1, epoch: 2 }, Noise::Evaluation { seed: 3 }]
        {
            for (p, x) in images.bytes().unwrap().iter().zip(images.unit(&[0], noise).unwrap()) {
                assert_eq!((x * 256.0).floor() as i32, i32::from(*p));
                assert!(x > 0.0 && x < 1.0);
            }
        }
    }

    #[test]
    fn added_noise_is_gaussian_and_seeded() {
        let images =
            Images { pixels: vec![7; 40_000].into(), ..Images::random(1, [1, 200, 200], 0) };
        let noise = Noise::Training { seed: 1, epoch: 2 };
        let noisy = |noise| {
            let corruption = Corruption { noise: 0.05, ..Corruption::default() };
            images.corrupted(&[0], noise, corruption).unwrap()
        };
        let (plain, first) = (images.unit(&[0], noise).unwrap(), noisy(noise));
        let z: Vec<f64> = first.iter().zip(&plain).map(|(a, b)| f64::from(a - b) / 0.05).collect();
        let moment = |p: i32| z.iter().map(|z| z.powi(p)).sum::<f64>() / z.len() as f64;
        // Standard errors: 0.005, 0.007 and 0.05.
        assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.03);
        assert!((moment(4) - 3.0).abs() < 0.2);
        assert_eq!(first, noisy(noise));
        assert_ne!(first, noisy(Noise::Training { seed: 1, epoch: 3 }));
        assert_eq!(plain, images.corrupted(&[0], noise, Corruption::default()).unwrap());
    }

    #[test]
    fn mutations_are_as_many_as_asked_for_and_stay_in_cells() {
        let images =
            Images { pixels: vec![7; 40_000].into(), ..Images::random(1, [1, 200, 200], 0) };
        let noise = Noise::Training { seed: 1, epoch: 2 };
        let corruption = Corruption { mutation: 0.3, ..Corruption::default() };
        let [plain, mutated] = [Corruption::default(), corruption]
            .map(|corruption| images.corrupted(&[0], noise, corruption).unwrap());
        let changed: Vec<f32> =
            mutated.iter().zip(&plain).filter(|(a, b)| a != b).map(|(a, _)| *a).collect();
        // One random value in 256 is the old one. The standard error is 92.
        assert!((changed.len() as f64 - 40_000.0 * 0.3 * 255.0 / 256.0).abs() < 400.0);
        assert!(mutated.iter().all(|x| *x > 0.0 && *x < 1.0));
        let mean = changed.iter().map(|x| f64::from(*x)).sum::<f64>() / changed.len() as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert_eq!(mutated, images.corrupted(&[0], noise, corruption).unwrap());
    }

    #[test]
    fn noise_is_uniform_on_the_cell() {
        let images =
            Images { pixels: vec![7; 40_000].into(), ..Images::random(1, [1, 200, 200], 0) };
        let x = images.unit(&[0], Noise::Evaluation { seed: 0 }).unwrap();
        let u: Vec<f64> = x.iter().map(|x| f64::from(*x) * 256.0 - 7.0).collect();
        let mean = u.iter().sum::<f64>() / u.len() as f64;
        let square = u.iter().map(|u| u * u).sum::<f64>() / u.len() as f64;
        assert!((mean - 0.5).abs() < 0.01 && (square - 1.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn evaluation_noise_follows_the_content_and_training_noise_the_place() {
        let images = Images::random(4, [1, 5, 5], 0);
        let shuffled = images.select(&[2, 0, 3, 1]);
        let unit = |images: &Images, i, noise| images.unit(&[i], noise).unwrap();
        let evaluation = Noise::Evaluation { seed: 5 };
        assert_eq!(unit(&images, 2, evaluation), unit(&shuffled, 0, evaluation));
        let training = |epoch| Noise::Training { seed: 5, epoch };
        assert_ne!(unit(&images, 2, training(0)), unit(&images, 2, training(1)));
        assert_eq!(unit(&images, 2, training(1)), unit(&images, 2, training(1)));
    }

    #[test]
    fn a_draw_is_seeded_and_without_repeats() {
        let images = Images::of_pixels("a".into(), [1, 1, 1], (0..50).collect(), None);
        let draw = |seed| images.draw(20, seed).bytes().unwrap().into_owned();
        let drawn = draw(3);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((drawn.len(), sorted.len()), (20, 20));
        assert_eq!(drawn, draw(3));
        assert_ne!(drawn, draw(4));
        assert_eq!(images.draw(99, 3).len(), 50);
    }

    #[test]
    fn vectors_are_seen_as_they_are() {
        let values = [0.5, -3.0, 1e-7, 2e9, 7.0, -0.0];
        let vectors = Images::of_vectors("v".into(), 2, &values, None);
        assert_eq!((vectors.len(), vectors.dimension(), vectors.shape), (3, 2, [2, 1, 1]));
        for noise in
            [Noise::Off, Noise::Training { seed: 1, epoch: 2 }, Noise::Evaluation { seed: 3 }]
        {
            assert_eq!(vectors.unit(&[2, 0], noise).unwrap(), [7.0, -0.0, 0.5, -3.0]);
        }
        assert_eq!(vectors.select(&[1]).unit(&[0], Noise::Off).unwrap(), [1e-7, 2e9]);
        let numbers = vectors.numbers().unwrap();
        assert_eq!((&numbers[..2], numbers.len()), (&[0.5, -3.0][..], 6));
        let noisy = Corruption { noise: 0.1, mutation: 0.9 };
        let noise = Noise::Training { seed: 1, epoch: 2 };
        let moved = vectors.corrupted(&[0], noise, noisy).unwrap();
        assert!((moved[0] - 0.5).abs() < 1.0 && moved[0] != 0.5);
        assert_ne!(vectors.digest().unwrap(), vectors.take(2).digest().unwrap());
    }

    #[test]
    fn a_split_loses_nothing() {
        let images = Images::random(10, [1, 2, 2], 1);
        let (rest, part) = images.split(0.3, 4);
        assert_eq!((rest.len(), part.len()), (7, 3));
        let samples = |images: &Images| -> Vec<Vec<u8>> {
            (0..images.len()).map(|i| images.sample(i).unwrap().into_owned()).collect()
        };
        let mut all = [samples(&rest), samples(&part)].concat();
        let mut expected = samples(&images);
        all.sort_unstable();
        expected.sort_unstable();
        assert_eq!(all, expected);
    }
}
