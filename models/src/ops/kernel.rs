//! The rational-quadratic spline of one element on the host: forward, inverse and analytic gradient.
//!
//! Computed in f64 from f32 inputs: sums of bins and flat stretches, whose inverse amplifies rounding by 1/slope, would
//! otherwise cost several digits of the decoder and its Jacobian.
//!
//! Notation of Durkan et al. 2019: knots (x_k, y_k), bin width w, height h, slope s = h/w, derivatives d0 and d1 at the
//! bin's ends, ξ = (x - x_k)/w, θ = ξ(1 - ξ).

use super::spline::{Direction, MIN_BIN, MIN_DERIVATIVE, SplineShape};

/// Most bins that the kernel handles without allocating.
pub const MAX_BINS: usize = 64;

/// The bin that an element falls into, with what the gradient needs again.
struct Bin {
    index: usize,
    x0: f64,
    w: f64,
    y0: f64,
    h: f64,
    d0: f64,
    d1: f64,
}

/// Scratch for one element's parameters.
pub(crate) struct Scratch {
    widths: [f64; MAX_BINS],
    heights: [f64; MAX_BINS],
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { widths: [0.0; MAX_BINS], heights: [0.0; MAX_BINS] }
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Softmax of `scale · logits`, with stride `stride`, into `out`.
fn softmax(logits: &[f32], stride: usize, scale: f64, out: &mut [f64]) {
    let mut top = f64::NEG_INFINITY;
    for (k, o) in out.iter_mut().enumerate() {
        *o = f64::from(logits[k * stride]) * scale;
        top = top.max(*o);
    }
    let mut sum = 0.0;
    for o in out.iter_mut() {
        *o = (*o - top).exp();
        sum += *o;
    }
    let inverse = 1.0 / sum;
    out.iter_mut().for_each(|o| *o *= inverse);
}

/// Derivative at knot `k`; 1 at both ends.
fn derivative(logits: &[f32], stride: usize, bins: usize, k: usize) -> f64 {
    if k == 0 || k == bins {
        1.0
    } else {
        softplus(f64::from(logits[(2 * bins + k - 1) * stride])) + MIN_DERIVATIVE
    }
}

/// Fill the scratch with the bins' relative sizes and find the bin of `value`.
fn locate(
    value: f64,
    logits: &[f32],
    stride: usize,
    shape: &SplineShape,
    direction: Direction,
    scratch: &mut Scratch,
) -> Bin {
    let bins = shape.bins;
    let tail = shape.tail;
    let scale = shape.logit_scale;
    softmax(logits, stride, scale, &mut scratch.widths[..bins]);
    softmax(&logits[bins * stride..], stride, scale, &mut scratch.heights[..bins]);
    let size = |p: f64| MIN_BIN + (1.0 - MIN_BIN * bins as f64) * p;

    let (mut x0, mut y0) = (-tail, -tail);
    // Sums of relative sizes first and one scaling after, as in the tensor version.
    let (mut cx, mut cy) = (0.0f64, 0.0f64);
    for k in 0..bins {
        cx += size(scratch.widths[k]);
        cy += size(scratch.heights[k]);
        let last = k + 1 == bins;
        let x1 = if last { tail } else { 2.0 * tail * cx - tail };
        let y1 = if last { tail } else { 2.0 * tail * cy - tail };
        let right = match direction {
            Direction::Forward => x1,
            Direction::Inverse => y1,
        };
        if value < right || last {
            return Bin {
                index: k,
                x0,
                w: x1 - x0,
                y0,
                h: y1 - y0,
                d0: derivative(logits, stride, bins, k),
                d1: derivative(logits, stride, bins, k + 1),
            };
        }
        (x0, y0) = (x1, y1);
    }
    unreachable!("the last bin takes whatever is left")
}

/// Value and log-derivative of the spline at `x`. A NaN goes through as it came.
pub(crate) fn evaluate(
    x: f64,
    logits: &[f32],
    stride: usize,
    shape: &SplineShape,
    direction: Direction,
    scratch: &mut Scratch,
) -> (f64, f64) {
    // A NaN is not inside: it passes through and stays visible.
    let inside = x.abs() <= shape.tail;
    if !inside {
        return (x, 0.0);
    }
    let Bin { x0, w, y0, h, d0, d1, .. } = locate(x, logits, stride, shape, direction, scratch);
    let s = h / w;
    let bend = d0 + d1 - 2.0 * s;
    let xi = match direction {
        Direction::Forward => (x - x0) / w,
        Direction::Inverse => {
            let dy = x - y0;
            let a = h * (s - d0) + dy * bend;
            let b = h * d0 - dy * bend;
            let c = -s * dy;
            // The true discriminant is positive; rounding can make it negative at a knot (nflows issue 87).
            let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
            2.0 * c / (-b - root)
        }
    };
    let xi = xi.clamp(0.0, 1.0);
    let theta = xi * (1.0 - xi);
    let denominator = s + bend * theta;
    let numerator = d1 * xi * xi + 2.0 * s * theta + d0 * (1.0 - xi) * (1.0 - xi);
    let log_slope = 2.0 * (s / denominator).ln() + numerator.ln();
    match direction {
        Direction::Forward => (y0 + h * (s * xi * xi + d0 * theta) / denominator, log_slope),
        Direction::Inverse => (x0 + xi * w, -log_slope),
    }
}

/// Gradient of `g_value · value + g_log · log_derivative` for one element: returns that of `x` and adds that of the
/// logits into `d_logits` (stride `stride`).
///
/// The inverse is differentiated through the forward map at its result `output`: with x = f⁻¹(y),
/// dx/dy = 1/f'(x), dx/dθ = -(∂f/∂θ)/f'(x), and the log-derivative is -log f'(x).
#[allow(clippy::too_many_arguments)]
pub(crate) fn gradient(
    input: f64,
    output: f64,
    logits: &[f32],
    stride: usize,
    shape: &SplineShape,
    direction: Direction,
    (g_value, g_log): (f64, f64),
    scratch: &mut Scratch,
    d_logits: &mut [f32],
) -> f64 {
    let tail = shape.tail;
    let inside = input.abs() <= tail;
    if !inside {
        return g_value;
    }
    let x = match direction {
        Direction::Forward => input,
        Direction::Inverse => output,
    };
    let bin = locate(x, logits, stride, shape, Direction::Forward, scratch);
    let Bin { index, x0, w, h, d0, d1, .. } = bin;
    let s = h / w;
    let xi = ((x - x0) / w).clamp(0.0, 1.0);
    let theta = xi * (1.0 - xi);
    let bend = d0 + d1 - 2.0 * s;
    let denominator = s + bend * theta;
    let top = s * xi * xi + d0 * theta;
    let numerator = d1 * xi * xi + 2.0 * s * theta + d0 * (1.0 - xi) * (1.0 - xi);
    let slope = (s / denominator).powi(2) * numerator;

    // Derivative of log f' along x, needed to turn the inverse's upstream gradient around.
    let (a, b) = match direction {
        Direction::Forward => (g_value, g_log),
        Direction::Inverse => {
            let d_numerator = 2.0 * (d1 * xi + s * (1.0 - 2.0 * xi) - d0 * (1.0 - xi));
            let d_denominator = bend * (1.0 - 2.0 * xi);
            let d_log = (d_numerator / numerator - 2.0 * d_denominator / denominator) / w;
            let at_x = g_value - g_log * d_log;
            (-at_x / slope, -g_log)
        }
    };

    // Reverse sweep of a·f + b·log f'.
    let mut g_y0 = a;
    let mut g_h = a * top / denominator;
    let g_top = a * h / denominator;
    let g_denominator = -a * h * top / (denominator * denominator) - 2.0 * b / denominator;
    let g_numerator = b / numerator;
    let g_s = 2.0 * b / s
        + g_top * xi * xi
        + g_denominator * (1.0 - 2.0 * theta)
        + g_numerator * 2.0 * theta;
    let g_theta = g_top * d0 + g_denominator * bend + g_numerator * 2.0 * s;
    let g_d0 = g_top * theta + g_denominator * theta + g_numerator * (1.0 - xi) * (1.0 - xi);
    let g_d1 = g_denominator * theta + g_numerator * xi * xi;
    let g_xi = g_top * 2.0 * s * xi
        + g_numerator * 2.0 * (d1 * xi - d0 * (1.0 - xi))
        + g_theta * (1.0 - 2.0 * xi);
    g_h += g_s / w;
    let mut g_w = -g_s * s / w - g_xi * xi / w;
    let mut g_x0 = -g_xi / w;

    // Knots to logits: x_k = 2 tail Σ_{j<k} size_j - tail, size = min + (1 - K min) softmax. The last bin ends at
    // `tail` whatever the sizes say: there w = tail - x0, so its gradient moves to x0.
    let bins = shape.bins;
    if index + 1 == bins {
        g_x0 -= g_w;
        g_w = 0.0;
        g_y0 -= g_h;
        g_h = 0.0;
    }
    let unit = 2.0 * tail * (1.0 - MIN_BIN * bins as f64) * shape.logit_scale;
    spread(&scratch.widths[..bins], index, unit * g_x0, unit * g_w, d_logits, stride);
    spread(
        &scratch.heights[..bins],
        index,
        unit * g_y0,
        unit * g_h,
        &mut d_logits[bins * stride..],
        stride,
    );
    for (k, g) in [(index, g_d0), (index + 1, g_d1)] {
        if k > 0 && k < bins {
            let at = (2 * bins + k - 1) * stride;
            d_logits[at] += (g * sigmoid(f64::from(logits[at]))) as f32;
        }
    }
    match direction {
        Direction::Forward => g_xi / w,
        // dx/dy = 1/f'(x), and `a` is minus the upstream gradient times that.
        Direction::Inverse => -a,
    }
}

/// Chain rule through the softmax `p`: the left knot collects `g_left` from every bin before `index`, the bin's own size
/// collects `g_size`.
fn spread(p: &[f64], index: usize, g_left: f64, g_size: f64, out: &mut [f32], stride: usize) {
    let before: f64 = p[..index].iter().sum();
    let mean = g_left * before + g_size * p[index];
    for (j, &pj) in p.iter().enumerate() {
        let g = match j.cmp(&index) {
            std::cmp::Ordering::Less => g_left,
            std::cmp::Ordering::Equal => g_size,
            std::cmp::Ordering::Greater => 0.0,
        };
        out[j * stride] += (pj * (g - mean)) as f32;
    }
}
