//! Likelihood and LID of images under a trained model.

use super::{
    OodError,
    cache::{Cache, Measurement},
};
use crate::{
    config::{LidConfig, OodConfig},
    data::{DataError, Images, Kind, Noise},
    jacobian::{self, Differential, JacobianError, Linearized, Memory},
    lid::{
        Estimator, MatrixFree, Prepared, Route, Scale, Spectrum, SpectrumError, StopAt,
        model_free::{ModelFree, ModelFreeError, lpca},
        scale,
    },
    progress::{Progress, Verbosity},
    report::to_pixels,
};
use atypical_models::{Ability, DensityModel, FlowBackend, LatentModel, Model, flow::Flow};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::OnceLock;
use thiserror::Error;

/// A trained model, ready to score.
pub struct Scorer<B: FlowBackend> {
    model: Model<B>,
    noise: Noise,
    batch_size: usize,
    memory: Memory,
    matrix_free: MatrixFree,
    /// Images whose products are computed together; known when first asked for.
    krylov_batch: OnceLock<usize>,
    seed: u64,
    device: B::Device,
    verbosity: Verbosity,
    cache: Cache,
    /// What progress is said of, where models are told apart.
    /// Those of a VAE's bound, where they are not as it was trained.
    importance_samples: Option<usize>,
    name: Option<String>,
}

/// A scale and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The scale r.
    pub r: f64,
    /// The dimension that it was calibrated to, where it was.
    pub dimension: Option<f64>,
}

/// What one image gave.
pub type Outcome = Result<Prepared, Failure>;

/// Why an image gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// NaN or infinite entries.
    #[error(
        "{0} entries of the Jacobian, of products with it or of the latent are NaN or infinite; the model is numerically broken there (check the \
         training's last losses, or train with a smaller learning rate)"
    )]
    NotFinite(usize),
    /// An eigenvalue iteration did not converge.
    #[error("the eigenvalues did not converge")]
    NoConvergence,
}

impl Failure {
    /// A failure of this image alone; others, as too little memory, are those of every image.
    fn of(error: JacobianError) -> Result<Self, OodError> {
        match error {
            JacobianError::NotFinite { count, .. } => Ok(Self::NotFinite(count)),
            error => Err(error.into()),
        }
    }
}

/// A Jacobian and the latent it was taken at.
type Differentiated = Result<(Vec<f32>, Vec<f32>), Failure>;

/// Images whose LID is lost when the work is cut off.
pub(super) const CHUNK: usize = 8;

/// Images that LPCA looks at: enough for its estimate to settle, few enough for seconds.
const LPCA_IMAGES: usize = 5000;

impl<B: FlowBackend> Scorer<B> {
    /// `seed` decides the random probes of matrix-free LID.
    pub fn new(
        model: Model<B>,
        noise: Noise,
        batch_size: usize,
        lid: &LidConfig,
        seed: u64,
        device: B::Device,
        verbosity: Verbosity,
    ) -> Self {
        let memory = Memory::mib(lid.memory_mib);
        let matrix_free = lid.matrix_free.clone();
        let krylov_batch = OnceLock::new();
        let (cache, name) = (Cache::none(), None);
        Self {
            model,
            noise,
            batch_size,
            memory,
            matrix_free,
            krylov_batch,
            seed,
            device,
            verbosity,
            cache,
            name,
            importance_samples: None,
        }
    }

    /// The same with what was measured before, where further measurements go.
    pub fn with_cache(self, cache: Cache) -> Self {
        Self { cache, ..self }
    }

    /// The same with the name of its run, if that is given, before what its bars say.
    pub fn with_name(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }

    /// What was measured.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// As the configuration of an experiment has it; `dequantized` is whether the model was trained on dequantised images.
    pub fn of(
        config: &OodConfig,
        model: Model<B>,
        dequantized: bool,
        device: B::Device,
        verbosity: Verbosity,
    ) -> Self {
        let noise = Noise::evaluation(config.dequantize.unwrap_or(dequantized), config.seed);
        let model = match config.importance_samples {
            Some(samples) => model.with_importance_samples(samples),
            None => model,
        };
        let OodConfig { batch_size, lid, seed, .. } = config;
        let scorer = Self::new(model, noise, *batch_size, lid, *seed, device, verbosity);
        Self { importance_samples: config.importance_samples, ..scorer }
    }

    /// The same without bars.
    pub fn quiet(self) -> Self {
        Self { verbosity: Verbosity::Quiet, ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model<B> {
        &self.model
    }

    /// Dimension of the model's latents, up to which LID goes; that of the data where it has none.
    pub fn latent_dimension(&self) -> usize {
        latent_dimension(&self.model)
    }

    /// Shape of the images that the model takes.
    pub fn shape(&self) -> [usize; 3] {
        self.model.shape()
    }

    /// Images whose products or Jacobians are computed together, by the memory that they may take.
    ///
    /// # Errors
    /// Too little memory for one.
    pub fn lid_batch(&self, route: Route) -> Result<usize, OodError> {
        if route != Route::Krylov {
            return Ok(1);
        }
        if let Some(batch) = self.krylov_batch.get() {
            return Ok(*batch);
        }
        let dimension = self.model.shape().iter().product();
        let at = Linearized::new(self.flow()?, Tensor::zeros([1, dimension], &self.device));
        let (linearised, direction) = (at.bytes(), at.bytes_per_direction());
        let batch = self.matrix_free.points(self.memory, dimension, linearised, direction)?;
        Ok(*self.krylov_batch.get_or_init(|| batch))
    }

    /// A bar for so many images.
    pub fn progress(&self, what: &str, images: usize) -> Progress {
        let named = self.name.as_ref().map(|name| format!("{name}: {what}"));
        Progress::new(self.verbosity, named.as_deref().unwrap_or(what), images)
    }

    fn batch(&self, images: &Images, index: &[usize]) -> Result<Tensor<B, 2>, DataError> {
        let data =
            TensorData::new(images.unit(index, self.noise)?, [index.len(), images.dimension()]);
        Ok(Tensor::from_data(data, &self.device))
    }

    /// log p(x) of every image, in nats.
    ///
    /// # Errors
    /// As [`each_batch`](Self::each_batch).
    pub fn log_likelihood(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        self.each_batch(images, "likelihood", &(), |model, x| {
            Ok(model.log_prob(x).into_data().iter::<f64>().collect())
        })
    }

    /// Pixels of samples of the model, by the seed; values that are not finite are 0. None of a model without samples.
    pub fn samples(&self, count: usize) -> Vec<u8> {
        if self.model.lacks(Ability::Samples).is_some() {
            return Vec::new();
        }
        B::seed(&self.device, self.seed);
        let samples = self.model.sample(count, &self.device);
        to_pixels(&samples.into_data().iter::<f32>().collect::<Vec<_>>()).0
    }

    /// What `of` makes of the model and a batch `[n, D]`, one thing an image, for all images; `what` names it, beside the bar and, together with `settings`, all that it depends on, in
    /// the [`Cache`].
    ///
    /// # Errors
    /// Those of `of`, and a cache that cannot be written.
    pub fn each_batch<T: Serialize + DeserializeOwned>(
        &self,
        images: &Images,
        what: &str,
        settings: &impl Serialize,
        of: impl Fn(&Model<B>, Tensor<B, 2>) -> Result<Vec<T>, OodError>,
    ) -> Result<Vec<T>, OodError> {
        self.pieces(images, what, settings, self.batch_size, |index| {
            of(&self.model, self.batch(images, index)?)
        })
    }

    /// What `of` makes of the model, an image's number and the image itself `[1, D]`, for all images; the rest as [`each_batch`](Self::each_batch).
    ///
    /// # Errors
    /// Those of `of`, and a cache that cannot be written.
    pub fn each_image<T: Serialize + DeserializeOwned>(
        &self,
        images: &Images,
        what: &str,
        settings: &impl Serialize,
        of: impl Fn(&Model<B>, usize, Tensor<B, 2>) -> Result<T, OodError>,
    ) -> Result<Vec<T>, OodError> {
        self.pieces(images, what, settings, 1, |index| {
            Ok(vec![of(&self.model, index[0], self.batch(images, index)?)?])
        })
    }

    fn pieces<T: Serialize + DeserializeOwned>(
        &self,
        images: &Images,
        what: &str,
        settings: &impl Serialize,
        size: usize,
        mut of: impl FnMut(&[usize]) -> Result<Vec<T>, OodError>,
    ) -> Result<Vec<T>, OodError> {
        let mut bar = self.progress(what, images.len());
        let settings = &(self.context(), settings);
        let measurement = Measurement { what, settings };
        let out = self.cache.pieces(measurement, images, size, &mut bar, |index, bar| {
            let piece = of(index)?;
            bar.advance(index.len(), "");
            Ok(piece)
        })?;
        bar.finish(&images.name);
        Ok(out)
    }

    /// What all numbers depend on besides the weights.
    fn context(&self) -> String {
        let samples =
            self.importance_samples.map_or(String::new(), |n| format!(" {n} importance samples"));
        format!("{} {:?}{samples}", B::name(&self.device), self.noise)
    }

    /// The largest error, in units of x, with which each image comes back from the latent: what the model's inverse misses.
    ///
    /// # Errors
    /// As [`each_batch`](Self::each_batch).
    pub fn inverse_error(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        self.each_batch(images, "inverse", &(), |model, x| {
            let back = model.decode(model.encode(x.clone()));
            let difference: Vec<f64> = (back - x).into_data().iter::<f64>().collect();
            let worst = |d: &[f64]| d.iter().map(|v| v.abs()).fold(0.0, largest);
            Ok(difference.chunks(images.dimension()).map(worst).collect())
        })
    }

    /// The mean squared error, in units of x squared, with which each image is made again from its latent.
    ///
    /// # Errors
    /// As [`each_batch`](Self::each_batch).
    pub fn reconstruction_error(&self, images: &Images) -> Result<Vec<f64>, OodError> {
        self.each_batch(images, "reconstruction", &(), |model, x| {
            let difference = model.decode(model.encode(x.clone())) - x;
            let squares = difference.powi_scalar(2).mean_dim(1);
            Ok(squares.into_data().iter::<f64>().collect())
        })
    }

    /// The costly part of LID at every image, for any scale; `stop` says where matrix-free LID is to be accurate.
    ///
    /// # Errors
    /// Too little memory. What is wrong with single images is in their outcome.
    ///
    /// # Panics
    /// On a route that does not read the decoder.
    pub fn prepare(
        &self,
        images: &Images,
        route: Route,
        stop: StopAt,
        bar: &mut Progress,
    ) -> Result<Vec<Outcome>, OodError> {
        match route {
            Route::Spectrum => self.spectra(images, bar),
            Route::Krylov => self.krylov(images, stop, bar),
            Route::Points(_) | Route::Ensemble => {
                unreachable!("these do not read the decoder of a model")
            }
        }
    }

    /// [`prepare`](Self::prepare), where an image whose Jacobian is not finite is an error.
    ///
    /// # Errors
    /// The first image with NaN or infinite entries, besides.
    pub fn prepare_all(
        &self,
        images: &Images,
        route: Route,
        stop: StopAt,
    ) -> Result<Vec<Prepared>, OodError> {
        let mut bar = self.progress("LID", images.len());
        // A spectrum is all there is, whatever is read from it.
        let how = (route == Route::Krylov).then_some((stop, &self.matrix_free, self.seed));
        let settings = &(self.context(), route, how);
        let measurement = Measurement { what: "LID", settings };
        let size = self.lid_batch(route)?.max(CHUNK);
        let prepared = self.cache.pieces(measurement, images, size, &mut bar, |index, bar| {
            let outcomes = self.prepare(&images.select(index), route, stop, bar)?;
            let each = outcomes.into_iter().zip(index);
            each.map(|(o, i)| o.map_err(|e| OodError::from(e).at(&images.name, *i))).collect()
        })?;
        bar.finish(&format!("{} (D = {})", images.name, images.dimension()));
        Ok(prepared)
    }

    fn spectra(&self, images: &Images, bar: &mut Progress) -> Result<Vec<Outcome>, OodError> {
        // The Jacobian runs on the backend, which is parallel inside; the decomposition of the one before runs beside it.
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(images.len());
        let mut waiting: Option<Differentiated> = None;
        for i in 0..=images.len() {
            let ready = waiting.take();
            let x = (i < images.len()).then(|| self.batch(images, &[i])).transpose()?;
            let (next, done) = rayon::join(
                || {
                    x.map(|x| {
                        let z = self.model.encode(x);
                        let jacobian = self.jacobian(z.clone())?;
                        Ok((jacobian, z.into_data().iter::<f32>().collect::<Vec<_>>()))
                    })
                },
                || {
                    let (jacobian, z) = match ready? {
                        Ok(ready) => ready,
                        Err(failure) => return Some(Err(failure)),
                    };
                    Some(match Spectrum::new(&jacobian, &z) {
                        Ok(spectrum) => Ok(Prepared::Spectrum(spectrum)),
                        Err(SpectrumError::NotFinite(count)) => Err(Failure::NotFinite(count)),
                        Err(SpectrumError::NoConvergence(_)) => Err(Failure::NoConvergence),
                        Err(SpectrumError::Shape { .. }) => {
                            unreachable!("the Jacobian is that at this latent")
                        }
                    })
                },
            );
            waiting = match next {
                Some(Err(error)) => Some(Err(Failure::of(error)?)),
                Some(Ok(differentiated)) => Some(Ok(differentiated)),
                None => None,
            };
            if let Some(done) = done {
                outcomes.push(done);
                bar.advance(1, "");
            }
        }
        Ok(outcomes)
    }

    /// The Jacobian of the decoder at one latent, `D x d` values, row-major.
    fn jacobian(&self, z: Tensor<B, 2>) -> Result<Vec<f32>, JacobianError> {
        match self.model.as_flow() {
            Some(flow) => jacobian::decoder(&Linearized::new(flow, z), self.memory),
            None => jacobian::of_latent_model(&self.model, z, self.memory),
        }
    }

    /// The model as a flow, whose decoder can be linearised once for many products.
    pub(super) fn flow(&self) -> Result<&Flow<B>, OodError> {
        self.model.as_flow().ok_or(OodError::NotAFlow { family: self.model.family() })
    }

    fn krylov(
        &self,
        images: &Images,
        stop: StopAt,
        bar: &mut Progress,
    ) -> Result<Vec<Outcome>, OodError> {
        let all: Vec<usize> = (0..images.len()).collect();
        let mut outcomes = Vec::with_capacity(images.len());
        for index in all.chunks(self.lid_batch(Route::Krylov)?) {
            let z = self.model.encode(self.batch(images, index)?);
            let at = Linearized::new(self.flow()?, z.clone());
            let spaces = self.matrix_free.prepare(&at, z, stop, self.seed)?;
            for space in spaces {
                outcomes.push(match space {
                    Ok(krylov) if krylov.has_eigenvalues() => Ok(Prepared::Krylov(krylov)),
                    Ok(_) => Err(Failure::NoConvergence),
                    Err(error) => Err(Failure::of(error)?),
                });
            }
            bar.advance(index.len(), "");
        }
        Ok(outcomes)
    }
}

/// Choose the scale of an estimator on `count` of the training images, which `prepare` prepares; LID goes up to `latent_dimension`.
///
/// # Errors
/// Those of `prepare`, a scale that cannot be chosen, a dimension that cannot be estimated.
pub fn choose_scale(
    estimator: Estimator,
    scale: &Scale,
    images: &Images,
    latent_dimension: usize,
    count: usize,
    seed: u64,
    prepare: impl FnOnce(&Images, StopAt) -> Result<Vec<Prepared>, OodError>,
) -> Result<Chosen, OodError> {
    let drawn = || images.draw(count, seed);
    match *scale {
        Scale::Fixed { r } => Ok(Chosen { r, dimension: None }),
        Scale::Plateau { tolerance, low, high, steps } => {
            let prepared = prepare(&drawn(), StopAt::Everywhere)?;
            let d = latent_dimension;
            let r = scale::plateau(&estimator, &prepared, d, tolerance, [low, high], steps)?;
            Ok(Chosen { r, dimension: None })
        }
        Scale::Calibrated { dimension, alpha, low, high } => {
            let target = match dimension {
                Some(dimension) => dimension,
                None => model_free_dimension(images, alpha, seed)?,
            };
            within_reach(target, latent_dimension)?;
            let prepared = prepare(&drawn(), StopAt::Dimension(target))?;
            let r = scale::calibrate(&estimator, &prepared, target, low, high)?;
            Ok(Chosen { r, dimension: Some(target) })
        }
    }
}

/// Dimension of a model's latents, up to which LID goes; that of the data where it has none.
pub(super) fn latent_dimension<B: FlowBackend>(model: &Model<B>) -> usize {
    match model.lacks(Ability::Latents) {
        None => model.latent_dimension(),
        Some(_) => model.dimension(),
    }
}

/// Refuse a dimension that no LID takes: it lies between 0 and the dimension of the latents.
pub(super) fn within_reach(target: f64, latent_dimension: usize) -> Result<(), OodError> {
    match target > 0.0 && target < latent_dimension as f64 {
        true => Ok(()),
        false => Err(OodError::Dimension { target, dimension: latent_dimension }),
    }
}

/// The larger number; NaN where either is.
pub fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Dimension of the images by LPCA, without noise.
fn model_free_dimension(images: &Images, alpha: f64, seed: u64) -> Result<f64, OodError> {
    let images = images.draw(LPCA_IMAGES, seed);
    let found = lpca::global(&images.numbers()?, images.dimension(), alpha)?;
    // n points span n - 1 dimensions: what is found of a few is their number.
    let needed = 5 * found;
    if images.len() < needed {
        return Err(ModelFreeError::TooFew { points: images.len(), needed }.into());
    }
    Ok(found as f64)
}

/// LID of every image from its neighbours among them. Without noise, which would add D dimensions of its own.
pub(super) fn points(
    images: &Images,
    estimator: ModelFree,
    k: Option<usize>,
    bar: &mut Progress,
) -> Result<Vec<Outcome>, OodError> {
    let mut values = images.numbers()?;
    if images.kind == Kind::Pixels {
        values.iter_mut().for_each(|value| *value /= 255.0);
    }
    let local = estimator.local(&values, images.dimension(), estimator.k(k));
    let lids = local.map_err(|problem| OodError::Local { estimator: estimator.name(), problem })?;
    bar.advance(images.len(), "");
    Ok(lids.into_iter().map(|lid| Ok(Prepared::Point(lid))).collect())
}
