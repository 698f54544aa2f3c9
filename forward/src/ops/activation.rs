//! Activation functions.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{ActivationOps, FloatTensor};
use burn::tensor::{Scalar, TensorMetadata, get_device_settings};

use crate::backend::Forward;
use crate::dual::{Dual, Lead, binary, scaled, unary};
use crate::ops::elementwise::clamp;

// The reverse-mode rules of this trait are left to their defaults: compositions of operations that have rules.
impl<B: Backend> ActivationOps<Self> for Forward<B> {
    fn relu(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        clamp(tensor, B::relu)
    }

    fn leaky_relu(tensor: FloatTensor<Self>, negative_slope: Scalar) -> FloatTensor<Self> {
        unary(
            tensor,
            |x| B::leaky_relu(x, negative_slope),
            |x, _| {
                where_negative::<B>(
                    &x,
                    ones::<B>(&x),
                    B::float_mul_scalar(ones::<B>(&x), negative_slope),
                )
            },
        )
    }

    fn prelu(tensor: FloatTensor<Self>, alpha: FloatTensor<Self>) -> FloatTensor<Self> {
        binary(
            tensor,
            alpha,
            B::prelu,
            |t, at| {
                let slopes = B::float_expand(at.r.clone(), at.y.shape());
                scaled::<B>(t, &where_negative::<B>(&at.l, ones::<B>(&at.l), slopes))
            },
            |t, at| scaled::<B>(t, &B::float_clamp_max(at.l.clone(), 0.into())),
        )
    }

    /// `y = x Φ(x)`, `y′ = Φ(x) + x φ(x)`, with the distribution function and density of the standard normal.
    fn gelu(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        unary(tensor, B::gelu, |x, _| {
            let erf = B::float_erf(B::float_mul_scalar(
                x.clone(),
                std::f64::consts::FRAC_1_SQRT_2.into(),
            ));
            let cdf = B::float_mul_scalar(B::float_add_scalar(erf, 1.into()), 0.5.into());
            let exponent = B::float_mul_scalar(B::float_mul(x.clone(), x.clone()), (-0.5).into());
            let density = B::float_mul_scalar(
                B::float_exp(exponent),
                (1.0 / std::f64::consts::TAU.sqrt()).into(),
            );
            B::float_add(cdf, B::float_mul(x, density))
        })
    }

    fn sigmoid(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        unary(tensor, B::sigmoid, |_, y| B::float_sub(y.clone(), B::float_mul(y.clone(), y)))
    }

    fn hard_sigmoid(tensor: FloatTensor<Self>, alpha: Scalar, beta: Scalar) -> FloatTensor<Self> {
        unary(
            tensor,
            |x| B::hard_sigmoid(x, alpha, beta),
            |_, y| {
                // Within the bounds y (1 − y) is positive, at them zero.
                let inside = B::float_sign(B::float_sub(y.clone(), B::float_mul(y.clone(), y)));
                B::float_mul_scalar(inside, alpha)
            },
        )
    }

    fn log_sigmoid(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        unary(tensor, B::log_sigmoid, |x, _| B::sigmoid(B::float_neg(x)))
    }

    /// `ẏ = y · (ẋ − Σ y · ẋ)`.
    fn softmax(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        let y = B::softmax(tensor.primal, dim);
        let tangents = tensor.tangents.map(|t| softmax_tangents::<B>(&y, t, dim));
        Dual::new(y, tangents)
    }

    /// `ẏ = −y · (ẋ − Σ y · ẋ)`.
    fn softmin(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        let y = B::softmin(tensor.primal, dim);
        let tangents = tensor.tangents.map(|t| B::float_neg(softmax_tangents::<B>(&y, t, dim)));
        Dual::new(y, tangents)
    }

    /// `ẏ = ẋ − Σ eʸ · ẋ`.
    fn log_softmax(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        let y = B::log_softmax(tensor.primal, dim);
        let tangents = tensor.tangents.map(|t| {
            let mean = B::float_sum_dim(scaled::<B>(t.clone(), &B::float_exp(y.clone())), dim + 1);
            B::float_sub(t, mean)
        });
        Dual::new(y, tangents)
    }
}

/// The tangents of `y = softmax(x)`.
fn softmax_tangents<B: Backend>(
    y: &FloatTensor<B>,
    t: FloatTensor<B>,
    dim: usize,
) -> FloatTensor<B> {
    let weighted = scaled::<B>(t, y);
    let mean = B::float_sum_dim(weighted.clone(), dim + 1);
    B::float_sub(weighted, scaled::<B>(mean, y))
}

fn ones<B: Backend>(x: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_ones(x.shape(), &B::float_device(x), x.dtype().into())
}

fn where_negative<B: Backend>(
    x: &FloatTensor<B>,
    other: FloatTensor<B>,
    negative: FloatTensor<B>,
) -> FloatTensor<B> {
    let bools = get_device_settings::<B>(&B::float_device(x)).bool_dtype;
    let mask = Lead::NONE.mask::<B>(B::float_lower_elem(x.clone(), 0.into(), bools), &x.shape());
    B::float_mask_where(other, mask, negative)
}
