//! Typicality of batches (Nalisnick et al. 2019, arXiv 1906.02994): `-|1/M Σ_m log p(x_m) - E log p|` over M images of one set, the expectation over training images. The means of batches
//! spread by 1/√M of what single images do, so that a small shift of a whole set shows.

use super::mean;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// One score a batch of `batch` images, drawn by `seed` without replacement; those left over are in none.
///
/// - likelihoods: of the images of a set
/// - training: of training images
pub fn scores(likelihoods: &[f64], training: &[f64], batch: usize, seed: u64) -> Vec<f64> {
    let expected = mean(training);
    let mut drawn = likelihoods.to_vec();
    drawn.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    drawn.chunks_exact(batch).map(|images| -(mean(images) - expected).abs()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_typical_as_its_mean() {
        let scores_of = |batch| scores(&[3.0, 3.0, 3.0, 3.0, 3.0], &[0.0, 4.0], batch, 1);
        assert_eq!(scores_of(1), [-1.0; 5]);
        assert_eq!(scores_of(2), [-1.0; 2]);
        assert!(scores_of(6).is_empty());
        // All images but those left over are in one batch: the mean of the means is theirs.
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let mean_of_means = mean(&scores(&values, &[100.0], 3, 7));
        assert!((mean_of_means - (5.5 - 100.0)).abs() < 1e-12);
        assert_ne!(scores(&values, &[100.0], 3, 7), scores(&values, &[100.0], 3, 8));
    }
}
