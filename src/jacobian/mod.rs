//! Jacobians of decoders.
//!
//! A [`Differential`] is a map's derivative at a batch of points, as a linear map: products with tangents ([`jvp`], forward
//! mode) and with cotangents ([`vjp`], reverse mode). There are three. [`Map`] differentiates any function of tensors, by
//! [`Forward`](atypical_forward::Forward) and burn's `Autodiff`. [`Linearized`] is that of a
//! [`Flow`](atypical_models::flow::Flow)'s decoder: what does not depend on the direction is computed once.
//! [`Matrices`] are known already.
//!
//! [`jacobian`] makes a dense matrix out of any of them, row by row or column by column; [`decoder`] makes that of a flow from the
//! latent outwards and uses what is known about each step. Both are exact; the tests hold them against each other.
//!
//! What the steps save, for a map of dimension d inside the flow:
//! - latents that enter at a finer level carry no tangents through the coarser ones;
//! - affine steps act on the tangents directly, elementwise steps scale them;
//! - a coupling needs d/2 rows instead of d, of its conditioner alone, and one forward pass for all of them.
//!
//! Memory is bounded in bytes ([`Memory`]), which decides how many directions go together.
//!
//! [`jvp`]: Differential::jvp
//! [`vjp`]: Differential::vjp

mod decoder;
mod dense;
mod differential;
mod error;
mod latent;
mod linearized;
mod map;
mod matrices;
mod memory;

pub use decoder::decoder;
pub use dense::{Mode, jacobian};
pub use differential::Differential;
pub use error::JacobianError;
pub use latent::of_latent_model;
pub use linearized::Linearized;
pub use map::Map;
pub use matrices::Matrices;
pub use memory::Memory;

use differential::check_rows;
use error::finite;
