//! A density of any kind.

use crate::{
    DensityModel, FlowBackend, Learn, Learned, Objective, Turn,
    autoregressive::{LstmMixture, PixelCnn},
    energy::Energy,
    flow::Flow,
    mixture::GaussianMixture,
};
use burn::{
    module::Module,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// A model of a density on all of its space: what two_step_zoo calls a density estimator.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum AnyEstimator<B: Backend> {
    /// A normalizing flow.
    Flow(Flow<B>),
    /// An energy-based model.
    Energy(Energy<B>),
    /// PixelCNN++.
    PixelCnn(PixelCnn<B>),
    /// An LSTM with mixtures of Gaussians.
    LstmMixture(LstmMixture<B>),
    /// A Gaussian mixture.
    Mixture(GaussianMixture<B>),
}

/// The same expression of whichever it is.
macro_rules! each {
    ($model:expr, $it:ident => $of:expr) => {
        match $model {
            AnyEstimator::Flow($it) => $of,
            AnyEstimator::Energy($it) => $of,
            AnyEstimator::PixelCnn($it) => $of,
            AnyEstimator::LstmMixture($it) => $of,
            AnyEstimator::Mixture($it) => $of,
        }
    };
}

impl<B: Backend> AnyEstimator<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        each!(self, it => it.shape())
    }
}

impl<B: FlowBackend> DensityModel<B> for AnyEstimator<B> {
    fn dimension(&self) -> usize {
        self.shape().iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        each!(self, it => it.log_prob(x))
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        each!(self, it => it.sample(n, device))
    }
}

impl<B: FlowBackend> Objective<B> for AnyEstimator<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        each!(self, it => it.objective(x))
    }
}

impl<B> Learn<B> for AnyEstimator<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn turns(&self) -> Vec<Turn> {
        each!(self, it => it.turns())
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        each!(self, it => it.learn(turn, x))
    }
}
