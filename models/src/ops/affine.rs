//! The affine map of every element by parameters of its own, on the host.

use super::{
    elementary::{LANES, Lanes, lanes, ln, load, sigmoid, store},
    elementwise::{AFFINE_OFFSET, MIN_SCALE},
    spline::Direction,
};
use pulp::Simd;

/// The affine [`CouplingMap`](super::CouplingMap) on one sample, with log-derivatives. Compiled for each instruction set; what it
/// calls must be inlined for that.
pub(crate) struct Evaluate<'a> {
    pub x: &'a [f32],
    /// All shifts, then all s.
    pub parameters: &'a [f32],
    pub direction: Direction,
    pub value: &'a mut [f32],
    pub log_derivative: &'a mut [f32],
}

impl pulp::WithSimd for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, parameters, direction, value, log_derivative } = self;
        let (shifts, logits) = parameters.split_at(x.len());
        for start in (0..x.len()).step_by(LANES) {
            let [x, shift] = [load(x, start), load(shifts, start)];
            let (scale, _) = scale(&load(logits, start));
            let log = ln(&scale);
            let (y, log) = match direction {
                Direction::Forward => (lanes(|l| x[l] * scale[l] + shift[l]), log),
                Direction::Inverse => (lanes(|l| (x[l] - shift[l]) / scale[l]), lanes(|l| -log[l])),
            };
            store(&y, value, start);
            store(&log, log_derivative, start);
        }
    }
}

/// The scale, and its derivative by s.
#[inline(always)]
fn scale(s: &Lanes) -> (Lanes, Lanes) {
    let p = sigmoid(&lanes(|l| s[l] + AFFINE_OFFSET));
    (lanes(|l| p[l] + MIN_SCALE), lanes(|l| p[l] * (1.0 - p[l])))
}

/// Gradients of `g_value · value + g_log · log_derivative` by one sample's elements and parameters.
pub(crate) struct Differentiate<'a> {
    pub x: &'a [f32],
    pub parameters: &'a [f32],
    pub direction: Direction,
    /// What the map made of x.
    pub output: &'a [f32],
    /// Of the values and of the log-derivatives.
    pub gradients: [&'a [f32]; 2],
    pub dx: &'a mut [f32],
    pub d_parameters: &'a mut [f32],
}

impl pulp::WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, parameters, direction, output, gradients, dx, d_parameters } = self;
        let logits = &parameters[x.len()..];
        let (d_shifts, d_logits) = d_parameters.split_at_mut(x.len());
        for start in (0..x.len()).step_by(LANES) {
            let [x, y] = [load(x, start), load(output, start)];
            let [g_value, g_log] = gradients.map(|g| load(g, start));
            let (scale, slope) = scale(&load(logits, start));
            let (own, shift, by_scale) = match direction {
                Direction::Forward => (
                    lanes(|l| g_value[l] * scale[l]),
                    g_value,
                    lanes(|l| g_value[l] * x[l] + g_log[l] / scale[l]),
                ),
                Direction::Inverse => {
                    let own = lanes(|l| g_value[l] / scale[l]);
                    (own, lanes(|l| -own[l]), lanes(|l| -(g_value[l] * y[l] + g_log[l]) / scale[l]))
                }
            };
            store(&own, dx, start);
            store(&shift, d_shifts, start);
            store(&lanes(|l| by_scale[l] * slope[l]), d_logits, start);
        }
    }
}
