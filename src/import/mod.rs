//! Models and configurations of the Python reference, `layer6ai-labs/dgm_ood_detection`: flows of `nflows` trained there go on here.
//!
//! [`nflows`] makes a run of a checkpoint (`de_nf_best_valid.pt`, a PyTorch state dict) and the YAML or JSON that it was trained by; [`training`],
//! [`experiment`] and [`translate`], which knows sweeps too, translate configurations alone. Code in either file is never run: of a checkpoint only tensors are read, and a class is known by its name.

mod archive;
mod dysweep;
mod error;
mod experiment;
mod flow;
mod python;
mod reader;
mod space;
mod sweep;
mod training;
mod weights;

pub use error::ImportError;
pub use experiment::experiment;
pub use training::{Translated, training};

use crate::{
    config::{ConfigError, OodConfig, TrainConfig},
    run::{ORIGIN, RunDir, RunError, write_atomic},
    train,
};
use atypical_models::flow::Flow;
use burn::tensor::backend::Backend;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A configuration of the reference, a training, an OOD experiment or a sweep of either, as YAML of ours; and what is to be said about it, one sentence each. `data` is the SPEC of the
/// training images.
///
/// # Errors
/// As [`training`] and [`experiment`]; none of these; a sweep of which no trial can be translated.
pub fn translate(path: &Path, data: Option<&str>) -> Result<(String, Vec<String>), ImportError> {
    let old = reader::Reader::open(path)?;
    if old.has("base_config") {
        let (file, notes) = sweep::sweep(old, data)?;
        return Ok((yaml(&file)?, notes));
    }
    let (config, notes) = one(old, data)?;
    Ok((yaml(&config)?, notes))
}

/// A translated configuration.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Config {
    Train(Box<TrainConfig>),
    Ood(Box<OodConfig>),
}

/// A training or an experiment.
fn one(old: reader::Reader, data: Option<&str>) -> Result<(Config, Vec<String>), ImportError> {
    if old.has("ood") {
        if data.is_some() {
            return Err(old.error(
                "ood",
                "makes this an experiment, and --data names the images of a training",
            ));
        }
        let (config, notes) = experiment::translated(old)?;
        Ok((Config::Ood(config.into()), notes))
    } else if old.has("model") {
        let Translated { config, notes, .. } = training::translated(old, data)?;
        Ok((Config::Train(config.into()), notes))
    } else {
        Err(old.error("model", "is missing, and so is `ood`: this is neither a training nor an OOD experiment of the reference"))
    }
}

fn yaml(config: &impl serde::Serialize) -> Result<String, ConfigError> {
    serde_saphyr::to_string(config).map_err(|error| ConfigError::Write(error.to_string()))
}

/// What [`nflows`] made.
#[derive(Debug)]
pub struct Imported<B: Backend> {
    /// The run.
    pub run: RunDir,
    /// Its flow.
    pub flow: Flow<B>,
    /// How training would go on.
    pub config: TrainConfig,
    /// What differs from the reference, and what of the old file has no counterpart; one sentence each.
    pub notes: Vec<String>,
}

/// A run of a flow that the reference trained: `config.yaml` and `model/best.safetensors` under `model_dir`, and where they come from in `import.json`.
///
/// `data` is the SPEC of its training images where the old file names a set that is unknown here.
///
/// # Errors
/// Files that cannot be read, steps or settings without a counterpart, tensors that are missing or left over or of another shape, a run that exists.
pub fn nflows<B: Backend>(
    checkpoint: &Path,
    config: &Path,
    data: Option<&str>,
    (model_dir, name): (&Path, &str),
    device: &B::Device,
) -> Result<Imported<B>, ImportError> {
    let Translated { mut config, plan, mut notes } = training(config, data)?;
    config.run = Some(name.to_owned());
    let bytes =
        std::fs::read(checkpoint).map_err(|source| ImportError::read(checkpoint, source))?;
    let mut flow = Flow::<B>::new(&plan.config, config.seed, device)?;
    notes.extend(weights::load(&mut flow, &plan, checkpoint, device)?);
    let run = match RunDir::create(model_dir, name) {
        Err(RunError::Exists(root)) => return Err(ImportError::Exists(root)),
        run => run?,
    };
    let staged = run.stage()?;
    let place = staged.folder();
    let origin = serde_json::json!({
        "checkpoint": checkpoint.file_name().map(|name| name.to_string_lossy()),
        "sha256": format!("{:x}", Sha256::digest(&bytes)),
        "notes": notes,
        "version": env!("CARGO_PKG_VERSION"),
    });
    write_atomic(&place.root().join(ORIGIN), origin.to_string().as_bytes())?;
    write_atomic(&place.best_model(), &train::to_bytes(&flow)?)?;
    write_atomic(&place.config(), yaml(&config)?.as_bytes())?;
    Ok(Imported { run: staged.commit()?, flow, config, notes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::mutations,
        jacobian::{self, Linearized, Memory},
        lid::Spectrum,
    };
    use atypical_models::DensityModel;
    use burn::{
        backend::{Flex, flex::FlexDevice},
        tensor::{Tensor, TensorData},
    };
    use std::{
        io::{Cursor, Read, Write},
        path::PathBuf,
    };
    use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

    /// What PyTorch says of a golden checkpoint, see `scripts/reference/import_goldens.py`.
    #[derive(serde::Deserialize)]
    struct Expected {
        x: Vec<Vec<f32>>,
        log_prob: Vec<f64>,
        z: Vec<Vec<f64>>,
        eigenvalues: Vec<Vec<f64>>,
    }

    pub(super) fn golden(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/import").join(file)
    }

    fn import(name: &str) -> Result<Imported<Flex>, ImportError> {
        let (checkpoint, config) = (golden(&format!("{name}.pt")), golden(&format!("{name}.yaml")));
        let dir = tempfile::tempdir().unwrap();
        nflows(&checkpoint, &config, None, (dir.path(), "imported"), &FlexDevice)
    }

    /// The message of an import of a changed file.
    fn refused(name: &str, change: impl FnOnce(String) -> String) -> String {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("old.yaml");
        let text = std::fs::read_to_string(golden(&format!("{name}.yaml"))).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed);
        std::fs::write(&config, changed).unwrap();
        let checkpoint = golden(&format!("{name}.pt"));
        let result =
            nflows::<Flex>(&checkpoint, &config, None, (dir.path(), "imported"), &FlexDevice);
        assert!(!dir.path().join("imported").exists(), "nothing is left of what failed");
        result.unwrap_err().to_string()
    }

    #[test]
    fn densities_latents_and_spectra_are_those_of_pytorch() {
        for name in ["image_rq", "image_glow", "vector"] {
            let imported = import(name).unwrap();
            let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
            let expected: Expected = serde_json::from_str(&text).unwrap();
            let dims = [expected.x.len(), expected.x[0].len()];
            let data = TensorData::new(expected.x.concat(), dims);
            let x = Tensor::<Flex, 2>::from_data(data, &FlexDevice);
            let flow = &imported.flow;
            let log_prob: Vec<f64> = flow.log_prob(x.clone()).into_data().iter::<f64>().collect();
            for (got, expected) in log_prob.iter().zip(&expected.log_prob) {
                assert!((got / expected - 1.0).abs() < 1e-4, "{name}: {got}, not {expected}");
            }
            let (z, _) = flow.encode(x);
            for (got, expected) in z.clone().into_data().iter::<f64>().zip(expected.z.concat()) {
                assert!(
                    (got - expected).abs() < 1e-3 * (1.0 + expected.abs()),
                    "{name}: {got}, not {expected}"
                );
            }
            // The reference decodes to α + (1 - α) x where it has a logit.
            let stretch: f64 = if name == "vector" { 1.0 } else { 0.95 * 0.95 };
            for (i, expected) in expected.eigenvalues.iter().enumerate() {
                let z = z.clone().narrow(0, i, 1);
                let jacobian =
                    jacobian::decoder(&Linearized::new(flow, z.clone()), Memory::mib(64)).unwrap();
                let z: Vec<f32> = z.into_data().iter::<f32>().collect();
                let spectrum = Spectrum::new(&jacobian, &z).unwrap();
                for (got, expected) in spectrum.eigenvalues().iter().zip(expected) {
                    assert!(
                        (got * stretch / expected - 1.0).abs() < 1e-2,
                        "{name}: {got}, not {expected}"
                    );
                }
                for r in [-3.0, -1.0, 0.0, 1.0] {
                    let lid = expected.iter().filter(|l| **l > f64::exp(2.0 * r)).count();
                    let here = r - 0.5 * stretch.ln();
                    let ours = spectrum
                        .eigenvalues()
                        .iter()
                        .filter(|l| **l > f64::exp(2.0 * here))
                        .count();
                    assert_eq!(ours, lid, "{name} at {r}");
                }
            }
        }
    }

    #[test]
    fn an_imported_run_is_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let (checkpoint, config) = (golden("image_rq.pt"), golden("image_rq.yaml"));
        let place = (dir.path(), "imported");
        let imported = nflows::<Flex>(&checkpoint, &config, None, place, &FlexDevice).unwrap();
        let (flow, trained) =
            train::open_flow::<Flex>(&imported.run, "a test", &FlexDevice).unwrap();
        assert_eq!(trained, imported.config);
        assert_eq!(trained.data.train, "fashion-mnist:train");
        assert_eq!((trained.epochs, trained.early_stopping.patience), (400, Some(30)));
        assert_eq!(train::to_bytes(&flow).unwrap(), train::to_bytes(&imported.flow).unwrap());
        assert!(
            imported.notes.iter().any(|note| note.contains("`trainer.writer`")),
            "{:?}",
            imported.notes
        );
        let again = nflows::<Flex>(&checkpoint, &config, None, place, &FlexDevice).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        for (name, from, to, said) in [
            (
                "image_rq",
                "num_bins: 4",
                "num_bins: 5",
                "of shape [22, 8, 1, 1], but the configuration asks for [28, 8, 1, 1]",
            ),
            ("image_rq", "flip: true", "flip: false", "another mask than `mask.flip` says"),
            (
                "image_rq",
                "tails: linear",
                "tails: null",
                "`model.init_args.transform.1.content.2.init_args.tails` is None",
            ),
            (
                "image_rq",
                "normalization.ActNorm",
                "normalization.BatchNorm",
                "is BatchNorm, which has no counterpart here",
            ),
            (
                "image_rq",
                "use_batch_norm: false",
                "use_batch_norm: true",
                "use_batch_norm` is true, but only false",
            ),
            (
                "image_rq",
                "activation: torch.nn.functional.relu",
                "activation: torch.tanh",
                "only relu",
            ),
            (
                "image_rq",
                "scale_data: true",
                "scale_data: false",
                "`model.init_args.scale_data` is false",
            ),
            (
                "image_rq",
                "repeat_n: 1",
                "repeat_n: 400000000",
                "`model.init_args.transform.1.repeat_n` is 400000000",
            ),
            (
                "image_rq",
                "dataset: fashion-mnist",
                "dataset: fasion",
                "name the images with --data SPEC",
            ),
            ("image_rq", "repeat_n: 1", "repeat_n: 2", "lacks `_nflow._transform."),
            (
                "image_rq",
                "class_path: model_zoo.density_estimator.flow.NormalizingFlow",
                "class_path: a.VAE",
                "`model.class_path` is VAE",
            ),
            ("image_rq", "max_epochs: 400", "max_epochs: many", "`trainer.max_epochs` is \"many\""),
            (
                "vector",
                "permutations.RandomPermutation",
                "normalization.ActNorm",
                "of another model",
            ),
        ] {
            let message = refused(name, |text| text.replace(from, to));
            assert!(message.contains(said), "{from} to {to}: {message}");
        }
    }

    #[test]
    fn a_permutation_is_not_moved_past_a_repeat() {
        let permutation = "- class_path: nflows.transforms.permutations.RandomPermutation\n      init_args:\n        features: 6\n    ";
        let message = refused("vector", |text| {
            text.replace("- repeat_n: 2", &format!("{permutation}- repeat_n: 2"))
        });
        assert!(message.contains("only one right before an LULinear"), "{message}");
    }

    #[test]
    fn what_differs_of_the_old_data_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.yaml");
        let text = std::fs::read_to_string(golden("image_rq.yaml")).unwrap();
        let translated = |from: &str, to: &str| {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            training(&path, None)
        };
        let celeba = translated("dataset: fashion-mnist", "dataset: celeba").unwrap();
        assert_eq!(celeba.config.data.train, "celeba-32:train");
        assert!(celeba.notes.iter().any(|note| note.contains("148")), "{:?}", celeba.notes);
        let noisy = translated("denoising_sigma: null", "denoising_sigma: 2.0").unwrap();
        assert_eq!(noisy.config.data.noise, 0.0);
        assert!(noisy.notes.iter().any(|note| note.contains("2 grey levels")), "{:?}", noisy.notes);
        let dataset = "dataset: fashion-mnist";
        let embedded =
            translated(dataset, &format!("{dataset}\n  embedding_network: dino")).unwrap();
        assert_eq!(embedded.config.data.train, "fashion_mnist_train_dino.npz");
        assert!(embedded.notes.iter().any(|note| note.contains("of fashion-mnist:train by dino")));
        let aligned = translated(
            "dataset: fashion-mnist",
            "dataset: medmnist\n  additional_dataset_args: {subclass: ChestMNIST, align: true}",
        );
        assert!(aligned.unwrap_err().to_string().contains("align` changes the pictures"));
    }

    #[test]
    fn a_damaged_checkpoint_is_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = std::fs::read(golden("vector.pt")).unwrap();
        let checkpoint = dir.path().join("cut.pt");
        let place = (dir.path(), "imported");
        for length in (0..bytes.len()).step_by(997) {
            std::fs::write(&checkpoint, &bytes[..length]).unwrap();
            let result =
                nflows::<Flex>(&checkpoint, &golden("vector.yaml"), None, place, &FlexDevice);
            let message = result.unwrap_err().to_string();
            assert!(
                message.starts_with(&checkpoint.display().to_string()),
                "{length} bytes: {message}"
            );
        }
    }

    /// An archive with its entries changed, checksums as they should be; none for an entry to leave out.
    fn rewritten(
        bytes: &[u8],
        method: CompressionMethod,
        change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut out = ZipWriter::new(Cursor::new(Vec::new()));
        for i in 0..archive.len() {
            let mut entry = archive.by_index(i).unwrap();
            let (name, mut bytes) = (entry.name().to_owned(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(bytes) = change(&name, bytes) {
                let options = SimpleFileOptions::default().compression_method(method);
                out.start_file(name, options).unwrap();
                out.write_all(&bytes).unwrap();
            }
        }
        out.finish().unwrap().into_inner()
    }

    /// The reader of checkpoints takes what is not there for zeros.
    #[test]
    fn a_checkpoint_is_whole_or_refused() {
        let whole = std::fs::read(golden("vector.pt")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = dir.path().join("damaged.pt");
        let translated = training(&golden("vector.yaml"), None).unwrap();
        let load = |bytes: &[u8]| {
            std::fs::write(&checkpoint, bytes).unwrap();
            let mut flow = Flow::<Flex>::new(&translated.plan.config, 0, &FlexDevice).unwrap();
            weights::load(&mut flow, &translated.plan, &checkpoint, &FlexDevice)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        let stored = CompressionMethod::Stored;
        let last = |name: &str| name.ends_with("/data/9");
        load(&rewritten(&whole, stored, |_, bytes| Some(bytes))).unwrap();
        let without = rewritten(&whole, stored, |name, bytes| (!last(name)).then_some(bytes));
        assert!(load(&without).unwrap_err().contains("lacks its storage `data/9`"));
        let halved = rewritten(&whole, stored, |name, mut bytes| {
            bytes.truncate(if last(name) { bytes.len() / 2 } else { bytes.len() });
            Some(bytes)
        });
        let message = load(&halved).unwrap_err();
        assert!(message.contains("bytes of numbers, but its tensors need"), "{message}");
        let mut archive = ZipArchive::new(Cursor::new(&whole)).unwrap();
        let place = archive.by_name("vector/data/9").unwrap().data_start().unwrap();
        let mut flipped = whole.clone();
        flipped[place as usize] ^= 1;
        let message = load(&flipped).unwrap_err();
        assert!(message.contains("is damaged in") && message.contains("/data/9"), "{message}");
        let deflated = rewritten(&whole, CompressionMethod::Deflated, |_, bytes| Some(bytes));
        assert!(load(&deflated).unwrap_err().contains("has a compressed entry"));
        assert!(load(&whole[..whole.len() - 9]).unwrap_err().contains("is no whole zip archive"));
    }

    #[test]
    fn no_damage_to_a_checkpoint_is_a_panic() {
        let corpus = ["vector.pt", "image_rq.pt", "image_glow.pt"]
            .map(|name| (name.to_owned(), std::fs::read(golden(name)).unwrap()));
        let translated = training(&golden("vector.yaml"), None).unwrap();
        mutations::survive(&corpus, |_, bytes, dir| {
            let checkpoint = dir.join("damaged.pt");
            std::fs::write(&checkpoint, bytes).unwrap();
            let mut flow = Flow::<Flex>::new(&translated.plan.config, 0, &FlexDevice).unwrap();
            weights::load(&mut flow, &translated.plan, &checkpoint, &FlexDevice)
                .map(drop)
                .map_err(|error| error.to_string())
        });
    }

    #[test]
    fn an_experiment_is_translated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.yaml");
        let old = "
base_model: {config_dir: a/fmnist_final/run_config.json, checkpoint_dir: a/fmnist_final/checkpoints/de_nf_best_valid.pt}
data:
  in_distribution: {dataloader_args: {dataset: fashion-mnist, train_batch_size: 8}, pick_loader: train}
  out_of_distribution: {dataloader_args: {dataset: mnist, test_batch_size: 4}, pick_loader: test}
ood:
  seed: 100
  use_dataloader: True
  pick_count: 5
  method: ood.intrinsic_dimension.LID_OOD
  method_args:
    lid_calculator_class: lid.flows.ThresholdSVDFlowLIDEstimator
    lid_calculator_args: {verbose: 2, ambient_dim: 784}
    scale_selection_algorithm: given_from_model_free
    scale_selection_algorithm_args: {model_free_dimension: 40, l_scale: -100, r_scale: 100, bin_search_steps: 20}
    training_buffer_size: 16
logger: {project: p}
";
        std::fs::write(&path, old).unwrap();
        let (config, notes) = experiment(&path).unwrap();
        assert_eq!((config.run.as_str(), config.seed), ("fmnist_final", 100));
        assert_eq!((config.limit, config.calibration_count), (Some(20), 128));
        assert_eq!(config.in_distribution, ["fashion-mnist:test"]);
        assert_eq!(config.calibration, "fashion-mnist:train");
        assert_eq!(config.out_of_distribution, ["mnist:test"]);
        assert_eq!(
            config.lid.scale,
            crate::lid::Scale::Calibrated {
                dimension: Some(40.0),
                alpha: 0.001,
                low: -20.0,
                high: 20.0
            }
        );
        assert!(
            notes[0].contains("atypical import nflows --config a/fmnist_final/run_config.json"),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.contains("`logger.project`"))
                || notes.iter().any(|n| n.contains("`logger`")),
            "{notes:?}"
        );

        std::fs::write(&path, old.replace("dataset: mnist", "dataset: fashion-mnist")).unwrap();
        let message = experiment(&path).unwrap_err().to_string();
        assert!(message.contains("is the in-distribution set itself"), "{message}");
        std::fs::write(&path, old.replace("LID_OOD", "DegradeDenoise")).unwrap();
        assert!(
            experiment(&path).unwrap_err().to_string().contains("`ood.method` is DegradeDenoise")
        );
    }
}
