//! The variational autoencoder: against `torch.distributions`, by `scripts/reference/vae_goldens.py`, and where it is linear against
//! closed forms.

use super::ae::{points, trained};
use crate::{
    golden::Golden,
    network::{gradients_are_close, loaded},
};
use atypical_forward::{Forward, jacobian, on_forward};
use atypical_models::{
    DensityModel, FlowBackend, Init, LatentModel, Objective,
    autoencoder::{LikelihoodConfig, Vae, VaeConfig},
    network::{Activation, Decoder, Encoder, Linear, NetworkConfig},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{AutodiffModule, Param},
    tensor::{Tensor, TensorData, backend::Backend},
};
use std::f64::consts::PI;

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// `tolerance` of gradients through the discretised logistic.
fn agrees_with_torch<B: FlowBackend>(tolerance: f64) {
    for (name, tolerance) in [("vae_gaussian", 5e-6), ("vae_discretized_logistic", tolerance)] {
        let golden = Golden::open(name);
        let config: VaeConfig = serde_json::from_value(golden.metadata()).unwrap();
        let vae = Vae::<Autodiff<B>>::new(&config, 0, &Default::default()).unwrap();
        let vae = loaded(vae, &golden, "");
        let x = golden.batch::<Autodiff<B>>("x");
        let dims: [usize; 3] = golden.get("noise").1.try_into().unwrap();
        let noise = golden.tensor::<Autodiff<B>, 3>("noise", dims);

        let elbo = vae.elbo(x.clone(), noise.clone());
        golden.close(elbo.reconstruction.clone(), "reconstruction", 1e-6);
        golden.close(elbo.kl.clone(), "kl", 1e-6);
        let gradients = elbo.weighted(config.beta).neg().mean().backward();
        let compared =
            gradients_are_close::<Autodiff<B>, _>(&vae, &gradients, &golden, "loss", tolerance);
        assert_eq!(compared, 9);

        golden.close(vae.log_weights(x.clone(), noise.clone()), "log_weights", 1e-6);
        let bound = vae.importance_weighted(x.clone(), noise);
        golden.close(bound.clone(), "bound", 1e-6);
        let gradients = bound.sum().backward();
        gradients_are_close::<Autodiff<B>, _>(&vae, &gradients, &golden, "bound", tolerance);

        for (kl, expected) in vae.latent_kl(x).iter().zip(golden.get("latent_kl").0) {
            assert!((kl - expected).abs() < 1e-5, "{kl}, not {expected}");
        }
    }
}

#[test]
fn agrees_with_torch_on_flex() {
    agrees_with_torch::<Flex>(5e-6);
}

#[test]
fn agrees_with_torch_on_ndarray() {
    // Its reciprocals, which the gradients of logarithms have, are the processor's estimate of 12 bits.
    agrees_with_torch::<NdArray<f32>>(5e-4);
}

/// A linear decoder `x = W z + b + σ ε`, W with orthogonal columns, so that the posterior is a diagonal normal distribution; see Lucas et al. 2019,
/// arXiv 1911.02469.
const W: [[f64; 2]; 5] = [[1.0, 0.5], [-1.0, 0.5], [0.5, 1.0], [-0.5, 1.0], [2.0, 0.0]];
const B: [f64; 5] = [0.1, -0.4, 0.3, 0.0, 1.0];
const SIGMA: f64 = 0.8;
/// Inputs.
const X: [[f64; 5]; 3] =
    [[0.1, -0.4, 0.3, 0.0, 1.0], [1.5, -2.0, 0.2, 0.9, 2.5], [-0.7, 1.4, 0.4, -1.0, 0.3]];

fn inputs<B: Backend>() -> Tensor<B, 2> {
    let x: Vec<f32> = X.concat().into_iter().map(|x| x as f32).collect();
    Tensor::from_data(TensorData::new(x, [3, 5]), &Default::default())
}

/// Variance of the latent j, given an input.
fn variance(j: usize) -> f64 {
    1.0 / (1.0 + W.iter().map(|w| w[j] * w[j]).sum::<f64>() / (SIGMA * SIGMA))
}

/// `log N(x; b, W Wᵀ + σ² I)`, by the eigenvectors, which are the columns of W.
fn evidence(x: &[f64; 5]) -> f64 {
    let centred: Vec<f64> = x.iter().zip(B).map(|(x, b)| x - b).collect();
    let mut square = centred.iter().map(|c| c * c).sum::<f64>() / (SIGMA * SIGMA);
    let mut log_det = 5.0 * (2.0 * PI * SIGMA * SIGMA).ln();
    for j in 0..2 {
        let length: f64 = W.iter().map(|w| w[j] * w[j]).sum();
        let along: f64 = W.iter().zip(&centred).map(|(w, c)| w[j] * c).sum::<f64>();
        let eigenvalue = length + SIGMA * SIGMA;
        square += along * along / length * (1.0 / eigenvalue - 1.0 / (SIGMA * SIGMA));
        log_det += (eigenvalue / (SIGMA * SIGMA)).ln();
    }
    -0.5 * (square + log_det)
}

/// The linear model, with an encoder that is off the exact posterior by `shift` in the mean and by `factor` in the standard deviation.
fn linear<B: FlowBackend>(samples: usize, shift: f64, factor: f64) -> Vae<B> {
    let device = Default::default();
    let config = VaeConfig {
        shape: [5, 1, 1],
        latent: 2,
        network: NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu },
        likelihood: LikelihoodConfig::Gaussian { sigma: Some(SIGMA) },
        importance_samples: samples,
        ..Default::default()
    };
    let mut vae = Vae::<B>::new(&config, 0, &device).unwrap();
    let set = |linear: &mut Linear<B>, weight: Vec<f64>, bias: Vec<f64>| {
        let dims = linear.weight.dims();
        let f32s = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        linear.weight = Param::from_data(TensorData::new(f32s(weight), dims), &device);
        linear.bias = Param::from_data(TensorData::new(f32s(bias), [dims[0]]), &device);
    };
    let (Encoder::Mlp(encoder), Decoder::Mlp(decoder)) = (&mut vae.encoder, &mut vae.decoder)
    else {
        panic!("fully connected")
    };
    set(&mut decoder.layers[0], W.concat(), B.to_vec());
    let mut weight = vec![0.0; 20];
    let mut bias = vec![0.0; 4];
    for j in 0..2 {
        let gain = variance(j) / (SIGMA * SIGMA);
        for (i, w) in W.iter().enumerate() {
            weight[5 * j + i] = gain * w[j];
            bias[j] -= gain * w[j] * B[i];
        }
        bias[j] += shift;
        bias[2 + j] = (factor * variance(j).sqrt()).ln();
    }
    set(&mut encoder.layers[0], weight, bias);
    vae
}

/// Noise of mean 0 and covariance 1, exactly: averages of quadratic functions over it are their expectations.
fn sigma_points<B: Backend>() -> Tensor<B, 3> {
    let r = 2f32.sqrt();
    let points = [[r, 0.0], [-r, 0.0], [0.0, r], [0.0, -r]];
    Tensor::<B, 2>::from_floats(points, &Default::default()).reshape([4, 1, 2])
}

fn bounds<B: FlowBackend>() {
    let evidences = X.each_ref().map(evidence);
    let compare = |got: Tensor<B, 1>, expected: &[f64], tolerance: f64| {
        for (got, expected) in values(got).iter().zip(expected) {
            assert!((got - expected).abs() < tolerance, "{got}, not {expected}");
        }
    };
    // With the exact posterior every bound is the evidence.
    let exact = linear::<B>(64, 0.0, 1.0);
    compare(exact.elbo(inputs(), sigma_points()).weighted(1.0), &evidences, 2e-5);
    compare(exact.log_prob(inputs()), &evidences, 2e-5);
    let noise = Init::new(9).normal([7, 3, 2], &Default::default());
    for (i, weight) in values(exact.log_weights(inputs(), noise)).iter().enumerate() {
        assert!((weight - evidences[i % 3]).abs() < 2e-5, "{weight}, not {}", evidences[i % 3]);
    }
    // With another one the evidence lower bound lacks KL(q | posterior).
    let (shift, factor) = (0.3, 1.4);
    let vae = linear::<B>(64, shift, factor);
    let gap: f64 = (0..2)
        .map(|j| 0.5 * (factor * factor - 1.0 + shift * shift / variance(j)) - factor.ln())
        .sum();
    assert!(gap > 0.5);
    let elbos = evidences.map(|evidence| evidence - gap);
    compare(vae.elbo(inputs(), sigma_points()).weighted(1.0), &elbos, 2e-5);
    // More draws come nearer to the evidence, from below.
    let many = linear::<B>(20_000, shift, factor).log_prob(inputs());
    compare(many, &evidences, 0.02);
    for (few, (elbo, evidence)) in
        values(vae.log_prob(inputs())).iter().zip(elbos.iter().zip(evidences))
    {
        assert!(elbo + 0.2 < *few && *few < evidence + 0.15, "{elbo}, {few}, {evidence}");
    }
    // One draw stands for the evidence lower bound, as does the objective.
    let one = linear::<B>(1, shift, factor);
    assert_eq!(values(one.log_prob(inputs())), values(one.objective(inputs()).neg()));
    compare(one.log_prob(inputs()), &elbos, 1.5);
}

#[test]
fn bounds_of_the_linear_model_on_flex() {
    bounds::<Flex>();
}

#[test]
fn bounds_of_the_linear_model_on_ndarray() {
    bounds::<NdArray<f32>>();
}

#[test]
fn draws_of_the_linear_model_have_its_moments() {
    const N: usize = 40_000;
    let vae = linear::<Flex>(1, 0.0, 1.0);
    assert_eq!((vae.dimension(), vae.latent_dimension()), (5, 2));
    let x = values(vae.sample(N, &Default::default()));
    let mean = |f: &dyn Fn(&[f64]) -> f64| x.chunks(5).map(f).sum::<f64>() / N as f64;
    for i in 0..5 {
        assert!((mean(&|x| x[i]) - B[i]).abs() < 0.06);
        for j in 0..5 {
            let noise = if i == j { SIGMA * SIGMA } else { 0.0 };
            let expected = W[i][0] * W[j][0] + W[i][1] * W[j][1] + noise;
            let got = mean(&|x| (x[i] - B[i]) * (x[j] - B[j]));
            assert!((got - expected).abs() < 0.15, "{i}, {j}: {got}, not {expected}");
        }
    }
}

fn small(likelihood: LikelihoodConfig, samples: usize) -> VaeConfig {
    VaeConfig {
        shape: [2, 4, 4],
        latent: 3,
        network: NetworkConfig::Conv {
            channels: vec![4, 3],
            strides: vec![1, 2],
            kernel: 3,
            activation: Activation::Silu,
        },
        likelihood,
        importance_samples: samples,
        ..Default::default()
    }
}

const GAUSSIAN: LikelihoodConfig = LikelihoodConfig::Gaussian { sigma: None };
const LOGISTIC: LikelihoodConfig = LikelihoodConfig::DiscretizedLogistic {};

fn images<B: Backend>(n: usize) -> Tensor<B, 2> {
    let pixels = (0..n * 32).map(|i| ((i * 89 + i / 32 * 31) % 256) as f32);
    let x: Vec<f32> = pixels.map(|pixel| (pixel + 0.5) / 256.0).collect();
    Tensor::from_data(TensorData::new(x, [n, 32]), &Default::default())
}

/// Whatever else is in the batch, however its draws are cut (9 inputs have more than one part at 130 draws), and whatever the generator's state.
fn scores_do_not_depend_on_the_batch<B: FlowBackend>() {
    let device = Default::default();
    for (likelihood, samples) in [(GAUSSIAN, 1), (LOGISTIC, 1), (GAUSSIAN, 130), (LOGISTIC, 130)] {
        let vae = Vae::<B>::new(&small(likelihood, samples), 5, &device).unwrap();
        let x = images::<B>(9);
        B::seed(&device, 1);
        let together = values(vae.log_prob(x.clone()));
        B::seed(&device, 2);
        assert_eq!(values(vae.log_prob(x.clone())), together);
        for (i, expected) in together.iter().enumerate() {
            let alone = values(vae.log_prob(x.clone().narrow(0, i, 1)))[0];
            let error = (alone - expected).abs() / expected.abs();
            assert!(error < 1e-6, "{i}: {alone} alone, {expected} in the batch");
        }
    }
}

#[test]
fn scores_do_not_depend_on_the_batch_on_flex() {
    scores_do_not_depend_on_the_batch::<Flex>();
}

#[test]
fn scores_do_not_depend_on_the_batch_on_ndarray() {
    scores_do_not_depend_on_the_batch::<NdArray<f32>>();
}

#[test]
fn gradients_are_finite_at_extreme_inputs() {
    let device = Default::default();
    for (likelihood, samples) in [(GAUSSIAN, 1), (GAUSSIAN, 4), (LOGISTIC, 1), (LOGISTIC, 4)] {
        let of_levels = likelihood == LOGISTIC;
        let vae = Vae::<Autodiff<Flex>>::new(&small(likelihood, samples), 5, &device).unwrap();
        let extremes: &[f64] = if of_levels { &[0.0, 1.0] } else { &[0.0, 1.0, -1e4, 1e4, 1e12] };
        for &at in extremes {
            let x = Tensor::<Autodiff<Flex>, 2>::full([2, 32], at, &device).require_grad();
            let log_prob = vae.log_prob(x.clone());
            let gradients = log_prob.clone().sum().backward();
            assert!(values(log_prob).iter().all(|v| v.is_finite()), "at {at}");
            let by_x = values(x.grad(&gradients).unwrap());
            assert!(by_x.iter().all(|v| v.is_finite()), "at {at}");
            let Encoder::Conv(encoder) = &vae.encoder else { panic!("convolutions") };
            let by_bias = values(encoder.output.bias.val().grad(&gradients).unwrap());
            assert!(by_bias.iter().all(|v| v.is_finite()), "at {at}");
        }
    }
}

/// Where squares overflow, or outside the levels, the density is 0 and nothing is undefined.
#[test]
fn inputs_beyond_all_measure_have_density_zero() {
    let vae = Vae::<Flex>::new(&small(LOGISTIC, 4), 5, &Default::default()).unwrap();
    for at in [-1e-3, 1.001, 1e12] {
        let x = Tensor::full([1, 32], at, &Default::default());
        assert_eq!(values(vae.log_prob(x)), [f64::NEG_INFINITY], "at {at}");
    }
    let vae = Vae::<Flex>::new(&small(GAUSSIAN, 4), 5, &Default::default()).unwrap();
    let x = Tensor::full([1, 32], 1e30, &Default::default());
    assert_eq!(values(vae.log_prob(x)), [f64::NEG_INFINITY]);
}

fn forward_mode_agrees<B: FlowBackend>() {
    let device = Default::default();
    for likelihood in [GAUSSIAN, LOGISTIC] {
        let vae = Vae::<Autodiff<B>>::new(&small(likelihood, 6), 5, &device).unwrap();
        let twin: Vae<Forward<B>> = on_forward(vae.valid());
        let x = images::<B>(1);
        let z = vae.valid().encode(x.clone());
        let of_score = jacobian(|x| twin.log_prob(x).reshape([1, 1]), x.clone(), 16).unwrap();
        let of_decoder = jacobian(|z| twin.decode(z), z.clone(), 3).unwrap();

        let x = Tensor::<Autodiff<B>, 2>::from_inner(x).require_grad();
        let gradients = vae.log_prob(x.clone()).backward();
        let expected = values(x.grad(&gradients).unwrap());
        for (got, expected) in values(of_score).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got}, {expected}");
        }
        let of_decoder = values(of_decoder);
        for row in 0..32 {
            let z = Tensor::<Autodiff<B>, 2>::from_inner(z.clone()).require_grad();
            let gradients = vae.decode(z.clone()).narrow(1, row, 1).sum().backward();
            for (got, expected) in
                of_decoder[3 * row..].iter().zip(values(z.grad(&gradients).unwrap()))
            {
                assert!((got - expected).abs() < 1e-5, "{row}: {got}, {expected}");
            }
        }
    }
}

#[test]
fn forward_mode_agrees_on_flex() {
    forward_mode_agrees::<Flex>();
}

#[test]
fn forward_mode_agrees_on_ndarray() {
    forward_mode_agrees::<NdArray<f32>>();
}

/// The best linear model is probabilistic principal component analysis (Tipping & Bishop 1999), which has a closed form, and one latent more than the
/// data has need of collapses.
#[test]
fn a_linear_model_learns_principal_components() {
    let device = Default::default();
    let variances = [4.0, 0.2, 1.5, 0.2];
    let config = VaeConfig {
        shape: [4, 1, 1],
        latent: 3,
        network: NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu },
        ..Default::default()
    };
    let vae = Vae::<Autodiff<Flex>>::new(&config, 1, &device).unwrap();
    let x = points::<Autodiff<Flex>>(variances);
    let vae = trained(vae, Tensor::cat(vec![x.clone(); 8], 0), 600, 0.05).valid();
    let best = -0.5 * (4.0 * (2.0 * PI).ln() + variances.iter().map(|v| v.ln()).sum::<f64>() + 4.0);
    let r = 3f32.sqrt();
    let noise: Vec<f32> = (0..18)
        .map(|i| if i % 3 == i / 6 { if i / 3 % 2 == 0 { r } else { -r } } else { 0.0 })
        .collect();
    let noise = Tensor::from_data(TensorData::new(noise, [6, 1, 3]), &device);
    let reached = values(vae.elbo(x.clone().inner(), noise).weighted(1.0).mean())[0];
    assert!(reached < best + 1e-4 && reached > best - 0.03, "{reached}, not {best}");
    let scored = values(vae.log_prob(x.clone().inner()).mean())[0];
    assert!((scored - best).abs() < 0.1, "{scored}, not {best}");
    let mut kl = vae.latent_kl(x.inner());
    kl.sort_by(f64::total_cmp);
    assert!(kl[0] < 0.02 && kl[1] > 0.5, "{kl:?}");
}

/// Four images, equally likely: nothing can tell them cheaper than log 4. Without latents each pixel costs some 6 nats, 23 in all.
#[test]
fn the_discretised_logistic_learns_four_images() {
    let device = Default::default();
    let config = VaeConfig {
        shape: [1, 2, 2],
        latent: 2,
        network: NetworkConfig::Mlp { hidden: vec![16], activation: Activation::Tanh },
        likelihood: LOGISTIC,
        ..Default::default()
    };
    let vae = Vae::<Autodiff<Flex>>::new(&config, 2, &device).unwrap();
    let pixels = [
        [20f32, 200.0, 60.0, 90.0],
        [200.0, 20.0, 60.0, 190.0],
        [20.0, 200.0, 230.0, 190.0],
        [200.0, 20.0, 230.0, 90.0],
    ];
    let x = (Tensor::<Autodiff<Flex>, 2>::from_floats(pixels, &device) + 0.5) / 256.0;
    let start = values(vae.log_prob(x.clone()).mean())[0];
    let vae = trained(vae, Tensor::cat(vec![x.clone(); 16], 0), 600, 0.02).valid();
    let nats = |log_prob: f64| 4.0 * 256f64.ln() - log_prob;
    let (start, reached) = (nats(start), nats(values(vae.log_prob(x.inner()).mean())[0]));
    assert!(start > 23.0 && reached > 4f64.ln() - 0.01 && reached < 15.0, "{start}, {reached}");
}

#[test]
fn what_cannot_be_built_is_refused() {
    let wrong = |config: VaeConfig| {
        Vae::<Flex>::new(&config, 0, &Default::default()).unwrap_err().to_string()
    };
    let default = VaeConfig::default;
    assert_eq!(
        wrong(VaeConfig { latent: 785, ..default() }),
        "latent is 785, but it must be at most the data's dimension, 784"
    );
    for (sigma, shown) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let likelihood = LikelihoodConfig::Gaussian { sigma: Some(sigma) };
        assert_eq!(
            wrong(VaeConfig { likelihood, ..default() }),
            format!(
                "likelihood.sigma is {shown}, but it must be positive and finite, or null to learn it"
            )
        );
    }
    for (beta, shown) in [(0.0, "0"), (f64::INFINITY, "inf")] {
        assert_eq!(
            wrong(VaeConfig { beta, ..default() }),
            format!("beta is {shown}, but it must be positive and finite")
        );
    }
    assert_eq!(
        wrong(VaeConfig { importance_samples: 0, ..default() }),
        "importance_samples is 0, but it must be at least 1"
    );
    assert!(default().check().is_ok());
    let written: VaeConfig =
        serde_json::from_str(r#"{"likelihood": {"kind": "discretized_logistic"}}"#).unwrap();
    assert_eq!(written, VaeConfig { likelihood: LOGISTIC, ..default() });
}
