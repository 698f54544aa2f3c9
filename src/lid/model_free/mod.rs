//! Dimension of a data set without a model, from the points alone.
//!
//! One file an estimator, each with `local` (one value a point, from its nearest neighbours) and `global` (one value for all
//! points); [`ModelFree`] lists them by name. Points are `n x dimension` values, row-major; estimates are in dimensions.
//!
//! `k` always counts *other* points: a neighbourhood is a point and its k nearest neighbours ([`Neighbours`], exact). A point
//! that coincides with all of its neighbours is an atom: no ball around it holds more mass than a smaller one, and every local
//! estimate there is 0. Anything else that leaves an estimate undefined is an error that counts the points concerned.
//!
//! Golden values from scikit-dimension 0.5.0 (Bac et al. 2021, doi:10.3390/e23101368).

mod cloud;
pub mod corrint;
mod error;
pub mod ess;
mod estimator;
pub mod lpca;
pub mod mle;
mod neighbours;
pub mod twonn;

pub use error::ModelFreeError;
pub use estimator::ModelFree;
pub use neighbours::Neighbours;
