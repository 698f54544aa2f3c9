//! The deterministic autoencoder.

use atypical_models::{
    LatentModel, Learn, Learned, Objective,
    autoencoder::{Autoencoder, AutoencoderConfig, AutoencoderError},
    network::{Activation, NetworkConfig, NetworkError},
};
use burn::{
    backend::{Autodiff, Flex},
    module::AutodiffModule,
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{Tensor, TensorData, backend::Backend},
};

/// Points of dimension 4 with mean 0 and the covariance `Σ λ v vᵀ`, exactly: `±sqrt(4 λ) v` of each axis v.
pub fn points<B: Backend>(variances: [f64; 4]) -> Tensor<B, 2> {
    const AXES: [[f64; 4]; 4] = [
        [0.5, 0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5, -0.5],
        [0.5, 0.5, -0.5, -0.5],
        [0.5, -0.5, -0.5, 0.5],
    ];
    let values: Vec<f32> = [1.0, -1.0]
        .iter()
        .flat_map(|sign| {
            AXES.iter().zip(variances).flat_map(move |(axis, variance)| {
                axis.map(|v| (sign * v * (4.0 * variance).sqrt()) as f32)
            })
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [8, 4]), &Default::default())
}

/// Steps of Adam on the same batch, with a falling rate.
pub fn trained<B, M>(mut model: M, x: Tensor<B, 2>, steps: usize, rate: f64) -> M
where
    B: burn::tensor::backend::AutodiffBackend,
    M: Learn<B>,
{
    B::seed(&x.device(), 0);
    let mut optimizer = AdamConfig::new().init();
    for step in 0..steps {
        let Learned::Loss(loss) = model.learn(0, x.clone()) else { panic!("no loss") };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let rate = rate * (1.0 - step as f64 / steps as f64);
        model = optimizer.step(rate, model, gradients);
    }
    model
}

fn linear(shape: [usize; 3], latent: usize) -> AutoencoderConfig {
    let network = NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu };
    AutoencoderConfig { shape, latent, network }
}

/// The best linear autoencoder keeps the principal components (Baldi & Hornik 1989): what it loses is the variance of the others.
#[test]
fn a_linear_autoencoder_learns_the_principal_components() {
    let device = Default::default();
    let model = Autoencoder::<Autodiff<Flex>>::new(&linear([4, 1, 1], 2), 3, &device).unwrap();
    let x = points([3.0, 0.5, 2.0, 0.25]);
    let model = trained(model, x.clone(), 400, 0.05).valid();
    let x = x.inner();
    let lost = model.objective(x.clone()).mean().into_scalar();
    assert!((lost - 0.75).abs() < 1e-3, "{lost} is lost, not 0.75");
    let z = model.encode(x.clone());
    assert_eq!((z.dims(), model.latent_dimension()), ([8, 2], 2));
    let error = (model.decode(z) - x.clone()).powi_scalar(2).sum_dim(1);
    let difference = (error.reshape([8]) - model.objective(x)).abs().max().into_scalar();
    assert_eq!(difference, 0.0);
}

#[test]
fn what_cannot_be_built_is_refused() {
    let wrong = |shape, latent| {
        let config = linear(shape, latent);
        Autoencoder::<Flex>::new(&config, 0, &Default::default()).unwrap_err().to_string()
    };
    assert_eq!(wrong([2, 0, 1], 1), "shape is [2, 0, 1], but every side must be at least 1");
    assert_eq!(
        wrong([usize::MAX, 2, 1], 1),
        format!("shape is [{}, 2, 1], but no input has so many numbers", usize::MAX)
    );
    assert_eq!(wrong([2, 3, 1], 0), "latent is 0, but it must be at least 1");
    assert_eq!(wrong([2, 3, 1], 7), "latent is 7, but it must be at most the data's dimension, 6");
    let even = NetworkConfig::Conv {
        channels: vec![2],
        strides: vec![],
        kernel: 2,
        activation: Activation::Relu,
    };
    let config = AutoencoderConfig { network: even, ..Default::default() };
    assert_eq!(
        config.check().unwrap_err(),
        ("network", "cannot be built: kernel is 2, but it must be odd".to_owned())
    );
    let large = linear([1 << 20, 1, 1], 1 << 20);
    assert_eq!(large.check(), Ok(()));
    let error = Autoencoder::<Flex>::new(&large, 0, &Default::default()).unwrap_err();
    assert!(matches!(error, AutoencoderError::Network(NetworkError::TooLarge(_))), "{error}");
    assert!(AutoencoderConfig::default().check().is_ok());
}
