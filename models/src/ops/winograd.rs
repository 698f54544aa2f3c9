//! The size-keeping 3x3 convolution on host memory by Winograd's minimal filtering F(2x2, 3x3): 16 products for 4 outputs where
//! the sum over taps takes 36 (Lavin & Gray 2016, arXiv 1509.09308).
//!
//! `y = Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A` for every tile of 2x2 outputs, from its 4x4 inputs d; summed over input channels, each of the 16
//! places is one matrix product. In f32 the sums and differences of the transforms cost about one more digit's rounding than
//! the sum over taps.

use super::conv::Geometry;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;

/// Columns of the matrix products that a group of samples aims at.
const COLUMNS: usize = 128;

/// Floats between the 16 places: without, they lie multiples of 4096 bytes apart for usual sizes, and fall into the same few
/// lines of the cache.
const APART: usize = 80;

/// Whether this is the faster way: a 3x3 kernel on a map of several tiles, with channels enough to pay for the transforms.
pub(crate) fn pays(g: &Geometry) -> bool {
    g.kernel == 3 && g.height >= 4 && g.width >= 4 && g.input >= 8 && g.output >= 8
}

/// `G g Gᵀ` of every pair of channels, `[16, output, input]`; with `adjoint`, of the adjoint convolution, whose channels
/// change places and whose kernels are turned by half a turn.
fn kernels(g: &Geometry, weight: &[f32], adjoint: bool) -> Vec<f32> {
    let mut out = vec![0.0; 16 * g.output * g.input];
    for o in 0..g.output {
        for i in 0..g.input {
            let tap = |a: usize, b: usize| {
                f64::from(match adjoint {
                    false => weight[((o * g.input + i) * 3 + a) * 3 + b],
                    true => weight[((i * g.output + o) * 3 + 2 - a) * 3 + 2 - b],
                })
            };
            let filter =
                |t: [f64; 3]| [t[0], (t[0] + t[1] + t[2]) / 2.0, (t[0] - t[1] + t[2]) / 2.0, t[2]];
            let columns: [[f64; 4]; 3] =
                std::array::from_fn(|b| filter([tap(0, b), tap(1, b), tap(2, b)]));
            for a in 0..4 {
                let row = filter([columns[0][a], columns[1][a], columns[2][a]]);
                for (b, value) in row.into_iter().enumerate() {
                    out[((a * 4 + b) * g.output + o) * g.input + i] = value as f32;
                }
            }
        }
    }
    out
}

/// How a map falls into tiles. Rows of tiles are stored with one column more than they have, so that a neighbour is at a fixed
/// offset and the transforms are plain sums over whole maps; what stands in the additional column is never read back.
#[derive(Clone, Copy)]
struct Tiles {
    height: usize,
    width: usize,
    down: usize,
    across: usize,
}

impl Tiles {
    fn new(height: usize, width: usize) -> Self {
        Self { height, width, down: height.div_ceil(2), across: width.div_ceil(2) + 1 }
    }

    /// Stored tiles of one map.
    fn count(&self) -> usize {
        self.down * self.across
    }

    /// Values of one phase of the padded map: every second row and column.
    fn phase(&self) -> usize {
        (self.down + 1) * self.across + 1
    }
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    /// The four phases of one padded map. What borders the map is zero, and stays so.
    phases: Vec<f32>,
    /// Phases, or sums of products, transformed along one direction.
    halves: Vec<f32>,
    /// Transformed inputs, `[16, input, columns]`.
    inputs: Vec<f32>,
    /// Products, `[16, output, columns]`.
    products: Vec<f32>,
}

/// `y = weight * x + bias`, or the adjoint in x of that without bias; `g` has the channels of the convolution that is carried out.
pub(crate) fn convolve(
    g: Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    adjoint: bool,
) -> Vec<f32> {
    let tiles = Tiles::new(g.height, g.width);
    let positions = g.height * g.width;
    let group = COLUMNS.div_ceil(tiles.count()).min(g.batch.div_ceil(2)).max(1);
    let kernels = kernels(&g, weight, adjoint);
    let (in_size, out_size) = (g.input * positions, g.output * positions);
    let mut y = vec![0.0; g.batch * out_size];
    let arch = pulp::Arch::new();
    y.par_chunks_mut(group * out_size).zip(x.par_chunks(group * in_size)).for_each_init(
        Scratch::default,
        |scratch, (y, x)| {
            let columns = x.len() / in_size * tiles.count();
            scratch.phases.resize(4 * tiles.phase(), 0.0);
            scratch.halves.resize(8 * (tiles.count() + 1), 0.0);
            let (input, product) = (g.input * columns, g.output * columns);
            let (input_stride, product_stride) = (input + APART, product + APART);
            scratch.inputs.resize(16 * input_stride, 0.0);
            scratch.products.resize(16 * product_stride, 0.0);
            let Scratch { phases, halves, inputs, products } = scratch;
            arch.dispatch(Transform { tiles, x, channels: g.input, phases, halves, inputs });
            let kernel = g.output * g.input;
            for place in 0..16 {
                matmul(
                    MatMut::from_row_major_slice_mut(
                        &mut products[place * product_stride..][..product],
                        g.output,
                        columns,
                    ),
                    Accum::Replace,
                    MatRef::from_row_major_slice(
                        &kernels[place * kernel..][..kernel],
                        g.output,
                        g.input,
                    ),
                    MatRef::from_row_major_slice(
                        &inputs[place * input_stride..][..input],
                        g.input,
                        columns,
                    ),
                    1.0,
                    Par::Seq,
                );
            }
            arch.dispatch(Restore { tiles, y, channels: g.output, products, halves });
            if let Some(bias) = bias {
                for (map, bias) in y.chunks_mut(positions).zip(bias.iter().cycle()) {
                    map.iter_mut().for_each(|y| *y += bias);
                }
            }
        },
    );
    y
}

/// The transforms of a group of samples, compiled for each instruction set; what they call must be inlined for that.
struct Transform<'a> {
    tiles: Tiles,
    x: &'a [f32],
    channels: usize,
    phases: &'a mut [f32],
    halves: &'a mut [f32],
    inputs: &'a mut [f32],
}

impl pulp::WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Self { tiles, x, channels, phases, halves, inputs } = self;
        let positions = tiles.height * tiles.width;
        let columns = x.len() / (channels * positions) * tiles.count();
        for (s, x) in x.chunks(channels * positions).enumerate() {
            for (c, map) in x.chunks(positions).enumerate() {
                let out = &mut inputs[c * columns + s * tiles.count()..];
                transform(tiles, map, phases, halves, out, channels * columns + APART);
            }
        }
    }
}

/// The way back.
struct Restore<'a> {
    tiles: Tiles,
    y: &'a mut [f32],
    channels: usize,
    products: &'a [f32],
    halves: &'a mut [f32],
}

impl pulp::WithSimd for Restore<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Self { tiles, y, channels, products, halves } = self;
        let positions = tiles.height * tiles.width;
        let columns = y.len() / (channels * positions) * tiles.count();
        for (s, y) in y.chunks_mut(channels * positions).enumerate() {
            for (c, map) in y.chunks_mut(positions).enumerate() {
                let products = &products[c * columns + s * tiles.count()..];
                restore(tiles, products, channels * columns + APART, halves, map);
            }
        }
    }
}

/// `out = f(a, b)`, element by element.
#[inline(always)]
fn combine(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = f(*a, *b));
}

/// `out = f(a, b, c)`, element by element.
#[inline(always)]
fn three(out: &mut [f32], a: &[f32], b: &[f32], c: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    for ((out, a), (b, c)) in out.iter_mut().zip(a).zip(b.iter().zip(c)) {
        *out = f(*a, *b, *c);
    }
}

/// The four combinations of `Bᵀ` along one direction, from the values at even and odd places; the next even or odd one is
/// `next` further on.
#[inline(always)]
fn combine_four(outs: [&mut [f32]; 4], even: &[f32], odd: &[f32], next: usize) {
    let [o0, o1, o2, o3] = outs;
    combine(o0, even, &even[next..], |d0, d2| d0 - d2);
    combine(o1, odd, &even[next..], |d1, d2| d1 + d2);
    combine(o2, odd, &even[next..], |d1, d2| d2 - d1);
    combine(o3, odd, &odd[next..], |d1, d3| d1 - d3);
}

/// `Bᵀ d B` of every tile of a map; place k of tile t goes to `out[k · stride + t]`.
#[inline(always)]
fn transform(
    tiles: Tiles,
    map: &[f32],
    phases: &mut [f32],
    halves: &mut [f32],
    out: &mut [f32],
    stride: usize,
) {
    let (n, size) = (tiles.count(), tiles.phase());
    // Pixel x of row y is at x + 1, y + 1 of the padded map.
    for (y, row) in map.chunks(tiles.width).enumerate() {
        let at = y.div_ceil(2) * tiles.across;
        let (even, odd) = phases[(y + 1) % 2 * 2 * size..][..2 * size].split_at_mut(size);
        let pairs = row.chunks_exact(2);
        if let [last] = pairs.remainder() {
            odd[at + tiles.width / 2] = *last;
        }
        let places = odd[at..].iter_mut().zip(&mut even[at + 1..]);
        pairs.zip(places).for_each(|(pair, (o, e))| (*o, *e) = (pair[0], pair[1]));
    }
    let phase = |row: usize, column: usize| &phases[(2 * row + column) * size..][..size];
    for column in 0..2 {
        let own = &mut halves[column * 4 * (n + 1)..][..4 * (n + 1)];
        combine_four(quarters(own, n + 1), phase(0, column), phase(1, column), tiles.across);
    }
    let (even, odd) = halves.split_at(4 * (n + 1));
    for (a, (even, odd)) in even.chunks(n + 1).zip(odd.chunks(n + 1)).enumerate() {
        let outs = quarters(&mut out[4 * a * stride..], stride).map(|o| &mut o[..n]);
        combine_four(outs, even, odd, 1);
    }
}

/// Four slices, `stride` apart.
#[inline(always)]
fn quarters(slice: &mut [f32], stride: usize) -> [&mut [f32]; 4] {
    let (a, rest) = slice.split_at_mut(stride);
    let (b, rest) = rest.split_at_mut(stride);
    let (c, d) = rest.split_at_mut(stride);
    [a, b, c, d]
}

/// `Aᵀ m A` of every tile into the map.
#[inline(always)]
fn restore(tiles: Tiles, products: &[f32], stride: usize, halves: &mut [f32], map: &mut [f32]) {
    let n = tiles.count();
    let place = |a: usize, b: usize| &products[(4 * a + b) * stride..];
    let (sums, rest) = halves.split_at_mut(4 * (n + 1));
    let (differences, _) = rest.split_at_mut(4 * (n + 1));
    for b in 0..4 {
        let [m0, m1, m2, m3] = [0, 1, 2, 3].map(|a| place(a, b));
        three(&mut sums[b * n..][..n], m0, m1, m2, |a, b, c| a + b + c);
        three(&mut differences[b * n..][..n], m1, m2, m3, |a, b, c| a - b - c);
    }
    for (dy, rows) in [&*sums, &*differences].into_iter().enumerate() {
        let s = |b: usize| &rows[b * n..][..n];
        for ty in 0..tiles.down {
            let y = 2 * ty + dy;
            if y >= tiles.height {
                continue;
            }
            let line = |b: usize| &s(b)[ty * tiles.across..][..tiles.across];
            let [s0, s1, s2, s3] = [0, 1, 2, 3].map(line);
            let row = &mut map[y * tiles.width..][..tiles.width];
            let columns = s0.iter().zip(s1).zip(s2.iter().zip(s3));
            for (pair, ((s0, s1), (s2, s3))) in row.chunks_mut(2).zip(columns) {
                pair[0] = s0 + s1 + s2;
                if let [_, right] = pair {
                    *right = s1 - s2 - s3;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum over taps, in f64.
    fn direct(g: &Geometry, x: &[f32], weight: &[f32], adjoint: bool) -> Vec<f64> {
        let (h, w) = (g.height, g.width);
        let mut y = vec![0.0; g.batch * g.output * h * w];
        for (n, o, i) in (0..g.batch)
            .flat_map(|n| (0..g.output).flat_map(move |o| (0..g.input).map(move |i| (n, o, i))))
        {
            for (py, px, a, b) in (0..h * w * 9).map(|k| (k / 9 / w, k / 9 % w, k % 9 / 3, k % 3)) {
                let (Some(sy), Some(sx)) = ((py + a).checked_sub(1), (px + b).checked_sub(1))
                else {
                    continue;
                };
                if sy >= h || sx >= w {
                    continue;
                }
                let tap = match adjoint {
                    false => weight[((o * g.input + i) * 3 + a) * 3 + b],
                    true => weight[((i * g.output + o) * 3 + 2 - a) * 3 + 2 - b],
                };
                y[((n * g.output + o) * h + py) * w + px] +=
                    f64::from(tap) * f64::from(x[((n * g.input + i) * h + sy) * w + sx]);
            }
        }
        y
    }

    #[test]
    fn agrees_with_the_sum_over_taps() {
        for (batch, input, output, height, width) in [
            (5, 9, 8, 14, 14),
            (3, 8, 10, 7, 7),
            (7, 8, 8, 4, 5),
            (2, 11, 9, 6, 16),
            (1, 8, 8, 5, 4),
        ] {
            let g = Geometry { batch, input, output, height, width, kernel: 3 };
            assert!(pays(&g));
            let wave =
                |n: usize, f: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * f).sin()).collect() };
            let x = wave(batch * input * height * width, 0.37);
            let weight = wave(output * input * 9, 0.71);
            for adjoint in [false, true] {
                let expected = direct(&g, &x, &weight, adjoint);
                let got = convolve(g, &x, &weight, None, adjoint);
                let largest = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
                for (got, expected) in got.iter().zip(&expected) {
                    let error = (f64::from(*got) - expected).abs() / largest;
                    assert!(error < 2e-6, "{g:?}, adjoint {adjoint}: off by {error:.1e}");
                }
            }
        }
    }
}
