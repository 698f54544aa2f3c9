//! From the YAML of a sweep to its trials.
//!
//! [`SweepFile::read`] reads the file, [`expand`] makes the [`Point`]s of its space: which choices were made, and which keys of the
//! configuration they set. Nothing here knows what a configuration means: keys are dotted (`optimizer.lr`), values are JSON. Once the
//! caller has resolved a point to a full configuration, [`content_address`] names the trial.
//!
//! ```
//! # use atypical_sweep::space::{SweepFile, expand};
//! # use std::path::Path;
//! let text = "
//! command: train
//! axes:
//!   optimizer.lr: [1e-3, 3e-4]                  # a key of the configuration, and its values
//!   dataset:                                    # a group: its options set several keys
//!     group:
//!       mnist: {data.train: 'mnist:train', data.valid: 'mnist:test'}
//!       cifar10:
//!         set: {data.train: 'cifar10:train'}
//!         axes: {model.levels: [2, 3]}          # only with cifar10
//! exclude:
//!   - {dataset: cifar10, optimizer.lr: 3e-4}
//! ";
//! let sweep = SweepFile::read(text, Path::new("example.yaml"))?;
//! let labels: Vec<String> = expand(&sweep)?.points.iter().map(|point| point.label()).collect();
//! assert_eq!(labels, [
//!     "optimizer.lr=0.001 dataset=mnist",
//!     "optimizer.lr=0.001 dataset=cifar10 model.levels=2",
//!     "optimizer.lr=0.001 dataset=cifar10 model.levels=3",
//!     "optimizer.lr=0.0003 dataset=mnist",
//! ]);
//! # Ok::<(), atypical_sweep::space::SpaceError>(())
//! ```
//!
//! A space is a tree. Its root is the sweep file's `set` and `axes`; each option of a group is again a `set` with `axes` of its own, which
//! exist only where the option is chosen. A deeper `set` or axis wins over those that it stands in; between any others a common key is an
//! error.

pub mod asha;

mod axis;
mod canonical;
mod draw;
mod error;
mod exclusion;
mod expand;
mod file;
mod interval;
mod keys;
mod tree;

pub use axis::{Axis, Setting};
pub use canonical::{content_address, short_id};
pub use error::{Problem, SpaceError};
pub use expand::{Expansion, Point, expand};
pub use file::{Asha, Command, Draws, Goal, Method, Metric, Stop, SweepFile};

/// More values of an axis, or trials of a sweep, can only be a mistake.
pub const MOST: usize = 1_000_000;
