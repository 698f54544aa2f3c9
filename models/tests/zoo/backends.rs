//! Every family beside the flows says the same on every backend, from the same seed.

use atypical_models::{
    Ability, AnyAutoencoder, AnyEstimator, DensityModel, FlowBackend, Init, LatentModel, Learn,
    Learned, Model, TwoStep,
    autoencoder::{Autoencoder, Avb, BiGan, Vae, Wae},
    autoregressive::{LstmMixture, PixelCnn},
    energy::Energy,
    mixture::GaussianMixture,
};
use burn::{
    backend::{Autodiff, Flex},
    tensor::{Tensor, activation::sigmoid, backend::Backend},
};
use serde_json::json;

/// A configuration; what is left out has its default.
macro_rules! of {
    ($($more:tt)*) => {
        &serde_json::from_value(json!({ $($more)* })).unwrap()
    };
}

/// One small model of each family; images of 8 x 8 or vectors of 3 numbers.
fn families<B: Backend>() -> Vec<(&'static str, Model<B>)> {
    let device = &B::Device::default();
    let images = [1, 8, 8];
    let mlp = json!({"kind": "mlp", "hidden": [16]});
    let conv = json!({"kind": "conv", "channels": [4, 8]});
    let plain = || {
        let config = of!("shape": images, "latent": 3, "network": conv);
        AnyAutoencoder::Plain(Autoencoder::new(config, 1, device).unwrap())
    };
    let mixture = || {
        let config = of!("shape": [3, 1, 1], "components": 2);
        AnyEstimator::Mixture(GaussianMixture::new(config, 1, device).unwrap())
    };
    let vae = Vae::new(of!("shape": images, "latent": 3, "network": conv), 1, device);
    let avb = Avb::new(of!("shape": images, "latent": 3, "network": mlp), 1, device);
    let wae = Wae::new(of!("shape": images, "latent": 3, "network": mlp), 1, device);
    let bigan = BiGan::new(of!("shape": images, "latent": 3, "network": mlp), 1, device);
    let energy = Energy::new(of!("shape": images, "network": conv), 1, device);
    let pixels = of!("shape": images, "hidden": 8, "blocks": 1, "mixtures": 2);
    let lstm = LstmMixture::new(of!("shape": [3, 1, 1], "hidden": 8, "mixtures": 2), 1, device);
    let standard = [vec![0.1; 3], vec![1.2; 3]];
    let models = [
        Model::Autoencoder(plain()),
        Model::Autoencoder(AnyAutoencoder::Vae(vae.unwrap())),
        Model::Autoencoder(AnyAutoencoder::Avb(avb.unwrap())),
        Model::Autoencoder(AnyAutoencoder::Wae(wae.unwrap())),
        Model::Autoencoder(AnyAutoencoder::BiGan(bigan.unwrap())),
        Model::Estimator(AnyEstimator::Energy(energy.unwrap())),
        Model::Estimator(AnyEstimator::PixelCnn(PixelCnn::new(pixels, 1, device).unwrap())),
        Model::Estimator(AnyEstimator::LstmMixture(lstm.unwrap())),
        Model::Estimator(mixture()),
        Model::TwoStep(TwoStep::new(plain(), mixture(), standard, device)),
    ];
    models.into_iter().map(|model| (model.family(), model)).collect()
}

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Four inputs: images in [0, 1], vectors around the origin.
fn inputs<B: Backend>(model: &Model<B>) -> Tensor<B, 2> {
    let dimension = model.shape().iter().product();
    let x = Init::new(7).normal([4, dimension], &B::Device::default());
    if dimension > 3 { sigmoid(x) } else { x }
}

/// What a model says of its inputs, by name.
fn said<B: FlowBackend>(model: &Model<B>) -> Vec<(&'static str, Vec<f64>)> {
    let x = inputs(model);
    let mut said = Vec::new();
    if model.lacks(Ability::Density).is_none() {
        said.push(("log-density", values(model.log_prob(x.clone()))));
    }
    if model.lacks(Ability::Latents).is_none() {
        let z = model.encode(x);
        said.push(("latents", values(z.clone())));
        said.push(("what is made of them", values(model.decode(z))));
    }
    said
}

/// The same as on flex, within `tolerance` of the largest value; and a step of training has a loss that is a number.
fn agrees<B: FlowBackend>(tolerance: f64)
where
    Autodiff<B>: FlowBackend,
    Autodiff<Flex>: FlowBackend,
{
    for ((family, ours), (_, flex)) in families::<B>().iter().zip(&families::<Flex>()) {
        let (ours, flex) = (said(ours), said(flex));
        assert!(!flex.is_empty(), "{family}: nothing to compare");
        for ((what, flex), (_, ours)) in flex.iter().zip(&ours) {
            let largest = flex.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            let apart = flex.iter().zip(ours).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(largest > 1e-3 && flex.len() == ours.len(), "{family}, {what}");
            assert!(apart <= tolerance * largest, "{family}, {what}: {apart:.1e} of {largest:.1e}");
        }
    }
    for (family, mut model) in families::<Autodiff<B>>() {
        // The halves of a two-step model learn on their own.
        if matches!(model, Model::TwoStep(_)) {
            continue;
        }
        let x = inputs(&model);
        for turn in 0..model.turns().len() {
            let loss = match model.learn(turn, x.clone()) {
                Learned::Loss(loss) => {
                    loss.backward();
                    values(loss)
                }
                Learned::Moved(objective) => values(objective),
            };
            assert!(loss.iter().all(|v| v.is_finite()), "{family}, turn {turn}: {loss:?}");
        }
    }
}

#[test]
fn flex() {
    agrees::<Flex>(0.0);
}

#[test]
fn ndarray() {
    agrees::<burn::backend::NdArray<f32>>(1e-5);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu() {
    agrees::<burn::backend::Wgpu>(1e-4);
}
