//! The gradient of the density.

use atypical_models::{DensityModel, FlowBackend, Model};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module},
    tensor::Tensor,
};

/// `‖∇ₓ log p(x)‖₂` at every image of a batch, in nats per unit of x.
///
/// # Shapes
/// - x: `[batch, D]`
pub fn gradient_norm<B: FlowBackend>(model: &Model<B>, x: Tensor<B, 2>) -> Vec<f64> {
    gradient(model, x).powi_scalar(2).sum_dim(1).sqrt().into_data().iter::<f64>().collect()
}

/// `∇ₓ log p(x)` at every image of a batch: one backward pass, where the images do not mix.
///
/// # Shapes
/// - x, output: `[batch, D]`
pub(super) fn gradient<B: FlowBackend>(model: &Model<B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let model = Model::<Autodiff<B>>::from_inner(model.clone()).no_grad().without_dropout();
    let x = Tensor::<Autodiff<B>, 2>::from_inner(x).require_grad();
    let gradients = model.log_prob(x.clone()).sum().backward();
    x.grad(&gradients).expect("log p depends on x")
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::flow::{Elementwise, Flow, FlowConfig, VectorPreset};
    use burn::backend::Flex;

    #[test]
    fn of_a_standard_normal_it_is_the_distance_from_the_origin() {
        // No step: z = x, log p = -‖x‖²/2 - c.
        let config = FlowConfig { shape: [5, 1, 1], transform: Vec::new() };
        let flow = Model::from(Flow::<Flex>::new(&config, 0, &Default::default()).unwrap());
        let x = Tensor::from_floats([[3.0, 0.0, 4.0, 0.0, 0.0], [0.0; 5]], &Default::default());
        assert_eq!(gradient_norm(&flow, x), [5.0, 0.0]);
    }

    #[test]
    fn of_a_flow_it_is_that_of_finite_differences() {
        let preset = VectorPreset { dimension: 4, layers: 2, hidden: 16, ..Default::default() };
        let config = preset.expand(&Elementwise::RqSpline { bins: 8, tail: 3.0 });
        let flow = Model::from(Flow::<Flex>::new(&config, 0, &Default::default()).unwrap());
        let x = [[0.31, -0.72, 1.13, 0.54], [-1.21, 0.47, 0.19, -0.66], [0.93, 1.52, -0.35, 0.27]];
        let x = Tensor::<Flex, 2>::from_floats(x, &Default::default());
        let got = gradient_norm(&flow, x.clone());
        // Small beside the bins of the spline, at whose knots the gradient jumps.
        let h = 1e-3;
        let mut squares = vec![0.0; 3];
        for axis in 0..4 {
            let mut step = [0.0f32; 4];
            step[axis] = h;
            let step = Tensor::<Flex, 1>::from_floats(step, &Default::default()).unsqueeze();
            let up = flow.log_prob(x.clone() + step.clone()).into_data();
            let down = flow.log_prob(x.clone() - step).into_data();
            for ((sum, up), down) in
                squares.iter_mut().zip(up.iter::<f64>()).zip(down.iter::<f64>())
            {
                *sum += ((up - down) / f64::from(2.0 * h)).powi(2);
            }
        }
        for (got, square) in got.iter().zip(squares) {
            assert!(
                (got - square.sqrt()).abs() < 0.02 * (1.0 + got),
                "{got}, not {}",
                square.sqrt()
            );
        }
    }
}
