//! The Jacobian of a flow's decoder, accumulated step by step.

use super::{
    Differential, JacobianError, Linearized, Memory, finite,
    linearized::{CouplingAt, StepAt},
};
use atypical_models::{
    FlowBackend,
    ops::{product, tiled},
};
use burn::tensor::Tensor;

/// Most rows of one backward pass: more are no faster.
const ROWS: usize = 256;

/// Jacobian `dx/dz` of the decoder at one point, exact.
///
/// # Shapes
/// - output: `D x D` values, row-major, row i the gradient of `x_i`
///
/// # Errors
/// Several points, too little memory, NaN or infinite entries.
pub fn decoder<B: FlowBackend>(
    at: &Linearized<'_, B>,
    memory: Memory,
) -> Result<Vec<f32>, JacobianError> {
    if at.points() != 1 {
        return Err(JacobianError::Points(at.points()));
    }
    let dimension = at.dimension();
    // The tangents before and after a step, their halves, and the matrix on the host; beside them runs the decomposition of the
    // Jacobian before: that, in f32 and f64, and JᵀJ.
    let fixed = 4 * (5 + 5) * dimension * dimension;
    let chunk = memory.directions(at.bytes_per_direction(), fixed, ROWS, dimension)?;
    let device = at.decoded().device();
    // `tangents[j]` is the derivative of the decoder's state along latent coordinate `end + j`.
    let mut state: Option<Tensor<B, 4>> = None;
    for level in &at.levels {
        let [c, h, w] = level.shape;
        let own = level.own * h * w;
        let identity = Tensor::<B, 2>::eye(own, &device).reshape([own, level.own, h, w]);
        let tangents = match state {
            None => identity,
            Some(carried) => {
                // New latents first: their tangents touch the first channels only, the carried ones the others only.
                let above = Tensor::zeros([own, c - level.own, h, w], &device);
                let below = Tensor::zeros([carried.dims()[0], level.own, h, w], &device);
                let new = Tensor::cat(vec![identity, above], 1);
                Tensor::cat(vec![new, Tensor::cat(vec![below, carried], 1)], 0)
            }
        };
        state = Some(level.steps.iter().fold(tangents, |t, step| match step {
            StepAt::Coupling(coupling) => push_coupling(coupling, t, chunk),
            step => step.push(t),
        }));
    }
    let columns = state.expect("a flow has at least one level").reshape([dimension, dimension]);
    finite(columns.transpose().into_data().iter::<f32>().collect(), dimension)
}

/// `dx_B = diag(∂x_B/∂z_B) dz_B + (∂x_B/∂θ · dθ/dz_A) dz_A`, with the matrix in parentheses made once, by rows.
fn push_coupling<B: FlowBackend>(
    at: &CouplingAt<'_, B>,
    tangents: Tensor<B, 4>,
    chunk: usize,
) -> Tensor<B, 4> {
    let device = tangents.device();
    let [_, channels, h, w] = at.slope.dims();
    let positions = h * w;
    // Row (c, p): the parameters of element (c, p), through the output layer (which mixes channels at position p alone), then
    // back through the blocks, `chunk` rows at a time.
    let outputs = at.by_parameters.dims()[1];
    let map = at.coupling.map();
    let net = &at.coupling.conditioner;
    let hidden = net.hidden();
    let weight = net.output.weight.val().reshape([outputs, hidden]);
    let by_parameters = map.by_channel(at.by_parameters.clone().reshape([outputs, positions]));
    let by_hidden = product(by_parameters.swap_dims(1, 2), map.by_channel(weight));
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
            net.pull_hidden(&at.pattern, cotangents).flatten::<2>(1, 3)
        })
        .collect();
    let block = Tensor::cat(block, 0);

    let [t_a, t_b] = at.coupling.part(tangents);
    let count = t_b.dims()[0];
    let rows = t_a.clone().flatten::<2>(1, 3).unsqueeze();
    let pushed = product(rows, block.transpose().unsqueeze());
    let t_b = tiled(t_b, &at.slope) + pushed.reshape([count, channels, h, w]);
    at.coupling.join(t_a, t_b)
}

#[cfg(test)]
mod tests {
    use crate::jacobian::{
        Differential, JacobianError, Linearized, Map, Memory, Mode, decoder, jacobian,
    };
    use atypical_forward::on_forward;
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

    fn flow(config: &FlowConfig) -> Flow<Flex> {
        Flex::seed(&Default::default(), 3);
        Flow::<Flex>::new(config, 1, &Default::default()).unwrap().map(&mut Shake)
    }

    fn normal(dims: [usize; 2]) -> Tensor<Flex, 2> {
        Tensor::random(dims, Distribution::Normal(0.0, 1.0), &Default::default())
    }

    fn flows() -> Vec<FlowConfig> {
        let image = ImagePreset {
            shape: [1, 8, 8],
            hidden: [6, 5, 8],
            repeats: [2, 1, 1],
            dropout: 0.5,
            ..Default::default()
        };
        let vector = VectorPreset { dimension: 5, layers: 2, hidden: 7, ..Default::default() };
        [Elementwise::RqSpline { bins: 8, tail: 3.0 }, Elementwise::Affine {}]
            .iter()
            .flat_map(|map| [image.expand(map), vector.expand(map)])
            .collect()
    }

    /// Relative to the norm; two orders of summation in f32.
    fn assert_close(a: &[f32], b: &[f32], what: &str) {
        let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let relative = norm(&difference) / norm(b);
        assert!(a.len() == b.len() && relative < 5e-5, "{what}: off by {relative}");
    }

    fn host(t: Tensor<Flex, 2>) -> Vec<f32> {
        t.into_data().to_vec().unwrap()
    }

    #[test]
    fn all_ways_to_a_dense_jacobian_agree() {
        let device = Default::default();
        for config in flows() {
            let flow = flow(&config);
            let z = normal([1, config.shape.iter().product()]);
            let reverse = Flow::<Autodiff<Flex>>::from_inner(flow.clone()).without_dropout();
            let forward: Flow<_> = on_forward(flow.clone());
            let map = Map::new(|z| forward.decode(z).0, |z| reverse.decode(z).0, z.clone(), 4096);
            let at = Linearized::new(&flow, z.clone());
            let whole = jacobian(&map, Mode::Reverse, Memory::mib(1), &device).unwrap();
            assert_close(&decoder(&at, Memory::mib(1)).unwrap(), &whole, "step by step");
            for mode in [Mode::Forward, Mode::Reverse] {
                let products = jacobian(&at, mode, Memory::mib(1), &device).unwrap();
                assert_close(&products, &whole, "linearised");
            }
            let forward = jacobian(&map, Mode::Forward, Memory::mib(1), &device).unwrap();
            assert_close(&forward, &whole, "forward mode");
            assert_close(&host(at.decoded()), &host(flow.decode(z).0), "decoded");
        }
    }

    #[test]
    fn products_at_several_points_are_those_of_each() {
        for config in flows() {
            let flow = flow(&config);
            let d: usize = config.shape.iter().product();
            let (z, v) = (normal([3, d]), normal([6, d]));
            let at = Linearized::new(&flow, z.clone());
            let row = |t: &Tensor<Flex, 2>, i: usize| t.clone().narrow(0, i, 1);
            let (pushed, pulled) = (at.jvp(v.clone()).unwrap(), at.vjp(v.clone()).unwrap());
            for i in 0..6 {
                let alone = Linearized::new(&flow, row(&z, i % 3));
                let expected = host(alone.jvp(row(&v, i)).unwrap());
                assert_close(&host(row(&pushed, i)), &expected, "jvp");
                let expected = host(alone.vjp(row(&v, i)).unwrap());
                assert_close(&host(row(&pulled, i)), &expected, "vjp");
            }
        }
    }

    #[test]
    fn the_chunk_does_not_change_the_jacobian() {
        let config = &flows()[0];
        let flow = flow(config);
        let at = Linearized::new(&flow, normal([1, 64]));
        let fixed = 4 * 10 * 64 * 64;
        let small = decoder(&at, Memory(fixed + 7 * at.bytes_per_direction())).unwrap();
        assert_close(&small, &decoder(&at, Memory::mib(100)).unwrap(), "7 rows at a time");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let config = &flows()[0];
        let flow = flow(config);
        let one = Linearized::new(&flow, normal([1, 64]));
        let error = decoder(&one, Memory::mib(0)).unwrap_err().to_string();
        assert!(error.contains("matrix_free") && error.contains("0 MiB are allowed"), "{error}");
        let two = Linearized::new(&flow, normal([2, 64]));
        assert_eq!(decoder(&two, Memory::mib(9)), Err(JacobianError::Points(2)));
        let rows = two.jvp(normal([3, 64])).unwrap_err();
        assert_eq!(rows, JacobianError::Directions { rows: [3, 64], points: 2, dimension: 64 });
        let nan = Linearized::new(&flow, Tensor::full([1, 64], f32::NAN, &Default::default()));
        let error = decoder(&nan, Memory::mib(9)).unwrap_err();
        assert!(matches!(error, JacobianError::NotFinite { dimension: 64, .. }), "{error}");
    }
}
