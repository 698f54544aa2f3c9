//! The variational autoencoder.

use super::{AutoencoderError, Gaussian, Likelihood, VaeConfig, deviation::start_from};
use crate::{
    DensityModel, FlowBackend, Init, LatentModel, Learn, Learned, Objective,
    network::{Decoder, Encoder},
};
use burn::{
    module::Module,
    tensor::{
        Distribution, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// Draws behind the evidence lower bound of scores and validation.
const ELBO_DRAWS: usize = 8;
/// Seed of the draws behind scores and validation: the same for every model, so that a larger number of them begins with the smaller, and unlikely
/// to be that of the weights.
const NOISE_SEED: u64 = 0x006e_6f69_7365;
/// Latents that are decoded at a time, one batch at least.
const ROWS: usize = 1024;
/// Bound of `|log σ|` of the posterior. Any posterior makes a valid bound; beyond this one σ is nothing beside a mean of 1 in f32, or costs
/// 10¹² nats, and squares soon overflow.
const MAX_LOG_SIGMA: f64 = 15.0;

/// Variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114): a latent `z ~ N(0, I)`, a decoder with the likelihood `p(x | z)`, and an
/// encoder with the approximate posterior `q(z | x) = N(μ(x), diag σ²(x))`. Training maximises
///
/// ```text
/// E_q log p(x | z) - β KL(q(z | x) | N(0, I)),
/// ```
///
/// the evidence lower bound for β = 1 (other β: Higgins et al. 2017). `log_prob` is a lower bound on the evidence `log p(x)`: of k > 1 importance
/// samples that of Burda et al. 2016 (arXiv 1509.00519), `log 1/k Σ p(x, z_i) / q(z_i | x)`, and of one the evidence lower bound; both with
/// noise that is the same for every input.
///
/// Should be created with [`Vae::new`].
#[derive(Module, Debug)]
pub struct Vae<B: Backend> {
    /// From data to μ and log σ, one behind the other.
    pub encoder: Encoder<B>,
    /// From latent to the likelihood's location.
    pub decoder: Decoder<B>,
    /// `p(x | z)` around the location.
    pub likelihood: Likelihood<B>,
    shape: [usize; 3],
    latent: usize,
    beta: f64,
    importance_samples: usize,
}

/// `q(z | x) = N(mean, diag σ²)` of a batch.
#[derive(Clone, Debug)]
pub struct Posterior<B: Backend> {
    /// `[batch, d]`.
    pub mean: Tensor<B, 2>,
    /// `log σ`, `[batch, d]`.
    pub log_sigma: Tensor<B, 2>,
}

impl<B: Backend> Posterior<B> {
    /// `z = μ + σ ε`.
    ///
    /// # Shapes
    /// - noise: `[draws, batch, d]`, or `[draws, 1, d]` for the same in all of the batch
    /// - output: `[draws, batch, d]`
    pub fn latents(&self, noise: Tensor<B, 3>) -> Tensor<B, 3> {
        noise * self.log_sigma.clone().exp().unsqueeze() + self.mean.clone().unsqueeze()
    }

    /// The share of each latent in `KL(q(z | x) | N(0, I)) = Σ ½ (μ² + σ² - 1) - log σ`, in nats.
    ///
    /// # Shapes
    /// - output: `[batch, d]`
    pub fn kl(&self) -> Tensor<B, 2> {
        let squares = self.mean.clone().powi_scalar(2) + (self.log_sigma.clone() * 2.0).exp();
        (squares - 1.0) * 0.5 - self.log_sigma.clone()
    }
}

/// The two parts of the evidence lower bound of each input, in nats.
#[derive(Clone, Debug)]
pub struct Elbo<B: Backend> {
    /// `E_q log p(x | z)`, `[batch]`.
    pub reconstruction: Tensor<B, 1>,
    /// `KL(q(z | x) | N(0, I))`, `[batch]`.
    pub kl: Tensor<B, 1>,
}

impl<B: Backend> Elbo<B> {
    /// `reconstruction - β kl`, `[batch]`.
    pub fn weighted(self, beta: f64) -> Tensor<B, 1> {
        self.reconstruction - self.kl * beta
    }
}

impl<B: Backend> Vae<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether its objective is a bound on the negative log-density: not with β below 1.
    pub fn is_bound(&self) -> bool {
        self.beta >= 1.0
    }

    /// Whether the decoder gives probabilities to levels, not densities.
    pub fn is_discrete(&self) -> bool {
        matches!(self.likelihood, Likelihood::DiscretizedLogistic(_))
    }

    /// The same with a log-density of so many importance samples, at least 1: more of them, a tighter bound.
    pub fn with_importance_samples(self, importance_samples: usize) -> Self {
        Self { importance_samples, ..self }
    }

    /// A variational autoencoder with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        config: &VaeConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoencoderError> {
        config.check()?;
        let VaeConfig { shape, latent, ref network, ref likelihood, .. } = *config;
        let init = &mut Init::new(seed);
        Ok(Self {
            encoder: Encoder::new(network, shape, 2 * latent, init, device)?,
            decoder: Decoder::new(network, latent, shape, init, device)?,
            likelihood: Likelihood::new(likelihood, shape, device),
            shape,
            latent,
            beta: config.beta,
            importance_samples: config.importance_samples,
        })
    }
}

impl<B: FlowBackend> Vae<B> {
    /// Start the standard deviation of a Gaussian decoder, where it is learned, from a batch: that around the mean.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn initialize(&mut self, x: Tensor<B, 2>) {
        if let Likelihood::Gaussian(Gaussian { log_sigma: Some(log_sigma), .. }) =
            &mut self.likelihood
        {
            start_from(log_sigma, x);
        }
    }

    /// `q(z | x)`.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn posterior(&self, x: Tensor<B, 2>) -> Posterior<B> {
        let both = self.encoder.forward(x);
        let mean = both.clone().narrow(1, 0, self.latent);
        let log_sigma = both.narrow(1, self.latent, self.latent);
        Posterior { mean, log_sigma: log_sigma.clamp(-MAX_LOG_SIGMA, MAX_LOG_SIGMA) }
    }

    /// The evidence lower bound, its expectation the average over given noise and its divergence exact.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - noise: `[draws, batch, d]`, or `[draws, 1, d]` for the same in all of the batch
    pub fn elbo(&self, x: Tensor<B, 2>, noise: Tensor<B, 3>) -> Elbo<B> {
        let posterior = self.posterior(x.clone());
        self.elbo_of(x, posterior, noise)
    }

    /// The same with any posterior.
    pub fn elbo_of(
        &self,
        x: Tensor<B, 2>,
        posterior: Posterior<B>,
        noise: Tensor<B, 3>,
    ) -> Elbo<B> {
        let batch = x.dims()[0];
        let log_likelihood = self.log_likelihood(x, posterior.latents(noise));
        Elbo {
            reconstruction: log_likelihood.mean_dim(0).reshape([batch]),
            kl: posterior.kl().sum_dim(1).reshape([batch]),
        }
    }

    /// The importance-weighted bound of each input, `log 1/k Σ p(x, z_i) / q(z_i | x)`, in nats, from given noise.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - noise: `[k, batch, d]`, or `[k, 1, d]` for the same in all of the batch
    /// - output: `[batch]`
    pub fn importance_weighted(&self, x: Tensor<B, 2>, noise: Tensor<B, 3>) -> Tensor<B, 1> {
        log_mean_exp(self.log_weights(x, noise))
    }

    /// `log p(x, z) - log q(z | x)` of every draw, in nats.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - noise: `[draws, batch, d]`, or `[draws, 1, d]` for the same in all of the batch
    /// - output: `[draws, batch]`
    pub fn log_weights(&self, x: Tensor<B, 2>, noise: Tensor<B, 3>) -> Tensor<B, 2> {
        let batch = x.dims()[0];
        let posterior = self.posterior(x.clone());
        let z = posterior.latents(noise.clone());
        let [draws, ..] = z.dims();
        // log N(z; 0, I) - log N(z; μ, σ²): the normalisers cancel, and (z - μ) / σ is the noise.
        let squares = (noise.powi_scalar(2) - z.clone().powi_scalar(2)).sum_dim(2);
        let prior = squares.reshape([draws, batch]) * 0.5;
        let volume = posterior.log_sigma.sum_dim(1).reshape([1, batch]);
        self.log_likelihood(x, z) + prior + volume
    }

    /// The divergence of the posterior from the prior in each latent, in nats, averaged over a batch. A latent near 0 (below 0.01, say) is one that the
    /// decoder ignores; if all of them are, the posterior has collapsed.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: d numbers
    pub fn latent_kl(&self, x: Tensor<B, 2>) -> Vec<f64> {
        let batch = x.dims()[0];
        let mut sums = vec![0.0; self.latent];
        let kl = self.posterior(x).kl().into_data();
        for (i, kl) in kl.iter::<f64>().enumerate() {
            sums[i % self.latent] += kl / batch as f64;
        }
        sums
    }

    /// `log p(x | z)` of every draw, decoded a few at a time so that memory stays bounded.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - z: `[draws, batch, d]`
    /// - output: `[draws, batch]`
    fn log_likelihood(&self, x: Tensor<B, 2>, z: Tensor<B, 3>) -> Tensor<B, 2> {
        let [draws, batch, latent] = z.dims();
        let dimension = x.dims()[1];
        let at_a_time = (ROWS / batch.max(1)).clamp(1, draws);
        let of = |start: usize| {
            let draws = at_a_time.min(draws - start);
            let z = z.clone().narrow(0, start, draws).reshape([draws * batch, latent]);
            let x = x.clone().unsqueeze::<3>().expand([draws, batch, dimension]);
            let x = x.reshape([draws * batch, dimension]);
            self.likelihood.log_prob(x, self.decoder.forward(z)).reshape([draws, batch])
        };
        // Training has one draw: nothing to join, nor to be lost with the gradient of a concatenation.
        if at_a_time == draws {
            return of(0);
        }
        Tensor::cat((0..draws).step_by(at_a_time).map(of).collect(), 0)
    }

    /// The noise behind scores: `[draws, 1, d]`.
    fn noise(&self, draws: usize, device: &B::Device) -> Tensor<B, 3> {
        Init::new(NOISE_SEED).normal([draws, 1, self.latent], device)
    }

    /// The evidence lower bound with the noise of scores.
    fn fixed_elbo(&self, x: Tensor<B, 2>) -> Elbo<B> {
        let noise = self.noise(ELBO_DRAWS, &x.device());
        self.elbo(x, noise)
    }
}

/// `log 1/n Σ exp` along the first dimension of length n.
fn log_mean_exp<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 1> {
    let [n, batch] = x.dims();
    let largest = x.clone().detach().max_dim(0);
    // Where all are -∞, so is the result.
    let largest = largest.clone().mask_fill(largest.is_inf(), 0.0);
    let sum = (x - largest.clone()).exp().sum_dim(0);
    (sum.log() + largest - (n as f64).ln()).reshape([batch])
}

impl<B: FlowBackend> DensityModel<B> for Vae<B> {
    fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        match self.importance_samples {
            1 => self.fixed_elbo(x).weighted(1.0),
            draws => {
                let noise = self.noise(draws, &x.device());
                self.importance_weighted(x, noise)
            }
        }
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let normal = Distribution::Normal(0.0, 1.0);
        self.likelihood.sample(self.decode(Tensor::random([n, self.latent], normal, device)))
    }
}

/// The encoder's mean, and the likelihood's location: of the discretised logistic the centre of the logistic distribution.
impl<B: FlowBackend> LatentModel<B> for Vae<B> {
    fn latent_dimension(&self) -> usize {
        self.latent
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.posterior(x).mean
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decoder.forward(z)
    }
}

/// What training minimises, β with it, with the noise of scores: a bound on the negative log-density for β ≥ 1.
impl<B: FlowBackend> Objective<B> for Vae<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.fixed_elbo(x).weighted(self.beta).neg()
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for Vae<B>
where
    B::InnerBackend: FlowBackend,
{
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        let normal = Distribution::Normal(0.0, 1.0);
        let noise = Tensor::random([1, x.dims()[0], self.latent], normal, &x.device());
        Learned::Loss(self.elbo(x, noise).weighted(self.beta).neg().mean())
    }
}
