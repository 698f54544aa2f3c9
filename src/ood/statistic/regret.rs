//! Likelihood regret.

use crate::{config::RegretConfig, ood::scorer::largest};
use atypical_models::{
    FlowBackend, Init,
    autoencoder::{Posterior, Vae},
};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module, Param},
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{Tensor, backend::Backend},
};

/// Seed of the draws over which the bound is averaged.
const DRAWS_SEED: u64 = 0x7265_6772;

/// A normal posterior for each input of a batch, free to move.
#[derive(Module, Debug)]
struct Fitted<B: Backend> {
    mean: Param<Tensor<B, 2>>,
    log_sigma: Param<Tensor<B, 2>>,
}

/// `max_q ELBO(x; q) - ELBO(x; q(z | x))` of each input, in nats, at least 0: q starts at the encoder's posterior and goes up the bound by Adam, the decoder staying as it is; the best q met
/// counts. The bound is averaged over the same draws throughout, so that the inputs of a batch do not mix.
///
/// # Shapes
/// - x: `[batch, D]`
pub fn regret<B: FlowBackend>(vae: &Vae<B>, x: Tensor<B, 2>, config: RegretConfig) -> Vec<f64> {
    let RegretConfig { steps, lr, draws } = config;
    let device = x.device();
    let start = vae.posterior(x.clone());
    let noise = Init::new(DRAWS_SEED).normal::<B, 3>([draws, 1, start.mean.dims()[1]], &device);
    let vae = Vae::<Autodiff<B>>::from_inner(vae.clone()).no_grad();
    let (x, noise) = (Tensor::from_inner(x), Tensor::from_inner(noise));
    let tracked = |t: Tensor<B, 2>| Param::from_tensor(Tensor::from_inner(t));
    let mut fitted = Fitted { mean: tracked(start.mean), log_sigma: tracked(start.log_sigma) };
    let mut adam = AdamConfig::new().init::<Autodiff<B>, Fitted<Autodiff<B>>>();
    let (mut first, mut best): (Vec<f64>, Vec<f64>) = Default::default();
    for step in 0..=steps {
        let posterior = Posterior { mean: fitted.mean.val(), log_sigma: fitted.log_sigma.val() };
        let elbo = vae.elbo_of(x.clone(), posterior, noise.clone()).weighted(1.0);
        let values: Vec<f64> = elbo.clone().inner().into_data().iter::<f64>().collect();
        if step == 0 {
            (first, best) = (values.clone(), values);
        } else {
            // A NaN stays one: it is counted where all statistics are.
            best.iter_mut().zip(values).for_each(|(best, value)| *best = largest(*best, value));
        }
        if step < steps {
            let gradients = GradientsParams::from_grads((-elbo.sum()).backward(), &fitted);
            fitted = adam.step(lr, fitted, gradients);
        }
    }
    best.into_iter().zip(first).map(|(best, first)| best - first).collect()
}
