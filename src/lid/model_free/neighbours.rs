//! Exact nearest neighbours.

use super::{ModelFreeError, cloud::Cloud};
use rayon::prelude::*;

/// The k nearest neighbours of every point, itself left out; of equally far ones those of lower index.
#[derive(Debug)]
pub struct Neighbours<'a> {
    points: &'a [f64],
    dimension: usize,
    k: usize,
    indices: Vec<usize>,
    distances: Vec<f64>,
}

impl<'a> Neighbours<'a> {
    /// Find them, by brute force.
    ///
    /// # Shapes
    /// - points: `n x dimension` values, row-major
    ///
    /// # Errors
    /// `k` is 0, there are `k` points or fewer, coordinates are not finite or too large, all points are identical.
    ///
    /// # Performance
    /// n² x dimension multiplications as matrix products, in parallel; memory for n x k neighbours, a copy of the points, and
    /// 8 MiB (or one row of n distances, where that is more) a thread. 5000 images of 784 pixels: some seconds on 2 cores.
    pub fn new(points: &'a [f64], dimension: usize, k: usize) -> Result<Self, ModelFreeError> {
        at_least(k, 1)?;
        let cloud = Cloud::new(points, dimension, k.saturating_add(1))?;
        let nearest = cloud.rows(|i, products| nearest(&cloud, k, i, products));
        let (distances, indices) = nearest.into_iter().flatten().unzip();
        Ok(Self { points, dimension, k, indices, distances })
    }

    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.indices.len() / self.k
    }

    /// Point i's neighbours, nearest first: `k` indices.
    pub fn indices(&self, i: usize) -> &[usize] {
        &self.indices[i * self.k..][..self.k]
    }

    /// Distances of point i to its neighbours, rising: `k` values.
    pub fn distances(&self, i: usize) -> &[f64] {
        &self.distances[i * self.k..][..self.k]
    }

    /// Number of points that have a duplicate.
    pub fn duplicates(&self) -> usize {
        self.distances.chunks(self.k).filter(|d| d[0] == 0.0).count()
    }

    /// Coordinates of point i's neighbours: `k x dimension` values, row-major.
    pub(super) fn coordinates(&self, i: usize) -> Vec<f64> {
        self.indices(i)
            .iter()
            .flat_map(|&j| &self.points[j * self.dimension..][..self.dimension])
            .copied()
            .collect()
    }

    /// One estimate a point, in parallel: 0 at atoms (points that all of their neighbours coincide with), `estimate(i)`
    /// elsewhere.
    ///
    /// # Errors
    /// Points without a finite estimate, counted, with the `problem` they have.
    pub(super) fn estimates(
        &self,
        problem: &'static str,
        estimate: impl Fn(usize) -> Option<f64> + Sync,
    ) -> Result<Vec<f64>, ModelFreeError> {
        let points = self.len();
        let values: Vec<Option<f64>> = (0..points)
            .into_par_iter()
            .map(|i| match self.distances(i).last() {
                Some(0.0) => Some(0.0),
                _ => estimate(i).filter(|value| value.is_finite()),
            })
            .collect();
        match values.iter().filter(|value| value.is_none()).count() {
            0 => Ok(values.into_iter().flatten().collect()),
            undefined => Err(ModelFreeError::Undefined { undefined, points, problem }),
        }
    }
}

/// Refuse fewer neighbours than an estimator needs.
pub(super) fn at_least(k: usize, needed: usize) -> Result<(), ModelFreeError> {
    if k < needed { Err(ModelFreeError::FewNeighbours { k, needed }) } else { Ok(()) }
}

/// The k nearest points to point i, as (distance, index), nearest first.
fn nearest(cloud: &Cloud, k: usize, i: usize, products: &[f64]) -> Vec<(f64, usize)> {
    let others = || (0..cloud.len()).filter(|&j| j != i);
    // The k smallest upper bounds, rising. So many points are certainly within the last, and whoever is certainly farther is
    // no neighbour.
    let mut reach = vec![f64::INFINITY; k];
    for j in others() {
        let upper = cloud.bounds(i, j, products[j]).1;
        if upper < reach[k - 1] {
            reach.pop();
            reach.insert(reach.partition_point(|r| *r <= upper), upper);
        }
    }
    let mut found: Vec<(f64, usize)> = others()
        .filter(|&j| cloud.bounds(i, j, products[j]).0 <= reach[k - 1])
        .map(|j| (cloud.distance(i, j), j))
        .collect();
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    found.truncate(k);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lid::model_free::estimator::tests::uniform;

    /// By sorting all distances.
    fn sorted(points: &[f64], dimension: usize, k: usize, i: usize) -> Vec<(f64, usize)> {
        let x = &points[i * dimension..][..dimension];
        let mut all: Vec<(f64, usize)> = points
            .chunks(dimension)
            .enumerate()
            .filter(|&(j, _)| j != i)
            .map(|(j, y)| (x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(), j))
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all[..k].to_vec()
    }

    fn assert_exact(points: &[f64], dimension: usize, k: usize) {
        let neighbours = Neighbours::new(points, dimension, k).unwrap();
        for i in 0..neighbours.len() {
            let found: Vec<(f64, usize)> = neighbours
                .distances(i)
                .iter()
                .copied()
                .zip(neighbours.indices(i).iter().copied())
                .collect();
            assert_eq!(found, sorted(points, dimension, k, i), "point {i}");
        }
    }

    #[test]
    fn they_are_those_of_sorting_all_distances() {
        // More than one block of rows.
        assert_exact(&uniform(700, 3, 5, 1), 5, 9);
        assert_exact(&uniform(30, 20, 60, 2), 60, 29);
    }

    #[test]
    fn near_ties_far_from_the_origin_are_told_apart() {
        // Steps of 1e-9 on coordinates of 1000 plus one far outlier: inner products see 1e-10 of squares of 1e6 at best.
        let mut points: Vec<f64> = (0..50).map(|i| 1000.0 + 1e-9 * f64::from(i * i)).collect();
        points.push(-1e6);
        assert_exact(&points, 1, 7);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_duplicates_are_counted() {
        // A lattice, every site twice: all distances are tied.
        let site = |i: usize| [(i % 5) as f64, (i / 5 % 5) as f64];
        let points: Vec<f64> = (0..50).flat_map(site).collect();
        assert_exact(&points, 2, 6);
        let neighbours = Neighbours::new(&points, 2, 6).unwrap();
        assert_eq!(neighbours.duplicates(), 50);
        assert_eq!(neighbours.indices(30)[0], 5);
        let mut apart = points[..50].to_vec();
        apart.extend([0.0, 0.0]);
        assert_eq!(Neighbours::new(&apart, 2, 3).unwrap().duplicates(), 2);
    }

    #[test]
    fn too_few_points_or_neighbours_are_refused() {
        let error = |points: &[f64], k| Neighbours::new(points, 1, k).unwrap_err();
        assert_eq!(error(&[1.0, 2.0], 2), ModelFreeError::TooFew { points: 2, needed: 3 });
        assert_eq!(error(&[1.0, 2.0], 0), ModelFreeError::FewNeighbours { k: 0, needed: 1 });
        assert_eq!(error(&[1.0, f64::NAN], 1), ModelFreeError::NotFinite(1));
    }
}
