//! Bidirectional generative adversarial network.

use super::{
    AutoencoderError, BiGanConfig, critic::Critic, gradient_penalty::gradient_penalty,
    squared_error::squared_error,
};
use crate::{
    Init, LatentModel, Learn, Learned, Objective, Turn,
    network::{Decoder, Encoder},
    ops::FlowBackend,
};
use burn::{
    module::{Module, list_param_ids},
    tensor::{
        Distribution, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// A generator G and an encoder E that a critic D cannot tell apart by their pairs of input and latent (Donahue, Krähenbühl & Darrell 2017, arXiv 1605.09782; Dumoulin et al. 2017), in the
/// Wasserstein form with a penalty on the critic's gradient (Gulrajani et al. 2017, arXiv 1704.00028) and a reconstruction error of weight w:
///
/// ```text
/// D:     min  E D(G(z), z) - E D(x, E(x)) + λ E (|∇ D(x̂, ẑ)| - 1)²
/// G, E:  min  E D(x, E(x)) - E D(G(z), z) + w E |x - G(E(x))|²
/// ```
///
/// with z uniform on [-1, 1]ᵈ and (x̂, ẑ) uniform on the segments between pairs of either kind. In each step the critic has several turns.
///
/// There is no density. The generator of a draw of z is a [sample](Self::sample).
#[derive(Module, Debug)]
pub struct BiGan<B: Backend> {
    /// E, from x to z.
    pub encoder: Encoder<B>,
    /// G, from z to x.
    pub generator: Decoder<B>,
    /// D, of pairs (x, z).
    pub critic: Critic<B>,
    #[module(skip)]
    config: BiGanConfig,
}

/// The prior of each coordinate of z.
const PRIOR: Distribution = Distribution::Uniform(-1.0, 1.0);

impl<B: Backend> BiGan<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.config.shape
    }

    /// Weights drawn from the seed.
    ///
    /// # Errors
    /// A configuration of which no model can be built.
    pub fn new(
        config: &BiGanConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoencoderError> {
        config.check()?;
        let mut init = Init::new(seed);
        let BiGanConfig { shape, latent: d, network, .. } = config;
        let encoder = Encoder::new(network, *shape, *d, &mut init, device)?;
        let generator = Decoder::new(network, *d, *shape, &mut init, device)?;
        let pair = shape.iter().product::<usize>() + d;
        let BiGanConfig { critic_hidden, critic_activation, .. } = config;
        let critic = Critic::new(pair, critic_hidden, *critic_activation, &mut init, device);
        Ok(Self { encoder, generator, critic, config: config.clone() })
    }

    /// `n` draws of the prior; the backend's random generator decides which.
    fn prior(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        Tensor::random([n, self.config.latent], PRIOR, device)
    }
}

impl<B: FlowBackend> BiGan<B> {
    /// `n` draws of the prior, through the generator; the backend's random generator decides which.
    ///
    /// # Shapes
    /// - output: `[n, D]`
    pub fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.generator.forward(self.prior(n, device))
    }

    /// `mean D(x, E(x)) - mean D(G(z), z) + w mean |x - G(E(x))|²`: what encoder and generator minimise.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; prior, z: `[batch, d]`
    /// - output: `[1]`
    pub fn loss(&self, x: Tensor<B, 2>, prior: Tensor<B, 2>) -> Tensor<B, 1> {
        let z = self.encoder.forward(x.clone());
        let error = squared_error(x.clone(), self.generator.forward(z.clone())).mean();
        let encoded = self.critic.of_pairs(x, z).mean();
        let generated = self.critic.of_pairs(self.generator.forward(prior.clone()), prior).mean();
        encoded - generated + error * self.config.reconstruction
    }
}

impl<B: AutodiffBackend + FlowBackend> BiGan<B>
where
    B::InnerBackend: FlowBackend,
{
    /// `mean D(G(z), z) - mean D(x, E(x)) + λ mean (|∇ D| - 1)²`: what the critic minimises, the penalty at `(share) (x, E(x)) + (1 - share) (G(z), z)`.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; prior, z: `[batch, d]`; share: `[batch, 1]`, in [0, 1]
    /// - output: `[1]`
    pub fn critic_loss(
        &self,
        x: Tensor<B, 2>,
        prior: Tensor<B, 2>,
        share: Tensor<B::InnerBackend, 2>,
    ) -> Tensor<B, 1> {
        let z = self.encoder.forward(x.clone()).detach();
        let encoded = Tensor::cat(vec![x, z], 1);
        let generated = Tensor::cat(vec![self.generator.forward(prior.clone()).detach(), prior], 1);
        let [e, g] = [&encoded, &generated].map(|pairs| pairs.clone().inner());
        let between = g.clone() + (e - g) * share;
        let penalty = gradient_penalty(&self.critic, between) * self.config.lambda;
        self.critic.forward(generated).mean() - self.critic.forward(encoded).mean() + penalty
    }
}

impl<B: FlowBackend> LatentModel<B> for BiGan<B> {
    fn latent_dimension(&self) -> usize {
        self.config.latent
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.encoder.forward(x)
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.generator.forward(z)
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for BiGan<B>
where
    B::InnerBackend: FlowBackend,
{
    /// The critic, several times; then encoder and generator.
    fn turns(&self) -> Vec<Turn> {
        let critic =
            Turn { players: Some(list_param_ids(&self.critic)), rate: self.config.critic_rate };
        let rest = [list_param_ids(&self.encoder), list_param_ids(&self.generator)].concat();
        let mut turns = vec![critic; self.config.critic_turns];
        turns.push(Turn { players: Some(rest), rate: 1.0 });
        turns
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        let (batch, device) = (x.dims()[0], x.device());
        let prior = self.prior(batch, &device);
        Learned::Loss(if turn < self.config.critic_turns {
            let share = Tensor::random([batch, 1], Distribution::Default, &device);
            self.critic_loss(x, prior, share)
        } else {
            self.loss(x, prior)
        })
    }
}

impl<B: FlowBackend> Objective<B> for BiGan<B> {
    /// The squared error of reconstruction.
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let reconstruction = self.decode(self.encode(x.clone()));
        squared_error(x, reconstruction)
    }
}
