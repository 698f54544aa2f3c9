//! Operations on channels, directions, weights and gradients.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments)]

use super::{empty, work};
use crate::ops::AdamWStep;
use burn_cubecl::{CubeRuntime, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

/// Threads that sum together.
const THREADS: usize = 256;
/// Values that one of a sum of squares' groups takes at least, and groups of a tensor at most.
const SHORTEST: usize = 1 << 12;
const GROUPS: usize = 256;

/// `x · scale + shift` of every channel.
pub(super) fn channel_affine<R: CubeRuntime>(
    x: CubeTensor<R>,
    scale: CubeTensor<R>,
    shift: CubeTensor<R>,
) -> CubeTensor<R> {
    let [x, scale, shift] = [x, scale, shift].map(into_contiguous);
    let shape = x.meta.shape().clone();
    let positions = shape[2] * shape[3];
    let y = empty(&x, shape);
    let (client, count, dim) = work(&x);
    let [x, scale, shift, to] = [x, scale, shift, y.clone()].map(CubeTensor::into_array_arg);
    scale_channels::launch::<R>(&client, count, dim, x, scale, shift, to, positions);
    y
}

#[cube(launch)]
fn scale_channels(
    x: &Array<f32>,
    scale: &Array<f32>,
    shift: &Array<f32>,
    y: &mut Array<f32>,
    positions: usize,
) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    let channel = i / positions % scale.len();
    y[i] = x[i] * scale[channel] + shift[channel];
}

/// The sum over every channel of x, or of `x · factor`: `[channels]`.
pub(super) fn channel_sums<R: CubeRuntime>(
    x: CubeTensor<R>,
    factor: Option<CubeTensor<R>>,
) -> CubeTensor<R> {
    let [batch, channels, height, width] = x.meta.shape().dims();
    let multiply = factor.is_some();
    let x = into_contiguous(x);
    let factor = factor.map_or_else(|| x.clone(), into_contiguous);
    let sums = empty(&x, [channels]);
    let client = x.client.clone();
    let [x, factor, to] = [x, factor, sums.clone()].map(CubeTensor::into_array_arg);
    let count = CubeCount::Static(channels as u32, 1, 1);
    let dim = CubeDim::new_1d(THREADS as u32);
    sum_channels::launch::<R>(&client, count, dim, x, factor, to, batch, height * width, multiply);
    sums
}

#[cube(launch)]
fn sum_channels(
    x: &Array<f32>,
    factor: &Array<f32>,
    sums: &mut Array<f32>,
    batch: usize,
    positions: usize,
    #[comptime] multiply: bool,
) {
    let channel = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < batch * positions {
        let i = (at / positions * sums.len() + channel) * positions + at % positions;
        if comptime!(multiply) {
            sum += x[i] * factor[i];
        } else {
            sum += x[i];
        }
        at += THREADS;
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        sums[channel] = sum;
    }
}

/// The sum of all threads' values, in pairs.
#[cube]
fn sum_of_cube(value: f32) -> f32 {
    let mut values = SharedMemory::<f32>::new(THREADS);
    let unit = UNIT_POS as usize;
    values[unit] = value;
    sync_cube();
    let mut half = comptime!(THREADS / 2).runtime();
    while half > 0 {
        if unit < half {
            let other = values[unit + half];
            values[unit] += other;
        }
        sync_cube();
        half /= 2;
    }
    values[0]
}

/// `x · factor`, the factor repeated over all directions.
pub(super) fn tiled<R: CubeRuntime>(x: CubeTensor<R>, factor: CubeTensor<R>) -> CubeTensor<R> {
    let [x, factor] = [x, factor].map(into_contiguous);
    let y = empty(&x, x.meta.shape().clone());
    let (client, count, dim) = work(&x);
    let [x, factor, to] = [x, factor, y.clone()].map(CubeTensor::into_array_arg);
    tile::launch::<R>(&client, count, dim, x, factor, to);
    y
}

#[cube(launch)]
fn tile(x: &Array<f32>, factor: &Array<f32>, y: &mut Array<f32>) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    y[i] = x[i] * factor[i % factor.len()];
}

/// A step of AdamW, in place where nobody else holds the tensors.
pub(super) fn adam_w<R: CubeRuntime>(
    parameter: CubeTensor<R>,
    gradient: CubeTensor<R>,
    moments: [CubeTensor<R>; 2],
    step: AdamWStep,
) -> [CubeTensor<R>; 3] {
    let [first, second] = moments;
    let own = |t: CubeTensor<R>| {
        let t = into_contiguous(t);
        if t.can_mut() { t } else { t.copy() }
    };
    let after = [parameter, first, second].map(own);
    let gradient = into_contiguous(gradient);
    let (client, count, dim) = work(&gradient);
    let [parameter, first, second] = after.clone().map(CubeTensor::into_array_arg);
    let [b1, b2] = step.betas;
    take_step::launch::<R>(
        &client,
        count,
        dim,
        parameter,
        gradient.into_array_arg(),
        first,
        second,
        step.lr,
        1.0 - step.lr * step.weight_decay,
        b1,
        b2,
        1.0 - b1.powi(step.time),
        1.0 - b2.powi(step.time),
        step.epsilon,
        step.scale,
    );
    after
}

/// `c1` and `c2` are 1 - βᵗ of both moments.
#[cube(launch)]
fn take_step(
    parameter: &mut Array<f32>,
    gradient: &Array<f32>,
    first: &mut Array<f32>,
    second: &mut Array<f32>,
    lr: f32,
    keep: f32,
    b1: f32,
    b2: f32,
    c1: f32,
    c2: f32,
    epsilon: f32,
    scale: f32,
) {
    let i = ABSOLUTE_POS;
    if i >= gradient.len() {
        terminate!();
    }
    let g = scale * gradient[i];
    let m = b1 * first[i] + (1.0f32 - b1) * g;
    let s = b2 * second[i] + (1.0f32 - b2) * (g * g);
    first[i] = m;
    second[i] = s;
    parameter[i] = keep * parameter[i] - lr * ((m / c1) / (f32::sqrt(s / c2) + epsilon));
}

/// The sum of the squares of all values of all tensors: one number read back for all of them, added up in f64.
pub(super) fn sum_of_squares<R: CubeRuntime>(tensors: Vec<CubeTensor<R>>) -> f64 {
    let groups: Vec<usize> =
        tensors.iter().map(|t| t.meta.num_elements().div_ceil(SHORTEST).clamp(1, GROUPS)).collect();
    let Some(like) = tensors.first() else { return 0.0 };
    let sums = empty(like, [groups.iter().sum::<usize>()]);
    let mut at = 0;
    for (tensor, groups) in tensors.into_iter().zip(groups) {
        let client = tensor.client.clone();
        square::launch::<R>(
            &client,
            CubeCount::Static(groups as u32, 1, 1),
            CubeDim::new_1d(THREADS as u32),
            into_contiguous(tensor).into_array_arg(),
            sums.clone().into_array_arg(),
            groups,
            at,
        );
        at += groups;
    }
    let bytes = sums.client.clone().read_one_unchecked(sums.handle);
    f32::from_bytes(&bytes).iter().map(|sum| f64::from(*sum)).sum()
}

/// Sums of squares of `groups` interleaved parts of x.
#[cube(launch)]
fn square(x: &Array<f32>, sums: &mut Array<f32>, groups: usize, first: usize) {
    let group = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut at = group * THREADS + UNIT_POS as usize;
    while at < x.len() {
        sum += x[at] * x[at];
        at += groups * THREADS;
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        sums[first + group] = sum;
    }
}
