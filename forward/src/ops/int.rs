//! Integer tensors carry no tangents: they are those of the inner backend.

use std::ops::Range;

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::ops::{BoolTensor, Device, FloatTensor, IntTensor, IntTensorOps};
use burn::tensor::{
    BoolDType, Distribution, FloatDType, IndexingUpdateOp, IntDType, Scalar, Shape, Slice,
    TensorData,
};

use crate::backend::Forward;
use crate::dual::Dual;
use crate::ops::to_inner;

impl<B: Backend> IntTensorOps<Self> for Forward<B> {
    async fn int_into_data(tensor: IntTensor<Self>) -> Result<TensorData, ExecutionError> {
        B::int_into_data(tensor).await
    }

    fn int_into_float(tensor: IntTensor<Self>, out_dtype: FloatDType) -> FloatTensor<Self> {
        Dual::constant(B::int_into_float(tensor, out_dtype))
    }

    to_inner! {
        int_empty(shape: Shape, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_from_data(data: TensorData, device: &Device<Self>) -> IntTensor<Self>;
        int_device(tensor: &IntTensor<Self>) -> Device<Self>;
        int_to_device(tensor: IntTensor<Self>, device: &Device<Self>) -> IntTensor<Self>;
        int_reshape(tensor: IntTensor<Self>, shape: Shape) -> IntTensor<Self>;
        int_slice(tensor: IntTensor<Self>, slices: &[Slice]) -> IntTensor<Self>;
        int_slice_assign(tensor: IntTensor<Self>, slices: &[Slice], value: IntTensor<Self>) -> IntTensor<Self>;
        int_mask_where(tensor: IntTensor<Self>, mask: BoolTensor<Self>, value: IntTensor<Self>) -> IntTensor<Self>;
        int_mask_fill(tensor: IntTensor<Self>, mask: BoolTensor<Self>, value: Scalar) -> IntTensor<Self>;
        int_gather(dim: usize, tensor: IntTensor<Self>, indices: IntTensor<Self>) -> IntTensor<Self>;
        int_scatter_add(dim: usize, tensor: IntTensor<Self>, indices: IntTensor<Self>, value: IntTensor<Self>) -> IntTensor<Self>;
        int_scatter_nd(data: IntTensor<Self>, indices: IntTensor<Self>, values: IntTensor<Self>, reduction: IndexingUpdateOp) -> IntTensor<Self>;
        int_gather_nd(data: IntTensor<Self>, indices: IntTensor<Self>) -> IntTensor<Self>;
        int_select(tensor: IntTensor<Self>, dim: usize, indices: IntTensor<Self>) -> IntTensor<Self>;
        int_select_add(tensor: IntTensor<Self>, dim: usize, indices: IntTensor<Self>, value: IntTensor<Self>) -> IntTensor<Self>;
        int_repeat_dim(tensor: IntTensor<Self>, dim: usize, times: usize) -> IntTensor<Self>;
        int_cat(tensors: Vec<IntTensor<Self>>, dim: usize) -> IntTensor<Self>;
        int_equal(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_not_equal(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_equal_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_not_equal_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_greater(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_greater_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_greater_equal(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_greater_equal_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_lower(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_lower_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_lower_equal(lhs: IntTensor<Self>, rhs: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_lower_equal_elem(lhs: IntTensor<Self>, rhs: Scalar, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_add(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_add_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_powi(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_powi_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_powi_scalar_impl(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_clamp_min(tensor: IntTensor<Self>, min: Scalar) -> IntTensor<Self>;
        int_clamp_max(tensor: IntTensor<Self>, max: Scalar) -> IntTensor<Self>;
        int_clamp(tensor: IntTensor<Self>, min: Scalar, max: Scalar) -> IntTensor<Self>;
        int_sub(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_sub_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_mul(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_mul_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_div(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_div_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_remainder(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_remainder_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_matmul(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        int_neg(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_zeros(shape: Shape, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_ones(shape: Shape, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_full(shape: Shape, fill_value: Scalar, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_sum(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_sum_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_prod(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_prod_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_mean(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_mean_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_cumsum(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_cumprod(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_cummin(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_cummax(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_argmax(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_argtopk(tensor: IntTensor<Self>, dim: usize, k: usize) -> IntTensor<Self>;
        int_topk(tensor: IntTensor<Self>, dim: usize, k: usize) -> IntTensor<Self>;
        int_argmin(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_max(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_max_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_max_dim_with_indices(tensor: IntTensor<Self>, dim: usize) -> (IntTensor<Self>, IntTensor<Self>);
        int_max_abs(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_max_abs_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_min(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_min_dim(tensor: IntTensor<Self>, dim: usize) -> IntTensor<Self>;
        int_min_dim_with_indices(tensor: IntTensor<Self>, dim: usize) -> (IntTensor<Self>, IntTensor<Self>);
        int_abs(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_transpose(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_swap_dims(tensor: IntTensor<Self>, dim1: usize, dim2: usize) -> IntTensor<Self>;
        int_permute(tensor: IntTensor<Self>, axes: &[usize]) -> IntTensor<Self>;
        int_flip(tensor: IntTensor<Self>, axes: &[usize]) -> IntTensor<Self>;
        int_random(shape: Shape, distribution: Distribution, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_arange_step(range: Range<i64>, step: usize, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_arange(range: Range<i64>, device: &Device<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_any(tensor: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_any_dim(tensor: IntTensor<Self>, dim: usize, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_all(tensor: IntTensor<Self>, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_all_dim(tensor: IntTensor<Self>, dim: usize, out_dtype: BoolDType) -> BoolTensor<Self>;
        int_sign(tensor: IntTensor<Self>) -> IntTensor<Self>;
        int_expand(tensor: IntTensor<Self>, shape: Shape) -> IntTensor<Self>;
        int_sort(tensor: IntTensor<Self>, dim: usize, descending: bool) -> IntTensor<Self>;
        int_sort_with_indices(tensor: IntTensor<Self>, dim: usize, descending: bool) -> (IntTensor<Self>, IntTensor<Self>);
        int_argsort(tensor: IntTensor<Self>, dim: usize, descending: bool) -> IntTensor<Self>;
        bitwise_and(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_and_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        bitwise_or(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_or_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        bitwise_xor(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_xor_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        bitwise_not(tensor: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_left_shift(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_left_shift_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        bitwise_right_shift(lhs: IntTensor<Self>, rhs: IntTensor<Self>) -> IntTensor<Self>;
        bitwise_right_shift_scalar(lhs: IntTensor<Self>, rhs: Scalar) -> IntTensor<Self>;
        int_cast(tensor: IntTensor<Self>, dtype: IntDType) -> IntTensor<Self>;
        int_unfold(tensor: IntTensor<Self>, dim: usize, size: usize, step: usize) -> IntTensor<Self>;
    }
}
