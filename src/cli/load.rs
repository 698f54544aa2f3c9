//! What commands work on: runs, and images by SPEC, drawn from a run where it says so.

use super::{CliError, Common};
use crate::{
    config::Environment,
    data::{Images, Source, Spec},
    hub::Hub,
    progress::Progress,
    report::to_pixels,
    run::{RunDir, RunError},
    train,
};
use atypical_models::{Ability, DensityModel, FlowBackend, Model};
use std::cell::RefCell;

/// Samples that are drawn where the SPEC has no end.
const GENERATED: usize = 1000;

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
        RunDir::published(&hub, repo, &environment.model_dir, progress)
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

/// Read images, or draw them from a run, by seed.
pub(super) fn load<B: FlowBackend>(
    common: &Common,
    spec: &str,
    environment: &Environment,
    seed: u64,
    device: &B::Device,
) -> Result<Images, CliError> {
    let spec: Spec = spec.parse()?;
    let Source::Generated(name) = &spec.source else {
        return Ok(spec.load(&environment.data_dir)?);
    };
    let run = open_run(common, environment, name)?;
    let (model, _) = train::open_model::<B>(&run, device)?;
    expect(&run, &model, Ability::Samples)?;
    B::seed(device, seed);
    // From the first on, so that a slice is a part of what has no slice.
    let samples = train::draw(&model, spec.drawn(GENERATED, model.dimension())?, device);
    if train::is_vector(model.shape()) {
        let broken = samples.iter().filter(|v| !v.is_finite()).count();
        if broken > 0 {
            return Err(not_finite(broken, samples.len(), &spec, name));
        }
        let vectors = Images::of_vectors(spec.to_string(), model.dimension(), &samples, None);
        return Ok(spec.prepared(vectors)?);
    }
    let (pixels, broken) = to_pixels(&samples);
    if broken > 0 {
        return Err(not_finite(broken, samples.len(), &spec, name));
    }
    let images = Images::of_pixels(spec.to_string(), model.shape(), pixels, None);
    Ok(spec.prepared(images)?)
}

fn not_finite(broken: usize, all: usize, spec: &Spec, run: &str) -> CliError {
    CliError::Other(format!(
        "{broken} of {all} values of `{spec}` are NaN or infinite: `atypical doctor --run {run}` says more"
    ))
}
