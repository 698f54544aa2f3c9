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

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::{
        autoencoder::{LikelihoodConfig, VaeConfig},
        network::{Activation, Decoder, Encoder, Linear, NetworkConfig},
    };
    use burn::{backend::Flex, tensor::TensorData};

    const W: [f32; 2] = [0.6, -0.8];
    const SIGMA: f64 = 0.5;
    /// Of the posterior, `1 / (1 + |W|² / σ²)`.
    const VARIANCE: f32 = 0.2;

    /// A linear VAE whose encoder is the posterior, but for a shift of the mean.
    fn linear(shift: f32) -> Vae<Flex> {
        let device = Default::default();
        let config = VaeConfig {
            shape: [2, 1, 1],
            latent: 1,
            network: NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu },
            likelihood: LikelihoodConfig::Gaussian { sigma: Some(SIGMA) },
            ..Default::default()
        };
        let mut vae = Vae::new(&config, 0, &device).unwrap();
        let set = |linear: &mut Linear<Flex>, weight: Vec<f32>, bias: Vec<f32>| {
            let (dims, outputs) = (linear.weight.dims(), bias.len());
            linear.weight = Param::from_data(TensorData::new(weight, dims), &device);
            linear.bias = Param::from_data(TensorData::new(bias, [outputs]), &device);
        };
        let (Encoder::Mlp(encoder), Decoder::Mlp(decoder)) = (&mut vae.encoder, &mut vae.decoder)
        else {
            panic!("fully connected")
        };
        set(&mut decoder.layers[0], W.to_vec(), vec![0.0; 2]);
        let gain = VARIANCE / (SIGMA * SIGMA) as f32;
        let weight = vec![gain * W[0], gain * W[1], 0.0, 0.0];
        set(&mut encoder.layers[0], weight, vec![shift, 0.5 * VARIANCE.ln()]);
        vae
    }

    fn regrets(shift: f32, x: &[[f32; 2]], draws: usize) -> Vec<f64> {
        let x = TensorData::new(x.concat(), [x.len(), 2]);
        let x = Tensor::from_data(x, &Default::default());
        regret(&linear(shift), x, RegretConfig { steps: 200, lr: 0.02, draws })
    }

    /// The bound falls short of the evidence by `KL(q || p(z | x))`, `shift² / (2 variance)` of a normal posterior that is shifted.
    #[test]
    fn regret_is_what_the_encoder_gives_away() {
        let x = [[0.3, -0.2], [2.0, 1.0], [-5.0, 4.0]];
        for shift in [0.0_f32, 0.3, -0.6] {
            let expected = f64::from(shift * shift / (2.0 * VARIANCE));
            for (got, x) in regrets(shift, &x, 4000).into_iter().zip(x) {
                // The mean of so many draws is 1/60 off, and what is best for the draws is better by that squared.
                assert!((got - expected).abs() < 0.04 * expected + 0.002, "{shift} {x:?}: {got}");
            }
        }
    }

    #[test]
    fn inputs_of_a_batch_do_not_mix() {
        let x = [[0.3, -0.2], [-5.0, 4.0]];
        let together = regrets(0.3, &x, 8);
        for (together, x) in together.into_iter().zip(x) {
            assert!((together - regrets(0.3, &[x], 8)[0]).abs() < 1e-4, "{x:?}");
        }
    }
}
