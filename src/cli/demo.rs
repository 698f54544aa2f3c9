//! `demo`.

use super::{CliError, Common, ood, print, print_json, train::interrupter};
use crate::{
    config::{Environment, Loaded, OodConfig, TrainConfig},
    data::Spec,
    eval::Interval,
    ood::Results,
    run::{RunDir, RunError, write_atomic},
    train::{self, Display},
    with_backend,
};
use burn::backend::Autodiff;
use clap::Args;
use serde::Serialize;
use std::{path::Path, time::Instant};

/// Train a small model on real images and show the likelihood paradox and its cure.
///
/// Trains a small neural spline model on Fashion-MNIST images that the program carries, scores held-out Fashion-MNIST and
/// MNIST images by likelihood, by local intrinsic dimension and by both, and writes a report. Minutes on 2 cores; nothing is
/// downloaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical demo
  atypical demo --json | jq .auroc
  atypical demo --steps 20 --images 8        a quick look, too short to show much")]
pub struct Demo {
    /// Training steps, instead of the usual ones
    #[arg(long)]
    steps: Option<usize>,
    /// Images scored of each set, instead of the usual number
    #[arg(long)]
    images: Option<usize>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    seconds: f64,
    train_seconds: f64,
    bits_per_dimension: Option<f64>,
    auroc: Auroc,
    report: String,
    convention: &'static str,
}

#[derive(Debug, Serialize)]
struct Auroc {
    likelihood: Option<Interval>,
    lid: Option<Interval>,
    dual_oracle: Option<Interval>,
    dual_cross_fitted: Option<Interval>,
}

impl Auroc {
    fn new(results: &Results) -> Self {
        use crate::ood::{
            DUAL_CROSS_FITTED, DUAL_ORACLE,
            method::{LID, LIKELIHOOD},
        };
        Self {
            likelihood: results.auroc(LIKELIHOOD),
            lid: results.auroc(LID),
            dual_oracle: results.auroc(DUAL_ORACLE),
            dual_cross_fitted: results.auroc(DUAL_CROSS_FITTED),
        }
    }
}

impl Demo {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let start = Instant::now();
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let mut sets = common.sets(&[]);
        sets.extend(self.steps.map(|n| format!("max_steps={n}")));
        let training =
            Loaded::<TrainConfig>::text(include_str!("../../configs/train/demo.yaml"), &sets)?;
        let mut sets = common.sets(&[]);
        sets.extend(self.images.map(|n| format!("limit={n}")));
        let experiment =
            Loaded::<OodConfig>::text(include_str!("../../configs/ood/demo.yaml"), &sets)?;

        let run = fresh(&environment.model_dir)?;
        let images = train::images(&training.config, &environment.data_dir)?;
        let load = |spec: &str| Ok(spec.parse::<Spec>()?.load(&environment.data_dir)?);
        let mut scored = ood::images(&experiment.config, load)?;
        scored.inside[0].name = "Fashion-MNIST".into();
        scored.outside[0].name = "MNIST".into();
        if !common.quiet {
            eprintln!(
                "Training a neural spline model on {} Fashion-MNIST images, then scoring {} + {} images.",
                images.0.len(),
                scored.inside[0].len(),
                scored.outside[0].len()
            );
        }
        let display = Display { verbosity: common.verbosity(), tui: false };
        let (interrupter, training_guard) = interrupter()?;
        let (results, outcome) = with_backend!(backend, common.device, |B, device| {
            let outcome = train::train::<Autodiff<B>>(
                &training,
                images,
                &run,
                false,
                &device,
                display,
                interrupter,
            )?;
            drop(training_guard);
            if let Some(reason) = &outcome.interrupted {
                eprintln!("{reason} after step {}; the demo starts anew next time", outcome.steps);
                return Err(CliError::Stopped);
            }
            let (model, trained) = train::open_model::<B>(&run, &device)?;
            let bits = outcome.best_bits_per_dimension.map_or("-".into(), |b| format!("{b:.3}"));
            let facts = vec![
                (
                    "training".to_owned(),
                    format!("{} steps, {:.0} s", outcome.steps, outcome.seconds),
                ),
                ("bits per dimension, validation".to_owned(), bits),
            ];
            let out = RunDir::create(run.root(), "ood")?;
            let title = "The likelihood paradox and its cure".to_owned();
            let yaml = experiment.yaml()?;
            let config = &experiment.config;
            let model =
                ood::Opened { model, dequantized: trained.data.dequantize, run: None, name: None };
            let models = ood::models(common, config, model, ood::Others::none(), &device);
            let experiment = ood::experiment(config, run.name(), scored, facts);
            let judged = crate::ood::judge(experiment, &models).map_err(CliError::from)?;
            let facts = ood::provenance(backend.name(), config.seed);
            let results =
                crate::ood::write(title, &[judged], &out, &yaml, facts).map_err(CliError::from)?;
            Ok::<_, CliError>((results, outcome))
        })?;
        // The report is what people look for: it stands at the top of the run.
        let out = RunDir::open(run.root(), "ood")?;
        let html = std::fs::read(out.report())
            .map_err(|source| RunError::Read { path: out.report(), source })?;
        write_atomic(&run.report(), &html)?;

        let seconds = start.elapsed().as_secs_f64();
        if common.json {
            return print_json(&Summary {
                seconds,
                train_seconds: outcome.seconds,
                bits_per_dimension: outcome.best_bits_per_dimension,
                auroc: Auroc::new(&results),
                report: run.report().display().to_string(),
                convention: results.convention,
            });
        }
        ood::tell(common, &results, &out)?;
        if common.quiet { Ok(()) } else { print(format_args!("Done in {seconds:.0} s.")) }
    }
}

/// `demo`, or `demo-2`, `demo-3`, … where that exists: no earlier run is touched.
fn fresh(model_dir: &Path) -> Result<RunDir, RunError> {
    let mut number = 1;
    loop {
        let name = if number == 1 { "demo".to_owned() } else { format!("demo-{number}") };
        match RunDir::create(model_dir, &name) {
            Err(RunError::Exists(_)) => number += 1,
            other => return other,
        }
    }
}
