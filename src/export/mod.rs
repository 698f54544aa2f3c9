//! A trained flow for PyTorch: its weights, the flow written out, a script that loads both, and densities to check that script by. `docs/export.md`
//! describes the files.

use crate::{
    config::TrainConfig,
    run::{RunError, write_atomic},
    train::{self, TrainError},
};
use atypical_models::{
    DensityModel, FlowBackend,
    flow::{Flow, FlowConfig, Step},
};
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The script that reads what is written here.
const LOADER: &str = include_str!("load_flow.py");
/// Of `config.json` and the tensors' names; the script refuses another.
const FORMAT: u32 = 1;
/// Samples of the flow in `reference.json`, and as many uniform draws.
const INPUTS: usize = 4;

/// A flow that cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A configuration of another family.
    #[error("only flows can be exported, and this configuration is none")]
    NotAFlow,
    /// The folder holds something.
    #[error(
        "the folder {0} is not empty: nothing was written; choose another with --out, or remove it"
    )]
    NotEmpty(PathBuf),
    /// Densities that are not finite.
    #[error(
        "log_prob is NaN or infinite at {count} of {of} inputs: the model is numerically broken, nothing was written; `atypical doctor --run {run}` says more"
    )]
    NotFinite {
        /// Such inputs.
        count: usize,
        /// Inputs in all.
        of: usize,
        /// The run.
        run: String,
    },
    /// A file that cannot be written, or a folder that cannot be looked into.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Weights that cannot be written.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// `config.json`.
#[derive(Serialize)]
struct Description<'a> {
    format: u32,
    /// Of the program that wrote it.
    version: &'static str,
    run: &'a str,
    shape: [usize; 3],
    transform: Vec<Step>,
    input: Input<'a>,
    log_prob: LogProb,
}

/// How pixels become x.
#[derive(Serialize)]
struct Input<'a> {
    formula: &'static str,
    u_in_training: &'static str,
    u_without_noise: &'static str,
    /// SPEC of the training images, and what was done to them.
    train: &'a str,
    noise: f64,
    mutation: f64,
}

#[derive(Serialize)]
struct LogProb {
    unit: &'static str,
    bits_per_dimension: &'static str,
}

/// `reference.json`. In f32, as the inputs were: a number's decimals give that number back.
#[derive(Serialize)]
struct Reference {
    x: Vec<Vec<f32>>,
    log_prob: Vec<f32>,
}

/// Write `flow`, which `config` describes, into the folder `out`, which is made: `model.safetensors`, `reference.json`, `load_flow.py`, `config.json`; returns their paths.
///
/// `run` names the flow; `seed` decides the inputs of `reference.json`.
///
/// # Errors
/// A folder that is not empty, a configuration of another family, densities that are not finite, a disk that is full.
pub fn folder<B: FlowBackend>(
    flow: &Flow<B>,
    config: &TrainConfig,
    run: &str,
    out: &Path,
    seed: u64,
    device: &B::Device,
) -> Result<Vec<PathBuf>, ExportError> {
    expect_empty(out)?;
    let plan = config.model.flow().ok_or(ExportError::NotAFlow)?;
    let reference = reference(flow, seed, device);
    let of = reference.log_prob.len();
    let count = reference.log_prob.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(ExportError::NotFinite { count, of, run: run.to_owned() });
    }
    let description = describe(config, &plan, run);
    // The description last: without it the script reads nothing.
    let files = [
        ("model.safetensors", train::to_bytes(flow)?),
        ("reference.json", serde_json::to_vec(&reference).unwrap_or_default()),
        ("load_flow.py", LOADER.as_bytes().to_vec()),
        ("config.json", serde_json::to_vec_pretty(&description).unwrap_or_default()),
    ];
    let write = |(name, contents): (&str, Vec<u8>)| {
        let path = out.join(name);
        write_atomic(&path, &contents).map(|()| path)
    };
    Ok(files.into_iter().map(write).collect::<Result<_, _>>()?)
}

/// Nothing of anyone's is overwritten.
fn expect_empty(folder: &Path) -> Result<(), ExportError> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ExportError::NotEmpty(folder.to_path_buf())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RunError::Read { path: folder.to_path_buf(), source }.into()),
    }
}

fn describe<'a>(config: &'a TrainConfig, flow: &FlowConfig, run: &'a str) -> Description<'a> {
    let mut transform = Vec::new();
    unroll(&flow.transform, &mut transform);
    let vectors = train::is_vector(flow.shape);
    let middle = if vectors { "none" } else { "0.5, the middle of the pixel's cell" };
    Description {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        run,
        shape: flow.shape,
        transform,
        input: Input {
            formula: match vectors {
                true => "x as it is",
                false => "x = (pixel + u) / 256, pixel from 0 to 255, channels first",
            },
            u_in_training: match config.data.dequantize && !vectors {
                true => "uniform on [0, 1)",
                false => middle,
            },
            u_without_noise: middle,
            train: &config.data.train,
            noise: config.data.noise,
            mutation: config.data.mutation,
        },
        log_prob: LogProb {
            unit: if vectors { "nats of x" } else { "nats of x in [0, 1]^D" },
            bits_per_dimension: match vectors {
                true => "-log_prob / (D ln 2)",
                false => "8 - log_prob / (D ln 2)",
            },
        },
    }
}

/// The steps with their repeats written out.
fn unroll(steps: &[Step], all: &mut Vec<Step>) {
    for step in steps {
        match step {
            Step::Repeat { times, steps } => (0..*times).for_each(|_| unroll(steps, all)),
            step => all.push(step.clone()),
        }
    }
}

/// Samples, which lie where the density does, and draws of the whole range, most of which lie far from it.
fn reference<B: FlowBackend>(flow: &Flow<B>, seed: u64, device: &B::Device) -> Reference {
    // On a backend that differentiates, dropout is on otherwise.
    let flow = flow.clone().without_dropout();
    let dimension = flow.dimension();
    B::seed(device, seed);
    let mut x = train::draw(&flow, INPUTS, device);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    if train::is_vector(flow.shape()) {
        x.extend((0..INPUTS * dimension).map(|_| 2.0 * crate::data::normal(&mut rng) as f32));
    } else {
        x.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
        x.extend((0..INPUTS * dimension).map(|_| rng.random::<f32>()));
    }
    let batch = Tensor::from_data(TensorData::new(x.clone(), [2 * INPUTS, dimension]), device);
    let log_prob = flow.log_prob(batch).into_data().iter::<f32>().collect();
    Reference { x: x.chunks(dimension).map(<[f32]>::to_vec).collect(), log_prob }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use burn::backend::{Flex, flex::FlexDevice};
    use safetensors::{Dtype, SafeTensors};
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// Both couplings, both masks on odd channels, splits, repeats, a large kernel on a 1x1 map.
    const MODEL: &str = "
data: {train: demo:train, dequantize: false}
model:
  name: flow
  shape: [3, 4, 4]
  transform:
  - {kind: logit, form: reference}
  - {kind: scale, scale: 0.5, shift: 0.1}
  - {kind: whiten}
  - kind: repeat
    times: 2
    steps:
    - {kind: act_norm}
    - {kind: coupling, mask: even, transform: {kind: rq_spline, bins: 4}, conditioner: {hidden: 3, blocks: 1}}
    - kind: repeat
      times: 2
      steps: [{kind: conv1x1}]
  - {kind: split}
  - {kind: squeeze, factor: 4}
  - {kind: coupling, mask: odd, transform: {kind: affine}, conditioner: {hidden: 2}}
  - {kind: split}
  - {kind: flatten}
  - {kind: conv1x1}
";

    fn config() -> TrainConfig {
        Loaded::text(MODEL, &[]).unwrap().config
    }

    fn flow(config: &TrainConfig) -> Flow<Flex> {
        Flow::new(&config.model.flow().unwrap(), 0, &FlexDevice).unwrap()
    }

    fn json(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Names and shapes of the tensors that a `config.json` implies, as `load_flow.py` builds them.
    fn implied(config: &Value) -> BTreeMap<String, Vec<usize>> {
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let [mut c, mut h, mut w] = [0, 1, 2].map(|i| number(&config["shape"][i]));
        let mut tensors = BTreeMap::new();
        let (mut level, mut place) = (0, 0);
        for step in config["transform"].as_array().unwrap() {
            let module = format!("levels.{level}.steps.{place}");
            let mut add = |name: &str, shape: &[usize]| {
                tensors.insert(format!("{module}.{name}"), shape.to_vec());
            };
            place += 1;
            match step["kind"].as_str().unwrap() {
                "logit" | "scale" => {}
                "whiten" => ["mean", "deviation"].iter().for_each(|name| add(name, &[c, h, w])),
                "flatten" => (c, h, w) = (c * h * w, 1, 1),
                "squeeze" => {
                    let f = number(&step["factor"]);
                    (c, h, w) = (c * f * f, h / f, w / f);
                }
                "act_norm" => ["log_scale", "shift"].iter().for_each(|name| add(name, &[c])),
                "conv1x1" => {
                    ["lower", "upper"].iter().for_each(|name| add(name, &[c, c]));
                    ["diagonal", "bias", "permutation"].iter().for_each(|name| add(name, &[c]));
                }
                "coupling" => {
                    let settings = &step["conditioner"];
                    let hidden = number(&settings["hidden"]);
                    let kernel = if h * w == 1 { 1 } else { number(&settings["kernel"]) };
                    let parameters = match step["transform"]["kind"].as_str().unwrap() {
                        "affine" => 2,
                        _ => 3 * number(&step["transform"]["bins"]) - 1,
                    };
                    let transformed = if step["mask"] == "even" { c.div_ceil(2) } else { c / 2 };
                    let mut conv = |name: &str, [input, output, kernel]: [usize; 3]| {
                        let weight = [output, input, kernel, kernel];
                        add(&format!("conditioner.{name}.weight"), &weight);
                        add(&format!("conditioner.{name}.bias"), &[output]);
                    };
                    conv("initial", [c - transformed, hidden, 1]);
                    for block in 0..number(&settings["blocks"]) {
                        conv(&format!("blocks.{block}.first"), [hidden, hidden, kernel]);
                        conv(&format!("blocks.{block}.second"), [hidden, hidden, kernel]);
                    }
                    conv("output", [hidden, transformed * parameters, 1]);
                }
                "split" => (c, level, place) = (c / 2, level + 1, 0),
                other => panic!("{other} is not written out"),
            }
        }
        tensors
    }

    #[test]
    fn the_tensors_are_those_that_the_description_implies() {
        let dir = tempfile::tempdir().unwrap();
        let (config, out) = (config(), dir.path().join("some/folder"));
        let files = folder(&flow(&config), &config, "run", &out, 0, &FlexDevice).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.strip_prefix(&out).unwrap()).collect();
        let expected = ["model.safetensors", "reference.json", "load_flow.py", "config.json"];
        assert_eq!(names, expected.map(Path::new));
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), files.len());

        let description = json(&out.join("config.json"));
        let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let found: BTreeMap<_, _> =
            tensors.tensors().into_iter().map(|(name, t)| (name, t.shape().to_vec())).collect();
        assert_eq!(found, implied(&description));
        for (name, tensor) in tensors.tensors() {
            let integer = matches!(tensor.dtype(), Dtype::I32 | Dtype::I64);
            assert_eq!(integer, name.ends_with(".permutation"), "{name}");
        }
        assert_eq!(description["transform"].as_array().unwrap().len(), 17);
        assert_eq!(description["input"]["u_in_training"], description["input"]["u_without_noise"]);
        assert!(LOADER.contains(&format!("\nFORMAT = {FORMAT}\n")));
    }

    #[test]
    fn the_references_densities_are_those_of_its_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let (config, out) = (config(), dir.path());
        let flow = flow(&config);
        folder(&flow, &config, "run", out, 3, &FlexDevice).unwrap();
        let reference = json(&out.join("reference.json"));
        let numbers = |value: &Value| -> Vec<f32> {
            value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
        };
        let x: Vec<Vec<f32>> = reference["x"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!((x.len(), x[0].len()), (2 * INPUTS, 48));
        assert!(x.iter().flatten().all(|x| (0.0..=1.0).contains(x)));
        let data = TensorData::new(x.concat(), [x.len(), 48]);
        let log_prob: Vec<f32> =
            flow.log_prob(Tensor::from_data(data, &FlexDevice)).into_data().iter().collect();
        assert_eq!(log_prob, numbers(&reference["log_prob"]), "to the last bit");
    }

    #[test]
    fn what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let config = config();
        let export =
            |flow: &Flow<Flex>, out: &Path| folder(flow, &config, "run", out, 0, &FlexDevice);
        let file = dir.path().join("mine");
        std::fs::write(&file, b"kept").unwrap();
        let message = export(&flow(&config), dir.path()).unwrap_err().to_string();
        let named = message.contains(&dir.path().display().to_string());
        assert!(named && message.contains("not empty") && message.contains("--out"), "{message}");
        let message = export(&flow(&config), &file).unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot read {}", file.display())), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_flow_is_not_exported() {
        use atypical_models::flow::Layer;
        use burn::module::Param;
        let dir = tempfile::tempdir().unwrap();
        let (config, out) = (config(), dir.path().join("folder"));
        let mut flow = flow(&config);
        let Layer::ActNorm(norm) = &mut flow.levels[0].steps[3] else { panic!("an ActNorm") };
        norm.shift = Param::from_tensor(Tensor::full([3], f32::NAN, &FlexDevice));
        let error = folder(&flow, &config, "broken", &out, 0, &FlexDevice).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("8 of 8 inputs") && message.contains("--run broken"), "{message}");
        assert!(!out.exists());
    }
}
