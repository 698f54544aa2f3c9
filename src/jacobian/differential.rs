//! What a derivative at given points offers.

use super::JacobianError;
use burn::tensor::{Tensor, backend::Backend};

/// The derivative `J` of a map from dimension D to dimension D at a batch of points.
pub trait Differential<B: Backend> {
    /// Points of the batch.
    fn points(&self) -> usize;

    /// The dimension D.
    fn dimension(&self) -> usize;

    /// The derivative at some of the points, in the order given.
    fn select(&self, points: &[usize]) -> Self
    where
        Self: Sized;

    /// Bytes that one direction takes while it passes, over all points; an estimate from the shapes.
    fn bytes_per_direction(&self) -> usize;

    /// Jacobian-vector products `J v`.
    ///
    /// # Shapes
    /// - tangents: `[count · points, D]`, direction k of point i at row `k · points + i`
    /// - output: the same
    ///
    /// # Errors
    /// Rows that do not belong to the points, an operation without a rule.
    fn jvp(&self, tangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError>;

    /// Vector-Jacobian products `Jᵀ u`, shaped as in [`jvp`](Self::jvp).
    ///
    /// # Errors
    /// Rows that do not belong to the points.
    fn vjp(&self, cotangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError>;
}

/// Rows and dimension, if the rows belong to the points.
pub(super) fn check_rows<B: Backend>(
    differential: &impl Differential<B>,
    rows: [usize; 2],
) -> Result<[usize; 2], JacobianError> {
    let (points, dimension) = (differential.points(), differential.dimension());
    match rows {
        [count, d] if count > 0 && count.is_multiple_of(points) && d == dimension => Ok(rows),
        _ => Err(JacobianError::Directions { rows, points, dimension }),
    }
}
