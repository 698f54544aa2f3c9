//! Tensors taken apart and put together.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor};
use burn::tensor::{IndexingUpdateOp, Scalar, Shape, TensorMetadata};

use crate::dual::{Dual, Lead, broadcast, directions, linear, zeros};
use crate::error::no_rule;

/// Expansion, which may put dimensions in front: behind the directions, that is.
pub(crate) fn expand<B: Backend>(x: Dual<B>, shape: Shape) -> Dual<B> {
    let own = x.shape();
    let ones = [&vec![1; shape.len() - own.len()], &own[..]].concat();
    let tangents = x.tangents.map(|t| {
        let lead = Lead::of::<B>(&t);
        B::float_expand(B::float_reshape(t, lead.shape(&ones)), lead.shape(&shape))
    });
    Dual::new(B::float_expand(x.primal, shape), tangents)
}

pub(crate) fn cat<B: Backend>(parts: Vec<Dual<B>>, dim: usize) -> Dual<B> {
    let tangents = directions(&parts).map(|k| {
        let tangents =
            parts.iter().map(|x| x.tangents.clone().unwrap_or_else(|| zeros::<B>(&x.primal, k)));
        B::float_cat(tangents.collect(), dim + 1)
    });
    Dual::new(B::float_cat(parts.into_iter().map(|x| x.primal).collect(), dim), tangents)
}

/// An operation jointly linear in a tensor and in values put into it, some of the tensor being replaced.
pub(crate) fn placed<B: Backend>(
    x: Dual<B>,
    values: Dual<B>,
    f: impl Fn(FloatTensor<B>, FloatTensor<B>, Lead) -> FloatTensor<B>,
) -> Dual<B> {
    let tangents = directions([&x, &values]).map(|k| {
        let of = |x: &Dual<B>| x.tangents.clone().unwrap_or_else(|| zeros::<B>(&x.primal, k));
        let (t, v) = (of(&x), of(&values));
        let lead = Lead::of::<B>(&t);
        f(t, v, lead)
    });
    Dual::new(f(x.primal, values.primal, Lead::NONE), tangents)
}

/// The same where the values are added, so that the tensor's tangents stay as they are if the values have none.
pub(crate) fn added<B: Backend>(
    x: Dual<B>,
    values: Dual<B>,
    f: impl Fn(FloatTensor<B>, FloatTensor<B>, Lead) -> FloatTensor<B>,
) -> Dual<B> {
    if values.tangents.is_none() {
        return Dual::new(f(x.primal, values.primal, Lead::NONE), x.tangents);
    }
    placed(x, values, f)
}

/// Elements, or slices, at index tuples, of which those of the tangents begin with the direction.
pub(crate) fn gather_nd<B: Backend>(x: Dual<B>, indices: IntTensor<B>) -> Dual<B> {
    linear(x, |x, lead| B::float_gather_nd(x, tuples::<B>(lead, indices.clone())))
}

pub(crate) fn scatter_nd<B: Backend>(
    x: Dual<B>,
    indices: IntTensor<B>,
    values: Dual<B>,
    reduction: IndexingUpdateOp,
) -> Dual<B> {
    let f = |x, v, lead| B::float_scatter_nd(x, tuples::<B>(lead, indices.clone()), v, reduction);
    match reduction {
        IndexingUpdateOp::Assign => placed(x, values, f),
        IndexingUpdateOp::Add => added(x, values, f),
        _ => {
            no_rule("float_scatter_nd", [&x, &values]);
            Dual::constant(f(x.primal, values.primal, Lead::NONE))
        }
    }
}

pub(crate) fn mask_where<B: Backend>(x: Dual<B>, mask: BoolTensor<B>, values: Dual<B>) -> Dual<B> {
    let y = B::float_mask_where(x.primal.clone(), mask.clone(), values.primal.clone());
    directions([&x, &values]);
    let shape = y.shape();
    let inside = |t: &FloatTensor<B>| Lead::of::<B>(t).mask::<B>(mask.clone(), &shape);
    let wide = |t| broadcast::<B>(t, &shape);
    let tangents = match (x.tangents.map(wide), values.tangents.map(wide)) {
        (None, None) => None,
        (Some(t), None) => {
            let inside = inside(&t);
            Some(B::float_mask_fill(t, inside, 0.into()))
        }
        (None, Some(v)) => {
            let outside = B::bool_not(inside(&v));
            Some(B::float_mask_fill(v, outside, 0.into()))
        }
        (Some(t), Some(v)) => {
            let inside = inside(&t);
            Some(B::float_mask_where(t, inside, v))
        }
    };
    Dual::new(y, tangents)
}

pub(crate) fn mask_fill<B: Backend>(x: Dual<B>, mask: BoolTensor<B>, value: Scalar) -> Dual<B> {
    let y = B::float_mask_fill(x.primal, mask.clone(), value);
    let shape = y.shape();
    let tangents = x.tangents.map(|t| {
        let t = broadcast::<B>(t, &shape);
        let mask = Lead::of::<B>(&t).mask::<B>(mask, &shape);
        B::float_mask_fill(t, mask, 0.into())
    });
    Dual::new(y, tangents)
}

/// Index tuples `[..., M]` as `[K, ..., 1 + M]`, the direction in front of each.
fn tuples<B: Backend>(lead: Lead, indices: IntTensor<B>) -> IntTensor<B> {
    if lead.dim(0) == 0 {
        return indices;
    }
    let device = B::int_device(&indices);
    let dtype = indices.dtype().into();
    let indices = lead.indices::<B>(indices);
    let mut shape = indices.shape();
    let last = shape.len() - 1;
    let mut line = vec![1; last + 1];
    line[0] = shape[0];
    shape[last] = 1;
    let directions =
        B::int_reshape(B::int_arange(0..line[0] as i64, &device, dtype), Shape::from(line));
    B::int_cat(vec![B::int_expand(directions, shape), indices], last)
}
