//! Autoregressive models: `p(x) = Π_i p(x_i | x_1, …, x_{i-1})`, each factor a mixture whose parameters a network computes from what comes before.
//!
//! [`PixelCnn`] has discretised logistics over the levels of an image's pixels and sees all earlier pixels through convolutions;
//! [`LstmMixture`] has Gaussians over real coordinates and carries what it has seen along in the state of an LSTM.

mod causal;
mod config;
mod generate;
mod logistic;
mod lstm;
mod pixel_cnn;

pub use causal::{CausalConv, Stream};
pub use config::{LstmMixtureConfig, PixelCnnConfig};
pub use logistic::LogisticMixture;
pub use lstm::{LstmCell, LstmMixture};
pub use pixel_cnn::{GatedBlock, PixelCnn, PixelCnnLayer};

use burn::tensor::{Distribution, Int, Tensor, backend::Backend};
use thiserror::Error;

/// An autoregressive model that cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum AutoregressiveError {
    /// A key outside its range.
    #[error("{key} {problem}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value and what it must be.
        problem: String,
    },
}

impl From<(&'static str, String)> for AutoregressiveError {
    fn from((key, problem): (&'static str, String)) -> Self {
        Self::Config { key, problem }
    }
}

/// `log Σ exp(x)` over a dimension, which stays with length 1.
fn log_sum_exp<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize) -> Tensor<B, D> {
    // The largest cancels: it is a constant for differentiation.
    let largest = x.clone().detach().max_dim(dim);
    (x - largest.clone()).exp().sum_dim(dim).log() + largest
}

/// A component for each row of logits, by the Gumbel-max trick: `argmax_k (logit_k - log(-log u_k))`.
///
/// # Shapes
/// - logits: `[n, components]`
/// - output: `[n, 1]`
fn choose<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 2, Int> {
    let u = Tensor::random(logits.dims(), Distribution::Default, &logits.device());
    (logits - u.log().neg().log()).argmax(1)
}
