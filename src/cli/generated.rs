//! Samples of a run as data. They are drawn once and kept beside the run.

use super::{CliError, load::expect, ood::fingerprint};
use crate::{
    config::{Loaded, TrainConfig},
    data::{self, Images, Kind, Noise, Prepare, Source, Spec},
    report::to_pixels,
    run::{RunDir, RunError, write_atomic},
    train,
};
use atypical_models::{Ability, DensityModel, FlowBackend};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Samples that are drawn where the SPEC has no end.
const GENERATED: usize = 1000;

/// Samples of a run as a SPEC has them, by `seed`. With `keep` they are read from beside the run where they were drawn before by the same weights, program and backend; what cannot be
/// read is drawn anew, and what cannot be written is not kept, with a warning.
pub(super) fn samples<B: FlowBackend>(
    run: &RunDir,
    spec: &Spec,
    seed: u64,
    keep: bool,
    device: &B::Device,
) -> Result<Images, CliError> {
    let trained = Loaded::<TrainConfig>::file(&run.config())?.config;
    let shape = trained.model.shape();
    // From the first on, so that a slice is a part of what has no slice.
    let n = spec.drawn(GENERATED, shape.iter().product())?;
    let place = match keep && run.weights().exists() {
        true => Some(place(run, &trained, (&B::name(device), seed, n))?),
        false => None,
    };
    let kept = place.as_deref().and_then(|path| kept(path, n, shape));
    let images = match kept {
        Some(images) => images,
        None => {
            let images = drawn::<B>(run, n, seed, device)?;
            if let Some(path) = place
                && let Err(error) = write_atomic(&path, &archive(&images)?)
            {
                eprintln!("warning: the samples of {} are not kept: {error}", run.name());
            }
            images
        }
    };
    Ok(spec.prepared(Images { name: spec.to_string(), ..images })?)
}

/// Where samples are kept, by all that they depend on.
fn place(
    run: &RunDir,
    trained: &TrainConfig,
    drawn: (&str, u64, usize),
) -> Result<PathBuf, RunError> {
    let of = serde_json::to_vec(&(fingerprint(run, trained)?, drawn)).unwrap_or_default();
    Ok(run.generated(&format!("{:x}", Sha256::digest(of))[..16]))
}

/// What is kept, if it is there and whole.
fn kept(path: &Path, n: usize, shape: [usize; 3]) -> Option<Images> {
    if !path.exists() {
        return None;
    }
    let file = Source::File(path.to_path_buf());
    let spec = Spec { source: file, prepare: Prepare::default(), slice: (None, None) };
    let kind = if train::is_vector(shape) { Kind::Vectors } else { Kind::Pixels };
    let problem = match spec.load(Path::new("")) {
        Ok(images) if (images.len(), images.shape, images.kind) == (n, shape, kind) => {
            return Some(images);
        }
        Ok(images) => format!(
            "{}: it holds {} of shape {:?}, not {n} of shape {shape:?}",
            path.display(),
            images.len(),
            images.shape
        ),
        Err(error) => error.to_string(),
    };
    eprintln!("warning: samples are drawn anew: {problem}");
    None
}

/// Draw samples.
fn drawn<B: FlowBackend>(
    run: &RunDir,
    n: usize,
    seed: u64,
    device: &B::Device,
) -> Result<Images, CliError> {
    let (model, _) = train::open_model::<B>(run, device)?;
    expect(run, &model, Ability::Samples)?;
    B::seed(device, seed);
    let samples = train::draw(&model, n, device);
    let whole = |broken: usize| match broken {
        0 => Ok(()),
        broken => Err(CliError::Other(format!(
            "{broken} of {} values of {n} samples of `{run}` are NaN or infinite: `atypical doctor --run {run}` says more",
            samples.len(),
            run = run.name()
        ))),
    };
    if train::is_vector(model.shape()) {
        whole(samples.iter().filter(|value| !value.is_finite()).count())?;
        return Ok(Images::of_vectors(String::new(), model.dimension(), &samples, None));
    }
    let (pixels, broken) = to_pixels(&samples);
    whole(broken)?;
    Ok(Images::of_pixels(String::new(), model.shape(), pixels, None))
}

/// Samples as they are kept.
fn archive(images: &Images) -> Result<Vec<u8>, CliError> {
    let npz = match images.kind {
        Kind::Pixels => data::to_npz(&images.bytes()?, images.shape),
        Kind::Vectors => {
            let all: Vec<usize> = (0..images.len()).collect();
            data::vectors_to_npz(&images.unit(&all, Noise::Off)?, images.dimension())
        }
    };
    npz.map_err(|error| CliError::Other(error.to_string()))
}
