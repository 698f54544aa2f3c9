//! `lid`.

mod bench;
mod images;

use super::{CliError, Common};
use clap::{Args, Subcommand};

/// Local intrinsic dimension of images under a trained run, or of estimators on known manifolds.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  atypical lid --run rq_nsf_fmnist_small --data mnist:test[:100] --estimator matrix_free --out mnist.parquet
  atypical lid --run rq_nsf_fmnist_small --data photos.npz --estimator threshold,spectral --scale -3 --out photos.csv
  atypical lid --run rq_nsf_fmnist_small --data mnist:test[:500] --scale plateau
  atypical lid --data mnist:test[:2000] --estimator mle,twonn       without a model, from the images alone
  atypical lid --data mnist:test[:500] --estimator lidl --ensemble d1,d2,d3      runs trained with different data.noise
  atypical lid bench                                                estimators on manifolds of known LID

Killed, or stopped by Ctrl-C, the same command goes on where it was. A figure of LID against the scale is written beside --out.
Estimators that read the model: threshold, spectral and gap are exact and need the Jacobian; matrix_free estimates spectral from
products with it, many times faster, with a standard error.")]
pub struct Lid {
    #[command(subcommand)]
    command: Option<LidCommand>,
    #[command(flatten)]
    images: Option<images::OfImages>,
}

#[derive(Debug, Subcommand)]
enum LidCommand {
    /// Compare estimators on synthetic manifolds whose LID is known
    #[command(after_help = "\
Examples:
  atypical lid bench
  atypical lid bench --manifold lollipop --manifold affine-10 --estimator mle --n 5000
  atypical lid bench --json | jq '.rows[] | select(.estimator == \"lpca\") | {manifold, mae}'

mae: mean absolute error in dimensions. bias: mean of (estimate - truth) / truth. concordance: how often of two points of
different LID the one of higher LID has the higher estimate (1 always, 0.5 by chance).")]
    Bench(bench::Bench),
}

impl Lid {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        match (&self.command, &self.images) {
            (Some(LidCommand::Bench(bench)), _) => bench.run(common),
            (None, Some(images)) => images.run(common),
            (None, None) => {
                Err(CliError::Other("say which images, with --data SPEC; see `lid --help`".into()))
            }
        }
    }
}
