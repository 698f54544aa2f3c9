//! The size-keeping convolution on host memory: im2col and one matrix product a group of samples, in parallel over groups.
//!
//! A group holds enough samples to give the product some hundred columns, so that 7x7 and 1x1 maps are as efficient as
//! larger ones. Sums over groups are taken in a fixed order: the result does not depend on the number of threads.

use super::winograd;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;

/// Columns of the matrix product that a group aims at.
const COLUMNS: usize = 256;
/// Parts of the batch whose weight gradients are summed apart.
const PARTS: usize = 8;

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

/// `y = weight * x + bias`; shapes as in [`same_conv`](super::same_conv).
pub(crate) fn forward(g: Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    if winograd::pays(&g) {
        return winograd::convolve(g, x, weight, Some(bias), false);
    }
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    let mut y = vec![0.0; g.batch * out_size];
    if g.is_rows() {
        y.chunks_mut(out_size).for_each(|y| y.copy_from_slice(bias));
        let weight = MatRef::from_row_major_slice(weight, g.output, g.input);
        rows_product(&g, &mut y, Accum::Add, x, weight.transpose());
        return y;
    }
    y.par_chunks_mut(g.group() * out_size).zip(x.par_chunks(g.group() * in_size)).for_each(
        |(y, x)| {
            let samples = x.len() / in_size;
            let across = samples * p;
            let weight = MatRef::from_row_major_slice(weight, g.output, g.depth());
            if g.is_plain(samples) {
                y.chunks_mut(p).zip(bias).for_each(|(row, b)| row.fill(*b));
                let x = MatRef::from_row_major_slice(x, g.depth(), across);
                let y = MatMut::from_row_major_slice_mut(y, g.output, across);
                matmul(y, Accum::Add, weight, x, 1.0, Par::Seq);
                return;
            }
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
                for ((c, y), b) in y.chunks_mut(p).enumerate().zip(bias) {
                    let row = &product[(c * samples + s) * p..][..p];
                    y.iter_mut().zip(row).for_each(|(y, v)| *y = v + b);
                }
            }
        },
    );
    y
}

/// `to (+)= from · matrix`, rows in parallel by groups.
fn rows_product(g: &Geometry, to: &mut [f32], accum: Accum, from: &[f32], matrix: MatRef<f32>) {
    let [width, depth] = [matrix.ncols(), matrix.nrows()];
    let pieces = to.par_chunks_mut(g.group() * width).zip(from.par_chunks(g.group() * depth));
    pieces.for_each(|(to, from)| {
        let rows = to.len() / width;
        let from = MatRef::from_row_major_slice(from, rows, depth);
        let to = MatMut::from_row_major_slice_mut(to, rows, width);
        matmul(to, accum, from, matrix, 1.0, Par::Seq);
    });
}

/// `dyᵀ x` and the sum of dy, in parallel over outputs.
fn rows_weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    /// Outputs of one piece of work.
    const OUTPUTS: usize = 96;
    let mut dw = vec![0.0; g.output * g.input];
    let x = MatRef::from_row_major_slice(x, g.batch, g.input);
    let dy_rows = MatRef::from_row_major_slice(dy, g.batch, g.output);
    dw.par_chunks_mut(OUTPUTS * g.input).enumerate().for_each(|(i, dw)| {
        let outputs = dw.len() / g.input;
        let dy = dy_rows.subcols(i * OUTPUTS, outputs).transpose();
        let dw = MatMut::from_row_major_slice_mut(dw, outputs, g.input);
        matmul(dw, Accum::Replace, dy, x, 1.0, Par::Seq);
    });
    let mut db = vec![0.0; g.output];
    for dy in dy.chunks(g.output) {
        db.iter_mut().zip(dy).for_each(|(db, dy)| *db += dy);
    }
    (dw, db)
}

/// Gradient with respect to x.
pub(crate) fn input_gradient(g: Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    let mut dx = vec![0.0; g.batch * in_size];
    if g.is_rows() {
        let weight = MatRef::from_row_major_slice(weight, g.output, g.input);
        rows_product(&g, &mut dx, Accum::Replace, dy, weight);
        return dx;
    }
    dx.par_chunks_mut(g.group() * in_size).zip(dy.par_chunks(g.group() * out_size)).for_each(
        |(dx, dy)| {
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
                return;
            }
            let mut columns = vec![0.0; g.depth() * across];
            let product = MatMut::from_row_major_slice_mut(&mut columns, g.depth(), across);
            matmul(product, Accum::Replace, weight, dy, 1.0, Par::Seq);
            g.scatter(&columns, samples, dx);
        },
    );
    dx
}

/// Gradients with respect to weight and bias.
pub(crate) fn weight_gradient(g: Geometry, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let p = g.positions();
    let (in_size, out_size) = (g.input * p, g.output * p);
    if g.is_rows() {
        return rows_weight_gradient(&g, x, dy);
    }
    let part = g.batch.div_ceil(PARTS);
    let sums: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(part * in_size)
        .zip(dy.par_chunks(part * out_size))
        .map(|(x, dy)| {
            let mut dw = vec![0.0; g.output * g.depth()];
            let mut db = vec![0.0; g.output];
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
                for (db, row) in db.iter_mut().zip(dy.chunks(across)) {
                    *db += row.iter().sum::<f32>();
                }
            }
            (dw, db)
        })
        .collect();
    let mut sums = sums.into_iter();
    let mut total = sums.next().unwrap_or_default();
    for (dw, db) in sums {
        total.0.iter_mut().zip(dw).for_each(|(t, v)| *t += v);
        total.1.iter_mut().zip(db).for_each(|(t, v)| *t += v);
    }
    total
}
