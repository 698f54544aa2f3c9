//! Samples of a model.

use crate::report;
use atypical_models::{DensityModel, LatentModel};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Samples drawn in one pass: bounds the memory.
const BATCH: usize = 256;

/// `n` samples, one after the other; the backend's random generator decides which.
///
/// # Shapes
/// - output: `n x D` values, row-major
pub fn draw<B: Backend>(model: &impl DensityModel<B>, n: usize, device: &B::Device) -> Vec<f32> {
    let mut samples = Vec::with_capacity(n * model.dimension());
    for from in (0..n).step_by(BATCH) {
        let batch = model.sample(BATCH.min(n - from), device);
        samples.extend(batch.into_data().iter::<f32>());
    }
    samples
}

/// Images in a row of reconstructions or of a walk.
const ROW: usize = 8;

/// Rows of inputs, under each the row of what an autoencoder makes of them again, as PNG; and how many of their values are NaN or infinite, and black.
///
/// # Shapes
/// - x: `[n, D]`
pub fn reconstructions_png<B: Backend>(
    model: &impl LatentModel<B>,
    x: Tensor<B, 2>,
    shape: [usize; 3],
) -> (Vec<u8>, usize) {
    let again = model.decode(model.encode(x.clone()));
    let [inputs, again] = [x, again].map(|x| x.into_data().iter::<f32>().collect::<Vec<_>>());
    let row = ROW * shape.iter().product::<usize>();
    let rows: Vec<f32> = inputs
        .chunks(row)
        .zip(again.chunks(row))
        .flat_map(|(a, b)| [padded(a, row), padded(b, row)].concat())
        .collect();
    let (pixels, broken) = report::to_pixels(&rows);
    (report::rows_png(&pixels, shape, ROW), broken)
}

/// A row of images, white where it has too few.
fn padded(row: &[f32], length: usize) -> Vec<f32> {
    let mut row = row.to_vec();
    row.resize(length, 1.0);
    row
}

/// Steps from one end of a walk to the other, both ends counted.
const STEPS: usize = 10;

/// Walks through the latent space, one a row: from each input's latent to the next one's, in equal steps, as PNG; and how many of their values are NaN or infinite, and black.
///
/// # Shapes
/// - ends: `[n, D]`, two for each walk
pub fn walks_png<B: Backend>(
    model: &impl LatentModel<B>,
    ends: Tensor<B, 2>,
    shape: [usize; 3],
) -> (Vec<u8>, usize) {
    let z = model.encode(ends);
    let pairs = z.dims()[0] / 2;
    let mut rows = Vec::with_capacity(pairs * STEPS * shape.iter().product::<usize>());
    for pair in 0..pairs {
        let [from, to] = [0, 1].map(|end| z.clone().narrow(0, 2 * pair + end, 1));
        let at = |step: usize| {
            let share = step as f64 / (STEPS - 1) as f64;
            from.clone() * (1.0 - share) + to.clone() * share
        };
        let row = model.decode(Tensor::cat((0..STEPS).map(at).collect(), 0));
        rows.extend(row.into_data().iter::<f32>());
    }
    let (pixels, broken) = report::to_pixels(&rows);
    (report::rows_png(&pixels, shape, STEPS), broken)
}

/// Side of a picture of a density, in pixels.
pub const DENSITY_SIDE: usize = 256;
/// Samples that say where the density is.
const LOOK: usize = 1000;

/// The density of a model of points in the plane, as grey levels: the first coordinate to the right, the second upwards, over a square that holds nearly all
/// samples. Brightness goes with the root of the density, so that what is thin is seen too.
///
/// # Shapes
/// - output: `[DENSITY_SIDE, DENSITY_SIDE]`, row-major
pub fn density_picture<B: Backend>(model: &impl DensityModel<B>, device: &B::Device) -> Vec<u8> {
    let (centre, half) = square(&draw(model, LOOK, device));
    let place = |i: usize| half * (2.0 * (i as f64 + 0.5) / DENSITY_SIDE as f64 - 1.0);
    let mut log_density = Vec::with_capacity(DENSITY_SIDE * DENSITY_SIDE);
    for row in 0..DENSITY_SIDE {
        let y = (centre[1] - place(row)) as f32;
        let points = (0..DENSITY_SIDE).flat_map(|i| [(centre[0] + place(i)) as f32, y]).collect();
        let points = TensorData::new::<f32, _>(points, [DENSITY_SIDE, 2]);
        let row = model.log_prob(Tensor::<B, 2>::from_data(points, device));
        log_density.extend(row.into_data().iter::<f64>());
    }
    let top =
        log_density.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    log_density.into_iter().map(|v| (255.0 * (0.5 * (v - top)).exp()) as u8).collect()
}

/// Centre and half the side of a square around nearly all points; of the unit square where there are none.
fn square(points: &[f32]) -> ([f64; 2], f64) {
    let ends = [0, 1].map(|axis| {
        let mut values: Vec<f64> = points
            .iter()
            .skip(axis)
            .step_by(2)
            .map(|v| f64::from(*v))
            .filter(|v| v.is_finite())
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        match values.len().checked_sub(1) {
            Some(last) => [values[last / 100], values[last - last / 100]],
            None => [0.0, 1.0],
        }
    });
    let centre = ends.map(|[low, high]| 0.5 * (low + high));
    let half = ends.map(|[low, high]| 0.5 * (high - low)).into_iter().fold(1e-6, f64::max);
    // Room for what the percentiles cut off.
    (centre, 1.3 * half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::flow::{Flow, FlowConfig};
    use burn::backend::{Flex, flex::FlexDevice};

    #[test]
    fn the_density_of_a_standard_normal_is_a_round_spot() {
        let config = FlowConfig { shape: [2, 1, 1], transform: Vec::new() };
        let flow = Flow::<Flex>::new(&config, 0, &FlexDevice).unwrap();
        Flex::seed(&FlexDevice, 0);
        let picture = density_picture(&flow, &FlexDevice);
        assert_eq!(picture.len(), DENSITY_SIDE * DENSITY_SIDE);
        let at = |row: usize, column: usize| picture[row * DENSITY_SIDE + column];
        assert!(at(128, 128) > 250 && at(0, 0) < 40 && at(255, 128) < 130);
        // As bright to all sides; the samples put the centre a little beside the origin.
        for (a, b) in
            [(at(64, 128), at(192, 128)), (at(128, 64), at(128, 192)), (at(64, 128), at(128, 64))]
        {
            assert!(a.abs_diff(b) < 40, "{a} and {b}");
        }
    }

    #[test]
    fn a_square_holds_all_but_the_outermost() {
        let points: Vec<f32> = (0..400).flat_map(|i| [i as f32, 1.0]).collect();
        let (centre, half) = square(&points);
        assert!((centre[0] - 199.5).abs() < 1.0 && (centre[1] - 1.0).abs() < 1e-9);
        assert!(half > 200.0 && half < 300.0);
        assert_eq!(square(&[f32::NAN, f32::NAN]), ([0.5, 0.5], 0.65));
    }
}
