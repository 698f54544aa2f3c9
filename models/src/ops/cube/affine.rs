//! The affine map.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments)]

use super::{first_parameter, sigmoid};
use crate::ops::elementwise::{AFFINE_OFFSET, MIN_SCALE};
use cubecl::prelude::*;

/// The scale, and its derivative by s.
#[derive(CubeType)]
struct Scale {
    value: f32,
    slope: f32,
}

#[cube]
fn scale(s: f32) -> Scale {
    let p = sigmoid(s + comptime!(AFFINE_OFFSET as f32));
    Scale { value: p + comptime!(MIN_SCALE as f32), slope: p * (1.0 - p) }
}

/// Values into the first half of `output`, log-derivatives into the second; `sample` elements make a sample.
#[cube(launch)]
pub(super) fn evaluate(
    x: &Array<f32>,
    parameters: &Array<f32>,
    output: &mut Array<f32>,
    sample: usize,
    #[comptime] inverse: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    // All shifts of a sample, then all s.
    let at = first_parameter(i, sample, 2usize);
    let shift = parameters[at];
    let scale = scale(parameters[at + sample]).value;
    if comptime!(inverse) {
        output[i] = (x[i] - shift) / scale;
        output[x.len() + i] = -f32::ln(scale);
    } else {
        output[i] = x[i] * scale + shift;
        output[x.len() + i] = f32::ln(scale);
    }
}

/// Gradients of x and of the parameters, from those of both halves of `output`.
#[cube(launch)]
pub(super) fn differentiate(
    x: &Array<f32>,
    parameters: &Array<f32>,
    output: &Array<f32>,
    gradient: &Array<f32>,
    dx: &mut Array<f32>,
    d_parameters: &mut Array<f32>,
    sample: usize,
    #[comptime] inverse: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= x.len() {
        terminate!();
    }
    let at = first_parameter(i, sample, 2usize);
    let scale = scale(parameters[at + sample]);
    let (g_value, g_log) = (gradient[i], gradient[x.len() + i]);
    if comptime!(inverse) {
        let own = g_value / scale.value;
        dx[i] = own;
        d_parameters[at] = -own;
        d_parameters[at + sample] = -(g_value * output[i] + g_log) / scale.value * scale.slope;
    } else {
        dx[i] = g_value * scale.value;
        d_parameters[at] = g_value;
        d_parameters[at + sample] = (g_value * x[i] + g_log / scale.value) * scale.slope;
    }
}
