//! Adversarial variational Bayes.

use super::{
    AutoencoderError, AvbConfig, ImplicitEncoder,
    critic::{Critic, logistic_loss},
    deviation::start_from,
};
use crate::{
    DensityModel, Init, LatentModel, Learn, Learned, Objective, Turn, network::Decoder,
    ops::FlowBackend,
};
use burn::{
    module::{Module, Param, list_param_ids},
    tensor::{
        Distribution, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// Seed of the noise that scores are averaged over: one for all models, so that a model that is loaded has the noise it was saved with.
const DRAWS: u64 = 0;

/// Variational autoencoder with an implicit encoder (Mescheder, Nowozin & Geiger 2017, arXiv 1701.04722).
///
/// The prior is standard normal, the decoder Gaussian about its network's output, with one σ for all dimensions and inputs, which is learnt.
/// The encoder `z = E(x, ε)`, `ε ~ N(0, input_sigma² I)`, has no density q(z|x) to put into the evidence's lower bound. A critic D learns the logarithm of the
/// ratio that is missing, by telling pairs (x, E(x, ε)) from pairs of x and a draw of the prior:
///
/// ```text
/// D* = argmin E -log sigmoid(D(x, E(x, ε))) - log sigmoid(-D(x, z)),  z ~ N(0, I)    =>    D*(x, z) = log q(z|x) / p(z)
/// log p(x) >= E log p(x|z) - D*(x, z),  z = E(x, ε)
/// ```
///
/// Each step the critic moves first, then encoder and decoder go up the bound.
///
/// [`log_prob`](DensityModel::log_prob) is the right side with the D at hand, averaged over draws of ε that are the same for every input: an estimate of
/// the bound, in nats. It *is* a bound, in expectation, only with the optimal critic; away from the data the critic has never been asked.
#[derive(Module, Debug)]
pub struct Avb<B: Backend> {
    /// From x and noise to z.
    pub encoder: ImplicitEncoder<B>,
    /// From z to the mean of x.
    pub decoder: Decoder<B>,
    /// Logarithm of the decoder's standard deviation, `[1]`.
    pub log_sigma: Param<Tensor<B, 1>>,
    /// Log-ratio of posterior and prior, of pairs (x, z).
    pub critic: Critic<B>,
    #[module(skip)]
    config: AvbConfig,
}

impl<B: Backend> Avb<B> {
    /// Start the decoder's standard deviation from a batch: that around the mean.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn initialize(&mut self, x: Tensor<B, 2>) {
        start_from(&mut self.log_sigma, x);
    }

    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.config.shape
    }

    /// Weights drawn from the seed; σ is 1.
    ///
    /// # Errors
    /// A configuration of which no model can be built.
    pub fn new(
        config: &AvbConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoencoderError> {
        config.check()?;
        let mut init = Init::new(seed);
        let d = config.latent;
        let pair = config.shape.iter().product::<usize>() + d;
        Ok(Self {
            encoder: ImplicitEncoder::new(config, &mut init, device)?,
            decoder: Decoder::new(&config.network, d, config.shape, &mut init, device)?,
            log_sigma: Param::from_tensor(Tensor::zeros([1], device)),
            critic: Critic::new(
                pair,
                &config.critic_hidden,
                config.critic_activation,
                &mut init,
                device,
            ),
            config: config.clone(),
        })
    }
}

impl<B: FlowBackend> Avb<B> {
    /// `log p(x|z)`, in nats.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; z: `[batch, d]`
    /// - output: `[batch]`
    pub fn log_likelihood(&self, x: Tensor<B, 2>, z: Tensor<B, 2>) -> Tensor<B, 1> {
        let [batch, dimension] = x.dims();
        let log_sigma = self.log_sigma.val();
        let residual = (x - self.decoder.forward(z)) * log_sigma.clone().neg().exp().unsqueeze();
        let squares = residual.powi_scalar(2).sum_dim(1).reshape([batch]);
        let constant = 0.5 * std::f64::consts::TAU.ln();
        squares * -0.5 - (log_sigma + constant) * dimension as f64
    }

    /// `log p(x|z) - D(x, z)` with `z = E(x, ε)`, in nats: what encoder and decoder maximise.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; noise, ε: `[batch, noise_dimension]`
    /// - output: `[batch]`
    pub fn estimate(&self, x: Tensor<B, 2>, noise: Tensor<B, 2>) -> Tensor<B, 1> {
        let z = self.encoder.forward(x.clone(), noise);
        self.log_likelihood(x.clone(), z.clone()) - self.critic.of_pairs(x, z)
    }

    /// What it costs the critic to tell pairs (x, E(x, ε)) from pairs of x and a draw z of the prior, in nats: what the critic minimises.
    ///
    /// # Shapes
    /// - x: `[batch, D]`; noise, ε: `[batch, noise_dimension]`; prior, z: `[batch, d]`
    /// - output: `[1]`
    pub fn critic_loss(
        &self,
        x: Tensor<B, 2>,
        noise: Tensor<B, 2>,
        prior: Tensor<B, 2>,
    ) -> Tensor<B, 1> {
        let z = self.encoder.forward(x.clone(), noise).detach();
        let (posterior, prior) =
            (self.critic.of_pairs(x.clone(), z), self.critic.of_pairs(x, prior));
        (logistic_loss(posterior) + logistic_loss(prior.neg())).mean()
    }

    /// ε of scores: for each of the draws, the same for a whole batch.
    fn draws(&self, batch: usize, device: &B::Device) -> impl Iterator<Item = Tensor<B, 2>> {
        let AvbConfig { samples, noise_dimension, input_sigma, .. } = self.config;
        let draws = Init::new(DRAWS).normal::<B, 2>([samples, noise_dimension], device);
        let draws = draws * input_sigma;
        (0..samples).map(move |k| draws.clone().narrow(0, k, 1).expand([batch, noise_dimension]))
    }

    /// The mean of a function of ε over the draws, one pass for each.
    fn mean_over_draws<const R: usize>(
        &self,
        x: &Tensor<B, 2>,
        f: impl Fn(Tensor<B, 2>) -> Tensor<B, R>,
    ) -> Tensor<B, R> {
        let sum = self.draws(x.dims()[0], &x.device()).map(f).reduce(|a, b| a + b);
        sum.expect("there is at least one draw") / self.config.samples as f64
    }
}

impl<B: FlowBackend> DensityModel<B> for Avb<B> {
    fn dimension(&self) -> usize {
        self.config.shape.iter().product()
    }

    /// An estimate, and a bound only if the critic is optimal.
    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.mean_over_draws(&x, |noise| self.estimate(x.clone(), noise))
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let z = Tensor::random([n, self.latent_dimension()], STANDARD, device);
        let noise = Tensor::random([n, self.dimension()], STANDARD, device);
        self.decoder.forward(z) + noise * self.log_sigma.val().exp().unsqueeze()
    }
}

const STANDARD: Distribution = Distribution::Normal(0.0, 1.0);

impl<B: FlowBackend> LatentModel<B> for Avb<B> {
    fn latent_dimension(&self) -> usize {
        self.config.latent
    }

    /// The mean over the draws of the noise.
    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.mean_over_draws(&x, |noise| self.encoder.forward(x.clone(), noise))
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decoder.forward(z)
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for Avb<B>
where
    B::InnerBackend: FlowBackend,
{
    /// The critic; then encoder and decoder.
    fn turns(&self) -> Vec<Turn> {
        let mut rest = list_param_ids(&self.encoder);
        rest.extend(list_param_ids(&self.decoder));
        rest.push(self.log_sigma.id);
        vec![
            Turn { players: Some(list_param_ids(&self.critic)), rate: self.config.critic_rate },
            Turn { players: Some(rest), rate: 1.0 },
        ]
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        let (batch, device) = (x.dims()[0], x.device());
        let sigma = Distribution::Normal(0.0, self.config.input_sigma);
        let noise = Tensor::random([batch, self.config.noise_dimension], sigma, &device);
        Learned::Loss(if turn == 0 {
            let prior = Tensor::random([batch, self.config.latent], STANDARD, &device);
            self.critic_loss(x, noise, prior)
        } else {
            self.estimate(x, noise).mean().neg()
        })
    }
}

impl<B: FlowBackend> Objective<B> for Avb<B> {
    /// The estimate of the negative log-density, in nats.
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.log_prob(x).neg()
    }
}
