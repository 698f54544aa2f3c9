//! The rational-quadratic spline; notation and formulas as in the host's kernel.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments, clippy::manual_clamp)]

use super::{first_parameter, sigmoid};
use crate::ops::spline::{MIN_BIN, MIN_DERIVATIVE};
use cubecl::prelude::*;

/// What turns logits into relative sizes of bins: `exp(scale · logit - top) / sum`.
#[derive(CubeType, Clone, Copy)]
struct Softmax {
    scale: f32,
    top: f32,
    sum: f32,
}

/// The softmax of the `bins` logits from `first` on.
#[cube]
fn softmax(
    logits: &Array<f32>,
    first: usize,
    stride: usize,
    scale: f32,
    #[comptime] bins: usize,
) -> Softmax {
    let mut top = logits[first] * scale;
    for k in 1..bins {
        top = f32::max(top, logits[first + k * stride] * scale);
    }
    let mut sum = 0.0f32;
    for k in 0..bins {
        sum += f32::exp(logits[first + k * stride] * scale - top);
    }
    Softmax { scale, top, sum }
}

#[cube]
fn share(logit: f32, softmax: Softmax) -> f32 {
    f32::exp(logit * softmax.scale - softmax.top) / softmax.sum
}

/// The bin that an element falls into.
#[derive(CubeType)]
struct Bin {
    index: usize,
    x0: f32,
    w: f32,
    y0: f32,
    h: f32,
    /// Logits of the derivatives at both ends; meaningless at the ends of the interval.
    left_logit: f32,
    right_logit: f32,
    d0: f32,
    d1: f32,
}

#[cube]
fn softplus(x: f32) -> f32 {
    f32::max(x, 0.0f32) + f32::ln(1.0f32 + f32::exp(-f32::abs(x)))
}

#[cube]
fn locate(
    value: f32,
    logits: &Array<f32>,
    at: usize,
    stride: usize,
    widths: Softmax,
    heights: Softmax,
    tail: f32,
    #[comptime] bins: usize,
    #[comptime] inverse: bool,
) -> Bin {
    let smallest = comptime!(MIN_BIN as f32);
    let rest = comptime!((1.0 - MIN_BIN * bins as f64) as f32);
    let mut cx = 0.0f32;
    let mut cy = 0.0f32;
    let mut left = -tail;
    let mut low = -tail;
    let mut before = 0.0f32;
    let mut index = 0usize;
    let mut x0 = -tail;
    let mut y0 = -tail;
    let mut w = 0.0f32;
    let mut h = 0.0f32;
    let mut left_logit = 0.0f32;
    let mut right_logit = 0.0f32;
    for k in 0..bins {
        cx += smallest + rest * share(logits[at + k * stride], widths);
        cy += smallest + rest * share(logits[at + (bins + k) * stride], heights);
        let mut right = tail;
        let mut high = tail;
        let mut after = 0.0f32;
        if k + 1 < bins {
            right = 2.0f32 * tail * cx - tail;
            high = 2.0f32 * tail * cy - tail;
            after = logits[at + (2 * bins + k) * stride];
        }
        let mut edge = left;
        if comptime!(inverse) {
            edge = low;
        }
        // The last bin that begins at or below the value; edges rise.
        if k == 0 || value >= edge {
            index = k;
            x0 = left;
            y0 = low;
            w = right - left;
            h = high - low;
            left_logit = before;
            right_logit = after;
        }
        left = right;
        low = high;
        before = after;
    }
    let mut d0 = 1.0f32;
    let mut d1 = 1.0f32;
    if index > 0 {
        d0 = softplus(left_logit) + comptime!(MIN_DERIVATIVE as f32);
    }
    if index + 1 < bins {
        d1 = softplus(right_logit) + comptime!(MIN_DERIVATIVE as f32);
    }
    Bin { index, x0, w, y0, h, left_logit, right_logit, d0, d1 }
}

/// The parts of value and slope at ξ in a bin.
#[derive(CubeType)]
struct Point {
    s: f32,
    xi: f32,
    theta: f32,
    bend: f32,
    denominator: f32,
    top: f32,
    numerator: f32,
    slope: f32,
}

/// At a value of x or, for the inverse, of y.
#[cube]
fn point(value: f32, bin: &Bin, #[comptime] inverse: bool) -> Point {
    let s = bin.h / bin.w;
    let bend = bin.d0 + bin.d1 - 2.0f32 * s;
    let mut xi = (value - bin.x0) / bin.w;
    if comptime!(inverse) {
        let dy = value - bin.y0;
        let a = bin.h * (s - bin.d0) + dy * bend;
        let b = bin.h * bin.d0 - dy * bend;
        let c = -s * dy;
        // The true discriminant is positive; rounding can make it negative at a knot (nflows issue 87).
        let root = f32::sqrt(f32::max(b * b - 4.0f32 * a * c, 0.0f32));
        xi = 2.0f32 * c / (-b - root);
    }
    let xi = f32::min(f32::max(xi, 0.0f32), 1.0f32);
    let complement = 1.0f32 - xi;
    let theta = xi * complement;
    let denominator = s + bend * theta;
    let top = s * xi * xi + bin.d0 * theta;
    let numerator = bin.d1 * xi * xi + 2.0f32 * s * theta + bin.d0 * complement * complement;
    let ratio = s / denominator;
    let slope = ratio * ratio * numerator;
    Point { s, xi, theta, bend, denominator, top, numerator, slope }
}

/// Values into the first half of `output`, log-derivatives into the second.
#[cube(launch)]
pub(super) fn evaluate(
    x: &Array<f32>,
    logits: &Array<f32>,
    output: &mut Array<f32>,
    positions: usize,
    tail: f32,
    scale: f32,
    #[comptime] bins: usize,
    #[comptime] inverse: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    let value = x[i];
    // What is not inside, a NaN too, goes through as it came.
    let mut y = value;
    let mut log = 0.0f32;
    if f32::abs(value) <= tail {
        let at = first_parameter(i, positions, comptime!(3 * bins - 1));
        let widths = softmax(logits, at, positions, scale, bins);
        let heights = softmax(logits, at + bins * positions, positions, scale, bins);
        let bin = locate(value, logits, at, positions, widths, heights, tail, bins, inverse);
        let point = point(value, &bin, inverse);
        let log_slope = f32::ln(point.slope);
        if comptime!(inverse) {
            y = bin.x0 + point.xi * bin.w;
            log = -log_slope;
        } else {
            y = bin.y0 + bin.h * point.top / point.denominator;
            log = log_slope;
        }
    }
    output[i] = y;
    output[x.len() + i] = log;
}

/// Gradients of x and of the logits, from those of both halves of `output`.
#[cube(launch)]
pub(super) fn differentiate(
    x: &Array<f32>,
    logits: &Array<f32>,
    output: &Array<f32>,
    gradient: &Array<f32>,
    dx: &mut Array<f32>,
    d_logits: &mut Array<f32>,
    positions: usize,
    tail: f32,
    scale: f32,
    #[comptime] bins: usize,
    #[comptime] inverse: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    let at = first_parameter(i, positions, comptime!(3 * bins - 1));
    let g_value = gradient[i];
    let g_log = gradient[x.len() + i];
    if f32::abs(x[i]) <= tail {
        let mut value = x[i];
        if comptime!(inverse) {
            value = output[i];
        }
        let widths = softmax(logits, at, positions, scale, bins);
        let heights = softmax(logits, at + bins * positions, positions, scale, bins);
        let bin = locate(value, logits, at, positions, widths, heights, tail, bins, false);
        let point = point(value, &bin, false);
        let (s, xi, theta) = (point.s, point.xi, point.theta);
        let (bend, denominator, top) = (point.bend, point.denominator, point.top);
        let numerator = point.numerator;
        let complement = 1.0f32 - xi;

        let mut a = g_value;
        let mut b = g_log;
        if comptime!(inverse) {
            let d_numerator =
                2.0f32 * (bin.d1 * xi + s * (1.0f32 - 2.0f32 * xi) - bin.d0 * complement);
            let d_denominator = bend * (1.0f32 - 2.0f32 * xi);
            let d_log = d_numerator / numerator - 2.0f32 * d_denominator / denominator;
            a = -(g_value - g_log * d_log / bin.w) / point.slope;
            b = -g_log;
        }

        let g_top = a * bin.h / denominator;
        let g_denominator = -(g_top * top + 2.0f32 * b) / denominator;
        let g_numerator = b / numerator;
        let g_s = 2.0f32 * b / s
            + g_top * xi * xi
            + g_denominator * (1.0f32 - 2.0f32 * theta)
            + g_numerator * 2.0f32 * theta;
        let g_theta = g_top * bin.d0 + g_denominator * bend + g_numerator * 2.0f32 * s;
        let g_xi = g_top * 2.0f32 * s * xi
            + g_numerator * 2.0f32 * (bin.d1 * xi - bin.d0 * complement)
            + g_theta * (1.0f32 - 2.0f32 * xi);
        let own = g_xi / bin.w;
        if comptime!(inverse) {
            dx[i] = -a;
        } else {
            dx[i] = own;
        }

        let unit = 2.0f32 * tail * scale * comptime!((1.0 - MIN_BIN * bins as f64) as f32);
        let mut g_w = -(g_s * s + g_xi * xi) / bin.w;
        let mut g_h = a * top / denominator + g_s / bin.w;
        let mut g_left = -own;
        let mut g_low = a;
        // The last bin ends at the tail whatever the sizes say.
        if bin.index + 1 == bins {
            g_left -= g_w;
            g_w = 0.0f32;
            g_low -= g_h;
            g_h = 0.0f32;
        }
        let end = bin.index;
        spread(logits, d_logits, at, positions, widths, end, unit * g_left, unit * g_w, bins);
        let second = at + bins * positions;
        spread(logits, d_logits, second, positions, heights, end, unit * g_low, unit * g_h, bins);

        let g_d0 = (g_top + g_denominator) * theta + g_numerator * complement * complement;
        let g_d1 = g_denominator * theta + g_numerator * xi * xi;
        let third = second + bins * positions;
        for knot in 1..bins {
            let mut g = 0.0f32;
            if knot == end {
                g += g_d0 * sigmoid(bin.left_logit);
            }
            if knot == end + 1 {
                g += g_d1 * sigmoid(bin.right_logit);
            }
            d_logits[third + (knot - 1) * positions] = g;
        }
    } else {
        dx[i] = g_value;
        for k in 0..comptime!(3 * bins - 1) {
            d_logits[at + k * positions] = 0.0f32;
        }
    }
}

/// Chain rule through the softmax: the left knot collects `g_left` from every bin before `end`, the bin's own size collects
/// `g_size`.
#[cube]
fn spread(
    logits: &Array<f32>,
    d_logits: &mut Array<f32>,
    at: usize,
    stride: usize,
    softmax: Softmax,
    end: usize,
    g_left: f32,
    g_size: f32,
    #[comptime] bins: usize,
) {
    let mut mean = 0.0f32;
    for k in 0..bins {
        if k <= end {
            let mut g = g_left;
            if k == end {
                g = g_size;
            }
            mean += g * share(logits[at + k * stride], softmax);
        }
    }
    for k in 0..bins {
        let mut g = 0.0f32;
        if k < end {
            g = g_left;
        }
        if k == end {
            g = g_size;
        }
        d_logits[at + k * stride] = share(logits[at + k * stride], softmax) * (g - mean);
    }
}
