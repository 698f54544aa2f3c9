//! The error of reconstruction.

use burn::tensor::{Tensor, backend::Backend};

/// `|x - y|²` of each row.
///
/// # Shapes
/// - x, y: `[batch, D]`
/// - output: `[batch]`
pub(super) fn squared_error<B: Backend>(x: Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 1> {
    let [batch, _] = x.dims();
    (x - y).powi_scalar(2).sum_dim(1).reshape([batch])
}
