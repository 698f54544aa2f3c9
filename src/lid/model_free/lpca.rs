//! Principal components.
//!
//! The criterion of Fukunaga & Olsen 1971, "An algorithm for finding intrinsic dimensionality of data"
//! (doi:10.1109/T-C.1971.223208): the number of eigenvalues of the covariance above `alpha` times the largest. On all points
//! together it is a global estimate; on each point's neighbourhood a local one.

use super::{
    ModelFreeError, Neighbours,
    cloud::{check, mean},
};
use faer::{Mat, Par, Side, linalg::matmul::matmul};

/// Fraction of the largest eigenvalue, scikit-dimension's default.
pub const ALPHA: f64 = 0.05;

/// Dimension of all points together.
///
/// # Shapes
/// - points: `n x dimension` values, row-major
///
/// # Errors
/// Fewer than two points, coordinates that are not finite or too large, identical points, no convergence.
///
/// # Performance
/// The product and the eigenvalues of the smaller Gram matrix, `min(n, dimension)` on each side.
pub fn global(points: &[f64], dimension: usize, alpha: f64) -> Result<usize, ModelFreeError> {
    check(points, dimension, 2)?;
    count(points, dimension, alpha, Par::rayon(0)).ok_or(ModelFreeError::NoConvergence)
}

/// Dimension of each point's neighbourhood, the point itself and its k nearest neighbours, one value a point.
///
/// # Errors
/// As [`Neighbours::new`]; no convergence.
///
/// # Performance
/// That of [`Neighbours::new`], and a [`global`] of k + 1 points for each of the n.
pub fn local(
    points: &[f64],
    dimension: usize,
    k: usize,
    alpha: f64,
) -> Result<Vec<usize>, ModelFreeError> {
    let neighbours = Neighbours::new(points, dimension, k)?;
    let counts = neighbours.estimates("whose eigenvalues did not converge; raise k", |i| {
        let mut near = neighbours.coordinates(i);
        near.extend(&points[i * dimension..][..dimension]);
        count(&near, dimension, alpha, Par::Seq).map(|count| count as f64)
    })?;
    Ok(counts.into_iter().map(|count| count as usize).collect())
}

/// Eigenvalues of the covariance above `alpha` times the largest; none if they do not converge.
fn count(points: &[f64], dimension: usize, alpha: f64, par: Par) -> Option<usize> {
    let n = points.len() / dimension;
    let mean = mean(points, dimension);
    let centred = Mat::<f64>::from_fn(n, dimension, |i, d| points[i * dimension + d] - mean[d]);
    // The smaller of the two Gram matrices has the same nonzero eigenvalues.
    let (left, right) = if n < dimension {
        (centred.as_ref(), centred.transpose())
    } else {
        (centred.transpose(), centred.as_ref())
    };
    let mut gram = Mat::<f64>::zeros(left.nrows(), left.nrows());
    matmul(gram.as_mut(), faer::Accum::Replace, left, right, 1.0, par);
    let values = gram.self_adjoint_eigenvalues(Side::Lower).ok()?;
    let top = values.iter().copied().fold(0.0, f64::max);
    Some(values.iter().filter(|v| **v > alpha * top).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        dimension: usize,
        points: Vec<f64>,
        alpha: f64,
        global: usize,
        neighbours: usize,
        local: Vec<usize>,
    }

    #[test]
    fn agrees_with_scikit_dimension() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/lpca.json"));
        let goldens: Vec<Golden> = serde_json::from_str(text).unwrap();
        assert!(goldens.len() >= 4);
        for g in goldens {
            assert_eq!(global(&g.points, g.dimension, g.alpha).unwrap(), g.global, "{}", g.name);
            // Their neighbourhoods are of so many points, the point itself among them.
            let got = local(&g.points, g.dimension, g.neighbours - 1, g.alpha).unwrap();
            assert_eq!(got, g.local, "{}", g.name);
        }
    }

    #[test]
    fn bad_points_are_refused() {
        use ModelFreeError::*;
        assert_eq!(global(&[1.0, 2.0], 2, 0.1), Err(TooFew { points: 1, needed: 2 }));
        assert_eq!(global(&[1.0, f64::NAN, 1.0, 2.0], 2, 0.1), Err(NotFinite(1)));
        assert_eq!(global(&[1.0, 2.0, 1.0, 2.0], 2, 0.1), Err(Constant));
        assert_eq!(local(&[1.0, 2.0, 3.0, 2.0], 2, 4, 0.1), Err(TooFew { points: 2, needed: 5 }));
    }
}
