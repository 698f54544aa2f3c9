//! Batches of images on a device.

use crate::data::{Images, Noise, epoch_order};
use burn::{
    data::dataloader::{DataLoader, DataLoaderIterator, Progress},
    tensor::{Tensor, TensorData, backend::Backend},
};
use std::sync::Arc;

/// Images and the size of their batches.
#[derive(Clone)]
pub struct Loader<B: Backend> {
    images: Arc<Images>,
    batch_size: usize,
    /// Standard deviation of the noise on top of the dequantisation.
    sigma: f64,
    device: B::Device,
}

impl<B: Backend> Loader<B> {
    pub fn new(images: Arc<Images>, batch_size: usize, sigma: f64, device: B::Device) -> Self {
        Self { images, batch_size, sigma, device }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Full batches in an epoch.
    pub fn steps(&self) -> usize {
        self.images.len() / self.batch_size
    }

    /// Batch `step` of an epoch in its seeded order, `[batch, D]`.
    pub fn training_batch(&self, seed: u64, epoch: u64, step: usize, noise: Noise) -> Tensor<B, 2> {
        let order = epoch_order(self.images.len(), seed, epoch);
        self.batch(&order[step * self.batch_size..][..self.batch_size], noise)
    }

    /// All images in order, the last batch smaller.
    pub fn batches(&self, noise: Noise) -> impl Iterator<Item = Tensor<B, 2>> + '_ {
        let all: Vec<usize> = (0..self.images.len()).collect();
        let chunks: Vec<Vec<usize>> = all.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        chunks.into_iter().map(move |index| self.batch(&index, noise))
    }

    fn batch(&self, index: &[usize], noise: Noise) -> Tensor<B, 2> {
        let data = self.images.noisy(index, noise, self.sigma);
        Tensor::from_data(
            TensorData::new(data, [index.len(), self.images.dimension()]),
            &self.device,
        )
    }
}

/// The plain loader that burn-train's own strategies would use: all images in order, without noise.
struct InOrder<'a, B: Backend> {
    loader: &'a Loader<B>,
    next: usize,
}

impl<B: Backend> Iterator for InOrder<'_, B> {
    type Item = Tensor<B, 2>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = self.loader.len();
        let to = (self.next + self.loader.batch_size).min(len);
        let index: Vec<usize> = (self.next..to).collect();
        self.next = to;
        (!index.is_empty()).then(|| self.loader.batch(&index, Noise::Off))
    }
}

impl<B: Backend> DataLoaderIterator<Tensor<B, 2>> for InOrder<'_, B> {
    fn progress(&self) -> Progress {
        Progress::new(self.next, self.loader.len())
    }
}

impl<B: Backend> DataLoader<B, Tensor<B, 2>> for Loader<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Tensor<B, 2>> + 'a> {
        Box::new(InOrder { loader: self, next: 0 })
    }

    fn num_items(&self) -> usize {
        self.len()
    }

    fn to_device(&self, device: &B::Device) -> Arc<dyn DataLoader<B, Tensor<B, 2>>> {
        Arc::new(Self { device: device.clone(), ..self.clone() })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<B, Tensor<B, 2>>> {
        let index: Vec<usize> = (start..end).collect();
        Arc::new(Self { images: Arc::new(self.images.select(&index)), ..self.clone() })
    }
}
