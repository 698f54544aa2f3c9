//! `quality`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::{Environment, LidConfig},
    data::{Images, Kind, Noise, Spec},
    eval::generation::{self, KernelDistance, Quality},
    ood::{self, Scorer},
    progress::Progress,
    report, train, with_backend,
};
use atypical_models::{Ability, DensityModel, bits_per_dimension};
use burn::tensor::backend::Backend;
use clap::Args;

/// Compare samples of a trained run with real data.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical quality --run rq_nsf_fmnist_small --data fashion-mnist:test
  atypical quality --run rq_nsf_fmnist_small --data fashion-mnist:test --n 10000
  atypical quality --run rq_nsf_fmnist_small --data demo:test --json | jq .quality.kernel_distance.features

kernel distance  squared maximum mean discrepancy by the cubic kernel of the Kernel Inception Distance, unbiased: 0, within its standard error, where samples and data are of one
                 distribution; of the pixels, and of 256 features of a random network that is always the same one. Not to be compared with distances of Inception's features.
precision        share of the samples that lie among the data: within reach of a datum, which is as far as its 5th nearest neighbour among the data
recall           share of the data that lie among the samples, likewise
density          how many data reach a sample, over 5: 1 on average where both are of one distribution, higher where samples keep to where data are dense
coverage         share of the data that reach a sample: 0.97 on average where both are of one distribution
bits per dim.    of the data, by the model's likelihood or a bound on it, for models that have one

Precision, recall, density and coverage are by the features; of vectors all is by their numbers, in units of the data's standard deviations. All but the bits depend on how many
samples there are: compare runs at the same --n.")]
pub struct QualityArgs {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// SPEC of real data that the run was not trained on
    #[arg(long, value_name = "SPEC")]
    data: String,
    /// Samples to draw, and data to compare them with (drawn at random where there are more)
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(20..=10_000))]
    n: u64,
}

/// Samples drawn between two looks at the bar; [`train::draw`] draws as many in one pass.
const PIECE: usize = 256;

impl QualityArgs {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let run = super::load::open_run(common, &environment, &self.run)?;
        let data = self.data.parse::<Spec>()?.load(&environment.data_dir)?;
        if data.len() < generation::FEWEST {
            return Err(CliError::Other(format!(
                "`{}` has {} samples, but a comparison needs at least {}",
                self.data,
                data.len(),
                generation::FEWEST
            )));
        }
        let (quality, bits) = with_backend!(backend, common.device, |B, device| {
            let (model, config) = train::open_model::<B>(&run, &device)?;
            super::load::expect(&run, &model, Ability::Samples)?;
            ood::expect_domain(&model, &data)?;
            let seed = common.seed.unwrap_or(config.seed);
            let real = data.draw(self.n as usize, seed);
            B::seed(&device, seed);
            let mut bar = Progress::new(common.verbosity(), "samples", real.len());
            let mut samples = Vec::with_capacity(real.len() * model.dimension());
            for from in (0..real.len()).step_by(PIECE) {
                let piece = PIECE.min(real.len() - from);
                samples.extend(train::draw(&model, piece, &device));
                bar.advance(piece, "");
            }
            bar.finish(&run.name());
            let generated = self.images(&samples, &real)?;
            let mut bar = Progress::new(common.verbosity(), "comparison", generation::STEPS);
            let quality = generation::quality_with(&generated, &real, seed, &mut bar)?;
            bar.finish(&real.name);
            let likelihood = match model.is_likelihood() {
                true => {
                    let noise = Noise::evaluation(config.data.dequantize, seed);
                    let (batch, lid) = (config.batch_size, LidConfig::default());
                    let bars = common.verbosity();
                    let scorer = Scorer::<B>::new(model, noise, batch, &lid, seed, device, bars);
                    Some(scorer.log_likelihood(&real)?)
                }
                false => None,
            };
            let bits = likelihood.map(|likelihood| bits(&likelihood, &real));
            Ok::<_, CliError>((quality, bits))
        })?;
        if bits.is_some_and(|bits| !bits.is_finite()) {
            eprintln!(
                "warning: log-likelihoods of the data are NaN or infinite: `atypical doctor --run {}` says more",
                self.run
            );
        }
        if common.json {
            return print_json(&serde_json::json!({
                "run": run.name(), "data": self.data, "neighbours": generation::NEIGHBOURS,
                "quality": quality, "bits_per_dimension": bits,
            }));
        }
        if quality.n_real < self.n as usize && !common.quiet {
            eprintln!(
                "note: {} has only {}, so {} samples were compared with them",
                self.data, quality.n_real, quality.n_generated
            );
        }
        if common.quiet { Ok(()) } else { print(text(&run.name(), &self.data, &quality, bits)) }
    }

    /// Samples as the data are.
    fn images(&self, samples: &[f32], real: &Images) -> Result<Images, CliError> {
        let name = format!("generated:{}", self.run);
        let (images, broken) = match real.kind {
            Kind::Pixels => {
                let (pixels, broken) = report::to_pixels(samples);
                (Images::of_pixels(name, real.shape, pixels, None), broken)
            }
            Kind::Vectors => {
                let broken = samples.iter().filter(|value| !value.is_finite()).count();
                (Images::of_vectors(name, real.dimension(), samples, None), broken)
            }
        };
        match broken {
            0 => Ok(images),
            broken => Err(CliError::Other(format!(
                "{broken} of the {} values of the samples are NaN or infinite: `atypical doctor --run {}` says more",
                samples.len(),
                self.run
            ))),
        }
    }
}

/// Mean bits per dimension.
fn bits(log_likelihood: &[f64], images: &Images) -> f64 {
    let mean = log_likelihood.iter().sum::<f64>() / log_likelihood.len() as f64;
    let of_images = bits_per_dimension(mean, images.dimension());
    match images.kind {
        Kind::Pixels => of_images,
        // Without the 8 bits of 256 grey levels, which vectors do not have.
        Kind::Vectors => of_images - 8.0,
    }
}

/// What a person reads.
fn text(run: &str, data: &str, quality: &Quality, bits: Option<f64>) -> String {
    let Quality { kernel_distance, precision, recall, density, coverage, .. } = quality;
    let distance = |distance: KernelDistance| {
        format!("{:.6} (standard error {:.6})", distance.value, distance.standard_error)
    };
    let mut lines = vec![format!(
        "{} samples of {run} against {} of {data}",
        quality.n_generated, quality.n_real
    )];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<28}{value}"));
    match kernel_distance.features {
        Some(features) => {
            line("kernel distance, features", distance(features));
            line("kernel distance, pixels", distance(kernel_distance.pixels));
        }
        None => line("kernel distance", distance(kernel_distance.pixels)),
    }
    for (name, value) in
        [("precision", precision), ("recall", recall), ("density", density), ("coverage", coverage)]
    {
        line(name, format!("{value:.3}"));
    }
    if let Some(bits) = bits {
        line("bits per dimension", format!("{bits:.3}"));
    }
    lines.join("\n")
}
