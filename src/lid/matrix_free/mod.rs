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
//!   The space does not depend on r: all scales come from it ([`Krylov`]).
//! - Steps are taken until they change the LID by less than the tolerance; probes are added until the standard error of the
//!   trace is below it ([`MatrixFree`]).
//!
//! A product costs one pass through the decoder and one back, so an image costs `2 · steps · (1 + probes)` passes where the
//! Jacobian costs of the order of D.
//!
//! Data space rather than latent space: there A couples few, neighbouring pixels, and the variance of the trace,
//! `2 Σ_{i≠j} F_ij²` a probe with `F = A (A + v)⁻¹`, is half as large. Deflating the leading eigenvectors (Hutch++, Meyer et al. 2021) would lower it
//! only by what they hold of `Σ F_ij²`; where F is close to a projector of rank LID, a sketch as large as the LID would have to
//! be taken off to gain more than a further probe does.

mod estimate;
mod krylov;
mod space;
mod trace;

pub use estimate::{MatrixFree, StopAt};
pub use krylov::{Krylov, Reading};
pub use space::Space;
pub use trace::Trace;
