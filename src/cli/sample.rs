//! `sample`.

use super::{CliError, Common, print, print_json};
use crate::{
    backend::BackendName,
    config::Environment,
    data::{self, Noise},
    report,
    run::{RunDir, write_atomic},
    train, with_backend,
};
use atypical_models::{Ability, DensityModel, LatentModel};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::Args;
use std::path::PathBuf;

/// Draw samples from a trained run, as a grid of images or as an npz archive; or show what its latents make of images.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical sample --run rq_nsf_fmnist_small --n 100 --out samples.png
  atypical sample --run rq_nsf_fmnist_small --n 5000 --out samples.npz   uint8 `images`, to use as data
  atypical sample --run rq_nsf_fmnist_small --mode --out mode.png        the image at z = 0
  atypical sample --run vae_fmnist --reconstruct fashion-mnist:test --n 32 --out again.png   images, under each row what the model makes of them
  atypical sample --run vae_fmnist --walk --out walk.png                 from one latent to another, a walk a row
  atypical sample --run vae_fmnist --walk --reconstruct mnist:test       walks between images of a set")]
pub struct Sample {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// Number of samples, at most 1000000
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// Decode z = 0, the mode of the base density, instead
    #[arg(long, conflicts_with_all = ["reconstruct", "walk"])]
    mode: bool,
    /// Show these images, and under each row of them what the model makes of their latents
    #[arg(long, value_name = "SPEC")]
    reconstruct: Option<String>,
    /// Walk through the latent space from one image to another: between samples, or between the images of --reconstruct
    #[arg(long)]
    walk: bool,
    /// File to write: a grid (.png) or an archive (.npz)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

/// Ends of the walks between samples, two for each.
const WALKS: usize = 16;

/// Samples that a grid shows at most.
const GRID: u64 = 10_000;

impl Sample {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let extension = self.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let out = self.out.display();
        match extension {
            "npz" => {}
            "png" if self.n <= GRID || self.mode => {}
            "png" => {
                let hint = format!("a grid shows at most {GRID} samples; write more to an .npz");
                return Err(CliError::Other(hint));
            }
            _ => {
                let hint = format!("cannot tell the format of {out}; end its name in .png or .npz");
                return Err(CliError::Other(hint));
            }
        }
        let run = super::load::open_run(common, &environment, &self.run)?;
        if self.walk || self.reconstruct.is_some() {
            return self.latents(common, &environment, backend, &run);
        }
        let (x, shape) = with_backend!(backend, common.device, |B, device| {
            let (model, config) = train::open_model::<B>(&run, &device)?;
            let needed = if self.mode { Ability::NormalLatents } else { Ability::Samples };
            super::load::expect(&run, &model, needed)?;
            B::seed(&device, common.seed.unwrap_or(config.seed));
            let x: Vec<f32> = if self.mode {
                let mode = model.decode(Tensor::zeros([1, model.latent_dimension()], &device));
                mode.into_data().iter::<f32>().collect()
            } else {
                train::draw(&model, self.n as usize, &device)
            };
            Ok::<_, CliError>((x, model.shape()))
        })?;
        let [dimension, height, width] = shape;
        if height * width == 1 {
            return self.vectors(common, &x, dimension);
        }
        let (pixels, broken) = report::to_pixels(&x);
        if broken > 0 {
            eprintln!(
                "warning: {broken} values of the samples are NaN or infinite; they are 0 in {out}"
            );
        }
        let bytes = match extension {
            "npz" => data::to_npz(&pixels, shape).map_err(|e| CliError::Other(e.to_string()))?,
            _ => report::grid_png(&pixels, shape),
        };
        write_atomic(&self.out, &bytes)?;
        if common.json {
            let n = pixels.len() / shape.iter().product::<usize>();
            return print_json(&serde_json::json!({
                "out": self.out, "n": n, "shape": shape, "not_finite": broken,
            }));
        }
        if common.quiet { Ok(()) } else { print(out) }
    }

    /// What the model's latents make of images.
    fn latents(
        &self,
        common: &Common,
        environment: &Environment,
        backend: BackendName,
        run: &RunDir,
    ) -> Result<(), CliError> {
        let out = self.out.display();
        if self.out.extension().is_none_or(|e| e != "png") {
            let hint = format!("--walk and --reconstruct make pictures; name a .png, not {out}");
            return Err(CliError::Other(hint));
        }
        let broken = with_backend!(backend, common.device, |B, device| {
            let (model, config) = train::open_model::<B>(run, &device)?;
            if train::is_vector(model.shape()) {
                let hint =
                    format!("the run `{}` is one of vectors, which make no picture", self.run);
                return Err(CliError::Other(hint));
            }
            super::load::expect(run, &model, Ability::Latents)?;
            let seed = common.seed.unwrap_or(config.seed);
            let n = (self.n.min(GRID) as usize).max(2);
            let x: Tensor<B, 2> = match &self.reconstruct {
                Some(spec) => {
                    let draw = (seed, true);
                    let images = super::load::load::<B>(common, spec, environment, draw, &device)?;
                    images.expect_shape(model.shape())?;
                    if self.walk && images.len() < 2 {
                        let hint = format!(
                            "a walk goes between two images, and {spec} has {}",
                            images.len()
                        );
                        return Err(CliError::Other(hint));
                    }
                    let index: Vec<usize> = (0..images.len().min(n)).collect();
                    let data = images.unit(&index, Noise::Off)?;
                    let shape = [index.len(), images.dimension()];
                    Tensor::from_data(TensorData::new(data, shape), &device)
                }
                None => {
                    super::load::expect(run, &model, Ability::Samples)?;
                    B::seed(&device, seed);
                    model.sample(n.min(WALKS), &device)
                }
            };
            let (png, broken) = match self.walk {
                true => train::walks_png(&model, x, model.shape()),
                false => train::reconstructions_png(&model, x, model.shape()),
            };
            write_atomic(&self.out, &png)?;
            Ok::<usize, CliError>(broken)
        })?;
        if broken > 0 {
            eprintln!("warning: {broken} values of {out} are NaN or infinite; they are black");
        }
        if common.json {
            return print_json(&serde_json::json!({ "out": self.out, "not_finite": broken }));
        }
        if common.quiet { Ok(()) } else { print(out) }
    }

    /// Samples of a model of vectors are numbers, not pictures.
    fn vectors(&self, common: &Common, x: &[f32], dimension: usize) -> Result<(), CliError> {
        let out = self.out.display();
        if self.out.extension().is_none_or(|e| e != "npz") {
            return Err(CliError::Other(format!(
                "the run `{}` is one of vectors, which make no picture; write them to an .npz, not to {out}",
                self.run
            )));
        }
        let broken = x.iter().filter(|v| !v.is_finite()).count();
        if broken > 0 {
            eprintln!("warning: {broken} values of the samples are NaN or infinite");
        }
        let bytes =
            data::vectors_to_npz(x, dimension).map_err(|e| CliError::Other(e.to_string()))?;
        write_atomic(&self.out, &bytes)?;
        if common.json {
            return print_json(&serde_json::json!({
                "out": self.out, "n": x.len() / dimension, "shape": [dimension], "not_finite": broken,
            }));
        }
        if common.quiet { Ok(()) } else { print(out) }
    }
}
