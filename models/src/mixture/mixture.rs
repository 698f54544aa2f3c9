//! The mixture and its density.

use super::{Covariance, MixtureConfig, MixtureError};
use crate::{
    DensityModel, Objective,
    init::Init,
    ops::{FlowBackend, product},
};
use burn::{
    module::{Module, Param, ParamId},
    tensor::{Distribution, Int, Tensor, TensorData, backend::Backend},
};
use faer::{Mat, Par, linalg::triangular_solve::solve_lower_triangular_in_place};

/// Mixture of Gaussians, `p(x) = Σ_k w_k N(x; μ_k, Σ_k)`.
///
/// With the factor `W_k` of the precision, `Σ_k⁻¹ = W_k W_kᵀ`, upper triangular:
/// `log N(x; μ, Σ) = -½ |(x - μ) W|² + log det W - ½ D log 2π`.
///
/// It learns by expectation maximisation, see [`em_step`](Self::em_step), for which it keeps the covariances too: weights, means and covariances are
/// the sufficient statistics, centred. No parameter takes a gradient; the density has one in x.
///
/// Should be created with [`GaussianMixture::new`], then [`initialize`](Self::initialize)d from data.
#[derive(Module, Debug)]
pub struct GaussianMixture<B: Backend> {
    /// `log w_k`, `[components]`.
    pub log_weights: Param<Tensor<B, 1>>,
    /// `μ_k`, `[components, D]`.
    pub means: Param<Tensor<B, 2>>,
    /// `W_k`, `[components, D, D]`; of diagonal covariances the diagonals, `[components, 1, D]`.
    pub precision_factors: Param<Tensor<B, 3>>,
    /// Covariances of what each component has taken, without the floor that is added for `W_k`; as the factors in shape.
    pub covariances: Param<Tensor<B, 3>>,
    /// Steps of expectation maximisation so far, `[1]`.
    pub steps: Param<Tensor<B, 1, Int>>,
    /// Components that had become empty and were placed anew, over all steps, `[1]`.
    pub replaced: Param<Tensor<B, 1, Int>>,
    /// Covariances that were not positive definite even with the floor, as f32 rounds them, and got a larger one, over all steps, `[1]`.
    pub raised: Param<Tensor<B, 1, Int>>,
    #[module(skip)]
    pub(super) covariance: Covariance,
    pub(super) floor: f64,
    pub(super) seed: u64,
    shape: [usize; 3],
}

impl<B: Backend> GaussianMixture<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Unit Gaussians of equal weights whose means are draws of `seed` from a unit Gaussian; the same on every backend.
    ///
    /// # Errors
    /// A value that a key cannot have.
    pub fn new(
        config: &MixtureConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, MixtureError> {
        config.check().map_err(|(key, what)| MixtureError::Value { key, what })?;
        let (k, d, rows) = (config.components, config.dimension(), config.rows());
        let unit = match config.covariance {
            Covariance::Full => Tensor::eye(d, device),
            Covariance::Diagonal => Tensor::ones([1, d], device),
        };
        let units = unit.unsqueeze::<3>().expand([k, rows, d]);
        let count = || Param::initialized(ParamId::new(), Tensor::zeros([1], device));
        Ok(Self {
            log_weights: untracked(Tensor::full([k], -(k as f64).ln(), device)),
            means: untracked(Init::new(seed).normal([k, d], device)),
            precision_factors: untracked(units.clone()),
            covariances: untracked(units),
            steps: count(),
            replaced: count(),
            raised: count(),
            covariance: config.covariance,
            floor: config.floor,
            seed,
            shape: config.shape,
        })
    }

    /// `log w_k - ½ D log 2π + log det W_k`, what a component's log-density is at its mean.
    ///
    /// # Shapes
    /// - output: `[components]`
    fn log_heights(&self) -> Tensor<B, 1> {
        let factors = self.precision_factors.val();
        let [k, _, d] = factors.dims();
        let diagonals = match self.covariance {
            Covariance::Full => {
                (factors.clone() * Tensor::eye(d, &factors.device()).unsqueeze()).sum_dim(1)
            }
            Covariance::Diagonal => factors,
        };
        let log_det = diagonals.log().sum_dim(2).reshape([k]);
        self.log_weights.val() + log_det - 0.5 * d as f64 * std::f64::consts::TAU.ln()
    }
}

/// A parameter that an optimizer does not move.
fn untracked<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Param<Tensor<B, D>> {
    Param::initialized(ParamId::new(), tensor)
}

impl<B: FlowBackend> GaussianMixture<B> {
    /// `log w_k N(x; μ_k, Σ_k)`, in nats.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[components, batch]`
    pub fn log_joint(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [n, _] = x.dims();
        let centred = x.unsqueeze_dim::<3>(0) - self.means.val().unsqueeze_dim(1);
        let [k, _, _] = centred.dims();
        let factors = self.precision_factors.val();
        let whitened = match self.covariance {
            Covariance::Full => product(centred, factors),
            Covariance::Diagonal => centred * factors,
        };
        let distances = whitened.powi_scalar(2).sum_dim(2).reshape([k, n]);
        distances * -0.5 + self.log_heights().unsqueeze_dim(1)
    }
}

impl<B: FlowBackend> DensityModel<B> for GaussianMixture<B> {
    fn dimension(&self) -> usize {
        self.means.dims()[1]
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let [n, _] = x.dims();
        let joint = self.log_joint(x);
        // The sum of exponentials does not depend on what is taken out of it. Far from everything, f32 has nothing but -inf
        // for all components; the same is then left of the sum, not -inf + inf.
        let largest = joint.clone().detach().max_dim(0).clamp_min(f32::MIN);
        ((joint - largest.clone()).exp().sum_dim(0).log() + largest).reshape([n])
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let [k, d] = self.means.dims();
        let uniform = host(Tensor::<B, 1>::random([n], Distribution::Uniform(0.0, 1.0), device));
        let noise = host(Tensor::<B, 2>::random([n, d], Distribution::Normal(0.0, 1.0), device));
        let [weights, means, factors] = [
            host(self.log_weights.val().exp()),
            host(self.means.val()),
            host(self.precision_factors.val()),
        ];
        let total: f64 = weights.iter().sum();
        let component = |u: f64| {
            let mut below = 0.0;
            weights.iter().position(|w| {
                below += w / total;
                u < below
            })
        };
        let components: Vec<usize> =
            uniform.iter().map(|u| component(*u).unwrap_or(k - 1)).collect();
        let mut samples = vec![0.0; n * d];
        for c in 0..k {
            let rows: Vec<usize> = (0..n).filter(|i| components[*i] == c).collect();
            let mut y = Mat::from_fn(d, rows.len(), |i, row| noise[rows[row] * d + i]);
            // (x - μ) W = y.
            match self.covariance {
                Covariance::Full => {
                    let factor = Mat::from_fn(d, d, |i, j| factors[(c * d + j) * d + i]);
                    solve_lower_triangular_in_place(factor.as_ref(), y.as_mut(), Par::Seq);
                }
                Covariance::Diagonal => {
                    for mut column in y.col_iter_mut() {
                        (0..d).for_each(|i| column[i] /= factors[c * d + i]);
                    }
                }
            }
            for (column, row) in rows.into_iter().enumerate() {
                (0..d).for_each(|i| samples[row * d + i] = means[c * d + i] + y[(i, column)]);
            }
        }
        Tensor::from_data(TensorData::new(samples, [n, d]), device)
    }
}

impl<B: FlowBackend> Objective<B> for GaussianMixture<B> {
    /// The negative log-density, in nats.
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        -self.log_prob(x)
    }
}

/// Values in f64.
pub(super) fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
