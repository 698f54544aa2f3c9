//! What a random convolutional network sees of an image.

use super::Points;
use crate::data::normal;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// Channels of the three layers.
const CHANNELS: [usize; 3] = [16, 32, 64];

/// Rows and columns of cells that the last layer is averaged over.
const GRID: usize = 2;

/// Height and width of a layer's window.
const WINDOW: usize = 3;

/// A convolutional network with random weights: it knows no images, so its features favour no kind of them, and an image that is not like others in its edges and textures has other
/// features. Naeem et al. 2020 (arXiv 2002.09797) compare such embeddings with trained ones, and find them better where images are not those of ImageNet.
///
/// Three layers of 3x3 convolutions to 16, 32 and 64 channels, each followed by `max(0, ·)`; after the first and the second, pixels are averaged two by two (at an odd edge over what there
/// is). The 64 maps at the end are averaged over 2 x 2 cells each: 256 features of an image of any size from 5x5 on. Weights are normal with variance 2 / (9 · channels in)
/// (He et al. 2015), without biases, by xoshiro256++ from the seed: the same on every machine. f64 throughout.
#[derive(Clone, Debug)]
pub struct RandomFeatures {
    layers: Vec<Layer>,
}

impl RandomFeatures {
    /// For images of so many channels.
    pub fn new(channels: usize, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self::with(channels, || normal(&mut rng))
    }

    /// With weights from a stream of numbers of variance 1, layer by layer, each `[row, column, channel in, channel out]`.
    fn with(channels: usize, mut draw: impl FnMut() -> f64) -> Self {
        let mut inputs = channels;
        let layer = |outputs: usize| {
            let count = WINDOW * WINDOW * inputs;
            let scale = (2.0 / count as f64).sqrt();
            let weights = (0..count * outputs).map(|_| scale * draw()).collect();
            let layer = Layer { inputs, outputs, weights };
            inputs = outputs;
            layer
        };
        Self { layers: CHANNELS.into_iter().map(layer).collect() }
    }

    /// Features of images, in parallel.
    ///
    /// # Shapes
    /// - images: `[n, channels · height · width]`, pixels in [-1, 1] ([`Points::of_values`])
    /// - output: `[n, 256]`, of images smaller than 5x5 64 or 128
    ///
    /// # Panics
    /// On points that are not of this shape, or other channels than the network is made for.
    pub fn of(&self, images: &Points, [channels, height, width]: [usize; 3]) -> Points {
        assert_eq!(channels, self.layers[0].inputs, "the channels that the network is made for");
        assert_eq!(images.dimension(), channels * height * width, "images of this shape");
        let features: Vec<Vec<f64>> = (0..images.len())
            .into_par_iter()
            .map(|i| {
                let mut map = Map::of(images.point(i), channels, height, width);
                for (number, layer) in self.layers.iter().enumerate() {
                    if number > 0 {
                        map = map.halved();
                    }
                    map = layer.convolved(&map);
                }
                map.averaged()
            })
            .collect();
        let dimension = features.first().map_or(CHANNELS[2], Vec::len);
        Points::new(features.concat(), dimension)
    }
}

#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// `[row, column, channel in, channel out]`.
    weights: Vec<f64>,
}

impl Layer {
    /// Convolved, with zeros around the map, and what is below 0 set to 0.
    fn convolved(&self, map: &Map) -> Map {
        let Map { height, width, .. } = *map;
        let (places, taps) = (height * width, WINDOW * WINDOW * self.inputs);
        // The window around every place, one after the other.
        let mut windows = vec![0.0; places * taps];
        for (place, window) in windows.chunks_exact_mut(taps).enumerate() {
            let (y, x) = (place / width, place % width);
            for (tap, values) in window.chunks_exact_mut(self.inputs).enumerate() {
                // The window's middle is at 1; what is beyond the map is 0.
                let (row, column) = (y + tap / WINDOW, x + tap % WINDOW);
                if (1..=height).contains(&row) && (1..=width).contains(&column) {
                    values.copy_from_slice(map.at(row - 1, column - 1));
                }
            }
        }
        let mut values = vec![0.0; places * self.outputs];
        matmul(
            MatMut::from_column_major_slice_mut(&mut values, self.outputs, places),
            Accum::Replace,
            MatRef::from_column_major_slice(&self.weights, self.outputs, taps),
            MatRef::from_column_major_slice(&windows, taps, places),
            1.0,
            Par::Seq,
        );
        values.iter_mut().for_each(|value| *value = value.max(0.0));
        Map { height, width, channels: self.outputs, values }
    }
}

/// The channels of every pixel.
struct Map {
    height: usize,
    width: usize,
    channels: usize,
    /// `[height, width, channels]`.
    values: Vec<f64>,
}

impl Map {
    /// # Shapes
    /// - image: `[channels, height, width]`
    fn of(image: &[f64], channels: usize, height: usize, width: usize) -> Self {
        let size = height * width;
        let pixels = (0..size * channels).map(|i| image[i % channels * size + i / channels]);
        Self { height, width, channels, values: pixels.collect() }
    }

    fn at(&self, y: usize, x: usize) -> &[f64] {
        &self.values[(y * self.width + x) * self.channels..][..self.channels]
    }

    /// Averages of two by two pixels; at an odd edge of those that there are.
    fn halved(&self) -> Self {
        let (height, width) = (self.height.div_ceil(2), self.width.div_ceil(2));
        let end = |from: usize, length: usize| (2 * from + 2).min(length);
        let values = (0..height * width)
            .flat_map(|place| {
                let (y, x) = (place / width, place % width);
                self.mean([2 * y, end(y, self.height)], [2 * x, end(x, self.width)])
            })
            .collect();
        Self { height, width, channels: self.channels, values }
    }

    /// Averages over a grid of cells, [`GRID`] along each side or, of a shorter one, one a pixel. The cells of an odd side share the pixels in the middle.
    fn averaged(&self) -> Vec<f64> {
        let cells = |length: usize| {
            let count = GRID.min(length);
            (0..count).map(move |i| [i * length / count, ((i + 1) * length).div_ceil(count)])
        };
        cells(self.height)
            .flat_map(|rows| cells(self.width).flat_map(move |columns| self.mean(rows, columns)))
            .collect()
    }

    /// Mean of each channel over rows and columns from one up to, but without, the other.
    fn mean(&self, rows: [usize; 2], columns: [usize; 2]) -> Vec<f64> {
        let mut sum = vec![0.0; self.channels];
        for y in rows[0]..rows[1] {
            for x in columns[0]..columns[1] {
                sum.iter_mut().zip(self.at(y, x)).for_each(|(sum, value)| *sum += value);
            }
        }
        let count = ((rows[1] - rows[0]) * (columns[1] - columns[0])) as f64;
        sum.iter_mut().for_each(|sum| *sum /= count);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::goldens, *};
    use crate::data::Images;

    #[test]
    fn agrees_with_pytorch() {
        for golden in goldens().features {
            let images = Images::of_pixels("a".into(), golden.shape, golden.pixels, None);
            let images = Points::of_values(&images).unwrap();
            // Numbers that need no generator: the fractional parts of multiples of the golden ratio.
            let mut i = 0.0;
            let draw = || {
                i += 1.0;
                (i * 0.618_033_988_749_894_9_f64).fract() * 12f64.sqrt() - 3f64.sqrt()
            };
            let found = RandomFeatures::with(golden.shape[0], draw).of(&images, golden.shape);
            assert_eq!(found.values().len(), golden.features.len(), "{:?}", golden.shape);
            for (found, expected) in found.values().iter().zip(golden.features) {
                assert!((found - expected).abs() < 1e-10, "{:?}: {found}", golden.shape);
            }
        }
    }

    #[test]
    fn they_are_seeded_and_of_each_image_alone() {
        let images = Images::random(5, [3, 12, 10], 0);
        let of = |seed, images: &Images| {
            RandomFeatures::new(3, seed).of(&Points::of_values(images).unwrap(), images.shape)
        };
        let (features, one) = (of(1, &images), images.select(&[3]));
        assert_eq!((features.len(), features.dimension()), (5, 256));
        assert_eq!(of(1, &one).point(0), features.point(3));
        assert_ne!(of(2, &one).point(0), features.point(3));
        assert_ne!(features.point(0), features.point(1));
        // Of no images, no features.
        assert!(of(1, &images.take(0)).is_empty());
    }

    #[test]
    fn they_keep_the_size_of_what_they_see() {
        // He's variance keeps the mean square from layer to layer, up to what averages take away: no feature explodes or dies.
        let images = Points::of_values(&Images::random(20, [1, 28, 28], 3)).unwrap();
        let features = RandomFeatures::new(1, 0).of(&images, [1, 28, 28]);
        let square = features.values().iter().map(|v| v * v).sum::<f64>();
        let square = square / features.values().len() as f64;
        assert!((1e-3..1.0).contains(&square), "{square}");
    }
}
