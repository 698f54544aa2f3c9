//! Expected simplex skewness.
//!
//! Johnsson, Soneson & Fontes 2015, "Low bias local intrinsic dimension estimation from expected simplex skewness"
//! (doi:10.1109/TPAMI.2014.2343220), version (a) with d = 1: the mean, weighted by length, of |sin| of the angle between the
//! vectors from a neighbourhood's mean to its points,
//!
//! `ess = Σ_{i<j} |v_i| |v_j| |sin(v_i, v_j)| / Σ_{i<j} |v_i| |v_j|`.
//!
//! Uniform in a ball of dimension n it is `S(n) = Γ(n/2)² / (Γ((n+1)/2) Γ((n-1)/2))`, which rises from S(1) = 0 to 1; the
//! estimate is n with S(n) = ess, linear between whole n.

use super::{ModelFreeError, Neighbours, cloud::mean, neighbours::at_least};
use faer::{Accum, Mat, Par, linalg::matmul::matmul};

const PROBLEM: &str =
    "whose neighbours are all duplicates of each other; remove duplicates or raise k";

/// Estimate on the k nearest neighbours of every point, in dimensions. scikit-dimension's default is k = 100.
///
/// All pairs are used. (scikit-dimension draws 5000 of them where there are more, from k = 101.)
///
/// # Errors
/// As [`Neighbours::new`]; k below 3; points whose neighbours coincide with each other, but not with the point.
///
/// # Performance
/// That of [`Neighbours::new`], and n k² x dimension.
pub fn local(points: &[f64], dimension: usize, k: usize) -> Result<Vec<f64>, ModelFreeError> {
    at_least(k, 3)?;
    let neighbours = Neighbours::new(points, dimension, k)?;
    neighbours.estimates(PROBLEM, |i| skewness(&neighbours.coordinates(i), dimension).map(inverse))
}

/// Mean of the local estimates.
///
/// # Errors
/// As [`local`].
pub fn global(points: &[f64], dimension: usize, k: usize) -> Result<f64, ModelFreeError> {
    let local = local(points, dimension, k)?;
    Ok(local.iter().sum::<f64>() / local.len() as f64)
}

/// The skewness of one neighbourhood, unless its points are all the same.
fn skewness(points: &[f64], dimension: usize) -> Option<f64> {
    let k = points.len() / dimension;
    let mean = mean(points, dimension);
    let v = Mat::<f64>::from_fn(k, dimension, |i, d| points[i * dimension + d] - mean[d]);
    let mut gram = Mat::<f64>::zeros(k, k);
    matmul(gram.as_mut(), Accum::Replace, &v, v.transpose(), 1.0, Par::Seq);
    let (mut area, mut weight) = (0.0, 0.0);
    for i in 0..k {
        for j in 0..i {
            let lengths = gram[(i, i)] * gram[(j, j)];
            // Rounding can make it negative for parallel vectors.
            area += (lengths - gram[(i, j)] * gram[(i, j)]).max(0.0).sqrt();
            weight += lengths.sqrt();
        }
    }
    let same = points.chunks(dimension).all(|x| x == &points[..dimension]);
    (!same).then_some(area / weight)
}

/// n with S(n) = ess, by `S(n + 2) = S(n) n² / (n² - 1)`.
///
/// It ends: k vectors of sum zero have an ess below sqrt(1 - 1 / (k - 1)²), the S(n) of an n below k².
fn inverse(ess: f64) -> f64 {
    use std::f64::consts::{FRAC_2_PI, FRAC_PI_4};
    let mut n = 1.0;
    let (mut low, mut high, mut next) = (0.0, FRAC_2_PI, FRAC_PI_4);
    while ess >= high {
        n += 1.0;
        (low, high, next) = (high, next, high * n * n / (n * n - 1.0));
    }
    n + (ess - low) / (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_that_of_the_gamma_function() {
        // S(4) = Γ(2)² / (Γ(5/2) Γ(3/2)) = 8 / (3 π), S(5) = Γ(5/2)² / (Γ(3) Γ(2)) = 9 π / 32.
        use std::f64::consts::PI;
        assert_eq!(inverse(0.0), 1.0);
        assert!((inverse(2.0 / PI) - 2.0).abs() < 1e-12);
        assert!((inverse(PI / 4.0) - 3.0).abs() < 1e-12);
        assert!((inverse(8.0 / (3.0 * PI)) - 4.0).abs() < 1e-12);
        assert!((inverse(9.0 * PI / 32.0) - 5.0).abs() < 1e-12);
        assert!((inverse((8.0 / (3.0 * PI) + 9.0 * PI / 32.0) / 2.0) - 4.5).abs() < 1e-12);
        // S(n) -> 1 - 1 / (2 n)
        assert!((inverse(1.0 - 1e-4) / 5000.0 - 1.0).abs() < 1e-2);
    }

    #[test]
    fn the_most_skew_neighbourhood_has_a_finite_estimate() {
        // The corners of a regular simplex.
        let k = 40;
        let corners: Vec<f64> = (0..k * k).map(|i| f64::from(u8::from(i / k == i % k))).collect();
        let ess = skewness(&corners, k).unwrap();
        let sine = (1.0 - 1.0 / ((k - 1) as f64).powi(2)).sqrt();
        assert!((ess - sine).abs() < 1e-12);
        assert!(inverse(ess) < (k * k) as f64);
    }
}
