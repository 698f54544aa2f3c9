//! Points, and their distances without a distance matrix.

use super::ModelFreeError;
use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;

/// Values of one block of inner products: 8 MiB a thread.
const BLOCK: usize = 1 << 20;

/// Refuse points that no estimator can use: a shape that does not fit, fewer than `needed`, coordinates that are not finite or
/// whose squares overflow, points that are all the same.
pub(super) fn check(points: &[f64], dimension: usize, needed: usize) -> Result<(), ModelFreeError> {
    if dimension == 0 || !points.len().is_multiple_of(dimension) {
        return Err(ModelFreeError::Shape { values: points.len(), dimension });
    }
    let n = points.len() / dimension;
    if n < needed {
        return Err(ModelFreeError::TooFew { points: n, needed });
    }
    match points.iter().filter(|v| !v.is_finite()).count() {
        0 => {}
        bad => return Err(ModelFreeError::NotFinite(bad)),
    }
    if !points.iter().map(|v| v * v).sum::<f64>().is_finite() {
        return Err(ModelFreeError::TooLarge);
    }
    if points.chunks(dimension).all(|x| x == &points[..dimension]) {
        return Err(ModelFreeError::Constant);
    }
    Ok(())
}

/// Checked points with what brackets their squared distances.
///
/// `|x - y|² = |x|² + |y|² - 2 xᵀy` is a matrix product for many points at once, but cancels where x and y are near. So the
/// products only bracket a distance; where the bracket does not decide, the distance is computed from the differences, and the
/// outcome is the same as if all were.
pub(super) struct Cloud<'a> {
    points: &'a [f64],
    dimension: usize,
    /// Points minus their mean: smaller norms, tighter brackets.
    centred: Vec<f64>,
    norms: Vec<f64>,
}

impl<'a> Cloud<'a> {
    /// # Errors
    /// As [`check`].
    pub(super) fn new(
        points: &'a [f64],
        dimension: usize,
        needed: usize,
    ) -> Result<Self, ModelFreeError> {
        check(points, dimension, needed)?;
        let mean = mean(points, dimension);
        let centred: Vec<f64> =
            points.iter().zip(mean.iter().cycle()).map(|(value, mean)| value - mean).collect();
        let norms =
            centred.chunks(dimension).map(|x| x.iter().map(|v| v * v).sum::<f64>()).collect();
        Ok(Self { points, dimension, centred, norms })
    }

    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    /// Distance of two points, from their differences.
    pub(super) fn distance(&self, i: usize, j: usize) -> f64 {
        let row = |i: usize| &self.points[i * self.dimension..][..self.dimension];
        row(i).iter().zip(row(j)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    /// `row(i, products)` for every point i with its inner products with all (centred) points, in parallel.
    ///
    /// # Performance
    /// n² x dimension multiplications; of the n x n products only one block a thread is held.
    pub(super) fn rows<T: Send>(&self, row: impl Fn(usize, &[f64]) -> T + Sync) -> Vec<T> {
        let n = self.len();
        let size = (BLOCK / n).clamp(1, 256);
        let all = MatRef::from_column_major_slice(&self.centred, self.dimension, n);
        let starts: Vec<usize> = (0..n).step_by(size).collect();
        starts
            .par_iter()
            .flat_map_iter(|&start| {
                let some = all.subcols(start, size.min(n - start));
                let mut products = Mat::<f64>::zeros(n, some.ncols());
                let (left, right) = (all.transpose(), some);
                matmul(products.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
                (0..some.ncols())
                    .map(|j| row(start + j, products.col_as_slice(j)))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Bounds of the squared distance of two points, from their inner product.
    ///
    /// With unit roundoff u, centring and the three sums err by at most (2 D + 8) u (|x|² + |y|²), and so does the sum over the
    /// differences; the margin, (4 D + 32) u (|x|² + |y|²), covers both.
    pub(super) fn bounds(&self, i: usize, j: usize, product: f64) -> (f64, f64) {
        let norms = self.norms[i] + self.norms[j];
        let margin = 2.0 * (self.dimension + 8) as f64 * f64::EPSILON * norms;
        let squared = norms - 2.0 * product;
        (squared - margin, squared + margin)
    }

    /// Whether the distance of two points is below r, given their inner product.
    pub(super) fn is_nearer(&self, i: usize, j: usize, product: f64, r: f64) -> bool {
        let (low, high) = self.bounds(i, j, product);
        high < r * r || (low <= r * r && self.distance(i, j) < r)
    }
}

/// Mean of the points.
pub(super) fn mean(points: &[f64], dimension: usize) -> Vec<f64> {
    let n = points.len() / dimension;
    (0..dimension)
        .map(|d| points.iter().skip(d).step_by(dimension).sum::<f64>() / n as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lid::model_free::estimator::tests::uniform;

    #[test]
    fn brackets_hold_the_distances_even_far_from_the_origin() {
        let mut points = uniform(40, 3, 7, 0);
        for v in &mut points {
            *v = 1e6 + *v * 1e-3;
        }
        let cloud = Cloud::new(&points, 7, 2).unwrap();
        let inside = cloud.rows(|i, products| {
            (0..40).all(|j| {
                let (low, high) = cloud.bounds(i, j, products[j]);
                let squared = cloud.distance(i, j).powi(2);
                low <= squared && squared <= high && (i == j || high - low < 1e-12)
            })
        });
        assert_eq!(inside, [true; 40]);
    }

    #[test]
    fn unusable_points_are_refused() {
        let error = |points: &[f64], dimension| check(points, dimension, 2).unwrap_err();
        assert_eq!(error(&[1.0; 5], 2), ModelFreeError::Shape { values: 5, dimension: 2 });
        assert_eq!(error(&[], 0), ModelFreeError::Shape { values: 0, dimension: 0 });
        assert_eq!(error(&[1.0; 2], 2), ModelFreeError::TooFew { points: 1, needed: 2 });
        assert_eq!(error(&[1.0, f64::NAN, f64::INFINITY, 2.0], 2), ModelFreeError::NotFinite(2));
        assert_eq!(error(&[1e200, 0.0, 0.0, 0.0], 2), ModelFreeError::TooLarge);
        assert_eq!(error(&[0.1; 6], 2), ModelFreeError::Constant);
    }
}
