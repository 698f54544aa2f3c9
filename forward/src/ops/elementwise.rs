//! Elementwise rules that need more than a formula.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Scalar, TensorMetadata, get_device_settings};

use crate::dual::{Dual, Lead, binary, scaled, unary};

/// `1 − x²`.
pub(crate) fn one_minus_square<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add_scalar(B::float_neg(B::float_mul(x.clone(), x)), 1.into())
}

/// `1 / √x`.
pub(crate) fn rsqrt<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(B::float_sqrt(x))
}

/// `y = l / r`, `ẏ = l̇ / r − ṙ · y / r`.
pub(crate) fn div<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    binary(
        l,
        r,
        B::float_div,
        |t, at| scaled::<B>(t, &B::float_recip(at.r.clone())),
        |t, at| scaled::<B>(t, &B::float_neg(B::float_div(at.y.clone(), at.r.clone()))),
    )
}

/// `y = l − ⌊l / r⌋ · r`, with the quotient constant almost everywhere.
pub(crate) fn remainder<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    binary(
        l,
        r,
        B::float_remainder,
        |t, _| t,
        |t, at| {
            let quotient = B::float_floor(B::float_div(at.l.clone(), at.r.clone()));
            scaled::<B>(t, &B::float_neg(quotient))
        },
    )
}

/// The angle of the point `(r, l)`: `ẏ = (r · l̇ − l · ṙ) / (l² + r²)`.
pub(crate) fn atan2<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    let over_square = |x: &FloatTensor<B>, l: &FloatTensor<B>, r: &FloatTensor<B>| {
        let square = |x: &FloatTensor<B>| B::float_mul(x.clone(), x.clone());
        B::float_div(x.clone(), B::float_add(square(l), square(r)))
    };
    binary(
        l,
        r,
        B::float_atan2,
        |t, at| scaled::<B>(t, &over_square(&at.r, &at.l, &at.r)),
        |t, at| scaled::<B>(t, &B::float_neg(over_square(&at.l, &at.l, &at.r))),
    )
}

/// `y = lʳ`, `ẏ = r · lʳ⁻¹ · l̇ + y · ln l · ṙ`.
pub(crate) fn powf<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    binary(
        l,
        r,
        B::float_powf,
        |t, at| {
            let less = B::float_sub_scalar(at.r.clone(), 1.into());
            let d = B::float_mul(at.r.clone(), B::float_powf(at.l.clone(), less));
            // An exponent of zero makes a constant, also at l = 0, where the product is 0 · ∞.
            scaled::<B>(t, &zero_where_zero::<B>(d, &at.r))
        },
        |t, at| {
            let d = B::float_mul(at.y.clone(), B::float_log(at.l.clone()));
            // The limit at l = 0, where the product is 0 · −∞.
            scaled::<B>(t, &zero_where_zero::<B>(d, &at.l))
        },
    )
}

/// `y = lⁿ` with an integer exponent for each element.
pub(crate) fn powi<B: Backend>(l: Dual<B>, n: IntTensor<B>) -> Dual<B> {
    let dtype = l.dtype().into();
    let exponent = Dual::constant(B::int_into_float(n.clone(), dtype));
    binary(
        l,
        exponent,
        |l, _| B::float_powi(l, n.clone()),
        |t, at| {
            let less = B::int_sub_scalar(n.clone(), 1.into());
            let d = B::float_mul(at.r.clone(), B::float_powi(at.l.clone(), less));
            scaled::<B>(t, &zero_where_zero::<B>(d, &at.r))
        },
        |t, _| t,
    )
}

/// `y = xⁿ` with one exponent, by the given function of the inner backend.
pub(crate) fn power<B: Backend>(
    x: Dual<B>,
    n: Scalar,
    f: impl Fn(FloatTensor<B>, Scalar) -> FloatTensor<B>,
) -> Dual<B> {
    let exponent = n.elem::<f64>();
    if exponent == 0.0 {
        return Dual::constant(f(x.primal, n));
    }
    let less =
        n.try_as_integer().map_or(Scalar::from(exponent - 1.0), |n| (n.elem::<i64>() - 1).into());
    unary(x, |x| f(x, n), |x, _| B::float_mul_scalar(f(x, less), n))
}

/// A function that is the identity within bounds and constant outside: it has tangents where it keeps its operand.
pub(crate) fn clamp<B: Backend>(
    x: Dual<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> Dual<B> {
    let Some(tangents) = x.tangents else { return Dual::constant(f(x.primal)) };
    let y = f(x.primal.clone());
    let bools = get_device_settings::<B>(&B::float_device(&y)).bool_dtype;
    let clamped = B::float_not_equal(x.primal, y.clone(), bools);
    let mask = Lead::of::<B>(&tangents).mask::<B>(clamped, &y.shape());
    Dual::new(y, Some(B::float_mask_fill(tangents, mask, 0.into())))
}

fn zero_where_zero<B: Backend>(d: FloatTensor<B>, x: &FloatTensor<B>) -> FloatTensor<B> {
    let bools = get_device_settings::<B>(&B::float_device(x)).bool_dtype;
    let zero = B::float_equal_elem(x.clone(), 0.into(), bools);
    let mask = Lead::NONE.mask::<B>(zero, &d.shape());
    B::float_mask_fill(d, mask, 0.into())
}
