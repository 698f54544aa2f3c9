//! The derivative of any function of tensors.

use super::{Differential, JacobianError, check_rows};
use atypical_forward::Forward;
use atypical_models::flow::rows;
use burn::{
    backend::Autodiff,
    tensor::{Tensor, backend::Backend},
};

/// The derivative of a function `f` at a batch of points, each row mapped on its own: by forward mode for [`jvp`], by reverse
/// mode for [`vjp`], with a pass through `f` a call.
///
/// `f` is given twice, on either backend: `|z| twin.decode(z)` with the same module
/// [on `Forward`](atypical_forward::on_forward) and on `Autodiff`.
///
/// [`jvp`]: Differential::jvp
/// [`vjp`]: Differential::vjp
pub struct Map<B: Backend, F, R> {
    forward: F,
    reverse: R,
    at: Tensor<B, 2>,
    bytes_per_direction: usize,
}

impl<B, F, R> Map<B, F, R>
where
    B: Backend,
    F: Fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2>,
    R: Fn(Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 2>,
{
    /// At the points `at`; what one direction takes of memory is for the caller to say, who knows the function.
    ///
    /// # Shapes
    /// - at: `[points, D]`
    pub fn new(forward: F, reverse: R, at: Tensor<B, 2>, bytes_per_direction: usize) -> Self {
        Self { forward, reverse, at, bytes_per_direction }
    }
}

impl<B, F, R> Differential<B> for Map<B, F, R>
where
    B: Backend,
    F: Fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2> + Clone,
    R: Fn(Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 2> + Clone,
{
    fn select(&self, points: &[usize]) -> Self {
        Self {
            forward: self.forward.clone(),
            reverse: self.reverse.clone(),
            at: rows(&self.at, points),
            bytes_per_direction: self.bytes_per_direction / self.points().max(1) * points.len(),
        }
    }

    fn points(&self) -> usize {
        self.at.dims()[0]
    }

    fn dimension(&self) -> usize {
        self.at.dims()[1]
    }

    fn bytes_per_direction(&self) -> usize {
        self.bytes_per_direction
    }

    fn jvp(&self, tangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        let [rows, dimension] = check_rows(self, tangents.dims())?;
        let [points, count] = [self.points(), rows / self.points()];
        let tangents = tangents.reshape([count, points, dimension]);
        let (_, products): (_, Tensor<B, 3>) =
            atypical_forward::jvp(&self.forward, self.at.clone(), tangents)?;
        Ok(products.reshape([rows, dimension]))
    }

    fn vjp(&self, cotangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        let [rows, dimension] = check_rows(self, cotangents.dims())?;
        let at = self.at.clone().repeat_dim(0, rows / self.points());
        let at = Tensor::<Autodiff<B>, 2>::from_inner(at).require_grad();
        let output = (self.reverse)(at.clone());
        let gradients = (output * Tensor::from_inner(cotangents)).sum().backward();
        // No gradient: the output does not depend on the input.
        let device = self.at.device();
        Ok(at.grad(&gradients).unwrap_or_else(|| Tensor::zeros([rows, dimension], &device)))
    }
}
