//! The Jacobian of a flow's decoder, accumulated step by step.

use super::{JacobianError, finite};
use atypical_models::{
    FlowBackend,
    flow::{Bijection, Coupling, Flow, Layer},
    ops::Direction,
};
use burn::{backend::Autodiff, tensor::Tensor};

/// Jacobian `dx/dz` of the decoder at `z`, exact; `chunk` bounds the rows of one backward pass.
///
/// The flow must have its dropout off ([`Flow::without_dropout`]).
///
/// # Shapes
/// - z: `[1, D]`
/// - output: `D x D` values, row-major, row i the gradient of `x_i`
///
/// # Errors
/// NaN or infinite entries, counted.
pub fn decoder<B: FlowBackend>(
    flow: &Flow<Autodiff<B>>,
    z: Tensor<B, 2>,
    chunk: usize,
) -> Result<Vec<f32>, JacobianError> {
    let dimension = z.dims()[1];
    let device = z.device();
    // `x` is the decoder's state, `tangents[j]` its derivative along latent coordinate `end + j`.
    let mut state: Option<(Tensor<B, 4>, Tensor<B, 4>)> = None;
    let mut end = dimension;
    for level in flow.levels.iter().rev() {
        let [c, h, w] = level.output_shape();
        let coarser = state.as_ref().map_or(0, |(x, _)| x.dims()[1]);
        let own = (c - coarser) * h * w;
        let start = end - own;
        let latent = z.clone().narrow(1, start, own).reshape([1, c - coarser, h, w]);
        let identity = Tensor::<B, 2>::eye(own, &device).reshape([own, c - coarser, h, w]);
        let (mut x, mut tangents) = match state {
            None => (latent, identity),
            Some((x, tangents)) => {
                let carried = tangents.dims()[0];
                // New latents first: their tangents touch the first channels only, the carried ones the others only.
                let above = Tensor::zeros([own, coarser, h, w], &device);
                let below = Tensor::zeros([carried, c - coarser, h, w], &device);
                let tangents = Tensor::cat(
                    vec![
                        Tensor::cat(vec![identity, above], 1),
                        Tensor::cat(vec![below, tangents], 1),
                    ],
                    0,
                );
                (Tensor::cat(vec![latent, x], 1), tangents)
            }
        };
        for step in level.steps.iter().rev() {
            (x, tangents) = push(step, x, tangents, chunk);
        }
        (state, end) = (Some((x, tangents)), start);
    }
    let (_, tangents) = state.expect("a flow has at least one level");
    let columns = tangents.reshape([dimension, dimension]);
    finite(columns.transpose().into_data().iter::<f32>().collect(), dimension)
}

/// One step of the decoder on the state and its tangents.
fn push<B: FlowBackend>(
    step: &Layer<Autodiff<B>>,
    z: Tensor<B, 4>,
    tangents: Tensor<B, 4>,
    chunk: usize,
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    if let Layer::Coupling(coupling) = step {
        return push_coupling(coupling, z, tangents, chunk);
    }
    if let Some(pushed) = step.inverse_linear(&Tensor::from_inner(tangents.clone())) {
        return (step.inverse(Tensor::from_inner(z)).0.inner(), pushed.inner());
    }
    // What is left is elementwise: one backward pass of the sum gives the diagonal.
    let z = Tensor::<Autodiff<B>, 4>::from_inner(z).require_grad();
    let x = step.inverse(z.clone()).0;
    let gradients = x.clone().sum().backward();
    let slope = z.grad(&gradients).expect("the output depends on the tracked input");
    (x.inner(), tangents * slope)
}

/// `x_B = g⁻¹(z_B; θ(z_A))`: `dx_B = diag(∂x_B/∂z_B) dz_B + (∂x_B/∂θ · dθ/dz_A) dz_A`.
fn push_coupling<B: FlowBackend>(
    coupling: &Coupling<Autodiff<B>>,
    z: Tensor<B, 4>,
    tangents: Tensor<B, 4>,
    chunk: usize,
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let device = z.device();
    let lift = |t: Tensor<B, 4>| Tensor::<Autodiff<B>, 4>::from_inner(t);
    let [a, b] = coupling.part(lift(z));
    let [_, channels, h, w] = b.dims();
    let positions = h * w;

    // The map is elementwise, so one backward pass of its sum gives every element's derivative by its own parameters.
    let net = &coupling.conditioner;
    let (parameters, pattern) = net.linearize(a.clone());
    let parameters = lift(parameters.inner()).require_grad();
    let [x_b, log_slope] = coupling.map(parameters.clone(), b, Direction::Inverse);
    let gradients = x_b.clone().sum().backward();
    let by_parameters =
        parameters.grad(&gradients).expect("the output depends on the tracked parameters");
    let slope = log_slope.inner().exp();

    // Row (c, p) of ∂x_B/∂z_A: the parameters of element (c, p), through the output layer (which mixes channels at position p
    // alone), then back through the blocks, `chunk` rows at a time.
    let outputs = by_parameters.dims()[1];
    let by_parameters =
        Tensor::<Autodiff<B>, 2>::from_inner(by_parameters.reshape([outputs, positions]));
    let hidden = net.hidden();
    let weight = net.output.weight.val().reshape([outputs, hidden]);
    let by_hidden = coupling
        .by_channel(by_parameters)
        .swap_dims(1, 2)
        .matmul(coupling.by_channel(weight))
        .inner();
    let by_hidden = by_hidden.reshape([channels * positions, hidden, 1]);
    let here = Tensor::<B, 2>::eye(positions, &device).reshape([1, positions, 1, positions]);
    let here = here.repeat_dim(0, channels).reshape([channels * positions, 1, positions]);
    let block: Vec<_> = by_hidden
        .split(chunk, 0)
        .into_iter()
        .zip(here.split(chunk, 0))
        .map(|(by_hidden, here)| {
            let rows = by_hidden.dims()[0];
            let cotangents = (by_hidden * here).reshape([rows, hidden, h, w]);
            net.pull_back(&pattern, lift(cotangents)).inner().flatten::<2>(1, 3)
        })
        .collect();
    let block = Tensor::cat(block, 0);

    let [t_a, t_b] = coupling.part(lift(tangents)).map(Tensor::inner);
    let count = t_b.dims()[0];
    let pushed = t_a.clone().flatten::<2>(1, 3).matmul(block.transpose());
    let t_b = t_b * slope + pushed.reshape([count, channels, h, w]);
    let join = |a: Tensor<B, 4>, b: Tensor<B, 4>| coupling.join(lift(a), lift(b)).inner();
    (join(a.inner(), x_b.inner()), join(t_a, t_b))
}

#[cfg(test)]
mod tests {
    use crate::jacobian::{decoder, reverse};
    use atypical_models::flow::{Elementwise, Flow, FlowConfig, ImagePreset, VectorPreset};
    use burn::{
        backend::{Autodiff, Flex},
        module::{AutodiffModule, Module, ModuleMapper, Param},
        tensor::{Distribution, Tensor, backend::Backend},
    };

    struct Shake;

    impl<B: Backend> ModuleMapper<B> for Shake {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            param.map(|t| t.clone() + t.random_like(Distribution::Uniform(-0.3, 0.3)))
        }
    }

    /// Step by step against reverse mode over the whole decoder.
    fn compare(config: &FlowConfig) {
        let device = Default::default();
        Flex::seed(&device, 3);
        let flow = Flow::<Flex>::new(config, 1, &device).unwrap().map(&mut Shake);
        let flow = Flow::<Autodiff<Flex>>::from_inner(flow).without_dropout();
        let dimension = config.shape.iter().product();
        let z = Tensor::<Flex, 2>::random([1, dimension], Distribution::Normal(0.0, 1.0), &device);
        let stepwise = decoder(&flow, z.clone(), 7).unwrap();
        let whole = reverse(|z| flow.decode(z).0, z, 5).unwrap();
        let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let difference: Vec<f32> = stepwise.iter().zip(&whole).map(|(a, b)| a - b).collect();
        let relative = norm(&difference) / norm(&whole);
        // Two orders of summation in f32.
        assert!(relative < 5e-5, "off by {relative}");
    }

    #[test]
    fn stepwise_and_whole_agree() {
        let spline = Elementwise::RqSpline { bins: 8, tail: 3.0 };
        let image = ImagePreset {
            shape: [1, 8, 8],
            hidden: [6, 5, 8],
            repeats: [2, 1, 1],
            dropout: 0.5,
            ..Default::default()
        };
        let vector = VectorPreset { dimension: 5, layers: 2, hidden: 7, ..Default::default() };
        for map in [spline, Elementwise::Affine {}] {
            compare(&image.expand(&map));
            compare(&vector.expand(&map));
        }
    }
}
