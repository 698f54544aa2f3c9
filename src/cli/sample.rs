//! `sample`.

use super::{CliError, Common, print, print_json};
use crate::{config::Environment, data, report, run::write_atomic, train, with_backend};
use atypical_models::DensityModel;
use burn::tensor::{Tensor, backend::Backend};
use clap::Args;
use std::path::PathBuf;

/// Draw samples from a trained run, as a grid of images or as an npz archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical sample --run rq_nsf_fmnist_small --n 100 --out samples.png
  atypical sample --run rq_nsf_fmnist_small --n 5000 --out samples.npz   uint8 `images`, to use as data
  atypical sample --run rq_nsf_fmnist_small --mode --out mode.png        the image at z = 0")]
pub struct Sample {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// Number of samples, at most 1000000
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// Decode z = 0, the mode of the base density, instead
    #[arg(long)]
    mode: bool,
    /// File to write: a grid (.png) or an archive (.npz)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

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
        let (x, shape) = with_backend!(backend, common.device, |B, device| {
            let (flow, config) = train::open_flow::<B>(&run, &device)?;
            B::seed(&device, common.seed.unwrap_or(config.seed));
            let x: Vec<f32> = if self.mode {
                let mode = flow.decode(Tensor::zeros([1, flow.dimension()], &device)).0;
                mode.into_data().iter::<f32>().collect()
            } else {
                train::draw(&flow, self.n as usize, &device)
            };
            Ok::<_, CliError>((x, flow.shape()))
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
