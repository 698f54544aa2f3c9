//! A model of any family.

mod ability;
mod autoencoder;
mod estimator;
mod two_step;

pub use ability::{Ability, Undefined};
pub use autoencoder::AnyAutoencoder;
pub use estimator::AnyEstimator;
pub use two_step::TwoStep;

use crate::{
    DensityModel, FlowBackend, LatentModel, Learn, Learned, Objective, Turn,
    autoencoder::{AutoencoderError, Vae},
    autoregressive::AutoregressiveError,
    energy::EnergyError,
    flow::{Flow, FlowError},
    mixture::MixtureError,
};
use burn::{
    module::Module,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};
use thiserror::Error;

/// A generative model.
///
/// Not every family can do everything: what is asked of a model that lacks it panics, and [`lacks`](Self::lacks) says so before.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Model<B: Backend> {
    /// A density on all of the space.
    Estimator(AnyEstimator<B>),
    /// An autoencoder.
    Autoencoder(AnyAutoencoder<B>),
    /// An autoencoder with a density on its latents.
    TwoStep(TwoStep<B>),
}

impl<B: Backend> From<Flow<B>> for Model<B> {
    fn from(flow: Flow<B>) -> Self {
        Model::Estimator(AnyEstimator::Flow(flow))
    }
}

/// A model that cannot be built.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A flow.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// An autoencoder.
    #[error(transparent)]
    Autoencoder(#[from] AutoencoderError),
    /// An energy-based model.
    #[error(transparent)]
    Energy(#[from] EnergyError),
    /// An autoregressive model.
    #[error(transparent)]
    Autoregressive(#[from] AutoregressiveError),
    /// A mixture.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
}

/// Divergence from the prior, in nats, below which a latent says nothing.
const SILENT: f64 = 0.01;

impl<B: Backend> Model<B> {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Model::Estimator(model) => model.shape(),
            Model::Autoencoder(model) => model.shape(),
            Model::TwoStep(model) => model.first.shape(),
        }
    }

    /// Its family, with an article.
    pub fn family(&self) -> &'static str {
        match self {
            Model::Estimator(AnyEstimator::Flow(_)) => "a flow",
            Model::Estimator(AnyEstimator::Energy(_)) => "an energy-based model",
            Model::Estimator(AnyEstimator::PixelCnn(_)) => "a PixelCNN++",
            Model::Estimator(AnyEstimator::LstmMixture(_)) => "an LSTM mixture",
            Model::Estimator(AnyEstimator::Mixture(_)) => "a Gaussian mixture",
            Model::Autoencoder(AnyAutoencoder::Plain(_)) => "an autoencoder",
            Model::Autoencoder(AnyAutoencoder::Vae(_)) => "a VAE",
            Model::Autoencoder(AnyAutoencoder::Avb(_)) => "an AVB",
            Model::Autoencoder(AnyAutoencoder::Wae(_)) => "a WAE",
            Model::Autoencoder(AnyAutoencoder::BiGan(_)) => "a BiGAN",
            Model::TwoStep(_) => "a two-step model",
        }
    }

    /// Why it cannot be asked for something; nothing where it can.
    pub fn lacks(&self, ability: Ability) -> Option<Undefined> {
        use AnyAutoencoder::{BiGan, Plain, Vae, Wae};
        use AnyEstimator::{Flow, PixelCnn};
        let why = match (self, ability) {
            (Model::Autoencoder(Plain(_)), Ability::Samples) => {
                "nothing draws its latents towards a prior; a two-step model (`model.name: two_step`) learns their density"
            }
            (
                Model::Autoencoder(Plain(_) | Wae(_) | BiGan(_)),
                Ability::Density | Ability::SmoothDensity | Ability::Normalized,
            ) => {
                "it learns to make inputs, not how dense they are; a two-step model (`model.name: two_step`) adds the density of its latents"
            }
            (Model::Autoencoder(Plain(_) | Wae(_) | BiGan(_)), Ability::Bits) => {
                "it learns to make inputs, not how dense they are"
            }
            (Model::Estimator(AnyEstimator::Energy(_)), Ability::Bits | Ability::Normalized) => {
                "its log-density is known up to a constant only, another one for each such model"
            }
            (Model::TwoStep(_), Ability::Bits) => {
                "its log-density is one on a manifold of fewer dimensions than there are pixels"
            }
            (Model::Autoencoder(Plain(_)), Ability::CentredLatents) => {
                "nothing draws them to a centre; a VAE's are drawn to 0"
            }
            (Model::Estimator(_) | Model::Autoencoder(_), Ability::LatentDensity) => {
                "only a two-step model learns one; where latents have a prior, `latent_norm` says how near they are to its centre"
            }
            (Model::Estimator(PixelCnn(_)), Ability::SmoothDensity) => {
                "it gives a probability to each of the 256 levels of a pixel, and is constant between them"
            }
            (Model::Autoencoder(Vae(vae)), Ability::SmoothDensity) if vae.is_discrete() => {
                "its decoder gives a probability to each of the 256 levels of a pixel, and is constant between them; `likelihood: {kind: gaussian}` is smooth"
            }
            (Model::Estimator(Flow(_)), Ability::Reconstructions) => {
                "a flow gives back every input exactly; an autoencoder does not"
            }
            (Model::Estimator(Flow(_)), Ability::Posterior) => {
                "the latent of a flow is exact; a VAE has one"
            }
            (Model::Estimator(_), Ability::Latents | Ability::CentredLatents)
                if self.as_flow().is_none() =>
            {
                "flows and autoencoders have latents"
            }
            (Model::Estimator(_), Ability::NormalLatents) if self.as_flow().is_none() => {
                "flows, a VAE and an AVB have such latents"
            }
            (Model::Estimator(_), Ability::Reconstructions) if self.as_flow().is_none() => {
                "it has no latents to make inputs again from; an autoencoder has"
            }
            (Model::Estimator(_), Ability::Posterior) if self.as_flow().is_none() => {
                "it has no latents; a VAE has one"
            }
            (Model::Autoencoder(Plain(_)), Ability::NormalLatents) => {
                "it has no prior; a VAE has one"
            }
            (Model::Autoencoder(BiGan(_)), Ability::NormalLatents) => {
                "its prior is uniform on [-1, 1]"
            }
            (Model::Autoencoder(Wae(wae)), Ability::NormalLatents) if wae.sigma() != 1.0 => {
                "its prior has another standard deviation; train it with `sigma: 1`"
            }
            (Model::TwoStep(_), Ability::NormalLatents) => {
                "its latents have the density that the second step learns"
            }
            (
                Model::Estimator(_) | Model::Autoencoder(_) | Model::TwoStep(_),
                Ability::Bijection,
            ) if self.as_flow().is_none() => {
                "only a flow maps inputs to latents of the same dimension and back"
            }
            (Model::Autoencoder(_) | Model::TwoStep(_), Ability::Posterior)
                if self.as_vae().is_none() =>
            {
                "only a VAE has one that can be written down"
            }
            _ => return None,
        };
        Some(Undefined { what: ability.words(), family: self.family(), why })
    }

    /// Dimension of the set that its log-density is one of: of a two-step model that of the latents. Log-densities over sets of different dimensions have no common unit.
    pub fn density_dimension(&self) -> usize {
        match self {
            Model::TwoStep(model) => model.mean.dims()[0],
            _ => self.shape().iter().product(),
        }
    }

    /// The flow, if it is one.
    pub fn as_flow(&self) -> Option<&Flow<B>> {
        match self {
            Model::Estimator(AnyEstimator::Flow(flow)) => Some(flow),
            _ => None,
        }
    }

    /// The VAE, if it is one.
    pub fn as_vae(&self) -> Option<&Vae<B>> {
        match self {
            Model::Autoencoder(AnyAutoencoder::Vae(vae)) => Some(vae),
            _ => None,
        }
    }

    /// Whether a lower objective is a better model, so that the best weights are those with the lowest. Where parts play against each other, or samples are part of the objective, the latest are.
    pub fn is_ranked(&self) -> bool {
        use AnyAutoencoder::{Avb, BiGan, Wae};
        !matches!(
            self,
            Model::Estimator(AnyEstimator::Energy(_))
                | Model::Autoencoder(Avb(_) | Wae(_) | BiGan(_))
        )
    }

    /// Whether its objective is a negative log-likelihood or a bound on it, in nats: then bits per dimension say something.
    pub fn is_likelihood(&self) -> bool {
        match self {
            Model::Estimator(AnyEstimator::Energy(_)) => false,
            Model::Estimator(_) => true,
            Model::Autoencoder(AnyAutoencoder::Vae(vae)) => vae.is_bound(),
            // An estimate is no bound.
            Model::Autoencoder(_) => false,
            // A density on a manifold of fewer dimensions.
            Model::TwoStep(_) => false,
        }
    }

    /// The same with a bound of so many importance samples, where it is a VAE.
    pub fn with_importance_samples(self, samples: usize) -> Self {
        match self {
            Model::Autoencoder(AnyAutoencoder::Vae(vae)) => {
                let vae = vae.with_importance_samples(samples);
                Model::Autoencoder(AnyAutoencoder::Vae(vae))
            }
            other => other,
        }
    }

    /// The same model with dropout off, for derivatives on an autodiff backend (where dropout is otherwise active).
    pub fn without_dropout(self) -> Self {
        match self {
            Model::Estimator(AnyEstimator::Flow(flow)) => flow.without_dropout().into(),
            Model::TwoStep(TwoStep {
                first,
                second: AnyEstimator::Flow(flow),
                mean,
                deviation,
            }) => {
                let second = AnyEstimator::Flow(flow.without_dropout());
                Model::TwoStep(TwoStep { first, second, mean, deviation })
            }
            other => other,
        }
    }
}

impl<B: FlowBackend> Model<B> {
    /// Data-dependent initialisation from one batch; what was wrong with the batch.
    ///
    /// # Shapes
    /// - x: `[batch, D]`, at least two samples
    pub fn initialize(&mut self, x: Tensor<B, 2>) -> Option<String> {
        match self {
            Model::Estimator(AnyEstimator::Flow(flow)) => {
                let constant = flow.initialize(x).constant_channels;
                (constant > 0).then(|| {
                    format!("{constant} channels are constant over the first batch; their ActNorm keeps scale 1")
                })
            }
            Model::Estimator(AnyEstimator::Mixture(mixture)) => {
                let coincident = mixture.initialize(x).coincident;
                (coincident > 0).then(|| {
                    format!("the first batch has too few different inputs: {coincident} components start where another does; raise batch_size or lower model.components")
                })
            }
            Model::Autoencoder(AnyAutoencoder::Vae(vae)) => {
                vae.initialize(x);
                None
            }
            Model::Autoencoder(AnyAutoencoder::Avb(avb)) => {
                avb.initialize(x);
                None
            }
            _ => None,
        }
    }

    /// As [`Flow::whiten`]; nothing of other families.
    pub fn whiten(&mut self, standards: [Vec<f32>; 2]) {
        if let Model::Estimator(AnyEstimator::Flow(flow)) = self {
            flow.whiten(standards);
        }
    }

    /// What is wrong with how it stands towards data: a collapsed posterior, exploded energies.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn complaint(&self, x: Tensor<B, 2>) -> Option<String> {
        match self {
            Model::Autoencoder(AnyAutoencoder::Vae(vae)) => {
                let divergences = vae.latent_kl(x);
                let largest = divergences.iter().copied().fold(0.0, f64::max);
                (largest < SILENT).then(|| {
                    format!(
                        "the posterior has collapsed: none of the {} latents diverges from the prior by more than {largest:.1e} nats, so the decoder ignores them; lower model.beta or the learning rate",
                        divergences.len()
                    )
                })
            }
            Model::Estimator(AnyEstimator::Energy(energy)) => {
                let gap = energy.gap(x);
                gap.exploded().then(|| {
                    format!(
                        "the energies are exploding: {:.1e} on data and {:.1e} on samples on average, where about {:.1e} is usual; lower the learning rate, raise model.alpha, or set model.spectral_norm",
                        gap.data, gap.samples, gap.limit / 10.0
                    )
                })
            }
            _ => None,
        }
    }

    /// The latent of each input, around 0: as [`encode`](LatentModel::encode) has it, but for a two-step model standardised by the training data's.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch, d]`
    ///
    /// # Panics
    /// Without [`Ability::CentredLatents`].
    pub fn centred_latents(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Model::TwoStep(model) => model.standardised(model.encode(x)),
            _ => self.encode(x),
        }
    }

    /// The learned log-density of each input's latent, in nats: `log p(u)` of a two-step model, without the change of volume.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch]`
    ///
    /// # Panics
    /// Without [`Ability::LatentDensity`].
    pub fn latent_log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        match self {
            Model::TwoStep(model) => model.second.log_prob(model.standardised(model.encode(x))),
            _ => panic!("{}", refusal(self.lacks(Ability::LatentDensity))),
        }
    }

    fn latents(&self) -> &dyn LatentModel<B> {
        match self {
            Model::Autoencoder(model) => model,
            Model::TwoStep(model) => model,
            Model::Estimator(_) => panic!("{}", refusal(self.lacks(Ability::Latents))),
        }
    }

    /// Draws from the prior of its latents, which a decoder makes samples of.
    ///
    /// # Shapes
    /// - output: `[n, D]`
    fn generate(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        match self {
            Model::Estimator(model) => model.sample(n, device),
            Model::TwoStep(model) => model.sample(n, device),
            Model::Autoencoder(AnyAutoencoder::Vae(model)) => model.sample(n, device),
            Model::Autoencoder(AnyAutoencoder::Avb(model)) => model.sample(n, device),
            Model::Autoencoder(AnyAutoencoder::Wae(model)) => model.sample(n, device),
            Model::Autoencoder(AnyAutoencoder::BiGan(model)) => model.sample(n, device),
            Model::Autoencoder(AnyAutoencoder::Plain(_)) => {
                panic!("{}", refusal(self.lacks(Ability::Samples)))
            }
        }
    }
}

/// Why something cannot be had, for a caller that did not ask before.
fn refusal(lacking: Option<Undefined>) -> String {
    lacking.map_or_else(String::new, |why| why.to_string())
}

impl<B: FlowBackend> LatentModel<B> for Model<B> {
    fn latent_dimension(&self) -> usize {
        match self.as_flow() {
            Some(flow) => flow.dimension(),
            None => self.latents().latent_dimension(),
        }
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.as_flow() {
            Some(flow) => flow.encode(x).0,
            None => self.latents().encode(x),
        }
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.as_flow() {
            Some(flow) => flow.decode(z).0,
            None => self.latents().decode(z),
        }
    }
}

impl<B: FlowBackend> DensityModel<B> for Model<B> {
    fn dimension(&self) -> usize {
        self.shape().iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        match self {
            Model::Estimator(model) => model.log_prob(x),
            Model::TwoStep(model) => model.log_prob(x),
            Model::Autoencoder(AnyAutoencoder::Vae(model)) => model.log_prob(x),
            Model::Autoencoder(AnyAutoencoder::Avb(model)) => model.log_prob(x),
            Model::Autoencoder(_) => panic!("{}", refusal(self.lacks(Ability::Density))),
        }
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.generate(n, device)
    }
}

impl<B: FlowBackend> Objective<B> for Model<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        match self {
            Model::Estimator(model) => model.objective(x),
            Model::Autoencoder(model) => model.objective(x),
            Model::TwoStep(model) => -model.log_prob(x),
        }
    }
}

impl<B> Learn<B> for Model<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn turns(&self) -> Vec<Turn> {
        match self {
            Model::Estimator(model) => model.turns(),
            Model::Autoencoder(model) => model.turns(),
            Model::TwoStep(_) => Vec::new(),
        }
    }

    fn learn(&mut self, turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        match self {
            Model::Estimator(model) => model.learn(turn, x),
            Model::Autoencoder(model) => model.learn(turn, x),
            Model::TwoStep(_) => {
                panic!("a two-step model has no turns: its steps learn one after the other")
            }
        }
    }
}
