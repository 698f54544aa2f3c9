//! What training asks of a model.

use burn::{
    module::{AutodiffModule, ParamId},
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// A model that learns from batches.
///
/// A step of training has one turn, or several where a model's parts play against each other: a critic moves before the rest
/// does. Every turn minimises a loss of its own over parameters of its own. Random numbers come from the backend's generator, which is seeded before every step; all
/// state that outlives a step (a replay buffer, running statistics) is kept in the module's parameters, so that a checkpoint has it.
pub trait Learn<B: AutodiffBackend>: AutodiffModule<B> {
    /// The turns of one step, in order.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::default()]
    }

    /// What a batch teaches in the turn of this number.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B>;
}

/// What validation asks of a model.
pub trait Objective<B: Backend> {
    /// What is to be small, for each input, without randomness of its own: the negative log-density or a bound on it, in nats, where there is one.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch]`
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1>;
}

/// One part of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The parameters that it moves; none for all.
    pub players: Option<Vec<ParamId>>,
    /// Factor of the learning rate.
    pub rate: f64,
}

impl Default for Turn {
    fn default() -> Self {
        Self { players: None, rate: 1.0 }
    }
}

/// What a batch taught.
#[derive(Debug)]
pub enum Learned<B: AutodiffBackend> {
    /// A loss `[1]` whose gradient the optimizer goes down.
    Loss(Tensor<B, 1>),
    /// The model moved by a rule of its own, as by expectation maximisation; its objective before, averaged over the batch.
    Moved(Tensor<B::InnerBackend, 1>),
}
