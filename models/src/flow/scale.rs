//! A fixed affine map.

use super::Bijection;
use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};

/// `z = scale · x + shift` with two fixed numbers; `log |det| = D log |scale|`.
#[derive(Module, Clone, Debug)]
pub struct Scale {
    /// The factor, not 0.
    pub scale: f64,
    /// The shift.
    pub shift: f64,
}

impl Scale {
    fn log_det<B: Backend>(&self, x: &Tensor<B, 4>) -> Tensor<B, 1> {
        let [n, c, h, w] = x.dims();
        Tensor::full([n], (c * h * w) as f64 * self.scale.abs().ln(), &x.device())
    }
}

impl<B: Backend> Bijection<B> for Scale {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let log_det = self.log_det(&x);
        (x * self.scale + self.shift, log_det)
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let log_det = -self.log_det(&z);
        ((z - self.shift) / self.scale, log_det)
    }
}
