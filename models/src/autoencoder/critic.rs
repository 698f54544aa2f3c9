//! What encoders play against.

use crate::{
    init::Init,
    network::{Activation, Mlp},
};
use burn::{
    module::Module,
    tensor::{Tensor, activation::log_sigmoid, backend::Backend},
};

/// A network that gives each row a number: high for one kind of row, low for another.
#[derive(Module, Debug)]
pub struct Critic<B: Backend> {
    /// Fully connected, with one output.
    pub net: Mlp<B>,
}

impl<B: Backend> Critic<B> {
    /// Of rows with `inputs` numbers.
    pub(super) fn new(
        inputs: usize,
        hidden: &[usize],
        activation: Activation,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let sizes = [&[inputs], hidden, &[1]].concat();
        Self { net: Mlp::new(&sizes, activation, init, device) }
    }

    /// # Shapes
    /// - rows: `[batch, inputs]`
    /// - output: `[batch]`
    pub fn forward(&self, rows: Tensor<B, 2>) -> Tensor<B, 1> {
        let [batch, _] = rows.dims();
        self.net.forward(rows).reshape([batch])
    }

    /// The number of pairs of an input and a latent.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - z: `[batch, d]`
    /// - output: `[batch]`
    pub fn of_pairs(&self, x: Tensor<B, 2>, z: Tensor<B, 2>) -> Tensor<B, 1> {
        self.forward(Tensor::cat(vec![x, z], 1))
    }
}

/// `-log sigmoid(t)`, in nats: what it costs a critic that tells two kinds apart by the sign of t if t ought to be positive.
pub(super) fn logistic_loss<B: Backend>(t: Tensor<B, 1>) -> Tensor<B, 1> {
    log_sigmoid(t).neg()
}
