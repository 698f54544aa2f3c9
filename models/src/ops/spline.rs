//! The rational-quadratic spline in plain tensor operations.

use burn::tensor::{Tensor, activation::softmax, activation::softplus, backend::Backend};

/// Smallest width and height of a bin, as a fraction of the interval.
pub(crate) const MIN_BIN: f64 = 1e-3;
/// Most bins of a spline.
pub const MAX_BINS: usize = 64;
/// Smallest derivative at a knot.
pub(crate) const MIN_DERIVATIVE: f64 = 1e-3;

/// The fixed numbers of a spline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplineShape {
    /// Number of bins `K`.
    pub bins: usize,
    /// The spline acts on `[-tail, tail]`; outside it is the identity.
    pub tail: f64,
    /// Factor on the width and height logits; couplings use `1 / sqrt(hidden)`, as nflows does.
    pub logit_scale: f64,
}

impl SplineShape {
    /// Parameters of one element: `K` widths, `K` heights, `K - 1` inner derivatives.
    pub fn parameters(&self) -> usize {
        spline_parameters(self.bins)
    }
}

/// Parameters of one element of a spline with `bins` bins.
pub(crate) fn spline_parameters(bins: usize) -> usize {
    3 * bins - 1
}

/// Which way a bijection is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From data to latent.
    Forward,
    /// From latent to data.
    Inverse,
}

/// The spline with its log-derivative, in tensor operations; shapes as in [`elementwise`](super::elementwise).
///
/// The input is clipped into the interval *before* the spline, so that values in the tails cannot put infinities into
/// the gradients of the masked branch.
pub(crate) fn rq_spline<B: Backend>(
    x: Tensor<B, 3>,
    logits: Tensor<B, 3>,
    shape: SplineShape,
    direction: Direction,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let [batch, channels, positions] = x.dims();
    let SplineShape { bins, tail, logit_scale } = shape;
    let logits = logits.reshape([batch, channels, shape.parameters(), positions]).swap_dims(2, 3);
    let part = |from: usize, to: usize| {
        logits.clone().slice([0..batch, 0..channels, 0..positions, from..to])
    };
    let widths = knots(part(0, bins) * logit_scale, tail);
    let heights = knots(part(bins, 2 * bins) * logit_scale, tail);
    let ones = Tensor::ones([batch, channels, positions, 1], &x.device());
    let inner = softplus(part(2 * bins, 3 * bins - 1), 1.0) + MIN_DERIVATIVE;
    let derivatives = Tensor::cat(vec![ones.clone(), inner, ones], 3);

    let outside = x.clone().abs().greater_elem(tail);
    let clipped = x.clone().clamp(-tail, tail).unsqueeze_dim::<4>(3);
    let searched = match direction {
        Direction::Forward => &widths,
        Direction::Inverse => &heights,
    };
    // One-hot over bins: left knot <= x < right knot, the last bin closed on the right.
    let reached = clipped
        .clone()
        .repeat_dim(3, bins - 1)
        .greater_equal(searched.clone().narrow(3, 1, bins - 1))
        .float();
    let first = Tensor::ones([batch, channels, positions, 1], &x.device());
    let last = Tensor::zeros([batch, channels, positions, 1], &x.device());
    let bin = Tensor::cat(vec![first, reached.clone()], 3) - Tensor::cat(vec![reached, last], 3);

    let pick = |table: &Tensor<B, 4>, from: usize| {
        (table.clone().narrow(3, from, bins) * bin.clone()).sum_dim(3)
    };
    let (x0, x1) = (pick(&widths, 0), pick(&widths, 1));
    let (y0, y1) = (pick(&heights, 0), pick(&heights, 1));
    let (d0, d1) = (pick(&derivatives, 0), pick(&derivatives, 1));
    let (w, h) = (x1 - x0.clone(), y1 - y0.clone());
    let s = h.clone() / w.clone();
    let bend = d0.clone() + d1.clone() - s.clone() * 2.0;

    let xi = match direction {
        Direction::Forward => (clipped.clone() - x0.clone()) / w.clone(),
        Direction::Inverse => {
            // Solve a ξ² + b ξ + c = 0 for the root in [0, 1], in the form that does not cancel.
            let dy = clipped.clone() - y0.clone();
            let a = h.clone() * (s.clone() - d0.clone()) + dy.clone() * bend.clone();
            let b = h.clone() * d0.clone() - dy.clone() * bend.clone();
            let c = -(s.clone() * dy);
            // The true discriminant is positive; rounding can make it negative at a knot (nflows issue 87).
            let root = (b.clone().powi_scalar(2) - a * c.clone() * 4.0).clamp_min(0.0).sqrt();
            c * 2.0 / (-b - root)
        }
    };
    let xi = xi.clamp(0.0, 1.0);
    let theta = xi.clone() * (-xi.clone() + 1.0);
    let denominator = s.clone() + bend * theta.clone();
    let slope = s.clone().powi_scalar(2)
        * (d1 * xi.clone().powi_scalar(2)
            + s.clone() * theta.clone() * 2.0
            + d0.clone() * (-xi.clone() + 1.0).powi_scalar(2))
        / denominator.clone().powi_scalar(2);
    let log_slope = slope.log();
    let (y, log_derivative) = match direction {
        Direction::Forward => {
            let y = y0 + h * (s * xi.powi_scalar(2) + d0 * theta) / denominator;
            (y, log_slope)
        }
        Direction::Inverse => (x0 + xi * w, -log_slope),
    };
    let y = y.squeeze_dim::<3>(3).mask_where(outside.clone(), x);
    (y, log_derivative.squeeze_dim::<3>(3).mask_fill(outside, 0.0))
}

/// Knots `[..., K + 1]` from -tail to tail out of the logits `[..., K]` of the bins' sizes.
fn knots<B: Backend>(logits: Tensor<B, 4>, tail: f64) -> Tensor<B, 4> {
    let [batch, channels, positions, bins] = logits.dims();
    let sizes = softmax(logits, 3) * (1.0 - MIN_BIN * bins as f64) + MIN_BIN;
    let edge = Tensor::zeros([batch, channels, positions, 1], &sizes.device());
    let inner = sizes.narrow(3, 0, bins - 1).cumsum(3);
    let inner = inner * (2.0 * tail) - tail;
    Tensor::cat(vec![edge.clone() - tail, inner, edge + tail], 3)
}
