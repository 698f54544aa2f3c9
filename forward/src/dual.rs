//! Dual tensors, and the few shapes of rule that nearly all operations share.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor};
use burn::tensor::{DType, Shape, Slice, TensorMetadata};

/// A tensor `x` together with `K` tangents `ẋ`, stored as one tensor of shape `[K, ...shape of x]`.
///
/// Absent tangents stand for zero. They are never materialised, so what does not depend on the inputs of a
/// differentiated function costs no more than on the inner backend.
#[derive(Clone, Debug)]
pub struct Dual<B: Backend> {
    pub(crate) primal: FloatTensor<B>,
    pub(crate) tangents: Option<FloatTensor<B>>,
}

impl<B: Backend> TensorMetadata for Dual<B> {
    fn dtype(&self) -> DType {
        self.primal.dtype()
    }

    fn shape(&self) -> Shape {
        self.primal.shape()
    }

    fn rank(&self) -> usize {
        self.primal.rank()
    }
}

impl<B: Backend> Dual<B> {
    pub(crate) fn new(primal: FloatTensor<B>, tangents: Option<FloatTensor<B>>) -> Self {
        Self { primal, tangents }
    }

    pub(crate) fn constant(primal: FloatTensor<B>) -> Self {
        Self::new(primal, None)
    }

    /// The number `K` of directions, if there are any.
    pub(crate) fn directions(&self) -> Option<usize> {
        self.tangents.as_ref().map(|t| t.shape()[0])
    }
}

/// What an operation is being applied to: the primal, or tangents with `K` directions in front.
///
/// It translates dimensions and shapes of the primal, so that a linear operation is written once for both.
#[derive(Clone, Copy)]
pub(crate) struct Lead(Option<usize>);

impl Lead {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn of<B: Backend>(tangents: &FloatTensor<B>) -> Self {
        Self(Some(tangents.shape()[0]))
    }

    pub(crate) fn dim(self, dim: usize) -> usize {
        dim + usize::from(self.0.is_some())
    }

    pub(crate) fn dims(self, dims: &[usize]) -> Vec<usize> {
        dims.iter().map(|&dim| self.dim(dim)).collect()
    }

    /// The axes of a permutation, which leaves the directions in front.
    pub(crate) fn axes(self, axes: &[usize]) -> Vec<usize> {
        self.0.map(|_| 0).into_iter().chain(self.dims(axes)).collect()
    }

    pub(crate) fn shape(self, shape: &[usize]) -> Shape {
        Shape::from(self.0.iter().chain(shape).copied().collect::<Vec<_>>())
    }

    pub(crate) fn slices(self, slices: &[Slice]) -> Vec<Slice> {
        self.0.map(|_| Slice::full()).into_iter().chain(slices.iter().copied()).collect()
    }

    pub(crate) fn indices<B: Backend>(self, indices: IntTensor<B>) -> IntTensor<B> {
        let Some(k) = self.0 else { return indices };
        let shape = indices.shape();
        let indices = B::int_reshape(indices, Self(Some(1)).shape(&shape));
        B::int_expand(indices, Self(Some(k)).shape(&shape))
    }

    /// A mask over tensors of the given shape, to which it broadcasts.
    pub(crate) fn mask<B: Backend>(self, mask: BoolTensor<B>, shape: &[usize]) -> BoolTensor<B> {
        let mask = B::bool_expand(mask, Shape::from(shape.to_vec()));
        if self.0.is_none() {
            return mask;
        }
        B::bool_expand(B::bool_reshape(mask, Self(Some(1)).shape(shape)), self.shape(shape))
    }
}

/// A tensor of the primal's shape as one that broadcasts against tangents.
pub(crate) fn lifted<B: Backend>(x: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_reshape(x.clone(), Lead(Some(1)).shape(&x.shape()))
}

/// `ẋ · d`, with a derivative `d` of the primal's shape, computed once for all directions.
pub(crate) fn scaled<B: Backend>(tangents: FloatTensor<B>, d: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(tangents, lifted::<B>(d))
}

/// The sum of the terms of a rule that exist.
pub(crate) fn sum<B: Backend, const N: usize>(
    terms: [Option<FloatTensor<B>>; N],
) -> Option<FloatTensor<B>> {
    terms.into_iter().flatten().reduce(|a, b| {
        // A single direction would broadcast, silently, to those of the other operand.
        let (k, l) = (a.shape()[0], b.shape()[0]);
        assert_eq!(k, l, "tangents of {k} and of {l} directions cannot be combined");
        B::float_add(a, b)
    })
}

/// Tangents of the given shape and of as many directions, which a rule left to be broadcast.
pub(crate) fn broadcast<B: Backend>(tangents: FloatTensor<B>, shape: &[usize]) -> FloatTensor<B> {
    let shape = Lead::of::<B>(&tangents).shape(shape);
    if tangents.shape() == shape { tangents } else { B::float_expand(tangents, shape) }
}

/// The number of directions of operands that go into one operation.
pub(crate) fn directions<'a, B: Backend>(
    duals: impl IntoIterator<Item = &'a Dual<B>>,
) -> Option<usize> {
    let mut directions = duals.into_iter().filter_map(Dual::directions);
    let k = directions.next()?;
    for l in directions {
        assert_eq!(k, l, "tangents of {k} and of {l} directions cannot be combined");
    }
    Some(k)
}

/// Materialised zero tangents, for operations that place the tangents of one operand among those of another.
pub(crate) fn zeros<B: Backend>(primal: &FloatTensor<B>, k: usize) -> FloatTensor<B> {
    let shape = Lead(Some(k)).shape(&primal.shape());
    B::float_zeros(shape, &B::float_device(primal), primal.dtype().into())
}

/// An operation linear in its only operand: `ẏ = f(ẋ)`.
pub(crate) fn linear<B: Backend>(
    x: Dual<B>,
    f: impl Fn(FloatTensor<B>, Lead) -> FloatTensor<B>,
) -> Dual<B> {
    let tangents = x.tangents.map(|t| {
        let lead = Lead::of::<B>(&t);
        f(t, lead)
    });
    Dual::new(f(x.primal, Lead::NONE), tangents)
}

/// A linear operation that treats the elements of its first dimension, a batch, alike: the directions join the batch.
pub(crate) fn batched<B: Backend>(
    x: Dual<B>,
    f: impl Fn(FloatTensor<B>) -> FloatTensor<B>,
) -> Dual<B> {
    let tangents = x.tangents.map(|t| folded::<B>(t, &f));
    Dual::new(f(x.primal), tangents)
}

/// Applies a function of batches `[N, ...]` to tangents `[K, N, ...]`.
pub(crate) fn folded<B: Backend>(
    tangents: FloatTensor<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = tangents.shape();
    let (k, n) = (shape[0], shape[1]);
    let y = f(fold::<B>(tangents));
    let rest = &y.shape()[1..];
    let shape = [&[k, n], rest].concat();
    B::float_reshape(y, Shape::from(shape))
}

/// `[K, N, ...]` as `[K · N, ...]`.
pub(crate) fn fold<B: Backend>(tangents: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tangents.shape();
    let shape = [&[shape[0] * shape[1]], &shape[2..]].concat();
    B::float_reshape(tangents, Shape::from(shape))
}

/// An elementwise operation: `ẏ = ẋ · df(x, y)`, the derivative given `x` and `y = f(x)`.
pub(crate) fn unary<B: Backend>(
    x: Dual<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
    df: impl FnOnce(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
) -> Dual<B> {
    let Some(tangents) = x.tangents else { return Dual::constant(f(x.primal)) };
    let y = f(x.primal.clone());
    let d = df(x.primal, y.clone());
    Dual::new(y, Some(scaled::<B>(tangents, &d)))
}

/// The primal operands and the result of a binary operation.
pub(crate) struct Point<B: Backend> {
    pub(crate) l: FloatTensor<B>,
    pub(crate) r: FloatTensor<B>,
    pub(crate) y: FloatTensor<B>,
}

/// A binary operation: the sum of what the tangents of either operand contribute, broadcast to the result.
pub(crate) fn binary<B: Backend>(
    l: Dual<B>,
    r: Dual<B>,
    f: impl FnOnce(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
    dl: impl FnOnce(FloatTensor<B>, &Point<B>) -> FloatTensor<B>,
    dr: impl FnOnce(FloatTensor<B>, &Point<B>) -> FloatTensor<B>,
) -> Dual<B> {
    if directions([&l, &r]).is_none() {
        return Dual::constant(f(l.primal, r.primal));
    }
    let y = f(l.primal.clone(), r.primal.clone());
    let at = Point { l: l.primal, r: r.primal, y };
    let terms = [l.tangents.map(|t| dl(t, &at)), r.tangents.map(|t| dr(t, &at))];
    let tangents = sum::<B, 2>(terms).map(|t| broadcast::<B>(t, &at.y.shape()));
    Dual::new(at.y, tangents)
}

/// The elements of `x` at indices along a dimension, and their tangents.
pub(crate) fn picked<B: Backend>(x: Dual<B>, dim: usize, indices: IntTensor<B>) -> Dual<B> {
    linear(x, |x, lead| B::float_gather(lead.dim(dim), x, lead.indices::<B>(indices.clone())))
}
