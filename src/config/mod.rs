//! Typed configuration in layers: defaults < `--config` files < environment < `--set`.
//!
//! [`Loaded`] reads the layers into one tree in which every value remembers where it was set, then into a typed section
//! ([`TrainConfig`], [`OodConfig`]) by figment. A key that the section does not know, a wrong type or a bad value is an error
//! with file, line, key path and the nearest known key.

mod blame;
mod environment;
mod error;
mod kind;
mod loaded;
mod model;
mod ood;
mod schema;
mod track;
mod train;
mod tree;
mod two_step;

pub use environment::Environment;
pub use error::ConfigError;
pub use kind::of_another_kind;
pub(crate) use loaded::leaves;
pub use loaded::{Loaded, Section};
pub use model::ModelConfig;
pub use ood::{
    AroundConfig, BootstrapConfig, HessianConfig, LidConfig, Method, OodConfig, OptimumConfig,
    RegretConfig, ShellsConfig,
};
pub use schema::schema;
pub use track::{TrackConfig, Wandb};
pub use train::{
    DataConfig, EarlyStopping, Measure, Optimizer, SamplesConfig, Scheduler, TrainConfig,
};
pub use two_step::{SecondTraining, TwoStepConfig};
