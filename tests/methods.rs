//! Statistics of a model whose density is known in closed form: a flow without steps, `p(x) = N(x; 0, I)`.

use atypical::{
    config::{AroundConfig, HessianConfig, LidConfig, Method, OptimumConfig, ShellsConfig},
    data::{Images, Noise},
    lid::{LidEstimator, Prepared, Route, Spectral, StopAt, Threshold},
    ood::{
        Models, OodError, Scorer, Statistic, Statistics, method,
        statistic::{Codec, anderson_darling},
    },
    progress::Verbosity,
};
use atypical_models::{
    AnyAutoencoder, Model,
    autoencoder::{Autoencoder, AutoencoderConfig, Vae, VaeConfig},
    flow::{Flow, FlowConfig, Layer, Step},
    network::{Activation, Decoder, Encoder, Linear, NetworkConfig},
};
use burn::{
    backend::Flex,
    module::{Module, Param},
    tensor::{Tensor, TensorData},
};
use std::collections::BTreeSet;

const SHAPE: [usize; 3] = [1, 6, 6];
const DIMENSION: f64 = 36.0;

fn scorer(model: impl Into<Model<Flex>>) -> Scorer<Flex> {
    let lid = LidConfig::default();
    Scorer::new(model.into(), Noise::Off, 4, &lid, 0, Default::default(), Verbosity::Quiet)
}

fn standard_normal() -> Flow<Flex> {
    let config = FlowConfig { shape: SHAPE, transform: Vec::new() };
    Flow::new(&config, 0, &Default::default()).unwrap()
}

/// `z = x / s`: `p(x) = N(x; 0, s² I)`.
fn normal(s: f64) -> Flow<Flex> {
    let config = FlowConfig { shape: SHAPE, transform: vec![Step::ActNorm {}] };
    let mut flow = Flow::<Flex>::new(&config, 0, &Default::default()).unwrap();
    for step in &mut flow.levels[0].steps {
        let Layer::ActNorm(norm) = step else { unreachable!() };
        norm.log_scale = Param::from_tensor(Tensor::full([1], -s.ln(), &Default::default()));
    }
    flow.no_grad()
}

/// Random images, changed pixel by pixel.
fn changed(n: usize, seed: u64, change: impl Fn(u8) -> u8) -> Images {
    let images = Images::random(n, SHAPE, seed);
    let pixels: Vec<u8> = images.bytes().unwrap().iter().map(|p| change(*p)).collect();
    Images { pixels: pixels.into(), ..images }
}

/// Squared distance of every image from the origin, by its pixels.
fn squares(images: &Images) -> Vec<f64> {
    let x = |p: &u8| (f64::from(*p) + 0.5) / 256.0;
    let square = |i| images.sample(i).unwrap().iter().map(|p| x(p).powi(2)).sum();
    (0..images.len()).map(square).collect()
}

fn log_density(square: f64, s: f64) -> f64 {
    -0.5 * square / (s * s) - DIMENSION * (s * std::f64::consts::TAU.sqrt()).ln()
}

fn models() -> Models<Flex> {
    Models {
        scorer: scorer(standard_normal()),
        background: Some(scorer(normal(2.0))),
        ensemble: vec![scorer(normal(0.5)), scorer(normal(4.0))],
        codecs: vec![Codec::Png],
        latent_radius: 1.0,
        around: AroundConfig {
            samples: 400,
            radius: 0.2,
            latent_radius: 0.2,
            ..Default::default()
        },
        shells: ShellsConfig { radius: 0.2, chains: 100, ..Default::default() },
        regret: Default::default(),
        optimum: OptimumConfig::default(),
        hessian: HessianConfig { sigma: 0.5, probes: 2, steps: 4 },
        seed: 5,
    }
}

fn close(got: f64, expected: f64, what: &str) {
    assert!(
        (got - expected).abs() < 1e-4 * (1.0 + expected.abs()),
        "{what}: {got}, not {expected}"
    );
}

#[test]
fn statistics_of_a_gaussian_are_those_by_hand() {
    let images = Images::random(9, SHAPE, 3);
    let asked = BTreeSet::from([
        Statistic::LogLikelihood,
        Statistic::BackgroundLogLikelihood,
        Statistic::EnsembleMean,
        Statistic::EnsembleVariance,
        Statistic::GradientNorm,
        Statistic::LatentNorm,
        Statistic::LatentFit,
        Statistic::Complexity,
        Statistic::OptimumRise,
        Statistic::Slope,
        Statistic::Curvature,
        Statistic::FlatDirections,
    ]);
    let found = models().measure(&images, &asked).unwrap();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), asked);
    for (i, square) in squares(&images).into_iter().enumerate() {
        let get = |statistic| found[&statistic][i];
        close(get(Statistic::LogLikelihood), log_density(square, 1.0), "log p");
        close(get(Statistic::BackgroundLogLikelihood), log_density(square, 2.0), "background");
        close(get(Statistic::GradientNorm), square.sqrt(), "gradient");
        close(get(Statistic::LatentNorm), square.sqrt(), "latent");
        let sample = images.sample(i).unwrap();
        let z: Vec<f64> = sample.iter().map(|p| (f64::from(*p) + 0.5) / 256.0).collect();
        close(get(Statistic::LatentFit), anderson_darling(&z), "fit");
        let members = [1.0, 0.5, 4.0].map(|s| log_density(square, s));
        let mean = members.iter().sum::<f64>() / 3.0;
        let variance = members.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0;
        close(get(Statistic::EnsembleMean), mean, "mean");
        close(get(Statistic::EnsembleVariance), variance, "variance");
        // The mode is the corner of the unit cube; the Hessian is -I.
        close(get(Statistic::OptimumRise), 0.5 * square, "rise");
        close(get(Statistic::Slope), 0.125 * square / 1.25, "slope");
        close(get(Statistic::Curvature), 0.5 * DIMENSION * 1.25f64.ln(), "curvature");
        close(get(Statistic::FlatDirections), DIMENSION / 1.25, "flat directions");
        // Noise does not compress.
        assert!(get(Statistic::Complexity) >= 8.0 * DIMENSION);
    }
}

#[test]
fn densities_around_a_gaussian_are_those_by_hand() {
    // Far enough from both ends of [0, 1] that nothing is folded back.
    let images = changed(5, 3, |p| 64 + p / 2);
    let asked = BTreeSet::from([
        Statistic::Convolution,
        Statistic::DataBall,
        Statistic::LatentBall,
        Statistic::ShellDimension,
    ]);
    let found = models().measure(&images, &asked).unwrap();
    let variance = 1.0 + AroundConfig::default().sigma.powi(2);
    for (i, square) in squares(&images).into_iter().enumerate() {
        let get = |statistic| found[&statistic][i];
        let near = |statistic, expected: f64, error: f64| {
            let got: f64 = get(statistic);
            assert!((got - expected).abs() < error, "{statistic:?}: {got}, not {expected}");
        };
        // log p(x + σ ε) has a standard deviation of σ ‖x‖, 0.06, so its mean over 400 draws one of 0.003.
        near(Statistic::Convolution, log_density(square, variance.sqrt()), 0.015);
        // To second order in the radius: a coordinate of u has the variance r² / (D + 2).
        let v: f64 = 0.2 * 0.2 / (DIMENSION + 2.0);
        let expected = log_density(square, 1.0) + 0.5 * v * (square - DIMENSION);
        near(Statistic::DataBall, expected, 0.025);
        near(Statistic::LatentBall, expected, 0.025);
        // As flat as makes no difference within 0.2; the relative error of the share of a level is 1/√100.
        near(Statistic::ShellDimension, DIMENSION, 6.0);
    }
    // An image's draws are its own: another order, the same numbers.
    let turned = models().measure(&images.select(&[3, 0]), &asked).unwrap();
    for statistic in asked {
        assert_eq!(turned[&statistic], [found[&statistic][3], found[&statistic][0]]);
    }
}

#[test]
fn scores_point_the_right_way() {
    // Trained on noise of a few grey levels, which a codec shortens by more or less; black images are too likely, and simpler.
    let noise = |seed| changed(200, seed, |p| p & 0b1100_0000);
    let black = changed(200, 0, |_| 0);
    let methods = [
        Method::Likelihood,
        Method::LikelihoodRatio,
        Method::Complexity,
        Method::ComplexityMixture,
        Method::GradientNorm,
        Method::Typicality,
        Method::Waic,
        Method::LatentNorm,
        Method::Dose,
        Method::Combined,
    ];
    let asked = method::statistics(&methods);
    let models = models();
    let of = |images: &Images| -> Statistics { models.measure(images, &asked).unwrap() };
    let train = of(&noise(1));
    let [inside, outside] =
        [of(&noise(2)), of(&black)].map(|set| method::scores(&methods, &train, &set).unwrap());
    assert_eq!(inside.iter().map(|(m, _)| *m).collect::<Vec<_>>(), methods);
    for ((method, inside), (_, outside)) in inside.iter().zip(&outside) {
        let auroc = atypical::eval::Roc::new(inside, outside).unwrap().auroc();
        // Distances from the origin, all of them.
        let fooled = matches!(
            method,
            Method::Likelihood
                | Method::LikelihoodRatio
                | Method::GradientNorm
                | Method::LatentNorm
        );
        let expected = if fooled { 0.0 } else { 1.0 };
        assert_eq!(auroc, expected, "{method:?}");
    }
}

#[test]
fn what_is_not_finite_is_said() {
    let mut models = models();
    models.scorer = scorer(normal(f64::NAN));
    let asked = BTreeSet::from([Statistic::LogLikelihood]);
    let error = models.measure(&Images::random(3, SHAPE, 0), &asked).unwrap_err();
    assert!(matches!(error, OodError::NotFinite { bad: 3, of: 3, .. }), "{error}");
}

/// `z = x + 2^20`, where numbers of 24 bits lie 1/8 apart: what comes back is x, rounded to that.
#[test]
fn the_error_of_an_inverse_is_what_rounding_took() {
    let mut flow = normal(1.0);
    for step in &mut flow.levels[0].steps {
        let Layer::ActNorm(norm) = step else { unreachable!() };
        norm.shift = Param::from_tensor(Tensor::full([1], 1_048_576.0, &Default::default()));
    }
    let images = Images::random(5, SHAPE, 2);
    let errors = scorer(flow).inverse_error(&images).unwrap();
    for (i, got) in errors.into_iter().enumerate() {
        let off = |p: &u8| {
            let x = (f64::from(*p) + 0.5) / 256.0;
            (x - (8.0 * x).round() / 8.0).abs()
        };
        assert_eq!(got, images.sample(i).unwrap().iter().map(off).fold(0.0, f64::max));
    }
    assert!(scorer(standard_normal()).inverse_error(&images).unwrap().iter().all(|e| *e == 0.0));
}

/// Of the decoder below: a column of its Jacobian, the other is zero.
const COLUMN: [f64; 4] = [0.5, -1.0, 0.0, 0.25];
const BIAS: [f64; 4] = [0.25, 0.5, 0.125, 0.0];

fn set(linear: &mut Linear<Flex>, weight: &[f64], bias: &[f64]) {
    let device = Default::default();
    let dims = linear.weight.dims();
    linear.weight = Param::from_data(TensorData::new(weight.to_vec(), dims), &device);
    linear.bias = Param::from_data(TensorData::new(bias.to_vec(), [bias.len()]), &device);
}

/// `z = (2 x_0, x_1 - x_2)`, `decode(z) = z_0 COLUMN + BIAS`, with latents that say nothing of it or a normal prior.
fn linear(encoder: &mut Encoder<Flex>, decoder: &mut Decoder<Flex>) {
    let (Encoder::Mlp(encoder), Decoder::Mlp(decoder)) = (encoder, decoder) else {
        panic!("fully connected")
    };
    let layer = &mut encoder.layers[0];
    let outputs = layer.bias.dims()[0];
    let mut weight = vec![2.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0];
    weight.resize(outputs * 4, 0.0);
    set(layer, &weight, &vec![0.0; outputs]);
    let weight: Vec<f64> = COLUMN.iter().flat_map(|w| [*w, 0.0]).collect();
    set(&mut decoder.layers[0], &weight, &BIAS);
}

#[test]
fn linear_autoencoders_are_read_by_hand() {
    let network = NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu };
    let device = Default::default();
    let shape = [1, 2, 2];
    let config = AutoencoderConfig { shape, latent: 2, network: network.clone() };
    let mut plain = Autoencoder::<Flex>::new(&config, 0, &device).unwrap();
    linear(&mut plain.encoder, &mut plain.decoder);
    let config = VaeConfig { shape, latent: 2, network, ..Default::default() };
    let mut vae = Vae::<Flex>::new(&config, 0, &device).unwrap();
    linear(&mut vae.encoder, &mut vae.decoder);
    let images = Images::random(6, shape, 4);
    let x = |i| -> Vec<f64> {
        let sample = images.sample(i).unwrap();
        sample.iter().map(|p| (f64::from(*p) + 0.5) / 256.0).collect()
    };
    let lambda: f64 = COLUMN.iter().map(|w| w * w).sum();
    for model in [AnyAutoencoder::Plain(plain), AnyAutoencoder::Vae(vae)] {
        let scorer = scorer(Model::Autoencoder(model));
        let errors = scorer.reconstruction_error(&images).unwrap();
        let prepared = scorer.prepare_all(&images, Route::Spectrum, StopAt::Everywhere).unwrap();
        for (i, prepared) in prepared.into_iter().enumerate() {
            let (x, Prepared::Spectrum(spectrum)) = (x(i), prepared) else { unreachable!() };
            let z = 2.0 * x[0];
            let squares = (0..4).map(|j| (z * COLUMN[j] + BIAS[j] - x[j]).powi(2));
            close(errors[i], squares.sum::<f64>() / 4.0, "reconstruction");
            for r in [-3.0f64, 0.0, 1.0] {
                let v = (2.0 * r).exp();
                // The direction that the decoder does not see counts for nothing at any scale.
                let expected = lambda / (lambda + v) + v * lambda * (z / (lambda + v)).powi(2);
                close(Spectral.lid(&spectrum, r), expected, "spectral LID");
                let seen = if lambda > v { 1.0 } else { 0.0 };
                assert_eq!(Threshold.lid(&spectrum, r), seen);
            }
        }
    }
}
