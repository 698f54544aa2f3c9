//! The passage between a backend and its forward mode.

use burn::module::AutodiffModule;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

use crate::backend::Forward;
use crate::dual::Dual;
use crate::error::ForwardError;

/// A tensor with tangents, one for each direction in which a function of it is to be differentiated.
///
/// # Shapes
///
/// - primal: `[...]`, of rank `D`
/// - tangents: `[K, ...]`, of rank `E = D + 1`
///
/// # Errors
///
/// [`ForwardError::TangentRank`] if `E` is not `D + 1`, [`ForwardError::TangentShape`] if the tangents are not of the
/// primal's shape or there is no direction.
///
/// # Example
///
/// ```
/// use atypical_forward::{lift, parts};
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let x = Tensor::<Flex, 1>::from_floats([1.0, 2.0], &device);
/// let basis = Tensor::<Flex, 2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
/// let x = lift(x, basis)?;
/// let (_, tangents) = parts::<Flex, 1, 2>(x.clone() * x)?;
/// assert_eq!(tangents.unwrap().to_data().to_vec::<f32>().unwrap(), [2.0, 0.0, 0.0, 4.0]);
/// # Ok::<(), atypical_forward::ForwardError>(())
/// ```
pub fn lift<B: Backend, const D: usize, const E: usize>(
    primal: Tensor<B, D>,
    tangents: Tensor<B, E>,
) -> Result<Tensor<Forward<B>, D>, ForwardError> {
    check_rank::<D, E>()?;
    let (own, given) = (primal.shape(), tangents.shape());
    if given[1..] != own[..] || given[0] == 0 {
        return Err(ForwardError::TangentShape { primal: own.to_vec(), tangents: given.to_vec() });
    }
    let dual =
        Dual::new(primal.into_primitive().tensor(), Some(tangents.into_primitive().tensor()));
    Ok(Tensor::from_primitive(TensorPrimitive::Float(dual)))
}

/// A tensor without tangents: a constant, of which nothing is differentiated.
///
/// # Shapes
///
/// - primal: `[...]`
///
/// # Example
///
/// ```
/// use atypical_forward::{constant, parts};
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let x = constant(Tensor::<Flex, 1>::ones([3], &Default::default()));
/// let (_, tangents) = parts::<Flex, 1, 2>(x.exp())?;
/// assert!(tangents.is_none());
/// # Ok::<(), atypical_forward::ForwardError>(())
/// ```
pub fn constant<B: Backend, const D: usize>(primal: Tensor<B, D>) -> Tensor<Forward<B>, D> {
    Tensor::from_inner(primal)
}

/// The primal and the tangents of a tensor, these if it has any.
///
/// # Shapes
///
/// - primal: `[...]`, of rank `D`
/// - tangents: `[K, ...]`, of rank `E = D + 1`
///
/// # Errors
///
/// [`ForwardError::TangentRank`] if `E` is not `D + 1`.
///
/// # Example
///
/// See [`lift`].
#[allow(clippy::type_complexity)]
pub fn parts<B: Backend, const D: usize, const E: usize>(
    tensor: Tensor<Forward<B>, D>,
) -> Result<(Tensor<B, D>, Option<Tensor<B, E>>), ForwardError> {
    check_rank::<D, E>()?;
    let dual = tensor.into_primitive().tensor();
    let float = |x| Tensor::from_primitive(TensorPrimitive::Float(x));
    Ok((
        float(dual.primal),
        dual.tangents.map(|t| Tensor::from_primitive(TensorPrimitive::Float(t))),
    ))
}

/// A module over `B` as one over `Forward<B>`, with its parameters as constants and in inference: without dropout.
///
/// Burn draws the parameters of a module when they are first used, and a copy made before that draws its own. To keep
/// a module next to its twin, use it first, or take it back with `valid`.
///
/// # Example
///
/// ```
/// use atypical_forward::{Forward, jvp, on_forward};
/// use burn::backend::Flex;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let twin: Linear<Forward<Flex>> = on_forward(LinearConfig::new(3, 2).init::<Flex>(&device));
///
/// let direction = Tensor::<Flex, 3>::ones([1, 1, 3], &device);
/// let (_, product) = jvp(|x| twin.forward(x), Tensor::<Flex, 2>::zeros([1, 3], &device), direction)?;
/// let product: Tensor<Flex, 3> = product;
/// let expected = twin.weight.val().inner().sum_dim(0).unsqueeze::<3>();
/// product.to_data().assert_approx_eq::<f32>(&expected.to_data(), Default::default());
/// # Ok::<(), atypical_forward::ForwardError>(())
/// ```
pub fn on_forward<B: Backend, M: AutodiffModule<Forward<B>>>(module: M::InnerModule) -> M {
    M::from_inner(module)
}

pub(crate) fn check_rank<const D: usize, const E: usize>() -> Result<(), ForwardError> {
    if E == D + 1 { Ok(()) } else { Err(ForwardError::TangentRank { primal: D, tangents: E }) }
}
