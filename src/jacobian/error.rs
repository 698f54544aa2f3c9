//! What can be wrong with a Jacobian.

use atypical_forward::ForwardError;
use thiserror::Error;

/// A Jacobian that cannot be used.
#[derive(Debug, Error, PartialEq)]
pub enum JacobianError {
    /// NaN or infinite entries.
    #[error(
        "{count} of the {dimension}x{dimension} entries of the Jacobian are NaN or infinite; the model is numerically broken at \
         this input (check the training's last losses, or train with a smaller learning rate)"
    )]
    NotFinite {
        /// How many entries.
        count: usize,
        /// The dimension.
        dimension: usize,
    },
    /// Directions that do not belong to the points.
    #[error(
        "directions of shape {rows:?} do not belong to {points} points of dimension {dimension}: expected \
         [count x {points}, {dimension}]"
    )]
    Directions {
        /// Their shape.
        rows: [usize; 2],
        /// Points.
        points: usize,
        /// Dimension.
        dimension: usize,
    },
    /// A dense Jacobian of several points.
    #[error("a dense Jacobian is that of one point, not of {0}")]
    Points(usize),
    /// More memory than is allowed.
    #[error(
        "the dense {dimension}x{dimension} Jacobian needs at least {needed} MiB, but {allowed} MiB are allowed: allow {needed} \
         (--memory, or lid.memory_mib in a configuration), or use the estimator `matrix_free`, which never makes the matrix"
    )]
    Memory {
        /// The dimension.
        dimension: usize,
        /// MiB for one direction at a time.
        needed: usize,
        /// MiB allowed.
        allowed: usize,
    },
    /// More memory for products at one point than is allowed.
    #[error(
        "products with the Jacobian at one image need about {needed} MiB, but {allowed} MiB are allowed: allow {needed} (--memory, or \
         lid.memory_mib in a configuration)"
    )]
    Products {
        /// MiB for one point.
        needed: usize,
        /// MiB allowed.
        allowed: usize,
    },
    /// Forward mode.
    #[error("forward mode: {0}")]
    Forward(#[from] ForwardError),
}

/// Check that every entry is finite.
pub(super) fn finite(jacobian: Vec<f32>, dimension: usize) -> Result<Vec<f32>, JacobianError> {
    match jacobian.iter().filter(|v| !v.is_finite()).count() {
        0 => Ok(jacobian),
        count => Err(JacobianError::NotFinite { count, dimension }),
    }
}
