//! Products of matrices.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Shape, TensorMetadata};

use crate::dual::{Dual, binary, lifted};

/// `y = l r`, `ẏ = l̇ r + l ṙ`.
pub(crate) fn matmul<B: Backend>(l: Dual<B>, r: Dual<B>) -> Dual<B> {
    binary(
        l,
        r,
        B::float_matmul,
        |t, at| rows_times::<B>(t, &at.r),
        |t, at| B::float_matmul(lifted::<B>(&at.l), t),
    )
}

/// `x r` for tangents `x`; against a single matrix `r`, a weight, all their rows are one matrix, and this one product.
pub(crate) fn rows_times<B: Backend>(x: FloatTensor<B>, r: &FloatTensor<B>) -> FloatTensor<B> {
    let shape = r.shape();
    let (batch, matrix) = shape.split_at(shape.len() - 2);
    if batch.iter().any(|&n| n != 1) {
        return B::float_matmul(x, lifted::<B>(r));
    }
    let rows = x.shape();
    let (rest, last) = rows.split_at(rows.len() - 1);
    let x = B::float_reshape(x, Shape::new([rest.iter().product(), last[0]]));
    let y = B::float_matmul(x, B::float_reshape(r.clone(), Shape::from(matrix.to_vec())));
    B::float_reshape(y, Shape::from([rest, &matrix[1..]].concat()))
}
