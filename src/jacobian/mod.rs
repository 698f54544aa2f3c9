//! Jacobians of decoders.
//!
//! [`reverse`] differentiates any map by reverse mode, one row of the Jacobian a cotangent. [`decoder`] does the same for a
//! [`Flow`](atypical_models::flow::Flow), but step by step: it accumulates `dx/dz` from the latent outwards and uses what is
//! known about each step. Both are exact; the tests hold them against each other.
//!
//! What the steps save, for a map of dimension d inside the flow:
//! - latents that enter at a finer level carry no tangents through the coarser ones;
//! - affine steps act on the tangents directly, elementwise steps scale them;
//! - a coupling needs d/2 rows instead of d, of its conditioner alone, and one forward pass for all of them.

mod decoder;
mod reverse;

pub use decoder::decoder;
pub use reverse::reverse;

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
}

/// Check that every entry is finite.
fn finite(jacobian: Vec<f32>, dimension: usize) -> Result<Vec<f32>, JacobianError> {
    match jacobian.iter().filter(|v| !v.is_finite()).count() {
        0 => Ok(jacobian),
        count => Err(JacobianError::NotFinite { count, dimension }),
    }
}
