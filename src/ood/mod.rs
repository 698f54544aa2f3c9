//! OOD experiments: score images with a trained model, evaluate the scores, write everything down.
//!
//! Images become [`statistic`]s, by a model ([`Scorer`]) or by their pixels; [`method`]s make scores of statistics; [`Experiment`] knows data,
//! evaluation and report.

mod cache;
mod error;
mod evaluate;
mod experiment;
mod gate;
mod labelled;
pub mod method;
mod score;
mod scorer;
pub mod statistic;
mod survey;

pub use cache::{Cache, Timing, fingerprint};
pub use error::OodError;
pub use evaluate::{DUAL_CROSS_FITTED, DUAL_ORACLE, Entry, RowError, Scored, rows};
pub use experiment::{Experiment, Judged, Overlap, Results, RunResults, judge, write};
pub use gate::{Gate, GateError, Verdict};
pub use labelled::{LabelError, Labelled, NamedScore, NamedScores, Reading};
pub use method::RULES;
pub use score::{Fit, Plan, SetScores, expect_domain, fit, score, score_with, undefined};
pub use scorer::{Chosen, Failure, Outcome, Scorer, choose_scale, largest};
pub use statistic::{ComplexityError, Models, Statistic, Statistics};
pub use survey::{Column, MatrixFreeColumns, Member, Survey, Surveyed, Trouble, survey};
