//! Reductions, scans and selections by value.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{IntDType, Shape, Slice, TensorMetadata, get_device_settings};

use crate::backend::Forward;
use crate::dual::{Dual, linear, picked};

/// A linear reduction of the whole tensor, which is one along a dimension of the tangents laid flat.
pub(crate) fn whole<B: Backend>(
    x: Dual<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
    along: impl FnOnce(FloatTensor<B>, usize) -> FloatTensor<B>,
) -> Dual<B> {
    let size = x.shape().num_elements();
    let tangents = x.tangents.map(|t| {
        let k = t.shape()[0];
        along(B::float_reshape(t, Shape::new([k, size])), 1)
    });
    Dual::new(f(x.primal), tangents)
}

/// An extremum of the whole tensor, by one along the only dimension of the tensor laid flat.
pub(crate) fn extremum<B: Backend>(
    x: Dual<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
    along: impl FnOnce(Dual<B>) -> Dual<B>,
) -> Dual<B> {
    if x.tangents.is_none() { Dual::constant(f(x.primal)) } else { along(flat(x)) }
}

/// Values of `x` along a dimension: the tangents are those at the primal's indices.
pub(crate) fn at_indices<B: Backend>(
    x: Dual<B>,
    dim: usize,
    values: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
    indices: impl FnOnce(FloatTensor<B>, IntDType) -> IntTensor<B>,
) -> Dual<B> {
    if x.tangents.is_none() {
        return Dual::constant(values(x.primal));
    }
    let ints = get_device_settings::<B>(&B::float_device(&x.primal)).int_dtype;
    let indices = indices(x.primal.clone(), ints);
    picked(x, dim, indices)
}

/// The `k` largest elements along a dimension, from the largest: by sorting, which every backend implements.
pub(crate) fn topk<B: Backend>(x: Dual<B>, dim: usize, k: usize) -> Dual<B> {
    let mut slices = vec![Slice::full(); x.rank()];
    slices[dim] = Slice::from(0..k);
    at_indices(
        x,
        dim,
        |x| B::float_topk(x, dim, k),
        |x, ints| B::int_slice(B::float_argsort(x, dim, true, ints), &slices),
    )
}

/// As [`at_indices`], where the backend tells the indices along with the values.
pub(crate) fn with_indices<B: Backend>(
    x: Dual<B>,
    dim: usize,
    f: impl FnOnce(FloatTensor<B>) -> (FloatTensor<B>, IntTensor<B>),
) -> (Dual<B>, IntTensor<B>) {
    let (values, indices) = f(x.primal.clone());
    let tangents = x
        .tangents
        .and_then(|t| picked(Dual::<B>::new(x.primal, Some(t)), dim, indices.clone()).tangents);
    (Dual::new(values, tangents), indices)
}

/// A running extremum: the tangents are those of the element that is the extremum so far.
pub(crate) fn cumulative<B: Backend>(
    x: Dual<B>,
    dim: usize,
    f: impl FnOnce(FloatTensor<B>, usize) -> FloatTensor<B>,
) -> Dual<B> {
    if x.tangents.is_none() {
        return Dual::constant(f(x.primal, dim));
    }
    let device = B::float_device(&x.primal);
    let settings = get_device_settings::<B>(&device);
    let y = f(x.primal.clone(), dim);
    let shape = y.shape();
    let mut line = vec![1; shape.len()];
    line[dim] = shape[dim];
    let positions = B::int_arange(0..shape[dim] as i64, &device, settings.int_dtype);
    let positions = B::int_expand(B::int_reshape(positions, Shape::from(line)), shape);
    let surpassed = B::float_not_equal(x.primal.clone(), y, settings.bool_dtype);
    let records = B::int_cummax(B::int_mask_fill(positions, surpassed, 0.into()), dim);
    picked(x, dim, records)
}

/// The product of all elements.
pub(crate) fn prod<B: Backend>(x: Dual<B>) -> Dual<B> {
    if x.tangents.is_none() {
        return Dual::constant(B::float_prod(x.primal));
    }
    let primal = B::float_prod(x.primal.clone());
    Dual::new(primal, product(flat(x), 0).tangents)
}

/// The product along a dimension.
pub(crate) fn prod_dim<B: Backend>(x: Dual<B>, dim: usize) -> Dual<B> {
    let primal = B::float_prod_dim(x.primal.clone(), dim);
    let tangents = x.tangents.is_some().then(|| product(x, dim).tangents).flatten();
    Dual::new(primal, tangents)
}

/// The running product along a dimension.
///
/// The product rule is applied in a scan of ⌈log₂ n⌉ steps. The shorter `y · Σ ẋ / x` divides by elements, which may be
/// zero.
pub(crate) fn cumprod<B: Backend>(x: Dual<B>, dim: usize) -> Dual<B> {
    let primal = B::float_cumprod(x.primal.clone(), dim);
    if x.tangents.is_none() {
        return Dual::constant(primal);
    }
    let n = x.shape()[dim];
    let mut scan = x;
    let mut step = 1;
    while step < n {
        let head = along(scan.clone(), dim, 0, step);
        let earlier = along(scan.clone(), dim, 0, n - step);
        let later = along(scan, dim, step, n);
        scan = cat([head, mul(earlier, later)], dim);
        step *= 2;
    }
    Dual::new(primal, scan.tangents)
}

/// The product along a dimension, of one half with the other until one is left: safe where elements are zero.
fn product<B: Backend>(mut x: Dual<B>, dim: usize) -> Dual<B> {
    loop {
        let n = x.shape()[dim];
        if n == 1 {
            return x;
        }
        let half = n / 2;
        let halves = mul(along(x.clone(), dim, 0, half), along(x.clone(), dim, half, 2 * half));
        x = if n.is_multiple_of(2) { halves } else { cat([halves, along(x, dim, n - 1, n)], dim) };
    }
}

fn along<B: Backend>(x: Dual<B>, dim: usize, start: usize, end: usize) -> Dual<B> {
    let mut slices = vec![Slice::full(); x.rank()];
    slices[dim] = Slice::from(start..end);
    linear(x, |x, lead| B::float_slice(x, &lead.slices(&slices)))
}

fn mul<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    <Forward<B> as burn::tensor::ops::FloatTensorOps<_>>::float_mul(l, r)
}

fn cat<B: Backend>(parts: [Dual<B>; 2], dim: usize) -> Dual<B> {
    crate::ops::indexing::cat(parts.into(), dim)
}

fn flat<B: Backend>(x: Dual<B>) -> Dual<B> {
    let size = x.shape().num_elements();
    linear(x, |x, lead| B::float_reshape(x, lead.shape(&[size])))
}
