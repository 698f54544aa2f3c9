//! Experiment trackers that can neither slow nor stop a training.
//!
//! [`Trackers`] hands what a run logs to any number of trackers: [`Wandb`] (an offline run, for `wandb sync`), [`TensorBoard`] (event
//! files) and [`Mlflow`] (a server).
//! Whatever is logged is first written to a file in the run's directory and delivered from there in the background, so that a tracker that
//! fails, hangs or is killed loses nothing.
//!
//! ```no_run
//! # use std::collections::BTreeMap;
//! # use atypical_track::{Mlflow, Outcome, RunInfo, TensorBoard, Trackers, Wandb};
//! # fn main() -> Result<(), atypical_track::TrackError> {
//! # let run: RunInfo = unimplemented!();
//! let dir = run.dir.clone();
//! let trackers = Trackers::start(
//!     run,
//!     vec![
//!         Box::new(Wandb::new(&dir)),
//!         Box::new(TensorBoard::new(&dir.join("tensorboard"))),
//!         Box::new(Mlflow::new("http://127.0.0.1:5000")?),
//!     ],
//!     |warning| eprintln!("warning: {warning}"),
//! )?;
//! trackers.log(0, BTreeMap::from([("train/bpd".into(), 3.2)]));
//! trackers.finish(Outcome::Done);
//! # Ok(())
//! # }
//! ```
//!
//! # What may come twice
//! Everything is delivered at least once. A kill in the middle of a delivery, or a delivery that a server took without its answer coming
//! back, repeats what it was about (at most 1000 events):
//! MLflow keeps one of two equal metrics; W&B and TensorBoard show the same value twice at one step. After a resume from a checkpoint the
//! steps since then are logged anew in any case.

mod append;
mod error;
mod event;
mod flat;
mod lane;
mod mlflow;
mod names;
mod png;
mod proto;
mod spool;
mod tensorboard;
mod trackers;
mod wandb;
mod worker;

pub use error::TrackError;
pub use event::{Cell, Entry, Event, Outcome, RunInfo, Table};
pub use mlflow::Mlflow;
pub use tensorboard::TensorBoard;
pub use trackers::{Tracker, Trackers, is_behind};
pub use wandb::Wandb;
