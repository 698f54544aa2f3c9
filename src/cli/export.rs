//! `export`.

use super::{CliError, Common, load, print, print_json};
use crate::{config::Environment, export, train, with_backend};
use burn::module::Module;
use clap::Args;
use std::path::PathBuf;

/// Write a trained flow for PyTorch: weights, description, a script that loads them, numbers to check it by.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical export --run rq_nsf_fmnist_small --out exported
  python exported/load_flow.py exported --check          PyTorch's densities against those here; the exit code says whether they agree
  python exported/load_flow.py exported photos.npz       log_prob of uint8 images, one a line

The script needs torch and safetensors alone. As a module: `from load_flow import load; flow = load(\"exported\")`, then flow.log_prob(x), flow.encode(x), flow.decode(z)
and flow.sample(n). docs/export.md describes the files.")]
pub struct Export {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// Folder to write to; it is made, and refused if there is anything in it
    #[arg(long)]
    out: PathBuf,
}

impl Export {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let run = load::open_run(common, &environment, &self.run)?;
        let (files, weights) = with_backend!(backend, common.device, |B, device| {
            let (flow, config) = train::open_flow::<B>(&run, "`export`", &device)?;
            let seed = common.seed.unwrap_or(config.seed);
            let files = export::folder(&flow, &config, &run.name(), &self.out, seed, &device)?;
            Ok::<_, CliError>((files, flow.num_params()))
        })?;
        if common.json {
            return print_json(&serde_json::json!({
                "out": self.out, "weights": weights, "files": files,
            }));
        }
        if common.quiet {
            return Ok(());
        }
        let out = self.out.display();
        print(format_args!(
            "{out}: a flow of {weights} weights; check it in PyTorch with: python {out}/load_flow.py {out} --check"
        ))
    }
}
