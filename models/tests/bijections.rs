//! One contract for all bijections: round trip, log-determinant against the dense Jacobian, finite gradients at extremes,
//! save and load, on every CPU backend. A new step joins by a line in [`registry`].

mod common;

use atypical_models::{DensityModel, FlowBackend, flow::*};
use burn::{
    backend::Autodiff,
    module::{Module, ModuleVisitor, Param},
    store::{ModuleSnapshot, ModuleStore, SafetensorsStore},
    tensor::{Tensor, backend::AutodiffBackend},
};
use common::{deviation, moved, perturbed, uniform, values};

/// Where a bijection's inputs live.
#[derive(Clone, Copy)]
enum Domain {
    Line,
    UnitCube,
}

/// Every kind of step, alone and composed, on maps and on vectors.
fn registry() -> Vec<(&'static str, FlowConfig, Domain)> {
    let conditioner = |kernel| Conditioner { hidden: 6, blocks: 2, dropout: 0.0, kernel };
    let spline = Elementwise::RqSpline { bins: 8, tail: 3.0 };
    let coupling = |transform: &Elementwise, mask, kernel| Step::Coupling {
        transform: transform.clone(),
        mask,
        conditioner: conditioner(kernel),
    };
    let affine = Elementwise::Affine {};
    let one = |name, shape, step| (name, FlowConfig { shape, transform: vec![step] }, Domain::Line);
    let logit =
        |form| FlowConfig { shape: [1, 3, 4], transform: vec![Step::Logit { alpha: 0.05, form }] };
    let image = ImagePreset {
        shape: [1, 8, 8],
        hidden: [6, 6, 8],
        repeats: [1, 1, 1],
        dropout: 0.0,
        ..Default::default()
    };
    let vector = VectorPreset { dimension: 5, layers: 2, hidden: 8, ..Default::default() };
    vec![
        ("logit_symmetric", logit(LogitForm::Symmetric), Domain::UnitCube),
        ("logit_reference", logit(LogitForm::Reference), Domain::UnitCube),
        one("scale", [2, 3, 4], Step::Scale { scale: -2.5, shift: 0.3 }),
        one("whiten", [2, 3, 4], Step::Whiten {}),
        one("whiten_vector", [5, 1, 1], Step::Whiten {}),
        one("flatten", [2, 3, 5], Step::Flatten {}),
        (
            "logit_flatten_whiten_flow",
            FlowConfig {
                shape: [1, 2, 3],
                transform: vec![
                    Step::Logit { alpha: 0.05, form: LogitForm::Symmetric },
                    Step::Flatten {},
                    Step::Whiten {},
                    Step::Conv1x1 {},
                    coupling(&spline, Mask::Even, 1),
                ],
            },
            Domain::UnitCube,
        ),
        one("squeeze", [2, 4, 6], Step::Squeeze { factor: 2 }),
        one("act_norm", [3, 2, 4], Step::ActNorm {}),
        one("act_norm_vector", [5, 1, 1], Step::ActNorm {}),
        one("conv1x1", [4, 2, 3], Step::Conv1x1 {}),
        one("conv1x1_vector", [6, 1, 1], Step::Conv1x1 {}),
        one("rq_coupling_even", [4, 3, 3], coupling(&spline, Mask::Even, 3)),
        one("rq_coupling_odd", [4, 3, 3], coupling(&spline, Mask::Odd, 3)),
        one("rq_coupling_odd_count", [5, 1, 1], coupling(&spline, Mask::Odd, 1)),
        one(
            "rq_coupling_two_bins",
            [4, 2, 2],
            coupling(&Elementwise::RqSpline { bins: 2, tail: 1.0 }, Mask::Even, 3),
        ),
        one("affine_coupling_even", [4, 3, 3], coupling(&affine, Mask::Even, 3)),
        one("affine_coupling_odd", [3, 1, 1], coupling(&affine, Mask::Odd, 1)),
        (
            "split",
            FlowConfig {
                shape: [5, 2, 2],
                transform: vec![Step::ActNorm {}, Step::Split {}, Step::Conv1x1 {}],
            },
            Domain::Line,
        ),
        ("rq_image_flow", image.expand(&spline), Domain::UnitCube),
        ("glow_image_flow", image.expand(&affine), Domain::UnitCube),
        ("rq_vector_flow", vector.expand(&spline), Domain::Line),
        ("glow_vector_flow", vector.expand(&affine), Domain::Line),
    ]
}

fn input<B: FlowBackend>(
    config: &FlowConfig,
    domain: Domain,
    batch: usize,
    device: &B::Device,
) -> Tensor<B, 2> {
    let dimension = config.shape.iter().product();
    let range = match domain {
        // Beyond the tails on both sides.
        Domain::Line => -4.0..4.0,
        Domain::UnitCube => 0.01..0.99,
    };
    uniform([batch, dimension], range, 3, device)
}

/// log |det| by Gaussian elimination with partial pivoting, in f64.
fn log_abs_det(mut a: Vec<Vec<f64>>) -> f64 {
    let n = a.len();
    let mut log_det = 0.0;
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
        a.swap(k, pivot);
        log_det += a[k][k].abs().ln();
        let row = a[k].clone();
        for below in &mut a[k + 1..] {
            let factor = below[k] / row[k];
            below.iter_mut().zip(&row).skip(k).for_each(|(b, r)| *b -= factor * r);
        }
    }
    log_det
}

/// Dense Jacobian of `f` at one input by one backward pass an output.
fn dense_jacobian<B: AutodiffBackend>(
    f: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>,
    x: Tensor<B::InnerBackend, 2>,
) -> Vec<Vec<f64>> {
    let dimension = x.dims()[1];
    (0..dimension)
        .map(|i| {
            let x = Tensor::<B, 2>::from_inner(x.clone()).require_grad();
            let gradients = f(x.clone()).narrow(1, i, 1).sum().backward();
            match x.grad(&gradients) {
                Some(gradient) => values(gradient),
                None => vec![0.0; dimension],
            }
        })
        .collect()
}

fn round_trip<B: FlowBackend>() {
    let device = Default::default();
    for (name, config, domain) in registry() {
        let flow = perturbed::<B>(&config, 0.2, &device);
        let x = input::<B>(&config, domain, 5, &device);
        // Other weights, then the first again: what a step remembers of its weights is to be of those that it has.
        let other = moved(flow.clone(), 0.1);
        for flow in [&flow, &other, &flow] {
            let (z, forward) = flow.encode(x.clone());
            let (back, inverse) = flow.decode(z);
            let error = deviation(&values(back), &values(x.clone()));
            assert!(error < 2e-4, "{name}: decode(encode(x)) is off by {error}");
            let error = deviation(&values(-inverse), &values(forward));
            assert!(error < 2e-4, "{name}: the two log-determinants differ by {error}");
        }
    }
}

fn log_det<B: FlowBackend>() {
    let device = Default::default();
    for (name, config, domain) in registry() {
        let flow = perturbed::<Autodiff<B>>(&config, 0.3, &device);
        let x = input::<B>(&config, domain, 1, &device);
        let forward = dense_jacobian::<Autodiff<B>>(|x| flow.encode(x).0, x.clone());
        let (z, log_det) = flow.encode(Tensor::from_inner(x));
        let (expected, got) = (log_abs_det(forward), values(log_det)[0]);
        assert!(
            (expected - got).abs() < 1e-3 * (1.0 + expected.abs()),
            "{name}: {got}, not {expected}"
        );

        let inverse = dense_jacobian::<Autodiff<B>>(|z| flow.decode(z).0, z.clone().inner());
        let (expected, got) = (log_abs_det(inverse), values(flow.decode(z).1)[0]);
        assert!(
            (expected - got).abs() < 1e-3 * (1.0 + expected.abs()),
            "{name}, inverse: {got}, not {expected}"
        );
    }
}

/// Checks that every float parameter has a finite gradient.
struct Finite<'a, B: AutodiffBackend> {
    name: &'a str,
    gradients: &'a B::Gradients,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Finite<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        // What is measured and not learned.
        if !param.val().is_require_grad() {
            return;
        }
        let gradient = param.val().grad(self.gradients);
        let gradient = gradient.unwrap_or_else(|| panic!("{}: no gradient", self.name));
        let bad = values(gradient).iter().filter(|v| !v.is_finite()).count();
        assert_eq!(bad, 0, "{}: {bad} gradients of a parameter are not finite", self.name);
    }
}

fn finite_gradients<B: FlowBackend>() {
    let device = Default::default();
    for (name, config, domain) in registry() {
        let flow = perturbed::<Autodiff<B>>(&config, 0.3, &device);
        let dimension: usize = config.shape.iter().product();
        let extremes: &[f32] = match domain {
            Domain::Line => &[0.0, 3.0, -3.0, 3.0001, 1e4, -1e4],
            Domain::UnitCube => &[0.0, 0.5, 1.0 - 1.0 / 512.0, 1e-30],
        };
        for &at in extremes {
            let x = Tensor::<Autodiff<B>, 2>::full([2, dimension], at, &device).require_grad();
            let gradients = flow.log_prob(x.clone()).sum().backward();
            let gradient = values(x.grad(&gradients).unwrap());
            assert!(gradient.iter().all(|v| v.is_finite()), "{name} at {at}: {gradient:?}");
            flow.visit(&mut Finite { name, gradients: &gradients });
        }
    }
}

fn save_and_load<B: FlowBackend>() {
    let device = Default::default();
    for (name, config, domain) in registry() {
        let flow = perturbed::<B>(&config, 0.3, &device);
        let x = input::<B>(&config, domain, 3, &device);
        let expected = values(flow.log_prob(x.clone()));
        let mut file = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
        file.collect_from(&flow).unwrap();
        let bytes = file.get_bytes().unwrap();
        let mut loaded = Flow::<B>::new(&config, 99, &device).unwrap();
        let mut file = SafetensorsStore::from_bytes(Some(bytes)).skip_enum_variants(true);
        loaded.load_from(&mut file).unwrap();
        assert_eq!(values(loaded.log_prob(x)), expected, "{name}");
    }
}

macro_rules! contract {
    ($($backend:ident: $type:ty),*) => {$(
        mod $backend {
            #[test]
            fn round_trip() {
                super::round_trip::<$type>();
            }

            #[test]
            fn log_determinant_matches_the_dense_jacobian() {
                super::log_det::<$type>();
            }

            #[test]
            fn gradients_are_finite_at_extremes() {
                super::finite_gradients::<$type>();
            }

            #[test]
            fn saved_weights_give_the_same_density() {
                super::save_and_load::<$type>();
            }
        }
    )*};
}

contract!(flex: burn::backend::Flex, ndarray: burn::backend::NdArray<f32>);
#[cfg(feature = "wgpu")]
contract!(wgpu: burn::backend::Wgpu);
#[cfg(feature = "cuda")]
contract!(cuda: burn::backend::Cuda);
