//! Tests of `atypical_models::two_step`.

use atypical_forward::{Forward, on_forward};
use atypical_models::{
    AnyAutoencoder, AnyEstimator, DensityModel, FlowBackend, Init, LatentModel, Learn, Learned,
    Model, TwoStep,
    autoencoder::{Autoencoder, AutoencoderConfig, LikelihoodConfig, Vae, VaeConfig},
    mixture::{GaussianMixture, MixtureConfig},
    network::{Activation, Decoder, NetworkConfig},
    two_step::{cholesky, decoder_jacobian, log_det, log_prob, volume},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::AutodiffModule,
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{Tensor, TensorData, backend::Backend},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::{PI, TAU};

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn tensor<B: Backend, const D: usize>(values: Vec<f64>, dims: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, dims), &Default::default())
}

fn uniform(n: usize, range: std::ops::Range<f64>, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(range.clone())).collect()
}

/// Largest `|a - b| / (1 + |b|)`; NaN is far from everything.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let errors = a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs()));
    errors.fold(0.0, |most, e| if e <= most { most } else { e })
}

/// `A Aᵀ` of matrices of the given number of columns, row by row.
fn grams(a: &[f64], d: usize, columns: usize) -> Vec<f64> {
    let dot = |r: &[f64], s: &[f64]| r.iter().zip(s).map(|(r, s)| r * s).sum::<f64>();
    let gram = |a: &[f64]| -> Vec<f64> {
        a.chunks(columns).flat_map(|r| a.chunks(columns).map(move |s| dot(r, s))).collect()
    };
    a.chunks(d * columns).flat_map(gram).collect()
}

/// The lower Cholesky factor in f64, row by row (Cholesky and Banachiewicz), apart from the one under test.
fn factor(a: &[f64], d: usize) -> Vec<f64> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            let rest = a[i * d + j] - known;
            l[i * d + j] = if i == j { rest.sqrt() } else { rest / l[j * d + j] };
        }
    }
    l
}

fn half_log_det(gram: &[f64], d: usize) -> f64 {
    let l = factor(gram, d);
    (0..d).map(|i| l[i * d + i].ln()).sum()
}

fn factors<B: FlowBackend>(tolerance: f64) {
    for d in [1, 2, 3, 7, 20] {
        let a = grams(&uniform(3 * d * (d + 4), -1.0..1.0, d as u64), d, d + 4);
        let expected: Vec<f64> = a.chunks(d * d).flat_map(|a| factor(a, d)).collect();
        let a = tensor::<B, 3>(a, [3, d, d]);
        let got = values(cholesky(a.clone()));
        assert!(deviation(&got, &expected) < tolerance, "d = {d}: {got:?}, not {expected:?}");
        let logs: Vec<f64> = expected
            .chunks(d * d)
            .map(|l| 2.0 * (0..d).map(|i| l[i * d + i].ln()).sum::<f64>())
            .collect();
        let got = values(log_det(a));
        assert!(deviation(&got, &logs) < 10.0 * tolerance, "d = {d}: {got:?}, not {logs:?}");
    }
}

fn not_positive_definite<B: FlowBackend>() {
    let good = [4.0, 2.0, 2.0, 5.0];
    for bad in
        [[1.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 1.0]]
    {
        let a = tensor::<B, 3>([good, bad, good].concat(), [3, 2, 2]);
        let factors = values(cholesky(a.clone()));
        assert_eq!([factors[..4].to_vec(), factors[8..].to_vec()], [[2.0, 0.0, 1.0, 2.0]; 2]);
        assert!(factors[7].is_nan(), "{bad:?}: {factors:?}");
        let logs = values(log_det(a));
        assert!(
            logs[1].is_nan() && deviation(&[logs[0], logs[2]], &[16f64.ln(); 2]) < 1e-5,
            "{logs:?}"
        );
    }
}

/// `∂ log det a = tr(a⁻¹ ∂a)`.
fn gradient_of_log_det<B: FlowBackend>() {
    let d = 4;
    let a = grams(&uniform(2 * d * 8, -1.0..1.0, 9), d, 8);
    let x = tensor::<Autodiff<B>, 3>(a.clone(), [2, d, d]).require_grad();
    let gradients = log_det(x.clone()).sum().backward();
    let gradient = values(x.grad(&gradients).unwrap());
    for (a, gradient) in a.chunks(d * d).zip(gradient.chunks(d * d)) {
        // The lower triangle stands for both, so its gradient is that of both entries.
        for i in 0..d {
            for j in 0..=i {
                let moved = |step: f64| {
                    let mut a = a.to_vec();
                    a[i * d + j] += step;
                    if i != j {
                        a[j * d + i] += step;
                    }
                    2.0 * half_log_det(&a, d)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let got = if i == j {
                    gradient[i * d + j]
                } else {
                    gradient[i * d + j] + gradient[j * d + i]
                };
                assert!(
                    (got - expected).abs() / (1.0 + expected.abs()) < 1e-3,
                    "{i}, {j}: {got}, not {expected}"
                );
            }
        }
    }
}

fn linear_decoders<B: FlowBackend>() {
    for (d, dimension) in [(1, 1), (1, 5), (3, 3), (4, 9)] {
        let w = uniform(d * dimension, -1.0..1.0, 3);
        let expected = half_log_det(&grams(&w, d, dimension), d);
        let weight = tensor::<Forward<B>, 2>(w, [d, dimension]);
        let z = tensor::<B, 2>(uniform(5 * d, -9.0..9.0, 4), [5, d]);
        let got = values(volume(|z| z.matmul(weight.clone()), z.clone(), 2));
        assert!(
            deviation(&got, &[expected; 5]) < 1e-5,
            "{d} to {dimension}: {got:?}, not {expected}"
        );
    }
    // More latents than dimensions: nothing has a volume.
    let weight = tensor::<Forward<B>, 2>(vec![1.0, 2.0], [2, 1]);
    let z = tensor::<B, 2>(vec![0.0; 4], [2, 2]);
    assert!(values(volume(|z| z.matmul(weight.clone()), z, 9)).iter().all(|v| v.is_nan()));
}

fn columns<B: Backend>(z: Tensor<B, 2>) -> [Tensor<B, 2>; 2] {
    [z.clone().narrow(1, 0, 1), z.narrow(1, 1, 1)]
}

/// Polar and azimuthal angle to the unit sphere; `√det JᵀJ = sin θ`.
fn sphere<B: Backend>(z: Tensor<B, 2>) -> Tensor<B, 2> {
    let [theta, phi] = columns(z);
    let ring = theta.clone().sin();
    Tensor::cat(vec![ring.clone() * phi.clone().cos(), ring * phi.sin(), theta.cos()], 1)
}

/// Two angles to the torus with radii 2 and 1/2; `√det JᵀJ = ½ (2 + ½ cos v)`.
fn torus<B: Backend>(z: Tensor<B, 2>) -> Tensor<B, 2> {
    let [u, v] = columns(z);
    let ring = v.clone().cos() * 0.5 + 2.0;
    Tensor::cat(vec![ring.clone() * u.clone().cos(), ring * u.sin(), v.sin() * 0.5], 1)
}

/// The graph of `f = u² - u v`; `√det JᵀJ = √(1 + |∇f|²)`.
fn graph<B: Backend>(z: Tensor<B, 2>) -> Tensor<B, 2> {
    let [u, v] = columns(z);
    Tensor::cat(vec![u.clone(), v.clone(), u.clone() * u.clone() - u * v], 1)
}

/// A surface, its area element and a range for both coordinates.
type Surface<B> =
    (fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2>, fn(f64, f64) -> f64, std::ops::Range<f64>);

fn surfaces<B: FlowBackend>() {
    let all: [Surface<B>; 3] = [
        (sphere, |theta, _| theta.sin(), 0.05..3.0),
        (torus, |_, v| 0.5 * (2.0 + 0.5 * v.cos()), 0.0..TAU),
        (graph, |u, v| (1.0 + (2.0 * u - v).powi(2) + u * u).sqrt(), -3.0..3.0),
    ];
    for (which, (decoder, element, range)) in all.into_iter().enumerate() {
        let z = uniform(60, range, which as u64);
        let expected: Vec<f64> = z.chunks(2).map(|z| element(z[0], z[1]).ln()).collect();
        let got = values(volume(decoder, tensor::<B, 2>(z, [30, 2]), 7));
        assert!(deviation(&got, &expected) < 3e-4, "surface {which}: {got:?}, not {expected:?}");
    }
}

/// An autoencoder that knows its manifold: the graph of `f = u² - u v`.
struct Graph;

impl<B: Backend> LatentModel<B> for Graph {
    fn latent_dimension(&self) -> usize {
        2
    }

    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.narrow(1, 0, 2)
    }

    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        graph(z)
    }
}

/// A unit Gaussian: what a mixture of one is before it has seen anything, but for its mean.
fn unit_gaussian<B: FlowBackend>() -> GaussianMixture<B> {
    let config = MixtureConfig { components: 1, ..Default::default() };
    let mut gaussian = GaussianMixture::new(&config, 0, &Default::default()).unwrap();
    gaussian.means = gaussian.means.map(|means| means.zeros_like());
    gaussian
}

/// `p(x) = N(u) N(v) / √(1 + |∇f|²)` on the graph, and its gradient by differences.
fn density_on_a_graph<B: FlowBackend>()
where
    Autodiff<B>: FlowBackend,
{
    let density = |u: f64, v: f64| {
        -0.5 * (u * u + v * v) - TAU.ln() - 0.5 * (1.0 + (2.0 * u - v).powi(2) + u * u).ln()
    };
    let z = uniform(40, -2.0..2.0, 7);
    let expected: Vec<f64> = z.chunks(2).map(|z| density(z[0], z[1])).collect();
    let z = tensor::<Autodiff<B>, 2>(z, [20, 2]);
    let x = graph(z.clone()).detach().require_grad();
    let got = log_prob(&Graph, &Graph, &unit_gaussian::<Autodiff<B>>(), x.clone(), 6);
    let error = deviation(&values(got.clone()), &expected);
    assert!(error < 1e-4, "off by {error}");

    // As a function of x it does not depend on f, which the encoder does not look at.
    let gradient = values(x.grad(&got.sum().backward()).unwrap());
    let h = 1e-4;
    let expected: Vec<f64> = values(z)
        .chunks(2)
        .flat_map(|z| {
            let along = |du, dv| {
                (density(z[0] + du, z[1] + dv) - density(z[0] - du, z[1] - dv)) / (2.0 * h)
            };
            [along(h, 0.0), along(0.0, h), 0.0]
        })
        .collect();
    let error = deviation(&gradient, &expected);
    assert!(error < 1e-3, "gradient off by {error}");
}

/// The model as a whole, whose latents are standardised: `log p(x) = log N(u) - Σ log s - ½ log det JᵀJ`, and `log N(u)` alone.
#[test]
fn a_model_of_two_steps_standardises_its_latents() {
    let device = Default::default();
    let network = NetworkConfig::Mlp { hidden: vec![8], activation: Activation::Silu };
    let config = AutoencoderConfig { shape: [6, 1, 1], latent: 2, network };
    let first = Autoencoder::<Flex>::new(&config, 3, &device).unwrap();
    let (mean, deviation) = ([0.5, -0.25], [2.0, 0.125]);
    let standard = [mean, deviation].map(|values: [f64; 2]| values.map(|v| v as f32).to_vec());
    let both = TwoStep::new(
        AnyAutoencoder::Plain(first.clone()),
        AnyEstimator::Mixture(unit_gaussian::<Flex>()),
        standard,
        &device,
    );
    let model = Model::TwoStep(both);
    let x = tensor::<Flex, 2>(uniform(5 * 6, 0.0..1.0, 4), [5, 6]);

    let z = values(first.encode(x.clone()));
    let normal = |z: &[f64]| -> f64 {
        let squares = (0..2).map(|i| ((z[i] - mean[i]) / deviation[i]).powi(2));
        -0.5 * squares.sum::<f64>() - TAU.ln()
    };
    let latent: Vec<f64> = z.chunks(2).map(normal).collect();
    assert!(deviation_of(&model.latent_log_prob(x.clone()), &latent) < 1e-5);
    let log_scales: f64 = deviation.iter().map(|s: &f64| s.ln()).sum();
    let expected: Vec<f64> = z
        .chunks(2)
        .zip(&latent)
        .map(|(z, latent)| latent - log_scales - volume_by_differences(&first, z))
        .collect();
    assert!(deviation_of(&model.log_prob(x), &expected) < 1e-3);
}

fn deviation_of(got: &Tensor<Flex, 1>, expected: &[f64]) -> f64 {
    deviation(&values(got.clone()), expected)
}

/// `½ log det JᵀJ` at one latent of dimension 2, J by central differences.
fn volume_by_differences(model: &impl LatentModel<Flex>, z: &[f64]) -> f64 {
    let h = 1e-2;
    let at = |z: [f64; 2]| values(model.decode(tensor(z.to_vec(), [1, 2])));
    let column = |i: usize| -> Vec<f64> {
        let moved = |by: f64| at(std::array::from_fn(|k| if k == i { z[k] + by } else { z[k] }));
        moved(h).iter().zip(moved(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
    };
    let [a, b] = [0, 1].map(column);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    0.5 * (dot(&a, &a) * dot(&b, &b) - dot(&a, &b).powi(2)).ln()
}

/// Even where the first step has a noise of its own, which its own samples have.
#[test]
fn samples_are_what_the_second_step_draws_decoded_to_the_mean() {
    let device = Default::default();
    let config = VaeConfig {
        shape: [6, 1, 1],
        latent: 2,
        network: NetworkConfig::Mlp { hidden: vec![8], activation: Activation::Silu },
        likelihood: LikelihoodConfig::Gaussian { sigma: Some(0.5) },
        ..Default::default()
    };
    let first = Vae::<Flex>::new(&config, 3, &device).unwrap();
    let second = unit_gaussian::<Flex>();
    let (mean, deviation) = ([0.5, -0.25], [2.0, 0.125]);
    let model = Model::TwoStep(TwoStep::new(
        AnyAutoencoder::Vae(first.clone()),
        AnyEstimator::Mixture(second.clone()),
        [mean, deviation].map(|values: [f64; 2]| values.map(|v| v as f32).to_vec()),
        &device,
    ));
    Flex::seed(&device, 1);
    let drawn = values(second.sample(9, &device));
    let z = drawn.chunks(2).flat_map(|u| [0, 1].map(|i| u[i] * deviation[i] + mean[i])).collect();
    let expected = values(first.decode(tensor(z, [9, 2])));
    Flex::seed(&device, 1);
    let got = values(model.sample(9, &device));
    assert!(self::deviation(&got, &expected) < 1e-6, "{got:?}, not {expected:?}");
}

/// Decoders of every kind, all smooth.
fn networks() -> Vec<(NetworkConfig, [usize; 3])> {
    let activation = Activation::Silu;
    vec![
        (NetworkConfig::Mlp { hidden: vec![12, 9], activation: Activation::Tanh }, [1, 3, 4]),
        (
            NetworkConfig::Conv {
                channels: vec![4, 3],
                strides: vec![2, 1],
                kernel: 3,
                activation,
            },
            [2, 4, 6],
        ),
        (NetworkConfig::Mlp { hidden: vec![10], activation: Activation::Relu }, [7, 1, 1]),
    ]
}

fn decoder<B: Backend>(config: &NetworkConfig, shape: [usize; 3]) -> Decoder<B> {
    Decoder::new(config, 3, shape, &mut Init::new(2), &Default::default()).unwrap()
}

/// Dense Jacobians by one backward pass an output, their volume in f64; in chunks of every size, alone and together.
fn volumes_of_networks<B: FlowBackend>()
where
    Autodiff<B>: FlowBackend,
{
    let (batch, d) = (5, 3);
    for (config, shape) in networks() {
        let dimension: usize = shape.iter().product();
        let net = decoder::<Autodiff<B>>(&config, shape);
        let z = tensor::<B, 2>(uniform(batch * d, -2.0..2.0, 5), [batch, d]);
        // [batch, d, D]
        let mut dense = vec![0.0; batch * d * dimension];
        for i in 0..dimension {
            let z = Tensor::<Autodiff<B>, 2>::from_inner(z.clone()).require_grad();
            let gradients = net.forward(z.clone()).narrow(1, i, 1).sum().backward();
            for (at, value) in values(z.grad(&gradients).unwrap()).into_iter().enumerate() {
                dense[at * dimension + i] = value;
            }
        }
        let twin: Decoder<Forward<B>> = on_forward(net.valid());
        let jacobian = decoder_jacobian(|z| twin.forward(z), z.clone());
        assert_eq!(jacobian.dims(), [batch, dimension, d]);
        let error = deviation(&values(jacobian.swap_dims(1, 2)), &dense);
        assert!(error < 1e-5, "{config:?}: Jacobian off by {error}");

        let expected: Vec<f64> =
            grams(&dense, d, dimension).chunks(d * d).map(|gram| half_log_det(gram, d)).collect();
        for chunk in 1..=batch + 1 {
            let got = values(volume(|z| twin.forward(z), z.clone(), chunk));
            assert!(
                deviation(&got, &expected) < 1e-4,
                "{config:?}, {chunk}: {got:?}, not {expected:?}"
            );
        }
    }
}

/// Of the volume, which has second derivatives of the decoder in it.
fn gradients_of_volumes<B: FlowBackend>(h: f64, tolerance: f64)
where
    Autodiff<B>: FlowBackend,
{
    let (batch, d) = (3, 3);
    for (config, shape) in networks() {
        let net = decoder::<Autodiff<B>>(&config, shape);
        let twin: Decoder<Forward<Autodiff<B>>> = on_forward(net.clone());
        let at = uniform(batch * d, -1.0..1.0, 6);
        let z = tensor::<Autodiff<B>, 2>(at.clone(), [batch, d]).require_grad();
        let gradients = volume(|z| twin.forward(z), z.clone(), 2).sum().backward();
        let gradient = match z.grad(&gradients) {
            Some(gradient) => values(gradient),
            // The Jacobian of a piecewise linear network does not depend on the latent.
            None => vec![0.0; batch * d],
        };
        let plain: Decoder<Forward<B>> = on_forward(net.valid());
        let total = |at: &[f64]| -> f64 {
            values(volume(|z| plain.forward(z), tensor::<B, 2>(at.to_vec(), [batch, d]), batch))
                .iter()
                .sum()
        };
        let expected: Vec<f64> = (0..batch * d)
            .map(|i| {
                let moved = |step: f64| {
                    let mut at = at.clone();
                    at[i] += step;
                    total(&at)
                };
                (moved(h) - moved(-h)) / (2.0 * h)
            })
            .collect();
        let error = deviation(&gradient, &expected);
        assert!(error < tolerance, "{config:?}: {gradient:?}, not {expected:?}");
    }
}

/// Far from zero, where the activations are saturated: the volume is a number or none, and so are its gradients.
fn far_away<B: FlowBackend>()
where
    Autodiff<B>: FlowBackend,
{
    for (config, shape) in networks().into_iter().skip(1) {
        let net = decoder::<Autodiff<B>>(&config, shape);
        let twin: Decoder<Forward<Autodiff<B>>> = on_forward(net);
        let z =
            tensor::<Autodiff<B>, 2>(vec![1e4, -1e4, 1e4, 0.0, 0.0, 0.0], [2, 3]).require_grad();
        let volumes = volume(|z| twin.forward(z), z.clone(), 2);
        assert!(values(volumes.clone()).iter().all(|v| v.is_finite()), "{config:?}");
        if let Some(gradient) = z.grad(&volumes.sum().backward()) {
            assert!(values(gradient).iter().all(|g| g.is_finite()), "{config:?}");
        }
    }
}

/// How far from the truth the volume of a map with singular values from 1 down to `1/condition` is, in nats.
fn error_at_condition<B: FlowBackend>(condition: f64) -> f64 {
    let angle = [0.9f64, 0.5];
    let [c, s] = [angle.map(f64::cos), angle.map(f64::sin)];
    // A rotation of two scaled coordinates that are a rotation of the latents.
    let inner = [[c[0], -s[0]], [s[0] / condition, c[0] / condition]];
    let map = [0, 1].map(|k| {
        [c[1] * inner[0][k] - s[1] * inner[1][k], s[1] * inner[0][k] + c[1] * inner[1][k]]
    });
    let weight = tensor::<Forward<B>, 2>(map.concat(), [2, 2]);
    let z = tensor::<B, 2>(vec![0.0, 0.0], [1, 2]);
    (values(volume(|z| z.matmul(weight.clone()), z, 1))[0] + condition.ln()).abs()
}

fn ill_conditioned<B: FlowBackend>() {
    for (condition, allowed) in [(10.0, 1e-4), (100.0, 1e-2), (1000.0, 0.5)] {
        let error = error_at_condition::<B>(condition);
        assert!(error < allowed, "at {condition}: off by {error}");
    }
}

#[test]
fn gradients_of_volumes_in_f64() {
    // burn's NdArray has the logarithm and tanh to f32's precision only.
    gradients_of_volumes::<NdArray<f64>>(3e-3, 5e-4);
}

macro_rules! suite {
    ($($backend:ident: $type:ty),*) => {$(
        mod $backend {
            #[test]
            fn factors() {
                super::factors::<$type>(1e-5);
            }

            #[test]
            fn not_positive_definite() {
                super::not_positive_definite::<$type>();
            }

            #[test]
            fn gradient_of_log_det() {
                super::gradient_of_log_det::<$type>();
            }

            #[test]
            fn linear_decoders() {
                super::linear_decoders::<$type>();
            }

            #[test]
            fn surfaces() {
                super::surfaces::<$type>();
            }

            #[test]
            fn density_on_a_graph() {
                super::density_on_a_graph::<$type>();
            }

            #[test]
            fn volumes_of_networks() {
                super::volumes_of_networks::<$type>();
            }

            #[test]
            fn gradients_of_volumes() {
                super::gradients_of_volumes::<$type>(1e-2, 1e-2);
            }

            #[test]
            fn far_away() {
                super::far_away::<$type>();
            }

            #[test]
            fn ill_conditioned() {
                super::ill_conditioned::<$type>();
            }
        }
    )*};
}

suite!(flex: burn::backend::Flex, ndarray: burn::backend::NdArray<f32>);

/// How sharply the angles of the experiment concentrate around zero.
const KAPPA: f64 = 4.0;

/// Von Mises log-density of an angle.
fn von_mises(angle: f64) -> f64 {
    // Of a periodic function, the sum converges faster than any power.
    let n = 64;
    let bessel: f64 =
        (0..n).map(|i| (KAPPA * (TAU * i as f64 / n as f64).cos()).exp()).sum::<f64>() / n as f64;
    KAPPA * angle.cos() - (TAU * bessel).ln()
}

fn on_circle<B: Backend>(angles: &[f64]) -> Tensor<B, 2> {
    tensor(angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect(), [angles.len(), 2])
}

/// The autoencoder of points, trained on batches of 200 in turn with a falling rate.
fn autoencoder(x: &Tensor<Flex, 2>, latent: usize, epochs: usize) -> Autoencoder<Flex> {
    let [n, dimension] = x.dims();
    let network = NetworkConfig::Mlp { hidden: vec![32, 32], activation: Activation::Silu };
    let config = AutoencoderConfig { shape: [dimension, 1, 1], latent, network };
    let mut model = Autoencoder::<Autodiff<Flex>>::new(&config, 0, &Default::default()).unwrap();
    let mut optimizer = AdamConfig::new().init();
    for epoch in 0..epochs {
        let rate = 1e-2 * (1.0 - epoch as f64 / epochs as f64);
        for start in (0..n).step_by(200) {
            let x = Tensor::from_inner(x.clone().narrow(0, start, 200));
            let Learned::Loss(loss) = model.learn(0, x) else { panic!("no loss") };
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(rate, model, gradients);
        }
    }
    model.valid()
}

fn mixture<B: FlowBackend>(x: Tensor<B, 2>, components: usize, floor: f64) -> GaussianMixture<B> {
    let config =
        MixtureConfig { shape: [x.dims()[1], 1, 1], components, floor, ..Default::default() };
    let mut mixture = GaussianMixture::new(&config, 0, &Default::default()).unwrap();
    mixture.initialize(x.clone());
    (0..25).for_each(|_| drop(mixture.em_step(x.clone(), 1.0)));
    mixture
}

/// Manifold overfitting: points on a circle in the plane, their angles from a von Mises distribution. The likelihood of a density on
/// the plane grows and grows as the density closes in on the circle, and along the circle it gets worse. An autoencoder and a
/// density of its latents find the density on the circle.
#[test]
fn manifold_overfitting() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut draw = || loop {
        let angle = rng.random_range(-PI..PI);
        if rng.random::<f64>() < (KAPPA * (angle.cos() - 1.0)).exp() {
            return angle;
        }
    };
    let angles: Vec<f64> = (0..1000).map(|_| draw()).collect();
    let x = on_circle::<Flex>(&angles);

    let n = 1000;
    let step = TAU / n as f64;
    let grid: Vec<f64> = (0..n).map(|i| step * (i as f64 + 0.5) - PI).collect();
    let points = on_circle::<Flex>(&grid);
    // Expected distance from the true log-density on the circle, in nats.
    let error = |log_density: &[f64]| -> f64 {
        let weighted =
            |(a, l): (&f64, &f64)| von_mises(*a).exp() * (von_mises(*a) - l).abs() * step;
        grid.iter().zip(log_density).map(weighted).sum()
    };

    // Ever more Gaussians, which may be ever flatter: their log-likelihood, and the error of their density along the circle, which is given the
    // right mass there.
    let one_step = [(10, 1e-3), (50, 1e-5), (250, 1e-7)].map(|(components, floor)| {
        let mixture = mixture(x.clone(), components, floor);
        let mut log_density = values(mixture.log_prob(points.clone()));
        let log_mass = (log_density.iter().map(|l| l.exp()).sum::<f64>() * step).ln();
        log_density.iter_mut().for_each(|l| *l -= log_mass);
        (values(mixture.log_prob(x.clone()).mean())[0], error(&log_density))
    });
    assert!(one_step.windows(2).all(|m| m[1].0 > m[0].0 + 1.5 && m[1].1 > m[0].1), "{one_step:?}");

    let trained = autoencoder(&x, 1, 60);
    let twin: Autoencoder<Forward<Flex>> = on_forward(trained.clone());
    let density = mixture(trained.encode(x), 5, 1e-4);
    let two_step = error(&values(log_prob(&trained, &twin, &density, points, n)));
    println!("circle: {two_step:.3} nats");
    assert!(two_step < 0.15 && one_step[2].1 > 10.0 * two_step, "{one_step:?}, {two_step}");
}

/// Polar and azimuthal angles of draws from the von Mises–Fisher distribution on the unit sphere. Its polar angle's cosine has a
/// distribution function that can be inverted.
fn von_mises_fisher(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        let u: f64 = rng.random();
        let cosine = 1.0 + (u + (1.0 - u) * (-2.0 * KAPPA).exp()).ln() / KAPPA;
        [cosine.acos(), rng.random_range(0.0..TAU)]
    };
    (0..n).flat_map(|_| draw()).collect()
}

/// A model of two steps as a whole, learnt from points: an autoencoder, then 5 Gaussians of its standardised latents.
fn two_steps(x: Tensor<Flex, 2>, latent: usize) -> Model<Flex> {
    let first = autoencoder(&x, latent, 60);
    let z = first.encode(x);
    let mean = z.clone().mean_dim(0);
    let apart = z - mean.clone();
    let deviation = apart.clone().powi_scalar(2).mean_dim(0).sqrt();
    let second = mixture(apart / deviation.clone(), 5, 1e-4);
    Model::TwoStep(TwoStep::new(
        AnyAutoencoder::Plain(first),
        AnyEstimator::Mixture(second),
        [mean, deviation].map(|values| values.into_data().iter::<f32>().collect()),
        &Default::default(),
    ))
}

/// Mean distance from the true log-densities at points, in nats.
fn mean_error(
    model: &Model<Flex>,
    points: Tensor<Flex, 2>,
    truth: impl Iterator<Item = f64>,
) -> f64 {
    let got = values(model.log_prob(points));
    let n = got.len() as f64;
    truth.zip(got).map(|(truth, got)| (got - truth).abs()).sum::<f64>() / n
}

/// Against the von Mises–Fisher distribution: log-densities in nats with respect to the sphere's area, nothing subtracted. Without the back of the sphere,
/// where an autoencoder with two latents has to tear it: 1 of 300 points is there.
#[test]
fn a_trained_two_step_model_has_the_density_on_the_sphere() {
    let n = 4000;
    let model = two_steps(sphere(tensor::<Flex, 2>(von_mises_fisher(n, 0), [n, 2])), 2);
    // Points at polar and azimuthal angles.
    let error = |angles: Vec<f64>| -> f64 {
        let n = angles.len() / 2;
        let constant = (KAPPA / (4.0 * PI * KAPPA.sinh())).ln();
        let truth = angles.chunks(2).map(|a| constant + KAPPA * a[0].cos());
        mean_error(&model, sphere(tensor(angles.clone(), [n, 2])), truth)
    };
    let back = 2.0f64;
    let drawn = von_mises_fisher(n, 1);
    let drawn = error(drawn.chunks(2).filter(|a| a[0] < back).flatten().copied().collect());
    // Uniform in area, where most points are in places with few data.
    let even = uniform(n, 0.0..1.0, 2);
    let even = even.chunks(2).flat_map(|u| [(1.0 - u[0] * (1.0 - back.cos())).acos(), TAU * u[1]]);
    let even = error(even.collect());
    println!("sphere: {drawn:.3} nats over draws, {even:.3} over the area");
    // Over draws it would be 0.53 without the volume, and 0.81 without the scale of the latents.
    assert!(drawn < 0.12 && even < 0.32, "{drawn}, {even}");
}

/// A rolled sheet `(t cos t, h, t sin t) / 3`, whose turns t and heights h are normal: a surface that is bent more on the inside, and whose area grows with t.
#[test]
fn a_trained_two_step_model_has_the_density_on_a_roll() {
    const SCALE: f64 = 3.0;
    let (turn, spread) = (4.5, 0.7);
    let drawn = |seed: u64| -> Vec<[f64; 2]> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Box and Muller's two normal numbers of two uniform ones.
        let mut draw = || {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            let angle = TAU * rng.random::<f64>();
            [turn + spread * radius * angle.cos(), radius * angle.sin()]
        };
        (0..4000).map(|_| draw()).collect()
    };
    let rolled = |places: &[[f64; 2]]| {
        let points =
            places.iter().flat_map(|&[t, h]| [t * t.cos(), h, t * t.sin()].map(|v| v / SCALE));
        tensor::<Flex, 2>(points.collect(), [places.len(), 3])
    };
    let model = two_steps(rolled(&drawn(0)), 2);
    // Of the turn, of the height, and of the area that a unit of both has.
    let log_density = |&[t, h]: &[f64; 2]| {
        let u = (t - turn) / spread;
        -0.5 * (u * u + h * h) - (TAU * spread).ln() - (0.5 * (1.0 + t * t).ln() - 2.0 * SCALE.ln())
    };
    let places = drawn(1);
    let error = mean_error(&model, rolled(&places), places.iter().map(log_density));
    println!("roll:   {error:.3} nats over draws");
    assert!(error < 0.12, "{error}");
}
