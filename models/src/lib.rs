//! Likelihood-based deep generative models, generic over burn's [`Backend`](burn::tensor::backend::Backend).
//!
//! This crate knows tensors and nothing else: no files, no configuration layers, no command line. A model implements
//! [`DensityModel`], [`LatentModel`] or both, and [`Learn`]; the parts of a flow implement [`Bijection`](flow::Bijection). [`Model`] is any of them, and says what it cannot be asked.
//!
//! ```
//! use atypical_models::{DensityModel, flow::{Elementwise, Flow, VectorPreset}};
//! use burn::{backend::Flex, tensor::{Distribution, Tensor}};
//!
//! let device = Default::default();
//! let spline = Elementwise::RqSpline { bins: 8, tail: 3.0 };
//! let config = VectorPreset { dimension: 2, hidden: 16, layers: 2, ..Default::default() }.expand(&spline);
//! let flow = Flow::<Flex>::new(&config, 0, &device).unwrap();
//! let x = Tensor::random([5, 2], Distribution::Default, &device);
//! assert_eq!(flow.log_prob(x).dims(), [5]);
//! ```

pub mod autoencoder;
pub mod autoregressive;
mod density;
pub mod energy;
pub mod flow;
mod init;
mod learn;
pub mod mixture;
mod model;
pub mod network;
pub mod ops;
pub mod two_step;

pub use density::{DensityModel, LatentModel, bits_per_dimension};
pub use init::Init;
pub use learn::{Learn, Learned, Objective, Turn};
pub use model::{Ability, AnyAutoencoder, AnyEstimator, Model, ModelError, TwoStep, Undefined};
pub use ops::FlowBackend;
