//! `train`.

use super::{CliError, Common, key_value, print, print_json, stem, when_stdin_ends};
use crate::{
    config::{Environment, Loaded, ModelConfig, TrainConfig, leaves},
    run::{RunDir, SECOND},
    train::{self, Display, Outcome, TrainError},
    with_backend,
};
use burn::{backend::Autodiff, train::Interrupter};
use clap::{ArgGroup, Args};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Train a model into a run directory.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["config", "run"]).multiple(true)))]
#[command(after_help = "\
Examples:
  atypical train --config configs/train/rq_nsf_fmnist_small.yaml
  atypical train --config configs/train/glow_fmnist.yaml --set epochs=50 --set model.hidden='[32,32,256]' --run glow-50
  atypical train --resume --run glow-50          go on where it stopped, to the same weights
  atypical train --resume --run glow-50 --set epochs=80

Ctrl-C stops after the step at hand and leaves a checkpoint to resume from.")]
pub struct Train {
    /// Configuration file; given several times, later files win [configs/train/ has some]
    #[arg(long, short, required_unless_present = "resume")]
    config: Vec<PathBuf>,
    /// Set one key: a.b=value, the value in YAML
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<String>,
    /// Name of the run under MODEL_DIR [default: `run` in the configuration, else the file's name]
    #[arg(long)]
    run: Option<String>,
    /// Continue an interrupted run from its newest checkpoint; --run or --config says which
    #[arg(long, requires = "which")]
    resume: bool,
}

/// Keys that a resumed run may change.
const CHANGEABLE: [&str; 7] =
    ["epochs", "max_steps", "early_stopping", "samples", "checkpoint_steps", "run", "track"];

impl Train {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let sets = common.sets(&self.set);
        if self.resume || self.is_begun_by_wandb(&environment) {
            let name = match &self.run {
                Some(name) => name.clone(),
                None => {
                    let loaded = Loaded::<TrainConfig>::new(&self.config, &sets)?;
                    loaded.config.run.clone().unwrap_or_else(|| self.own_name())
                }
            };
            let run = RunDir::open(&environment.model_dir, &name)?;
            let before = Loaded::<TrainConfig>::file(&run.config())?;
            let files = [vec![run.config()], self.config.clone()].concat();
            let loaded = Loaded::<TrainConfig>::new(&files, &sets)?;
            let second_begun = !run.part(SECOND).checkpoints().steps().is_empty();
            same(&before.config, &loaded.config, second_begun)?;
            let images = train::images(&loaded.config, &environment.data_dir)?;
            self.finish(common, backend, &loaded, images, (&run, true))
        } else {
            let loaded = Loaded::<TrainConfig>::new(&self.config, &sets)?;
            let name = self
                .run
                .clone()
                .or_else(|| loaded.config.run.clone())
                .unwrap_or_else(|| self.own_name());
            let images = train::images(&loaded.config, &environment.data_dir)?;
            let run = RunDir::create(&environment.model_dir, &name)?;
            self.finish(common, backend, &loaded, images, (&run, false))
        }
    }

    /// The file's; where W&B's agent started this process, with the id that it gave the run.
    fn own_name(&self) -> String {
        let stem = stem(&self.config, "run");
        wandb_run().map_or(stem.clone(), |id| format!("{stem}-{id}"))
    }

    /// Whether it is a run that W&B's agent resumes: it does so by the same words as it begins one.
    fn is_begun_by_wandb(&self, environment: &Environment) -> bool {
        let run = || RunDir::at(environment.model_dir.join(self.own_name()));
        wandb_run().is_some() && self.run.is_none() && run().is_begun()
    }

    fn finish(
        &self,
        common: &Common,
        backend: crate::backend::BackendName,
        loaded: &Loaded<TrainConfig>,
        images: (crate::data::Images, crate::data::Images),
        (run, resume): (&RunDir, bool),
    ) -> Result<(), CliError> {
        let display = Display {
            verbosity: common.verbosity(),
            tui: std::io::stdout().is_terminal() && !common.json && !common.quiet,
        };
        let (interrupter, _training) = interrupter()?;
        let handle = interrupter.clone();
        when_stdin_ends(common, move || handle.stop(Some("stopped by its agent")));
        let outcome = with_backend!(backend, common.device, |B, device| {
            train::train::<Autodiff<B>>(loaded, images, run, resume, &device, display, interrupter)
        })?;
        report(common, run, &run.name_under(&Environment::read()?.model_dir), &outcome)
    }
}

/// The id of the run that W&B's agent started this process for.
fn wandb_run() -> Option<String> {
    std::env::var("WANDB_SWEEP_ID").ok()?;
    std::env::var("WANDB_RUN_ID").ok().filter(|id| !id.is_empty())
}

/// While it lives, Ctrl-C asks the training to stop; afterwards it ends the program at once.
pub(super) struct Training(Arc<AtomicBool>);

impl Drop for Training {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Stop training on Ctrl-C; a second one ends the program.
pub(super) fn interrupter() -> Result<(Interrupter, Training), CliError> {
    let interrupter = Interrupter::new();
    let handle = interrupter.clone();
    let training = Training(Arc::new(AtomicBool::new(true)));
    let active = training.0.clone();
    ctrlc::set_handler(move || {
        if handle.should_stop() || !active.load(Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; Ctrl-C again to quit without a checkpoint");
        handle.stop(Some("stopped by Ctrl-C"));
    })
    .map_err(|e| CliError::Other(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok((interrupter, training))
}

/// Refuse to resume with settings that would change the result. Of a two-step model whose second step has not begun, that step may change.
fn same(old: &TrainConfig, config: &TrainConfig, second_begun: bool) -> Result<(), CliError> {
    let total = |c: &TrainConfig| (c.epochs, c.max_steps);
    let values = |config: &TrainConfig| {
        let mut values = BTreeMap::new();
        let value = serde_json::to_value(config).unwrap_or_default();
        leaves(&value, &mut Vec::new(), &mut |path, value| {
            values.insert(path.join("."), value.clone());
        });
        values
    };
    let may_change = |key: &str| {
        let root = key.split('.').next().unwrap_or(key);
        // Patience may change; what best weights are may not.
        CHANGEABLE.contains(&root) && key != "early_stopping.measure"
            || !second_begun && key.starts_with("model.second")
    };
    let (before, now) = (values(old), values(config));
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let said = |value: Option<&serde_json::Value>| value.map_or("none".into(), |v| v.to_string());
    let changed: Vec<String> = keys
        .into_iter()
        .map(|key| (key, before.get(key), now.get(key)))
        .filter(|(key, before, now)| before != now && !may_change(key))
        .map(|(key, before, now)| format!("`{key}` was {} and is now {}", said(before), said(now)))
        .collect();
    let second = |c: &TrainConfig| match &c.model {
        ModelConfig::TwoStep(two_step) => Some(c.second_step(two_step)),
        _ => None,
    };
    let of_second = second(old).zip(second(config)).filter(|_| second_begun);
    let steps = [Some((old.clone(), config.clone())), of_second];
    let fixed = |(old, new): &(TrainConfig, TrainConfig)| {
        new.scheduler.fixes_the_length() && total(old) != total(new)
    };
    if steps.iter().flatten().any(fixed) {
        return Err(CliError::Other(
            "`epochs` and `max_steps` cannot change under the schedules one_cycle and cosine, whose learning rate goes down to end \
             at the last step; start a new run with --run"
                .into(),
        ));
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(TrainError::OtherConfig(changed.join("; ")).into())
}

fn report(common: &Common, run: &RunDir, name: &str, outcome: &Outcome) -> Result<(), CliError> {
    if common.json {
        let mut value = serde_json::to_value(outcome).unwrap_or_default();
        value["run"] = run.root().display().to_string().into();
        print_json(&value)?;
    }
    if common.json || common.quiet {
        return if outcome.interrupted.is_some() { Err(CliError::Stopped) } else { Ok(()) };
    }
    if let Some(reason) = &outcome.interrupted {
        print(format_args!(
            "{reason} after step {}; continue with: atypical train --resume --run {name}",
            outcome.steps
        ))?;
        return Err(CliError::Stopped);
    }
    let Outcome { best_reconstruction, best_bits_per_dimension, best_loss, .. } = outcome;
    let best = match (best_reconstruction, best_bits_per_dimension, best_loss) {
        (Some(error), ..) => format!("best reconstruction error {error:.4}"),
        (None, Some(bits), _) => format!("best {bits:.3} bits per dimension"),
        (None, None, Some(loss)) => format!("loss {loss:.4}"),
        (None, None, None) => "none measured".to_owned(),
    };
    print(format_args!(
        "{}: {} steps in {:.0} s, {best} on validation data (epoch {})",
        run.root().display(),
        outcome.steps,
        outcome.seconds,
        outcome.best_epoch
    ))
}
