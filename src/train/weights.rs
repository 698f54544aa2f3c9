//! Weights as safetensors.

use super::TrainError;
use crate::{
    config::{Loaded, TrainConfig},
    run::{RunDir, RunError},
};
use atypical_models::flow::{Flow, Layer};
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
    crate::hex(&Sha256::new().chain_update(before).chain_update(after).finalize())
}

/// A flow's weights as the bytes of a safetensors file with its own checksum; names are the paths of the parameters.
///
/// The checksum is in the file, not in one beside it: both are written by one rename, and no kill leaves weights with the checksum of others.
pub(crate) fn to_bytes<B: Backend>(flow: &Flow<B>) -> Result<Vec<u8>, TrainError> {
    // Without burn's metadata, whose order changes from run to run: the same weights are the same bytes.
    let mut store = SafetensorsStore::from_bytes(None)
        .skip_enum_variants(true)
        .clear_metadata()
        .metadata(NAME, "0".repeat(DIGITS));
    let mut bytes = store
        .collect_from(flow)
        .and_then(|()| store.get_bytes())
        .map_err(|error| TrainError::NoResult(format!("the weights cannot be written: {error}")))?;
    if let Some([before, _, after]) = split(&bytes) {
        let (at, digest) = (before.len(), digest(before, after));
        bytes[at..at + DIGITS].copy_from_slice(digest.as_bytes());
    }
    Ok(bytes)
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
/// A file that cannot be read or is damaged, or whose tensors are not the model's.
pub fn load_flow<B: Backend>(
    config: &TrainConfig,
    path: &Path,
    device: &B::Device,
) -> Result<Flow<B>, TrainError> {
    let bytes = read(path)?;
    if Checksum::of(&bytes) == Checksum::Damaged {
        return Err(TrainError::Damaged(path.to_path_buf()));
    }
    flow_of(config, bytes, path, device)
}

/// The trained flow of a run, with the best validation loss, and the run's configuration.
///
/// # Errors
/// A run without configuration or weights, or whose weights are damaged or do not fit.
pub fn open_flow<B: Backend>(
    run: &RunDir,
    device: &B::Device,
) -> Result<(Flow<B>, TrainConfig), TrainError> {
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    Ok((load_flow(&config, &run.weights(), device)?, config))
}

/// The same whatever the weights' checksum says, which comes with them: to examine what is damaged.
///
/// # Errors
/// A run without configuration or weights, or whose weights do not fit.
pub fn open_damaged_flow<B: Backend>(
    run: &RunDir,
    device: &B::Device,
) -> Result<(Flow<B>, TrainConfig, Checksum), TrainError> {
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    let path = run.weights();
    let bytes = read(&path)?;
    let checksum = Checksum::of(&bytes);
    Ok((flow_of(&config, bytes, &path, device)?, config, checksum))
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::Read { path: path.to_path_buf(), source })
}

fn flow_of<B: Backend>(
    config: &TrainConfig,
    bytes: Vec<u8>,
    path: &Path,
    device: &B::Device,
) -> Result<Flow<B>, TrainError> {
    let mut flow = Flow::new(&config.model.flow(), config.seed, device)?;
    from_bytes(&mut flow, bytes, path)?;
    Ok(flow)
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
        let flow = Flow::<Flex>::new(&config().model.flow(), 0, &Default::default()).unwrap();
        to_bytes(&flow).unwrap()
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
            load_flow::<Flex>(&config(), &path, &Default::default())
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
