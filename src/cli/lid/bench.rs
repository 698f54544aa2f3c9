//! `lid bench`.

use crate::{
    cli::{CliError, Common, print, print_json},
    config::Environment,
    data::manifold::{MANIFOLDS, Manifold},
    lid::{bench, model_free::ModelFree},
    progress::Progress,
    report,
    run::write_atomic,
};
use clap::Args;
use std::{path::PathBuf, time::Instant};

/// Compare estimators on synthetic manifolds whose LID is known.
#[derive(Debug, Args)]
pub struct Bench {
    /// Manifold; may be given several times [default: all]
    #[arg(long)]
    manifold: Vec<String>,
    /// Estimator; may be given several times [default: all]
    #[arg(long, value_enum)]
    estimator: Vec<ModelFree>,
    /// Points of each manifold
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(3..=1_000_000))]
    n: u64,
    /// Neighbours of a point [default: those that are usual for each estimator: 20 for mle, 100 for the others]
    #[arg(long)]
    k: Option<usize>,
    /// Folder for the table and the figure [default: lid-bench under MODEL_DIR]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Bench {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let manifolds: Vec<&Manifold> = match self.manifold.is_empty() {
            true => MANIFOLDS.iter().collect(),
            false => {
                self.manifold.iter().map(|m| Manifold::by_name(m)).collect::<Result<_, _>>()?
            }
        };
        let estimators = match self.estimator.is_empty() {
            true => ModelFree::ALL.to_vec(),
            false => self.estimator.clone(),
        };
        let seed = common.seed.unwrap_or(0);
        let total = manifolds.len() * estimators.len();
        let mut bar = Progress::new(common.verbosity(), "LID", total);
        let mut rows = Vec::with_capacity(total);
        for manifold in manifolds {
            let points = manifold.sample(self.n as usize, seed);
            for &estimator in &estimators {
                let k = self.k.unwrap_or(estimator.usual_k());
                let start = Instant::now();
                let score = bench::score(&points, estimator, k);
                rows.push(report::LidRow {
                    manifold: manifold.name,
                    dimension: manifold.dimension,
                    estimator: estimator.name(),
                    k,
                    seconds: start.elapsed().as_secs_f64(),
                    score: score.map_err(|e| e.to_string()),
                });
                bar.advance(1, manifold.name);
            }
        }
        bar.finish("");
        let folder = self.out.clone().unwrap_or_else(|| environment.model_dir.join("lid-bench"));
        let json = serde_json::json!({ "n": self.n, "seed": seed, "rows": rows });
        write_atomic(&folder.join("lid_bench.json"), format!("{json:#}\n").as_bytes())?;
        let text = report::lid_text(&rows);
        write_atomic(&folder.join("lid_bench.txt"), text.as_bytes())?;
        report::lid_truth(&rows).write(&folder)?;
        if common.json {
            return print_json(&json);
        }
        if common.quiet {
            Ok(())
        } else {
            print(format_args!("{text}\nfigure: {}", folder.join("lid_bench.svg").display()))
        }
    }
}
