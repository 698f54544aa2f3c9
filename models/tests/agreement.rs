//! Backends agree: the same weights and inputs give the same numbers as flex. The table in `docs/backends.md` is what this prints:
//! `cargo nextest run --release -p atypical-models-tests --features wgpu --test agreement --no-capture`.

#[allow(dead_code)]
mod common;

use atypical::{
    jacobian::{self, Linearized, Memory},
    lid::{LidEstimator, Spectral, Spectrum},
};
use atypical_models::{
    DensityModel, FlowBackend,
    flow::{Elementwise, Flow, FlowConfig, ImagePreset},
};
use burn::{
    backend::{Autodiff, Flex},
    module::{AutodiffModule, Module, ModuleVisitor, Param},
    tensor::{Tensor, backend::AutodiffBackend},
};
use common::{perturbed, uniform, values};

/// Samples and pixels of a batch.
const BATCH: [usize; 2] = [4, 64];

/// Gradients of all parameters, one after the other.
struct Gradients<'a, B: AutodiffBackend> {
    of: &'a B::Gradients,
    all: Vec<Vec<f64>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Gradients<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad(self.of) {
            self.all.push(values(gradient));
        }
    }
}

/// What a flow computes on one backend, by name: tensors, each of which is compared on its own scale.
fn numbers<B: FlowBackend>(config: &FlowConfig) -> Vec<(&'static str, Vec<Vec<f64>>)> {
    let device = Default::default();
    let tracked: Flow<Autodiff<B>> = perturbed(config, 0.1, &device);
    let x = uniform::<Autodiff<B>, 2>(BATCH, 0.02..0.98, 2, &device).require_grad();
    let log_prob = tracked.log_prob(x.clone());
    let gradients = log_prob.clone().sum().backward();
    let mut by_parameters = Gradients { of: &gradients, all: Vec::new() };
    tracked.visit(&mut by_parameters);

    let flow = tracked.valid();
    let z = uniform::<B, 2>(BATCH, -2.0..2.0, 3, &device);
    let (mut singular, mut lid) = (Vec::new(), Vec::new());
    for i in 0..BATCH[0] {
        let z = z.clone().narrow(0, i, 1);
        let at = Linearized::new(&flow, z.clone());
        let jacobian = jacobian::decoder(&at, Memory::mib(64)).unwrap();
        let z0: Vec<f32> = z.into_data().iter::<f32>().collect();
        let spectrum = Spectrum::new(&jacobian, &z0).unwrap();
        // A rounding error of J moves each by less than its own norm, and says nothing of the smallest one's digits (Weyl).
        singular.extend(spectrum.eigenvalues().iter().map(|l| l.max(0.0).sqrt()));
        lid.push(Spectral.lid(&spectrum, -1.0));
    }
    vec![
        ("log-density", vec![values(log_prob.inner())]),
        ("gradient by the parameters", by_parameters.all),
        ("gradient by the input", vec![values(x.grad(&gradients).unwrap())]),
        ("samples from the same latents", vec![values(flow.decode(z).0)]),
        ("singular values of the Jacobian", vec![singular]),
        ("LID", vec![lid]),
    ]
}

/// Largest deviation from flex of each quantity, in parts of its tensor's largest value on flex (of a thousandth of the largest of all, where that is
/// more: a gradient that vanishes is rounding); below `tolerance`, where gradients,
/// which amplify rounding, may differ by ten times as much.
fn agrees<B: FlowBackend>(name: &str, tolerance: f64) {
    for (model, elementwise) in
        [("RQ-NSF", Elementwise::RqSpline { bins: 8, tail: 3.0 }), ("Glow", Elementwise::Affine {})]
    {
        let preset = ImagePreset {
            shape: [1, 8, 8],
            hidden: [16, 16, 32],
            repeats: [2, 2, 1],
            dropout: 0.0,
            ..Default::default()
        };
        let config = preset.expand(&elementwise);
        let ours = numbers::<B>(&config);
        for ((quantity, flex), (_, other)) in numbers::<Flex>(&config).into_iter().zip(ours) {
            let largest = |values: &[f64]| values.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            let overall = flex.iter().map(|tensor| largest(tensor)).fold(0.0, f64::max);
            assert!(overall > 0.1, "{quantity}: nothing to compare");
            assert_eq!(flex.len(), other.len());
            let apart = flex.iter().zip(&other).map(|(flex, other)| {
                assert_eq!(flex.len(), other.len());
                let difference: Vec<f64> = flex.iter().zip(other).map(|(a, b)| a - b).collect();
                largest(&difference) / largest(flex).max(1e-3 * overall)
            });
            let apart = apart.fold(0.0, f64::max);
            let allowed =
                if quantity.starts_with("gradient") { 10.0 * tolerance } else { tolerance };
            println!("| {name} | {model} | {quantity} | {apart:.0e} | {allowed:.0e} |");
            assert!(
                apart < allowed,
                "{name}, {model}, {quantity}: {apart:.1e} of the tensor's largest value apart"
            );
        }
    }
}

/// With itself: to the last bit.
#[test]
fn flex() {
    agrees::<Flex>("flex", f64::MIN_POSITIVE);
}

#[test]
fn ndarray() {
    agrees::<burn::backend::NdArray<f32>>("ndarray", 1e-5);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu() {
    agrees::<burn::backend::Wgpu>("wgpu", 1e-4);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda() {
    agrees::<burn::backend::Cuda>("cuda", 1e-4);
}
