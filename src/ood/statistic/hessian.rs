//! The curvature of the density: the spectrum of its Hessian, from products with it alone.

use super::gradient::gradient;
use crate::{
    config::HessianConfig,
    lid::matrix_free::{Space, signs},
};
use atypical_forward::{Forward, ForwardError, lift, on_forward, parts};
use atypical_models::{DensityModel, FlowBackend, Model};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module},
    tensor::{Tensor, TensorData},
};

/// What the eigenvalues λ of `-∇² log p(x)` come to at a scale σ. Negative ones, along which the density rises, count as zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curved {
    /// `½ Σ_i log(1 + σ² max(λ_i, 0))`, in nats.
    pub curvature: f64,
    /// `Σ_i 1 / (1 + σ² max(λ_i, 0))`.
    pub flat: f64,
    /// `½ σ² gᵀ (1 + σ² max(Λ, 0))⁻¹ g`, g the gradient of log p, in nats.
    pub slope: f64,
}

/// Products `∇² log p(x) v` with K directions, forward over reverse mode: one pass and one backward pass for all of them.
///
/// # Shapes
/// - x: `[1, D]`
/// - directions: K of length D
///
/// # Errors
/// An operation of the model that cannot be differentiated twice.
pub fn hessian_products<B: FlowBackend>(
    model: &Model<B>,
    x: &Tensor<B, 2>,
    directions: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, ForwardError> {
    let dimension = x.dims()[1];
    let model: Model<Forward<B>> = on_forward(model.clone().no_grad());
    let model = Model::<Autodiff<Forward<B>>>::from_inner(model).no_grad().without_dropout();
    let rows: Vec<f32> = directions.iter().flatten().map(|v| *v as f32).collect();
    let rows = TensorData::new(rows, [directions.len(), 1, dimension]);
    let x = lift(x.clone(), Tensor::<B, 3>::from_data(rows, &x.device()))?;
    let x = Tensor::<Autodiff<Forward<B>>, 2>::from_inner(x).require_grad();
    let gradients = model.log_prob(x.clone()).sum().backward();
    let gradient = x.grad(&gradients).expect("log p depends on x");
    let products = match parts::<B, 2, 3>(gradient)?.1 {
        Some(tangents) => tangents.into_data().iter::<f64>().collect(),
        // The gradient is constant.
        None => vec![0.0; directions.len() * dimension],
    };
    Ok(products.chunks(dimension).map(<[f64]>::to_vec).collect())
}

/// The curvature at x `[1, D]`, by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017): `tr f(-∇² log p)` is the mean of `gᵀ f g` over random signs g, and all
/// of these, and the form in the gradient, are read from one block Krylov space. The signs are the same at every image, so that images are compared on equal terms. NaN where a product is not finite.
///
/// # Errors
/// As [`hessian_products`].
pub fn curved<B: FlowBackend>(
    model: &Model<B>,
    x: &Tensor<B, 2>,
    config: HessianConfig,
    seed: u64,
) -> Result<Curved, ForwardError> {
    let HessianConfig { sigma, probes, steps } = config;
    let dimension = x.dims()[1];
    let mut starts: Vec<Vec<f64>> = (0..probes as u64).map(|i| signs(seed, i, dimension)).collect();
    starts.push(gradient(model, x.clone()).into_data().iter::<f64>().collect());
    let broken = Curved { curvature: f64::NAN, flat: f64::NAN, slope: f64::NAN };
    if starts[probes].iter().any(|v| !v.is_finite()) {
        return Ok(broken);
    }
    let mut space = Space::new(&starts);
    for _ in 0..steps {
        if space.block().is_empty() {
            break;
        }
        let mut products = hessian_products(model, x, space.block())?;
        products.iter_mut().flatten().for_each(|v| *v = -*v);
        if products.iter().flatten().any(|v| !v.is_finite()) {
            return Ok(broken);
        }
        space.extend(products);
    }
    let Some(rule) = space.gauss() else { return Ok(broken) };
    let variance = sigma * sigma;
    let form = |start, f: fn(f64) -> f64| rule.form(start, |l| f(variance * l));
    let trace = |f| (0..probes).map(|start| form(start, f)).sum::<f64>() / probes as f64;
    let flat = |l| 1.0 / (1.0 + l);
    Ok(Curved {
        curvature: 0.5 * trace(f64::ln_1p),
        flat: trace(flat),
        slope: 0.5 * variance * form(probes, flat),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ood::statistic::tests::gaussian;
    use atypical_models::flow::{Elementwise, Flow, VectorPreset};
    use burn::backend::Flex;

    fn axes(dimension: usize) -> Vec<Vec<f64>> {
        let axis = |i| (0..dimension).map(|j| f64::from(u8::from(i == j))).collect();
        (0..dimension).map(axis).collect()
    }

    #[test]
    fn of_a_gaussian_it_is_its_precision() {
        let s = [0.01, 0.1, 0.5, 1.0, 3.0];
        let flow = gaussian(&[0.0; 5], &s);
        let x = Tensor::from_floats([[0.3, 0.4, -0.2, 0.9, 1.1]], &Default::default());
        let directions = axes(5);
        let hessian = hessian_products(&flow, &x, &directions).unwrap();
        let x_host = [0.3, 0.4, -0.2, 0.9, 1.1];
        for (i, value) in gradient(&flow, x.clone()).into_data().iter::<f64>().enumerate() {
            let expected = -x_host[i] / (s[i] * s[i]);
            assert!((value - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{value}");
        }
        for (i, row) in hessian.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                let expected = if i == j { -1.0 / (s[i] * s[i]) } else { 0.0 };
                assert!((value - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{i} {j}");
            }
        }
        // A diagonal matrix and signs: every probe gives the trace itself once the space is closed.
        let config = HessianConfig { sigma: 0.1, probes: 1, steps: 5 };
        let log_p: f64 = flow.log_prob(x.clone()).into_data().iter::<f64>().sum();
        let got = curved(&flow, &x, config, 3).unwrap();
        let ratios = s.map(|s| (0.1 / s).powi(2));
        let curvature: f64 = ratios.iter().map(|r| 0.5 * r.ln_1p()).sum();
        let flat: f64 = ratios.iter().map(|r| 1.0 / (1.0 + r)).sum();
        assert!((got.curvature - curvature).abs() < 1e-3, "{got:?}, not {curvature}");
        assert!((got.flat - flat).abs() < 1e-3, "{got:?}, not {flat}");
        // Off the mode too, Laplace's approximation of a Gaussian in a window is the convolution: N(x; 0, s² + σ²).
        let convolved: f64 = s
            .iter()
            .zip(x_host)
            .map(|(s, x)| {
                let variance: f64 = s * s + 0.01;
                -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln())
            })
            .sum();
        let laplace = log_p + got.slope - got.curvature;
        assert!((laplace - convolved).abs() < 1e-3 * convolved.abs(), "{laplace}, not {convolved}");
    }

    #[test]
    fn of_a_flow_it_is_that_of_finite_differences() {
        type D = Autodiff<Flex>;
        let preset = VectorPreset { dimension: 4, layers: 2, hidden: 16, ..Default::default() };
        let config = preset.expand(&Elementwise::RqSpline { bins: 4, tail: 3.0 });
        let flow = Model::from(Flow::<Flex>::new(&config, 0, &Default::default()).unwrap());
        let x = Tensor::<Flex, 2>::from_floats([[0.31, -0.72, 1.13, 0.54]], &Default::default());
        let directions = axes(4);
        let hessian = hessian_products(&flow, &x, &directions).unwrap();
        let twin = Model::<D>::from_inner(flow).no_grad();
        let gradient = |x: Tensor<Flex, 2>| -> Vec<f64> {
            let x = Tensor::<D, 2>::from_inner(x).require_grad();
            let gradients = twin.log_prob(x.clone()).sum().backward();
            x.grad(&gradients).unwrap().into_data().iter::<f64>().collect()
        };
        let h = 2e-3f32;
        for (i, row) in hessian.iter().enumerate() {
            let mut step = [[0.0f32; 4]];
            step[0][i] = h;
            let step = Tensor::<Flex, 2>::from_floats(step, &Default::default());
            let (up, down) = (gradient(x.clone() + step.clone()), gradient(x.clone() - step));
            for (j, value) in row.iter().enumerate() {
                let expected = (up[j] - down[j]) / f64::from(2.0 * h);
                assert!(
                    (value - expected).abs() < 0.02 * (1.0 + expected.abs()),
                    "{value}, not {expected}"
                );
                assert!((value - hessian[j][i]).abs() < 1e-4 * (1.0 + value.abs()), "symmetric");
            }
        }
    }
}
