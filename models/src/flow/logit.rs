//! From the unit cube to the whole space.

use super::{Bijection, LogitForm, sum_per_sample};
use burn::{
    module::Module,
    tensor::{Tensor, activation::log_sigmoid, backend::Backend},
};

/// Elementwise `logit(offset + scale · x)`, see [`LogitForm`].
///
/// The reference's form clamps its argument to at most `1 - 1e-6`; there the map is constant, no bijection, which matters
/// only for inputs above `1 - 1.05e-6`. Its log-determinant here is exact, and so larger than the reference's by the
/// constant `D log(1 - α)` that the reference leaves out.
#[derive(Module, Clone, Debug)]
pub struct Logit {
    offset: f64,
    scale: f64,
    ceiling: f64,
}

impl Logit {
    /// The step with margin `alpha` in (0, 0.5).
    pub fn new(alpha: f64, form: LogitForm) -> Self {
        match form {
            LogitForm::Symmetric => Self { offset: alpha, scale: 1.0 - 2.0 * alpha, ceiling: 1.0 },
            LogitForm::Reference => Self { offset: alpha, scale: 1.0 - alpha, ceiling: 1.0 - 1e-6 },
        }
    }

    /// `log dz/dx` written in z: `log scale - log σ(z) - log σ(-z)`, which stays finite for every z.
    fn log_det<B: Backend>(&self, z: Tensor<B, 4>) -> Tensor<B, 1> {
        sum_per_sample(-log_sigmoid(z.clone()) - log_sigmoid(-z) + self.scale.ln())
    }
}

impl<B: Backend> Bijection<B> for Logit {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let mut u = x * self.scale + self.offset;
        if self.ceiling < 1.0 {
            u = u.clamp_max(self.ceiling);
        }
        let z = u.clone().log() - (-u).log1p();
        (z.clone(), self.log_det(z))
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let log_det = -self.log_det(z.clone());
        let x = (burn::tensor::activation::sigmoid(z) - self.offset) / self.scale;
        (x, log_det)
    }
}
