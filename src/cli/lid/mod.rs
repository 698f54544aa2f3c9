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
products with it, many times faster, with its errors. spectral is not bounded by the dimension: far from the training data, where the
latent is long, it can be larger. gap tells dimensions only where a gap is: in images, which fade, it is often 1.

Columns (csv begins with a line of # that says what the numbers are; read it with comment='#'):
  index                             position in the images given, after their slice
  <estimator>                       LID, in dimensions; NaN where the Jacobian is not finite
  matrix_free_standard_error        of the trace, over the choice of the probes
  matrix_free_quadrature_error      of both quadratic forms within their bounds, estimated
  matrix_free_low, matrix_free_high the quadrature's bounds for these probes
  matrix_free_products              products with J J^T
  matrix_free_converged             1 where both errors are within the tolerance
  not_finite_entries                NaN or infinite entries of the Jacobian, of products or of log-densities
  no_convergence                    1 where an eigenvalue iteration failed
  negative_eigenvalues              eigenvalues below zero by rounding
  unresolved                        1 where the scale lies below what f32 resolves: there LID reads rounding
  inverse_error                     how far the image comes back from its latent, in units of x (0 to 1)")]
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
  atypical lid bench --manifold lollipop,affine-10 --estimator mle --n 5000
  atypical lid bench --manifold flow-800 --estimator spectral,matrix_free --tolerance 5
  atypical lid bench --json | jq '.rows[] | select(.estimator == \"lpca\") | {manifold, mae}'

Estimators that read neighbours (lpca, mle, twonn, ess, corrint) see --n points. Those that read a model see the decoder of an ideal one
at --n-model points: f(u, w) = chart(mean + deviation u) + blur N w, whose latents u, w are standard normal, N the manifold's normals. lidl sees
its densities convolved with noise of 10 to 100 times the blur.

Manifolds: affine-, squiggly-, flow- with 10, 100, 800; lollipop, torus-circle, swiss-roll, sphere-2, sphere-10, klein-bottle, von-mises-circle, von-mises-torus,
multiscale-gaussian.

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
