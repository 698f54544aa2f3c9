//! `ood`.

use super::{CliError, Common, key_value, print, print_json, stem};
use crate::{
    config::{Environment, Loaded, OodConfig, TrainConfig},
    data::{Images, Source, Spec},
    ood::{self, Cache, Experiment, Judged, Models, OodError, Overlap, Results, Scorer},
    report,
    run::{RunDir, RunError},
    sweep::STOPPED,
    track, train, with_backend,
};
use atypical_models::{Ability, FlowBackend, Model};
use clap::Args;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Score in- and out-of-distribution images with a trained run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist_small.yaml
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist.yaml --set limit=200 --set lid.estimator=spectral
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist.yaml --set out_of_distribution='[my_images.npz]' --name mine
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist.yaml --set more_runs='[{run: glow_fmnist}]'

What a run has measured is kept beside it (RUN/cache/), by the content of the images: given again, after a kill, with more images or other methods, the command measures only what is not there yet. Samples of a run as data (generated:RUN) are kept there, too.")]
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
    /// Measure and draw everything anew, and keep nothing beside the runs
    #[arg(long)]
    no_cache: bool,
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
        // What is measured is in the cache, and nothing else is written before the end.
        super::when_stdin_ends(common, || std::process::exit(STOPPED));
        let staged = out.stage()?;
        let yaml = loaded.yaml()?;
        let configs = config.each_run();
        let cached = !self.no_cache;
        let results = with_backend!(backend, common.device, |B, device| {
            // All that can be known to be wrong comes before hours of scoring.
            let open =
                |config: &OodConfig| super::load::open_run(common, &environment, &config.run);
            let runs = configs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
            let names: Vec<String> = runs.iter().map(RunDir::name).collect();
            let mut ready = Vec::new();
            for (number, (config, run)) in configs.iter().zip(&runs).enumerate() {
                let load = |spec: &str| {
                    let draw = (config.seed, cached);
                    super::load::load::<B>(common, spec, &environment, draw, &device)
                };
                let sets = images(config, load)?;
                let (model, trained) = train::open_model::<B>(run, &device)?;
                let others =
                    Others::open(common, &environment, config, (run, &trained, &model), &device)?;
                let source = |spec: &String| spec.parse::<Spec>().map(|spec| spec.source);
                let calibration = source(&config.calibration)?;
                // Samples are in-distribution where samples are asked about.
                let generated = matches!(calibration, Source::Generated(_))
                    && config
                        .in_distribution
                        .iter()
                        .any(|s| source(s).is_ok_and(|s| s == calibration));
                if source(&trained.data.train)? != calibration && !generated {
                    eprintln!(
                        "warning: {} was trained on {}, and `calibration` is {}",
                        run.name(),
                        trained.data.train,
                        config.calibration
                    );
                }
                let weights = digest(run)?;
                let mut facts = facts(run, &weights);
                let parameters = burn::module::Module::num_params(&model);
                facts.push(("parameters of the model".into(), parameters.to_string()));
                let fingerprint = ood::fingerprint(&weights, &trained.model);
                let name = distinct(&names, number);
                let several = names.len() > 1;
                let model = Opened {
                    model,
                    dequantized: trained.data.dequantize,
                    run: cached.then_some((run, fingerprint)),
                    name: several.then(|| name.clone()),
                };
                let experiment = experiment(config, name.clone(), sets, facts);
                experiment.check(&model.model).map_err(|error| match several {
                    true => CliError::Other(format!("the run `{name}`: {error}")),
                    false => error.into(),
                })?;
                ready.push((experiment, model, others));
            }
            // Runs may share a model, a background or a run twice: what one has measured the next one finds.
            let judged = ready.into_iter().map(|(experiment, model, others)| {
                let models = models(common, experiment.config, model, others, &device);
                ood::judge(experiment, &models)
            });
            let judged = judged.collect::<Result<Vec<Judged>, _>>()?;
            // A run that is there twice is named once.
            let first =
                |(i, name): (usize, &String)| (!names[..i].contains(name)).then(|| name.clone());
            let runs: Vec<String> = names.iter().enumerate().filter_map(first).collect();
            let title = format!("Out-of-distribution detection with {}", runs.join(", "));
            let facts = provenance(backend.name(), config.seed);
            Ok::<_, CliError>(ood::write(title, &judged, staged.folder(), &yaml, facts)?)
        })?;
        let out = staged.commit()?;
        let settings = serde_json::to_value(config).unwrap_or_default();
        track::show(&config.track, &out, &name, settings)?;
        warn(&results);
        if common.json {
            return print_json(&results);
        }
        tell(common, &results, &out)
    }
}

/// What is wrong with numbers that look like any others.
fn warn(results: &Results) {
    for run in &results.runs {
        let name = &run.run;
        for Overlap { set, images } in &run.on_both_sides {
            eprintln!(
                "warning: {name}: {images} images of {set} are in-distribution images too: on both sides, they cannot be told apart"
            );
        }
        for method in &run.constant {
            eprintln!(
                "warning: {name}: {method} is the same of all images, so that its AUROC of 0.5 says nothing"
            );
        }
        if run.unresolved > 0 {
            eprintln!(
                "warning: {name}: {} images do not resolve the scale of LID, r = {:.2}, in f32: there LID reads rounding",
                run.unresolved,
                run.scale.unwrap_or(f64::NAN)
            );
        }
        for Overlap { set, images } in &run.fitted_on {
            eprintln!(
                "warning: {name}: {images} images of {set} are calibration images too, so that the numbers of methods that are fitted are flattered; set `calibration` to others"
            );
        }
    }
}

/// The SHA-256 of a run's weights.
fn digest(run: &RunDir) -> Result<String, RunError> {
    let path = run.weights();
    let bytes = std::fs::read(&path).map_err(|source| RunError::Read { path, source })?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

/// What all that a run says of images depends on.
pub(super) fn fingerprint(run: &RunDir, trained: &TrainConfig) -> Result<String, RunError> {
    Ok(ood::fingerprint(&digest(run)?, &trained.model))
}

/// The name of a run among several, with its number where it is there twice.
fn distinct(names: &[String], number: usize) -> String {
    let before = names[..number].iter().filter(|name| **name == names[number]).count();
    match before {
        0 => names[number].clone(),
        n => format!("{} ({})", names[number], n + 1),
    }
}

/// What the report says of a run.
fn facts(run: &RunDir, weights: &str) -> Vec<(String, String)> {
    let mut facts = vec![
        ("model".to_owned(), run.root().display().to_string()),
        ("SHA-256 of its weights".to_owned(), weights.to_owned()),
    ];
    if let Some(epoch) = run.last_epoch() {
        let trained = format!("{} epochs, {} steps", epoch["epoch"], epoch["step"]);
        facts.push(("training".to_owned(), trained));
    }
    facts
}

/// What the report says of the program and of where it ran.
pub(super) fn provenance(backend: &str, seed: u64) -> Vec<(String, String)> {
    let mut facts = vec![
        ("backend".to_owned(), backend.to_owned()),
        ("burn".to_owned(), "0.21.0".to_owned()),
        ("seed".to_owned(), seed.to_string()),
    ];
    facts.extend(git().map(|commit| ("git, where the command was given".to_owned(), commit)));
    facts
}

/// The commit of the folder that the command was given in, if it is one of git's.
fn git() -> Option<String> {
    let ask = |arguments: &[&str]| -> Option<String> {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = ask(&["rev-parse", "HEAD"])?;
    let changed = ask(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}, with changes") })
}

/// The images of an experiment.
pub(super) struct Sets {
    pub calibration: Images,
    pub inside: Vec<Images>,
    pub outside: Vec<Images>,
}

/// The images of an experiment, each set as `load` has it.
pub(super) fn images(
    config: &OodConfig,
    load: impl Fn(&str) -> Result<Images, CliError>,
) -> Result<Sets, CliError> {
    let limited = |spec: &String| -> Result<Images, CliError> {
        let images = load(spec)?;
        Ok(match config.limit {
            Some(limit) => images.take(limit),
            None => images,
        })
    };
    let all = |specs: &[String]| specs.iter().map(limited).collect::<Result<_, _>>();
    Ok(Sets {
        calibration: load(&config.calibration)?,
        inside: all(&config.in_distribution)?,
        outside: all(&config.out_of_distribution)?,
    })
}

/// A model, with its run and fingerprint where what it measures is to be kept there, and its name where there are several.
pub(super) struct Opened<'a, B: FlowBackend> {
    pub model: Model<B>,
    /// Whether it was trained on dequantised images.
    pub dequantized: bool,
    pub run: Option<(&'a RunDir, String)>,
    pub name: Option<String>,
}

/// The models beside the one in question.
pub(super) struct Others<B: FlowBackend> {
    background: Option<Other<B>>,
    ensemble: Vec<Other<B>>,
}

/// A model beside the one in question.
struct Other<B: FlowBackend> {
    run: RunDir,
    model: Model<B>,
    trained: TrainConfig,
    fingerprint: String,
}

impl<B: FlowBackend> Others<B> {
    /// None.
    pub(super) fn none() -> Self {
        Self { background: None, ensemble: Vec::new() }
    }

    /// The fingerprints of all of them.
    pub(super) fn fingerprints(&self) -> Vec<String> {
        let all = self.background.iter().chain(&self.ensemble);
        all.map(|other| other.fingerprint.clone()).collect()
    }

    /// Those of an experiment, which must have been trained on the images of the model in question.
    pub(super) fn open(
        common: &Common,
        environment: &Environment,
        config: &OodConfig,
        (own, trained, judge): (&RunDir, &TrainConfig, &Model<B>),
        device: &B::Device,
    ) -> Result<Self, CliError> {
        let open = |key: &'static str, name: &str, needed| -> Result<Other<B>, CliError> {
            let run = super::load::open_run(common, environment, name)?;
            let (model, other) = train::open_model::<B>(&run, device)?;
            if run.root() == own.root() {
                return Err(CliError::Other(format!("`{key}` names the run itself: {name}")));
            }
            let [ours, images] = [trained, &other].map(|c| c.data.train.clone());
            if ours != images {
                let run = name.to_owned();
                return Err(OodError::OtherData { key, run, images, own: ours }.into());
            }
            super::load::expect(&run, &model, needed)?;
            let [theirs, ours] = [&model, judge].map(Model::density_dimension);
            if theirs != ours {
                let run = name.to_owned();
                return Err(OodError::OtherDimension { key, run, theirs, ours }.into());
            }
            let fingerprint = fingerprint(&run, &other)?;
            Ok(Other { run, model, trained: other, fingerprint })
        };
        let background = match config.background.as_deref() {
            Some(name) => {
                let found = open("background", name, Ability::Density)?;
                if found.trained.data.mutation == 0.0 {
                    return Err(OodError::NotMutated(name.to_owned()).into());
                }
                Some(found)
            }
            None => None,
        };
        let ensemble =
            config.ensemble.iter().map(|name| open("ensemble", name, Ability::Normalized));
        Ok(Self { background, ensemble: ensemble.collect::<Result<_, CliError>>()? })
    }
}

/// An experiment on its images.
pub(super) fn experiment(
    config: &OodConfig,
    run: String,
    Sets { calibration, inside, outside }: Sets,
    facts: Vec<(String, String)>,
) -> Experiment<'_> {
    Experiment { config, run, calibration, inside, outside, facts }
}

/// The models of an experiment, ready to score.
pub(super) fn models<B: FlowBackend>(
    common: &Common,
    config: &OodConfig,
    model: Opened<B>,
    others: Others<B>,
    device: &B::Device,
) -> Models<B> {
    let (cached, several) = (model.run.is_some(), model.name.is_some());
    let scorer = |Opened { model, dequantized, run, name }: Opened<B>| {
        let cache = run.map_or(Cache::none(), |(run, fingerprint)| cache(run, &fingerprint));
        Scorer::of(config, model, dequantized, device.clone(), common.verbosity())
            .with_name(name)
            .with_cache(cache)
    };
    let other = |other: Other<B>| {
        let Other { run, model, trained, fingerprint } = other;
        scorer(Opened {
            model,
            dequantized: trained.data.dequantize,
            run: cached.then_some((&run, fingerprint)),
            name: several.then(|| run.name()),
        })
    };
    Models {
        background: others.background.map(other),
        ensemble: others.ensemble.into_iter().map(other).collect(),
        ..Models::new(config, scorer(model))
    }
}

/// What a run has measured before.
fn cache(run: &RunDir, fingerprint: &str) -> Cache {
    Cache::open(&run.cache(), fingerprint, |text| eprintln!("warning: {text}"))
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
