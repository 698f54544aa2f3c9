//! Train likelihood-based deep generative models and detect out-of-distribution (OOD) inputs with their whole learned density:
//! the likelihood, and the geometry around it.
//!
//! Run backward passes from one thread at a time: with several at once in one process, burn 0.21's automatic differentiation gave
//! wrong gradients now and then. The program itself does so.
//!
//! Data flows one way: [`config`] -> [`data`] -> [`train`] -> a [`run`] directory -> [`ood`] -> [`eval`] -> [`report`]. The
//! models live in the crate `atypical-models`; [`jacobian`] and [`lid`] read their geometry, [`doctor`] examines them.

pub mod backend;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod jacobian;
pub mod lid;
pub mod ood;
pub mod progress;
pub mod publish;
pub mod report;
pub mod run;
pub mod sweep;
pub mod track;
pub mod train;

pub use atypical_data as data;
pub use atypical_hub as hub;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
