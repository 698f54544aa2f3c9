//! Invertible 1x1 convolution.

use super::Bijection;
use crate::init::Init;
use crate::ops::{FlowBackend, same_conv};
use burn::{
    module::{Module, Param, ParamId},
    tensor::{Int, Tensor, TensorData, activation::softplus, backend::Backend},
};
use faer::{
    Mat, Par,
    linalg::{
        triangular_inverse::invert_unit_lower_triangular,
        triangular_solve::solve_upper_triangular_in_place,
    },
};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Smallest entry of U's diagonal.
const MIN_DIAGONAL: f64 = 1e-3;
/// Columns of the inverse that are solved for together.
const COLUMNS: usize = 64;

/// Invertible linear map of the channels, the same at every position: `z = L U P x + b` with a fixed permutation `P`, unit
/// lower triangular `L` and upper triangular `U` with positive diagonal (Kingma & Dhariwal 2018, arXiv 1807.03039).
///
/// `log |det| = height · width · Σ log diag(U)`.
#[derive(Module, Debug)]
pub struct Conv1x1<B: Backend> {
    /// Entries below the diagonal of L; the others are not read. `[channels, channels]`.
    pub lower: Param<Tensor<B, 2>>,
    /// Entries above the diagonal of U; the others are not read. `[channels, channels]`.
    pub upper: Param<Tensor<B, 2>>,
    /// `diag(U) = softplus(diagonal) + 1e-3`, `[channels]`.
    pub diagonal: Param<Tensor<B, 1>>,
    /// `b`, `[channels]`.
    pub bias: Param<Tensor<B, 1>>,
    /// `(P x)[i] = x[permutation[i]]`, `[channels]`.
    pub permutation: Param<Tensor<B, 1, Int>>,
    #[module(skip)]
    solved: Arc<Mutex<Option<Solved>>>,
}

/// The last inverse and what it is of: without, a third of the time of drawing one image goes into it.
#[derive(Debug)]
struct Solved {
    /// L, U, its diagonal and P.
    factors: [TensorData; 4],
    inverse: TensorData,
}

impl<B: Backend> Conv1x1<B> {
    /// A random permutation of the channels.
    pub fn new(channels: usize, init: &mut Init, device: &B::Device) -> Self {
        let identity = ((1.0 - MIN_DIAGONAL).exp() - 1.0).ln();
        let order = init.permutation(channels);
        let permutation = Tensor::from_data(TensorData::new(order, [channels]), device);
        Self {
            lower: Param::from_tensor(Tensor::zeros([channels, channels], device)),
            upper: Param::from_tensor(Tensor::zeros([channels, channels], device)),
            diagonal: Param::from_tensor(Tensor::full([channels], identity, device)),
            bias: Param::from_tensor(Tensor::zeros([channels], device)),
            permutation: Param::initialized(ParamId::new(), permutation),
            solved: Arc::default(),
        }
    }

    /// Whether `permutation` is one: weights from a damaged file may have anything there.
    pub fn is_permuted(&self) -> bool {
        let mut order: Vec<i64> = self.permutation.val().into_data().iter::<i64>().collect();
        order.sort_unstable();
        order.into_iter().eq(0..self.diagonal.dims()[0] as i64)
    }

    /// Diagonal of U.
    fn positive_diagonal(&self) -> Tensor<B, 1> {
        softplus(self.diagonal.val(), 1.0) + MIN_DIAGONAL
    }

    /// `L` and `U P`, differentiable.
    fn factors(&self) -> [Tensor<B, 2>; 2] {
        let diagonal = self.positive_diagonal();
        let [c] = diagonal.dims();
        let eye = Tensor::<B, 2>::eye(c, &diagonal.device());
        let lower = self.lower.val().tril(-1) + eye.clone();
        let upper = self.upper.val().triu(1) + eye * diagonal.unsqueeze_dim(1);
        // Column permutation[i] of U P is column i of U.
        [lower, upper.select(1, self.permutation.val().argsort(0))]
    }

    /// `(L U P)⁻¹`, computed on the host in f64 and rounded once: a constant for automatic differentiation, which is all that the decoder
    /// needs (its derivative is taken in z).
    pub(super) fn inverse_matrix(&self) -> Tensor<B, 2> {
        let diagonal = self.positive_diagonal();
        let (device, dtype) = (diagonal.device(), diagonal.dtype());
        let factors = [
            self.lower.val().into_data(),
            self.upper.val().into_data(),
            diagonal.into_data(),
            self.permutation.val().into_data(),
        ];
        // What a thread left there that panicked is whole, or nothing. Not held while the inverse is computed: a thread that waits for its part of that may take up work that asks for
        // this inverse.
        let lock = || self.solved.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().as_ref().filter(|s| s.factors == factors).map(|s| s.inverse.clone());
        let inverse = known.unwrap_or_else(|| {
            let inverse = inverse(&factors).convert_dtype(dtype);
            *lock() = Some(Solved { factors, inverse: inverse.clone() });
            inverse
        });
        Tensor::from_data(inverse, &device)
    }

    fn log_det(&self, batch: usize, positions: usize) -> Tensor<B, 1> {
        (self.positive_diagonal().log().sum() * positions as f64).expand([batch])
    }
}

/// `(L U P)⁻¹` in f64.
fn inverse([lower, upper, diagonal, permutation]: &[TensorData; 4]) -> TensorData {
    let [lower, upper, diagonal] =
        [lower, upper, diagonal].map(|data| data.iter::<f64>().collect::<Vec<_>>());
    let c = diagonal.len();
    let lower = Mat::from_fn(c, c, |i, k| lower[i * c + k]);
    let upper = Mat::from_fn(c, c, |i, k| if i == k { diagonal[i] } else { upper[i * c + k] });
    // The ones of a unit triangle are not written.
    let mut solved = Mat::<f64>::identity(c, c);
    invert_unit_lower_triangular(solved.as_mut(), lower.as_ref(), Par::Seq);
    // In pieces of one size: the result does not depend on the number of threads.
    solved.as_mut().par_col_chunks_mut(COLUMNS).for_each(|columns| {
        solve_upper_triangular_in_place(upper.as_ref(), columns, Par::Seq);
    });
    let mut inverse = vec![0.0; c * c];
    for (i, row) in permutation.iter::<i64>().enumerate() {
        // P⁻¹ sends row i to row permutation[i].
        (0..c).for_each(|j| inverse[row as usize * c + j] = solved[(i, j)]);
    }
    TensorData::new(inverse, [c, c])
}

impl<B: FlowBackend> Bijection<B> for Conv1x1<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, c, h, w] = x.dims();
        let [lower, upper] = self.factors();
        let z = if n * h * w < c {
            // Fewer columns than channels: two products with them are less than one of the factors.
            let none = Tensor::zeros([c], &x.device());
            same_conv(same_conv(x, kernel(upper), none), kernel(lower), self.bias.val())
        } else {
            // The product of the factors as a convolution too: CUDA's usual products have less precision.
            let none = Tensor::zeros([c], &x.device());
            let both = same_conv(upper.reshape([1, c, 1, c]), kernel(lower), none);
            same_conv(x, both.reshape([c, c, 1, 1]), self.bias.val())
        };
        (z, self.log_det(n, h * w))
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, c, h, w] = z.dims();
        let inverse = kernel(self.inverse_matrix());
        let none = Tensor::zeros([c], &z.device());
        let shift = same_conv(self.bias.val().reshape([1, c, 1, 1]), inverse.clone(), none);
        let x = same_conv(z, inverse, -shift.reshape([c]));
        (x, -self.log_det(n, h * w))
    }
}

/// A matrix of the channels as the kernel of a convolution.
fn kernel<B: Backend>(matrix: Tensor<B, 2>) -> Tensor<B, 4> {
    let [output, input] = matrix.dims();
    matrix.reshape([output, input, 1, 1])
}
