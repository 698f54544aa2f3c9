//! The correlation integral.
//!
//! Grassberger & Procaccia 1983, "Measuring the strangeness of strange attractors" (doi:10.1016/0167-2789(83)90298-1): the
//! fraction of pairs nearer than r, `C(r) = 2 / (n (n - 1)) Σ_{i<j} [|x_i - x_j| < r]`, grows like r^d. The slope of log C
//! against log r is read between two radii, the medians over all points of the distances to the 10th and the 20th neighbour:
//!
//! `d = log(C(r₂) / C(r₁)) / log(r₂ / r₁)`.
//!
//! Radii and pairs must be measured by the same distances: for odd n a radius *is* the distance of a pair, which a distance
//! that is rounded otherwise counts or not by chance. scikit-dimension 0.4 took the radii from a distance matrix' rows as if
//! they were points (its issue 36), 0.5.0 takes them from the matrix (its pull request 37), which is right; given points, it
//! still counts on distances of inner products. Here both are distances of differences, as 0.5.0 has it for an exact matrix.

use super::{ModelFreeError, Neighbours, cloud::Cloud, neighbours::at_least};

/// The neighbours whose median distances are the radii.
const NEAR: usize = 10;
const FAR: usize = 20;

const PROBLEM: &str =
    "where the median distances to the 10th and 20th neighbour are equal or 0; remove duplicates";

/// Estimate on the k nearest neighbours of every point as a set of their own, in dimensions. scikit-dimension's default is
/// k = 100. A neighbourhood has a rim whose points lack neighbours: the estimate is low, by a quarter at k = 60 in 5 dimensions.
///
/// # Errors
/// As [`Neighbours::new`]; k below 21; points among whose neighbours the radii are equal or 0 (unless atoms, 0).
///
/// # Performance
/// That of [`Neighbours::new`], and n k² x dimension.
pub fn local(points: &[f64], dimension: usize, k: usize) -> Result<Vec<f64>, ModelFreeError> {
    at_least(k, FAR + 1)?;
    let neighbours = Neighbours::new(points, dimension, k)?;
    neighbours.estimates(PROBLEM, |i| slope(&neighbours.coordinates(i), dimension).ok().flatten())
}

/// Estimate on all points.
///
/// # Errors
/// As [`Neighbours::new`] with k = 20; radii that are equal or 0.
///
/// # Performance
/// Twice that of [`Neighbours::new`].
pub fn global(points: &[f64], dimension: usize) -> Result<f64, ModelFreeError> {
    slope(points, dimension)?.ok_or_else(|| {
        let points = points.len() / dimension;
        ModelFreeError::Undefined { undefined: points, points, problem: PROBLEM }
    })
}

/// The slope between the two radii, if it is defined.
fn slope(points: &[f64], dimension: usize) -> Result<Option<f64>, ModelFreeError> {
    let neighbours = Neighbours::new(points, dimension, FAR)?;
    let radii = [NEAR, FAR]
        .map(|k| median((0..neighbours.len()).map(|i| neighbours.distances(i)[k - 1]).collect()));
    let [near, far] = radii;
    let cloud = Cloud::new(points, dimension, FAR + 1)?;
    let rows = cloud.rows(|i, products| {
        radii.map(|r| (0..i).filter(|&j| cloud.is_nearer(i, j, products[j], r)).count())
    });
    let counts = [0, 1].map(|r| rows.iter().map(|row| row[r]).sum::<usize>());
    let [few, many] = counts.map(|count| count as f64);
    Ok((0.0 < near && near < far && few > 0.0).then(|| (many / few).ln() / (far / near).ln()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[half - 1] + values[half]) / 2.0
    } else {
        values[half]
    }
}
