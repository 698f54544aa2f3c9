//! `import`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::Environment,
    import::{self, Imported},
    with_backend,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Take over a model that was trained elsewhere.
#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// A flow that the Python reference (dgm_ood_detection, nflows) trained
    #[command(after_help = "\
Examples:
  atypical import nflows --config run_config.json --checkpoint checkpoints/de_nf_best_valid.pt --out rq_nsf_fmnist
  atypical import nflows --config flow.yaml --checkpoint de_nf_best_valid.pt --data photos/ --out photos
  atypical doctor --run rq_nsf_fmnist --data fashion-mnist:test
  atypical score --run rq_nsf_fmnist --data fashion-mnist:test --method likelihood,lid --out scores.parquet

Only tensors are read of the checkpoint; code in it is never run. A training, an OOD experiment or a sweep of the reference: atypical config import.")]
    Nflows {
        /// The checkpoint: a PyTorch file, de_nf_best_valid.pt
        #[arg(long)]
        checkpoint: PathBuf,
        /// The configuration it was trained by: the YAML given to train.py, or run_config.json
        #[arg(long, short)]
        config: PathBuf,
        /// SPEC of its training images [default: what the configuration's `data.dataset` is here]
        #[arg(long)]
        data: Option<String>,
        /// Name of the new run under MODEL_DIR
        #[arg(long)]
        out: String,
    },
}

impl Import {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let ImportCommand::Nflows { checkpoint, config, data, out } = &self.command;
        let environment = Environment::read()?;
        with_backend!(common.backend()?, common.device, |B, device| {
            let place = (environment.model_dir.as_path(), out.as_str());
            let imported: Imported<B> =
                import::nflows(checkpoint, config, data.as_deref(), place, &device)?;
            report(
                common,
                &imported.run.root().display().to_string(),
                &imported.notes,
                weights(&imported),
            )
        })
    }
}

fn weights<B: burn::tensor::backend::Backend>(imported: &Imported<B>) -> usize {
    burn::module::Module::num_params(&imported.flow)
}

fn report(common: &Common, run: &str, notes: &[String], weights: usize) -> Result<(), CliError> {
    if common.json {
        return print_json(&serde_json::json!({"run": run, "weights": weights, "notes": notes}));
    }
    if common.quiet {
        return Ok(());
    }
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    print(format_args!(
        "{run}: a flow of {weights} weights; look at it with: atypical doctor --run {run}"
    ))
}
