//! Invertible 1x1 convolution.

use super::{Bijection, init::Init};
use crate::ops::{FlowBackend, same_conv};
use burn::{
    module::{Module, Param, ParamId},
    tensor::{Int, Tensor, TensorData, activation::softplus, backend::Backend},
};
use faer::{
    Mat, Par,
    linalg::triangular_solve::{
        solve_unit_lower_triangular_in_place, solve_upper_triangular_in_place,
    },
};

/// Smallest entry of U's diagonal.
const MIN_DIAGONAL: f64 = 1e-3;

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
        }
    }

    /// Diagonal of U.
    fn positive_diagonal(&self) -> Tensor<B, 1> {
        softplus(self.diagonal.val(), 1.0) + MIN_DIAGONAL
    }

    /// `L U`, differentiable.
    fn product(&self) -> Tensor<B, 2> {
        let diagonal = self.positive_diagonal();
        let [c] = diagonal.dims();
        let eye = Tensor::<B, 2>::eye(c, &diagonal.device());
        let lower = self.lower.val().tril(-1) + eye.clone();
        let upper = self.upper.val().triu(1) + eye * diagonal.unsqueeze_dim(1);
        lower.matmul(upper)
    }

    /// `(L U P)⁻¹`, computed on the host in f64: a constant for automatic differentiation, which is all that the decoder
    /// needs (its derivative is taken in z).
    pub(super) fn inverse_matrix(&self) -> Tensor<B, 2> {
        let device = self.bias.val().device();
        let diagonal = host(self.positive_diagonal());
        let c = diagonal.len();
        let (lower, upper) = (host(self.lower.val()), host(self.upper.val()));
        let order: Vec<usize> =
            self.permutation.val().into_data().iter::<i64>().map(|i| i as usize).collect();
        let lower = Mat::from_fn(c, c, |i, k| lower[i * c + k]);
        let upper = Mat::from_fn(c, c, |i, k| if i == k { diagonal[i] } else { upper[i * c + k] });
        let mut solved = Mat::<f64>::identity(c, c);
        solve_unit_lower_triangular_in_place(lower.as_ref(), solved.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(upper.as_ref(), solved.as_mut(), Par::Seq);
        let mut inverse = vec![0.0; c * c];
        for (i, &row) in order.iter().enumerate() {
            // P⁻¹ sends row i to row order[i].
            (0..c).for_each(|j| inverse[row * c + j] = solved[(i, j)]);
        }
        Tensor::from_data(TensorData::new(inverse, [c, c]), &device)
    }

    fn log_det(&self, batch: usize, positions: usize) -> Tensor<B, 1> {
        (self.positive_diagonal().log().sum() * positions as f64).expand([batch])
    }
}

fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

impl<B: FlowBackend> Bijection<B> for Conv1x1<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, c, h, w] = x.dims();
        // L U P: column permutation[i] of the result is column i of L U.
        let columns = self.permutation.val().argsort(0);
        let weight = self.product().select(1, columns).reshape([c, c, 1, 1]);
        (same_conv(x, weight, self.bias.val()), self.log_det(n, h * w))
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [n, c, h, w] = z.dims();
        let inverse = self.inverse_matrix();
        let bias = -inverse.clone().matmul(self.bias.val().unsqueeze_dim(1)).reshape([c]);
        let x = same_conv(z, inverse.reshape([c, c, 1, 1]), bias);
        (x, -self.log_det(n, h * w))
    }
}
