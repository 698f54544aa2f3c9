//! Derivatives that are known as matrices.

use super::{Differential, JacobianError, check_rows};
use atypical_models::{FlowBackend, flow::rows, ops::product};
use burn::tensor::{Tensor, backend::Backend};

/// The derivative of maps whose Jacobians are there already, one a point: what a product means, without a model.
#[derive(Clone, Debug)]
pub struct Matrices<B: Backend>(Tensor<B, 3>);

impl<B: FlowBackend> Matrices<B> {
    /// Of square matrices.
    ///
    /// # Shapes
    /// - jacobians: `[points, D, D]`, row i of a matrix the gradient of output i
    pub fn new(jacobians: Tensor<B, 3>) -> Self {
        Self(jacobians)
    }

    /// `v Mᵀ` for the directions v of every point.
    fn multiply(&self, v: Tensor<B, 2>, m: Tensor<B, 3>) -> Result<Tensor<B, 2>, JacobianError> {
        let [rows, dimension] = check_rows(self, v.dims())?;
        let points = self.points();
        let by_point = v.reshape([rows / points, points, dimension]).swap_dims(0, 1);
        let products = product(by_point, m.swap_dims(1, 2)).swap_dims(0, 1);
        Ok(products.reshape([rows, dimension]))
    }
}

impl<B: FlowBackend> Differential<B> for Matrices<B> {
    fn points(&self) -> usize {
        self.0.dims()[0]
    }

    fn dimension(&self) -> usize {
        self.0.dims()[1]
    }

    fn select(&self, points: &[usize]) -> Self {
        Self(rows(&self.0, points))
    }

    fn bytes_per_direction(&self) -> usize {
        // The directions and the products, by direction and by point.
        4 * 4 * self.points() * self.dimension()
    }

    fn jvp(&self, tangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        self.multiply(tangents, self.0.clone())
    }

    fn vjp(&self, cotangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        self.multiply(cotangents, self.0.clone().swap_dims(1, 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jacobian::{Memory, Mode, jacobian};
    use burn::{backend::Flex, tensor::Distribution};

    #[test]
    fn products_give_the_matrices_back() {
        let device = Default::default();
        let matrices = Tensor::<Flex, 3>::random([3, 5, 5], Distribution::Default, &device);
        let all = Matrices::new(matrices.clone());
        for point in 0..3 {
            let one = all.select(&[point]);
            let expected = matrices.clone().narrow(0, point, 1).into_data();
            for mode in [Mode::Forward, Mode::Reverse] {
                let got = jacobian(&one, mode, Memory::mib(1), &device).unwrap();
                assert_eq!(got, expected.to_vec::<f32>().unwrap());
            }
        }
        // Direction k of point i at row k · points + i.
        let v = Tensor::<Flex, 2>::random([6, 5], Distribution::Default, &device);
        let together = all.jvp(v.clone()).unwrap();
        for point in 0..3 {
            let own = rows(&v, &[point, 3 + point]);
            let products = all.select(&[point]).jvp(own).unwrap();
            let together = rows(&together, &[point, 3 + point]);
            assert!((products - together).abs().max().into_scalar() < 1e-6);
        }
        assert!(all.vjp(v.narrow(0, 0, 4)).is_err());
    }
}
