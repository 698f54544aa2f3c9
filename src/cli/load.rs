//! What commands work on: runs, and images by SPEC, drawn from a run where it says so.

use super::{CliError, Common, generated};
use crate::{
    config::Environment,
    data::{Images, Source, Spec},
    hub::Hub,
    progress::Progress,
    publish,
    run::{RunDir, RunError},
};
use atypical_models::{Ability, FlowBackend, Model};
use std::cell::RefCell;

/// A run by its name under MODEL_DIR, its path, or as `hf://org/name` from the hub.
pub(super) fn open_run(
    common: &Common,
    environment: &Environment,
    name: &str,
) -> Result<RunDir, CliError> {
    let Some(repo) = name.strip_prefix("hf://") else {
        let run = RunDir::open(&environment.model_dir, name)?;
        if run.metrics().exists() && !run.weights().exists() {
            return Err(CliError::Other(format!(
                "`{name}` is an experiment of `ood`, not a trained run; `atypical runs` lists both"
            )));
        }
        return Ok(run);
    };
    let hub = Hub::from_environment(false)?;
    Ok(shown(common, name, |progress| {
        publish::fetch(&hub, repo, &environment.model_dir, progress)
    })?)
}

/// Several of them.
pub(super) fn open_runs(
    environment: &Environment,
    names: &[String],
) -> Result<Vec<RunDir>, RunError> {
    names.iter().map(|name| RunDir::open(&environment.model_dir, name)).collect()
}

/// Refuse a run whose model has not what is asked for.
pub(super) fn expect<B: FlowBackend>(
    run: &RunDir,
    model: &Model<B>,
    ability: Ability,
) -> Result<(), CliError> {
    match model.lacks(ability) {
        Some(why) => {
            Err(CliError::Other(format!("the run `{}` cannot do that: {why}", run.name())))
        }
        None => Ok(()),
    }
}

/// A download with a bar of its own.
pub(super) fn shown<T>(
    common: &Common,
    what: &str,
    download: impl FnOnce(&dyn Fn(u64, u64)) -> T,
) -> T {
    let bar = RefCell::new(None);
    download(&|done, total| {
        let [done, total] = [done, total].map(|bytes| (bytes / 1024) as usize);
        let mut bar = bar.borrow_mut();
        let (bar, before) = bar.get_or_insert_with(|| {
            (Progress::new(common.verbosity(), &format!("{what} (KiB)"), total), 0)
        });
        // A download that starts over has less than before.
        bar.advance(done.saturating_sub(*before), "");
        *before = done.max(*before);
    })
}

/// Read images, or draw them from a run, by seed; with `keep`, those that are kept beside the run, or to be.
pub(super) fn load<B: FlowBackend>(
    common: &Common,
    spec: &str,
    environment: &Environment,
    (seed, keep): (u64, bool),
    device: &B::Device,
) -> Result<Images, CliError> {
    let spec: Spec = spec.parse()?;
    let Source::Generated(name) = &spec.source else {
        return Ok(spec.load(&environment.data_dir)?);
    };
    let run = open_run(common, environment, name)?;
    generated::samples::<B>(&run, &spec, seed, keep, device)
}
