//! The ratio of the distances to the two nearest neighbours.
//!
//! Facco, d'Errico, Rodriguez & Laio 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood
//! information" (doi:10.1038/s41598-017-11873-y): where the density is constant as far as the second neighbour, μ = r₂ / r₁ is
//! Pareto distributed, `F(μ) = 1 - μ^-d`, so d is the slope through the origin of `-log(1 - F)` against `log μ`:
//!
//! `d = Σ x_i y_i / Σ x_i²`, `x_i = log μ_(i)`, `y_i = -log(1 - i / N)`, over all but the largest tenth of the ratios, which
//! are the least reliable.

use super::{ModelFreeError, Neighbours, neighbours::at_least};

/// The fraction of largest ratios that is left out.
const DISCARDED: f64 = 0.1;

const PROBLEM: &str =
    "which have a duplicate near, or nothing but equally far neighbours; remove duplicates";

/// Slope over the ratios of a point and its k nearest neighbours, for every point, in dimensions.
///
/// The ratios are those in the whole data set. (scikit-dimension's pointwise version looks for the two neighbours among the k
/// points only, where those at the rim miss the neighbours they have outside: at k = 20 on a sphere of 10 dimensions it finds
/// 8.5, this 10.2.)
///
/// # Errors
/// As [`Neighbours::new`]; k below 2; points with a duplicate among themselves and their neighbours (unless atoms, 0).
///
/// # Performance
/// That of [`Neighbours::new`].
pub fn local(points: &[f64], dimension: usize, k: usize) -> Result<Vec<f64>, ModelFreeError> {
    at_least(k, 2)?;
    let neighbours = Neighbours::new(points, dimension, k)?;
    let ratios = log_ratios(&neighbours);
    neighbours.estimates(PROBLEM, |i| {
        slope(neighbours.indices(i).iter().chain([&i]).map(|&j| ratios[j]).collect())
    })
}

/// Slope over the ratios of all points.
///
/// # Errors
/// As [`Neighbours::new`] with k = 2; duplicates.
///
/// # Performance
/// That of [`Neighbours::new`].
pub fn global(points: &[f64], dimension: usize) -> Result<f64, ModelFreeError> {
    let ratios = log_ratios(&Neighbours::new(points, dimension, 2)?);
    let points = ratios.len();
    let undefined = match ratios.iter().filter(|x| !x.is_finite()).count() {
        0 => points,
        duplicates => duplicates,
    };
    slope(ratios).ok_or(ModelFreeError::Undefined { undefined, points, problem: PROBLEM })
}

/// log μ of every point; not finite at duplicates.
fn log_ratios(neighbours: &Neighbours) -> Vec<f64> {
    (0..neighbours.len())
        .map(|i| {
            let r = neighbours.distances(i);
            (r[1] / r[0]).ln()
        })
        .collect()
}

/// Slope of `-log(1 - F)` against `log μ`, if it is defined.
fn slope(mut x: Vec<f64>) -> Option<f64> {
    if x.iter().any(|x| !x.is_finite()) {
        return None;
    }
    x.sort_unstable_by(f64::total_cmp);
    let n = x.len() as f64;
    let kept = (n * (1.0 - DISCARDED)) as usize;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, x) in x[..kept].iter().enumerate() {
        let y = -(1.0 - (i + 1) as f64 / n).ln();
        xy += x * y;
        xx += x * x;
    }
    (xx > 0.0).then_some(xy / xx)
}
