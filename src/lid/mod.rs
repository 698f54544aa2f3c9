//! Local intrinsic dimension (LID).
//!
//! A decoder `f: z -> x` with Jacobian `J = df/dz` at `z0 = f⁻¹(x)` stretches the directions of the data manifold and
//! squeezes the others. Each [`Estimator`] reads this at a scale `sigma = exp(r)`, in two phases, because the costly part does
//! not depend on the scale: something is prepared once, [`LidEstimator::lid`] is cheap for any number of scales. [`Spectrum`] holds
//! what the exact estimators need, the eigenvalues of `JᵀJ` and the projections of z0; [`matrix_free`] needs only products with J.
//! [`model_free`] estimates dimensions without a model, from the points alone. [`scale`] chooses the scale.
//!
//! Numbers of record: plain f64, whatever backend the Jacobian came from.

pub mod bench;
mod estimator;
mod gap;
pub mod lidl;
pub mod matrix_free;
pub mod model_free;
pub mod scale;
mod spectral;
mod spectrum;
mod threshold;

pub use estimator::{Estimator, LidEstimator, Prepared, Route};
pub use gap::Gap;
pub use lidl::{Densities, Lidl};
pub use matrix_free::{Krylov, MatrixFree, StopAt};
pub use scale::{Scale, ScaleError};
pub use spectral::Spectral;
pub use spectrum::{Spectrum, SpectrumError};
pub use threshold::Threshold;
