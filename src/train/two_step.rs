//! The steps of a two-step model, one after the other, each a run of its own.

use super::{How, Outcome, TrainError, draw, one, open_model, trainee::is_vector, weights};
use crate::{
    config::{Loaded, TrainConfig, TwoStepConfig},
    data::{Corruption, Images, Noise},
    report::{grid_png, to_pixels},
    run::{FIRST, RunDir, SECOND, write_atomic},
};
use atypical_models::{FlowBackend, LatentModel, Model, TwoStep};
use burn::tensor::{
    Tensor, TensorData,
    backend::{AutodiffBackend, Backend},
};

/// Inputs encoded in one pass: bounds the memory.
const BATCH: usize = 256;
/// Standard deviation below which a latent coordinate is taken for a constant, which no division makes standard.
const CONSTANT: f64 = 1e-6;

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
        None => step::<B>("first step", &steps[0], images.clone(), &first, resume, how)?,
    };
    if before.interrupted.is_some() {
        return Ok(before);
    }
    let (model, _) = open_model::<B::InnerBackend>(&first, how.device)?;
    let Model::Autoencoder(autoencoder) = model else {
        unreachable!("the configuration was checked")
    };
    let noise = match config.data.dequantize {
        true => Noise::Evaluation { seed: config.seed },
        false => Noise::Off,
    };
    let [train, valid] = [&images.0, &images.1]
        .map(|images| encoded(&autoencoder, images, (noise, config.data.corruption()), how.device));
    let d = autoencoder.latent_dimension();
    let (standard, constant) = standards(&train, d);
    if constant > 0 {
        eprintln!(
            "warning: {constant} of the {d} latents are constant over the training data: the autoencoder does not use them, and the density of the others is all there is; lower model.first.latent"
        );
    }
    let vectors = |name: &str, z: &[f32]| {
        Images::of_vectors(format!("latents of {name}"), d, &standardised(z, &standard), None)
    };
    let latents = (vectors(&images.0.name, &train), vectors(&images.1.name, &valid));
    let outcome = step::<B>("second step", &steps[1], latents, &second, resume, how)?;
    if outcome.interrupted.is_none() {
        let (model, _) = open_model::<B::InnerBackend>(&second, how.device)?;
        let Model::Estimator(density) = model else {
            unreachable!("the configuration was checked")
        };
        let both = Model::TwoStep(TwoStep::new(autoencoder, density, standard, how.device));
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
    (noise, corruption): (Noise, Corruption),
    device: &B::Device,
) -> Vec<f32> {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut latents = Vec::with_capacity(images.len() * autoencoder.latent_dimension());
    for index in all.chunks(BATCH) {
        let x = TensorData::new(
            images.corrupted(index, noise, corruption),
            [index.len(), images.dimension()],
        );
        let z = autoencoder.encode(Tensor::from_data(x, device));
        latents.extend(z.into_data().iter::<f32>());
    }
    latents
}

/// Mean and standard deviation of each of d coordinates, and how many of them are constant: their deviation is 1 here.
fn standards(latents: &[f32], d: usize) -> ([Vec<f32>; 2], usize) {
    let n = (latents.len() / d) as f64;
    let column = |i: usize| latents.iter().skip(i).step_by(d).map(|v| f64::from(*v));
    let mean: Vec<f64> = (0..d).map(|i| column(i).sum::<f64>() / n).collect();
    let deviations: Vec<f64> = (0..d)
        .map(|i| (column(i).map(|v| (v - mean[i]).powi(2)).sum::<f64>() / n).sqrt())
        .collect();
    let constant = deviations.iter().filter(|deviation| **deviation < CONSTANT).count();
    let or_1 = |deviation: &f64| if *deviation < CONSTANT { 1.0 } else { *deviation as f32 };
    ([mean.iter().map(|m| *m as f32).collect(), deviations.iter().map(or_1).collect()], constant)
}

fn standardised(latents: &[f32], [mean, deviation]: &[Vec<f32>; 2]) -> Vec<f32> {
    let d = mean.len();
    latents.iter().enumerate().map(|(i, z)| (z - mean[i % d]) / deviation[i % d]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_become_standard_and_constants_stay() {
        let latents = [1.0, 5.0, 3.0, 5.0, 5.0, 5.0];
        let (standard, constant) = standards(&latents, 2);
        assert_eq!(constant, 1);
        assert_eq!(standard[0], [3.0, 5.0]);
        assert!((standard[1][0] - (8.0f32 / 3.0).sqrt()).abs() < 1e-6 && standard[1][1] == 1.0);
        let got = standardised(&latents, &standard);
        assert!((got[0] + got[4]).abs() < 1e-6 && got[2] == 0.0);
        assert_eq!([got[1], got[3], got[5]], [0.0; 3]);
    }
}
