//! Extension operations: what a flow needs beyond burn's own operations, fused where a backend can.
//!
//! [`FlowBackend`] follows burn's pattern for custom operations: a trait on top of `Backend` whose methods a backend may
//! override. Every method has a version in plain tensor operations, which runs (and differentiates) anywhere and serves as
//! the oracle in the tests of the fused ones.

mod autodiff;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host;
mod kernel;
mod spline;

use burn::tensor::{Tensor, TensorPrimitive, backend::Backend, ops::FloatTensor};

pub use kernel::MAX_BINS;
pub use spline::{Direction, SplineShape, rq_spline_reference};

/// A backend that can run flows.
///
/// Backends without kernels of their own implement it with an empty block and use the tensor operations:
///
/// ```ignore
/// impl FlowBackend for MyBackend {}
/// ```
pub trait FlowBackend: Backend {
    /// Whether [`spline_fused`](Self::spline_fused) and [`spline_gradient`](Self::spline_gradient) are implemented.
    const FUSED_SPLINE: bool = false;

    /// Elementwise rational-quadratic spline with its log-derivative.
    ///
    /// # Shapes
    /// - x: `[batch, channels, positions]`
    /// - logits: `[batch, channels · (3 bins - 1), positions]`
    /// - output: `[2, batch, channels, positions]`, the mapped values and the log-derivative of the map
    fn spline_fused(
        x: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        shape: SplineShape,
        direction: Direction,
    ) -> FloatTensor<Self> {
        // Backends that set `FUSED_SPLINE` override this; the others never come here.
        let x = Tensor::<Self, 3>::from_primitive(TensorPrimitive::Float(x));
        let logits = Tensor::from_primitive(TensorPrimitive::Float(logits));
        let (y, log_derivative) = rq_spline_reference(x, logits, shape, direction);
        Tensor::<Self, 3>::stack::<4>(vec![y, log_derivative], 0).into_primitive().tensor()
    }

    /// Gradient of a function of [`spline_fused`](Self::spline_fused)'s output with respect to `x` and `logits`.
    ///
    /// # Shapes
    /// - x, logits: as in the forward pass
    /// - output: the forward pass's result; gradient: the upstream gradient, of the same shape
    /// - returns the gradients of x and of logits
    fn spline_gradient(
        _x: FloatTensor<Self>,
        _logits: FloatTensor<Self>,
        _output: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _shape: SplineShape,
        _direction: Direction,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("only backends with FUSED_SPLINE differentiate the spline by hand")
    }
}

/// Elementwise rational-quadratic spline (Durkan et al. 2019, "Neural Spline Flows", arXiv 1906.04032), by the backend's
/// fused operation where it has one.
///
/// # Shapes
/// - x: `[batch, channels, positions]`
/// - logits: `[batch, channels · (3 bins - 1), positions]`: for each channel the `bins` width logits, the `bins` height
///   logits and the `bins - 1` inner derivative logits
/// - returns the mapped values and the log-derivative of the map, both `[batch, channels, positions]`
pub fn rq_spline<B: FlowBackend>(
    x: Tensor<B, 3>,
    logits: Tensor<B, 3>,
    shape: SplineShape,
    direction: Direction,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    if !B::FUSED_SPLINE || x.dtype() != burn::tensor::DType::F32 {
        return rq_spline_reference(x, logits, shape, direction);
    }
    let [batch, channels, positions] = x.dims();
    let both = B::spline_fused(
        x.into_primitive().tensor(),
        logits.into_primitive().tensor(),
        shape,
        direction,
    );
    let both = Tensor::<B, 4>::from_primitive(TensorPrimitive::Float(both));
    let part = |i: usize| both.clone().slice([i..i + 1]).reshape([batch, channels, positions]);
    (part(0), part(1))
}
