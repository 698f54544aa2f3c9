//! Estimators on manifolds of known LID.

use super::{
    Densities, Estimator, LidEstimator, MatrixFree, Prepared, Route, Spectral, Spectrum,
    SpectrumError, StopAt, lidl, model_free::ModelFreeError,
};
use crate::{
    data::manifold::{Decoder, Decoders, Points},
    eval::{EvalError, LidMetrics},
    jacobian::{JacobianError, Matrices},
};
use atypical_models::FlowBackend;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;

/// One estimator on one sample of a manifold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Against the truth, over all points.
    pub metrics: LidMetrics,
    /// True LID and mean estimate of every component of the manifold.
    pub components: Vec<(f64, f64)>,
}

/// A manifold on which an estimator fails.
#[derive(Debug, Error, PartialEq)]
pub enum BenchError {
    /// From neighbours.
    #[error(transparent)]
    ModelFree(#[from] ModelFreeError),
    /// From a spectrum.
    #[error(transparent)]
    Spectrum(#[from] SpectrumError),
    /// From products.
    #[error(transparent)]
    Jacobian(#[from] JacobianError),
    /// Estimates that cannot be compared.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// One manifold: a sample for the estimators that read neighbours, and the ideal decoder at some of its points for those that read
/// a model.
pub struct Known<'a> {
    sample: Points,
    decoders: Decoders<'a>,
    /// Computed when the first estimator asks.
    spectra: Option<Vec<Spectrum>>,
}

/// How estimators read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Neighbours, for those that read neighbours; what is usual for each where not given.
    pub k: Option<usize>,
    /// Scale r, for those that have one.
    pub r: f64,
    /// Products.
    pub matrix_free: MatrixFree,
    /// Seed of the probes.
    pub seed: u64,
}

/// What an estimator was told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Number of neighbours.
    K(usize),
    /// Scale r.
    R(f64),
    /// Nothing.
    #[serde(untagged)]
    Nothing {},
}

impl<'a> Known<'a> {
    /// A sample and decoders at some of its points.
    pub fn new(sample: Points, decoders: Decoders<'a>) -> Self {
        Self { sample, decoders, spectra: None }
    }

    /// Estimate the LID at every point and compare.
    ///
    /// # Errors
    /// Those of the estimator, e.g. points without an estimate.
    pub fn score<B: FlowBackend>(
        &mut self,
        estimator: Estimator,
        settings: &Settings,
        device: &B::Device,
    ) -> Result<Score, BenchError> {
        let lid: Vec<f64> = match estimator.route() {
            Route::Points(model_free) => {
                let points = &self.sample;
                let k = model_free.k(settings.k);
                return compare(points, &model_free.local(&points.values, points.dimension, k)?);
            }
            Route::Spectrum => {
                let prepared = self.spectra()?.iter().cloned().map(Prepared::Spectrum);
                prepared.map(|prepared| estimator.lid(&prepared, settings.r)).collect()
            }
            Route::Ensemble => {
                let deltas = lidl_deltas(self.decoders.blur());
                let dimension = self.decoders.points().dimension;
                let lid = |spectrum: &Spectrum| {
                    // The density with noise δ is the decoder's, convolved.
                    let densities = deltas.iter().map(|d| Spectral.log_rho(spectrum, d.ln()));
                    let densities: Vec<f64> = densities.collect();
                    let densities = Densities::new(dimension, &deltas, &densities);
                    estimator.lid(&Prepared::Densities(densities), settings.r)
                };
                self.spectra()?.iter().map(lid).collect()
            }
            Route::Krylov => self.matrix_free::<B>(settings, device)?,
        };
        compare(self.decoders.points(), &lid)
    }

    fn spectra(&mut self) -> Result<&[Spectrum], SpectrumError> {
        if self.spectra.is_none() {
            let n = self.decoders.points().lid.len();
            let spectrum = |i| {
                let Decoder { jacobian, latent } = self.decoders.at(i);
                Spectrum::new(&jacobian, &latent)
            };
            self.spectra = Some((0..n).into_par_iter().map(spectrum).collect::<Result<_, _>>()?);
        }
        Ok(self.spectra.as_deref().unwrap_or_default())
    }

    fn matrix_free<B: FlowBackend>(
        &self,
        settings: &Settings,
        device: &B::Device,
    ) -> Result<Vec<f64>, JacobianError> {
        // A matrix of D = 800 takes 2.4 MiB.
        const BATCH: usize = 16;
        let (n, dimension) = (self.decoders.points().lid.len(), self.decoders.points().dimension);
        let mut lid = Vec::with_capacity(n);
        for from in (0..n).step_by(BATCH) {
            let to = n.min(from + BATCH);
            let decoders: Vec<Decoder> =
                (from..to).into_par_iter().map(|i| self.decoders.at(i)).collect();
            let (jacobians, latents): (Vec<_>, Vec<_>) =
                decoders.into_iter().map(|d| (d.jacobian, d.latent)).unzip();
            let jacobians = TensorData::new(jacobians.concat(), [to - from, dimension, dimension]);
            let latents = TensorData::new(latents.concat(), [to - from, dimension]);
            let at = Matrices::<B>::new(Tensor::from_data(jacobians, device));
            let z = Tensor::from_data(latents, device);
            let stop = StopAt::Scale(settings.r);
            for krylov in settings.matrix_free.prepare(&at, z, stop, settings.seed)? {
                lid.push(krylov?.read(settings.r).lid);
            }
        }
        Ok(lid)
    }
}

impl Settings {
    /// What an estimator is told of them.
    pub fn told(&self, estimator: Estimator) -> Told {
        match estimator.route() {
            Route::Points(model_free) => Told::K(model_free.k(self.k)),
            _ if estimator.has_scale() => Told::R(self.r),
            _ => Told::Nothing {},
        }
    }
}

/// Levels of noise well above the blur, as far apart as those of the paper.
fn lidl_deltas(blur: f64) -> Vec<f64> {
    lidl::deltas(10.0 * blur, 100.0 * blur, 8)
}

fn compare(points: &Points, estimates: &[f64]) -> Result<Score, BenchError> {
    let components = points.component.iter().max().map_or(0, |last| last + 1);
    let means = (0..components).filter_map(|component| {
        let own: Vec<usize> =
            (0..estimates.len()).filter(|&i| points.component[i] == component).collect();
        let mean = own.iter().map(|&i| estimates[i]).sum::<f64>() / own.len() as f64;
        own.first().map(|&i| (points.lid[i], mean))
    });
    let components = means.collect();
    Ok(Score { metrics: LidMetrics::new(estimates, &points.lid)?, components })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::manifold::{MANIFOLDS, Manifold},
        lid::{
            LidEstimator, Spectrum, Threshold,
            model_free::{lpca, mle},
        },
    };
    use burn::backend::Flex;

    fn score(manifold: &str, estimator: Estimator, blur: f64) -> Score {
        let manifold = Manifold::by_name(manifold).unwrap();
        let mut known = Known::new(manifold.sample(1000, 0), manifold.decoders(24, 0, blur));
        let settings = Settings {
            k: None,
            r: 0.5 * blur.ln(),
            matrix_free: MatrixFree { tolerance: 0.3, max_probes: 256, ..Default::default() },
            seed: 0,
        };
        known.score::<Flex>(estimator, &settings, &Default::default()).unwrap()
    }

    #[test]
    fn easy_manifolds_are_ranked_without_a_model() {
        let score = score("affine-10", Estimator::Lpca, 1e-4);
        assert_eq!(score.components.len(), 3);
        for (truth, mean) in &score.components {
            assert!((mean - truth).abs() < 0.5, "{mean}, not {truth}");
        }
        assert!(score.metrics.concordance.unwrap() > 0.99 && score.metrics.mae < 0.2);
    }

    #[test]
    fn model_free_estimates_are_near_the_truth_of_each_component() {
        let points = Manifold::by_name("affine-10").unwrap().sample(1500, 0);
        let lpca = lpca::local(&points.values, 10, 60, 0.05).unwrap();
        let mle = mle::local(&points.values, 10, 20).unwrap();
        let mean = |of: &dyn Fn(usize) -> f64, component| {
            let own = (0..1500).filter(|&i| points.component[i] == component);
            let own: Vec<f64> = own.map(of).collect();
            own.iter().sum::<f64>() / own.len() as f64
        };
        for (component, truth) in [2.0, 5.0, 8.0].into_iter().enumerate() {
            let (lpca, mle) = (mean(&|i| lpca[i] as f64, component), mean(&|i| mle[i], component));
            assert!((lpca - truth).abs() < 0.1, "lpca {lpca}, truth {truth}");
            // At 500 points a component its neighbourhoods are wide; it reads low in many dimensions.
            assert!((mle / truth - 1.0).abs() < 0.2, "mle {mle}, truth {truth}");
        }
    }

    #[test]
    fn singular_values_other_than_the_blur_count_the_dimension() {
        for manifold in MANIFOLDS.iter().filter(|m| m.dimension < 800) {
            let decoders = manifold.decoders(8, 3, 1e-7);
            let points = decoders.points();
            for i in 0..8 {
                let decoder = decoders.at(i);
                let spectrum = Spectrum::new(&decoder.jacobian, &decoder.latent).unwrap();
                // The smallest deviation of the multiscale Gaussian is 3e-5.
                let lid = Threshold.lid(&spectrum, f64::ln(3e-6));
                assert_eq!(lid, points.lid[i], "{}", manifold.name);
            }
        }
    }

    #[test]
    fn exact_estimators_are_right_where_the_model_is() {
        for name in ["affine-10", "affine-100", "flow-10", "squiggly-10", "torus-circle"] {
            for (estimator, most) in [
                (Estimator::Threshold, 0.0),
                (Estimator::Gap, 0.0),
                (Estimator::Spectral, 0.02),
                (Estimator::Lidl, 0.1),
            ] {
                let mae = score(name, estimator, 1e-4).metrics.mae;
                assert!(
                    mae <= most * Manifold::by_name(name).unwrap().dimension as f64 / 10.0,
                    "{name}, {}: {mae}",
                    estimator.name()
                );
            }
        }
    }

    #[test]
    fn matrix_free_is_right_within_its_tolerance() {
        for name in ["affine-10", "affine-100", "flow-10", "squiggly-100"] {
            let score = score(name, Estimator::MatrixFree, 1e-4);
            assert!(score.metrics.mae < 0.6, "{name}: {}", score.metrics.mae);
            assert_eq!(score.metrics.concordance, Some(1.0), "{name}");
        }
        // Spectra of four decades with a gap below: 256 probes leave a standard error of 0.45, and nothing else is missed.
        let flow = score("flow-100", Estimator::MatrixFree, 1e-4);
        assert!(flow.metrics.mae < 1.2, "{}", flow.metrics.mae);
    }

    #[test]
    fn what_an_estimator_cannot_tell_is_seen() {
        // Deviations down to 3e-5 beside a scale of 0.03: three of ten dimensions and a bit are above.
        let score = score("multiscale-gaussian", Estimator::Threshold, 1e-3);
        assert_eq!(score.components, [(10.0, 4.0)]);
    }
}
