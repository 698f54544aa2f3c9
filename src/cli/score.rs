//! `score`.

use super::{CliError, Common, key_value, ood::Opened, print, print_json};
use crate::{
    config::{Environment, Loaded, Method, OodConfig},
    eval::CONVENTION,
    ood::{self, Plan},
    report::{Frame, ScoreTable},
    train, with_backend,
};
use clap::Args;
use std::path::PathBuf;

/// Score a set of images with a trained run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical score --run rq_nsf_fmnist_small --data mnist:test[:500] --method likelihood,lid --out mnist.parquet
  atypical score --run rq_nsf_fmnist_small --data photos.npz --method complexity,dose,combined --out photos.csv
  atypical score --run rq_nsf_fmnist_small --data photos.npz --method lid --set lid.estimator=matrix_free --out photos.jsonl

One row an image (with its file, where the images are a folder): the statistics that the methods read (log_likelihood in nats, lid, complexity_bits, …) and a column score_… for each
method, higher for more in-distribution images. Methods that are fitted, and the scale of LID, look at the run's own training images.
Keys of --set: those of an `ood` configuration, see `atypical config schema --kind ood`.")]
pub struct Score {
    /// The run: a name under MODEL_DIR, a path, or hf://org/name
    #[arg(long)]
    run: String,
    /// SPEC of the images
    #[arg(long)]
    data: String,
    /// Methods, separated by commas
    #[arg(long, value_name = "METHOD,…", value_enum, value_delimiter = ',', required = true)]
    method: Vec<Method>,
    /// SPEC of training images [default: those of the run]
    #[arg(long, value_name = "SPEC")]
    calibration: Option<String>,
    /// Set one key: a.b=value, the value in YAML
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<String>,
    /// File to write: .parquet, .csv or .jsonl
    #[arg(long, default_value = "scores.parquet")]
    out: PathBuf,
}

impl Score {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        Frame::check_format(&self.out)?;
        let run = super::load::open_run(common, &environment, &self.run)?;
        let trained = Loaded::<crate::config::TrainConfig>::file(&run.config())?.config;
        let calibration = self.calibration.as_ref().unwrap_or(&trained.data.train);
        let loaded = settings(common, &self.run, &self.method, &self.data, calibration, &self.set)?;
        let config = &loaded.config;
        let [images, calibration] = with_backend!(backend, common.device, |B, device| {
            let load = |spec: &str| {
                super::load::load::<B>(common, spec, &environment, (config.seed, true), &device)
            };
            let images = load(&self.data)?;
            // A likelihood is that of the model alone, whose training images may be elsewhere.
            let none = images.take(0);
            let calibration = match Plan::new(config, &none).is_fitted() {
                true => load(&config.calibration)?,
                false => none,
            };
            Ok::<_, CliError>([images, calibration])
        })?;
        let plan = Plan::new(config, &calibration);
        let (scores, chosen) = with_backend!(backend, common.device, |B, device| {
            let (model, trained) = train::open_model::<B>(&run, &device)?;
            let others = super::ood::Others::open(
                common,
                &environment,
                config,
                (&run, &trained, &model),
                &device,
            )?;
            let fingerprint = super::ood::fingerprint(&run, &trained)?;
            let model = Opened {
                model,
                dequantized: trained.data.dequantize,
                run: Some((&run, fingerprint)),
                name: None,
            };
            let models = super::ood::models(common, config, model, others, &device);
            Ok::<_, CliError>(ood::score(&plan, &models, &[&images])?)
        })?;
        let mut table = ScoreTable::default();
        for set in &scores {
            table.extend(&run.name(), &set.name, "", &set.columns())?;
            table.name_files(images.files.as_deref());
        }
        table.write(&self.out, CONVENTION)?;
        let out = self.out.display().to_string();
        let scale = chosen.map(|c| c.r);
        if common.json {
            return print_json(&serde_json::json!({
                "out": out, "images": images.len(), "scale": scale, "convention": CONVENTION,
                "columns": table.columns.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            }));
        }
        if common.quiet {
            return Ok(());
        }
        let scale = scale.map_or(String::new(), |r| format!(", LID at the scale {r:.3}"));
        print(format_args!("{} images of {}{scale}: {out}", images.len(), images.name))
    }
}

/// The settings of an experiment without OOD sets, with its checks and defaults.
pub(super) fn settings(
    common: &Common,
    run: &str,
    methods: &[Method],
    data: &str,
    calibration: &str,
    set: &[String],
) -> Result<Loaded<OodConfig>, CliError> {
    for (method, why) in [
        (
            Method::Dual,
            "dual chooses two thresholds against OOD images and has no score of its own; ask for likelihood,lid",
        ),
        (
            Method::BatchTypicality,
            "batch_typicality scores batches, not images; ask for typicality",
        ),
    ] {
        if methods.contains(&method) {
            return Err(CliError::Other(why.into()));
        }
    }
    let own =
        ["methods", "run", "in_distribution", "out_of_distribution", "calibration=", "more_runs"];
    if let Some(set) = set.iter().find(|set| own.iter().any(|key| set.starts_with(key))) {
        let hint = "its own options say that (--method, --run, …)";
        return Err(CliError::Other(format!("--set {set} is not for this command: {hint}")));
    }
    let methods: Vec<&str> = methods.iter().map(|m| m.name()).collect();
    let text = serde_json::json!({
        "run": run, "in_distribution": data, "out_of_distribution": [NOTHING],
        "calibration": calibration, "calibration_count": CALIBRATION, "methods": methods,
    });
    Loaded::<OodConfig>::text(&text.to_string(), &common.sets(set)).map_err(|error| {
        // Where in that text it stands tells the user nothing.
        let message = error.to_string();
        let own = message.strip_prefix("the built-in configuration:");
        let own = own.and_then(|rest| rest.split_once(": ")).map(|(_, problem)| problem.to_owned());
        CliError::Other(own.unwrap_or(message))
    })
}

/// Stands for the OOD sets that there are none of.
const NOTHING: &str = "nothing.npz";

/// Training images that methods are fitted on.
const CALIBRATION: usize = 256;
