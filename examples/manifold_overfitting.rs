//! Manifold overfitting, and how two steps avoid it (Loaiza-Ganem et al. 2022, arXiv 2204.07172).
//!
//! Points on the unit circle, their angles of the von Mises density `exp(κ cos θ) / (2π I₀(κ))`. A flow in the plane, trained on them, gains likelihood without end: it piles its density up on
//! the circle, and does not come to the density along it. An autoencoder with one latent, then a Gaussian mixture of that latent, has the density along the circle.
//!
//! `cargo run --release --example manifold_overfitting` draws `docs/manifold_overfitting.png` and prints what it measures.

use atypical::{config::Optimizer, data::Spec, train::Descent};
use atypical_models::{
    AnyAutoencoder, AnyEstimator, DensityModel, LatentModel, Model, TwoStep,
    autoencoder::{Autoencoder, AutoencoderConfig},
    flow::{Elementwise, Flow, VectorPreset},
    mixture::{GaussianMixture, MixtureConfig},
    network::{Activation, NetworkConfig},
};
use burn::{
    backend::{Autodiff, Flex},
    module::AutodiffModule,
    tensor::{Tensor, TensorData},
};
use kuva::{
    plot::{LegendPosition, LinePlot},
    prelude::{Layout, Plot},
};
use std::f64::consts::{PI, TAU};

type B = Autodiff<Flex>;

/// κ of the manifold `von-mises-circle`, and `I₀(κ)`.
const KAPPA: f64 = 2.0;
const I0: f64 = 2.279_585_302_336_067;
/// Points in a step.
const BATCH: usize = 256;

/// Log-density of an angle, in nats.
pub fn truth(angle: f64) -> f64 {
    KAPPA * angle.cos() - (TAU * I0).ln()
}

/// Points of the circle, `[n, 2]`.
pub fn points(n: usize) -> Tensor<Flex, 2> {
    let spec: Spec = format!("manifold:von-mises-circle[:{n}]").parse().expect("a SPEC");
    let images = spec.load(".".as_ref()).expect("it needs no files");
    let numbers = images.numbers().expect("they are in memory");
    let values: Vec<f32> = numbers.into_iter().map(|v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, [n, 2]), &Default::default())
}

/// Angles at equal distances, away from the back of the circle, where an autoencoder with one latent has to tear it.
pub fn angles() -> Vec<f64> {
    (0..=400).map(|i| 2.5 * (f64::from(i) / 200.0 - 1.0)).collect()
}

/// What a model says at angles, in nats.
pub fn along(model: &impl DensityModel<Flex>, angles: &[f64]) -> Vec<f64> {
    let x: Vec<f32> = angles.iter().flat_map(|a| [a.cos() as f32, a.sin() as f32]).collect();
    let x = Tensor::from_data(TensorData::new(x, [angles.len(), 2]), &Default::default());
    model.log_prob(x).into_data().iter::<f64>().collect()
}

/// How far a model's log-density along the circle is from the true one, up to a constant: the standard deviation of the difference over the angles, each weighted by its density. In nats.
pub fn error(log_density: &[f64], angles: &[f64]) -> f64 {
    let weights: Vec<f64> = angles.iter().map(|a| truth(*a).exp()).collect();
    let total: f64 = weights.iter().sum();
    let difference: Vec<f64> = log_density.iter().zip(angles).map(|(l, a)| l - truth(*a)).collect();
    let mean = weights.iter().zip(&difference).map(|(w, d)| w * d).sum::<f64>() / total;
    let squares = weights.iter().zip(&difference).map(|(w, d)| w * (d - mean).powi(2));
    (squares.sum::<f64>() / total).sqrt()
}

/// Steps of training from a seed, on batches in turn.
pub fn descend(
    descent: &mut Descent<B>,
    x: &Tensor<Flex, 2>,
    steps: std::ops::Range<usize>,
    lr: f64,
) {
    let batches = x.dims()[0] / BATCH;
    for step in steps {
        let batch = x.clone().narrow(0, step % batches * BATCH, BATCH);
        descent.step(Tensor::from_inner(batch), lr);
    }
}

fn descent(model: Model<B>) -> Descent<B> {
    let optimizer =
        Optimizer::AdamW { lr: 1e-3, weight_decay: 0.0, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
    Descent::new(model, &optimizer, Some(10.0))
}

/// A flow in the plane, to be trained.
pub fn one_step(x: &Tensor<Flex, 2>) -> Descent<B> {
    let preset = VectorPreset { dimension: 2, layers: 4, hidden: 32, ..Default::default() };
    let config = preset.expand(&Elementwise::RqSpline { bins: 8, tail: 3.0 });
    let mut flow = Flow::<B>::new(&config, 0, &Default::default()).expect("a flow");
    flow.initialize(Tensor::from_inner(x.clone().narrow(0, 0, BATCH)));
    descent(flow.into())
}

/// Both steps, trained: an autoencoder for so many steps, then a mixture by expectation maximisation over all latents.
pub fn two_step(x: &Tensor<Flex, 2>, steps: usize) -> TwoStep<Flex> {
    let device = Default::default();
    let config = AutoencoderConfig {
        shape: [2, 1, 1],
        latent: 1,
        network: NetworkConfig::Mlp { hidden: vec![64, 64], activation: Activation::Tanh },
    };
    let autoencoder = Autoencoder::<B>::new(&config, 0, &device).expect("an autoencoder");
    let mut descent = descent(Model::Autoencoder(AnyAutoencoder::Plain(autoencoder)));
    // Smaller steps at the end: the Jacobian shows ripples that the reconstruction does not.
    descend(&mut descent, x, 0..steps * 3 / 4, 3e-3);
    descend(&mut descent, x, steps * 3 / 4..steps, 3e-4);
    let Model::Autoencoder(first) = descent.trainee().valid().model else { unreachable!() };
    let z = first.encode(x.clone());
    let values: Vec<f64> = z.clone().into_data().iter::<f64>().collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    let standardised = (z - mean) / variance.sqrt();
    let config =
        MixtureConfig { shape: [1, 1, 1], components: 8, floor: 1e-4, ..Default::default() };
    let mut mixture = GaussianMixture::new(&config, 0, &device).expect("a mixture");
    mixture.initialize(standardised.clone());
    for _ in 0..200 {
        mixture.em_step(standardised.clone(), 1.0);
    }
    let standard = [vec![mean as f32], vec![variance.sqrt() as f32]];
    TwoStep::new(first, AnyEstimator::Mixture(mixture), standard, &device)
}

/// The flow as it stands.
pub fn flow(descent: &Descent<B>) -> Model<Flex> {
    descent.trainee().valid().model
}

/// Mean log-density of points, in nats.
pub fn mean_log_prob(model: &impl DensityModel<Flex>, x: &Tensor<Flex, 2>) -> f64 {
    model.log_prob(x.clone()).mean().into_data().iter::<f64>().sum()
}

/// The density along the circle that a model's log-density is proportional to, over the angles.
fn normalised(log_density: &[f64], angles: &[f64]) -> Vec<(f64, f64)> {
    let top = log_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = log_density.iter().map(|l| (l - top).exp()).sum();
    let step = angles[1] - angles[0];
    let mass: f64 = angles.iter().map(|a| truth(*a).exp() * step).sum();
    angles.iter().zip(log_density).map(|(a, l)| (*a, (l - top).exp() / sum / step * mass)).collect()
}

fn main() {
    let x = points(8192);
    let angles = angles();
    let mut curves: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    let mut one = one_step(&x);
    let mut done = 0;
    println!("model     steps  mean log p (nats)  error along the circle (nats)");
    for steps in [300, 1000, 3000] {
        descend(&mut one, &x, done..steps, 2e-3);
        done = steps;
        let (flow, log_density) = (flow(&one), along(&flow(&one), &angles));
        let (mean, error) = (mean_log_prob(&flow, &x), error(&log_density, &angles));
        println!("one step  {steps:5}  {mean:17.3}  {error:29.3}");
        if steps != 1000 {
            curves.push((format!("one step, {steps} steps"), normalised(&log_density, &angles)));
        }
    }
    let two = two_step(&x, 3000);
    let log_density = along(&two, &angles);
    let (mean, error) = (mean_log_prob(&two, &x), error(&log_density, &angles));
    println!("two steps  3000  {mean:17.3}  {error:29.3}");
    let entropy: f64 = (0..10_000)
        .map(|i| TAU * (f64::from(i) + 0.5) / 1e4 - PI)
        .map(|a| truth(a).exp() * truth(a) * TAU / 1e4)
        .sum();
    println!("truth            {entropy:17.3}");
    // Not up to a constant: it is a density.
    let two: Vec<(f64, f64)> =
        angles.iter().copied().zip(log_density.iter().map(|l| l.exp())).collect();
    curves.push(("two steps".into(), two));
    let colours = ["#56B4E9", "#0072B2", "#D55E00"];
    let plots = || -> Vec<Plot> {
        let truth = LinePlot::new()
            .with_data(angles.iter().map(|a| (*a, truth(*a).exp())).collect::<Vec<_>>())
            .with_color("#000000")
            .with_dashed()
            .with_legend("truth");
        let lines = curves.iter().zip(colours).map(|((name, curve), colour)| -> Plot {
            let line = LinePlot::new().with_data(curve.clone()).with_color(colour);
            line.with_stroke_width(2.0).with_legend(name.as_str()).into()
        });
        lines.chain([truth.into()]).collect()
    };
    let layout = Layout::auto_from_plots(&plots())
        .with_x_label("angle on the circle")
        .with_y_label("density along the circle")
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_legend_box(false)
        .with_show_grid(false)
        .with_width(640.0)
        .with_height(380.0);
    let png = kuva::render_to_png(plots(), layout, 2.0).expect("a picture");
    std::fs::write("docs/manifold_overfitting.png", png).expect("run it in the project's folder");
}
