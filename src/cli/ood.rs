//! `ood`.

use super::{CliError, Common, key_value, print, print_json, stem};
use crate::{
    config::{Environment, Loaded, OodConfig, TrainConfig},
    data::{Images, Noise},
    ood::{self, Experiment, Models, OodError, Results, Scorer},
    report,
    run::{RunDir, RunError},
    train, with_backend,
};
use atypical_models::{FlowBackend, flow::Flow};
use clap::Args;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Score in- and out-of-distribution images with a trained run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist_small.yaml
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist.yaml --set limit=200 --set lid.estimator=spectral
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist.yaml --set out_of_distribution='[my_images.npz]' --name mine")]
pub struct Ood {
    /// Configuration file; given several times, later files win
    #[arg(long, short, required = true)]
    config: Vec<PathBuf>,
    /// Set one key: a.b=value, the value in YAML
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<String>,
    /// Name of the experiment under MODEL_DIR [default: `name` in the configuration, else ood-<file>]
    #[arg(long)]
    name: Option<String>,
    /// MiB that one Jacobian may take beside the model [default: 512]
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
}

impl Ood {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let mut sets = common.sets(&self.set);
        sets.extend(self.memory.map(|m| format!("lid.memory_mib={m}")));
        let loaded = Loaded::<OodConfig>::new(&self.config, &sets)?;
        let config = &loaded.config;
        let name = self
            .name
            .clone()
            .or_else(|| config.name.clone())
            .unwrap_or_else(|| format!("ood-{}", stem(&self.config, "experiment")));
        let run = RunDir::open(&environment.model_dir, &config.run)?;
        let sets = with_backend!(backend, common.device, |B, device| {
            images(config, |spec| super::data::load::<B>(spec, &environment, config.seed, &device))
        })?;
        // An experiment is made anew each time, in a folder beside the old one.
        let out = match RunDir::create(&environment.model_dir, &name) {
            Err(RunError::Exists(root)) => {
                match Loaded::<OodConfig>::file(&root.join("config.yaml")) {
                    Ok(_) => RunDir::open(&environment.model_dir, &name)?,
                    Err(_) => return Err(RunError::NotAnExperiment(root).into()),
                }
            }
            other => other?,
        };
        let staged = out.stage()?;
        let yaml = loaded.yaml()?;
        let results = with_backend!(backend, common.device, |B, device| {
            let (flow, trained) = train::open_flow::<B>(&run, &device)?;
            let others = Others::open(config, &environment.model_dir, &trained, &device)?;
            let title = format!("Out-of-distribution detection with {}", run.name());
            let mut facts = vec![
                ("model".to_owned(), run.root().display().to_string()),
                ("SHA-256 of its weights".to_owned(), digest(&run)?),
                ("backend".to_owned(), backend.name().to_owned()),
                ("burn".to_owned(), "0.21.0".to_owned()),
            ];
            if let Some(epoch) = run.last_epoch() {
                let trained = format!("{} epochs, {} steps", epoch["epoch"], epoch["step"]);
                facts.push(("training".to_owned(), trained));
            }
            let out = staged.folder();
            evaluate(common, config, &yaml, (flow, others), device, sets, out, title, facts)
        })?;
        let out = staged.commit()?;
        if common.json {
            return print_json(&results);
        }
        tell(common, &results, &out)
    }
}

/// The SHA-256 of a run's weights.
pub(super) fn digest(run: &RunDir) -> Result<String, RunError> {
    let path = run.weights();
    let bytes = std::fs::read(&path).map_err(|source| RunError::Read { path, source })?;
    Ok(crate::hex(&Sha256::digest(bytes)))
}

/// Calibration, in-distribution and OOD images.
pub(super) type Sets = (Images, Images, Vec<Images>);

/// The images of an experiment, each set as `load` has it.
pub(super) fn images(
    config: &OodConfig,
    load: impl Fn(&str) -> Result<Images, CliError>,
) -> Result<Sets, CliError> {
    let limited = |spec: &str| -> Result<Images, CliError> {
        let images = load(spec)?;
        Ok(config.limit.map_or_else(|| images.clone(), |limit| images.take(limit)))
    };
    let outside =
        config.out_of_distribution.iter().map(|s| limited(s)).collect::<Result<_, _>>()?;
    Ok((load(&config.calibration)?, limited(&config.in_distribution)?, outside))
}

/// The models beside the one in question.
pub(super) struct Others<B: FlowBackend> {
    background: Option<Flow<B>>,
    ensemble: Vec<Flow<B>>,
}

impl<B: FlowBackend> Others<B> {
    /// None.
    pub(super) fn none() -> Self {
        Self { background: None, ensemble: Vec::new() }
    }

    /// Those of an experiment, which must have been trained on the images of the model in question.
    pub(super) fn open(
        config: &OodConfig,
        model_dir: &Path,
        trained: &TrainConfig,
        device: &B::Device,
    ) -> Result<Self, CliError> {
        let open = |key: &'static str, name: &str| -> Result<(Flow<B>, TrainConfig), CliError> {
            let (flow, other) = train::open_flow::<B>(&RunDir::open(model_dir, name)?, device)?;
            let [own, images] = [trained, &other].map(|c| c.data.train.clone());
            if own != images {
                let run = name.to_owned();
                return Err(OodError::OtherData { key, run, images, own }.into());
            }
            Ok((flow, other))
        };
        let background = match config.background.as_deref() {
            Some(name) => {
                let (flow, other) = open("background", name)?;
                if other.data.mutation == 0.0 {
                    return Err(OodError::NotMutated(name.to_owned()).into());
                }
                Some(flow)
            }
            None => None,
        };
        let ensemble = config.ensemble.iter().map(|name| Ok(open("ensemble", name)?.0));
        Ok(Self { background, ensemble: ensemble.collect::<Result<_, CliError>>()? })
    }
}

/// Score and write.
#[allow(clippy::too_many_arguments)]
pub(super) fn evaluate<B: FlowBackend>(
    common: &Common,
    config: &OodConfig,
    yaml: &str,
    (flow, others): (Flow<B>, Others<B>),
    device: B::Device,
    (calibration, inside, outside): Sets,
    out: &RunDir,
    title: String,
    mut facts: Vec<(String, String)>,
) -> Result<Results, CliError> {
    facts.push(("seed".into(), config.seed.to_string()));
    facts.push((
        "parameters of the model".into(),
        burn::module::Module::num_params(&flow).to_string(),
    ));
    let models = models(common, config, flow, others, &device);
    let verbosity = common.verbosity();
    let experiment = Experiment { config, title, calibration, inside, outside, facts, verbosity };
    Ok(ood::run(&experiment, &models, out, yaml)?)
}

/// The models of an experiment, ready to score.
pub(super) fn models<B: FlowBackend>(
    common: &Common,
    config: &OodConfig,
    flow: Flow<B>,
    others: Others<B>,
    device: &B::Device,
) -> Models<B> {
    let noise = match config.dequantize {
        true => Noise::Evaluation { seed: config.seed },
        false => Noise::Off,
    };
    let (batch, seed, verbosity) = (config.batch_size, config.seed, common.verbosity());
    let scorer =
        |flow| Scorer::new(flow, noise, batch, &config.lid, seed, device.clone(), verbosity);
    Models {
        scorer: scorer(flow),
        background: others.background.map(scorer),
        ensemble: others.ensemble.into_iter().map(scorer).collect(),
        codecs: config.codecs.clone(),
        latent_radius: config.latent_radius,
        around: config.around,
        seed,
    }
}

/// Table, finding and where the files are.
pub(super) fn tell(common: &Common, results: &Results, out: &RunDir) -> Result<(), CliError> {
    if common.quiet {
        return Ok(());
    }
    print(format_args!(
        "{}\n{}\n\nreport:  {}\nfigures: {}\nscores:  {}",
        report::text(&results.rows),
        results.finding,
        out.report().display(),
        out.figures().display(),
        out.scores().display()
    ))
}
