//! Images by SPEC, drawn from a run where it says so.

use super::CliError;
use crate::{
    config::Environment,
    data::{Images, Kind, Source, Spec},
    report::to_pixels,
    run::RunDir,
    train,
};
use atypical_models::FlowBackend;

/// Samples that are drawn where the SPEC has no end.
const GENERATED: usize = 1000;

/// Read images, or draw them from a run, by seed.
pub(super) fn load<B: FlowBackend>(
    spec: &str,
    environment: &Environment,
    seed: u64,
    device: &B::Device,
) -> Result<Images, CliError> {
    let spec: Spec = spec.parse()?;
    let Source::Generated(name) = &spec.source else {
        return Ok(spec.load(&environment.data_dir)?);
    };
    let run = RunDir::open(&environment.model_dir, name)?;
    let (flow, _) = train::open_flow::<B>(&run, device)?;
    B::seed(device, seed);
    // From the first on, so that a slice is a part of what has no slice.
    let samples = train::draw(&flow, spec.slice.1.unwrap_or(GENERATED), device);
    let (pixels, broken) = to_pixels(&samples);
    if broken > 0 {
        let all = samples.len();
        return Err(CliError::Other(format!(
            "{broken} of {all} values of `{spec}` are NaN or infinite: `atypical doctor --run {name}` says more"
        )));
    }
    let images = Images {
        name: spec.to_string(),
        shape: flow.shape(),
        pixels,
        labels: None,
        kind: Kind::Pixels,
        files: None,
    };
    Ok(spec.cut(images)?)
}
