//! Wasserstein autoencoder.

use super::{
    AutoencoderError, Penalty, WaeConfig,
    critic::{Critic, logistic_loss},
    mmd::mmd,
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

/// Autoencoder whose latents, over all data, are distributed like a prior (Tolstikhin, Bousquet, Gelly & Schölkopf 2018, arXiv 1711.01558):
///
/// ```text
/// min E |x - G(E(x))|² + λ Δ(q, p),    q the distribution of E(x), p = N(0, σ² I).
/// ```
///
/// The penalty Δ is either the maximum mean discrepancy with the kernel `C / (C + |a - b|²)`, `C = 2 d σ²`, the expected squared distance of two draws of the prior;
/// or what a critic D on latents makes of them: it learns to be positive on latents and negative on draws of the prior, and `Δ = E -log sigmoid(-D(E(x)))`.
///
/// There is no density. The decoder of a draw of the prior is a [sample](Self::sample).
#[derive(Module, Debug)]
pub struct Wae<B: Backend> {
    /// From x to z.
    pub encoder: Encoder<B>,
    /// From z to x.
    pub decoder: Decoder<B>,
    /// Of latents, where the penalty is adversarial.
    pub critic: Option<Critic<B>>,
    #[module(skip)]
    config: WaeConfig,
}

impl<B: Backend> Wae<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.config.shape
    }

    /// Standard deviation of the prior.
    pub fn sigma(&self) -> f64 {
        self.config.sigma
    }

    /// Weights drawn from the seed.
    ///
    /// # Errors
    /// A configuration of which no model can be built.
    pub fn new(
        config: &WaeConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoencoderError> {
        config.check()?;
        let mut init = Init::new(seed);
        let WaeConfig { shape, latent, network, penalty, .. } = config;
        let encoder = Encoder::new(network, *shape, *latent, &mut init, device)?;
        let decoder = Decoder::new(network, *latent, *shape, &mut init, device)?;
        let critic = match penalty {
            Penalty::Mmd {} => None,
            Penalty::Adversarial { hidden, activation, .. } => {
                Some(Critic::new(*latent, hidden, *activation, &mut init, device))
            }
        };
        Ok(Self { encoder, decoder, critic, config: config.clone() })
    }

    /// `n` draws of the prior; the backend's random generator decides which.
    fn prior(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let prior = Distribution::Normal(0.0, self.config.sigma);
        Tensor::random([n, self.config.latent], prior, device)
    }
}

impl<B: FlowBackend> Wae<B> {
    /// `n` draws of the prior, decoded; the backend's random generator decides which.
    ///
    /// # Shapes
    /// - output: `[n, D]`
    pub fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.decoder.forward(self.prior(n, device))
    }

    /// `mean |x - G(E(x))|² + λ Δ`: what encoder and decoder minimise. A batch of one has no maximum mean discrepancy, only the error.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; prior, draws of it: `[batch, d]`, which an adversarial penalty leaves aside
    /// - output: `[1]`
    pub fn loss(&self, x: Tensor<B, 2>, prior: Tensor<B, 2>) -> Tensor<B, 1> {
        let z = self.encoder.forward(x.clone());
        let error = squared_error(x, self.decoder.forward(z.clone())).mean();
        let [batch, d] = z.dims();
        let penalty = match &self.critic {
            Some(critic) => logistic_loss(critic.forward(z).neg()).mean(),
            None if batch == 1 => return error,
            None => mmd(z, prior, 2.0 * d as f64 * self.config.sigma.powi(2)),
        };
        error + penalty * self.config.lambda
    }
}

impl<B: FlowBackend> LatentModel<B> for Wae<B> {
    fn latent_dimension(&self) -> usize {
        self.config.latent
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.encoder.forward(x)
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decoder.forward(z)
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for Wae<B>
where
    B::InnerBackend: FlowBackend,
{
    /// The critic, if there is one; then encoder and decoder.
    fn turns(&self) -> Vec<Turn> {
        let (Some(critic), Penalty::Adversarial { rate, .. }) =
            (&self.critic, &self.config.penalty)
        else {
            return vec![Turn::default()];
        };
        let rest = [list_param_ids(&self.encoder), list_param_ids(&self.decoder)].concat();
        vec![
            Turn { players: Some(list_param_ids(critic)), rate: *rate },
            Turn { players: Some(rest), rate: 1.0 },
        ]
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        let prior = self.prior(x.dims()[0], &x.device());
        Learned::Loss(match &self.critic {
            Some(critic) if turn == 0 => {
                let z = self.encoder.forward(x).detach();
                let (latents, draws) = (critic.forward(z), critic.forward(prior));
                (logistic_loss(latents) + logistic_loss(draws.neg())).mean() * self.config.lambda
            }
            _ => self.loss(x, prior),
        })
    }
}

impl<B: FlowBackend> Objective<B> for Wae<B> {
    /// The squared error of reconstruction alone: the penalty is one of a distribution, not of an input.
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let reconstruction = self.decode(self.encode(x.clone()));
        squared_error(x, reconstruction)
    }
}
