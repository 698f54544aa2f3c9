//! Batches of images on a device, prepared while the batch before is at work.

use super::error::TrainError;
use crate::data::{Corruption, DataError, Images, Noise, epoch_order};
use burn::{
    data::dataloader::{DataLoader, DataLoaderIterator, Progress},
    tensor::{Tensor, TensorData, backend::Backend},
};
use std::{
    ops::Range,
    sync::{Arc, mpsc},
    thread,
};

/// Batches that wait ready.
const AHEAD: usize = 2;

/// Images and the size of their batches.
#[derive(Clone)]
pub struct Loader<B: Backend> {
    images: Arc<Images>,
    batch_size: usize,
    corruption: Corruption,
    device: B::Device,
}

impl<B: Backend> Loader<B> {
    pub fn new(
        images: Arc<Images>,
        batch_size: usize,
        corruption: Corruption,
        device: B::Device,
    ) -> Self {
        Self { images, batch_size, corruption, device }
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Full batches in an epoch.
    pub fn steps(&self) -> usize {
        self.images.len() / self.batch_size
    }

    /// The batches of some steps of an epoch in its seeded order, `[batch, D]` each.
    ///
    /// # Errors
    /// No thread to be had; as an item, that it ended before its last batch, or images on disk that cannot be read back.
    pub fn training_batches(
        &self,
        [seed, epoch]: [u64; 2],
        steps: Range<usize>,
        noise: Noise,
    ) -> Result<impl Iterator<Item = Result<Tensor<B, 2>, TrainError>>, TrainError> {
        let order = epoch_order(self.images.len(), seed, epoch);
        let from = steps.start * self.batch_size;
        self.prepare(order[from..steps.end * self.batch_size].to_vec(), noise)
    }

    /// All images in order, the last batch smaller.
    ///
    /// # Errors
    /// As those of [`training_batches`](Self::training_batches).
    pub fn batches(
        &self,
        noise: Noise,
    ) -> Result<impl Iterator<Item = Result<Tensor<B, 2>, TrainError>>, TrainError> {
        self.prepare((0..self.images.len()).collect(), noise)
    }

    /// Batches of these images, from a thread of their own, which ends when nobody waits for them any more.
    fn prepare(
        &self,
        order: Vec<usize>,
        noise: Noise,
    ) -> Result<impl Iterator<Item = Result<Tensor<B, 2>, TrainError>>, TrainError> {
        let (images, size, corruption) = (self.images.clone(), self.batch_size, self.corruption);
        let (device, dimension) = (self.device.clone(), images.dimension());
        let (sender, ready) = mpsc::sync_channel(AHEAD);
        let mut left = order.len().div_ceil(size);
        thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for index in order.chunks(size) {
                    if sender.send(images.corrupted(index, noise, corruption)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| TrainError::Batches(e.to_string()))?;
        Ok(std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let batch = ready.recv().map_err(|_| TrainError::Batches("its thread ended".into()));
            Some(batch.and_then(|data| Ok(on_device(data?, dimension, &device))))
        }))
    }

    /// The first images in order, at most `count`.
    ///
    /// # Errors
    /// Images on disk that cannot be read back.
    pub fn first(&self, count: usize, noise: Noise) -> Result<Tensor<B, 2>, DataError> {
        let index: Vec<usize> = (0..count.min(self.len())).collect();
        self.batch(&index, noise)
    }

    fn batch(&self, index: &[usize], noise: Noise) -> Result<Tensor<B, 2>, DataError> {
        batch(&self.images, index, (noise, self.corruption), &self.device)
    }
}

/// Images as a model sees them, `[index.len(), D]`.
///
/// # Errors
/// Images on disk that cannot be read back.
pub(super) fn batch<B: Backend>(
    images: &Images,
    index: &[usize],
    (noise, corruption): (Noise, Corruption),
    device: &B::Device,
) -> Result<Tensor<B, 2>, DataError> {
    Ok(on_device(images.corrupted(index, noise, corruption)?, images.dimension(), device))
}

/// Numbers as a batch `[rows, dimension]`.
fn on_device<B: Backend>(data: Vec<f32>, dimension: usize, device: &B::Device) -> Tensor<B, 2> {
    let rows = data.len() / dimension;
    Tensor::from_data(TensorData::new(data, [rows, dimension]), device)
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
        // The trait has no place for an error; nor is there a strategy here that would ask.
        let batch = || self.loader.batch(&index, Noise::Off).expect("a disk that can be read");
        (!index.is_empty()).then(batch)
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn batches_are_those_of_the_images_in_order() {
        let images = Arc::new(Images::random(23, [1, 4, 4], 0));
        let corruption = Corruption { noise: 0.1, mutation: 0.2 };
        let loader = Loader::<Flex>::new(images.clone(), 4, corruption, Default::default());
        let values = |batch: Result<Tensor<Flex, 2>, TrainError>| {
            batch.unwrap().into_data().into_vec::<f32>().unwrap()
        };
        let noise = Noise::Training { seed: 3, epoch: 2 };
        let order = epoch_order(23, 3, 2);
        let batches: Vec<_> = loader.training_batches([3, 2], 1..5, noise).unwrap().collect();
        assert_eq!(batches.len(), 4);
        for (batch, index) in batches.into_iter().zip(order[4..].chunks(4)) {
            assert_eq!(values(batch), images.corrupted(index, noise, corruption).unwrap());
        }
        let all: Vec<f32> = loader.batches(noise).unwrap().flat_map(values).collect();
        let index: Vec<usize> = (0..23).collect();
        assert_eq!(all, images.corrupted(&index, noise, corruption).unwrap());
        // Whoever stops in between is not waited for.
        drop(loader.batches(noise).unwrap().next());
    }
}
