//! Two-step density estimation (Loaiza-Ganem et al. 2022, "Diagnosing and fixing manifold overfitting", arXiv 2204.07172).
//!
//! Where data lie on a manifold of fewer dimensions than their space has, the likelihood of a density on the whole space has no
//! bound: it grows as the density piles up on the manifold, whatever it does along it. Two steps avoid that. An autoencoder learns the
//! manifold, and a second model learns the density of the latents `z`, which has a likelihood that means something. On the manifold, with
//! its own surface measure, the density is
//!
//! `log p(x) = log p(z) - ½ log det JᵀJ`, `z = encode(x)`, `J = ∂decode/∂z`.
//!
//! [`log_prob`] is this equation, [`volume`] its second term. All of it is tensor operations, and differentiable.

mod cholesky;
mod jacobian;
mod volume;

pub use cholesky::{cholesky, log_det};
pub use jacobian::decoder_jacobian;
pub use volume::{log_prob, volume};
