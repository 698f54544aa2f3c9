//! The steps of a two-step model, one after the other, each a run of its own.

use super::{
    How, Outcome, TrainError, draw, loader, moments::Moments, one, open_model, strategy,
    trainee::is_vector, weights,
};
use crate::{
    config::{Loaded, TrainConfig, TwoStepConfig},
    data::{Corruption, Images, Noise},
    report::{grid_png, to_pixels},
    run::{FIRST, RunDir, SECOND, write_atomic},
};
use atypical_models::{DensityModel, FlowBackend, LatentModel, Model, TwoStep};
use burn::tensor::backend::{AutodiffBackend, Backend};

/// Inputs encoded in one pass: bounds the memory.
const BATCH: usize = 256;

/// Train the autoencoder, then the density of its latents, then put both together. With `resume`, what is done is not done again.
pub fn train<B>(
    loaded: &Loaded<TrainConfig>,
    two_step: &TwoStepConfig,
    images: (Images, Images),
    run: &RunDir,
    resume: bool,
    how: &How<B>,
) -> Result<Outcome, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let config = &loaded.config;
    let steps = [config.first_step(two_step), config.second_step(two_step)];
    // What cannot be built shows before hours of the first step, not after them.
    config.model.build::<B>(config.seed, how.device)?;
    for step in &steps {
        if images.0.len() < step.batch_size {
            let (images, batch_size) = (images.0.len(), step.batch_size);
            return Err(TrainError::TooFewImages { images, batch_size });
        }
    }
    let [first, second] = [FIRST, SECOND].map(|part| run.part(part));
    let done = Outcome::read(&first).filter(|_| resume);
    if let Some(done) = &done {
        // Its latents are what the second step has learned.
        let before = Loaded::<TrainConfig>::file(&first.config())?.config;
        let length = |c: &TrainConfig| (c.epochs, c.max_steps, c.early_stopping.patience);
        if length(&before) != length(&steps[0]) {
            return Err(TrainError::FirstStepDone { epochs: done.epochs });
        }
    }
    write_atomic(&run.config(), loaded.yaml()?.as_bytes())?;
    let before = match done {
        Some(done) => done,
        None => step::<B>(strategy::FIRST_STEP, &steps[0], images.clone(), &first, resume, how)?,
    };
    if before.interrupted.is_some() {
        return Ok(before);
    }
    let (model, _) = open_model::<B::InnerBackend>(&first, how.device)?;
    let noise = Noise::evaluation(config.data.dequantize, config.seed);
    let some = |images: &Images| {
        let index: Vec<usize> = (0..images.len().min(BATCH)).collect();
        loader::batch(images, &index, (noise, Corruption::default()), how.device)
    };
    if let Some(problem) = model.complaint(some(&images.0)?) {
        let problem = problem.replace("model.", "model.first.");
        return Err(TrainError::FirstStep { problem });
    }
    let Model::Autoencoder(autoencoder) = model else {
        unreachable!("the configuration was checked")
    };
    let corruption = config.data.corruption();
    let encode = |images: &Images| encoded(&autoencoder, images, (noise, corruption), how.device);
    let (train, valid) = (encode(&images.0)?, encode(&images.1)?);
    let d = autoencoder.latent_dimension();
    let mut moments = Moments::new(d);
    moments.add(&train);
    let (standard, constant) = moments.standards();
    if constant > 0 {
        eprintln!(
            "warning: {constant} of the {d} latents are constant over the training data: the autoencoder does not use them, and the density of the others is all there is; lower model.first.latent"
        );
    }
    let vectors = |name: &str, z: &[f32]| {
        Images::of_vectors(format!("latents of {name}"), d, &standardised(z, &standard), None)
    };
    let latents = (vectors(&images.0.name, &train), vectors(&images.1.name, &valid));
    let outcome = step::<B>(strategy::SECOND_STEP, &steps[1], latents, &second, resume, how)?;
    if outcome.interrupted.is_none() {
        let (model, _) = open_model::<B::InnerBackend>(&second, how.device)?;
        let Model::Estimator(density) = model else {
            unreachable!("the configuration was checked")
        };
        let both = Model::TwoStep(TwoStep::new(autoencoder, density, standard, how.device));
        let densities = both.log_prob(some(&images.1)?);
        let densities: Vec<f64> = densities.into_data().iter::<f64>().collect();
        let without = densities.iter().filter(|value| !value.is_finite()).count();
        if without > 0 {
            eprintln!(
                "warning: {without} of {} validation images have no density: the decoder moves in fewer directions than it has latents, as far as f32 tells; lower model.first.latent",
                densities.len()
            );
        }
        write_atomic(&run.metrics_log(), without_bits(&second).as_bytes())?;
        write_atomic(&run.best_model(), &weights::to_bytes(&both)?)?;
        if config.samples.every > 0 && !is_vector(both.shape()) {
            <B::InnerBackend as Backend>::seed(how.device, config.seed);
            let (pixels, broken) = to_pixels(&draw(&both, config.samples.count, how.device));
            if broken > 0 {
                eprintln!(
                    "warning: {broken} values of the samples are NaN or infinite; they are black"
                );
            }
            write_atomic(&run.samples(outcome.epochs), &grid_png(&pixels, both.shape()))?;
        }
    }
    // Bits of a latent's dimensions are not those of a pixel's.
    let best_bits_per_dimension = None;
    let seconds = before.seconds + outcome.seconds;
    Ok(Outcome { seconds, best_bits_per_dimension, ..outcome })
}

/// The second step's log, which counts bits of latents.
fn without_bits(second: &RunDir) -> String {
    let log = std::fs::read_to_string(second.metrics_log()).unwrap_or_default();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let without = lines.map(|mut line| {
        if let Some(line) = line.as_object_mut() {
            line.retain(|key, _| !key.ends_with("bits_per_dimension"));
        }
        format!("{line}\n")
    });
    without.collect()
}

/// Train one step; with `resume`, from where it stands.
fn step<B>(
    what: &'static str,
    config: &TrainConfig,
    images: (Images, Images),
    run: &RunDir,
    resume: bool,
    how: &How<B>,
) -> Result<Outcome, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let text = serde_json::to_string(config).unwrap_or_default();
    let loaded = Loaded::<TrainConfig>::text(&text, &[])?;
    let begun = !run.checkpoints().steps().is_empty();
    let outcome = one::<B>(what, &loaded, images, run, resume && begun, how)?;
    if outcome.interrupted.is_none() {
        outcome.write(run)?;
    }
    Ok(outcome)
}

/// The latents of images, row-major.
fn encoded<B: FlowBackend>(
    autoencoder: &impl LatentModel<B>,
    images: &Images,
    seen: (Noise, Corruption),
    device: &B::Device,
) -> Result<Vec<f32>, TrainError> {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut latents = Vec::with_capacity(images.len() * autoencoder.latent_dimension());
    for index in all.chunks(BATCH) {
        let z = autoencoder.encode(loader::batch(images, index, seen, device)?);
        latents.extend(z.into_data().iter::<f32>());
    }
    Ok(latents)
}

fn standardised(latents: &[f32], [mean, deviation]: &[Vec<f32>; 2]) -> Vec<f32> {
    let d = mean.len();
    latents.iter().enumerate().map(|(i, z)| (z - mean[i % d]) / deviation[i % d]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_become_standard_coordinate_by_coordinate() {
        let got = standardised(&[1.0, 5.0, 3.0, 7.0], &[vec![3.0, 5.0], vec![2.0, 1.0]]);
        assert_eq!(got, [-1.0, 0.0, 0.0, 2.0]);
    }
}
