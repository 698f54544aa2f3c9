//! Dense Jacobians.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::backend::Forward;
use crate::error::ForwardError;
use crate::jvp::jvp;

/// The Jacobian `J[o, d] = ∂f_o / ∂x_d` of a function of vectors, by `chunk` of its columns at a time.
///
/// A larger chunk needs fewer evaluations of `f`, ⌈D / chunk⌉ of them, and more memory.
///
/// # Shapes
///
/// - `x`: `[1, D]`
/// - `f(x)`: `[1, O]`
/// - output: `[O, D]`
///
/// # Errors
///
/// - [`ForwardError::NotARow`] if `x` or `f(x)` is not of these shapes, or `x` is empty
/// - [`ForwardError::EmptyChunk`] if `chunk` is zero
/// - [`ForwardError::NoRule`] if `f` applies to what depends on `x` an operation that has no rule
///
/// # Example
///
/// ```
/// use atypical_forward::jacobian;
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let x = Tensor::<Flex, 2>::from_floats([[1.0, 2.0, 3.0]], &Default::default());
/// let jacobian = jacobian(|x| x.clone().prod_dim(1), x, 2)?;
/// assert_eq!(jacobian.to_data().to_vec::<f32>().unwrap(), [6.0, 3.0, 2.0]);
/// # Ok::<(), atypical_forward::ForwardError>(())
/// ```
pub fn jacobian<B: Backend>(
    f: impl Fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2>,
    x: Tensor<B, 2>,
    chunk: usize,
) -> Result<Tensor<B, 2>, ForwardError> {
    let row = |which, shape: [usize; 2]| match shape {
        [1, n] if n > 0 => Ok(n),
        _ => Err(ForwardError::NotARow { which, shape: shape.to_vec() }),
    };
    let n = row("input", x.dims())?;
    if chunk == 0 {
        return Err(ForwardError::EmptyChunk);
    }
    let (device, dtype) = (x.device(), x.dtype());
    let mut columns = Vec::new();
    for start in (0..n).step_by(chunk) {
        let k = chunk.min(n - start);
        let identity = Tensor::<B, 2>::eye(k, &device).cast(dtype).reshape([k, 1, k]);
        let basis = Tensor::<B, 3>::zeros([k, 1, n], (&device, dtype))
            .slice_assign([0..k, 0..1, start..start + k], identity);
        let (value, products): (_, Tensor<B, 3>) = jvp(&f, x.clone(), basis)?;
        let outputs = row("output", value.dims())?;
        columns.push(products.reshape([k, outputs]));
    }
    Ok(Tensor::cat(columns, 0).transpose())
}
