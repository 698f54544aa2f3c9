//! The Jacobian of a flow's decoder, accumulated step by step.

use super::{JacobianError, finite, reverse::one_hot};
use atypical_models::{
    FlowBackend,
    flow::{Bijection, Coupling, Flow, Layer, Structure},
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
        let identity =
            Tensor::<B, 2>::eye(own, &device).reshape([own, c - coarser, h, w]);
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
    let inverse = |z: Tensor<B, 4>| step.inverse(Tensor::from_inner(z)).0.inner();
    match (step.structure(), step) {
        (_, Layer::Coupling(coupling)) => push_coupling(coupling, z, tangents, chunk),
        (Structure::Elementwise, _) => {
            let z = Tensor::<Autodiff<B>, 4>::from_inner(z).require_grad();
            let x = step.inverse(z.clone()).0;
            let gradients = x.clone().sum().backward();
            let slope = z.grad(&gradients).expect("the output depends on the tracked input");
            (x.inner(), tangents * slope)
        }
        _ => {
            // f(z) = A z + b, so A t = f(t) - f(0).
            let offset = inverse(z.zeros_like());
            (inverse(z), inverse(tangents) - offset)
        }
    }
}

/// `x_B = g⁻¹(z_B; θ(z_A))`: `dx_B = diag(∂x_B/∂z_B) dz_B + (∂x_B/∂θ · dθ/dz_A) dz_A`.
fn push_coupling<B: FlowBackend>(
    coupling: &Coupling<Autodiff<B>>,
    z: Tensor<B, 4>,
    tangents: Tensor<B, 4>,
    chunk: usize,
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    type Ad<B> = Autodiff<B>;
    let device = z.device();
    let lift = |t: Tensor<B, 4>| Tensor::<Ad<B>, 4>::from_inner(t);
    let [a, b] = coupling.part(lift(z));
    let [_, channels, h, w] = b.dims();
    let positions = h * w;
    let rows = channels * positions;

    // The map is elementwise, so one backward pass of its sum gives every element's derivative by its own parameters.
    let parameters = lift(coupling.conditioner.forward(a.clone()).inner()).require_grad();
    let [x_b, log_slope] = coupling.map(parameters.clone(), b, Direction::Inverse);
    let gradients = x_b.clone().sum().backward();
    let by_parameters =
        parameters.grad(&gradients).expect("the output depends on the tracked parameters");
    let slope = log_slope.inner().exp();
    let outputs = by_parameters.dims()[1];
    let by_parameters = by_parameters.reshape([1, outputs, positions]);
    let ownership = coupling.ownership(channels, &device).inner();

    // Rows of ∂x_B/∂z_A: row (c, p) pulls the parameters of element (c, p) back through the conditioner.
    let mut block = Vec::new();
    for from in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - from);
        let element = Tensor::<B, 2>::from_data(one_hot(from, count, rows), &device)
            .reshape([count * channels, positions]);
        // [count, outputs, positions]: 1 where the parameter belongs to the row's element.
        let selector = ownership.clone().transpose().unsqueeze::<3>().matmul(
            element.reshape([count, channels, positions]),
        );
        let cotangent = lift(
            (by_parameters.clone() * selector).reshape([count, outputs, h, w]),
        );
        let input = lift(a.clone().inner().repeat_dim(0, count)).require_grad();
        let gradients =
            (coupling.conditioner.forward(input.clone()) * cotangent).sum().backward();
        let gradient = input.grad(&gradients).expect("the output depends on the tracked input");
        block.push(gradient.flatten::<2>(1, 3));
    }
    let block = Tensor::cat(block, 0);

    let [t_a, t_b] = coupling.part(lift(tangents)).map(Tensor::inner);
    let count = t_b.dims()[0];
    let pushed = t_a.clone().flatten::<2>(1, 3).matmul(block.transpose());
    let t_b = t_b * slope + pushed.reshape([count, channels, h, w]);
    let join = |a: Tensor<B, 4>, b: Tensor<B, 4>| coupling.join(lift(a), lift(b)).inner();
    (join(a.inner(), x_b.inner()), join(t_a, t_b))
}
