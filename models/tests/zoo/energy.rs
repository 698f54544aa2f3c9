//! Tests of `atypical_models::energy`.

use crate::golden::Golden;
use atypical_forward::{Forward, jacobian, on_forward};
use atypical_models::{
    DensityModel, FlowBackend, Init, Learn, Learned, Objective,
    energy::{Domain, Energy, EnergyConfig, EnergyError, Langevin, SpectralNorm},
    network::{Activation, Encoder, NetworkConfig, NetworkError},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param},
    optim::{Adam, AdamConfig, GradientsParams, Optimizer, adaptor::OptimizerAdaptor},
    record::{BinBytesRecorder, FullPrecisionSettings, Recorder},
    tensor::{
        Tensor, TensorData,
        backend::{AutodiffBackend, Backend},
    },
};
use faer::Mat;

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let error = (g - e).abs() / (1.0 + e.abs());
        assert!(error <= tolerance, "[{i}] is {g}, not {e}: off by {error:.1e}");
    }
}

/// Standard normal inputs, times a factor.
fn normal<B: Backend, const D: usize>(dims: [usize; D], factor: f64, seed: u64) -> Tensor<B, D> {
    Init::new(seed).normal(dims, &Default::default()) * factor
}

fn mlp(hidden: &[usize]) -> NetworkConfig {
    NetworkConfig::Mlp { hidden: hidden.to_vec(), activation: Activation::Silu }
}

fn conv(channels: &[usize]) -> NetworkConfig {
    let (channels, strides) = (channels.to_vec(), Vec::new());
    NetworkConfig::Conv { channels, strides, kernel: 3, activation: Activation::Silu }
}

/// A small model of vectors of dimension 3 that hardly costs anything.
fn small() -> EnergyConfig {
    EnergyConfig {
        shape: [3, 1, 1],
        network: mlp(&[8, 8]),
        langevin: Langevin { steps: 3, ..Default::default() },
        buffer: 6,
        ..Default::default()
    }
}

fn model<B: Backend>(config: &EnergyConfig) -> Energy<B> {
    Energy::new(config, 3, &Default::default()).unwrap()
}

fn loss<B: AutodiffBackend, M: Learn<B>>(model: &mut M, x: Tensor<B, 2>) -> Tensor<B, 1> {
    match model.learn(0, x) {
        Learned::Loss(loss) => loss,
        Learned::Moved(_) => panic!("an energy learns by gradients"),
    }
}

// Langevin dynamics.

/// For `E = k/2 |x - μ|²` a step is `x - μ ← a (x - μ) + σ ξ` with `a = 1 - η k`: mean μ, variance `σ² / (1 - a²)`.
fn stationary<B: Backend>() {
    let device = Default::default();
    let (k, mean) = (0.5, 1.5);
    let langevin = Langevin { steps: 60, step: 0.8, noise: 0.3, clamp: 1e3 };
    let a: f64 = 1.0 - langevin.step * k;
    let variance = langevin.noise.powi(2) / (1.0 - a * a);
    B::seed(&device, 1);
    let n = 20_000;
    let x =
        langevin.run(Tensor::<B, 2>::zeros([n / 2, 2], &device), |x| (x - mean) * k, Domain::Real);
    let x = values(x);
    let m = x.iter().sum::<f64>() / n as f64;
    let v = x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n as f64;
    // Five standard errors. In continuous time the variance is smaller by a fifth.
    let error = |per_sample: f64| 5.0 * per_sample / (n as f64).sqrt();
    assert!((m - mean).abs() < error(variance.sqrt()), "mean {m}, not {mean}");
    assert!((v / variance - 1.0).abs() < error(2f64.sqrt()), "variance {v}, not {variance}");
}

#[test]
fn the_stationary_distribution_is_that_of_the_discretised_dynamics() {
    stationary::<Flex>();
    stationary::<NdArray<f32>>();
}

#[test]
fn without_noise_a_quadratic_energy_is_descended_geometrically() {
    let device = Default::default();
    let langevin = Langevin { steps: 7, step: 0.5, noise: 0.0, clamp: 1e3 };
    let x = Tensor::<Flex, 2>::from_floats([[3.0, -1.0]], &device);
    let x = values(langevin.run(x, |x| (x - 1.0) * 0.4, Domain::Real));
    let a: f64 = 0.8;
    assert_close(&x, &[1.0 + 2.0 * a.powi(7), 1.0 - 2.0 * a.powi(7)], 1e-6);
}

#[test]
fn gradients_are_clamped_before_the_step() {
    let device = Default::default();
    let langevin = Langevin { steps: 2, step: 10.0, noise: 0.0, clamp: 0.03 };
    let x = Tensor::<Flex, 2>::zeros([1, 3], &device);
    let gradient = Tensor::<Flex, 2>::from_floats([[5.0, -0.01, -7.0]], &device);
    let x = values(langevin.run(x, |_| gradient.clone(), Domain::Real));
    assert_close(&x, &[-0.6, 0.2, 0.6], 1e-6);
}

#[test]
fn chains_of_images_stay_where_every_value_has_a_level() {
    let device = Default::default();
    let langevin = Langevin { steps: 3, step: 1.0, noise: 0.5, clamp: 10.0 };
    for slope in [-4.0, 4.0] {
        let x = Domain::Unit.noise::<Flex>([50, 4], &device);
        let x = values(langevin.run(x, |x| x.ones_like() * slope, Domain::Unit));
        assert!(x.iter().all(|x| (0.0..1.0).contains(x)), "{x:?}");
        let end = if slope > 0.0 { 0.0 } else { 255.0 };
        assert!(x.iter().all(|x| (256.0 * x).floor() == end), "{x:?}");
    }
}

// Spectral normalisation.

/// The name that a golden file has for a network's parameter of this number: each layer has a weight, then a bias.
fn name(number: usize, prefix: &str) -> String {
    let what = if number.is_multiple_of(2) { "weight" } else { "bias" };
    format!("{}.{prefix}{what}", number / 2)
}

/// Parameters from a golden file.
struct Load<'a>(&'a Golden, usize);

impl<B: FlowBackend> ModuleMapper<B> for Load<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let key = name(self.1, "");
        self.1 += 1;
        assert_eq!(self.0.get(&key).1, param.val().dims());
        param.map(|old| {
            self.0.tensor::<B, D>(&key, old.dims()).set_require_grad(old.is_require_grad())
        })
    }
}

/// Gradients of parameters against those of a golden file.
struct Compare<'a, B: AutodiffBackend>(&'a Golden, usize, &'a B::Gradients, f64);

impl<B: AutodiffBackend> ModuleVisitor<B> for Compare<'_, B>
where
    B::InnerBackend: FlowBackend,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = param.val().grad(self.2).unwrap();
        self.0.close(gradient, &name(self.1, "gradient."), self.3);
        self.1 += 1;
    }
}

/// The weights of a network as matrices `[out, in]`.
fn matrices<B: Backend>(network: &Encoder<B>) -> Vec<Tensor<B, 2>> {
    match network {
        Encoder::Mlp(net) => net.layers.iter().map(|layer| layer.weight.val()).collect(),
        Encoder::Conv(net) => {
            let kernels = net.convs.iter().map(|conv| conv.weight.val().flatten(1, 3));
            kernels.chain([net.output.weight.val()]).collect()
        }
    }
}

fn one_step_of_torch<B: AutodiffBackend + FlowBackend>(tolerance: f64)
where
    B::InnerBackend: FlowBackend,
{
    for file in ["energy_mlp", "energy_conv"] {
        let golden = Golden::open(file);
        let config: EnergyConfig = serde_json::from_value(golden.metadata()).unwrap();
        let mut model = model::<B>(&config);
        model.network = model.network.map(&mut Load(&golden, 0));
        let norm = model.norm.as_mut().unwrap();
        for (i, pair) in norm.pairs.iter_mut().enumerate() {
            golden.load(&mut pair.left, &format!("{i}.u"));
        }
        norm.iterate(&model.network);
        for (i, pair) in norm.pairs.iter().enumerate() {
            golden.close(pair.left.val(), &format!("{i}.left"), tolerance);
            golden.close(pair.right.val(), &format!("{i}.right"), tolerance);
        }
        for (i, weight) in matrices(&norm.normalised(model.network.clone())).into_iter().enumerate()
        {
            golden.close(weight, &format!("{i}.normalised"), tolerance);
        }
        let x = golden.batch::<B>("x").require_grad();
        let energy = model.energy(x.clone());
        golden.close(energy.clone(), "energy", tolerance);
        let gradients = energy.mean().backward();
        golden.close(x.grad(&gradients).unwrap(), "gradient.x", tolerance);
        model.network.visit(&mut Compare(&golden, 0, &gradients, tolerance));
    }
}

#[test]
fn one_step_of_spectral_normalisation_is_torchs() {
    one_step_of_torch::<Autodiff<Flex>>(1e-6);
    one_step_of_torch::<Autodiff<NdArray<f32>>>(1e-6);
}

fn largest_singular_values<B: Backend>(network: &Encoder<B>) -> Vec<f64> {
    let largest = |weight: Tensor<B, 2>| {
        let ([rows, columns], weight) = (weight.dims(), values(weight));
        let weight = Mat::from_fn(rows, columns, |i, j| weight[i * columns + j]);
        weight.singular_values().unwrap()[0]
    };
    matrices(network).into_iter().map(largest).collect()
}

#[test]
fn after_many_iterations_the_largest_singular_value_is_one() {
    for (shape, network) in [([9, 1, 1], mlp(&[12, 7])), ([2, 6, 6], conv(&[4, 5]))] {
        let (init, device) = (&mut Init::new(2), Default::default());
        let network = Encoder::<Flex>::new(&network, shape, 1, init, &device).unwrap();
        let mut norm = SpectralNorm::new(&network, init, &device);
        (0..500).for_each(|_| norm.iterate(&network));
        let before = largest_singular_values(&network);
        let after = largest_singular_values(&norm.normalised(network));
        assert_eq!(after.len(), 3);
        assert_close(&after, &[1.0; 3], 1e-5);
        assert!(before.iter().all(|norm| (norm - 1.0).abs() > 0.02), "{before:?}");
    }
}

// The model.

/// A step of the model has, besides its loss, only effects that can be seen: the loss is that of the energies of the data and of the samples
/// that are now in the buffer.
fn contrastive_loss<B: AutodiffBackend + FlowBackend>()
where
    B::InnerBackend: FlowBackend,
{
    for spectral_norm in [false, true] {
        let config = EnergyConfig { alpha: 0.3, spectral_norm, ..small() };
        let mut model = model::<B>(&config);
        let x = normal::<B, 2>([4, 3], 2.0, 5);
        let loss = loss(&mut model, x.clone());
        let samples = model.buffer.val().narrow(0, 0, 4);
        let [data, samples] = [x, samples].map(|x| values(model.energy(x)));
        let expected: f64 =
            data.iter().zip(&samples).map(|(p, n)| (p - n + 0.3 * (p * p + n * n)) / 4.0).sum();
        assert_close(&values(loss), &[expected], 1e-5);
    }
}

#[test]
fn the_loss_is_that_of_data_and_of_the_newest_samples() {
    contrastive_loss::<Autodiff<Flex>>();
    contrastive_loss::<Autodiff<NdArray<f32>>>();
}

#[test]
fn the_newest_samples_stand_first_in_the_buffer_and_the_oldest_leave() {
    let mut model = model::<Autodiff<Flex>>(&small());
    let (id, before) = (model.buffer.id, values(model.buffer.val()));
    loss(&mut model, normal([4, 3], 1.0, 5));
    let after = values(model.buffer.val());
    assert_eq!(after[12..], before[..6]);
    assert!(after[..12].iter().all(|x| !before.contains(x)));
    loss(&mut model, normal([10, 3], 1.0, 6));
    assert_eq!(model.buffer.val().dims(), [6, 3]);
    assert!(values(model.buffer.val()).iter().all(|x| !after.contains(x)));
    assert_eq!(model.buffer.id, id);
}

/// One step without noise from the only sample of the buffer, along the gradient that forward mode computes.
fn one_step_from_the_buffer<B: FlowBackend>() {
    let device = Default::default();
    let langevin = Langevin { steps: 1, step: 0.7, noise: 0.0, clamp: 0.05 };
    let config = EnergyConfig { langevin, buffer: 1, fresh: 0.0, ..small() };
    let model = model::<B>(&config);
    let twin: Energy<Forward<B>> = on_forward(raised::<Autodiff<B>>(&model).valid());
    let start = model.buffer.val();
    let gradient = jacobian(|x| twin.energy(x).unsqueeze_dim(1), start.clone(), 3).unwrap();
    let gradient = values(gradient);
    assert!(gradient.iter().any(|g| g.abs() > 0.05), "one is clamped: {gradient:?}");
    assert!(gradient.iter().any(|g| g.abs() < 0.05), "one is not: {gradient:?}");
    let end: Vec<f64> =
        values(start).iter().zip(&gradient).map(|(x, g)| x - 0.7 * g.clamp(-0.05, 0.05)).collect();
    assert_close(&values(model.sample(3, &device)), &end.repeat(3), 1e-6);
}

fn raised<A: AutodiffBackend>(model: &Energy<A::InnerBackend>) -> Energy<A> {
    Energy::from_inner(model.clone())
}

#[test]
fn chains_start_in_the_buffer_and_follow_the_energys_gradient() {
    one_step_from_the_buffer::<Flex>();
    one_step_from_the_buffer::<NdArray<f32>>();
    one_step_from_the_buffer::<Autodiff<Flex>>();
}

#[test]
fn a_share_of_the_chains_starts_from_noise() {
    let device = Default::default();
    let langevin = Langevin { steps: 1, step: 1.0, noise: 0.0, clamp: 1e-3 };
    for fresh in [0.0, 0.3, 1.0] {
        let mut model = model::<Flex>(&EnergyConfig { langevin, fresh, ..small() });
        model.buffer = model.buffer.map(|buffer| buffer.zeros_like() + 100.0);
        Flex::seed(&device, 4);
        let n = 2000;
        let x = values(model.sample(n, &device));
        let noise = x.chunks(3).filter(|x| x[0] < 50.0).count() as f64 / n as f64;
        let error = 5.0 * (fresh * (1.0 - fresh) / n as f64).sqrt();
        assert!((noise - fresh).abs() <= error, "{noise}, not {fresh}");
    }
}

#[test]
fn every_sample_of_the_buffer_is_a_start() {
    let device = Default::default();
    let langevin = Langevin { steps: 1, step: 1.0, noise: 0.0, clamp: 1e-3 };
    let mut model = model::<Flex>(&EnergyConfig { langevin, fresh: 0.0, ..small() });
    let rows = Tensor::arange(0..6, &device).float().reshape([6, 1]).expand([6, 3]);
    model.buffer = model.buffer.map(|_| rows);
    let mut counts = [0; 6];
    for x in values(model.sample(600, &device)).chunks(3) {
        counts[x[0].round() as usize] += 1;
    }
    // Five standard errors of a binomial of 600 and 1/6.
    assert!(counts.iter().all(|count| (100 - 46..=100 + 46).contains(count)), "{counts:?}");
}

#[test]
fn samples_of_images_are_images() {
    let device = Default::default();
    let langevin = Langevin { steps: 4, noise: 0.3, ..Default::default() };
    let config =
        EnergyConfig { shape: [2, 4, 4], network: conv(&[3]), langevin, buffer: 20, ..small() };
    let model = model::<Flex>(&config);
    assert!(values(model.buffer.val()).iter().all(|x| (0.0..=1.0).contains(x)));
    let x = model.sample(30, &device);
    assert_eq!(x.dims(), [30, model.dimension()]);
    assert!(values(x).iter().all(|x| (0.0..1.0).contains(x)));
}

/// Gradients of a step reach every parameter of the network and no state, and are finite whatever the data.
#[test]
fn gradients_are_finite_and_only_of_the_network() {
    for spectral_norm in [false, true] {
        for (shape, network) in [([3, 1, 1], mlp(&[8, 8])), ([1, 4, 4], conv(&[3, 2]))] {
            let config = EnergyConfig { shape, network, spectral_norm, ..small() };
            for size in [0.0, 1.0, 1e6, 1e15] {
                let mut model = model::<Autodiff<Flex>>(&config);
                let x = normal([4, model.dimension()], size, 5);
                let loss = loss(&mut model, x);
                let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
                struct Finite<'a>(&'a mut GradientsParams);
                impl ModuleVisitor<Autodiff<Flex>> for Finite<'_> {
                    fn visit_float<const D: usize>(
                        &mut self,
                        param: &Param<Tensor<Autodiff<Flex>, D>>,
                    ) {
                        let gradient = self.0.remove::<Flex, D>(param.id).expect("a gradient");
                        assert!(values(gradient).iter().all(|g| g.is_finite()));
                    }
                }
                model.network.visit(&mut Finite(&mut gradients));
                assert!(gradients.is_empty(), "the state has gradients");
            }
        }
    }
}

fn independent_of_the_batch<B: FlowBackend>() {
    for (shape, network) in [([3, 1, 1], mlp(&[8, 8])), ([2, 4, 4], conv(&[3, 5]))] {
        let model = model::<B>(&EnergyConfig { shape, network, ..small() });
        let x = normal::<B, 2>([5, model.dimension()], 1.0, 8);
        let together = values(model.log_prob(x.clone()));
        let negative: Vec<f64> = values(model.energy(x.clone())).iter().map(|e| -e).collect();
        assert_eq!(together, negative);
        let alone: Vec<f64> =
            (0..5).flat_map(|i| values(model.log_prob(x.clone().narrow(0, i, 1)))).collect();
        assert_close(&alone, &together, 1e-6);
        let objective = values(model.objective(x.clone()));
        let mean = values(model.energy(model.buffer.val())).iter().sum::<f64>() / 6.0;
        let expected: Vec<f64> = negative.iter().map(|e| -e - mean).collect();
        assert_close(&objective, &expected, 1e-6);
        let gap = model.gap(x);
        let data = -together.iter().sum::<f64>() / 5.0;
        assert_close(&[gap.data, gap.samples], &[data, mean], 1e-6);
    }
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    independent_of_the_batch::<Flex>();
    independent_of_the_batch::<NdArray<f32>>();
}

#[test]
fn log_densities_differentiate_forwards_as_backwards() {
    for (shape, network) in [([3, 1, 1], mlp(&[8, 8])), ([1, 4, 4], conv(&[3, 2]))] {
        let model = model::<Autodiff<Flex>>(&EnergyConfig { shape, network, ..small() });
        let twin: Energy<Forward<Flex>> = on_forward(model.valid());
        let x = normal::<Flex, 2>([1, model.dimension()], 1.0, 8);
        let forwards = jacobian(|x| twin.log_prob(x).unsqueeze_dim(1), x.clone(), 5).unwrap();
        let x = Tensor::from_inner(x).require_grad();
        let gradients = model.log_prob(x.clone()).sum().backward();
        assert_close(&values(forwards), &values(x.grad(&gradients).unwrap()), 1e-6);
    }
}

#[test]
fn an_explosion_is_told_from_an_energy() {
    let mut model = model::<Flex>(&EnergyConfig { alpha: 0.5, ..small() });
    let x = normal::<Flex, 2>([4, 3], 1.0, 5);
    let gap = model.gap(x.clone());
    assert_eq!(gap.limit, 10.0);
    assert!(!gap.exploded(), "{gap:?}");
    for bias in [20.0, -20.0, f32::NAN] {
        let Encoder::Mlp(net) = &mut model.network else { panic!("an MLP") };
        let output = net.layers.last_mut().unwrap();
        output.bias = Param::initialized(output.bias.id, Tensor::full([1], bias, &x.device()));
        let gap = model.gap(x.clone());
        assert!(gap.exploded(), "{gap:?}");
    }
    let free = Energy::<Flex>::new(&EnergyConfig { alpha: 0.0, ..small() }, 3, &x.device());
    assert_eq!(free.unwrap().gap(x).limit, 5000.0);
}

#[test]
fn the_seed_decides_the_weights_and_the_buffer_on_every_backend() {
    let everything = |seed| {
        let model = Energy::<Flex>::new(&small(), seed, &Default::default()).unwrap();
        (values(matrices(&model.network).remove(1)), values(model.buffer.val()))
    };
    let (a, b) = (everything(3), everything(4));
    assert_eq!(a, everything(3));
    assert_ne!(a.0, b.0);
    assert_ne!(a.1, b.1);
    let model = model::<NdArray<f32>>(&small());
    assert_eq!(a.0, values(matrices(&model.network).remove(1)));
    assert_eq!(a.1, values(model.buffer.val()));
}

// Configuration.

#[test]
fn the_defaults_are_the_references() {
    let empty: EnergyConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, EnergyConfig::default());
    assert_eq!(empty.check(), Ok(()));
    assert_eq!((empty.buffer, empty.fresh, empty.alpha), (8192, 0.05, 1.0));
    assert_eq!(empty.network, mlp(&[256, 128]));
    assert!(empty.spectral_norm);
    let part: EnergyConfig = serde_json::from_str(r#"{"langevin": {"steps": 5}}"#).unwrap();
    let langevin = Langevin { steps: 5, step: 10.0, noise: 0.005, clamp: 0.03 };
    assert_eq!(part, EnergyConfig { langevin, ..empty });
}

#[test]
fn what_is_wrong_is_said_by_key_value_and_range() {
    let langevin = Langevin::default();
    let cases = [
        (
            EnergyConfig { shape: [3, 0, 1], ..small() },
            "shape",
            "is [3, 0, 1], but it must have no side of length 0",
        ),
        (
            EnergyConfig { network: mlp(&[4, 0]), ..small() },
            "network",
            "layer 1 of the network has no units; every layer needs at least 1",
        ),
        (
            EnergyConfig { langevin: Langevin { steps: 0, ..langevin }, ..small() },
            "langevin.steps",
            "is 0, but it must be at least 1",
        ),
        (
            EnergyConfig { langevin: Langevin { step: 0.0, ..langevin }, ..small() },
            "langevin.step",
            "is 0.0, but it must be more than 0 and finite",
        ),
        (
            EnergyConfig { langevin: Langevin { noise: -0.1, ..langevin }, ..small() },
            "langevin.noise",
            "is -0.1, but it must be at least 0 and finite",
        ),
        (
            EnergyConfig { langevin: Langevin { clamp: f64::NAN, ..langevin }, ..small() },
            "langevin.clamp",
            "is NaN, but it must be more than 0 and finite",
        ),
        (
            EnergyConfig { buffer: 0, ..small() },
            "buffer",
            "is 0, but it must be at least 1 and, for inputs of 3 numbers, at most 16777216",
        ),
        (
            EnergyConfig { shape: [3, 1000, 1000], buffer: 334, ..small() },
            "buffer",
            "is 334, but it must be at least 1 and, for inputs of 3000000 numbers, at most 333",
        ),
        (
            EnergyConfig { fresh: 1.5, ..small() },
            "fresh",
            "is 1.5, but it must be at least 0 and at most 1",
        ),
        (
            EnergyConfig { alpha: f64::INFINITY, ..small() },
            "alpha",
            "is inf, but it must be at least 0 and finite",
        ),
    ];
    for (config, key, problem) in cases {
        assert_eq!(config.check(), Err((key, problem.to_owned())));
        let error = Energy::<Flex>::new(&config, 0, &Default::default()).unwrap_err();
        match &error {
            EnergyError::OutOfRange { .. } => {
                assert_eq!(error.to_string(), format!("{key} {problem}"))
            }
            EnergyError::Network(inner) => assert_eq!(*inner, NetworkError::EmptyLayer(1)),
        }
    }
}

// Training.

type OptimizerOf<B> = OptimizerAdaptor<Adam, Energy<B>, B>;

fn step<B: AutodiffBackend + FlowBackend>(
    model: &mut Energy<B>,
    optimizer: &mut OptimizerOf<B>,
    rate: f64,
    x: Tensor<B, 2>,
) -> f64
where
    B::InnerBackend: FlowBackend,
{
    let loss = loss(model, x);
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    *model = optimizer.step(rate, model.clone(), gradients);
    values(loss)[0]
}

/// Two Gaussians of standard deviation 0.5, half each, at (1, ±1.5).
fn mixture<B: Backend>(n: usize, seed: u64) -> Tensor<B, 2> {
    let (x, device) = (normal::<B, 2>([n, 2], 0.5, seed), Default::default());
    let sides = Tensor::<B, 1>::from_floats([1.0, 1.5, 1.0, -1.5], &device).reshape([2, 2]);
    x + sides.unsqueeze_dim::<3>(0).expand([n / 2, 2, 2]).reshape([n, 2])
}

fn mixture_log_density(x: &[f64]) -> f64 {
    let mode = |y: f64| (-2.0 * ((x[0] - 1.0).powi(2) + (x[1] - y).powi(2))).exp();
    // 0.5 / (2 π 0.5²) of each.
    ((mode(1.5) + mode(-1.5)) / std::f64::consts::PI).ln()
}

/// With Langevin dynamics of temperature 1, energies are negative log-densities up to a constant.
#[test]
fn the_energies_of_a_mixture_are_learnt_up_to_a_constant() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    let langevin = Langevin { steps: 15, step: 0.04, noise: 0.08f64.sqrt(), clamp: 20.0 };
    let config = EnergyConfig {
        shape: [2, 1, 1],
        network: mlp(&[32, 32]),
        spectral_norm: false,
        langevin,
        buffer: 1024,
        fresh: 0.05,
        alpha: 0.002,
    };
    B::seed(&device, 0);
    let mut model = model::<B>(&config);
    let mut optimizer = AdamConfig::new().init::<B, Energy<B>>();
    for i in 0..300 {
        let rate = if i < 200 { 1e-2 } else { 1e-3 };
        step(&mut model, &mut optimizer, rate, mixture(128, i));
    }
    let model = model.valid();

    let x = mixture::<Flex>(2000, 12345);
    let log_prob = values(model.log_prob(x.clone()));
    let errors: Vec<f64> = values(x.clone())
        .chunks(2)
        .zip(&log_prob)
        .map(|(x, log_prob)| log_prob - mixture_log_density(x))
        .collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let spread =
        (errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / errors.len() as f64).sqrt();
    // Of equal energies, this is 0.96.
    assert!(spread < 0.5, "off by {spread} nats more than a constant");

    // Inputs at the distance 4 from the middle of the modes, whose energies are to be higher.
    let far: Vec<f32> = (0..200)
        .flat_map(|i| {
            let (sin, cos) = (i as f32 / 200.0 * std::f32::consts::TAU).sin_cos();
            [1.0 + 4.0 * cos, 4.0 * sin]
        })
        .collect();
    let far = Tensor::<Flex, 2>::from_data(TensorData::new(far, [200, 2]), &device);
    let far = values(model.log_prob(far));
    let above: usize = log_prob.iter().map(|p| far.iter().filter(|f| p > f).count()).sum();
    let auroc = above as f64 / (log_prob.len() * far.len()) as f64;
    assert!(auroc > 0.99, "AUROC {auroc}");

    Flex::seed(&device, 1);
    let samples = values(model.sample(2000, &device));
    let moments = [0, 1].map(|d| {
        let x = || samples.iter().skip(d).step_by(2);
        let mean = x().sum::<f64>() / 2000.0;
        (mean, (x().map(|x| (x - mean).powi(2)).sum::<f64>() / 2000.0).sqrt())
    });
    // Of the data: means (1, 0), standard deviations (0.5, sqrt(0.5² + 1.5²)).
    for ((mean, deviation), (m, d)) in moments.into_iter().zip([(1.0, 0.5), (0.0, 2.5f64.sqrt())]) {
        assert!((mean - m).abs() < 0.3 * d, "mean {mean}, not {m}");
        assert!((deviation / d - 1.0).abs() < 0.15, "standard deviation {deviation}, not {d}");
    }
}

/// The reference's sampler and loss on small images: bright squares in one of two corners.
#[test]
fn with_the_references_numbers_images_of_the_data_get_the_lower_energies() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    let config = EnergyConfig {
        shape: [1, 6, 6],
        network: conv(&[8, 8]),
        langevin: Langevin { steps: 20, ..Default::default() },
        buffer: 256,
        ..Default::default()
    };
    let corners = |n: usize, seed: u64, bright: [usize; 2]| {
        let noise = values(normal::<Flex, 2>([n, 36], 0.02, seed));
        let pixel = |i: usize| {
            let (row, column) = (i % 36 / 6, i % 6);
            let corner = bright[i / 36 % 2] * 3;
            let lit = (corner..corner + 3).contains(&row) && (corner..corner + 3).contains(&column);
            (if lit { 0.85 } else { 0.1 }) + noise[i].abs().min(0.1)
        };
        let x: Vec<f32> = (0..n * 36).map(|i| pixel(i) as f32).collect();
        Tensor::<Flex, 2>::from_data(TensorData::new(x, [n, 36]), &device)
    };
    B::seed(&device, 0);
    let mut model = model::<B>(&config);
    let mut optimizer = AdamConfig::new().init::<B, Energy<B>>();
    for i in 0..80 {
        step(&mut model, &mut optimizer, 3e-3, Tensor::from_inner(corners(32, i, [0, 1])));
    }
    let singular =
        largest_singular_values(&model.norm.clone().unwrap().normalised(model.network.clone()));
    assert_close(&singular, &[1.0; 3], 0.05);

    let model = model.valid();
    let data = corners(64, 999, [0, 1]);
    let gap = model.gap(data.clone());
    assert!(!gap.exploded(), "{gap:?}");
    let data = values(model.energy(data));
    for (name, other) in [
        ("noise", Domain::Unit.noise::<Flex>([64, 36], &device)),
        ("negatives", 1.0 - corners(64, 999, [0, 1])),
    ] {
        let other = values(model.energy(other));
        let below: usize = data.iter().map(|e| other.iter().filter(|o| e < o).count()).sum();
        let auroc = below as f64 / (data.len() * other.len()) as f64;
        assert!(auroc > 0.99, "AUROC of {name} {auroc}");
    }
}

/// A step after a checkpoint is the step that would have been, given the same seeds: all state is in the records.
#[test]
fn a_checkpoint_resumes_identically() {
    type B = Autodiff<Flex>;
    let device = Default::default();
    let run =
        |model: &mut Energy<B>, optimizer: &mut OptimizerOf<B>, steps: std::ops::Range<u64>| {
            steps
                .map(|i| {
                    B::seed(&device, i);
                    step(model, optimizer, 1e-2, normal([4, 3], 1.0, i))
                })
                .collect::<Vec<f64>>()
        };
    let config = EnergyConfig { fresh: 0.3, ..small() };
    let mut model = model::<B>(&config);
    let mut optimizer = AdamConfig::new().init::<B, Energy<B>>();
    run(&mut model, &mut optimizer, 0..5);

    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    let bytes = recorder.record(model.clone().into_record(), ()).unwrap();
    let saved = optimizer.to_record();
    let straight = run(&mut model, &mut optimizer, 5..8);

    let other = Energy::<B>::new(&config, 77, &device).unwrap();
    let mut resumed = other.load_record(recorder.load(bytes, &device).unwrap());
    let mut optimizer = AdamConfig::new().init::<B, Energy<B>>().load_record(saved);
    let again = run(&mut resumed, &mut optimizer, 5..8);
    assert_eq!(straight, again);
    assert_eq!(values(model.buffer.val()), values(resumed.buffer.val()));
    let x = normal::<B, 2>([4, 3], 1.0, 9);
    assert_eq!(values(model.energy(x.clone())), values(resumed.energy(x)));
}
