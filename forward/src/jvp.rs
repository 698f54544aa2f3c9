//! Jacobian-vector products.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::backend::Forward;
use crate::error::{ForwardError, catching};
use crate::lift::{check_rank, lift, parts};

/// The value `f(x)` and the products `J ẋ` of the Jacobian of `f` at `x` with all given directions, in one evaluation.
///
/// An output that does not depend on `x` has zeros there.
///
/// # Shapes
///
/// - `x`: `[...]`, of rank `D`
/// - tangents: `[K, ...]`, of rank `E = D + 1`
/// - value: of rank `O`
/// - products: `[K, ...shape of the value]`, of rank `P = O + 1`
///
/// # Errors
///
/// - [`ForwardError::TangentRank`] or [`ForwardError::TangentShape`] if the tangents do not belong to `x`, or if `P` is
///   not `O + 1`
/// - [`ForwardError::NoRule`] if `f` applies to what depends on `x` an operation that has no rule
///
/// # Panics
///
/// As `f` does.
///
/// # Example
///
/// ```
/// use atypical_forward::jvp;
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let x = Tensor::<Flex, 1>::from_floats([1.0, 2.0, 3.0], &device);
/// let direction = Tensor::<Flex, 2>::from_floats([[1.0, 0.0, -1.0]], &device);
/// let (value, product) = jvp(|x| x.powi_scalar(2).sum(), x, direction)?;
/// let product: Tensor<Flex, 2> = product;
/// assert_eq!((value.into_scalar(), product.into_scalar()), (14.0, -4.0));
/// # Ok::<(), atypical_forward::ForwardError>(())
/// ```
#[allow(clippy::type_complexity)]
pub fn jvp<B: Backend, const D: usize, const E: usize, const O: usize, const P: usize>(
    f: impl FnOnce(Tensor<Forward<B>, D>) -> Tensor<Forward<B>, O>,
    x: Tensor<B, D>,
    tangents: Tensor<B, E>,
) -> Result<(Tensor<B, O>, Tensor<B, P>), ForwardError> {
    check_rank::<O, P>()?;
    let k = tangents.dims()[0];
    let x = lift(x, tangents)?;
    let (value, products) = parts(catching(|| f(x))?)?;
    let products = products.unwrap_or_else(|| {
        let mut shape = [k; P];
        shape[1..].copy_from_slice(&value.dims());
        Tensor::zeros(shape, (&value.device(), value.dtype()))
    });
    Ok((value, products))
}
