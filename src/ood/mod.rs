//! OOD experiments: score images with a trained model, evaluate the scores, write everything down.
//!
//! [`Scorer`] knows the model through its log-density and the Jacobian of its decoder; [`Experiment`] knows data, evaluation
//! and report.

mod experiment;
mod scorer;
mod survey;

pub use experiment::{
    DUAL_CROSS_FITTED, DUAL_ORACLE, Experiment, LID, LIKELIHOOD, OodError, Results, SetScores, run,
};
pub use scorer::{Chosen, Failure, Outcome, Scorer, choose_scale, largest};
pub use survey::{Column, MatrixFreeColumns, Member, Survey, Surveyed, Trouble, survey};
