//! Cholesky factors of a batch of matrices in tensor operations.

use burn::tensor::{Tensor, backend::Backend};

/// Lower triangular `L` with a positive diagonal and `L Lᵀ = a`, for every matrix of a batch; of `a`, the lower triangle is read.
///
/// `d` steps on the whole batch, elementwise but for slices: the same precision on every backend.
///
/// Where a matrix is not positive definite, columns are NaN from the first at which that shows (the last at the latest). The other
/// matrices of the batch are not touched by it, and nothing is ever added to a diagonal.
///
/// # Shapes
/// - a, output: `[batch, d, d]`
pub fn cholesky<B: Backend>(a: Tensor<B, 3>) -> Tensor<B, 3> {
    let [batch, _, _] = a.dims();
    let (device, dtype) = (a.device(), a.dtype());
    let padded = columns(a).into_iter().enumerate().map(|(j, column)| match j {
        0 => column,
        _ => Tensor::cat(vec![Tensor::zeros([batch, j, 1], (&device, dtype)), column], 1),
    });
    Tensor::cat(padded.collect(), 2)
}

/// `log det a = 2 Σ log L_jj` of positive definite matrices; NaN where a matrix is not positive definite.
///
/// # Shapes
/// - a: `[batch, d, d]`
/// - output: `[batch]`
pub fn log_det<B: Backend>(a: Tensor<B, 3>) -> Tensor<B, 1> {
    let [batch, _, _] = a.dims();
    let diagonal = columns(a).into_iter().map(|column| column.narrow(1, 0, 1)).collect();
    Tensor::cat(diagonal, 1).log().sum_dim(1).reshape([batch]) * 2.0
}

/// The columns of the factor from the diagonal down, `[batch, d - j, 1]`, each taken from what the columns before it leave of the matrix.
fn columns<B: Backend>(a: Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
    let [_, d, _] = a.dims();
    let mut rest = a;
    let mut columns = Vec::with_capacity(d);
    for below in (0..d).rev() {
        let column = rest.clone().narrow(2, 0, 1);
        let pivot = column.clone().narrow(1, 0, 1);
        // A pivot of zero would give an infinite column, and a last one a factor that looks like any other.
        let pivot = pivot.clone().mask_fill(pivot.lower_equal_elem(0.0), f64::NAN).sqrt();
        let column = column / pivot;
        if below > 0 {
            let tail = column.clone().narrow(1, 1, below);
            let product = tail.clone() * tail.swap_dims(1, 2);
            rest = rest.narrow(1, 1, below).narrow(2, 1, below) - product;
        }
        columns.push(column);
    }
    columns
}
