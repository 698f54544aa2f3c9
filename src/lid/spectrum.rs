//! The scale-free part of every estimator: the spectrum of JᵀJ and z0 in its tridiagonal basis.

use faer::{
    Conj, Mat, MatMut, Par,
    diag::{DiagMut, DiagRef},
    dyn_stack::{MemBuffer, MemStack},
    linalg::{evd, householder, matmul::matmul, qr},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Spectrum of `A = JᵀJ` for one sample.
///
/// `A = Q T Qᵀ` with T tridiagonal by Householder reflections. Kept are the eigenvalues, T and `Qᵀ z0`: enough for every
/// quadratic form `z0ᵀ g(A) z0` by tridiagonal solves, without eigenvectors, at the cost of 4/3 D³ operations.
///
/// A is formed from the f32 Jacobian in f64, where products of f32 are exact: formed in f32 it would read only rounding
/// below 1e-7 of its largest eigenvalue. In f64 that floor is 1e-16, i.e. 1e-8 in singular values, below what the f32
/// entries of J themselves resolve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spectrum {
    eigenvalues: Vec<f64>,
    diagonal: Vec<f64>,
    off_diagonal: Vec<f64>,
    latent: Vec<f64>,
    negative: usize,
}

/// A Jacobian without a spectrum.
#[derive(Debug, Error, PartialEq)]
pub enum SpectrumError {
    /// NaN or infinite entries.
    #[error("{0} entries of the Jacobian or the latent are NaN or infinite")]
    NotFinite(usize),
    /// The eigenvalue iteration did not converge.
    #[error("the eigenvalues of a {0}x{0} Jacobian did not converge")]
    NoConvergence(usize),
    /// Sizes that do not belong together.
    #[error("a Jacobian of {jacobian} entries does not belong to a latent of dimension {latent}")]
    Shape {
        /// Entries of the Jacobian.
        jacobian: usize,
        /// Dimension of the latent.
        latent: usize,
    },
}

impl Spectrum {
    /// Spectrum of a decoder Jacobian.
    ///
    /// # Shapes
    /// - jacobian: `D x d` values, row-major, with D at least d; z0: `d` values
    ///
    /// # Errors
    /// Entries that are not finite, sizes that do not fit, an iteration that does not converge.
    ///
    /// # Performance
    /// Sequential: run samples in parallel.
    pub fn new(jacobian: &[f32], z0: &[f32]) -> Result<Self, SpectrumError> {
        let n = z0.len();
        let fits = n > 0 && jacobian.len().is_multiple_of(n) && jacobian.len() >= n * n;
        if !fits {
            return Err(SpectrumError::Shape { jacobian: jacobian.len(), latent: n });
        }
        let bad = jacobian.iter().chain(z0).filter(|v| !v.is_finite()).count();
        if bad > 0 {
            return Err(SpectrumError::NotFinite(bad));
        }
        let rows = jacobian.len() / n;
        let j = Mat::<f64>::from_fn(rows, n, |row, column| f64::from(jacobian[row * n + column]));
        let mut a = Mat::<f64>::zeros(n, n);
        matmul(a.as_mut(), faer::Accum::Replace, j.transpose(), &j, 1.0, Par::Seq);

        let mut latent = Mat::<f64>::from_fn(n, 1, |i, _| f64::from(z0[i]));
        if n > 1 {
            tridiagonalise(a.as_mut(), latent.as_mut());
        }
        let diagonal: Vec<f64> = (0..n).map(|i| a[(i, i)]).collect();
        let off_diagonal: Vec<f64> = (1..n).map(|i| a[(i, i - 1)]).collect();
        let mut eigenvalues = eigenvalues(&diagonal, &off_diagonal)?;
        eigenvalues.sort_by(|a, b| b.total_cmp(a));
        let negative = eigenvalues.iter().filter(|l| **l < 0.0).count();
        let latent = (0..n).map(|i| latent[(i, 0)]).collect();
        Ok(Self { eigenvalues, diagonal, off_diagonal, latent, negative })
    }

    /// Dimension d of the latent: of a flow, that of the data.
    pub fn dimension(&self) -> usize {
        self.eigenvalues.len()
    }

    /// Eigenvalues of JᵀJ, falling; the smallest may be negative by rounding ([`negative`](Self::negative)).
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// How many eigenvalues came out negative: all of them are rounding around zero.
    pub fn negative(&self) -> usize {
        self.negative
    }

    /// The smallest scale r that the Jacobian resolves: its f32 entries carry a relative error of 2^-24, which moves a
    /// singular value by up to `2^-24 √D σ_max`. Below, LID reads rounding.
    pub fn resolution(&self) -> f64 {
        let largest = self.eigenvalues.first().map_or(0.0, |l| l.max(0.0).sqrt());
        resolution(largest, self.dimension())
    }

    /// `Qᵀ z0`.
    pub(super) fn latent(&self) -> &[f64] {
        &self.latent
    }

    /// `(T + v)⁻¹ Qᵀ z0` for v > 0, by the Thomas algorithm (stable for positive definite T + v).
    pub(super) fn resolvent(&self, v: f64) -> Vec<f64> {
        let n = self.dimension();
        let mut upper = vec![0.0; n];
        let mut w = self.latent.clone();
        let mut pivot = self.diagonal[0] + v;
        w[0] /= pivot;
        for i in 1..n {
            let off = self.off_diagonal[i - 1];
            upper[i - 1] = off / pivot;
            pivot = self.diagonal[i] + v - off * upper[i - 1];
            w[i] = (w[i] - off * w[i - 1]) / pivot;
        }
        for i in (0..n - 1).rev() {
            w[i] -= upper[i] * w[i + 1];
        }
        w
    }
}

/// The smallest scale r that f32 entries resolve beside a largest singular value.
pub(super) fn resolution(largest: f64, dimension: usize) -> f64 {
    (largest * (dimension as f64).sqrt() * 2f64.powi(-24)).ln()
}

/// Reduce A (lower triangle) to tridiagonal form in place and rotate z into its basis.
fn tridiagonalise(mut a: MatMut<f64>, z: MatMut<f64>) {
    let n = a.nrows();
    let block = qr::no_pivoting::factor::recommended_block_size::<f64>(n, n);
    let mut reflectors = Mat::<f64>::zeros(block, n - 1);
    let scratch = evd::tridiag::tridiag_in_place_scratch::<f64>(n, Par::Seq, Default::default())
        .or(
            householder::apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<
                f64,
            >(n - 1, block, 1),
        );
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    evd::tridiag::tridiag_in_place(
        a.rb_mut(),
        reflectors.as_mut(),
        Par::Seq,
        stack,
        Default::default(),
    );
    // The reflectors sit below the subdiagonal and leave the first coordinate alone.
    householder::apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj(
        a.rb().submatrix(1, 0, n - 1, n - 1),
        reflectors.as_ref(),
        Conj::No,
        z.subrows_mut(1, n - 1),
        Par::Seq,
        stack,
    );
}

/// Eigenvalues of a symmetric tridiagonal matrix.
fn eigenvalues(diagonal: &[f64], off_diagonal: &[f64]) -> Result<Vec<f64>, SpectrumError> {
    let n = diagonal.len();
    let mut off = off_diagonal.to_vec();
    off.push(0.0);
    let mut values = vec![0.0; n];
    let scratch = evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::No,
        Par::Seq,
        Default::default(),
    );
    let mut memory = MemBuffer::new(scratch);
    evd::tridiagonal_self_adjoint_evd::<f64>(
        DiagRef::from_slice(diagonal),
        DiagRef::from_slice(&off),
        DiagMut::from_slice_mut(&mut values),
        None,
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| SpectrumError::NoConvergence(n))?;
    Ok(values)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    pub(in crate::lid) fn random_jacobian(n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Columns of very different length, as a trained decoder has.
        let jacobian = (0..n * n)
            .map(|i| rng.random_range(-1.0f32..1.0) * 0.5f32.powi((i % n) as i32))
            .collect();
        (jacobian, (0..n).map(|_| rng.random_range(-2.0f32..2.0)).collect())
    }

    #[test]
    fn eigenvalues_are_squared_singular_values() {
        for n in [1, 2, 3, 20, 65] {
            let (jacobian, z) = random_jacobian(n, n as u64);
            let spectrum = Spectrum::new(&jacobian, &z).unwrap();
            let j = Mat::<f64>::from_fn(n, n, |a, b| f64::from(jacobian[a * n + b]));
            let singular = j.singular_values().unwrap();
            let top = singular[0] * singular[0];
            for (l, s) in spectrum.eigenvalues().iter().zip(&singular) {
                assert!((l - s * s).abs() < 1e-14 * top * n as f64, "n = {n}: {l} and {}", s * s);
            }
            let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
            let z: Vec<f64> = z.iter().map(|&v| f64::from(v)).collect();
            assert!((norm(spectrum.latent()) - norm(&z)).abs() < 1e-10, "Q is orthogonal");
        }
    }

    #[test]
    fn singular_values_below_the_resolution_are_rounding() {
        // Rank one, rounded to f32: all other singular values are rounding, and lie below the resolution.
        let n = 60;
        let (a, b) = random_jacobian(n, 5);
        let row: Vec<f64> = a[..n].iter().map(|&v| f64::from(v)).collect();
        let jacobian: Vec<f32> =
            (0..n * n).map(|i| (f64::from(b[i / n]) * row[i % n]) as f32).collect();
        let spectrum = Spectrum::new(&jacobian, &b).unwrap();
        let second = 0.5 * spectrum.eigenvalues()[1].ln();
        assert!(second < spectrum.resolution() && second > spectrum.resolution() - 5.0);
    }

    #[test]
    fn entries_that_are_not_finite_are_counted() {
        let jacobian = [1.0, f32::NAN, f32::INFINITY, 1.0];
        assert_eq!(Spectrum::new(&jacobian, &[0.0, 0.0]).unwrap_err(), SpectrumError::NotFinite(2));
        assert_eq!(
            Spectrum::new(&jacobian, &[0.0; 3]).unwrap_err(),
            SpectrumError::Shape { jacobian: 4, latent: 3 }
        );
    }
}
