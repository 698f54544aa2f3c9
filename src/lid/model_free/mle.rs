//! Maximum likelihood of the distances to the nearest neighbours.
//!
//! Levina & Bickel 2004, "Maximum likelihood estimation of intrinsic dimension" (NeurIPS 17): points of constant density near x
//! are a Poisson process, whose rate of distances has the maximum likelihood dimension
//!
//! `m(x) = [ 1 / (k - 1) Σ_{j < k} log(T_k / T_j) ]⁻¹`, with T_j the distance of x to its j-th neighbour.
//!
//! As a global estimate the inverses are averaged, the maximum likelihood of one dimension for all points (MacKay &
//! Ghahramani 2005, "Comments on 'Maximum likelihood estimation of intrinsic dimension'"): the mean of m itself is biased, the
//! more the smaller k. scikit-dimension's default is k = 20.

use super::{ModelFreeError, Neighbours, neighbours::at_least};

const PROBLEM: &str =
    "whose neighbours include a duplicate or are all equally far; remove duplicates or raise k";

/// m(x) of every point, in dimensions.
///
/// # Errors
/// As [`Neighbours::new`]; k below 2; points with a duplicate (unless atoms, 0), or whose neighbours are all equally far.
///
/// # Performance
/// That of [`Neighbours::new`].
pub fn local(points: &[f64], dimension: usize, k: usize) -> Result<Vec<f64>, ModelFreeError> {
    at_least(k, 2)?;
    let neighbours = Neighbours::new(points, dimension, k)?;
    neighbours.estimates(PROBLEM, |i| {
        let (farthest, nearer) = neighbours.distances(i).split_last()?;
        let sum: f64 = nearer.iter().map(|t| (farthest / t).ln()).sum();
        sum.is_finite().then_some(nearer.len() as f64 / sum)
    })
}

/// Harmonic mean of the local estimates.
///
/// # Errors
/// As [`local`], and atoms, which would make it 0.
pub fn global(points: &[f64], dimension: usize, k: usize) -> Result<f64, ModelFreeError> {
    let local = local(points, dimension, k)?;
    match local.iter().filter(|m| **m == 0.0).count() {
        0 => Ok(local.len() as f64 / local.iter().map(|m| 1.0 / m).sum::<f64>()),
        undefined => {
            Err(ModelFreeError::Undefined { undefined, points: local.len(), problem: PROBLEM })
        }
    }
}
