//! Weights as safetensors.

use super::TrainError;
use crate::{
    config::{Loaded, ModelConfig, TrainConfig},
    run::{RunDir, RunError},
};
use atypical_models::{
    AnyEstimator, FlowBackend, Model, TwoStep,
    flow::{Flow, Layer},
};
use burn::{
    store::{ModuleSnapshot, ModuleStore, SafetensorsStore},
    tensor::backend::Backend,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Name of the checksum among the metadata of a file of weights.
const NAME: &str = "atypical_sha256";
/// Hexadecimal digits of it.
const DIGITS: usize = 64;

/// Whether a file of weights is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    /// Its bytes have the checksum that it holds.
    Ok,
    /// It holds none, as files of earlier versions and of other programs.
    NoneRecorded,
    /// Its bytes have another one.
    Damaged,
}

impl Checksum {
    /// That of the bytes of a file.
    pub fn of(bytes: &[u8]) -> Self {
        match split(bytes) {
            None => Self::NoneRecorded,
            Some([before, recorded, after]) if digest(before, after).as_bytes() == recorded => {
                Self::Ok
            }
            Some(_) => Self::Damaged,
        }
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::NoneRecorded => "none recorded",
            Self::Damaged => "DAMAGED",
        })
    }
}

/// What is before the checksum in a file of weights, the checksum, and what is after it; none where it has none. Metadata come first in a safetensors file.
fn split(bytes: &[u8]) -> Option<[&[u8]; 3]> {
    let name = format!("{{\"__metadata__\":{{\"{NAME}\":\"");
    let length = size_of::<u64>();
    let (before, rest) = bytes.split_at_checked(length + name.len())?;
    let (recorded, after) = rest.split_at_checked(DIGITS)?;
    (before[length..] == *name.as_bytes()).then_some([before, recorded, after])
}

/// The SHA-256 of a file but for the checksum itself.
fn digest(before: &[u8], after: &[u8]) -> String {
    format!("{:x}", Sha256::new().chain_update(before).chain_update(after).finalize())
}

/// A model's weights as the bytes of a safetensors file with its own checksum; names are the paths of the parameters.
///
/// The checksum is in the file, not in one beside it: both are written by one rename, and no kill leaves weights with the checksum of others.
pub(crate) fn to_bytes<B: Backend, M: ModuleSnapshot<B>>(model: &M) -> Result<Vec<u8>, TrainError> {
    // Without burn's metadata, whose order changes from run to run: the same weights are the same bytes.
    let mut store = SafetensorsStore::from_bytes(None)
        .skip_enum_variants(true)
        .clear_metadata()
        .metadata(NAME, "0".repeat(DIGITS));
    let mut bytes = store
        .collect_from(model)
        .and_then(|()| store.get_bytes())
        .map_err(|error| TrainError::NoResult(format!("the weights cannot be written: {error}")))?;
    if let Some([before, _, after]) = split(&bytes) {
        let (at, digest) = (before.len(), digest(before, after));
        bytes[at..at + DIGITS].copy_from_slice(digest.as_bytes());
    }
    Ok(bytes)
}

/// Put weights into a model; `path` names them in messages.
pub(super) fn from_bytes<B: Backend>(
    model: &mut Model<B>,
    bytes: Vec<u8>,
    path: &Path,
) -> Result<(), TrainError> {
    let misfit = |problem: String| TrainError::Weights { path: path.to_path_buf(), problem };
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .skip_enum_variants(true)
        .validate(false)
        .allow_partial(true);
    let result = model
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
    let (prefix, flow) = match model {
        Model::Estimator(AnyEstimator::Flow(flow)) => ("", Some(&*flow)),
        Model::TwoStep(TwoStep { second: AnyEstimator::Flow(flow), .. }) => {
            ("second.", Some(&*flow))
        }
        _ => ("", None),
    };
    for (l, level) in flow.iter().flat_map(|flow| flow.levels.iter().enumerate()) {
        for (s, step) in level.steps.iter().enumerate() {
            if matches!(step, Layer::Conv1x1(step) if !step.is_permuted()) {
                let name = format!("{prefix}levels.{l}.steps.{s}.permutation");
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

/// A model with the weights of a safetensors file.
///
/// # Errors
/// A file that cannot be read or is damaged, or whose tensors are not the model's.
pub fn load_model<B: FlowBackend>(
    config: &TrainConfig,
    path: &Path,
    device: &B::Device,
) -> Result<Model<B>, TrainError> {
    let bytes = read(path)?;
    if Checksum::of(&bytes) == Checksum::Damaged {
        return Err(TrainError::Damaged(path.to_path_buf()));
    }
    model_of(config, bytes, path, device)
}

/// The trained model of a run, with the best validation loss, and the run's configuration.
///
/// # Errors
/// A run without configuration or weights, or whose weights are damaged or do not fit.
pub fn open_model<B: FlowBackend>(
    run: &RunDir,
    device: &B::Device,
) -> Result<(Model<B>, TrainConfig), TrainError> {
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    if matches!(config.model, ModelConfig::TwoStep(_)) && !run.weights().exists() {
        return Err(TrainError::StepsNotDone { run: run.name() });
    }
    Ok((load_model(&config, &run.weights(), device)?, config))
}

/// The same of a run whose model is a flow; `what` needs one.
///
/// # Errors
/// Those of [`open_model`], and a model of another family.
pub fn open_flow<B: FlowBackend>(
    run: &RunDir,
    what: &'static str,
    device: &B::Device,
) -> Result<(Flow<B>, TrainConfig), TrainError> {
    let (model, config) = open_model(run, device)?;
    let family = model.family();
    match model {
        Model::Estimator(AnyEstimator::Flow(flow)) => Ok((flow, config)),
        _ => Err(TrainError::NotAFlow { run: run.name(), family, what }),
    }
}

/// The trained model of a run whatever the weights' checksum says, which comes with it: to examine what is damaged.
///
/// # Errors
/// A run without configuration or weights, or whose weights do not fit.
pub fn open_damaged_model<B: FlowBackend>(
    run: &RunDir,
    device: &B::Device,
) -> Result<(Model<B>, TrainConfig, Checksum), TrainError> {
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    let path = run.weights();
    let bytes = read(&path)?;
    let checksum = Checksum::of(&bytes);
    Ok((model_of(&config, bytes, &path, device)?, config, checksum))
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::Read { path: path.to_path_buf(), source })
}

fn model_of<B: FlowBackend>(
    config: &TrainConfig,
    bytes: Vec<u8>,
    path: &Path,
    device: &B::Device,
) -> Result<Model<B>, TrainError> {
    let mut model = config.model.build(config.seed, device)?;
    from_bytes(&mut model, bytes, path)?;
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use safetensors::SafeTensors;

    const CONFIG: &str = "{data: {train: a.npz}, model: {name: rq_nsf, shape: [1, 8, 8], hidden: [4, 4, 8], repeats: [1, 1, 1]}}";

    fn config() -> TrainConfig {
        Loaded::<TrainConfig>::text(CONFIG, &[]).unwrap().config
    }

    fn weights() -> Vec<u8> {
        let model = config().model.build::<Flex>(0, &Default::default()).unwrap();
        to_bytes(&model).unwrap()
    }

    #[test]
    fn every_byte_counts() {
        let whole = weights();
        assert_eq!(Checksum::of(&whole), Checksum::Ok);
        assert!(weights() == whole, "the same weights are the same bytes");
        let (header, _) = SafeTensors::read_metadata(&whole).unwrap();
        // The header, then some of the tensors.
        let some = (header + 8..whole.len()).step_by(101);
        for at in (0..header + 8).chain(some).chain([whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            assert_ne!(Checksum::of(&changed), Checksum::Ok, "byte {at}");
        }
        assert_eq!(Checksum::of(&whole[..whole.len() - 1]), Checksum::Damaged);
        assert_eq!(Checksum::of(&[]), Checksum::NoneRecorded);
    }

    #[test]
    fn weights_without_a_checksum_are_read_and_damaged_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best.safetensors");
        let load = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            load_model::<Flex>(&config(), &path, &Default::default())
        };
        let mut whole = weights();
        let flow = load(&whole).unwrap();
        assert!(to_bytes(&flow).unwrap() == whole);
        // As earlier versions wrote them.
        let tensors = SafeTensors::deserialize(&whole).unwrap();
        let old = safetensors::serialize(tensors.tensors(), None).unwrap();
        assert_eq!(Checksum::of(&old), Checksum::NoneRecorded);
        assert!(to_bytes(&load(&old).unwrap()).unwrap() == whole);
        *whole.last_mut().unwrap() ^= 1;
        let message = load(&whole).err().unwrap().to_string();
        assert!(message.contains("best.safetensors is damaged"), "{message}");
    }
}
