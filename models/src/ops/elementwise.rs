//! Elementwise bijections with parameters for every element.

use super::{
    FlowBackend,
    spline::{Direction, SplineShape, rq_spline},
};
use burn::tensor::{Tensor, TensorPrimitive, activation::sigmoid, backend::Backend};

/// The elementwise map `g(x; θ)` of a coupling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CouplingMap {
    /// Rational-quadratic spline (Durkan et al. 2019, "Neural Spline Flows", arXiv 1906.04032). Channel by channel, its parameters are
    /// the `bins` width logits, the `bins` height logits and the `bins - 1` inner derivative logits.
    RqSpline(SplineShape),
    /// `scale · x + shift` with `scale = sigmoid(s + 2) + 1e-3` (Kingma & Dhariwal 2018, "Glow", arXiv 1807.03039). The parameters are
    /// the shifts of all channels, then s of all channels.
    Affine,
}

/// Added to s before the sigmoid, so that scales start near one.
pub(crate) const AFFINE_OFFSET: f64 = 2.0;
/// Smallest scale.
pub(crate) const MIN_SCALE: f64 = 1e-3;

impl CouplingMap {
    /// Parameters of one element.
    pub fn parameters(&self) -> usize {
        match self {
            CouplingMap::RqSpline(shape) => shape.parameters(),
            CouplingMap::Affine => 2,
        }
    }
}

/// A [`CouplingMap`], by the backend's fused operation where it has one.
///
/// # Shapes
/// - x: `[batch, channels, positions]`
/// - parameters: `[batch, channels · parameters of one element, positions]`
/// - returns the mapped values and the log-derivative of the map, both `[batch, channels, positions]`
pub fn elementwise<B: FlowBackend>(
    x: Tensor<B, 3>,
    parameters: Tensor<B, 3>,
    map: CouplingMap,
    direction: Direction,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    if !B::ELEMENTWISE.takes(&x) {
        return elementwise_reference(x, parameters, map, direction);
    }
    let [batch, channels, positions] = x.dims();
    let [x, parameters] = [x, parameters].map(|t| t.into_primitive().tensor());
    let both = B::elementwise(x, parameters, map, direction);
    let both = Tensor::<B, 4>::from_primitive(TensorPrimitive::Float(both));
    let part = |i: usize| both.clone().narrow(0, i, 1).reshape([batch, channels, positions]);
    (part(0), part(1))
}

/// [`elementwise`] in tensor operations, the fallback and the oracle.
pub fn elementwise_reference<B: Backend>(
    x: Tensor<B, 3>,
    parameters: Tensor<B, 3>,
    map: CouplingMap,
    direction: Direction,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    match map {
        CouplingMap::RqSpline(shape) => rq_spline(x, parameters, shape, direction),
        CouplingMap::Affine => {
            let channels = x.dims()[1];
            let shift = parameters.clone().narrow(1, 0, channels);
            let s = parameters.narrow(1, channels, channels);
            let scale = sigmoid(s + AFFINE_OFFSET) + MIN_SCALE;
            let log_scale = scale.clone().log();
            match direction {
                Direction::Forward => (x * scale + shift, log_scale),
                Direction::Inverse => ((x - shift) / scale, -log_scale),
            }
        }
    }
}
