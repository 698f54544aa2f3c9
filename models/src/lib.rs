//! Likelihood-based deep generative models, generic over burn's [`Backend`](burn::tensor::backend::Backend).
//!
//! This crate knows tensors and nothing else: no files, no configuration layers, no command line. A model implements
//! [`DensityModel`]; the parts of a flow implement [`Bijection`](flow::Bijection).
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

mod density;
pub mod flow;
pub mod ops;

pub use density::{DensityModel, bits_per_dimension};
pub use ops::FlowBackend;
