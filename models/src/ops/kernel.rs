//! The rational-quadratic spline on the host, several elements at a time: forward, inverse and analytic gradient.
//!
//! Computed in f64 from f32 inputs: sums of bins and flat stretches, whose inverse amplifies rounding by 1/slope, would
//! otherwise cost several digits of the decoder and its Jacobian.
//!
//! Notation of Durkan et al. 2019: knots (x_k, y_k), bin width w, height h, slope s = h/w, derivatives d0 and d1 at the
//! bin's ends, ξ = (x - x_k)/w, θ = ξ(1 - ξ).

// A bin's number names its rows in several tables.
#![allow(clippy::needless_range_loop)]

use super::{
    elementary::{LANES, Lanes, exp, lanes, ln, load, sigmoid, softplus, store},
    spline::{Direction, MIN_BIN, MIN_DERIVATIVE, SplineShape},
};
use pulp::Simd;

/// One sample: its elements and their logits.
#[derive(Clone, Copy)]
pub(crate) struct Sample<'a> {
    /// `[channels, positions]`.
    pub x: &'a [f32],
    /// `[channels, parameters, positions]`.
    pub logits: &'a [f32],
    pub positions: usize,
    pub shape: &'a SplineShape,
    pub direction: Direction,
}

/// Where the parameters of some elements are: in one run for each parameter, or anywhere.
struct Places {
    at: [usize; LANES],
    count: usize,
    run: bool,
}

impl Sample<'_> {
    /// The places of elements from `start` on; where there are too few, the last one is repeated.
    #[inline(always)]
    fn places(&self, start: usize) -> Places {
        let count = LANES.min(self.x.len() - start);
        let mut at = [0; LANES];
        for (l, at) in at.iter_mut().enumerate() {
            let element = start + l.min(count - 1);
            let (channel, position) = (element / self.positions, element % self.positions);
            *at = channel * self.shape.parameters() * self.positions + position;
        }
        Places { at, count, run: at[LANES - 1] == at[0] + LANES - 1 }
    }

    /// Parameter k of these elements.
    #[inline(always)]
    fn logits(&self, places: &Places, k: usize) -> Lanes {
        let logits = &self.logits[k * self.positions..];
        if places.run {
            let logits = &logits[places.at[0]..][..LANES];
            return lanes(|l| f64::from(logits[l]));
        }
        lanes(|l| f64::from(logits[places.at[l]]))
    }

    /// Write gradients of parameter k.
    #[inline(always)]
    fn write(&self, places: &Places, k: usize, values: &Lanes, to: &mut [f32]) {
        let to = &mut to[k * self.positions..];
        if places.run {
            let to = &mut to[places.at[0]..][..LANES];
            to.iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
        } else {
            for (at, value) in places.at[..places.count].iter().zip(values) {
                to[*at] = *value as f32;
            }
        }
    }
}

/// Relative sizes of bins, by bin.
struct Scratch {
    widths: Vec<Lanes>,
    heights: Vec<Lanes>,
}

impl Scratch {
    fn new(shape: &SplineShape) -> Self {
        let [widths, heights] = [(); 2].map(|()| vec![[0.0; LANES]; shape.bins]);
        Self { widths, heights }
    }
}

/// Softmax of `scale · logits`, the parameters from `first` on.
#[inline(always)]
fn softmax(sample: &Sample, places: &Places, first: usize, out: &mut [Lanes]) {
    let scale = sample.shape.logit_scale;
    let mut top = [f64::NEG_INFINITY; LANES];
    for (k, out) in out.iter_mut().enumerate() {
        let logits = sample.logits(places, first + k);
        *out = lanes(|l| logits[l] * scale);
        top = lanes(|l| if out[l] > top[l] { out[l] } else { top[l] });
    }
    let mut sum = [0.0; LANES];
    for out in out.iter_mut() {
        *out = exp(&lanes(|l| out[l] - top[l]));
        sum = lanes(|l| sum[l] + out[l]);
    }
    let inverse = lanes(|l| 1.0 / sum[l]);
    for out in out {
        *out = lanes(|l| out[l] * inverse[l]);
    }
}

/// The bins that elements fall into.
struct Bin {
    /// Their numbers.
    index: Lanes,
    x0: Lanes,
    w: Lanes,
    y0: Lanes,
    h: Lanes,
    /// Logits of the derivatives at both ends; meaningless at the ends of the interval.
    logits: [Lanes; 2],
    d0: Lanes,
    d1: Lanes,
}

/// Fill the scratch with the bins' relative sizes and find the bins of `value`.
#[inline(always)]
fn locate(
    value: &Lanes,
    sample: &Sample,
    places: &Places,
    direction: Direction,
    scratch: &mut Scratch,
) -> Bin {
    let (bins, tail) = (sample.shape.bins, sample.shape.tail);
    softmax(sample, places, 0, &mut scratch.widths);
    softmax(sample, places, bins, &mut scratch.heights);
    let rest = 1.0 - MIN_BIN * bins as f64;
    // Sums of relative sizes first and one scaling after, as in the tensor version.
    let [mut cx, mut cy] = [[0.0; LANES]; 2];
    let [mut left, mut low] = [[-tail; LANES]; 2];
    let zero = [0.0; LANES];
    let mut bin = Bin {
        index: zero,
        x0: left,
        w: zero,
        y0: low,
        h: zero,
        logits: [zero; 2],
        d0: zero,
        d1: zero,
    };
    let mut before = zero;
    for k in 0..bins {
        let (width, height) = (&scratch.widths[k], &scratch.heights[k]);
        cx = lanes(|l| cx[l] + (MIN_BIN + rest * width[l]));
        cy = lanes(|l| cy[l] + (MIN_BIN + rest * height[l]));
        let [mut right, mut high, mut after] = [[tail; LANES], [tail; LANES], zero];
        if k + 1 < bins {
            right = lanes(|l| 2.0 * tail * cx[l] - tail);
            high = lanes(|l| 2.0 * tail * cy[l] - tail);
            after = sample.logits(places, 2 * bins + k);
        }
        let edge = match direction {
            Direction::Forward => &left,
            Direction::Inverse => &low,
        };
        // The last bin that begins at or below the value; edges rise.
        let begins = |l: usize| k == 0 || value[l] >= edge[l];
        let choose = |new: &Lanes, old: &Lanes| lanes(|l| if begins(l) { new[l] } else { old[l] });
        bin = Bin {
            index: choose(&[k as f64; LANES], &bin.index),
            x0: choose(&left, &bin.x0),
            w: choose(&lanes(|l| right[l] - left[l]), &bin.w),
            y0: choose(&low, &bin.y0),
            h: choose(&lanes(|l| high[l] - low[l]), &bin.h),
            logits: [choose(&before, &bin.logits[0]), choose(&after, &bin.logits[1])],
            ..bin
        };
        (left, low, before) = (right, high, after);
    }
    let last = (bins - 1) as f64;
    let [a, b] = [softplus(&bin.logits[0]), softplus(&bin.logits[1])];
    bin.d0 = lanes(|l| if bin.index[l] == 0.0 { 1.0 } else { a[l] + MIN_DERIVATIVE });
    bin.d1 = lanes(|l| if bin.index[l] == last { 1.0 } else { b[l] + MIN_DERIVATIVE });
    bin
}

/// The parts of value and slope at ξ in a bin.
struct Point {
    s: Lanes,
    xi: Lanes,
    theta: Lanes,
    /// `d0 + d1 - 2 s`.
    bend: Lanes,
    /// `s + bend θ`.
    denominator: Lanes,
    /// `s ξ² + d0 θ`: the value is `y0 + h top / denominator`.
    top: Lanes,
    /// `d1 ξ² + 2 s θ + d0 (1 - ξ)²`: the slope is `s² numerator / denominator²`.
    numerator: Lanes,
}

impl Point {
    /// At a value of x or, for the inverse, of y.
    #[inline(always)]
    fn new(value: &Lanes, bin: &Bin, direction: Direction) -> Self {
        let Bin { x0, w, y0, h, d0, d1, .. } = bin;
        let s = lanes(|l| h[l] / w[l]);
        let bend = lanes(|l| d0[l] + d1[l] - 2.0 * s[l]);
        let xi = lanes(|l| match direction {
            Direction::Forward => ((value[l] - x0[l]) / w[l]).clamp(0.0, 1.0),
            Direction::Inverse => {
                let dy = value[l] - y0[l];
                let a = h[l] * (s[l] - d0[l]) + dy * bend[l];
                let b = h[l] * d0[l] - dy * bend[l];
                let c = -s[l] * dy;
                // The true discriminant is positive; rounding can make it negative at a knot (nflows issue 87).
                let discriminant = b * b - 4.0 * a * c;
                let root = if discriminant < 0.0 { 0.0 } else { discriminant }.sqrt();
                (2.0 * c / (-b - root)).clamp(0.0, 1.0)
            }
        });
        let theta = lanes(|l| xi[l] * (1.0 - xi[l]));
        let denominator = lanes(|l| s[l] + bend[l] * theta[l]);
        let top = lanes(|l| s[l] * xi[l] * xi[l] + d0[l] * theta[l]);
        let numerator = lanes(|l| {
            let complement = 1.0 - xi[l];
            d1[l] * xi[l] * xi[l] + 2.0 * s[l] * theta[l] + d0[l] * complement * complement
        });
        Self { s, xi, theta, bend, denominator, top, numerator }
    }

    #[inline(always)]
    fn slope(&self) -> Lanes {
        lanes(|l| {
            let ratio = self.s[l] / self.denominator[l];
            ratio * ratio * self.numerator[l]
        })
    }
}

/// Values and log-derivatives of a sample's splines. A NaN goes through as it came. Compiled for each instruction set; what it calls
/// must be inlined for that.
pub(crate) struct Evaluate<'a> {
    pub sample: Sample<'a>,
    pub value: &'a mut [f32],
    pub log_derivative: &'a mut [f32],
}

impl pulp::WithSimd for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { sample, value, log_derivative } = self;
        let mut scratch = Scratch::new(sample.shape);
        for start in (0..sample.x.len()).step_by(LANES) {
            let places = sample.places(start);
            let x = load(sample.x, start);
            let (y, log) = evaluate(&x, &sample, &places, &mut scratch);
            store(&y, value, start);
            store(&log, log_derivative, start);
        }
    }
}

#[inline(always)]
fn evaluate(x: &Lanes, sample: &Sample, places: &Places, scratch: &mut Scratch) -> (Lanes, Lanes) {
    let direction = sample.direction;
    let bin = locate(x, sample, places, direction, scratch);
    let point = Point::new(x, &bin, direction);
    let log_slope = ln(&point.slope());
    // A NaN is not inside: it passes through and stays visible.
    let inside = |l: usize| x[l].abs() <= sample.shape.tail;
    let keep = |y: &Lanes| lanes(|l| if inside(l) { y[l] } else { x[l] });
    let (y, log) = match direction {
        Direction::Forward => {
            let Point { top, denominator, .. } = point;
            (lanes(|l| bin.y0[l] + bin.h[l] * top[l] / denominator[l]), log_slope)
        }
        Direction::Inverse => {
            (lanes(|l| bin.x0[l] + point.xi[l] * bin.w[l]), lanes(|l| -log_slope[l]))
        }
    };
    (keep(&y), lanes(|l| if inside(l) { log[l] } else { 0.0 }))
}

/// Gradients of `g_value · value + g_log · log_derivative` by a sample's elements and logits.
pub(crate) struct Differentiate<'a> {
    pub sample: Sample<'a>,
    /// What the spline made of x.
    pub output: &'a [f32],
    /// Of the values and of the log-derivatives.
    pub gradients: [&'a [f32]; 2],
    pub dx: &'a mut [f32],
    pub d_logits: &'a mut [f32],
}

impl pulp::WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { sample, output, gradients, dx, d_logits } = self;
        let mut scratch = Scratch::new(sample.shape);
        for start in (0..sample.x.len()).step_by(LANES) {
            let places = sample.places(start);
            let ends = [load(sample.x, start), load(output, start)];
            let upstream = gradients.map(|g| load(g, start));
            let own = gradient(&ends, &upstream, &sample, &places, &mut scratch, d_logits);
            store(&own, dx, start);
        }
    }
}

/// Returns the gradient of x and writes those of the logits.
///
/// The inverse is differentiated through the forward map at its result: with x = f⁻¹(y), dx/dy = 1/f'(x),
/// dx/dθ = -(∂f/∂θ)/f'(x), and the log-derivative is -log f'(x).
#[inline(always)]
fn gradient(
    [input, output]: &[Lanes; 2],
    [g_value, g_log]: &[Lanes; 2],
    sample: &Sample,
    places: &Places,
    scratch: &mut Scratch,
    d_logits: &mut [f32],
) -> Lanes {
    let SplineShape { bins, tail, logit_scale } = *sample.shape;
    // Outside, the map is the identity: nothing of the spline takes part.
    let inside = |l: usize| input[l].abs() <= tail;
    let x = match sample.direction {
        Direction::Forward => input,
        Direction::Inverse => output,
    };
    let x = &lanes(|l| if inside(l) { x[l] } else { 0.0 });
    let bin = locate(x, sample, places, Direction::Forward, scratch);
    let Bin { index, w, h, d0, d1, .. } = &bin;
    let point = Point::new(x, &bin, Direction::Forward);
    let Point { s, xi, theta, bend, denominator, top, numerator } = &point;

    let g_log = lanes(|l| if inside(l) { g_log[l] } else { 0.0 });
    // Derivative of log f' along x, needed to turn the inverse's upstream gradient around.
    let (a, b) = match sample.direction {
        Direction::Forward => (*g_value, g_log),
        Direction::Inverse => {
            let slope = point.slope();
            let a = lanes(|l| {
                let (xi, s) = (xi[l], s[l]);
                let d_numerator = 2.0 * (d1[l] * xi + s * (1.0 - 2.0 * xi) - d0[l] * (1.0 - xi));
                let d_denominator = bend[l] * (1.0 - 2.0 * xi);
                let d_log = d_numerator / numerator[l] - 2.0 * d_denominator / denominator[l];
                -(g_value[l] - g_log[l] * d_log / w[l]) / slope[l]
            });
            (a, lanes(|l| -g_log[l]))
        }
    };
    let a = lanes(|l| if inside(l) { a[l] } else { 0.0 });

    // Reverse sweep of a·f + b·log f'.
    let g_top = lanes(|l| a[l] * h[l] / denominator[l]);
    let g_denominator = lanes(|l| -(g_top[l] * top[l] + 2.0 * b[l]) / denominator[l]);
    let g_numerator = lanes(|l| b[l] / numerator[l]);
    let g_s = lanes(|l| {
        2.0 * b[l] / s[l]
            + g_top[l] * xi[l] * xi[l]
            + g_denominator[l] * (1.0 - 2.0 * theta[l])
            + g_numerator[l] * 2.0 * theta[l]
    });
    let g_d = [
        lanes(|l| {
            let complement = 1.0 - xi[l];
            (g_top[l] + g_denominator[l]) * theta[l] + g_numerator[l] * complement * complement
        }),
        lanes(|l| g_denominator[l] * theta[l] + g_numerator[l] * xi[l] * xi[l]),
    ];
    let g_xi = lanes(|l| {
        let g_theta = g_top[l] * d0[l] + g_denominator[l] * bend[l] + g_numerator[l] * 2.0 * s[l];
        g_top[l] * 2.0 * s[l] * xi[l]
            + g_numerator[l] * 2.0 * (d1[l] * xi[l] - d0[l] * (1.0 - xi[l]))
            + g_theta * (1.0 - 2.0 * xi[l])
    });
    let g_h = lanes(|l| a[l] * top[l] / denominator[l] + g_s[l] / w[l]);
    let g_w = lanes(|l| -(g_s[l] * s[l] + g_xi[l] * xi[l]) / w[l]);
    let own = lanes(|l| g_xi[l] / w[l]);

    // Knots to logits: x_k = 2 tail Σ_{j<k} size_j - tail, size = min + (1 - K min) softmax. The last bin ends at
    // `tail` whatever the sizes say: there w = tail - x0, so its gradient moves to x0.
    let last = (bins - 1) as f64;
    let unit = 2.0 * tail * (1.0 - MIN_BIN * bins as f64) * logit_scale;
    let ends = |left: &Lanes, size: &Lanes| {
        let at_end = |l: usize| index[l] == last;
        let left = lanes(|l| unit * if at_end(l) { left[l] - size[l] } else { left[l] });
        (left, lanes(|l| if at_end(l) { 0.0 } else { unit * size[l] }))
    };
    let (left, size) = ends(&lanes(|l| -own[l]), &g_w);
    spread(&scratch.widths, index, &left, &size, |k, g| sample.write(places, k, g, d_logits));
    let (left, size) = ends(&a, &g_h);
    spread(&scratch.heights, index, &left, &size, |k, g| {
        sample.write(places, bins + k, g, d_logits);
    });
    let g_logits = [0, 1].map(|i| {
        let slope = sigmoid(&bin.logits[i]);
        lanes(|l| g_d[i][l] * slope[l])
    });
    for knot in 1..bins {
        let g = lanes(|l| {
            let left = if index[l] == knot as f64 { g_logits[0][l] } else { 0.0 };
            left + if index[l] + 1.0 == knot as f64 { g_logits[1][l] } else { 0.0 }
        });
        sample.write(places, 2 * bins + knot - 1, &g, d_logits);
    }
    lanes(|l| match sample.direction {
        _ if !inside(l) => g_value[l],
        Direction::Forward => own[l],
        // dx/dy = 1/f'(x), and `a` is minus the upstream gradient times that.
        Direction::Inverse => -a[l],
    })
}

/// Chain rule through the softmax `p`: the left knot collects `g_left` from every bin before `index`, the bin's own size
/// collects `g_size`.
#[inline(always)]
fn spread(
    p: &[Lanes],
    index: &Lanes,
    g_left: &Lanes,
    g_size: &Lanes,
    mut write: impl FnMut(usize, &Lanes),
) {
    let at = |k: usize| {
        lanes(|l| {
            let k = k as f64;
            if k < index[l] {
                g_left[l]
            } else if k == index[l] {
                g_size[l]
            } else {
                0.0
            }
        })
    };
    let mut mean = [0.0; LANES];
    for (k, p) in p.iter().enumerate() {
        let g = at(k);
        mean = lanes(|l| mean[l] + p[l] * g[l]);
    }
    for (k, p) in p.iter().enumerate() {
        let g = at(k);
        write(k, &lanes(|l| p[l] * (g[l] - mean[l])));
    }
}
