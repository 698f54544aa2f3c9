//! Model-free estimators on manifolds of known LID.

use super::model_free::{ModelFree, ModelFreeError};
use crate::{data::manifold::Points, eval::LidMetrics};
use serde::Serialize;

/// One estimator on one sample of a manifold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Against the truth, over all points.
    pub metrics: LidMetrics,
    /// True LID and mean estimate of every component of the manifold.
    pub components: Vec<(f64, f64)>,
}

/// Estimate the LID of every point from its k nearest neighbours and compare.
///
/// # Errors
/// Those of the estimator, e.g. points without an estimate.
pub fn score(points: &Points, estimator: ModelFree, k: usize) -> Result<Score, ModelFreeError> {
    let estimates = estimator.local(&points.values, points.dimension, k)?;
    let components = points.component.iter().max().map_or(0, |last| last + 1);
    let means = (0..components).filter_map(|component| {
        let own: Vec<usize> =
            (0..estimates.len()).filter(|&i| points.component[i] == component).collect();
        let mean = own.iter().map(|&i| estimates[i]).sum::<f64>() / own.len() as f64;
        own.first().map(|&i| (points.lid[i], mean))
    });
    let components = means.collect();
    // An estimator gives one finite value a point, or an error.
    let metrics = LidMetrics::new(&estimates, &points.lid)
        .map_err(|_| ModelFreeError::TooFew { points: 0, needed: 1 })?;
    Ok(Score { metrics, components })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifold::Manifold;

    #[test]
    fn easy_manifolds_are_ranked() {
        let points = Manifold::by_name("affine-10").unwrap().sample(1000, 0);
        let score = score(&points, ModelFree::Lpca, 50).unwrap();
        assert_eq!(score.components.len(), 3);
        for (truth, mean) in &score.components {
            assert!((mean - truth).abs() < 0.5, "{mean}, not {truth}");
        }
        assert!(score.metrics.concordance.unwrap() > 0.99 && score.metrics.mae < 0.2);
    }
}
