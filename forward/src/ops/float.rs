//! The operations on float tensors: the table of all rules.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::ops::grid_sample::float_grid_sample_2d_ref;
use burn::tensor::ops::{
    BoolTensor, Device, FloatTensor, FloatTensorOps, GridSampleOptions, IntTensor, InterpolateMode,
};
use burn::tensor::{
    BoolDType, Distribution, FloatDType, IndexingUpdateOp, IntDType, Scalar, Shape, Slice,
    TensorData, TensorMetadata,
};

use crate::backend::Forward;
use crate::dual::{Dual, Point, binary, directions, lifted, linear, picked, scaled, unary};
use crate::error::no_rule;
use crate::ops::{elementwise, indexing, matmul, reduce};

/// Functions of one tensor: the derivative, given the operand and the result.
macro_rules! elementwise {
    ($($op:ident => $d:expr;)*) => {
        $(fn $op(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
            unary(tensor, B::$op, $d)
        })*
    };
}

/// Functions with a derivative of zero wherever there is one.
macro_rules! piecewise_constant {
    ($($op:ident),*) => {
        $(fn $op(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
            Dual::constant(B::$op(tensor.primal))
        })*
    };
}

/// Functions to bools and integers, of primals alone.
macro_rules! discrete {
    ($($op:ident($($x:ident),*; $($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $op($($x: FloatTensor<Self>,)* $($arg: $kind),*) -> $out {
            B::$op($($x.primal,)* $($arg),*)
        })*
    };
}

impl<B: Backend> FloatTensorOps<Self> for Forward<B> {
    // Creation, reading and conversion.

    fn float_from_data(data: TensorData, device: &Device<Self>) -> FloatTensor<Self> {
        Dual::constant(B::float_from_data(data, device))
    }

    fn float_random(
        shape: Shape,
        distribution: Distribution,
        device: &Device<Self>,
        dtype: FloatDType,
    ) -> FloatTensor<Self> {
        Dual::constant(B::float_random(shape, distribution, device, dtype))
    }

    fn float_zeros(shape: Shape, device: &Device<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        Dual::constant(B::float_zeros(shape, device, dtype))
    }

    fn float_ones(shape: Shape, device: &Device<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        Dual::constant(B::float_ones(shape, device, dtype))
    }

    fn float_full(
        shape: Shape,
        fill_value: Scalar,
        device: &Device<Self>,
        dtype: FloatDType,
    ) -> FloatTensor<Self> {
        Dual::constant(B::float_full(shape, fill_value, device, dtype))
    }

    fn float_empty(shape: Shape, device: &Device<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        Dual::constant(B::float_empty(shape, device, dtype))
    }

    async fn float_into_data(tensor: FloatTensor<Self>) -> Result<TensorData, ExecutionError> {
        B::float_into_data(tensor.primal).await
    }

    fn float_device(tensor: &FloatTensor<Self>) -> Device<Self> {
        B::float_device(&tensor.primal)
    }

    fn float_to_device(tensor: FloatTensor<Self>, device: &Device<Self>) -> FloatTensor<Self> {
        linear(tensor, |x, _| B::float_to_device(x, device))
    }

    fn float_cast(tensor: FloatTensor<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        linear(tensor, |x, _| B::float_cast(x, dtype))
    }

    /// Stops tangents as it stops gradients.
    fn float_detach(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        Dual::constant(B::float_detach(tensor.primal))
    }

    // Marking a tensor for gradients is left to its default, which does nothing: where the inner backend has a reverse
    // mode, its tensors are marked before they are lifted, and keep their place in the graph.
    fn float_is_require_grad(tensor: &FloatTensor<Self>) -> bool {
        B::float_is_require_grad(&tensor.primal)
    }

    // Arithmetic.

    fn float_add(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        binary(lhs, rhs, B::float_add, |t, _| t, |t, _| t)
    }

    fn float_sub(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        binary(lhs, rhs, B::float_sub, |t, _| t, |t, _| B::float_neg(t))
    }

    fn float_mul(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        binary(lhs, rhs, B::float_mul, |t, at| scaled::<B>(t, &at.r), |t, at| scaled::<B>(t, &at.l))
    }

    fn float_div(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::div(lhs, rhs)
    }

    fn float_remainder(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::remainder(lhs, rhs)
    }

    fn float_atan2(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::atan2(lhs, rhs)
    }

    fn float_powf(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::powf(lhs, rhs)
    }

    fn float_powi(lhs: FloatTensor<Self>, rhs: IntTensor<Self>) -> FloatTensor<Self> {
        elementwise::powi(lhs, rhs)
    }

    fn float_powi_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        elementwise::power(lhs, rhs, B::float_powi_scalar)
    }

    fn float_powi_scalar_impl(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        Self::float_powi_scalar(lhs, rhs)
    }

    fn float_powf_scalar(tensor: FloatTensor<Self>, value: Scalar) -> FloatTensor<Self> {
        elementwise::power(tensor, value, B::float_powf_scalar)
    }

    fn float_powf_scalar_impl(tensor: FloatTensor<Self>, value: Scalar) -> FloatTensor<Self> {
        Self::float_powf_scalar(tensor, value)
    }

    fn float_add_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        Dual::new(B::float_add_scalar(lhs.primal, rhs), lhs.tangents)
    }

    fn float_sub_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        Dual::new(B::float_sub_scalar(lhs.primal, rhs), lhs.tangents)
    }

    fn float_remainder_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        Dual::new(B::float_remainder_scalar(lhs.primal, rhs), lhs.tangents)
    }

    fn float_mul_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        linear(lhs, |x, _| B::float_mul_scalar(x, rhs))
    }

    fn float_div_scalar(lhs: FloatTensor<Self>, rhs: Scalar) -> FloatTensor<Self> {
        linear(lhs, |x, _| B::float_div_scalar(x, rhs))
    }

    fn float_clamp_min(tensor: FloatTensor<Self>, min: Scalar) -> FloatTensor<Self> {
        elementwise::clamp(tensor, |x| B::float_clamp_min(x, min))
    }

    fn float_clamp_max(tensor: FloatTensor<Self>, max: Scalar) -> FloatTensor<Self> {
        elementwise::clamp(tensor, |x| B::float_clamp_max(x, max))
    }

    fn float_clamp(tensor: FloatTensor<Self>, min: Scalar, max: Scalar) -> FloatTensor<Self> {
        elementwise::clamp(tensor, |x| B::float_clamp(x, min, max))
    }

    // Elementwise functions.

    elementwise! {
        float_recip => |_, y| B::float_neg(B::float_mul(y.clone(), y));
        float_exp => |_, y| y;
        float_log => |x, _| B::float_recip(x);
        float_log1p => |x, _| B::float_recip(B::float_add_scalar(x, 1.into()));
        float_sqrt => |_, y| B::float_recip(B::float_mul_scalar(y, 2.into()));
        float_abs => |x, _| B::float_sign(x);
        float_cos => |x, _| B::float_neg(B::float_sin(x));
        float_sin => |x, _| B::float_cos(x);
        float_tan => |_, y| B::float_add_scalar(B::float_mul(y.clone(), y), 1.into());
        float_cosh => |x, _| B::float_sinh(x);
        float_sinh => |x, _| B::float_cosh(x);
        float_tanh => |_, y| elementwise::one_minus_square::<B>(y);
        float_acos => |x, _| {
            B::float_neg(elementwise::rsqrt::<B>(elementwise::one_minus_square::<B>(x)))
        };
        float_asin => |x, _| elementwise::rsqrt::<B>(elementwise::one_minus_square::<B>(x));
        float_atan => |x, _| B::float_recip(B::float_add_scalar(B::float_mul(x.clone(), x), 1.into()));
        float_acosh => |x, _| elementwise::rsqrt::<B>(B::float_sub_scalar(B::float_mul(x.clone(), x), 1.into()));
        float_asinh => |x, _| elementwise::rsqrt::<B>(B::float_add_scalar(B::float_mul(x.clone(), x), 1.into()));
        float_atanh => |x, _| B::float_recip(elementwise::one_minus_square::<B>(x));
        float_erf => |x, _| {
            let square = B::float_neg(B::float_mul(x.clone(), x));
            B::float_mul_scalar(B::float_exp(square), std::f64::consts::FRAC_2_SQRT_PI.into())
        };
    }

    piecewise_constant! { float_round, float_floor, float_ceil, float_trunc, float_sign }

    // Linear functions of one tensor.

    fn float_neg(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        linear(tensor, |x, _| B::float_neg(x))
    }

    fn float_swap_dims(tensor: FloatTensor<Self>, dim1: usize, dim2: usize) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_swap_dims(x, lead.dim(dim1), lead.dim(dim2)))
    }

    fn float_transpose(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        linear(tensor, |x, _| B::float_transpose(x))
    }

    fn float_permute(tensor: FloatTensor<Self>, axes: &[usize]) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_permute(x, &lead.axes(axes)))
    }

    fn float_flip(tensor: FloatTensor<Self>, axes: &[usize]) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_flip(x, &lead.dims(axes)))
    }

    fn float_reshape(tensor: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_reshape(x, lead.shape(&shape)))
    }

    fn float_expand(tensor: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        indexing::expand(tensor, shape)
    }

    fn float_repeat_dim(tensor: FloatTensor<Self>, dim: usize, times: usize) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_repeat_dim(x, lead.dim(dim), times))
    }

    fn float_unfold(
        tensor: FloatTensor<Self>,
        dim: usize,
        size: usize,
        step: usize,
    ) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_unfold(x, lead.dim(dim), size, step))
    }

    fn float_slice(tensor: FloatTensor<Self>, slices: &[Slice]) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_slice(x, &lead.slices(slices)))
    }

    fn float_select(
        tensor: FloatTensor<Self>,
        dim: usize,
        indices: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_select(x, lead.dim(dim), indices.clone()))
    }

    fn float_gather(
        dim: usize,
        tensor: FloatTensor<Self>,
        indices: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        picked(tensor, dim, indices)
    }

    fn float_gather_nd(data: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        indexing::gather_nd(data, indices)
    }

    // Tensors put together.

    fn float_cat(tensors: Vec<FloatTensor<Self>>, dim: usize) -> FloatTensor<Self> {
        indexing::cat(tensors, dim)
    }

    fn float_slice_assign(
        tensor: FloatTensor<Self>,
        slices: &[Slice],
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        indexing::placed(tensor, value, |x, v, lead| {
            B::float_slice_assign(x, &lead.slices(slices), v)
        })
    }

    fn float_scatter_add(
        dim: usize,
        tensor: FloatTensor<Self>,
        indices: IntTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        indexing::added(tensor, value, |x, v, lead| {
            B::float_scatter_add(lead.dim(dim), x, lead.indices::<B>(indices.clone()), v)
        })
    }

    fn float_select_add(
        tensor: FloatTensor<Self>,
        dim: usize,
        indices: IntTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        indexing::added(tensor, value, |x, v, lead| {
            B::float_select_add(x, lead.dim(dim), indices.clone(), v)
        })
    }

    fn float_scatter_nd(
        data: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        reduction: IndexingUpdateOp,
    ) -> FloatTensor<Self> {
        indexing::scatter_nd(data, indices, values, reduction)
    }

    fn float_mask_where(
        tensor: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        indexing::mask_where(tensor, mask, value)
    }

    fn float_mask_fill(
        tensor: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        value: Scalar,
    ) -> FloatTensor<Self> {
        indexing::mask_fill(tensor, mask, value)
    }

    // Products of matrices and of vectors.

    fn float_matmul(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        matmul::matmul(lhs, rhs)
    }

    fn float_cross(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        dim: usize,
    ) -> FloatTensor<Self> {
        // Backends need not broadcast here, so the other operand is repeated for each direction.
        let cross = |l, r, at: &Point<B>, k| {
            let wide = |x| B::float_expand(x, [&[k], &at.y.shape()[..]].concat().into());
            B::float_cross(wide(l), wide(r), dim + 1)
        };
        binary(
            lhs,
            rhs,
            |l, r| B::float_cross(l, r, dim),
            |t, at| {
                let k = t.shape()[0];
                cross(t, lifted::<B>(&at.r), at, k)
            },
            |t, at| {
                let k = t.shape()[0];
                cross(lifted::<B>(&at.l), t, at, k)
            },
        )
    }

    // Reductions and scans.

    fn float_sum(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::whole(tensor, B::float_sum, B::float_sum_dim)
    }

    fn float_mean(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::whole(tensor, B::float_mean, B::float_mean_dim)
    }

    fn float_sum_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_sum_dim(x, lead.dim(dim)))
    }

    fn float_mean_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_mean_dim(x, lead.dim(dim)))
    }

    fn float_cumsum(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        linear(tensor, |x, lead| B::float_cumsum(x, lead.dim(dim)))
    }

    fn float_prod(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::prod(tensor)
    }

    fn float_prod_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::prod_dim(tensor, dim)
    }

    fn float_cumprod(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::cumprod(tensor, dim)
    }

    fn float_cummin(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::cumulative(tensor, dim, B::float_cummin)
    }

    fn float_cummax(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::cumulative(tensor, dim, B::float_cummax)
    }

    fn float_max(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::extremum(tensor, B::float_max, |x| Self::float_max_dim(x, 0))
    }

    fn float_min(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::extremum(tensor, B::float_min, |x| Self::float_min_dim(x, 0))
    }

    fn float_max_abs(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reduce::extremum(tensor, B::float_max_abs, |x| Self::float_max_abs_dim(x, 0))
    }

    fn float_max_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::at_indices(
            tensor,
            dim,
            |x| B::float_max_dim(x, dim),
            |x, ints| B::float_argmax(x, dim, ints),
        )
    }

    fn float_min_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        reduce::at_indices(
            tensor,
            dim,
            |x| B::float_min_dim(x, dim),
            |x, ints| B::float_argmin(x, dim, ints),
        )
    }

    fn float_max_abs_dim(tensor: FloatTensor<Self>, dim: usize) -> FloatTensor<Self> {
        if tensor.tangents.is_none() {
            return Dual::constant(B::float_max_abs_dim(tensor.primal, dim));
        }
        Self::float_max_dim(Self::float_abs(tensor), dim)
    }

    fn float_max_dim_with_indices(
        tensor: FloatTensor<Self>,
        dim: usize,
        indices_dtype: IntDType,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        reduce::with_indices(tensor, dim, |x| B::float_max_dim_with_indices(x, dim, indices_dtype))
    }

    fn float_min_dim_with_indices(
        tensor: FloatTensor<Self>,
        dim: usize,
        indices_dtype: IntDType,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        reduce::with_indices(tensor, dim, |x| B::float_min_dim_with_indices(x, dim, indices_dtype))
    }

    fn float_topk(tensor: FloatTensor<Self>, dim: usize, k: usize) -> FloatTensor<Self> {
        reduce::topk(tensor, dim, k)
    }

    fn float_sort(tensor: FloatTensor<Self>, dim: usize, descending: bool) -> FloatTensor<Self> {
        reduce::at_indices(
            tensor,
            dim,
            |x| B::float_sort(x, dim, descending),
            |x, ints| B::float_argsort(x, dim, descending, ints),
        )
    }

    fn float_sort_with_indices(
        tensor: FloatTensor<Self>,
        dim: usize,
        descending: bool,
        indices_dtype: IntDType,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        reduce::with_indices(tensor, dim, |x| {
            B::float_sort_with_indices(x, dim, descending, indices_dtype)
        })
    }

    // Resampling.

    fn float_grid_sample_2d(
        tensor: FloatTensor<Self>,
        grid: FloatTensor<Self>,
        options: GridSampleOptions,
    ) -> FloatTensor<Self> {
        if directions([&tensor, &grid]).is_none() {
            return Dual::constant(B::float_grid_sample_2d(tensor.primal, grid.primal, options));
        }
        // Burn's reference is a composition of operations that have rules, and knows this one mode.
        if !matches!(options.mode, InterpolateMode::Bilinear) {
            no_rule("float_grid_sample_2d", [&tensor, &grid]);
        }
        float_grid_sample_2d_ref::<Self>(tensor, grid, options)
    }

    // What has no tangents.

    discrete! {
        float_into_int(tensor; out_dtype: IntDType) -> IntTensor<Self>;
        float_argmax(tensor; dim: usize, out_dtype: IntDType) -> IntTensor<Self>;
        float_argmin(tensor; dim: usize, out_dtype: IntDType) -> IntTensor<Self>;
        float_argtopk(tensor; dim: usize, k: usize, out_dtype: IntDType) -> IntTensor<Self>;
        float_argsort(tensor; dim: usize, descending: bool, out_dtype: IntDType) -> IntTensor<Self>;
        float_equal(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_not_equal(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_greater(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_greater_equal(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_lower(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_lower_equal(lhs, rhs; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_equal_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_not_equal_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_greater_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_greater_equal_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_lower_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_lower_equal_elem(lhs; rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_any(tensor; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_any_dim(tensor; dim: usize, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_all(tensor; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_all_dim(tensor; dim: usize, out_dtype: BoolDType) -> BoolTensor<Self>;
        float_is_nan(tensor; out_dtype: BoolDType) -> BoolTensor<Self>;
        float_is_inf(tensor; out_dtype: BoolDType) -> BoolTensor<Self>;
    }
}
