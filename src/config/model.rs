//! The `model` section.

use super::{train::check, two_step::TwoStepConfig};
use atypical_models::{
    AnyAutoencoder, AnyEstimator, Model, ModelError, TwoStep,
    autoencoder::{
        Autoencoder, AutoencoderConfig, Avb, AvbConfig, BiGan, BiGanConfig, LikelihoodConfig, Vae,
        VaeConfig, Wae, WaeConfig,
    },
    autoregressive::{LstmMixture, LstmMixtureConfig, PixelCnn, PixelCnnConfig},
    energy::{Energy, EnergyConfig},
    flow::{
        Conditioner, Elementwise, Flow, FlowConfig, ImagePreset, LogitForm, Step, VectorPreset,
    },
    mixture::{GaussianMixture, MixtureConfig},
    ops::MAX_BINS,
};
use burn::tensor::backend::Backend;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which model. The presets are shorthands for a written-out `flow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum ModelConfig {
    /// Rational-quadratic neural spline flow on images, three levels.
    RqNsf {
        /// The flow's sizes.
        #[serde(flatten)]
        preset: ImagePreset,
        /// Bins of the splines, from 2 to 64.
        #[serde(default = "bins")]
        bins: usize,
        /// The splines act on [-tail, tail].
        #[serde(default = "tail")]
        tail: f64,
    },
    /// Glow: affine couplings on images, three levels.
    Glow(ImagePreset),
    /// Rational-quadratic neural spline flow on vectors.
    RqNsfVector {
        /// The flow's sizes.
        #[serde(flatten)]
        preset: VectorPreset,
        /// Bins of the splines, from 2 to 64.
        #[serde(default = "bins")]
        bins: usize,
        /// The splines act on [-tail, tail].
        #[serde(default = "vector_tail")]
        tail: f64,
    },
    /// Affine couplings on vectors.
    GlowVector(VectorPreset),
    /// A flow written out step by step.
    Flow(FlowConfig),
    /// Deterministic autoencoder: no density of its own, and the first half of a two-step model.
    Autoencoder(AutoencoderConfig),
    /// Variational autoencoder.
    Vae(VaeConfig),
    /// Adversarial variational Bayes: a VAE with an implicit posterior.
    Avb(AvbConfig),
    /// Wasserstein autoencoder.
    Wae(WaeConfig),
    /// Bidirectional GAN with a gradient penalty.
    Bigan(BiGanConfig),
    /// Energy-based model.
    Energy(EnergyConfig),
    /// PixelCNN++ on images.
    PixelCnn(PixelCnnConfig),
    /// LSTM with a mixture of Gaussians for each coordinate.
    LstmMixture(LstmMixtureConfig),
    /// Gaussian mixture by expectation maximisation.
    GaussianMixture(MixtureConfig),
    /// An autoencoder, and then a density on its latents.
    TwoStep(TwoStepConfig),
}

fn bins() -> usize {
    8
}

fn tail() -> f64 {
    3.0
}

fn vector_tail() -> f64 {
    10.0
}

impl ModelConfig {
    /// The written-out flow, if it is one.
    pub fn flow(&self) -> Option<FlowConfig> {
        let spline = |&bins: &usize, &tail: &f64| Elementwise::RqSpline { bins, tail };
        Some(match self {
            ModelConfig::RqNsf { preset, bins, tail } => preset.expand(&spline(bins, tail)),
            ModelConfig::Glow(preset) => preset.expand(&Elementwise::Affine {}),
            ModelConfig::RqNsfVector { preset, bins, tail } => preset.expand(&spline(bins, tail)),
            ModelConfig::GlowVector(preset) => preset.expand(&Elementwise::Affine {}),
            ModelConfig::Flow(flow) => flow.clone(),
            _ => return None,
        })
    }

    /// What kind of model it is, to a reader and as the tag of a hub.
    pub fn family(&self) -> (&'static str, &'static str) {
        match self {
            ModelConfig::RqNsf { .. }
            | ModelConfig::Glow(_)
            | ModelConfig::RqNsfVector { .. }
            | ModelConfig::GlowVector(_)
            | ModelConfig::Flow(_) => ("A normalizing flow", "normalizing-flow"),
            ModelConfig::Autoencoder(_) | ModelConfig::Wae(_) => ("An autoencoder", "autoencoder"),
            ModelConfig::Vae(_) | ModelConfig::Avb(_) => {
                ("A variational autoencoder", "variational-autoencoder")
            }
            ModelConfig::Bigan(_) => ("A bidirectional GAN", "bigan"),
            ModelConfig::Energy(_) => ("An energy-based model", "energy-based-model"),
            ModelConfig::PixelCnn(_) | ModelConfig::LstmMixture(_) => {
                ("An autoregressive model", "autoregressive")
            }
            ModelConfig::GaussianMixture(_) => ("A Gaussian mixture", "gaussian-mixture"),
            ModelConfig::TwoStep(_) => {
                ("An autoencoder with a density on its latents", "two-step-model")
            }
        }
    }

    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub fn shape(&self) -> [usize; 3] {
        match self {
            ModelConfig::RqNsf { preset, .. } | ModelConfig::Glow(preset) => preset.shape,
            ModelConfig::RqNsfVector { preset, .. } | ModelConfig::GlowVector(preset) => {
                [preset.dimension, 1, 1]
            }
            ModelConfig::Flow(flow) => flow.shape,
            ModelConfig::Autoencoder(config) => config.shape,
            ModelConfig::Vae(config) => config.shape,
            ModelConfig::Avb(config) => config.shape,
            ModelConfig::Wae(config) => config.shape,
            ModelConfig::Bigan(config) => config.shape,
            ModelConfig::Energy(config) => config.shape,
            ModelConfig::PixelCnn(config) => config.shape,
            ModelConfig::LstmMixture(config) => config.shape,
            ModelConfig::GaussianMixture(config) => config.shape,
            ModelConfig::TwoStep(config) => config.first.shape(),
        }
    }

    /// Dimension of the latents of an autoencoder; none of another model.
    pub fn latent(&self) -> Option<usize> {
        match self {
            ModelConfig::Autoencoder(config) => Some(config.latent),
            ModelConfig::Vae(config) => Some(config.latent),
            ModelConfig::Avb(config) => Some(config.latent),
            ModelConfig::Wae(config) => Some(config.latent),
            ModelConfig::Bigan(config) => Some(config.latent),
            _ => None,
        }
    }

    /// The model, with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// Parts that do not fit one another.
    pub fn build<B: Backend>(&self, seed: u64, device: &B::Device) -> Result<Model<B>, ModelError> {
        if let ModelConfig::TwoStep(TwoStepConfig { first, second, .. }) = self
            && let Some(latent) = first.latent()
            && let Some(first) = first.autoencoder(seed, device)?
            && let Some(second) = second.estimator(seed, device)?
        {
            let standard = [vec![0.0; latent], vec![1.0; latent]];
            return Ok(Model::TwoStep(TwoStep::new(first, second, standard, device)));
        }
        if let Some(model) = self.autoencoder(seed, device)? {
            return Ok(Model::Autoencoder(model));
        }
        let estimator = self.estimator(seed, device)?;
        Ok(Model::Estimator(
            estimator.expect("what is neither is a two-step model, whose halves were checked"),
        ))
    }

    /// The autoencoder, if it is one.
    fn autoencoder<B: Backend>(
        &self,
        seed: u64,
        device: &B::Device,
    ) -> Result<Option<AnyAutoencoder<B>>, ModelError> {
        Ok(Some(match self {
            ModelConfig::Autoencoder(config) => {
                AnyAutoencoder::Plain(Autoencoder::new(config, seed, device)?)
            }
            ModelConfig::Vae(config) => AnyAutoencoder::Vae(Vae::new(config, seed, device)?),
            ModelConfig::Avb(config) => AnyAutoencoder::Avb(Avb::new(config, seed, device)?),
            ModelConfig::Wae(config) => AnyAutoencoder::Wae(Wae::new(config, seed, device)?),
            ModelConfig::Bigan(config) => AnyAutoencoder::BiGan(BiGan::new(config, seed, device)?),
            _ => return Ok(None),
        }))
    }

    /// The density estimator, if it is one.
    fn estimator<B: Backend>(
        &self,
        seed: u64,
        device: &B::Device,
    ) -> Result<Option<AnyEstimator<B>>, ModelError> {
        if let Some(flow) = self.flow() {
            return Ok(Some(AnyEstimator::Flow(Flow::new(&flow, seed, device)?)));
        }
        Ok(Some(match self {
            ModelConfig::Energy(config) => AnyEstimator::Energy(Energy::new(config, seed, device)?),
            ModelConfig::PixelCnn(config) => {
                AnyEstimator::PixelCnn(PixelCnn::new(config, seed, device)?)
            }
            ModelConfig::LstmMixture(config) => {
                AnyEstimator::LstmMixture(LstmMixture::new(config, seed, device)?)
            }
            ModelConfig::GaussianMixture(config) => {
                AnyEstimator::Mixture(GaussianMixture::new(config, seed, device)?)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether it has an autoencoder, or is one.
    pub(super) fn reconstructs(&self) -> bool {
        self.latent().is_some() || matches!(self, ModelConfig::TwoStep(_))
    }

    /// Whether it is a density on all of its space, which can be the second half of a two-step model.
    pub(super) fn is_estimator(&self) -> bool {
        self.latent().is_none()
            && !matches!(self, ModelConfig::TwoStep(_) | ModelConfig::PixelCnn(_))
    }
}

/// `(key path, what is wrong)`, as [`Section::validate`](super::Section::validate) gives it.
pub(super) type Checked = Result<(), (String, String)>;

impl ModelConfig {
    /// Check the numbers before a device or a run directory is touched. Whether the steps of a written-out flow fit one another's
    /// shapes shows when the flow is built.
    pub(super) fn check(&self) -> Checked {
        let within = |checked: Result<(), (&'static str, String)>| {
            checked.map_err(|(key, problem)| (format!("model.{key}"), problem))
        };
        match self {
            ModelConfig::RqNsf { preset, bins, tail } => {
                image(preset)?;
                spline("model", *bins, *tail)
            }
            ModelConfig::Glow(preset) => image(preset),
            ModelConfig::RqNsfVector { preset, bins, tail } => {
                vector(preset)?;
                spline("model", *bins, *tail)
            }
            ModelConfig::GlowVector(preset) => vector(preset),
            ModelConfig::Flow(flow) => {
                let shape = format!("{:?}", flow.shape);
                check("model.shape", shape, !flow.shape.contains(&0), "without a 0")?;
                steps("model.transform", &flow.transform)
            }
            ModelConfig::Autoencoder(config) => within(config.check()),
            ModelConfig::Vae(config) => {
                within(config.check())?;
                let discrete = config.likelihood == LikelihoodConfig::DiscretizedLogistic {};
                let allowed = "gaussian for vectors, which have no grey levels";
                let kind = "discretized_logistic";
                check("model.likelihood.kind", kind, !discrete || has_pixels(config.shape), allowed)
            }
            ModelConfig::Avb(config) => within(config.check()),
            ModelConfig::Wae(config) => within(config.check()),
            ModelConfig::Bigan(config) => within(config.check()),
            ModelConfig::Energy(config) => within(config.check()),
            ModelConfig::PixelCnn(config) => {
                within(config.check())?;
                let allowed = "that of images: a PixelCNN++ is of pixels with grey levels, an lstm_mixture of vectors";
                let shape = format!("{:?}", config.shape);
                check("model.shape", shape, has_pixels(config.shape), allowed)
            }
            ModelConfig::LstmMixture(config) => within(config.check()),
            ModelConfig::GaussianMixture(config) => within(config.check()),
            ModelConfig::TwoStep(config) => config.check(),
        }
    }
}

/// Standard deviations of noise that must fit into the logit's margin: beyond it the density is 0.
const DEVIATIONS: f64 = 5.5;

impl ModelConfig {
    /// Whether x in [0, 1] with Gaussian noise of standard deviation `noise` stays where the flow is defined.
    pub(super) fn check_noise(&self, noise: f64) -> Checked {
        let discrete = match self {
            ModelConfig::PixelCnn(_) => true,
            ModelConfig::Vae(config) => {
                config.likelihood == LikelihoodConfig::DiscretizedLogistic {}
            }
            _ => false,
        };
        let allowed = "0 for a model of the 256 levels of a pixel, which noise leaves";
        check("data.noise", noise, noise == 0.0 || !discrete, allowed)?;
        let margin = match self {
            ModelConfig::RqNsf { preset, .. } | ModelConfig::Glow(preset) => {
                Some((preset.alpha, preset.logit))
            }
            ModelConfig::Flow(flow) => flow.transform.iter().find_map(|step| match step {
                Step::Logit { alpha, form } => Some((*alpha, *form)),
                _ => None,
            }),
            _ => None,
        };
        let Some((alpha, form)) = margin else { return Ok(()) };
        let room_above = noise == 0.0 || form == LogitForm::Symmetric;
        check(
            "data.noise",
            noise,
            room_above,
            "0 where the logit has the form `reference`, which ends at x = 1; the form `symmetric` has room",
        )?;
        // logit(α + (1 - 2α) x) is defined for x down to -α/(1 - 2α).
        let room = alpha / (1.0 - 2.0 * alpha);
        let needed = DEVIATIONS * noise / (1.0 + 2.0 * DEVIATIONS * noise);
        let allowed = format!(
            "at most {:.4} for the logit's margin alpha = {alpha}, which noise must not leave; set model.alpha={:.2}",
            room / DEVIATIONS,
            (needed * 100.0).ceil() / 100.0
        );
        check("data.noise", noise, DEVIATIONS * noise <= room, &allowed)
    }
}

fn has_pixels([_, height, width]: [usize; 3]) -> bool {
    height * width > 1
}

fn image(preset: &ImagePreset) -> Checked {
    let [_, height, width] = preset.shape;
    let fits = !preset.shape.contains(&0) && height == width && height.is_multiple_of(4);
    let allowed = "[channels, side, side] with a side that is a multiple of 4";
    check("model.shape", format!("{:?}", preset.shape), fits, allowed)?;
    for (level, &hidden) in preset.hidden.iter().enumerate() {
        network(&format!("model.hidden.{level}"), hidden)?;
    }
    dropout("model", preset.dropout)?;
    alpha("model", preset.alpha)
}

fn vector(preset: &VectorPreset) -> Checked {
    let VectorPreset { dimension, layers, hidden, dropout: rate, .. } = *preset;
    check("model.dimension", dimension, dimension >= 2, "at least 2")?;
    check("model.layers", layers, layers >= 1, "at least 1")?;
    network("model.hidden", hidden)?;
    dropout("model", rate)
}

fn steps(path: &str, list: &[Step]) -> Checked {
    for (i, step) in list.iter().enumerate() {
        let path = format!("{path}.{i}");
        match step {
            Step::Logit { alpha: margin, .. } => alpha(&path, *margin)?,
            Step::Squeeze { factor } => {
                check(&format!("{path}.factor"), factor, *factor >= 1, "at least 1")?;
            }
            Step::Coupling { transform, conditioner, .. } => {
                if let Elementwise::RqSpline { bins, tail } = transform {
                    spline(&format!("{path}.transform"), *bins, *tail)?;
                }
                let Conditioner { hidden, dropout: rate, kernel, .. } = *conditioner;
                let path = format!("{path}.conditioner");
                network(&format!("{path}.hidden"), hidden)?;
                dropout(&path, rate)?;
                check(&format!("{path}.kernel"), kernel, kernel % 2 == 1, "odd")?;
            }
            Step::Scale { scale, shift } => {
                let allowed = "a finite number, not 0";
                check(
                    &format!("{path}.scale"),
                    scale,
                    *scale != 0.0 && scale.is_finite(),
                    allowed,
                )?;
                check(&format!("{path}.shift"), shift, shift.is_finite(), "a finite number")?;
            }
            Step::Repeat { steps: inner, .. } => steps(&format!("{path}.steps"), inner)?,
            Step::Whiten {}
            | Step::Flatten {}
            | Step::ActNorm {}
            | Step::Conv1x1 {}
            | Step::Split {} => {}
        }
    }
    Ok(())
}

fn network(path: &str, hidden: usize) -> Checked {
    if hidden >= 1 {
        return Ok(());
    }
    let problem = "makes no network: hidden is 0, but it must be at least 1";
    Err((path.to_owned(), problem.to_owned()))
}

fn dropout(section: &str, rate: f64) -> Checked {
    check(&format!("{section}.dropout"), rate, (0.0..1.0).contains(&rate), "in [0, 1)")
}

fn alpha(section: &str, margin: f64) -> Checked {
    check(&format!("{section}.alpha"), margin, margin > 0.0 && margin < 0.5, "in (0, 0.5)")
}

fn spline(section: &str, bins: usize, tail: f64) -> Checked {
    check(
        &format!("{section}.bins"),
        bins,
        (2..=MAX_BINS).contains(&bins),
        &format!("from 2 to {MAX_BINS}"),
    )?;
    check(&format!("{section}.tail"), tail, tail > 0.0 && tail.is_finite(), "positive")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, TrainConfig};

    fn couplings(steps: &[Step]) -> usize {
        steps
            .iter()
            .map(|step| match step {
                Step::Coupling { .. } => 1,
                Step::Repeat { times, steps } => times * couplings(steps),
                _ => 0,
            })
            .sum()
    }

    fn shipped(text: &str) -> TrainConfig {
        Loaded::text(text, &[]).unwrap().config
    }

    #[test]
    fn the_full_models_have_the_references_sizes() {
        for text in [
            include_str!("../../configs/train/rq_nsf_fmnist.yaml"),
            include_str!("../../configs/train/glow_fmnist.yaml"),
            include_str!("../../configs/train/rq_nsf_cifar10.yaml"),
            include_str!("../../configs/train/glow_cifar10.yaml"),
        ] {
            let config = shipped(text);
            assert_eq!(couplings(&config.model.flow().unwrap().transform), 16);
            assert_eq!((config.epochs, config.batch_size), (400, 128));
            assert_eq!(config.clip_grad_norm, Some(1.0));
            assert_eq!(config.optimizer.lr(), 1e-3);
        }
        let small = shipped(include_str!("../../configs/train/rq_nsf_fmnist_small.yaml"));
        assert_eq!(couplings(&small.model.flow().unwrap().transform), 12);
        let written_out = shipped(include_str!("../../configs/train/written_out.yaml"));
        assert_eq!(couplings(&written_out.model.flow().unwrap().transform), 5);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let steps = "{kind: logit}, {kind: repeat, times: 2, steps: [{kind: coupling, mask: odd, transform: {kind: rq_spline}, conditioner: {hidden: 4}}]}";
        let flow = format!("name: flow, shape: [2, 1, 1], transform: [{steps}]");
        let coupling = "model.transform.1.steps.0";
        for (model, key, value) in [
            ("name: rq_nsf", "model.bins", "1"),
            ("name: rq_nsf", "model.bins", "65"),
            ("name: rq_nsf_vector", "model.tail", "-1"),
            ("name: rq_nsf_vector", "model.dimension", "1"),
            ("name: glow_vector", "model.layers", "0"),
            ("name: glow_vector", "model.hidden", "0"),
            ("name: glow", "model.dropout", "1"),
            ("name: glow", "model.alpha", "0.5"),
            ("name: glow", "model.shape", "[1, 27, 27]"),
            ("name: glow", "model.shape", "[1, 28, 32]"),
            ("name: glow, hidden: [8, 8, 8]", "model.hidden.2", "0"),
            (&flow, "model.shape", "[0, 1, 1]"),
            (&flow, "model.transform.0.alpha", "0"),
            (&flow, &format!("{coupling}.transform.bins"), "1"),
            (&flow, &format!("{coupling}.conditioner.hidden"), "0"),
            (&flow, &format!("{coupling}.conditioner.dropout"), "-0.5"),
            (&flow, &format!("{coupling}.conditioner.kernel"), "2"),
        ] {
            let text = format!("data: {{train: demo:train}}\nmodel: {{{model}}}\n");
            assert!(Loaded::<TrainConfig>::text(&text, &[]).is_ok(), "{model}");
            let set = format!("{key}={value}");
            let error = Loaded::<TrainConfig>::text(&text, std::slice::from_ref(&set)).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("--set {set}: `{key}` ")), "{message}");
            assert!(message.contains("must be"), "{message}");
        }
    }
}
