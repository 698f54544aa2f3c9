//! Weights as safetensors.

use super::TrainError;
use crate::{
    config::{Loaded, TrainConfig},
    run::RunDir,
};
use atypical_models::flow::{Flow, Layer};
use burn::{
    store::{ModuleSnapshot, ModuleStore, SafetensorsStore},
    tensor::backend::Backend,
};
use std::path::Path;

/// A flow's weights as the bytes of a safetensors file; names are the paths of the parameters.
pub(crate) fn to_bytes<B: Backend>(flow: &Flow<B>) -> Result<Vec<u8>, TrainError> {
    // Without burn's metadata, whose order changes from run to run: the same weights are the same bytes.
    let mut store = SafetensorsStore::from_bytes(None).skip_enum_variants(true).clear_metadata();
    store
        .collect_from(flow)
        .and_then(|()| store.get_bytes())
        .map_err(|error| TrainError::NoResult(format!("the weights cannot be written: {error}")))
}

/// Put weights into a flow; `path` names them in messages.
pub(super) fn from_bytes<B: Backend>(
    flow: &mut Flow<B>,
    bytes: Vec<u8>,
    path: &Path,
) -> Result<(), TrainError> {
    let misfit = |problem: String| TrainError::Weights { path: path.to_path_buf(), problem };
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .skip_enum_variants(true)
        .validate(false)
        .allow_partial(true);
    let result = flow
        .load_from(&mut store)
        .map_err(|error| misfit(format!("it is damaged, or no safetensors file ({error})")))?;
    if let Some(error) = result.errors.first() {
        return Err(misfit(format!("{error} ({} such tensors)", result.errors.len())));
    }
    if let Some((missing, _)) = result.missing.first() {
        return Err(misfit(format!(
            "it lacks `{missing}` ({} tensors in all)",
            result.missing.len()
        )));
    }
    for (l, level) in flow.levels.iter().enumerate() {
        for (s, step) in level.steps.iter().enumerate() {
            if matches!(step, Layer::Conv1x1(step) if !step.is_permuted()) {
                let name = format!("levels.{l}.steps.{s}.permutation");
                return Err(misfit(format!(
                    "it is damaged: `{name}` is no permutation of the channels"
                )));
            }
        }
    }
    if let Some(unused) = result.unused.first() {
        return Err(misfit(format!(
            "it has `{unused}`, which the model lacks ({} tensors in all)",
            result.unused.len()
        )));
    }
    Ok(())
}

/// A flow with the weights of a safetensors file.
///
/// # Errors
/// A file that cannot be read, or whose tensors are not the model's.
pub fn load_flow<B: Backend>(
    config: &TrainConfig,
    path: &Path,
    device: &B::Device,
) -> Result<Flow<B>, TrainError> {
    let mut flow = Flow::new(&config.model.flow(), config.seed, device)?;
    let bytes = std::fs::read(path)
        .map_err(|source| crate::run::RunError::Read { path: path.to_path_buf(), source })?;
    from_bytes(&mut flow, bytes, path)?;
    Ok(flow)
}

/// The trained flow of a run, with the best validation loss, and the run's configuration.
///
/// # Errors
/// A run without configuration or weights, or whose weights do not fit.
pub fn open_flow<B: Backend>(
    run: &RunDir,
    device: &B::Device,
) -> Result<(Flow<B>, TrainConfig), TrainError> {
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    Ok((load_flow(&config, &run.weights(), device)?, config))
}
