//! Local intrinsic dimension (LID).
//!
//! A decoder `f: z -> x` with Jacobian `J = df/dz` at `z0 = f⁻¹(x)` stretches the directions of the data manifold and
//! squeezes the others. Each [`Estimator`] reads the spectrum of `JᵀJ` (eigenpairs λ_i, q_i) and the projections of z0 at a
//! scale `sigma = exp(r)`. They work in two phases, because the costly part does not depend on the scale: [`Spectrum`] is
//! computed once, [`LidEstimator::lid`] is cheap for any number of scales. [`scale`] chooses the scale, [`model_free`]
//! estimates dimensions without a model, from the points alone.
//!
//! Numbers of record: plain f64, whatever backend the Jacobian came from.

pub mod bench;
mod estimator;
pub mod model_free;
pub mod scale;
mod spectral;
mod spectrum;
mod threshold;

pub use estimator::{Estimator, LidEstimator};
pub use scale::{Scale, ScaleError};
pub use spectral::Spectral;
pub use spectrum::{Spectrum, SpectrumError};
pub use threshold::Threshold;
