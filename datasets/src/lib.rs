//! Images from files to memory, or to a temporary file where memory is too small for them.
//!
//! A [`Spec`] names a set (`fashion-mnist:test[:1000]`, a file, `demo:train`), [`Spec::load`] reads it into [`Images`]:
//! uint8 pixels, channels first. [`Images::unit`] turns samples into the `[0, 1)` floats that models see.
//!
//! [`manifold`] has points instead: synthetic manifolds of known intrinsic dimension.

mod cifar;
mod demo;
mod did_you_mean;
mod emnist;
mod error;
mod frame;
mod hub_files;
mod idx;
mod images;
pub mod manifold;
mod mat;
#[cfg(any(test, feature = "mutations"))]
pub mod mutations;
mod names;
mod noise;
mod npz;
mod original;
mod parquet;
mod pickle;
mod picture;
mod pixels;
mod prepare;
mod registry;
mod spec;
mod toy;
mod vectors;
mod zipped;

pub use did_you_mean::did_you_mean;
pub use error::DataError;
pub use frame::frame;
pub use hub_files::HubFile;
pub use images::{Corruption, Images, Kind, Noise};
pub use manifold::normal;
pub use npz::{to_npz, vectors_to_npz};
pub use picture::decode;
pub use pixels::Pixels;
pub use prepare::{Part, Prepare};
pub use registry::{DATASETS, Dataset, Split};
pub use spec::{Source, Spec};

/// Seeded order of the samples of one epoch: a permutation of `0..n`.
pub fn epoch_order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    use rand::seq::SliceRandom;
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut noise::rng(noise::mix(seed, epoch)));
    order
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_epoch_visits_every_sample_once_in_an_order_of_its_own() {
        let first = super::epoch_order(100, 1, 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(first, super::epoch_order(100, 1, 0));
        assert_ne!(first, super::epoch_order(100, 1, 1));
        assert_ne!(first, super::epoch_order(100, 2, 0));
    }
}
