//! `lid bench`.

use crate::{
    cli::{CliError, Common, print, print_json},
    config::Environment,
    data::manifold::{MANIFOLDS, Manifold},
    lid::{
        Estimator, MatrixFree,
        bench::{Known, Settings},
    },
    progress::Progress,
    report,
    run::write_atomic,
    with_backend,
};
use clap::Args;
use std::{path::PathBuf, time::Instant};

/// Compare estimators on synthetic manifolds whose LID is known.
#[derive(Debug, Args)]
pub struct Bench {
    /// Manifolds, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    manifold: Vec<String>,
    /// Estimators, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    estimator: Vec<Estimator>,
    /// Points of each manifold, for the estimators that read neighbours
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(3..=1_000_000))]
    n: u64,
    /// Neighbours of a point [default: those that are usual for each estimator: 20 for mle, 100 for the others]
    #[arg(long)]
    k: Option<usize>,
    /// Points at which the estimators that read a model are asked: it costs as D cubed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    n_model: u64,
    /// Standard deviation of the model's density across the manifold
    #[arg(long, default_value_t = 1e-4, value_parser = blur)]
    blur: f64,
    /// Scale r (log-sigma) of the estimators that have one [default: half of log(blur)]
    #[arg(long, allow_hyphen_values = true, value_parser = scale)]
    scale: Option<f64>,
    /// matrix_free: error asked for, in dimensions, with at most 64 probes
    #[arg(long, default_value_t = 1.0, value_parser = tolerance)]
    tolerance: f64,
    /// Folder for the table and the figure [default: lid-bench under MODEL_DIR]
    #[arg(long)]
    out: Option<PathBuf>,
}

fn number(text: &str, fits: impl Fn(f64) -> bool, which: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if fits(value) => Ok(value),
        _ => Err(format!("write a number {which}")),
    }
}

fn blur(text: &str) -> Result<f64, String> {
    number(text, |v| (1e-6..=0.1).contains(&v), "from 1e-6 (f32 resolves no less) to 0.1")
}

fn scale(text: &str) -> Result<f64, String> {
    number(text, |r| (-20.0..=20.0).contains(&r), "in [-20, 20]")
}

fn tolerance(text: &str) -> Result<f64, String> {
    number(text, |t| t > 0.0 && t.is_finite(), "above 0")
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
            true => Estimator::ALL.to_vec(),
            false => Estimator::ALL.into_iter().filter(|e| self.estimator.contains(e)).collect(),
        };
        let seed = common.seed.unwrap_or(0);
        let backend = common.backend()?;
        let settings = Settings {
            k: self.k,
            r: self.scale.unwrap_or(0.5 * self.blur.ln()),
            matrix_free: MatrixFree { tolerance: self.tolerance, ..Default::default() },
            seed,
        };
        let total = manifolds.len() * estimators.len();
        let mut bar = Progress::new(common.verbosity(), "LID", total);
        let mut rows = Vec::with_capacity(total);
        for manifold in manifolds {
            let sample = manifold.sample(self.n as usize, seed);
            let decoders = manifold.decoders(self.n_model as usize, seed, self.blur);
            let mut known = Known::new(sample, decoders);
            for &estimator in &estimators {
                let start = Instant::now();
                let score = with_backend!(backend, common.device, |B, device| known
                    .score::<B>(estimator, &settings, &device));
                rows.push(report::LidRow {
                    manifold: manifold.name,
                    dimension: manifold.dimension,
                    estimator: estimator.name(),
                    told: settings.told(estimator),
                    seconds: start.elapsed().as_secs_f64(),
                    score: score.map_err(|e| e.to_string()),
                });
                bar.advance(1, manifold.name);
            }
        }
        bar.finish("");
        let folder = self.out.clone().unwrap_or_else(|| environment.model_dir.join("lid-bench"));
        let json = serde_json::json!({
            "n": self.n, "n_model": self.n_model, "blur": self.blur, "seed": seed, "rows": rows
        });
        write_atomic(&folder.join("lid_bench.json"), format!("{json:#}\n").as_bytes())?;
        let text = report::lid_text(&rows);
        write_atomic(&folder.join("lid_bench.txt"), text.as_bytes())?;
        report::lid_truth(&rows).write(&folder)?;
        if common.json {
            print_json(&json)?;
        } else if !common.quiet {
            print(format_args!("{text}\nfigure: {}", folder.join("lid_bench.svg").display()))?;
        }
        match rows.iter().all(|row| row.score.is_err()) {
            true => Err(CliError::Other(
                "no estimator could say anything; the lines above say why".into(),
            )),
            false => Ok(()),
        }
    }
}
