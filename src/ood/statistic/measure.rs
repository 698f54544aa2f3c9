//! All statistics of a set of images but those of the spectrum.

use super::{
    Codec, ComplexityError, Statistic, Statistics, anderson_darling,
    around::{fold, log_mean_density, log_mean_density_of_latents, points},
    bits, climb, curved, gradient_norm, log_box_mass, regret, shells,
};
use crate::{
    config::{AroundConfig, HessianConfig, OodConfig, OptimumConfig, RegretConfig, ShellsConfig},
    data::{DataError, Images, Kind, normal},
    lid::matrix_free::norm,
    ood::{
        OodError, Scorer,
        cache::{Measurement, Timing},
    },
};
use atypical_models::{FlowBackend, LatentModel};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// The models of an experiment.
pub struct Models<B: FlowBackend> {
    /// The one whose density is in question.
    pub scorer: Scorer<B>,
    /// The one trained on mutated images, for the likelihood ratio.
    pub background: Option<Scorer<B>>,
    /// Others of the same kind, for WAIC.
    pub ensemble: Vec<Scorer<B>>,
    /// What measures complexity.
    pub codecs: Vec<Codec>,
    /// Half-width of the latent's box.
    pub latent_radius: f64,
    /// Draws around an image.
    pub around: AroundConfig,
    /// Chains around an image.
    pub shells: ShellsConfig,
    /// The ascent from an image.
    pub optimum: OptimumConfig,
    /// The fit of a VAE's posterior to an image.
    pub regret: RegretConfig,
    /// The curvature at an image.
    pub hessian: HessianConfig,
    /// Seed of draws, chains and probes.
    pub seed: u64,
}

impl<B: FlowBackend> Models<B> {
    /// One model with the settings of an experiment, without background or ensemble.
    pub fn new(config: &OodConfig, scorer: Scorer<B>) -> Self {
        Self {
            scorer,
            background: None,
            ensemble: Vec::new(),
            codecs: config.codecs.clone(),
            latent_radius: config.latent_radius,
            around: config.around,
            shells: config.shells,
            optimum: config.optimum,
            regret: config.regret,
            hessian: config.hessian,
            seed: config.seed,
        }
    }

    /// The same without bars.
    pub fn quiet(self) -> Self {
        Self {
            scorer: self.scorer.quiet(),
            background: self.background.map(Scorer::quiet),
            ensemble: self.ensemble.into_iter().map(Scorer::quiet).collect(),
            ..self
        }
    }

    /// The statistics asked for, without [those of the spectrum](Statistic::is_of_spectrum), of every image; likelihoods first: they take seconds, and what is wrong with a model shows in
    /// them.
    ///
    /// # Errors
    /// A statistic that is not finite, an image that a codec refuses.
    pub fn measure(
        &self,
        images: &Images,
        asked: &BTreeSet<Statistic>,
    ) -> Result<Statistics, OodError> {
        let mut found = Statistics::new();
        for &statistic in asked {
            // Some come together.
            if found.contains_key(&statistic) {
                continue;
            }
            match statistic {
                Statistic::LogLikelihood => {
                    found.insert(statistic, self.scorer.log_likelihood(images)?);
                }
                Statistic::Lid | Statistic::LogRho => continue,
                Statistic::InverseError => {
                    found.insert(statistic, self.scorer.inverse_error(images)?);
                }
                Statistic::ReconstructionError => {
                    found.insert(statistic, self.scorer.reconstruction_error(images)?);
                }
                Statistic::LatentLogLikelihood => {
                    let all = self.scorer.each_batch(images, "latent density", &(), |model, x| {
                        Ok(model.latent_log_prob(x).into_data().iter::<f64>().collect())
                    });
                    found.insert(statistic, all?);
                }
                Statistic::Regret => {
                    found.insert(statistic, self.regret(images)?);
                }
                Statistic::BackgroundLogLikelihood => {
                    let background = self.background.as_ref().ok_or(OodError::NoBackground)?;
                    found.insert(statistic, background.log_likelihood(images)?);
                }
                Statistic::EnsembleMean | Statistic::EnsembleVariance => {
                    found.extend(self.ensemble(images)?);
                }
                Statistic::Complexity => {
                    found.insert(statistic, self.complexity(images)?);
                }
                Statistic::GradientNorm => {
                    let norms = self.scorer.each_batch(images, "gradient", &(), |model, x| {
                        Ok(gradient_norm(model, x))
                    });
                    found.insert(statistic, norms?);
                }
                Statistic::Convolution | Statistic::DataBall | Statistic::LatentBall => {
                    found.insert(statistic, self.around(images, statistic)?);
                }
                Statistic::ShellDimension => {
                    found.insert(statistic, self.shells(images)?);
                }
                Statistic::OptimumRise => {
                    found.insert(statistic, self.optimum(images)?);
                }
                Statistic::Slope | Statistic::Curvature | Statistic::FlatDirections => {
                    found.extend(self.curvature(images)?);
                }
                Statistic::LatentNorm | Statistic::LatentBox | Statistic::LatentFit => {
                    found.extend(self.latent(images)?);
                }
            }
        }
        found.retain(|statistic, _| asked.contains(statistic));
        check_finite(&found, images)?;
        Ok(found)
    }

    /// What all measurements took, those of other models after those of the one in question.
    pub fn timings(&self) -> Vec<Timing> {
        let named = |scorer: &Scorer<B>, prefix: &str| -> Vec<Timing> {
            let named = |t: Timing| Timing { what: format!("{prefix}{}", t.what), ..t };
            scorer.cache().timings().into_iter().map(named).collect()
        };
        let others = self.ensemble.iter().map(|member| named(member, "ensemble: "));
        let background = self.background.as_ref().map(|b| named(b, "background: "));
        let own = named(&self.scorer, "");
        own.into_iter().chain(background.into_iter().chain(others).flatten()).collect()
    }

    fn ensemble(&self, images: &Images) -> Result<[(Statistic, Vec<f64>); 2], OodError> {
        let members = std::iter::once(&self.scorer).chain(&self.ensemble);
        let columns: Vec<Vec<f64>> =
            members.map(|m| m.log_likelihood(images)).collect::<Result<_, _>>()?;
        let n = columns.len() as f64;
        let of = |i: usize| columns.iter().map(move |column| column[i]);
        let means: Vec<f64> = (0..images.len()).map(|i| of(i).sum::<f64>() / n).collect();
        let variance = |i: usize| of(i).map(|v| (v - means[i]).powi(2)).sum::<f64>() / (n - 1.0);
        let variances = (0..images.len()).map(variance).collect();
        Ok([(Statistic::EnsembleMean, means), (Statistic::EnsembleVariance, variances)])
    }

    fn complexity(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        if images.kind == Kind::Vectors {
            return Err(OodError::NoPictures { set: images.name.clone() });
        }
        let mut bar = self.scorer.progress("complexity", images.len());
        let measurement = Measurement { what: "complexity", settings: &self.codecs };
        let all =
            self.scorer.cache().pieces(measurement, images, 128, &mut bar, |index, bar| {
                let samples: Result<Vec<_>, DataError> =
                    index.iter().map(|i| images.sample(*i)).collect();
                let sizes: Result<Vec<f64>, ComplexityError> = samples?
                    .par_iter()
                    .map(|sample| bits(sample, images.shape, &self.codecs))
                    .collect();
                bar.advance(index.len(), "");
                Ok(sizes?)
            })?;
        bar.finish(&images.name);
        Ok(all)
    }

    /// The mean density of points around every image, each image with a random stream of its own.
    fn around(&self, images: &Images, statistic: Statistic) -> Result<Vec<f64>, OodError> {
        let AroundConfig { samples, sigma, radius, latent_radius, ball } = self.around;
        let d = images.dimension();
        let settings = &(self.around, self.seed);
        let end = end(images);
        self.scorer.each_image(images, statistic.words(), settings, |model, i, x| {
            let mut rng = images.stream(i, self.seed)?;
            let device = x.device();
            let on_ball = |radius: f64, rng: &mut _| -> Vec<f64> {
                ball.draw(d, rng).into_iter().map(|u| radius * u).collect()
            };
            Ok(match statistic {
                Statistic::Convolution => {
                    let draw = || (0..d).map(|_| sigma * normal(&mut rng)).collect();
                    log_mean_density(model, points(&host(x), samples, draw, end, &device))
                }
                Statistic::DataBall => {
                    let draw = || on_ball(radius, &mut rng);
                    log_mean_density(model, points(&host(x), samples, draw, end, &device))
                }
                _ => {
                    let z = host(model.encode(x));
                    let draw = || on_ball(latent_radius, &mut rng);
                    let points = points(&z, samples, draw, |z| z, &device);
                    log_mean_density_of_latents(self.scorer.flow()?, points)
                }
            })
        })
    }

    fn shells(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        let settings = &(self.shells, self.seed);
        let end = end(images);
        self.scorer.each_image(images, "shells", settings, |model, i, x| {
            let mut rng = images.stream(i, self.seed)?;
            let device = x.device();
            Ok(shells(model, &host(x), self.shells, end, &mut rng, &device).dimension)
        })
    }

    fn optimum(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        self.scorer.each_image(images, "optimum", &self.optimum, |model, _, x| {
            Ok(climb(model, &x, self.optimum).rise)
        })
    }

    fn regret(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        self.scorer.each_batch(images, "regret", &self.regret, |model, x| {
            let vae = model.as_vae().expect("the plan was checked: only a VAE has one");
            Ok(regret(vae, x, self.regret))
        })
    }

    fn curvature(&self, images: &Images) -> Result<[(Statistic, Vec<f64>); 3], OodError> {
        let settings = &(self.hessian, self.seed);
        let all = self.scorer.each_image(images, "curvature", settings, |model, _, x| {
            let found = curved(model, &x, self.hessian, self.seed)?;
            Ok([found.slope, found.curvature, found.flat])
        })?;
        Ok(columns([Statistic::Slope, Statistic::Curvature, Statistic::FlatDirections], &all))
    }

    fn latent(&self, images: &Images) -> Result<[(Statistic, Vec<f64>); 3], OodError> {
        let (d, radius) = (self.scorer.model().latent_dimension(), self.latent_radius);
        let all = self.scorer.each_batch(images, "latent", &radius, |model, x| {
            let z = host(model.centred_latents(x));
            Ok(z.par_chunks(d)
                .map(|z| [norm(z), log_box_mass(z, radius), anderson_darling(z)])
                .collect())
        })?;
        let names = [Statistic::LatentNorm, Statistic::LatentBox, Statistic::LatentFit];
        Ok(columns(names, &all))
    }
}

/// What becomes of a coordinate that leaves the data's range: pixels have one, vectors have none.
fn end(images: &Images) -> fn(f64) -> f64 {
    match images.kind {
        Kind::Pixels => fold,
        Kind::Vectors => |x| x,
    }
}

/// Refuse statistics with NaN or infinite values.
pub(in crate::ood) fn check_finite(found: &Statistics, images: &Images) -> Result<(), OodError> {
    for (statistic, values) in found {
        let bad = values.iter().filter(|v| !v.is_finite()).count();
        if bad > 0 {
            let (what, set, of) = (statistic.words(), images.name.clone(), images.len());
            return Err(OodError::NotFinite { what, set, bad, of });
        }
    }
    Ok(())
}

fn host<B: FlowBackend>(x: Tensor<B, 2>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Rows of statistics as columns.
fn columns<const N: usize>(names: [Statistic; N], rows: &[[f64; N]]) -> [(Statistic, Vec<f64>); N] {
    std::array::from_fn(|i| (names[i], rows.iter().map(|row| row[i]).collect()))
}
