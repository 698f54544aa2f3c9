//! Convolutions and matrix products as one tiled product in shared memory, which gathers a convolution's columns on the way.
//!
//! In f32 throughout. burn's own matrix products and its fast convolutions round their factors to TF32 on CUDA (11 bits): too coarse for
//! densities, whose terms nearly cancel, and for spectra that span many decades.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments)]

use super::empty;
use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

/// Rows, columns and depth of a tile.
const ROWS: usize = 64;
const COLUMNS: usize = 128;
const DEPTH: usize = 16;
/// Threads of a tile, and rows and columns of each: consecutive rows, columns that are [`LANES`] apart.
const THREADS: usize = 256;
const LANES: usize = 32;
const OWN_ROWS: usize = ROWS * LANES / THREADS;
const OWN_COLUMNS: usize = COLUMNS / LANES;
/// A row more than a tile has, so that threads which write a column of it meet different banks.
const PITCH: usize = ROWS + 1;
/// Tiles that keep a card busy, and the least depth for which a sum is split to have as many. Both are fixed: the result does not
/// depend on the card.
const TILES: usize = 256;
const SHORTEST_PART: usize = 128;

/// What is multiplied: `left [rows, depth] · right [depth, columns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Factors {
    /// A weight `[rows, channels · taps]` and what its taps see of x `[batch, channels, height, width]`.
    Forward,
    /// The same weight turned around, `[channels, rows, taps]` with its taps in the other order.
    Adjoint,
    /// A gradient `[batch, rows, height, width]` and what the taps see of x.
    Weight,
    /// Matrices `[count, rows, depth]` and `[count, depth, columns]`.
    Matrices,
}

/// The sizes of a product.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    columns: usize,
    depth: usize,
    /// Matrices, or parts that the depth is split into.
    layers: usize,
}

impl Sizes {
    /// With the depth split where there are few tiles.
    fn split(rows: usize, columns: usize, depth: usize) -> Self {
        let tiles = rows.div_ceil(ROWS) * columns.div_ceil(COLUMNS);
        let layers = (TILES / tiles.max(1)).clamp(1, (depth / SHORTEST_PART).max(1));
        Self { rows, columns, depth, layers }
    }
}

/// A convolution, of x or of what is positive of it, or its adjoint: `[batch, rows, height, width]`, without bias.
pub(super) fn convolve<R: CubeRuntime>(
    x: CubeTensor<R>,
    weight: CubeTensor<R>,
    factors: Factors,
    rectify: bool,
) -> CubeTensor<R> {
    let [batch, channels, height, width] = x.meta.shape().dims();
    let [output, input, kernel, _] = weight.meta.shape().dims();
    let rows = if factors == Factors::Adjoint { input } else { output };
    let sizes = Sizes::split(rows, batch * height * width, channels * kernel * kernel);
    let map = Map { channels, height, width, kernel };
    let y = launch(weight, x, factors, sizes, map, rectify);
    summed(y, [batch, rows, height, width].into())
}

/// The gradient of the weight `[rows, channels, kernel, kernel]` from that of the output.
pub(super) fn weight_gradient<R: CubeRuntime>(
    x: CubeTensor<R>,
    gradient: CubeTensor<R>,
    kernel: usize,
    rectify: bool,
) -> CubeTensor<R> {
    let [batch, channels, height, width] = x.meta.shape().dims();
    let rows = gradient.meta.shape()[1];
    let sizes = Sizes::split(rows, channels * kernel * kernel, batch * height * width);
    let map = Map { channels, height, width, kernel };
    let weight = launch(gradient, x, Factors::Weight, sizes, map, rectify);
    summed(weight, [rows, channels, kernel, kernel].into())
}

/// Products of matrices `[count, rows, depth]` and `[count, depth, columns]`.
pub(super) fn matrices<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>) -> CubeTensor<R> {
    let [layers, rows, depth] = a.meta.shape().dims();
    let columns = b.meta.shape()[2];
    let sizes = Sizes { rows, columns, depth, layers };
    let map = Map { channels: 1, height: 1, width: 1, kernel: 1 };
    let y = launch(a, b, Factors::Matrices, sizes, map, false);
    CubeTensor::new_contiguous(
        y.client,
        y.device,
        [layers, rows, columns].into(),
        y.handle,
        y.dtype,
    )
}

/// What a convolution's taps move over.
#[derive(Clone, Copy)]
struct Map {
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
}

/// `[layers, rows · columns]`.
fn launch<R: CubeRuntime>(
    left: CubeTensor<R>,
    right: CubeTensor<R>,
    factors: Factors,
    sizes: Sizes,
    map: Map,
    rectify: bool,
) -> CubeTensor<R> {
    let [left, right] = [left, right].map(into_contiguous);
    let Sizes { rows, columns, depth, layers } = sizes;
    let output = empty(&left, [layers, rows * columns]);
    let part = match factors {
        Factors::Matrices => depth,
        _ => depth.div_ceil(layers).next_multiple_of(DEPTH),
    };
    let tiles = [columns.div_ceil(COLUMNS), rows.div_ceil(ROWS), layers].map(|n| n as u32);
    let client = left.client.clone();
    multiply::launch::<R>(
        &client,
        CubeCount::Static(tiles[0], tiles[1], tiles[2]),
        CubeDim::new_1d(THREADS as u32),
        left.into_array_arg(),
        right.into_array_arg(),
        output.clone().into_array_arg(),
        rows,
        columns,
        depth,
        part,
        map.channels,
        map.height,
        map.width,
        map.kernel,
        factors,
        rectify,
    );
    output
}

/// The parts of a sum added up, in this shape.
fn summed<R: CubeRuntime>(parts: CubeTensor<R>, shape: Shape) -> CubeTensor<R> {
    let [layers, values] = parts.meta.shape().dims();
    let mut y = parts;
    if layers > 1 {
        let total = empty(&y, [values]);
        let (client, count, dim) = super::work(&total);
        let out = total.clone().into_array_arg();
        add_up::launch::<R>(&client, count, dim, y.into_array_arg(), out, layers);
        y = total;
    }
    CubeTensor::new_contiguous(y.client, y.device, shape, y.handle, y.dtype)
}

/// `output[i] = Σ_part parts[part, i]`, always in the same order.
#[cube(launch)]
fn add_up(parts: &Array<f32>, output: &mut Array<f32>, count: usize) {
    let i = ABSOLUTE_POS;
    if i >= output.len() {
        terminate!();
    }
    let mut sum = 0.0f32;
    for part in 0..count {
        sum += parts[part * output.len() + i];
    }
    output[i] = sum;
}

/// Where a position of the batch is.
#[derive(CubeType, Clone, Copy)]
struct Place {
    sample: usize,
    y: usize,
    x: usize,
}

#[cube]
fn place(position: usize, height: usize, width: usize) -> Place {
    let within = position % (height * width);
    Place { sample: position / (height * width), y: within / width, x: within % width }
}

/// What tap `depth % kernel²` of channel `depth / kernel²` sees at a place.
#[cube]
fn seen(
    map: &Array<f32>,
    at: Place,
    depth: usize,
    channels: usize,
    height: usize,
    width: usize,
    #[comptime] kernel: usize,
    #[comptime] rectify: bool,
) -> f32 {
    let pad = comptime!(kernel / 2);
    let tap = depth % comptime!(kernel * kernel);
    // Beyond the padding.
    let y = at.y + tap / kernel;
    let x = at.x + tap % kernel;
    let mut value = 0.0f32;
    if y >= pad && y < height + pad && x >= pad && x < width + pad {
        let channel = at.sample * channels + depth / comptime!(kernel * kernel);
        value = map[(channel * height + y - pad) * width + x - pad];
    }
    if comptime!(rectify) {
        // Not the larger of it and zero: a NaN is to stay one.
        if value <= 0.0f32 {
            value = 0.0f32;
        }
    }
    value
}

/// A tile of the product: `[layers, rows, columns]`, or of a convolution `[layers, batch, rows, positions]`.
#[cube(launch)]
fn multiply(
    left: &Array<f32>,
    right: &Array<f32>,
    output: &mut Array<f32>,
    rows: usize,
    columns: usize,
    depth: usize,
    part: usize,
    channels: usize,
    height: usize,
    width: usize,
    #[comptime] kernel: usize,
    #[comptime] factors: Factors,
    #[comptime] rectify: bool,
) {
    let unit = UNIT_POS as usize;
    let first_column = CUBE_POS_X as usize * COLUMNS;
    let first_row = CUBE_POS_Y as usize * ROWS;
    let layer = CUBE_POS_Z as usize;
    let positions = height * width;
    let is_weight = comptime!(factors == Factors::Weight);
    let is_adjoint = comptime!(factors == Factors::Adjoint);
    let is_matrices = comptime!(factors == Factors::Matrices);

    let mut at = 0usize;
    let mut end = depth;
    if comptime!(!is_matrices) {
        at = layer * part;
        end = usize::min(at + part, depth);
    }

    let mut tile_left = SharedMemory::<f32>::new(comptime!(DEPTH * PITCH));
    let mut tile_right = SharedMemory::<f32>::new(comptime!(DEPTH * COLUMNS));
    let mut sums = Array::<f32>::new(comptime!(OWN_ROWS * OWN_COLUMNS));
    #[unroll]
    for i in 0..comptime!(OWN_ROWS * OWN_COLUMNS) {
        sums[i] = 0.0f32;
    }

    // A thread fills the same column of a tile at every step, or in a weight's gradient the same depth.
    let own = place(first_column + unit % COLUMNS, height, width);
    while at < end {
        if comptime!(is_adjoint) {
            #[unroll]
            for i in 0..comptime!(ROWS * DEPTH / THREADS) {
                let element = unit + i * THREADS;
                let (r, k) = (element % ROWS, element / ROWS);
                let (row, d) = (first_row + r, at + k);
                let mut value = 0.0f32;
                if row < rows && d < end {
                    let taps = comptime!(kernel * kernel);
                    let turned = taps - 1 - d % taps;
                    value = left[(d / taps * rows + row) * taps + turned];
                }
                tile_left[k * PITCH + r] = value;
            }
        } else {
            let k = unit % DEPTH;
            let d = at + k;
            #[unroll]
            for i in 0..comptime!(ROWS * DEPTH / THREADS) {
                let r = unit / DEPTH + i * comptime!(THREADS / DEPTH);
                let row = first_row + r;
                let mut value = 0.0f32;
                if row < rows && d < end {
                    if comptime!(is_weight) {
                        value = left[(d / positions * rows + row) * positions + d % positions];
                    } else if comptime!(is_matrices) {
                        value = left[(layer * rows + row) * depth + d];
                    } else {
                        value = left[row * depth + d];
                    }
                }
                tile_left[k * PITCH + r] = value;
            }
        }
        if comptime!(is_weight) {
            let k = unit % DEPTH;
            let d = at + k;
            let here = place(d, height, width);
            #[unroll]
            for i in 0..comptime!(COLUMNS * DEPTH / THREADS) {
                let c = unit / DEPTH + i * comptime!(THREADS / DEPTH);
                let column = first_column + c;
                let mut value = 0.0f32;
                if column < columns && d < end {
                    value = seen(right, here, column, channels, height, width, kernel, rectify);
                }
                tile_right[k * COLUMNS + c] = value;
            }
        } else {
            let c = unit % COLUMNS;
            let column = first_column + c;
            #[unroll]
            for i in 0..comptime!(COLUMNS * DEPTH / THREADS) {
                let k = unit / COLUMNS + i * comptime!(THREADS / COLUMNS);
                let d = at + k;
                let mut value = 0.0f32;
                if column < columns && d < end {
                    if comptime!(is_matrices) {
                        value = right[(layer * depth + d) * columns + column];
                    } else {
                        value = seen(right, own, d, channels, height, width, kernel, rectify);
                    }
                }
                tile_right[k * COLUMNS + c] = value;
            }
        }
        sync_cube();
        let own_row = unit / LANES * OWN_ROWS;
        for k in 0..comptime!(DEPTH) {
            let mut row = Array::<f32>::new(OWN_ROWS);
            #[unroll]
            for i in 0..comptime!(OWN_ROWS) {
                row[i] = tile_left[k * PITCH + own_row + i];
            }
            #[unroll]
            for j in 0..comptime!(OWN_COLUMNS) {
                let value = tile_right[k * COLUMNS + unit % LANES + j * LANES];
                #[unroll]
                for i in 0..comptime!(OWN_ROWS) {
                    sums[i * OWN_COLUMNS + j] += row[i] * value;
                }
            }
        }
        sync_cube();
        at += DEPTH;
    }

    #[unroll]
    for j in 0..comptime!(OWN_COLUMNS) {
        let column = first_column + unit % LANES + j * LANES;
        let to = place(column, height, width);
        #[unroll]
        for i in 0..comptime!(OWN_ROWS) {
            let row = first_row + unit / LANES * OWN_ROWS + i;
            if row < rows && column < columns {
                let first = layer * rows * columns;
                if comptime!(is_weight || is_matrices) {
                    output[first + row * columns + column] = sums[i * OWN_COLUMNS + j];
                } else {
                    let channel = to.sample * rows + row;
                    let within = to.y * width + to.x;
                    output[first + channel * positions + within] = sums[i * OWN_COLUMNS + j];
                }
            }
        }
    }
}
