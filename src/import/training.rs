//! A training of the reference as one of ours.

use super::{
    ImportError,
    flow::{Plan, plan},
    reader::Reader,
};
use crate::{
    config::{
        DataConfig, EarlyStopping, Measure, ModelConfig, Optimizer, SamplesConfig, Scheduler,
        Section, TrackConfig, TrainConfig,
    },
    data::DATASETS,
};
use std::path::Path;

/// What to do where the old name of the training images is unknown.
const NAME_THEM: &str = "name the images with --data SPEC";

/// A translated training.
#[derive(Debug)]
pub struct Translated {
    /// The training.
    pub config: TrainConfig,
    /// Where the weights of its flow stand in a checkpoint.
    pub(super) plan: Plan,
    /// What differs, and what has no counterpart; one sentence each.
    pub notes: Vec<String>,
}

/// Translate a training configuration, the YAML given to the reference's `train.py` or the JSON that it leaves beside the run. `data` is the SPEC of the
/// training images where the old name of the set is unknown here.
///
/// # Errors
/// A file that cannot be read, a model, step or setting without a counterpart.
pub fn training(path: &Path, data: Option<&str>) -> Result<Translated, ImportError> {
    translated(Reader::open(path)?, data)
}

/// The same of what was read.
pub(super) fn translated(mut old: Reader, data: Option<&str>) -> Result<Translated, ImportError> {
    let mut notes = Vec::new();
    let mut model = old.section("model")?;
    let class = model.class("class_path")?;
    if class != "NormalizingFlow" {
        return Err(model.error(
            "class_path",
            format!("is {class}; only flows, NormalizingFlow, can be imported"),
        ));
    }
    let mut arguments = model.section("init_args")?;
    let (plan, Treatment { dequantize, noise, mutation }) = flow(&mut arguments, &mut notes)?;

    let mut section = old.section("data")?;
    let network: Option<String> = section.take("embedding_network")?;
    let spec = match (data, network) {
        (Some(spec), _) => spec.to_owned(),
        (None, None) => set(&mut section, "train", NAME_THEM, &mut notes)?,
        (None, Some(network)) => {
            let images = set(&mut section, "train", NAME_THEM, &mut notes)?;
            let file =
                format!("{}_{network}.npz", images.replace(|c: char| !c.is_alphanumeric(), "_"));
            notes.push(format!(
                "embeddings are computed elsewhere: put those of {images} by {network} into {file}, `features` [N, D], or name them with --data"
            ));
            file
        }
    };
    let mut trainer = old.section("trainer")?;
    let mut config = TrainConfig {
        run: None,
        seed: 0,
        data: DataConfig {
            train: spec,
            valid: None,
            valid_fraction: 0.1,
            dequantize,
            noise,
            mutation,
            limit: section.take("training_limit")?,
        },
        model: ModelConfig::Flow(plan.config.clone()),
        optimizer: Optimizer::default(),
        scheduler: Scheduler::Constant {},
        epochs: trainer.take("max_epochs")?.unwrap_or(100),
        batch_size: batch_size(&mut section)?,
        clip_grad_norm: trainer.take("max_grad_norm")?,
        early_stopping: EarlyStopping {
            patience: trainer.take("max_bad_valid_epochs")?,
            measure: Measure::Loss,
        },
        samples: SamplesConfig {
            every: trainer.take("sample_freq")?.unwrap_or(0),
            ..SamplesConfig::default()
        },
        max_steps: None,
        checkpoint_steps: 200,
        track: TrackConfig::default(),
    };
    (config.optimizer, config.scheduler) = optimizer(&mut trainer, &mut notes)?;
    for key in ["trainer_cls", "early_stopping_metric", "progress_bar"] {
        trainer.take::<serde_json::Value>(key)?;
    }
    for key in
        ["make_valid_loader", "make_test_loader", "shuffle", "dataset", "additional_dataset_args"]
    {
        section.take::<serde_json::Value>(key)?;
    }
    notes.extend([&old, &section, &trainer, &model, &arguments].into_iter().flat_map(left_out));
    config.validate().map_err(|(key, problem)| old.error(&key, problem))?;
    Ok(Translated { config, plan, notes })
}

/// What was done to the data of a training.
struct Treatment {
    dequantize: bool,
    /// Standard deviation of Gaussian noise.
    noise: f64,
    /// Rate of mutated values.
    mutation: f64,
}

/// The flow, and what was done to its data.
fn flow(arguments: &mut Reader, notes: &mut Vec<String>) -> Result<(Plan, Treatment), ImportError> {
    let shape: Vec<usize> = arguments.need("data_shape")?;
    let shape = match shape[..] {
        [d] => [d, 1, 1],
        [c, h, w] => [c, h, w],
        _ => {
            return Err(arguments.error(
                "data_shape",
                format!("is {shape:?}; it is [channels, height, width] or [dimension]"),
            ));
        }
    };
    let flag = |arguments: &mut Reader, key: &str| {
        Ok::<bool, ImportError>(arguments.take(key)?.unwrap_or(false))
    };
    let dequantize = flag(arguments, "dequantize")?;
    let scaled = flag(arguments, "scale_data")?;
    let logit = flag(arguments, "logit_transform")?;
    for (key, why) in [
        ("scale_data_to_n1_1", "pixels here are in [0, 1]"),
        (
            "whitening_transform",
            "this is not translated; put a `whiten` step first into `model.transform`",
        ),
        ("flatten", "images here keep their shape"),
    ] {
        arguments.only(key, false, why)?;
    }
    let images = shape[1] > 1 || shape[2] > 1;
    if images != scaled {
        let only = if images {
            "true for images, which here are in [0, 1]"
        } else {
            "false for vectors, which here stay as they are"
        };
        return Err(arguments.error("scale_data", format!("is {scaled}, but can only be {only}")));
    }
    if images && !dequantize {
        notes.push("without dequantisation the reference sees pixel / 255, here it is (pixel + 1/2) / 256: densities differ a little".into());
    }
    flag(arguments, "clamp_samples")?;
    let mut noise: f64 = arguments.take("denoising_sigma")?.unwrap_or(0.0);
    if images && noise > 0.0 {
        notes.push(format!("it was trained with noise of {noise} grey levels (`denoising_sigma`), which its logit has no room for here: training would go on without"));
        noise = 0.0;
    }
    let mutation = arguments.take("background_augmentation")?.unwrap_or(0.0);
    base(arguments)?;
    let plan = plan(arguments, shape, (scaled, logit), notes)?;
    // Vectors are not dequantised, whatever is said.
    Ok((plan, Treatment { dequantize: dequantize || !images, noise, mutation }))
}

/// The prior must be the standard normal.
fn base(arguments: &mut Reader) -> Result<(), ImportError> {
    arguments.take::<usize>("dim")?;
    if arguments.has("base_distribution") {
        let mut base = arguments.section("base_distribution")?;
        let class = base.class("class_path")?;
        if class != "StandardNormal" {
            return Err(base.error(
                "class_path",
                format!("is {class}, but only StandardNormal can be imported"),
            ));
        }
    }
    Ok(())
}

/// The SPEC of the set that an old file names; `notes` gains what is different about it here.
pub(super) fn set(
    section: &mut Reader,
    split: &str,
    way_out: &str,
    notes: &mut Vec<String>,
) -> Result<String, ImportError> {
    let name: String = section.need("dataset")?;
    let mut arguments = section.section("additional_dataset_args")?;
    let note = match name.as_str() {
        "celeba" => "the reference shrinks whole pictures, here the middle 148 x 148 is shrunk",
        "emnist" | "emnist-minus-mnist" => {
            "the reference reads EMNIST lying on its side and tests on a tenth of its training images; here it is upright, with its own test images: \
             densities of a model of the reference are of other pictures"
        }
        "svhn" => {
            "the reference trains and tests on the test split alone: for a model of the reference svhn:test are the training images, of a training with --data svhn:test, of an experiment as `calibration`"
        }
        "tiny-imagenet" => "the reference trains on the validation images too",
        "omniglot" => "the reference divides the background set in ten parts",
        _ => "",
    };
    notes.extend((!note.is_empty()).then(|| format!("{name}: {note}")));
    let name = match name.as_str() {
        // Its sets have names of their own here.
        "medmnist" => arguments.need::<String>("subclass")?.to_lowercase(),
        "celeba" => "celeba-32".to_owned(),
        _ => name,
    };
    for key in ["align", "resize_image"] {
        if arguments.take::<serde_json::Value>(key)?.is_some_and(|value| value != false) {
            let at = format!("additional_dataset_args.{key}");
            return Err(section.error(&at, format!("changes the pictures, which the sets here do not; write them to a file and {way_out}")));
        }
    }
    notes.extend(left_out(&arguments));
    let known = DATASETS.iter().find(|set| set.name == name);
    match known {
        Some(set) if set.splits.iter().any(|s| s.name == split) => Ok(format!("{name}:{split}")),
        Some(set) => {
            let splits: Vec<&str> = set.splits.iter().map(|split| split.name).collect();
            Err(section.error(
                "dataset",
                format!(
                    "is `{name}`, which here has no split `{split}` but {}; {way_out}",
                    splits.join(", ")
                ),
            ))
        }
        None => {
            Err(section.error("dataset", format!("is `{name}`, which is unknown here; {way_out}")))
        }
    }
}

/// What was not read of a section.
pub(super) fn left_out(section: &Reader) -> Option<String> {
    let left: Vec<String> = section.left().into_iter().map(|key| format!("`{key}`")).collect();
    match left.as_slice() {
        [] => None,
        [one] => Some(format!("{one} has no counterpart here and was left out")),
        several => {
            Some(format!("{} have no counterpart here and were left out", several.join(", ")))
        }
    }
}

fn batch_size(section: &mut Reader) -> Result<usize, ImportError> {
    let [all, train] = [section.take("batch_size")?, section.take("train_batch_size")?];
    for key in ["valid_batch_size", "test_batch_size"] {
        section.take::<usize>(key)?;
    }
    Ok(all.or(train).unwrap_or(128))
}

fn optimizer(
    trainer: &mut Reader,
    notes: &mut Vec<String>,
) -> Result<(Optimizer, Scheduler), ImportError> {
    let mut section = trainer.section("optimizer")?;
    let class =
        if section.has("class_path") { section.class("class_path")? } else { "AdamW".into() };
    let mut arguments = section.section("init_args")?;
    let decay = match class.as_str() {
        // The default of PyTorch.
        "AdamW" => arguments.take("weight_decay")?.unwrap_or(0.01),
        "Adam" => {
            arguments.only(
                "weight_decay",
                0.0,
                "Adam's goes into the moments, AdamW's does not",
            )?;
            0.0
        }
        other => {
            return Err(section
                .error("class_path", format!("is {other}, but there are only AdamW and Adam")));
        }
    };
    let [beta_1, beta_2] = arguments.take("betas")?.unwrap_or([0.9, 0.999]);
    let optimizer = Optimizer::AdamW {
        lr: arguments.take("lr")?.unwrap_or(1e-3),
        weight_decay: decay,
        beta_1,
        beta_2,
        epsilon: arguments.take("eps")?.unwrap_or(1e-8),
    };
    let mut schedule = section.section("lr_scheduler")?;
    let scheduler = match schedule.has("class_path") {
        false => Scheduler::Constant {},
        true => {
            match schedule.class("class_path")?.as_str() {
                "ExponentialLR" => {
                    let gamma = schedule.section("init_args")?.need("gamma")?;
                    Scheduler::Exponential { gamma }
                }
                other => {
                    notes.push(format!("the schedule {other} has no counterpart here: the learning rate stays constant"));
                    Scheduler::Constant {}
                }
            }
        }
    };
    notes.extend(left_out(&arguments));
    Ok((optimizer, scheduler))
}
