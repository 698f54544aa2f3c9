//! Extension operations: what a flow needs beyond burn's own operations, fused where a backend can.
//!
//! [`FlowBackend`] follows burn's pattern for custom operations: a trait on top of `Backend` whose methods a backend may
//! override. Every method has a version in plain tensor operations, which runs (and differentiates) anywhere and serves as
//! the oracle in the tests of the fused ones.

mod adam_w;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod affine;
mod autodiff;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod conv;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod elementary;
mod elementwise;
mod forward;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod kernel;
mod spline;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod winograd;

use burn::tensor::{
    DType, Tensor, TensorPrimitive,
    backend::Backend,
    module::conv2d,
    ops::{ConvOptions, FloatTensor},
};

pub use adam_w::AdamWStep;
pub use elementwise::{CouplingMap, elementwise, elementwise_reference};
pub(crate) use spline::spline_parameters;
pub use spline::{Direction, MAX_BINS, SplineShape};

/// How far a backend implements operations itself. What it does not, tensor operations do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fused {
    /// Not at all.
    No,
    /// Their values.
    Values,
    /// Their gradients too, which differentiation in either mode needs.
    Gradients,
}

impl Fused {
    /// Whether they are, for this tensor.
    fn takes<B: Backend, const D: usize>(self, x: &Tensor<B, D>) -> bool {
        self != Fused::No && x.dtype() == DType::F32
    }

    /// How far they are implemented on a backend that differentiates this one.
    const fn differentiated(self) -> Self {
        match self {
            Fused::Gradients => Fused::Values,
            Fused::Values | Fused::No => Fused::No,
        }
    }
}

/// A backend that can run flows.
///
/// Backends without kernels of their own implement it with an empty block and use the tensor operations:
///
/// ```ignore
/// impl FlowBackend for MyBackend {}
/// ```
pub trait FlowBackend: Backend {
    /// How far [`elementwise`](Self::elementwise) is implemented, for f32 tensors.
    const ELEMENTWISE: Fused = Fused::No;

    /// How far the other operations are implemented, for f32 tensors.
    const LAYERS: Fused = Fused::No;

    /// An elementwise map with its log-derivative.
    ///
    /// # Shapes
    /// - x: `[batch, channels, positions]`
    /// - parameters: `[batch, channels · parameters of one element, positions]`
    /// - output: `[2, batch, channels, positions]`, the mapped values and the log-derivative of the map
    fn elementwise(
        _x: FloatTensor<Self>,
        _parameters: FloatTensor<Self>,
        _map: CouplingMap,
        _direction: Direction,
    ) -> FloatTensor<Self> {
        unreachable!("only where it is fused")
    }

    /// Gradients of x and of the parameters, from that of [`elementwise`](Self::elementwise)'s output.
    fn elementwise_gradient(
        _x: FloatTensor<Self>,
        _parameters: FloatTensor<Self>,
        _output: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _map: CouplingMap,
        _direction: Direction,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("only where it is fused")
    }

    /// `x · scale + shift`, one scale and one shift for each channel.
    ///
    /// # Shapes
    /// - x, output: `[batch, channels, height, width]`
    /// - scale, shift: `[channels]`
    fn channel_affine(
        _x: FloatTensor<Self>,
        _scale: FloatTensor<Self>,
        _shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("only where it is fused")
    }

    /// Gradients of scale and shift, from that of [`channel_affine`](Self::channel_affine)'s output.
    fn channel_affine_gradient(
        _x: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        unreachable!("only where gradients are fused")
    }

    /// Convolution with stride 1 and zero padding that keeps the map's size, of x or, with `rectify`, of what is positive of it; plus
    /// `skip`, if there is one.
    ///
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - weight: `[out, in, kernel, kernel]`, the kernel's side odd; bias: `[out]`
    /// - skip, output: `[batch, out, height, width]`
    fn conv(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _bias: FloatTensor<Self>,
        _skip: Option<FloatTensor<Self>>,
        _rectify: bool,
    ) -> FloatTensor<Self> {
        unreachable!("only where it is fused")
    }

    /// The linear part of [`conv`](Self::conv): no bias.
    ///
    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - weight: `[out, in, kernel, kernel]`
    fn conv_product(_x: FloatTensor<Self>, _weight: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("only where gradients are fused")
    }

    /// The adjoint of [`conv_product`](Self::conv_product), which is the gradient of x: from cotangents of the output to cotangents
    /// of the input. They pass only where `rectified`, the x that was rectified, is positive, if it is given.
    ///
    /// # Shapes
    /// - gradient: `[batch, out, height, width]`
    /// - weight: `[out, in, kernel, kernel]`
    /// - rectified, output: `[batch, in, height, width]`
    fn conv_adjoint(
        _gradient: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _rectified: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        unreachable!("only where gradients are fused")
    }

    /// `x · factor`, the factor of each sample of a batch repeated over all directions.
    ///
    /// # Shapes
    /// - x: `[count · batch, channels, height, width]`
    /// - factor: `[batch, channels, height, width]`
    fn tiled(_x: FloatTensor<Self>, _factor: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("only where gradients are fused")
    }

    /// A step of AdamW: the parameter and its two moments after it.
    ///
    /// # Shapes
    /// - all: any, the same
    fn adam_w(
        _parameter: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _moments: [FloatTensor<Self>; 2],
        _step: AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        unreachable!("only where gradients are fused")
    }

    /// The sum of the squares of all values of all tensors.
    fn sum_of_squares(_tensors: Vec<FloatTensor<Self>>) -> f64 {
        unreachable!("only where gradients are fused")
    }

    /// Products of matrices, to the precision of their numbers (CUDA's usual products have less).
    ///
    /// # Shapes
    /// - a: `[count, rows, depth]`; b: `[count, depth, columns]`
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// Gradients of weight and bias, from that of [`conv`](Self::conv)'s output; `kernel` is the kernel's side.
    fn conv_weight_gradient(
        _x: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _kernel: usize,
        _rectify: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("only where it is fused")
    }
}

/// Whether the fused operations that do not differentiate take this tensor.
pub fn is_fused_inner<B: FlowBackend, const D: usize>(x: &Tensor<B, D>) -> bool {
    B::LAYERS == Fused::Gradients && x.dtype() == DType::F32
}

/// The sum of the squares of all values of tensors that [`is_fused_inner`] takes, in f64; read back once for all of them. Not differentiable.
pub fn sum_of_squares<B: FlowBackend>(tensors: Vec<FloatTensor<B>>) -> f64 {
    B::sum_of_squares(tensors)
}

/// Products of matrices, to the precision of their numbers. Not differentiable with that precision.
///
/// # Shapes
/// - a: `[count, rows, depth]`; b: `[count, depth, columns]`
/// - output: `[count, rows, columns]`
pub fn product<B: FlowBackend>(a: Tensor<B, 3>, b: Tensor<B, 3>) -> Tensor<B, 3> {
    let [a, b] = [a, b].map(|t| t.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(B::product(a, b)))
}

/// Whether the fused operations take this tensor.
fn is_fused<B: FlowBackend, const D: usize>(x: &Tensor<B, D>) -> bool {
    B::LAYERS.takes(x)
}

/// `x · scale + shift`, one scale and one shift for each channel, by the backend's fused operation where it has one.
///
/// # Shapes
/// - x, output: `[batch, channels, height, width]`
/// - scale, shift: `[channels]`
pub fn channel_affine<B: FlowBackend>(
    x: Tensor<B, 4>,
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
) -> Tensor<B, 4> {
    if !is_fused(&x) {
        return channel_affine_reference(x, scale, shift);
    }
    let [scale, shift] = [scale, shift].map(|t| t.into_primitive().tensor());
    let y = B::channel_affine(x.into_primitive().tensor(), scale, shift);
    Tensor::from_primitive(TensorPrimitive::Float(y))
}

/// [`channel_affine`] in tensor operations, the fallback and the oracle.
pub fn channel_affine_reference<B: Backend>(
    x: Tensor<B, 4>,
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
) -> Tensor<B, 4> {
    let [scale, shift] = [scale, shift].map(|t| {
        let [c] = t.dims();
        t.reshape([1, c, 1, 1])
    });
    x * scale + shift
}

/// Convolution with stride 1 and zero padding that keeps the map's size, by the backend's fused operation where it has one.
///
/// # Shapes
/// - x: `[batch, in, height, width]`
/// - weight: `[out, in, kernel, kernel]`, the kernel's side odd; bias: `[out]`
/// - output: `[batch, out, height, width]`
pub fn same_conv<B: FlowBackend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
) -> Tensor<B, 4> {
    if is_fused(&x) {
        return fused_conv(x, weight, bias, None, false);
    }
    same_conv_reference(x, weight, bias)
}

/// [`same_conv`] of what is positive of x (a rectified linear unit before it), plus `skip`, if there is one.
///
/// # Shapes
/// - x: `[batch, in, height, width]`
/// - weight: `[out, in, kernel, kernel]`, the kernel's side odd; bias: `[out]`
/// - skip, output: `[batch, out, height, width]`
pub fn rectified_conv<B: FlowBackend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    skip: Option<Tensor<B, 4>>,
) -> Tensor<B, 4> {
    if is_fused(&x) {
        return fused_conv(x, weight, bias, skip, true);
    }
    rectified_conv_reference(x, weight, bias, skip)
}

/// [`rectified_conv`] in tensor operations, the fallback and the oracle.
pub fn rectified_conv_reference<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    skip: Option<Tensor<B, 4>>,
) -> Tensor<B, 4> {
    // burn's relu makes zeros of NaNs.
    let positive = x.clone().mask_fill(x.lower_equal_elem(0.0), 0.0);
    let y = same_conv_reference(positive, weight, bias);
    match skip {
        Some(skip) => skip + y,
        None => y,
    }
}

fn fused_conv<B: FlowBackend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    skip: Option<Tensor<B, 4>>,
    rectify: bool,
) -> Tensor<B, 4> {
    let [x, weight] = [x, weight].map(|t| t.into_primitive().tensor());
    let skip = skip.map(|t| t.into_primitive().tensor());
    let y = B::conv(x, weight, bias.into_primitive().tensor(), skip, rectify);
    Tensor::from_primitive(TensorPrimitive::Float(y))
}

/// [`same_conv`] in tensor operations, the fallback and the oracle.
pub fn same_conv_reference<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
) -> Tensor<B, 4> {
    let [n, c, h, w] = x.dims();
    let [output, _, kernel, _] = weight.dims();
    if h * w == 1 && kernel == 1 {
        // One matrix product for the batch.
        let y = x.reshape([n, c]).matmul(weight.reshape([output, c]).transpose());
        return (y + bias.unsqueeze()).reshape([n, output, h, w]);
    }
    let pad = kernel / 2;
    conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [pad, pad], [1, 1], 1))
}

/// [`same_conv`] without bias, or its adjoint in x: tangents of the input to tangents of the output, or cotangents of the output
/// to cotangents of the input. Not differentiable where it is fused.
///
/// # Shapes
/// - x: `[batch, in, height, width]`, of the adjoint `[batch, out, height, width]`
/// - weight: `[out, in, kernel, kernel]`
pub fn conv_product<B: FlowBackend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    adjoint: bool,
) -> Tensor<B, 4> {
    if is_fused_inner(&x) {
        let [x, weight] = [x, weight].map(|t| t.into_primitive().tensor());
        let y = match adjoint {
            false => B::conv_product(x, weight),
            true => B::conv_adjoint(x, weight, None),
        };
        return Tensor::from_primitive(TensorPrimitive::Float(y));
    }
    let weight = if adjoint { weight.swap_dims(0, 1).flip([2, 3]) } else { weight };
    let bias = Tensor::zeros([weight.dims()[0]], &weight.device());
    same_conv(x, weight, bias)
}

/// `x · factor`, the factor of each sample of a batch repeated over all directions. Not differentiable where it is fused.
///
/// # Shapes
/// - x: `[count · batch, channels, height, width]`, direction k of sample i at `k · batch + i`
/// - factor: `[batch, channels, height, width]`
pub fn tiled<B: FlowBackend>(x: Tensor<B, 4>, factor: &Tensor<B, 4>) -> Tensor<B, 4> {
    if is_fused_inner(&x) {
        let [x, factor] = [x, factor.clone()].map(|t| t.into_primitive().tensor());
        return Tensor::from_primitive(TensorPrimitive::Float(B::tiled(x, factor)));
    }
    let count = x.dims()[0] / factor.dims()[0];
    x * factor.clone().repeat_dim(0, count)
}
