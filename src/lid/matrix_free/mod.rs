//! Spectral LID without a Jacobian: from products with it alone.
//!
//! With `A = J Jᵀ` (the eigenvalues of `JᵀJ`, D x D in data space), `y = J z0` and `v = exp(2r)`, the LID of
//! [`Spectral`](super::Spectral) is
//!
//! `LID_r(x) = tr A (A + v)⁻¹ + v yᵀ (A + v)⁻² y`.
//!
//! - The trace is that of Hutchinson (1990): the mean of `gᵀ A (A + v)⁻¹ g` over random signs g, the same g for every image, so
//!   that images are compared on equal terms. Its standard error comes from the probes themselves ([`Trace`]).
//! - Every quadratic form is read from one block Krylov space of A, started from y and the probes together
//!   ([`Space`]; Golub & Underwood 1977): Gauss and Gauss-Radau quadrature (Golub & Meurant 2010, "Matrices, Moments and
//!   Quadrature", ch. 3 and 6; Ubaru, Chen & Saad 2017 for the trace), which bracket the form where f is completely monotone.
//!   All scales are read from it ([`Krylov`]), those far below
//!   the one that decided when to stop with a wide bracket.
//! - Steps are taken until the error of both forms within their brackets, a share of the width, is below the tolerance; probes are
//!   added until the standard error of the trace is below the tolerance too ([`MatrixFree`]). The form of y converges last, and faster
//!   beside the probes than alone: their vectors take the leading eigenvectors out of its way.
//!
//! A product costs one pass through the decoder and one back, so an image costs `2 · steps · (1 + probes)` passes where the
//! Jacobian costs of the order of D.
//!
//! Data space rather than latent space: there A couples few, neighbouring pixels, and the variance of the trace,
//! `2 Σ_{i≠j} F_ij²` a probe with `F = A (A + v)⁻¹`, is smaller: its root is 3.9 dimensions against 5.6 (48 Jacobians of the
//! greyscale RQ-NSF after one epoch on Fashion-MNIST). Deflating the leading eigenvectors first (Hutch++, Meyer et al. 2021) is not done, because there it
//! costs twice: it spreads over all pixels what was local, which raises that root to 4.9, 5.8 and 4.8 dimensions with 10, 30 and 100
//! eigenvectors off, and it takes as many products as further probes would.

mod estimate;
mod krylov;
mod space;
mod trace;

pub(crate) use estimate::signs;
pub use estimate::{MatrixFree, StopAt};
pub use krylov::{Krylov, Reading};
pub use space::Space;
pub(crate) use space::norm;
pub use trace::Trace;
