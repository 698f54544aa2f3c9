//! Reverse mode over a whole map.

use super::{JacobianError, finite};
use burn::{
    backend::Autodiff,
    tensor::{Tensor, TensorData, backend::Backend},
};

/// Dense Jacobian of `f` at `z` by reverse mode: `chunk` rows a backward pass.
///
/// `f` maps each row of a batch on its own, `[batch, D]` to `[batch, D]`.
///
/// # Shapes
/// - z: `[1, D]`
/// - output: `D x D` values, row-major, row i the gradient of output i
///
/// # Errors
/// NaN or infinite entries, counted.
pub fn reverse<B: Backend>(
    f: impl Fn(Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 2>,
    z: Tensor<B, 2>,
    chunk: usize,
) -> Result<Vec<f32>, JacobianError> {
    let dimension = z.dims()[1];
    let device = z.device();
    let mut rows = Vec::with_capacity(dimension * dimension);
    for from in (0..dimension).step_by(chunk) {
        let count = chunk.min(dimension - from);
        let input =
            Tensor::<Autodiff<B>, 2>::from_inner(z.clone().repeat_dim(0, count)).require_grad();
        let output = f(input.clone());
        let selector = Tensor::from_data(one_hot(from, count, dimension), &device);
        let gradients = (output * selector).sum().backward();
        let gradient = input.grad(&gradients).expect("the output depends on the tracked input");
        rows.extend(gradient.into_data().iter::<f32>());
    }
    finite(rows, dimension)
}

/// Rows `from..from + count` of the identity.
fn one_hot(from: usize, count: usize, dimension: usize) -> TensorData {
    let mut values = vec![0.0f32; count * dimension];
    for i in 0..count {
        values[i * dimension + from + i] = 1.0;
    }
    TensorData::new(values, [count, dimension])
}
