//! The size-keeping 3x3 convolution on host memory by Winograd's minimal filtering F(2x2, 3x3): 16 products for 4 outputs where
//! the sum over taps takes 36 (Lavin & Gray 2016, arXiv 1509.09308).
//!
//! `y = Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A` for every tile of 2x2 outputs, from its 4x4 inputs d; summed over input channels, each of the 16
//! places is one matrix product. The gradient of g is `Gᵀ [ (A ẏ Aᵀ) ∘ (Bᵀ d B) ] G`, summed over tiles. In f32 the sums and differences
//! of the transforms cost about one more digit's rounding than the sum over taps.
//!
//! Maps are turned around once, channels last: the transforms are then sums of whole vectors of channels.

// Rows and columns of tiles are numbered as in the paper.
#![allow(clippy::needless_range_loop)]

use super::conv::{Geometry, part_size, positive, sum_maps, sum_parts, zeros};
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use pulp::Simd;
use rayon::prelude::*;

/// Rows of the matrix products that a group of samples aims at.
const ROWS: usize = 96;

/// Floats of the longest vector.
const LANES: usize = 16;

/// Channels that are written on side by side.
const SIDE_BY_SIDE: usize = 8;

/// Floats that channels take where they lie last.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// Floats between the 16 places: without, they lie multiples of 4096 bytes apart for usual sizes, and fall into the same few
/// lines of the cache.
const APART: usize = 80;

/// Whether this is the faster way: a 3x3 kernel on maps of several tiles, with channels enough to pay for the transforms of maps, and tiles enough for those of kernels.
pub(crate) fn pays(g: &Geometry) -> bool {
    let tiles = g.batch * Tiles::new(g).count();
    let channels = g.input.min(g.output);
    g.kernel == 3 && g.height >= 4 && g.width >= 4 && channels >= 8 && tiles >= ROWS
}

/// How a map falls into tiles of 2x2.
#[derive(Clone, Copy)]
struct Tiles {
    height: usize,
    width: usize,
    down: usize,
    across: usize,
}

impl Tiles {
    fn new(g: &Geometry) -> Self {
        let (height, width) = (g.height, g.width);
        Self { height, width, down: height.div_ceil(2), across: width.div_ceil(2) }
    }

    fn count(&self) -> usize {
        self.down * self.across
    }

    /// Samples of one group.
    fn group(&self, batch: usize) -> usize {
        ROWS.div_ceil(self.count()).min(batch.div_ceil(2)).max(1)
    }
}

/// `G g Gᵀ` of every pair of channels, for each input channel 16 rows of outputs; with `adjoint`, of the adjoint convolution, whose
/// channels change places and whose kernels are turned by half a turn.
struct Kernels {
    values: Vec<f32>,
    g: Geometry,
}

impl Kernels {
    fn new(g: Geometry, weight: &[f32], adjoint: bool) -> Self {
        let mut values = vec![0.0; g.input * Self::stride(&g)];
        values.par_chunks_mut(Self::stride(&g)).enumerate().for_each(|(i, values)| {
            for o in 0..g.output {
                let tap = |a: usize, b: usize| {
                    f64::from(match adjoint {
                        false => weight[((o * g.input + i) * 3 + a) * 3 + b],
                        true => weight[((i * g.output + o) * 3 + 2 - a) * 3 + 2 - b],
                    })
                };
                let columns: [[f64; 4]; 3] =
                    std::array::from_fn(|b| filter([tap(0, b), tap(1, b), tap(2, b)]));
                for a in 0..4 {
                    let row = filter([columns[0][a], columns[1][a], columns[2][a]]);
                    for (b, value) in row.into_iter().enumerate() {
                        values[(4 * a + b) * g.output + o] = value as f32;
                    }
                }
            }
        });
        Self { values, g }
    }

    /// Floats of one input channel.
    fn stride(g: &Geometry) -> usize {
        16 * g.output + LANES
    }

    /// The matrix of one place, `[input, output]`.
    fn place(&self, place: usize) -> MatRef<'_, f32> {
        let Geometry { input, output, .. } = self.g;
        let values = &self.values[place * output..];
        MatRef::from_row_major_slice_with_stride(values, input, output, Self::stride(&self.g))
    }
}

/// `G t`.
fn filter(t: [f64; 3]) -> [f64; 4] {
    [t[0], (t[0] + t[1] + t[2]) / 2.0, (t[0] - t[1] + t[2]) / 2.0, t[2]]
}

/// `Gᵀ u`.
fn filter_transposed(u: [f64; 4]) -> [f64; 3] {
    [u[0] + (u[1] + u[2]) / 2.0, (u[1] - u[2]) / 2.0, (u[1] + u[2]) / 2.0 + u[3]]
}

/// A map with its channels last. What borders it is zero, and stays so.
struct Map {
    values: Vec<f32>,
    /// Floats of a pixel.
    width: usize,
    /// Pixels of zeros on the left and above.
    border: usize,
    /// Pixels of a row.
    across: usize,
}

impl Map {
    /// Room for a map's tiles, with its border on all sides.
    fn new(tiles: &Tiles, channels: usize, border: usize) -> Self {
        let (across, width) = (2 * (tiles.across + border), padded(channels));
        let size = across * 2 * (tiles.down + border) * width;
        Self { values: vec![0.0; size], width, border, across }
    }

    /// Where a row begins.
    fn row(&self, y: usize) -> usize {
        ((y + self.border) * self.across + self.border) * self.width
    }

    /// Take a map `[channels, height, width]`, or what is positive of it; a vector of channels at a time, whose rows are read on side by side.
    fn read(&mut self, tiles: &Tiles, x: &[f32], rectify: bool) {
        let size = tiles.height * tiles.width;
        let none = vec![0.0; size];
        for (block, x) in x.chunks(LANES * size).enumerate() {
            let first = block * LANES;
            let channels: [&[f32]; LANES] =
                std::array::from_fn(|c| x.get(c * size..(c + 1) * size).unwrap_or(&none));
            for y in 0..tiles.height {
                let row = self.row(y);
                let pixels = &mut self.values[row..][..tiles.width * self.width];
                let pixels = pixels.chunks_exact_mut(self.width);
                for (pixel, at) in pixels.zip(y * tiles.width..) {
                    for (value, channel) in pixel[first..][..LANES].iter_mut().zip(channels) {
                        *value = if rectify { positive(channel[at]) } else { channel[at] };
                    }
                }
            }
        }
    }

    /// The map as `[channels, height, width]`.
    fn write(&self, tiles: &Tiles, y: &mut [f32]) {
        let width = self.width;
        let size = tiles.height * tiles.width;
        for (block, y) in y.chunks_mut(SIDE_BY_SIDE * size).enumerate() {
            let (first, channels) = (block * SIDE_BY_SIDE, y.len() / size);
            for line in 0..tiles.height {
                let pixels = &self.values[self.row(line)..][..tiles.width * width];
                for (pixel, at) in pixels.chunks_exact(width).zip(line * tiles.width..) {
                    for (c, value) in pixel[first..][..channels].iter().enumerate() {
                        y[c * size + at] = *value;
                    }
                }
            }
        }
    }
}

/// A matrix for each of the 16 places.
#[derive(Default)]
struct Places {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Places {
    fn resize(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.values.resize(16 * self.stride(), 0.0);
    }

    /// Floats of a row.
    fn width(&self) -> usize {
        padded(self.columns)
    }

    /// Floats from a place to the next.
    fn stride(&self) -> usize {
        self.rows * self.width() + APART
    }

    fn get(&self, place: usize) -> MatRef<'_, f32> {
        let values = &self.values[place * self.stride()..][..self.rows * self.width()];
        MatRef::from_row_major_slice_with_stride(values, self.rows, self.columns, self.width())
    }

    fn get_mut(&mut self, place: usize) -> MatMut<'_, f32> {
        let (stride, width) = (self.stride(), self.width());
        let values = &mut self.values[place * stride..][..self.rows * width];
        // faer 0.24.4 mixes up the strides in the row-major twin of this.
        MatMut::from_column_major_slice_with_stride_mut(values, self.columns, self.rows, width)
            .transpose_mut()
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn input<S: Simd>(simd: S, d: [S::f32s; 4]) -> [S::f32s; 4] {
    [
        simd.sub_f32s(d[0], d[2]),
        simd.add_f32s(d[1], d[2]),
        simd.sub_f32s(d[2], d[1]),
        simd.sub_f32s(d[1], d[3]),
    ]
}

/// `A y`.
#[inline(always)]
fn spread<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 4] {
    [y[0], simd.add_f32s(y[0], y[1]), simd.sub_f32s(y[0], y[1]), simd.neg_f32s(y[1])]
}

/// `Aᵀ m`.
#[inline(always)]
fn output<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]), simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3])]
}

/// `T d Tᵀ` of a tile of N x N.
#[inline(always)]
fn both_ways<V: Copy, const N: usize, const M: usize>(
    d: [[V; N]; N],
    t: impl Fn([V; N]) -> [V; M],
) -> [[V; M]; M] {
    let mut rows = [t(d[0]); N];
    for i in 1..N {
        rows[i] = t(d[i]);
    }
    let mut out = [[rows[0][0]; M]; M];
    for j in 0..M {
        let mut column = [rows[0][j]; N];
        for i in 1..N {
            column[i] = rows[i][j];
        }
        let column = t(column);
        for i in 0..M {
            out[i][j] = column[i];
        }
    }
    out
}

/// What becomes of a map's tiles.
enum Tile {
    /// `Bᵀ d B` of 4x4 pixels.
    Input,
    /// `A y Aᵀ` of 2x2 pixels.
    Spread,
}

/// A map's tiles into rows of the places, from row `first` on. Compiled for each instruction set; what it calls must be inlined for
/// that.
struct Transform<'a> {
    tiles: Tiles,
    tile: Tile,
    map: &'a Map,
    places: &'a mut Places,
    first: usize,
}

impl pulp::WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, tile, map, places, first } = self;
        let vectors = map.width / S::F32_LANES;
        let stride = places.stride() / S::F32_LANES;
        let (from, _) = S::as_simd_f32s(&map.values);
        let (to, _) = S::as_mut_simd_f32s(&mut places.values);
        for t in 0..tiles.count() {
            let (y, x) = (t / tiles.across, t % tiles.across);
            let pixel = |i, j| ((2 * y + i) * map.across + 2 * x + j) * vectors;
            for v in 0..vectors {
                let values = match tile {
                    Tile::Input => {
                        let mut d = [[from[v]; 4]; 4];
                        for i in 0..4 {
                            for j in 0..4 {
                                d[i][j] = from[pixel(i, j) + v];
                            }
                        }
                        both_ways(d, |d| input(simd, d))
                    }
                    Tile::Spread => {
                        let mut y = [[from[v]; 2]; 2];
                        for i in 0..2 {
                            for j in 0..2 {
                                y[i][j] = from[pixel(i, j) + v];
                            }
                        }
                        both_ways(y, |y| spread(simd, y))
                    }
                };
                let at = (first + t) * vectors + v;
                for i in 0..4 {
                    for j in 0..4 {
                        to[(4 * i + j) * stride + at] = values[i][j];
                    }
                }
            }
        }
    }
}

/// Rows of the places, from row `first` on, into a map: `Aᵀ m A`.
struct Restore<'a> {
    tiles: Tiles,
    places: &'a Places,
    first: usize,
    map: &'a mut Map,
}

impl pulp::WithSimd for Restore<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, places, first, map } = self;
        let vectors = map.width / S::F32_LANES;
        let stride = places.stride() / S::F32_LANES;
        let across = map.across;
        let (from, _) = S::as_simd_f32s(&places.values);
        let (to, _) = S::as_mut_simd_f32s(&mut map.values);
        for t in 0..tiles.count() {
            let (y, x) = (t / tiles.across, t % tiles.across);
            for v in 0..vectors {
                let at = (first + t) * vectors + v;
                let mut m = [[from[at]; 4]; 4];
                for i in 0..4 {
                    for j in 0..4 {
                        m[i][j] = from[(4 * i + j) * stride + at];
                    }
                }
                let values = both_ways(m, |m| output(simd, m));
                for i in 0..2 {
                    for j in 0..2 {
                        to[((2 * y + i) * across + 2 * x + j) * vectors + v] = values[i][j];
                    }
                }
            }
        }
    }
}

/// Convolve every sample and hand the map to `finish`, with the sample's number; `g` has the channels of the convolution that is
/// carried out. `rectify`: convolve what is positive of x.
pub(crate) fn convolve(
    g: Geometry,
    x: &[f32],
    weight: &[f32],
    [adjoint, rectify]: [bool; 2],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let tiles = Tiles::new(&g);
    let positions = g.height * g.width;
    let group = tiles.group(g.batch);
    let kernels = Kernels::new(g, weight, adjoint);
    let (in_size, out_size) = (g.input * positions, g.output * positions);
    let mut y = zeros(g.batch * out_size);
    let arch = pulp::Arch::new();
    let scratch = || {
        let maps = [Map::new(&tiles, g.input, 1), Map::new(&tiles, g.output, 0)];
        (maps, Places::default(), Places::default())
    };
    y.par_chunks_mut(group * out_size)
        .zip(x.par_chunks(group * in_size))
        .enumerate()
        .for_each_init(scratch, |([before, after], inputs, products), (number, (y, x))| {
            let rows = x.len() / in_size * tiles.count();
            inputs.resize(rows, g.input);
            products.resize(rows, g.output);
            for (s, x) in x.chunks(in_size).enumerate() {
                before.read(&tiles, x, rectify);
                let first = s * tiles.count();
                arch.dispatch(Transform {
                    tiles,
                    tile: Tile::Input,
                    map: before,
                    places: inputs,
                    first,
                });
            }
            for place in 0..16 {
                let product = products.get_mut(place);
                let (inputs, kernel) = (inputs.get(place), kernels.place(place));
                matmul(product, Accum::Replace, inputs, kernel, 1.0, Par::Seq);
            }
            for (s, y) in y.chunks_mut(out_size).enumerate() {
                arch.dispatch(Restore {
                    tiles,
                    places: products,
                    first: s * tiles.count(),
                    map: after,
                });
                after.write(&tiles, y);
                finish(number * group + s, y);
            }
        });
    y
}

/// Gradients of weight and bias from that of the output, dy. `rectify`: what was convolved is what is positive of x.
pub(crate) fn weight_gradient(
    g: Geometry,
    x: &[f32],
    dy: &[f32],
    rectify: bool,
) -> (Vec<f32>, Vec<f32>) {
    let tiles = Tiles::new(&g);
    let positions = g.height * g.width;
    let group = tiles.group(g.batch);
    let (in_size, out_size) = (g.input * positions, g.output * positions);
    let part = part_size(g.batch);
    let arch = pulp::Arch::new();
    let sums: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(part * in_size)
        .zip(dy.par_chunks(part * out_size))
        .map(|(x, dy)| {
            let mut maps = [Map::new(&tiles, g.input, 1), Map::new(&tiles, g.output, 0)];
            let [mut inputs, mut outputs, mut sum] = [(); 3].map(|()| Places::default());
            sum.resize(g.input, g.output);
            for (x, dy) in x.chunks(group * in_size).zip(dy.chunks(group * out_size)) {
                let rows = x.len() / in_size * tiles.count();
                inputs.resize(rows, g.input);
                outputs.resize(rows, g.output);
                for (s, (x, dy)) in x.chunks(in_size).zip(dy.chunks(out_size)).enumerate() {
                    let first = s * tiles.count();
                    let [before, after] = &mut maps;
                    before.read(&tiles, x, rectify);
                    after.read(&tiles, dy, false);
                    let (map, places) = (&*before, &mut inputs);
                    arch.dispatch(Transform { tiles, tile: Tile::Input, map, places, first });
                    let (map, places) = (&*after, &mut outputs);
                    arch.dispatch(Transform { tiles, tile: Tile::Spread, map, places, first });
                }
                for place in 0..16 {
                    let (x, dy) = (inputs.get(place).transpose(), outputs.get(place));
                    matmul(sum.get_mut(place), Accum::Add, x, dy, 1.0, Par::Seq);
                }
            }
            (sum.values, sum_maps(dy, g.output, positions))
        })
        .collect();
    let (values, db) = sum_parts(sums);
    let total = Places { values, rows: g.input, columns: g.output };
    let mut dw = vec![0.0; g.output * g.input * 9];
    dw.par_chunks_mut(g.input * 9).enumerate().for_each(|(o, dw)| {
        for (i, taps) in dw.chunks_mut(9).enumerate() {
            let at = |place: usize| {
                f64::from(total.values[place * total.stride() + i * total.width() + o])
            };
            let mut u = [[0.0; 4]; 4];
            for place in 0..16 {
                u[place / 4][place % 4] = at(place);
            }
            let values = both_ways(u, filter_transposed);
            for (tap, value) in taps.iter_mut().zip(values.as_flattened()) {
                *tap = *value as f32;
            }
        }
    });
    (dw, db)
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

    /// The weights' gradient as a sum over positions, in f64.
    fn direct_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f64> {
        let (h, w) = (g.height, g.width);
        let mut dw = vec![0.0; g.output * g.input * 9];
        for (k, dw) in dw.iter_mut().enumerate() {
            let (o, i, a, b) = (k / 9 / g.input, k / 9 % g.input, k % 9 / 3, k % 3);
            for (n, y, x_) in (0..g.batch * h * w).map(|p| (p / h / w, p / w % h, p % w)) {
                let (sy, sx) = ((y + a).wrapping_sub(1), (x_ + b).wrapping_sub(1));
                if sy < h && sx < w {
                    *dw += f64::from(dy[((n * g.output + o) * h + y) * w + x_])
                        * f64::from(x[((n * g.input + i) * h + sy) * w + sx]);
                }
            }
        }
        dw
    }

    fn assert_close(got: &[f32], expected: &[f64], what: &str) {
        let largest = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        for (got, expected) in got.iter().zip(expected) {
            let error = (f64::from(*got) - expected).abs() / largest;
            assert!(error < 2e-6, "{what}: off by {error:.1e}");
        }
    }

    const SIZES: [(usize, usize, usize, usize, usize); 5] =
        [(5, 9, 8, 14, 14), (3, 8, 10, 7, 7), (7, 8, 19, 4, 5), (2, 17, 9, 6, 16), (1, 8, 8, 5, 4)];

    #[test]
    fn agrees_with_the_sum_over_taps() {
        for (batch, input, output, height, width) in SIZES {
            let g = Geometry { batch, input, output, height, width, kernel: 3 };
            // The others have too few tiles to be worth it, and are right all the same.
            assert_eq!(pays(&g), batch * Tiles::new(&g).count() >= 96);
            let wave =
                |n: usize, f: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * f).sin()).collect() };
            let x = wave(batch * input * height * width, 0.37);
            let weight = wave(output * input * 9, 0.71);
            for adjoint in [false, true] {
                let expected = direct(&g, &x, &weight, adjoint);
                let got = convolve(g, &x, &weight, [adjoint, false], |_, _| ());
                assert_close(&got, &expected, &format!("{g:?}, adjoint {adjoint}"));
            }
            let dy = wave(batch * output * height * width, 0.53);
            let (dw, _) = weight_gradient(g, &x, &dy, false);
            assert_close(&dw, &direct_gradient(&g, &x, &dy), &format!("{g:?}, gradient"));
        }
    }
}
