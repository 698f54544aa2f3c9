//! `sample`.

use super::{CliError, Common};
use crate::{
    config::Environment,
    report,
    run::{RunDir, write_atomic},
    train, with_backend,
};
use atypical_models::DensityModel;
use burn::tensor::{Tensor, backend::Backend};
use clap::Args;
use std::path::PathBuf;

/// Draw samples from a trained run, as a grid of images.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical sample --run rq_nsf_fmnist_small --n 100 --out samples.png
  atypical sample --run rq_nsf_fmnist_small --mode --out mode.png       the image at z = 0")]
pub struct Sample {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// Number of samples
    #[arg(long, default_value_t = 64)]
    n: usize,
    /// Decode z = 0, the mode of the base density, instead
    #[arg(long)]
    mode: bool,
    /// PNG file to write
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

impl Sample {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        if self.n == 0 {
            return Err(CliError::Other("--n is 0; ask for at least one sample".into()));
        }
        let run = RunDir::open(&environment.model_dir, &self.run)?;
        let (pixels, shape) = with_backend!(backend, common.device, |B, device| {
            let (flow, config) = train::open_flow::<B>(&run, &device)?;
            B::seed(&device, common.seed.unwrap_or(config.seed));
            let x = if self.mode {
                flow.decode(Tensor::zeros([1, flow.dimension()], &device)).0
            } else {
                flow.sample(self.n, &device)
            };
            let x: Vec<f32> = x.into_data().iter::<f32>().collect();
            Ok::<_, CliError>((report::to_pixels(&x), flow.shape()))
        })?;
        write_atomic(&self.out, &report::grid_png(&pixels, shape))?;
        if !common.quiet {
            println!("{}", self.out.display());
        }
        Ok(())
    }
}
