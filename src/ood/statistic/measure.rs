//! All statistics of a set of images but those of the spectrum.

use super::{
    Codec, ComplexityError, Statistic, Statistics, anderson_darling,
    around::{fold, log_mean_density, log_mean_density_of_latents, points},
    bits, gradient_norm, log_box_mass,
};
use crate::{
    config::AroundConfig,
    data::{Images, normal},
    ood::{OodError, Scorer},
};
use atypical_models::FlowBackend;
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
    /// Their seed.
    pub seed: u64,
}

impl<B: FlowBackend> Models<B> {
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
                    found.insert(statistic, self.scorer.log_likelihood(images));
                }
                Statistic::Lid | Statistic::LogRho => continue,
                Statistic::InverseError => {
                    found.insert(statistic, self.scorer.inverse_error(images));
                }
                Statistic::BackgroundLogLikelihood => {
                    let background = self.background.as_ref().ok_or(OodError::NoBackground)?;
                    found.insert(statistic, background.log_likelihood(images));
                }
                Statistic::EnsembleMean | Statistic::EnsembleVariance => {
                    found.extend(self.ensemble(images));
                }
                Statistic::Complexity => {
                    found.insert(statistic, self.complexity(images)?);
                }
                Statistic::GradientNorm => {
                    let norms = self
                        .scorer
                        .each_batch(images, "gradient", |flow, x| gradient_norm(flow, x));
                    found.insert(statistic, norms);
                }
                Statistic::Convolution | Statistic::DataBall | Statistic::LatentBall => {
                    found.insert(statistic, self.around(images, statistic));
                }
                Statistic::LatentNorm | Statistic::LatentBox | Statistic::LatentFit => {
                    found.extend(self.latent(images));
                }
            }
        }
        found.retain(|statistic, _| asked.contains(statistic));
        for (statistic, values) in &found {
            let bad = values.iter().filter(|v| !v.is_finite()).count();
            if bad > 0 {
                let (what, set, of) = (statistic.words(), images.name.clone(), images.len());
                return Err(OodError::NotFinite { what, set, bad, of });
            }
        }
        Ok(found)
    }

    fn ensemble(&self, images: &Images) -> [(Statistic, Vec<f64>); 2] {
        let members = std::iter::once(&self.scorer).chain(&self.ensemble);
        let columns: Vec<Vec<f64>> = members.map(|m| m.log_likelihood(images)).collect();
        let n = columns.len() as f64;
        let of = |i: usize| columns.iter().map(move |column| column[i]);
        let means: Vec<f64> = (0..images.len()).map(|i| of(i).sum::<f64>() / n).collect();
        let variance = |i: usize| of(i).map(|v| (v - means[i]).powi(2)).sum::<f64>() / (n - 1.0);
        let variances = (0..images.len()).map(variance).collect();
        [(Statistic::EnsembleMean, means), (Statistic::EnsembleVariance, variances)]
    }

    fn complexity(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        let sizes: Result<Vec<f64>, ComplexityError> = (0..images.len())
            .into_par_iter()
            .map(|i| bits(images.sample(i), images.shape, &self.codecs))
            .collect();
        Ok(sizes?)
    }

    /// The mean density of points around every image, each image with a random stream of its own.
    fn around(&self, images: &Images, statistic: Statistic) -> Vec<f64> {
        let AroundConfig { samples, sigma, radius, latent_radius, ball } = self.around;
        let d = images.dimension();
        self.scorer.each_image(images, statistic.words(), |flow, i, x| {
            let mut rng = images.stream(i, self.seed);
            let device = x.device();
            let on_ball = |radius: f64, rng: &mut _| -> Vec<f64> {
                ball.draw(d, rng).into_iter().map(|u| radius * u).collect()
            };
            let host = |x: Tensor<B, 2>| x.into_data().iter::<f64>().collect::<Vec<_>>();
            match statistic {
                Statistic::Convolution => {
                    let draw = || (0..d).map(|_| sigma * normal(&mut rng)).collect();
                    log_mean_density(flow, points(&host(x), samples, draw, fold, &device))
                }
                Statistic::DataBall => {
                    let draw = || on_ball(radius, &mut rng);
                    log_mean_density(flow, points(&host(x), samples, draw, fold, &device))
                }
                _ => {
                    let z = host(flow.encode(x).0);
                    let draw = || on_ball(latent_radius, &mut rng);
                    let points = points(&z, samples, draw, |z| z, &device);
                    log_mean_density_of_latents(flow, points)
                }
            }
        })
    }

    fn latent(&self, images: &Images) -> [(Statistic, Vec<f64>); 3] {
        let (d, radius) = (images.dimension(), self.latent_radius);
        let all: Vec<[f64; 3]> = self.scorer.each_batch(images, "latent", |flow, x| {
            let z: Vec<f64> = flow.encode(x).0.into_data().iter::<f64>().collect();
            let norm = |z: &[f64]| z.iter().map(|z| z * z).sum::<f64>().sqrt();
            z.par_chunks(d)
                .map(|z| [norm(z), log_box_mass(z, radius), anderson_darling(z)])
                .collect()
        });
        let names = [Statistic::LatentNorm, Statistic::LatentBox, Statistic::LatentFit];
        let column = |i: usize| all.iter().map(|row| row[i]).collect();
        [0, 1, 2].map(|i| (names[i], column(i)))
    }
}
