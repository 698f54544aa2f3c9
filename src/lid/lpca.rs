//! Dimension of a data set without a model: principal components.
//!
//! The criterion of Fukunaga & Olsen 1971: the number of eigenvalues of the covariance above `alpha` times the largest. On
//! all points together it is a global estimate; on each point's nearest neighbours, averaged, a local one.

use faer::{Mat, Par, Side, linalg::matmul::matmul};
use rayon::prelude::*;
use thiserror::Error;

/// Points whose dimension cannot be estimated.
#[derive(Debug, Error, PartialEq)]
pub enum LpcaError {
    /// Fewer points than the estimate needs.
    #[error("LPCA needs at least {needed} points, not {points}")]
    TooFew {
        /// Points given.
        points: usize,
        /// Points needed.
        needed: usize,
    },
    /// NaN or infinite coordinates.
    #[error("{0} coordinates are NaN or infinite")]
    NotFinite(usize),
    /// All points are the same.
    #[error("all points are identical: they have no principal components")]
    Constant,
    /// The eigenvalue iteration did not converge.
    #[error("the eigenvalues of the covariance did not converge")]
    NoConvergence,
}

/// Dimension of all points together.
///
/// # Shapes
/// - points: `n x dimension` values, row-major
///
/// # Errors
/// Fewer than two points, coordinates that are not finite, identical points.
pub fn global(points: &[f64], dimension: usize, alpha: f64) -> Result<usize, LpcaError> {
    check(points, dimension, 2)?;
    count(points, dimension, alpha, Par::rayon(0))
}

/// Dimension of each point's `neighbours` nearest points (itself included), one value a point.
///
/// # Errors
/// As [`global`], and fewer points than neighbours.
pub fn local(
    points: &[f64],
    dimension: usize,
    neighbours: usize,
    alpha: f64,
) -> Result<Vec<usize>, LpcaError> {
    check(points, dimension, neighbours.max(2))?;
    points
        .par_chunks(dimension)
        .map(|x| {
            let mut order: Vec<(f64, usize)> = points
                .chunks(dimension)
                .enumerate()
                .map(|(i, y)| (x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum(), i))
                .collect();
            order.select_nth_unstable_by(neighbours - 1, |a, b| a.0.total_cmp(&b.0));
            let near: Vec<f64> = order[..neighbours]
                .iter()
                .flat_map(|&(_, i)| points[i * dimension..][..dimension].iter().copied())
                .collect();
            count(&near, dimension, alpha, Par::Seq)
        })
        .collect()
}

fn check(points: &[f64], dimension: usize, needed: usize) -> Result<(), LpcaError> {
    let n = points.len() / dimension.max(1);
    if n < needed {
        return Err(LpcaError::TooFew { points: n, needed });
    }
    match points.iter().filter(|v| !v.is_finite()).count() {
        0 => Ok(()),
        bad => Err(LpcaError::NotFinite(bad)),
    }
}

/// Eigenvalues of the covariance above `alpha` times the largest.
fn count(points: &[f64], dimension: usize, alpha: f64, par: Par) -> Result<usize, LpcaError> {
    let n = points.len() / dimension;
    let mean: Vec<f64> = (0..dimension)
        .map(|d| points.iter().skip(d).step_by(dimension).sum::<f64>() / n as f64)
        .collect();
    let centred = Mat::<f64>::from_fn(n, dimension, |i, d| points[i * dimension + d] - mean[d]);
    // The smaller of the two Gram matrices has the same nonzero eigenvalues.
    let (left, right) = if n < dimension {
        (centred.as_ref(), centred.transpose())
    } else {
        (centred.transpose(), centred.as_ref())
    };
    let mut gram = Mat::<f64>::zeros(left.nrows(), left.nrows());
    matmul(gram.as_mut(), faer::Accum::Replace, left, right, 1.0, par);
    let values =
        gram.self_adjoint_eigenvalues(Side::Lower).map_err(|_| LpcaError::NoConvergence)?;
    let top = values.iter().copied().fold(0.0, f64::max);
    if top <= 0.0 {
        return Err(LpcaError::Constant);
    }
    Ok(values.iter().filter(|v| **v > alpha * top).count())
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
            let got = local(&g.points, g.dimension, g.neighbours, g.alpha).unwrap();
            assert_eq!(got, g.local, "{}", g.name);
        }
    }

    #[test]
    fn bad_points_are_refused() {
        assert_eq!(global(&[1.0, 2.0], 2, 0.1), Err(LpcaError::TooFew { points: 1, needed: 2 }));
        assert_eq!(global(&[1.0, f64::NAN, 1.0, 2.0], 2, 0.1), Err(LpcaError::NotFinite(1)));
        assert_eq!(global(&[1.0, 2.0, 1.0, 2.0], 2, 0.1), Err(LpcaError::Constant));
        assert_eq!(
            local(&[1.0, 2.0, 3.0, 2.0], 2, 5, 0.1),
            Err(LpcaError::TooFew { points: 2, needed: 5 })
        );
    }
}
