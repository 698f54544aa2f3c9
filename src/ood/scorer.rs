//! Likelihood and LID spectra of images.

use super::OodError;
use crate::{
    data::{Images, Noise},
    jacobian,
    lid::Spectrum,
    progress::{Progress, Verbosity},
};
use atypical_models::{DensityModel, FlowBackend, flow::Flow};
use burn::{
    backend::Autodiff,
    module::AutodiffModule,
    tensor::{Tensor, TensorData},
};

/// A trained flow, ready to score.
pub struct Scorer<B: FlowBackend> {
    flow: Flow<B>,
    differentiable: Flow<Autodiff<B>>,
    noise: Noise,
    batch_size: usize,
    chunk: usize,
    device: B::Device,
    verbosity: Verbosity,
}

impl<B: FlowBackend> Scorer<B> {
    /// `chunk` bounds the rows of one backward pass of a Jacobian, and so its memory.
    pub fn new(
        flow: Flow<B>,
        noise: Noise,
        batch_size: usize,
        chunk: usize,
        device: B::Device,
        verbosity: Verbosity,
    ) -> Self {
        let differentiable = Flow::<Autodiff<B>>::from_inner(flow.clone()).without_dropout();
        Self { flow, differentiable, noise, batch_size, chunk, device, verbosity }
    }

    /// Shape of the images that the model takes.
    pub fn shape(&self) -> [usize; 3] {
        self.flow.shape()
    }

    fn batch(&self, images: &Images, index: &[usize]) -> Tensor<B, 2> {
        let data = images.unit(index, self.noise);
        Tensor::from_data(TensorData::new(data, [index.len(), images.dimension()]), &self.device)
    }

    /// log p(x) of every image, in nats.
    pub fn log_likelihood(&self, images: &Images) -> Vec<f64> {
        let mut bar = Progress::new(self.verbosity, "likelihood", images.len());
        let all: Vec<usize> = (0..images.len()).collect();
        let mut out = Vec::with_capacity(images.len());
        for index in all.chunks(self.batch_size) {
            out.extend(self.flow.log_prob(self.batch(images, index)).into_data().iter::<f64>());
            bar.advance(index.len(), "");
        }
        bar.finish(&images.name);
        out
    }

    /// The costly part of LID, for any estimator and scale: the spectrum of the decoder's Jacobian at every image.
    ///
    /// # Errors
    /// A Jacobian with entries that are not finite.
    pub fn prepare(&self, images: &Images) -> Result<Vec<Spectrum>, OodError> {
        let dimension = images.dimension();
        let mut bar = Progress::new(self.verbosity, "Jacobians", images.len());
        // The Jacobian runs on the backend, which is parallel inside; the decomposition of the one before runs beside it.
        let mut spectra: Vec<Result<Spectrum, _>> = Vec::with_capacity(images.len());
        let mut waiting: Option<(Vec<f32>, Vec<f32>)> = None;
        for i in 0..=images.len() {
            let ready = waiting.take();
            let (next, done) = rayon::join(
                || {
                    (i < images.len()).then(|| {
                        let z = self.flow.encode(self.batch(images, &[i])).0;
                        let jacobian =
                            jacobian::decoder(&self.differentiable, z.clone(), self.chunk)?;
                        Ok::<_, OodError>((jacobian, z.into_data().iter::<f32>().collect()))
                    })
                },
                || ready.map(|(jacobian, z)| Spectrum::new(&jacobian, &z)),
            );
            waiting = next.transpose().map_err(|e| e.at(&images.name, i))?;
            spectra.extend(done);
            if i > 0 {
                bar.advance(1, "");
            }
        }
        bar.finish(&format!("{} (D = {dimension})", images.name));
        spectra
            .into_iter()
            .enumerate()
            .map(|(i, s)| s.map_err(|e| OodError::from(e).at(&images.name, i)))
            .collect()
    }
}
