//! The size-keeping convolution on host memory, of an input or of what is positive of it: im2col and one matrix product a group of
//! samples, in parallel over groups; [`winograd`] where that is faster.
//!
//! A group holds enough samples to give the product some hundred columns, so that 7x7 and 1x1 maps are as efficient as
//! larger ones. Sums over groups are taken in a fixed order: the result does not depend on the number of threads.

use super::winograd;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;
use std::borrow::Cow;

/// Columns of the matrix product that a group aims at.
const COLUMNS: usize = 256;
/// Parts of the batch whose weight gradients are summed apart.
const PARTS: usize = 8;
/// Outputs of one piece of work, where a sample or the batch is not divided.
const OUTPUTS: usize = 96;

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub input: usize,
    pub output: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
}

impl Geometry {
    fn positions(&self) -> usize {
        self.height * self.width
    }

    /// Rows of the column matrix.
    fn depth(&self) -> usize {
        self.input * self.kernel * self.kernel
    }

    fn group(&self) -> usize {
        COLUMNS.div_ceil(self.positions()).min(self.batch.div_ceil(2)).max(1)
    }

    /// Whether the input itself is the column matrix.
    fn is_plain(&self, samples: usize) -> bool {
        self.kernel == 1 && samples == 1
    }

    /// Whether the convolution is a matrix product of rows, one a sample.
    fn is_rows(&self) -> bool {
        self.kernel == 1 && self.positions() == 1
    }

    /// Gather `samples` inputs into columns `[depth, samples · positions]`.
    fn gather(&self, x: &[f32], samples: usize, columns: &mut [f32]) {
        self.walk(samples, |at, from, len, input| {
            columns[at..at + len].copy_from_slice(&x[input + from..][..len]);
        });
    }

    /// Add columns back into inputs, the transpose of [`gather`](Self::gather).
    fn scatter(&self, columns: &[f32], samples: usize, dx: &mut [f32]) {
        self.walk(samples, |at, from, len, input| {
            let dx = &mut dx[input + from..][..len];
            dx.iter_mut().zip(&columns[at..at + len]).for_each(|(d, c)| *d += c);
        });
    }

    /// Call `row(index in columns, offset in the input's channel, length, start of the input's channel)` for every run of
    /// pixels that a kernel tap reads; what it reads from the padding is left alone.
    fn walk(&self, samples: usize, mut row: impl FnMut(usize, usize, usize, usize)) {
        let (h, w, k) = (self.height, self.width, self.kernel);
        let pad = k / 2;
        let across = samples * h * w;
        for c in 0..self.input {
            for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
                let depth = (c * k + i) * k + j;
                // Output columns whose tap (i, j) lies inside the image.
                let (left, right) = (pad.saturating_sub(j), (w + pad).saturating_sub(j).min(w));
                if left >= right {
                    continue;
                }
                for sample in 0..samples {
                    let input = (sample * self.input + c) * h * w;
                    for y in pad.saturating_sub(i)..(h + pad).saturating_sub(i).min(h) {
                        let at = depth * across + (sample * h + y) * w + left;
                        let from = (y + i - pad) * w + left + j - pad;
                        row(at, from, right - left, input);
                    }
                }
            }
        }
    }
}

/// Rows of `[samples, channels, positions]` as `[channels, samples · positions]`.
fn channels_first(g: &[f32], channels: usize, positions: usize, samples: usize, out: &mut [f32]) {
    for (s, sample) in g.chunks(channels * positions).enumerate() {
        for (c, row) in sample.chunks(positions).enumerate() {
            out[(c * samples + s) * positions..][..positions].copy_from_slice(row);
        }
    }
}

/// Values of one piece of work; also what decides the order of a sum, whatever the number of threads.
pub(crate) const PIECE: usize = 1 << 14;

/// Zeros, written by all threads: fresh memory costs as much as the arithmetic that fills it.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    rayon::iter::repeat_n(0.0, len).with_min_len(PIECE).collect()
}

/// Samples whose weight gradients are summed together.
pub(crate) fn part_size(batch: usize) -> usize {
    batch.div_ceil(PARTS)
}

/// The sum over each channel's map of `[samples, channels, positions]`.
pub(crate) fn sum_maps(dy: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    if positions == 1 {
        dy.chunks(channels).for_each(|dy| add_sums(&mut sums, dy));
        return sums;
    }
    for dy in dy.chunks(channels * positions) {
        for (sum, map) in sums.iter_mut().zip(dy.chunks(positions)) {
            // Several sums at a time, as vectors.
            let mut parts = [0.0; 16];
            for chunk in map.chunks(parts.len()) {
                add_sums(&mut parts, chunk);
            }
            *sum += parts.iter().sum::<f32>();
        }
    }
    sums
}

/// `total += part`.
pub(crate) fn add_sums(total: &mut [f32], part: &[f32]) {
    total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
}

/// The sums of all parts, in order.
pub(crate) fn sum_parts(parts: Vec<(Vec<f32>, Vec<f32>)>) -> (Vec<f32>, Vec<f32>) {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for (a, b) in parts {
        add_sums(&mut total.0, &a);
        add_sums(&mut total.1, &b);
    }
    total
}

/// What is positive of x. Not `max`, which would drop a NaN.
#[inline(always)]
pub(crate) fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// x, or what is positive of it.
fn rectified(x: &[f32], rectify: bool) -> Cow<'_, [f32]> {
    match rectify {
        true => x.par_iter().with_min_len(PIECE).map(|x| positive(*x)).collect(),
        false => Cow::Borrowed(x),
    }
}

/// Change every value of one sample `[channels, positions]` by what its channel has.
pub(crate) fn each_channel<T: Copy>(
    sample: &mut [f32],
    channels: impl ExactSizeIterator<Item = T>,
    change: impl Fn(&mut f32, T),
) {
    if sample.len() == channels.len() {
        return sample.iter_mut().zip(channels).for_each(|(value, of)| change(value, of));
    }
    for (map, of) in sample.chunks_mut(sample.len() / channels.len()).zip(channels) {
        map.iter_mut().for_each(|value| change(value, of));
    }
}

/// `y = weight * x + bias + skip`, x rectified first if asked, without bias or skip where there is none; shapes as in
/// [`same_conv`](super::same_conv).
pub(crate) fn forward(
    g: Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    skip: Option<&[f32]>,
    rectify: bool,
) -> Vec<f32> {
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    let finish = |sample: usize, y: &mut [f32]| {
        if let Some(bias) = bias {
            each_channel(y, bias.iter(), |y, bias| *y += bias);
        }
        if let Some(skip) = skip {
            add_sums(y, &skip[sample * out_size..][..out_size]);
        }
    };
    if winograd::pays(&g) {
        return winograd::convolve(g, x, weight, [false, rectify], finish);
    }
    let x = rectified(x, rectify);
    if g.is_rows() {
        let weight = MatRef::from_row_major_slice(weight, g.output, g.input);
        return rows_product(&g, &x, weight.transpose(), finish);
    }
    let group = g.group();
    let mut y = zeros(g.batch * out_size);
    y.par_chunks_mut(group * out_size).zip(x.par_chunks(group * in_size)).enumerate().for_each(
        |(number, (y, x))| {
            let samples = x.len() / in_size;
            let across = samples * p;
            let weight = MatRef::from_row_major_slice(weight, g.output, g.depth());
            if g.is_plain(samples) {
                let x = MatRef::from_row_major_slice(x, g.depth(), across);
                let y = MatMut::from_row_major_slice_mut(y, g.output, across);
                matmul(y, Accum::Replace, weight, x, 1.0, Par::Seq);
            } else {
                let mut columns = vec![0.0; g.depth() * across];
                g.gather(x, samples, &mut columns);
                let mut product = vec![0.0; g.output * across];
                matmul(
                    MatMut::from_row_major_slice_mut(&mut product, g.output, across),
                    Accum::Replace,
                    weight,
                    MatRef::from_row_major_slice(&columns, g.depth(), across),
                    1.0,
                    Par::Seq,
                );
                for (s, y) in y.chunks_mut(out_size).enumerate() {
                    for (c, y) in y.chunks_mut(p).enumerate() {
                        y.copy_from_slice(&product[(c * samples + s) * p..][..p]);
                    }
                }
            }
            y.chunks_mut(out_size).enumerate().for_each(|(s, y)| finish(number * group + s, y));
        },
    );
    y
}

/// `from · matrix`, rows in parallel by groups, one row alone by its columns; each row is handed to `finish` with its number.
fn rows_product(
    g: &Geometry,
    from: &[f32],
    matrix: MatRef<f32>,
    finish: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let [width, depth] = [matrix.ncols(), matrix.nrows()];
    let group = g.group();
    let mut to = zeros(g.batch * width);
    if g.batch == 1 {
        let from = MatRef::from_row_major_slice(from, 1, depth);
        to.par_chunks_mut(OUTPUTS).enumerate().for_each(|(i, to)| {
            let matrix = matrix.subcols(i * OUTPUTS, to.len());
            let product = MatMut::from_row_major_slice_mut(to, 1, matrix.ncols());
            matmul(product, Accum::Replace, from, matrix, 1.0, Par::Seq);
        });
        finish(0, &mut to);
        return to;
    }
    let pieces = to.par_chunks_mut(group * width).zip(from.par_chunks(group * depth));
    pieces.enumerate().for_each(|(number, (to, from))| {
        let rows = to.len() / width;
        let from = MatRef::from_row_major_slice(from, rows, depth);
        let product = MatMut::from_row_major_slice_mut(to, rows, width);
        matmul(product, Accum::Replace, from, matrix, 1.0, Par::Seq);
        to.chunks_mut(width).enumerate().for_each(|(s, row)| finish(number * group + s, row));
    });
    to
}

/// `dyᵀ x` and the sum of dy, in parallel over outputs.
fn rows_weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut dw = zeros(g.output * g.input);
    let x = MatRef::from_row_major_slice(x, g.batch, g.input);
    let dy_rows = MatRef::from_row_major_slice(dy, g.batch, g.output);
    dw.par_chunks_mut(OUTPUTS * g.input).enumerate().for_each(|(i, dw)| {
        let outputs = dw.len() / g.input;
        let dy = dy_rows.subcols(i * OUTPUTS, outputs).transpose();
        let dw = MatMut::from_row_major_slice_mut(dw, outputs, g.input);
        matmul(dw, Accum::Replace, dy, x, 1.0, Par::Seq);
    });
    (dw, sum_maps(dy, g.output, 1))
}

/// Gradient with respect to x, from that of the output, dy; `g` is the convolution's. `rectified`: the x that was rectified before the
/// convolution, whose gradient passes where it is positive.
pub(crate) fn input_gradient(
    g: Geometry,
    weight: &[f32],
    dy: &[f32],
    rectified: Option<&[f32]>,
) -> Vec<f32> {
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    let finish = |sample: usize, dx: &mut [f32]| {
        let Some(x) = rectified else { return };
        for (dx, x) in dx.iter_mut().zip(&x[sample * in_size..]) {
            *dx = if *x <= 0.0 { 0.0 } else { *dx };
        }
    };
    if winograd::pays(&g) {
        let adjoint = Geometry { input: g.output, output: g.input, ..g };
        return winograd::convolve(adjoint, dy, weight, [true, false], finish);
    }
    if g.is_rows() {
        let weight = MatRef::from_row_major_slice(weight, g.output, g.input);
        return rows_product(&g, dy, weight, finish);
    }
    let group = g.group();
    let mut dx = zeros(g.batch * in_size);
    dx.par_chunks_mut(group * in_size).zip(dy.par_chunks(group * out_size)).enumerate().for_each(
        |(number, (dx, dy))| {
            let samples = dy.len() / out_size;
            let across = samples * p;
            let weight = MatRef::from_row_major_slice(weight, g.output, g.depth()).transpose();
            let mut rows = Vec::new();
            let dy = if samples == 1 {
                dy
            } else {
                rows.resize(g.output * across, 0.0);
                channels_first(dy, g.output, p, samples, &mut rows);
                &rows
            };
            let dy = MatRef::from_row_major_slice(dy, g.output, across);
            if g.is_plain(samples) {
                let dx = MatMut::from_row_major_slice_mut(dx, g.depth(), across);
                matmul(dx, Accum::Replace, weight, dy, 1.0, Par::Seq);
            } else {
                let mut columns = vec![0.0; g.depth() * across];
                let product = MatMut::from_row_major_slice_mut(&mut columns, g.depth(), across);
                matmul(product, Accum::Replace, weight, dy, 1.0, Par::Seq);
                g.scatter(&columns, samples, dx);
            }
            dx.chunks_mut(in_size).enumerate().for_each(|(s, dx)| finish(number * group + s, dx));
        },
    );
    dx
}

/// Gradients with respect to weight and bias; `rectify`: what was convolved is what is positive of x.
pub(crate) fn weight_gradient(
    g: Geometry,
    x: &[f32],
    dy: &[f32],
    rectify: bool,
) -> (Vec<f32>, Vec<f32>) {
    if winograd::pays(&g) {
        return winograd::weight_gradient(g, x, dy, rectify);
    }
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    let x = rectified(x, rectify);
    if g.is_rows() {
        return rows_weight_gradient(&g, &x, dy);
    }
    let part = part_size(g.batch);
    let sums: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(part * in_size)
        .zip(dy.par_chunks(part * out_size))
        .map(|(x, dy)| {
            let mut dw = vec![0.0; g.output * g.depth()];
            let (mut columns, mut rows) = (Vec::new(), Vec::new());
            for (x, dy) in x.chunks(g.group() * in_size).zip(dy.chunks(g.group() * out_size)) {
                let samples = x.len() / in_size;
                let across = samples * p;
                let x = if g.is_plain(samples) {
                    x
                } else {
                    columns.clear();
                    columns.resize(g.depth() * across, 0.0);
                    g.gather(x, samples, &mut columns);
                    &columns
                };
                let dy = if samples == 1 {
                    dy
                } else {
                    rows.resize(g.output * across, 0.0);
                    channels_first(dy, g.output, p, samples, &mut rows);
                    &rows[..g.output * across]
                };
                matmul(
                    MatMut::from_row_major_slice_mut(&mut dw, g.output, g.depth()),
                    Accum::Add,
                    MatRef::from_row_major_slice(dy, g.output, across),
                    MatRef::from_row_major_slice(x, g.depth(), across).transpose(),
                    1.0,
                    Par::Seq,
                );
            }
            (dw, sum_maps(dy, g.output, p))
        })
        .collect();
    sum_parts(sums)
}
