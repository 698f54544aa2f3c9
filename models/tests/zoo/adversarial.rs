//! Tests of the autoencoders that play against a critic or match distributions: values and gradients of PyTorch, made by
//! `scripts/reference/adversarial_goldens.py`; closed forms; and toys that are learnt.

use super::{
    golden::Golden,
    network::{gradients_are_close, loaded},
};
use atypical_forward::{Forward, jvp, on_forward};
use atypical_models::{
    DensityModel, FlowBackend, LatentModel, Learn, Learned, Objective,
    autoencoder::*,
    network::{Activation, Decoder, Encoder, Linear, Mlp, NetworkConfig},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{AutodiffModule, ModuleVisitor, Param, ParamId, list_param_ids},
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{
        DType, Distribution, Tensor, TensorData,
        backend::{AutodiffBackend, Backend},
    },
};
use std::collections::HashSet;

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The layers of a network, weights and biases by their names in the golden file.
fn layers<B: Backend>(net: &Mlp<B>, name: &str) -> Vec<(String, Linear<B>)> {
    let key = |l| format!("{name}.{l}");
    net.layers.iter().enumerate().map(|(l, layer)| (key(l), layer.clone())).collect()
}

fn load<B: FlowBackend>(golden: &Golden, net: &mut Mlp<B>, name: &str) {
    for (l, layer) in net.layers.iter_mut().enumerate() {
        let (weight, bias) = (format!("{name}.{l}.weight"), format!("{name}.{l}.bias"));
        layer.weight = Param::from_tensor(golden.tensor(&weight, layer.weight.dims()));
        layer.bias = Param::from_tensor(golden.tensor(&bias, layer.bias.dims()));
    }
}

fn encoder<B: Backend>(net: &mut Encoder<B>) -> &mut Mlp<B> {
    let Encoder::Mlp(net) = net else { panic!("a convolution") };
    net
}

fn decoder<B: Backend>(net: &mut Decoder<B>) -> &mut Mlp<B> {
    let Decoder::Mlp(net) = net else { panic!("a convolution") };
    net
}

/// The gradients of a network's weights are those of the file, `<prefix>grad.<name>.<layer>.<weight or bias>`.
fn same_gradients<B: AutodiffBackend>(
    golden: &Golden,
    gradients: &B::Gradients,
    net: &Mlp<B>,
    [prefix, name]: [&str; 2],
    tolerance: f64,
) where
    B::InnerBackend: FlowBackend,
{
    for (key, layer) in layers(net, name) {
        let weight = layer.weight.val().grad(gradients).unwrap();
        golden.close(weight, &format!("{prefix}grad.{key}.weight"), tolerance);
        let zeros = layer.bias.val().inner().zeros_like();
        let bias = layer.bias.val().grad(gradients).unwrap_or(zeros);
        golden.close(bias, &format!("{prefix}grad.{key}.bias"), tolerance);
    }
}

fn mmd_is_that_of_pytorch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    let golden = Golden::open("mmd");
    let c = golden.metadata()["c"].as_f64().unwrap();
    let p = golden.batch::<B>("p").require_grad();
    let value = mmd(p.clone(), golden.batch("q"), c);
    golden.close(value.clone(), "value", tolerance);
    golden.close(p.grad(&value.backward()).unwrap(), "grad.p", tolerance);
}

fn avb_is_that_of_pytorch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    let golden = Golden::open("avb");
    let mut avb =
        Avb::<B>::new(&serde_json::from_value(golden.metadata()).unwrap(), 0, &Default::default())
            .unwrap();
    let ImplicitEncoder::Mlp(net) = &mut avb.encoder else { panic!("a convolution") };
    load(&golden, net, "encoder");
    let encoder = net.clone();
    load(&golden, decoder(&mut avb.decoder), "decoder");
    load(&golden, &mut avb.critic.net, "critic");
    avb.log_sigma = Param::from_tensor(golden.tensor("log_sigma", [1]));

    let [x, noise, prior] = ["x", "noise", "prior"].map(|key| golden.batch::<B>(key));
    let loss = avb.critic_loss(x.clone(), noise.clone(), prior);
    golden.close(loss.clone(), "critic_loss", tolerance);
    let gradients = loss.backward();
    same_gradients(&golden, &gradients, &avb.critic.net, ["", "critic"], tolerance);
    assert!(encoder.layers[0].weight.val().grad(&gradients).is_none(), "the encoder waits");

    let estimate = avb.estimate(x, noise);
    golden.close(estimate.clone(), "estimate", tolerance);
    let gradients = estimate.mean().neg().backward();
    same_gradients(&golden, &gradients, &encoder, ["", "encoder"], tolerance);
    same_gradients(&golden, &gradients, decoder(&mut avb.decoder), ["", "decoder"], tolerance);
    golden.close(avb.log_sigma.val().grad(&gradients).unwrap(), "grad.log_sigma", tolerance);
}

/// Convolutions whose features meet the noise in a hidden layer.
fn implicit_convolutions_are_those_of_pytorch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    let golden = Golden::open("network_implicit");
    let config = serde_json::from_value(golden.metadata()).unwrap();
    let avb = Avb::<B>::new(&config, 0, &Default::default()).unwrap();
    let encoder = loaded(avb.encoder, &golden, "encoder");
    assert!(matches!(encoder, ImplicitEncoder::Conv(_)));
    let [x, noise] = ["x", "noise"].map(|key| golden.batch::<B>(key).require_grad());
    let z = encoder.forward(x.clone(), noise.clone());
    golden.close(z.clone(), "z", tolerance);
    let gradients = (z * golden.batch("cotangent")).sum().backward();
    golden.close(x.grad(&gradients).unwrap(), "x.grad", tolerance);
    golden.close(noise.grad(&gradients).unwrap(), "noise.grad", tolerance);
    let compared = gradients_are_close(&encoder, &gradients, &golden, "encoder", tolerance);
    assert_eq!(compared, 10);
}

fn wae_is_that_of_pytorch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    let golden = Golden::open("wae");
    let adversarial: WaeConfig = serde_json::from_value(golden.metadata()).unwrap();
    for (penalty, kind) in
        [(Penalty::Mmd {}, "mmd."), (adversarial.penalty.clone(), "adversarial.")]
    {
        let config = WaeConfig { penalty, ..adversarial.clone() };
        let mut wae = Wae::<B>::new(&config, 0, &Default::default()).unwrap();
        load(&golden, encoder(&mut wae.encoder), "encoder");
        load(&golden, decoder(&mut wae.decoder), "decoder");
        if let Some(critic) = &mut wae.critic {
            load(&golden, &mut critic.net, "critic");
        }
        let loss = wae.loss(golden.batch("x"), golden.batch("prior"));
        golden.close(loss.clone(), &format!("{kind}loss"), tolerance);
        let gradients = loss.backward();
        same_gradients(
            &golden,
            &gradients,
            encoder(&mut wae.encoder),
            [kind, "encoder"],
            tolerance,
        );
        same_gradients(
            &golden,
            &gradients,
            decoder(&mut wae.decoder),
            [kind, "decoder"],
            tolerance,
        );
    }
}

/// PyTorch differentiates the penalty twice in reverse mode.
fn bigan_is_that_of_pytorch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    for activation in ["relu", "silu", "tanh"] {
        let golden = Golden::open(&format!("bigan_{activation}"));
        let mut bigan = BiGan::<B>::new(
            &serde_json::from_value(golden.metadata()).unwrap(),
            0,
            &Default::default(),
        )
        .unwrap();
        load(&golden, encoder(&mut bigan.encoder), "encoder");
        load(&golden, decoder(&mut bigan.generator), "generator");
        load(&golden, &mut bigan.critic.net, "critic");
        let net = bigan.critic.net.clone();

        let penalty = gradient_penalty(&bigan.critic, golden.batch("between"));
        golden.close(penalty.clone(), "penalty", tolerance);
        let gradients = penalty.backward();
        same_gradients(&golden, &gradients, &net, ["penalty.", "critic"], tolerance);

        let [x, prior] = ["x", "prior"].map(|key| golden.batch::<B>(key));
        let loss = bigan.critic_loss(x.clone(), prior.clone(), golden.batch("share"));
        golden.close(loss.clone(), "critic_loss", tolerance);
        same_gradients(&golden, &loss.backward(), &net, ["", "critic"], tolerance);

        let loss = bigan.loss(x, prior);
        golden.close(loss.clone(), "loss", tolerance);
        let gradients = loss.backward();
        same_gradients(
            &golden,
            &gradients,
            encoder(&mut bigan.encoder),
            ["", "encoder"],
            tolerance,
        );
        let generator = decoder(&mut bigan.generator);
        same_gradients(&golden, &gradients, generator, ["", "generator"], tolerance);
    }
}

macro_rules! goldens {
    ($($backend:ident: $type:ty, $tolerance:expr;)*) => {$(
        mod $backend {
            type B = burn::backend::Autodiff<$type>;

            #[test]
            fn mmd_is_that_of_pytorch() {
                super::mmd_is_that_of_pytorch::<B>($tolerance);
            }

            #[test]
            fn implicit_convolutions_are_those_of_pytorch() {
                super::implicit_convolutions_are_those_of_pytorch::<B>($tolerance);
            }

            #[test]
            fn avb_is_that_of_pytorch() {
                super::avb_is_that_of_pytorch::<B>($tolerance);
            }

            #[test]
            fn wae_is_that_of_pytorch() {
                super::wae_is_that_of_pytorch::<B>($tolerance);
            }

            #[test]
            fn bigan_is_that_of_pytorch() {
                super::bigan_is_that_of_pytorch::<B>($tolerance);
            }
        }
    )*};
}

goldens!(
    flex: burn::backend::Flex, 2e-6;
    ndarray: burn::backend::NdArray<f32>, 2e-6;
    // burn's sigmoid computes in f32.
    ndarray_f64: burn::backend::NdArray<f64>, 1e-6;
);

#[test]
fn mmd_of_two_points_each_is_the_closed_form() {
    let p = Tensor::<Flex, 2>::from_floats([[0.0], [1.0]], &Default::default());
    let q = Tensor::<Flex, 2>::from_floats([[2.0], [4.0]], &Default::default());
    // Squared distances 1; 4; and 4, 16, 1, 9.
    let k = |square: f64| 3.0 / (3.0 + square);
    let expected = k(1.0) + k(4.0) - 0.5 * (k(4.0) + k(16.0) + k(1.0) + k(9.0));
    let got = values(mmd(p, q, 3.0))[0];
    assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
}

/// The device's default type is that of the first backend that a process uses, so f64 is asked for.
fn in_f64(values: Vec<f64>, dims: [usize; 2]) -> Tensor<NdArray<f64>, 2> {
    Tensor::from_data(TensorData::new(values, dims), (&Default::default(), DType::F64))
}

/// What the weights of a layer move along.
fn weight_direction(layer: usize, [n, m]: [usize; 2]) -> Tensor<NdArray<f64>, 2> {
    let along = |i| ((i + 3 * layer) as f64 * 1.7).sin();
    in_f64((0..n * m).map(along).collect(), [n, m])
}

/// A critic whose weights, in f64, have moved a step.
fn moved(critic: &Critic<Autodiff<NdArray<f64>>>, step: f64) -> Critic<Autodiff<NdArray<f64>>> {
    let mut moved = critic.clone();
    for (l, layer) in moved.net.layers.iter_mut().enumerate() {
        let dims = layer.weight.dims();
        let weight = in_f64(values(layer.weight.val()), dims) + weight_direction(l, dims) * step;
        layer.weight = Param::from_tensor(Tensor::from_inner(weight));
        let bias = layer.bias.val().inner().cast(DType::F64);
        layer.bias = Param::from_tensor(Tensor::from_inner(bias));
    }
    moved
}

#[test]
fn the_gradient_of_the_penalty_is_that_of_finite_differences() {
    type B = Autodiff<NdArray<f64>>;
    for activation in [Activation::Relu, Activation::Tanh] {
        let config = BiGanConfig {
            shape: [4, 1, 1],
            latent: 3,
            critic_hidden: vec![11, 9],
            critic_activation: activation,
            ..Default::default()
        };
        let critic = BiGan::<B>::new(&config, 5, &Default::default()).unwrap().critic;
        let critic = moved(&critic, 0.0);
        let u = in_f64(values(normal::<Flex>([6, 7], 3)), [6, 7]);
        let gradients = gradient_penalty(&critic, u.clone()).backward();
        let along = |(l, layer): (usize, &Linear<B>)| {
            let gradient = layer.weight.val().grad(&gradients).unwrap();
            values((gradient * weight_direction(l, layer.weight.dims())).sum())[0]
        };
        let got: f64 = critic.net.layers.iter().enumerate().map(along).sum();
        let h = 1e-4;
        let at = |step| values(gradient_penalty(&moved(&critic, step), u.clone()))[0];
        let expected = (at(h) - at(-h)) / (2.0 * h);
        assert!((got - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{got}, not {expected}");
    }
}

#[test]
fn a_critic_without_slope_or_with_a_steep_one_has_a_finite_penalty() {
    type B = Autodiff<Flex>;
    let config =
        BiGanConfig { shape: [2, 1, 1], latent: 1, critic_hidden: vec![4], ..Default::default() };
    let u =
        || Tensor::<Flex, 2>::from_floats([[0.1, 0.2, 0.3], [1e4, -1e4, 0.0]], &Default::default());
    for (factor, expected) in [(0.0, Some(1.0)), (1e12, None)] {
        let mut critic = BiGan::<B>::new(&config, 0, &Default::default()).unwrap().critic;
        let last = &mut critic.net.layers[1];
        last.weight = Param::from_tensor(Tensor::from_inner(last.weight.val().inner() * factor));
        let penalty = gradient_penalty(&critic, u());
        let value = values(penalty.clone())[0];
        assert!(value.is_finite() && expected.is_none_or(|e| value == e), "{value}");
        let gradients = penalty.backward();
        for (key, layer) in layers(&critic.net, "critic") {
            let gradient = values(layer.weight.val().grad(&gradients).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{key}: {gradient:?}");
            assert!(factor != 0.0 || gradient.iter().all(|g| *g == 0.0), "{key}: {gradient:?}");
        }
    }
}

const A: f64 = 1.3;
const OFFSET: f64 = 0.4;
const S: f64 = 0.6;

fn matrix<B: Backend, const R: usize, const C: usize>(rows: [[f64; C]; R]) -> Param<Tensor<B, 2>> {
    Param::from_tensor(Tensor::from_data(rows, &Default::default()))
}

fn vector<B: Backend, const N: usize>(entries: [f64; N]) -> Param<Tensor<B, 1>> {
    Param::from_tensor(Tensor::from_data(entries, &Default::default()))
}

/// `z ~ N(0, 1)`, `x ~ N(A z + OFFSET, S²)`, with its own posterior as the encoder and the optimal critic, `log q(z|x) / p(z)`: two squares, which SiLUs
/// make as `u² = (silu(h u) + silu(-h u)) 2/h² + O(h²)`.
fn linear_gaussian<B: FlowBackend>() -> Avb<B> {
    let config = AvbConfig {
        shape: [1, 1, 1],
        latent: 1,
        network: NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu },
        noise_dimension: 1,
        critic_hidden: vec![4],
        critic_activation: Activation::Silu,
        ..Default::default()
    };
    let mut avb = Avb::<B>::new(&config, 0, &Default::default()).unwrap();
    let variance = 1.0 / (1.0 + A * A / (S * S));
    let slope = variance * A / (S * S);
    let ImplicitEncoder::Mlp(net) = &mut avb.encoder else { panic!("a convolution") };
    net.layers[0].weight = matrix([[slope, variance.sqrt() / config.input_sigma]]);
    net.layers[0].bias = vector([-slope * OFFSET]);
    let net = decoder(&mut avb.decoder);
    net.layers[0].weight = matrix([[A]]);
    net.layers[0].bias = vector([OFFSET]);
    avb.log_sigma = vector([S.ln()]);
    let h = 0.01;
    let shift = slope * OFFSET * h;
    let critic = &mut avb.critic.net.layers;
    critic[0].weight = matrix([[-slope * h, h], [slope * h, -h], [0.0, h], [0.0, -h]]);
    critic[0].bias = vector([shift, -shift, 0.0, 0.0]);
    let [posterior, prior] = [-1.0 / (variance * h * h), 1.0 / (h * h)];
    critic[1].weight = matrix([[posterior, posterior, prior, prior]]);
    critic[1].bias = vector([-0.5 * variance.ln()]);
    avb
}

fn the_evidence_with_an_optimal_critic<B: FlowBackend>() {
    let avb = linear_gaussian::<B>();
    let x = Tensor::<B, 2>::from_floats([[-2.0], [0.0], [0.4], [1.7], [3.1]], &Default::default());
    let variance = A * A + S * S;
    for (x, got) in values(x.clone()).into_iter().zip(values(avb.log_prob(x.clone()))) {
        let square = (x - OFFSET).powi(2) / variance;
        let expected = -0.5 * (square + (std::f64::consts::TAU * variance).ln());
        assert!((got - expected).abs() < 2e-3, "log p({x}) is {got}, not {expected}");
    }
    // Each draw has it by itself; and the encoder's mean is the posterior's, up to that of the draws.
    let noise =
        Tensor::<B, 2>::from_floats([[-3.0], [0.0], [1.0], [3.0], [5.0]], &Default::default());
    let at = x.clone().narrow(0, 3, 1).expand([5, 1]);
    let each = values(avb.estimate(at, noise));
    assert!(each.iter().all(|e| (e - each[0]).abs() < 4e-3), "{each:?}");
    let posterior = A / (A * A + S * S) * (1.7 - OFFSET);
    assert!((values(avb.encode(x))[3] - posterior).abs() < 0.3);
}

#[test]
fn with_an_optimal_critic_avb_estimates_the_evidence() {
    the_evidence_with_an_optimal_critic::<Flex>();
    the_evidence_with_an_optimal_critic::<NdArray<f32>>();
}

#[test]
fn samples_of_avb_have_the_decoders_spread() {
    let avb = linear_gaussian::<Flex>();
    Flex::seed(&Default::default(), 0);
    let x = values(avb.sample(20_000, &Default::default()));
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    assert!((mean - OFFSET).abs() < 0.05, "{mean}");
    assert!((variance - (A * A + S * S)).abs() < 0.1, "{variance}");
}

fn small_network() -> NetworkConfig {
    NetworkConfig::Mlp { hidden: vec![32], activation: Activation::Silu }
}

fn small_convolution() -> NetworkConfig {
    NetworkConfig::Conv {
        channels: vec![4, 3],
        strides: vec![1, 2],
        kernel: 3,
        activation: Activation::Silu,
    }
}

/// Of images and of vectors.
fn avbs() -> [AvbConfig; 2] {
    let vector = AvbConfig {
        shape: [5, 1, 1],
        latent: 2,
        network: small_network(),
        noise_dimension: 3,
        features: 6,
        critic_hidden: vec![8],
        critic_activation: Activation::Silu,
        samples: 3,
        ..Default::default()
    };
    let image = AvbConfig { shape: [2, 6, 4], network: small_convolution(), ..vector.clone() };
    [vector, image]
}

fn normal<B: Backend>(dims: [usize; 2], seed: u64) -> Tensor<B, 2> {
    atypical_models::Init::new(seed).normal(dims, &Default::default())
}

fn scores<B: FlowBackend>() {
    for config in avbs() {
        let avb = Avb::<B>::new(&config, 1, &Default::default()).unwrap();
        let x = normal::<B>([4, avb.dimension()], 2);
        let together = values(avb.log_prob(x.clone()));
        let alone = values(avb.log_prob(x.clone().narrow(0, 2, 1)))[0];
        assert!((together[2] - alone).abs() < 1e-4 * alone.abs(), "{} and {alone}", together[2]);
        assert_eq!(together, values(avb.log_prob(x.clone())), "the same twice");
        assert_eq!(
            values(avb.objective(x.clone())),
            together.iter().map(|l| -l).collect::<Vec<_>>()
        );
        assert_eq!(values(avb.encode(x.clone())), values(avb.encode(x)));
        // Different inputs have different scores: the encoder's noise is not all there is.
        assert!(together.iter().collect::<Vec<_>>().windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn scores_are_deterministic_and_do_not_depend_on_the_batch() {
    scores::<Flex>();
    scores::<NdArray<f32>>();
}

/// `J v` by forward mode and `uᵀ J` by reverse mode agree in `uᵀ J v`.
fn forward_agrees_with_reverse<F, R>(forward: F, reverse: R, x: Tensor<Flex, 2>)
where
    F: FnOnce(Tensor<Forward<Flex>, 2>) -> Tensor<Forward<Flex>, 2>,
    R: FnOnce(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>,
{
    let along = normal::<Flex>(x.dims(), 8);
    let (value, products): (_, Tensor<Flex, 3>) =
        jvp(forward, x.clone(), along.clone().unsqueeze_dim::<3>(0)).unwrap();
    let weights = normal::<Flex>(value.dims(), 9);
    let by_forward = values((products.squeeze_dim::<2>(0) * weights.clone()).sum())[0];
    let x = Tensor::from_inner(x).require_grad();
    let gradients = (reverse(x.clone()) * Tensor::from_inner(weights)).sum().backward();
    let by_reverse = values((x.grad(&gradients).unwrap() * along).sum())[0];
    assert!((by_forward - by_reverse).abs() < 1e-4 * (1.0 + by_reverse.abs()));
}

#[test]
fn models_differentiate_forwards() {
    let device = Default::default();
    for config in avbs() {
        let avb = Avb::<Autodiff<Flex>>::new(&config, 1, &device).unwrap();
        let twin: Avb<Forward<Flex>> = on_forward(avb.valid());
        let z = normal([3, 2], 4);
        forward_agrees_with_reverse(|z| twin.decode(z), |z| avb.decode(z), z);
        let x = normal([3, avb.dimension()], 5);
        let column = |log_prob| Tensor::unsqueeze_dim::<2>(log_prob, 1);
        let reverse = |x| Tensor::unsqueeze_dim::<2>(avb.log_prob(x), 1);
        forward_agrees_with_reverse(|x| column(twin.log_prob(x)), reverse, x);
    }
    let config = WaeConfig { network: small_convolution(), ..wae(Penalty::Mmd {}, [1, 4, 4]) };
    let wae = Wae::<Autodiff<Flex>>::new(&config, 1, &device).unwrap();
    let twin: Wae<Forward<Flex>> = on_forward(wae.valid());
    forward_agrees_with_reverse(|z| twin.decode(z), |z| wae.decode(z), normal([3, 2], 4));
    forward_agrees_with_reverse(|x| twin.encode(x), |x| wae.encode(x), normal([3, 16], 4));
    let bigan = BiGan::<Autodiff<Flex>>::new(&bigan(2), 1, &device).unwrap();
    let twin: BiGan<Forward<Flex>> = on_forward(bigan.valid());
    forward_agrees_with_reverse(|z| twin.decode(z), |z| bigan.decode(z), normal([3, 2], 4));
}

/// All gradients of one turn after the other are finite.
struct Finite<'a, B: AutodiffBackend> {
    gradients: &'a B::Gradients,
    seen: usize,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Finite<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.seen += 1;
            assert!(values(gradient).iter().all(|g| g.is_finite()));
        }
    }
}

fn finite_at<B: AutodiffBackend, M: Learn<B>>(mut model: M, x: Tensor<B, 2>) {
    for turn in 0..model.turns().len() {
        let Learned::Loss(loss) = model.learn(turn, x.clone()) else { panic!("a rule of its own") };
        assert!(values(loss.clone())[0].is_finite());
        let gradients = loss.backward();
        let mut finite = Finite::<B> { gradients: &gradients, seen: 0 };
        model.visit(&mut finite);
        assert!(finite.seen > 0);
    }
}

fn wae(penalty: Penalty, shape: [usize; 3]) -> WaeConfig {
    WaeConfig { shape, latent: 2, network: small_network(), penalty, ..Default::default() }
}

fn adversarial() -> Penalty {
    Penalty::Adversarial { hidden: vec![32, 32], activation: Activation::Silu, rate: 4.0 }
}

fn bigan(latent: usize) -> BiGanConfig {
    BiGanConfig {
        shape: [2, 1, 1],
        latent,
        network: small_network(),
        critic_hidden: vec![32, 32],
        critic_activation: Activation::Silu,
        ..Default::default()
    }
}

#[test]
fn gradients_are_finite_at_extreme_inputs() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    for size in [0.0f32, 1e-30, 1e3, 1e6] {
        let x = |dimension| Tensor::<B, 2>::from_inner(normal([3, dimension], 6) * size);
        for config in avbs() {
            let avb = Avb::<B>::new(&config, 1, &device).unwrap();
            let dimension = avb.dimension();
            finite_at(avb, x(dimension));
        }
        for penalty in [Penalty::Mmd {}, adversarial()] {
            let wae = Wae::<B>::new(&wae(penalty, [5, 1, 1]), 1, &device).unwrap();
            finite_at(wae.clone(), x(5));
            // One input has no pairs.
            finite_at(wae, x(5).narrow(0, 0, 1));
        }
        finite_at(BiGan::<B>::new(&bigan(2), 1, &device).unwrap(), x(2));
    }
}

/// Every parameter moves in a turn, and none in two kinds of turn.
fn turns_divide<B: AutodiffBackend, M: Learn<B>>(model: &M, expected: usize) {
    let turns = model.turns();
    assert_eq!(turns.len(), expected);
    let of = |turn: usize| -> HashSet<ParamId> {
        turns[turn].players.clone().unwrap().into_iter().collect()
    };
    let (critic, rest) = (of(0), of(expected - 1));
    assert!(critic.is_disjoint(&rest) && !critic.is_empty());
    let all: HashSet<ParamId> = list_param_ids::<M, B>(model).into_iter().collect();
    assert_eq!(&critic | &rest, all);
}

#[test]
fn every_parameter_has_its_turn() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    turns_divide(&Avb::<B>::new(&avbs()[1], 1, &device).unwrap(), 2);
    turns_divide(&Wae::<B>::new(&wae(adversarial(), [2, 1, 1]), 1, &device).unwrap(), 2);
    turns_divide(&BiGan::<B>::new(&bigan(2), 1, &device).unwrap(), 3);
    let mmd = Wae::<B>::new(&wae(Penalty::Mmd {}, [2, 1, 1]), 1, &device).unwrap();
    assert_eq!(mmd.turns(), [Default::default()]);
}

/// Steps of Adam on fresh batches of 256, at a rate that falls to zero, or the players would circle about the solution.
fn train<B: AutodiffBackend, M: Learn<B>>(
    mut model: M,
    data: impl Fn(usize) -> Tensor<B::InnerBackend, 2>,
    steps: usize,
    rate: f64,
) -> M {
    B::seed(&Default::default(), 1);
    // Gulrajani et al.'s, where critics play.
    let mut optimizer = AdamConfig::new().with_beta_1(0.5).with_beta_2(0.9).init::<B, M>();
    for step in 0..steps {
        let x = Tensor::<B, 2>::from_inner(data(256));
        let rate = rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        for (number, turn) in model.turns().into_iter().enumerate() {
            let Learned::Loss(loss) = model.learn(number, x.clone()) else { panic!() };
            let mut gradients = loss.backward();
            let gradients = match turn.players {
                Some(players) => GradientsParams::from_params(&mut gradients, &model, &players),
                None => GradientsParams::from_grads(gradients, &model),
            };
            model = optimizer.step(rate * turn.rate, model, gradients);
        }
    }
    model
}

/// Mean and covariance of rows.
fn moments(rows: Tensor<Flex, 2>) -> (Vec<f64>, Vec<f64>) {
    let n = rows.dims()[0] as f64;
    let mean = rows.clone().mean_dim(0);
    let centred = rows - mean.clone();
    (values(mean), values(centred.clone().transpose().matmul(centred) / n))
}

fn assert_near(got: &[f64], expected: &[f64], allowed: f64) {
    let near = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < allowed);
    assert!(got.len() == expected.len() && near, "{got:?}, not {expected:?}");
}

fn random(dims: [usize; 2], distribution: Distribution) -> Tensor<Flex, 2> {
    Tensor::random(dims, distribution, &Default::default())
}

const STANDARD: Distribution = Distribution::Normal(0.0, 1.0);

/// `x = t (2, -1) + e / 2`: covariance `(2, -1)ᵀ(2, -1) + 1/4`.
fn line(n: usize) -> Tensor<Flex, 2> {
    let direction = Tensor::<Flex, 2>::from_floats([[2.0, -1.0]], &Default::default());
    random([n, 1], STANDARD).matmul(direction) + random([n, 2], STANDARD) * 0.5
}

#[test]
fn avb_learns_a_density() {
    let config = AvbConfig {
        shape: [2, 1, 1],
        latent: 1,
        network: small_network(),
        noise_dimension: 2,
        input_sigma: 1.0,
        critic_hidden: vec![32, 32],
        critic_activation: Activation::Silu,
        critic_rate: 4.0,
        ..Default::default()
    };
    let avb = Avb::<Autodiff<Flex>>::new(&config, 0, &Default::default()).unwrap();
    let avb = train(avb, line, 600, 2e-3).valid();
    let estimate = values(avb.log_prob(line(4000)).mean())[0];
    // The covariance has the eigenvalues 5.25 and 0.25. Without what the critic has learnt, the estimate would be an autoencoder's,
    // about -0.8, and higher than the mean of any log-density can be.
    let entropy = (std::f64::consts::TAU * std::f64::consts::E).ln() + 0.5 * (5.25f64 * 0.25).ln();
    assert!((estimate + entropy).abs() < 0.3, "{estimate}, not {}", -entropy);
    let (mean, covariance) = moments(avb.sample(4000, &Default::default()));
    assert_near(&mean, &[0.0; 2], 0.4);
    assert_near(&covariance, &[4.25, -2.0, -2.0, 1.25], 0.9);
}

/// `x = u A + (1/2, -1/2)`.
fn affine(u: Tensor<Flex, 2>) -> Tensor<Flex, 2> {
    let matrix = Tensor::<Flex, 2>::from_floats([[1.0, 0.6], [0.0, 0.8]], &Default::default());
    u.matmul(matrix) + Tensor::<Flex, 2>::from_floats([[0.5, -0.5]], &Default::default())
}

/// Gaussian data, which an affine encoder makes the prior.
fn wae_learns(config: &WaeConfig, rate: f64, allowed: f64) {
    let data = |n| affine(random([n, 2], STANDARD));
    let wae = Wae::<Autodiff<Flex>>::new(config, 0, &Default::default()).unwrap();
    let wae = train(wae, data, 500, rate).valid();
    let x = data(4000);
    let error = values(wae.objective(x.clone()).mean())[0];
    assert!(error < 0.05, "squared error {error}; the data's variance is 2");
    let (mean, covariance) = moments(wae.encode(x));
    assert_near(&mean, &[0.0; 2], allowed);
    assert_near(&covariance, &[1.0, 0.0, 0.0, 1.0], allowed);
    let (mean, covariance) = moments(wae.sample(4000, &Default::default()));
    assert_near(&mean, &[0.5, -0.5], allowed);
    assert_near(&covariance, &[1.0, 0.6, 0.6, 1.0], allowed);
}

#[test]
fn wae_learns_with_mmd() {
    wae_learns(&wae(Penalty::Mmd {}, [2, 1, 1]), 5e-3, 0.15);
}

#[test]
fn wae_learns_against_a_critic() {
    wae_learns(&WaeConfig { lambda: 1.0, ..wae(adversarial(), [2, 1, 1]) }, 2e-3, 0.35);
}

/// Uniform data on a parallelogram, which an affine generator makes of the prior.
#[test]
fn bigan_learns_to_invert_its_generator() {
    let data = |n| affine(random([n, 2], Distribution::Uniform(-1.0, 1.0)));
    let bigan = BiGan::<Autodiff<Flex>>::new(&bigan(2), 0, &Default::default()).unwrap();
    let bigan = train(bigan, data, 500, 7e-3).valid();
    let error = values(bigan.objective(data(4000)).mean())[0];
    let (mean, covariance) = moments(bigan.sample(4000, &Default::default()));
    assert!(error < 0.1, "squared error {error}; the data's variance is 0.67");
    assert_near(&mean, &[0.5, -0.5], 0.4);
    assert_near(&covariance, &[0.333, 0.2, 0.2, 0.333], 0.25);
}

#[test]
fn the_defaults_are_sound_and_what_is_not_is_named() {
    let device = Default::default();
    assert_eq!(AvbConfig::default().check(), Ok(()));
    assert_eq!(WaeConfig::default().check(), Ok(()));
    assert_eq!(BiGanConfig::default().check(), Ok(()));
    let avb = |change: fn(&mut AvbConfig)| {
        let mut config = AvbConfig::default();
        change(&mut config);
        Avb::<Flex>::new(&config, 0, &device).map(drop).expect_err("refused").to_string()
    };
    assert_eq!(avb(|c| c.latent = 0), "latent is 0, but it must be at least 1");
    assert_eq!(avb(|c| c.samples = 0), "samples is 0, but it must be at least 1");
    assert_eq!(
        avb(|c| c.shape = [1, 0, 1]),
        "shape is [1, 0, 1], but every side must be at least 1"
    );
    let sigma = avb(|c| c.input_sigma = f64::NAN);
    assert_eq!(sigma, "input_sigma is NaN, but it must be finite and more than 0");
    let wae = |change: fn(&mut WaeConfig)| {
        let mut config = WaeConfig::default();
        change(&mut config);
        Wae::<Flex>::new(&config, 0, &device).map(drop).expect_err("refused").to_string()
    };
    assert_eq!(wae(|c| c.sigma = 0.0), "sigma is 0, but it must be finite and more than 0");
    assert_eq!(wae(|c| c.lambda = -1.0), "lambda is -1, but it must be finite and at least 0");
    let penalty = wae(|c| {
        c.penalty =
            Penalty::Adversarial { hidden: vec![3, 0], activation: Activation::Relu, rate: 1.0 };
    });
    assert_eq!(penalty, "penalty.hidden is [3, 0], but every layer needs at least 1 unit");
    let network =
        wae(|c| c.network = NetworkConfig::Mlp { hidden: vec![0], activation: Activation::Relu });
    assert!(network.starts_with("network cannot be built: layer 0"), "{network}");
    let bigan = BiGanConfig { critic_turns: 0, ..Default::default() }.check().unwrap_err();
    assert_eq!(bigan, ("critic_turns", "is 0, but it must be at least 1".to_owned()));
    let kind: Penalty = serde_json::from_str(r#"{"kind": "adversarial"}"#).unwrap();
    assert_eq!(kind, WaeConfig::default().penalty);
    let kind: Penalty = serde_json::from_str(r#"{"kind": "mmd"}"#).unwrap();
    assert_eq!(kind, Penalty::Mmd {});
}

#[test]
fn samples_are_what_the_decoder_makes_of_the_prior() {
    let device = Default::default();
    // A decoder that is the identity shows the prior itself.
    let identity = |net: &mut Mlp<Flex>| {
        net.layers[0].weight = matrix([[1.0, 0.0], [0.0, 1.0]]);
        net.layers[0].bias = vector([0.0; 2]);
    };
    let network = NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu };
    let config =
        WaeConfig { network: network.clone(), sigma: 1.5, ..wae(Penalty::Mmd {}, [2, 1, 1]) };
    let mut wae = Wae::<Flex>::new(&config, 0, &device).unwrap();
    identity(decoder(&mut wae.decoder));
    Flex::seed(&device, 0);
    let (mean, covariance) = moments(wae.sample(20_000, &device));
    assert_near(&mean, &[0.0; 2], 0.06);
    assert_near(&covariance, &[2.25, 0.0, 0.0, 2.25], 0.1);
    let config = BiGanConfig { network, ..bigan(2) };
    let mut bigan = BiGan::<Flex>::new(&config, 0, &device).unwrap();
    identity(decoder(&mut bigan.generator));
    let x = bigan.sample(20_000, &device);
    assert!(values(x.clone()).iter().all(|v| (-1.0..=1.0).contains(v)));
    let (mean, covariance) = moments(x);
    assert_near(&mean, &[0.0; 2], 0.03);
    assert_near(&covariance, &[1.0 / 3.0, 0.0, 0.0, 1.0 / 3.0], 0.02);
}
