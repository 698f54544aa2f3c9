//! An OOD experiment of the reference as one of ours.

use super::{
    ImportError,
    reader::Reader,
    training::{left_out, set},
};
use crate::{
    config::{Method, OodConfig, Section},
    lid::{Estimator, Scale},
};
use std::path::Path;

/// What to do where an old set is unknown.
const WRITE_IT: &str =
    "write a name into the old file that `atypical data list` has, and put yours into the new one";

/// Translate the YAML given to the reference's `main_ood.py`. Returns the experiment and what is to be said about it, one sentence each.
///
/// # Errors
/// A file that cannot be read, a method or setting without a counterpart.
pub fn experiment(path: &Path) -> Result<(OodConfig, Vec<String>), ImportError> {
    translated(Reader::open(path)?)
}

/// The same of what was read.
pub(super) fn translated(mut old: Reader) -> Result<(OodConfig, Vec<String>), ImportError> {
    let mut notes = Vec::new();
    let mut section = old.section("ood")?;
    let class = section.class("method")?;
    let mut arguments = section.section("method_args")?;
    let Some(methods) = methods(&class) else {
        return Err(section.error("method", format!("is {class}, which has no counterpart here (see docs/methods.md for those that there are)")));
    };
    let mut config = OodConfig::by_methods(methods);
    let mut base = old.section("base_model")?;
    config.run = run(&mut base, &mut notes)?;
    if arguments.has("reference_model_config") {
        config.background =
            Some(run(&mut arguments.section("reference_model_config")?, &mut notes)?);
    }

    let mut data = old.section("data")?;
    let mut inside = data.section("in_distribution")?;
    let split: String = inside.take("pick_loader")?.unwrap_or_else(|| "test".into());
    let mut loader = inside.section("dataloader_args")?;
    let in_batch = batch(&mut loader, &split)?;
    // The loader of in-distribution images is what methods are fitted on; held-out images are scored.
    let held_out = set(&mut loader.clone(), "test", WRITE_IT, &mut notes)?;
    // The same set again, with nothing new to say.
    config.calibration = set(&mut loader, "train", WRITE_IT, &mut Vec::new())?;
    let in_loader = loader;
    let mut outside = data.section("out_of_distribution")?;
    let split: String = outside.take("pick_loader")?.unwrap_or_else(|| "test".into());
    let mut loader = outside.section("dataloader_args")?;
    let out_batch = batch(&mut loader, &split)?;
    let scored = scored(&mut loader, &split, &mut notes)?;
    if scored == held_out || scored == config.calibration {
        return Err(outside.error(
            "dataloader_args.dataset",
            "is the in-distribution set itself: the reference scores one set a file, an experiment here scores it beside OOD sets; import the file of an OOD set",
        ));
    }
    config.in_distribution = vec![held_out];
    config.out_of_distribution = vec![scored];

    config.seed = section.take("seed")?.unwrap_or(0);
    let count: Option<usize> = section.take("pick_count")?;
    let batches = section.take("use_dataloader")?.unwrap_or(false);
    let of_batches = |reader: &Reader, key: &str, count: usize, batch: usize| {
        count.checked_mul(batch).ok_or_else(|| {
            reader.error(key, format!("is {count}, in batches of {batch}: no number of images"))
        })
    };
    config.limit = match count {
        Some(count) if batches => Some(of_batches(&section, "pick_count", count, out_batch)?),
        count => count,
    };
    // Its name now, and the earlier one.
    for key in ["training_buffer_size", "adaptive_train_data_buffer_size"] {
        if let Some(buffer) = arguments.take::<usize>(key)? {
            config.calibration_count = of_batches(&arguments, key, buffer, in_batch)?;
        }
    }
    if config.methods.contains(&Method::Lid) {
        lid(&mut config, &mut arguments, &mut notes)?;
    }
    for key in [
        "bypass_visualization",
        "bypass_dataset_visualization",
        "bypass_visualize_histogram",
        "samples_visualization",
        "histogram_limit",
    ] {
        section.take::<serde_json::Value>(key)?;
    }
    for key in ["verbose", "checkpointing_buffer"] {
        arguments.take::<serde_json::Value>(key)?;
    }
    let sections =
        [&old, &base, &data, &inside, &in_loader, &outside, &loader, &section, &arguments];
    notes.extend(sections.into_iter().flat_map(left_out));
    config.validate().map_err(|(key, problem)| old.error(&key, problem))?;
    Ok((config, notes))
}

/// The methods of a class of the reference, at its present name or at an earlier one.
fn methods(class: &str) -> Option<Vec<Method>> {
    use Method as M;
    let own = match class {
        "LID_OOD" | "FlowIntrinsicDimensionOODDetection" => {
            return Some(vec![M::Likelihood, M::Lid, M::Dual]);
        }
        "LikelihoodRatio" => vec![M::LikelihoodRatio],
        "CompelxityBased" | "ComplexityBased" => vec![M::Complexity],
        "JEMVol" => vec![M::GradientNorm],
        "LatentScore" => vec![M::LatentNorm, M::LatentBox],
        "GaussianConvTrend" => vec![M::GaussianConvolution],
        "ProbabilityMassSampling" => vec![M::DataBall],
        "SamplingOODDetection" => vec![M::DataBall, M::LatentBall],
        "MetropolisHastingEstimator" => vec![M::Shells],
        "OODLocalOptimization" => vec![M::LocalOptimum],
        "HessianSpectrumMonitor" => vec![M::HessianSpectrum],
        "Laplace" => vec![M::Laplace],
        "ReconstructionCheck" => vec![M::Invertibility],
        _ => return None,
    };
    Some(std::iter::once(M::Likelihood).chain(own).collect())
}

/// The name that a run of the reference is to be imported under: that of its folder.
fn run(base: &mut Reader, notes: &mut Vec<String>) -> Result<String, ImportError> {
    let config: String = base.need("config_dir")?;
    let checkpoint: Option<String> = base.take("checkpoint_dir")?;
    // Of W&B every run lies in a folder `files`, of others some in `checkpoints`: those say nothing.
    let folders = Path::new(&config).ancestors().skip(1).filter_map(Path::file_name);
    let mut names = folders.map(|name| name.to_string_lossy().into_owned());
    let name = names.find(|name| !["files", "checkpoints"].contains(&name.as_str()));
    let name = name.unwrap_or_else(|| "imported".to_owned());
    if let Some(checkpoint) = checkpoint {
        notes.push(format!(
            "first import the model: atypical import nflows --config {config} --checkpoint {checkpoint} --out {name}"
        ));
    }
    Ok(name)
}

/// The SPEC of the images that are scored beside held-out ones: a set, samples of a model, or noise.
fn scored(
    loader: &mut Reader,
    split: &str,
    notes: &mut Vec<String>,
) -> Result<String, ImportError> {
    let name: String = loader.clone().need("dataset")?;
    match name.as_str() {
        "dgm-generated" => {
            loader.take::<String>("dataset")?;
            let mut arguments = loader.section("dgm_args")?;
            let run = run(&mut arguments.section("model_loading_config")?, notes)?;
            let length: usize = arguments.take("length")?.unwrap_or(1000);
            if arguments.take::<u64>("seed")?.is_some() {
                notes.push("samples of a model are drawn by the experiment's seed, not by one of their own".into());
            }
            notes.extend(left_out(&arguments));
            Ok(format!("generated:{run}[:{length}]"))
        }
        "random_image" => {
            loader.take::<String>("dataset")?;
            let mut arguments = loader.section("additional_dataset_args")?;
            let mut side = |key: &str| arguments.need::<usize>(key);
            let [c, h, w] = [side("C")?, side("H")?, side("W")?];
            let size: usize = arguments.take("size")?.unwrap_or(1000);
            notes.extend(left_out(&arguments));
            Ok(format!("random:{c}x{h}x{w}[:{size}]"))
        }
        _ => set(loader, split, WRITE_IT, notes),
    }
}

/// The batch size of a split's loader.
fn batch(loader: &mut Reader, split: &str) -> Result<usize, ImportError> {
    let own = loader.take(&format!("{split}_batch_size"))?;
    let all = loader.take("batch_size")?;
    for key in [
        "train_batch_size",
        "valid_batch_size",
        "test_batch_size",
        "make_valid_loader",
        "make_test_loader",
        "shuffle",
    ] {
        loader.take::<serde_json::Value>(key)?;
    }
    Ok(all.or(own).unwrap_or(128))
}

/// The estimator of LID and its scale.
fn lid(
    config: &mut OodConfig,
    arguments: &mut Reader,
    notes: &mut Vec<String>,
) -> Result<(), ImportError> {
    if arguments.has("lid_calculator_class") {
        let class = arguments.class("lid_calculator_class")?;
        config.lid.estimator = match class.as_str() {
            "ThresholdSVDFlowLIDEstimator" => Estimator::Threshold,
            "SpectralLinearizationFlowLIDEstimator" | "FastFlowLIDL" => Estimator::Spectral,
            other => {
                return Err(arguments.error(
                    "lid_calculator_class",
                    format!("is {other}; only ThresholdSVDFlowLIDEstimator and SpectralLinearizationFlowLIDEstimator, of flows, can be imported"),
                ));
            }
        };
    }
    // How the Jacobian is computed, which is not a matter of configuration here.
    for key in ["lid_calculator_args", "intrinsic_dimension_calculator_args"] {
        arguments.take::<serde_json::Value>(key)?;
    }
    if ["submethod", "adaptive_measurement", "evaluate_r"].iter().any(|key| arguments.has(key)) {
        return earlier_lid(config, arguments, notes);
    }
    let algorithm: Option<String> = arguments.take("scale_selection_algorithm")?;
    let mut settings = arguments.section("scale_selection_algorithm_args")?;
    config.lid.scale = match algorithm.as_deref() {
        Some("given_from_model_free") => {
            settings.take::<usize>("bin_search_steps")?;
            let bounds = [settings.take("l_scale")?, settings.take("r_scale")?];
            calibrated(settings.take("model_free_dimension")?, bounds)
        }
        Some("find_plateau") => Scale::usual_plateau(),
        Some("fixed") => fixed("base_scale", settings.need("base_scale")?, notes),
        Some(other) => {
            return Err(arguments.error(
                "scale_selection_algorithm",
                format!("is {other}, which has no counterpart here"),
            ));
        }
        None => Scale::default(),
    };
    notes.extend(left_out(&settings));
    Ok(())
}

/// The same as the reference's earlier class had it.
fn earlier_lid(
    config: &mut OodConfig,
    arguments: &mut Reader,
    notes: &mut Vec<String>,
) -> Result<(), ImportError> {
    config.lid.estimator = match arguments.take::<String>("submethod")?.as_deref() {
        None | Some("thresholding") => Estimator::Threshold,
        Some("taylor_approximation") => Estimator::Spectral,
        Some(other) => {
            return Err(arguments.error(
                "submethod",
                format!("is {other}; there are thresholding and taylor_approximation"),
            ));
        }
    };
    let adaptive = arguments.take("adaptive_measurement")?.unwrap_or(false);
    let mode: Option<String> = arguments.take("adaptive_setting_mode")?;
    config.lid.scale = match (adaptive, mode.as_deref()) {
        (false, _) => fixed("evaluate_r", arguments.need("evaluate_r")?, notes),
        (true, Some("given")) => calibrated(arguments.take("given_mean_lid")?, [None, None]),
        (true, _) => {
            return Err(arguments.error(
                "adaptive_setting_mode",
                "is not `given`, and a scale by a percentile has no counterpart here",
            ));
        }
    };
    // What the other ways to a scale need.
    for key in [
        "evaluate_r",
        "given_mean_lid",
        "percentile",
        "dimension_tolerance",
        "bin_search_iteration_count",
    ] {
        arguments.take::<serde_json::Value>(key)?;
    }
    Ok(())
}

/// The scale at which training images have a dimension, within bounds.
fn calibrated(dimension: Option<f64>, [low, high]: [Option<f64>; 2]) -> Scale {
    let Scale::Calibrated { alpha, low: lowest, high: highest, .. } = Scale::default() else {
        unreachable!("the usual scale is a calibrated one")
    };
    // The reference's bounds are wider than any scale that a flow in f32 has.
    let bound = |value: Option<f64>, usual: f64| value.unwrap_or(usual).clamp(lowest, highest);
    Scale::Calibrated { dimension, alpha, low: bound(low, lowest), high: bound(high, highest) }
}

/// A scale that is a number. The reference's flows of images begin with a logit whose inverse shrinks x by 0.95, and with x the decoder's singular values.
fn fixed(key: &str, r: f64, notes: &mut Vec<String>) -> Scale {
    let here = ((r - 0.95f64.ln()) * 1e4).round() / 1e4;
    notes.push(format!(
        "`{key}` {r} is {here} here: the decoder of the reference's flows shrinks x by 0.95, in their logit; of a flow without one write {r}"
    ));
    Scale::Fixed { r: here }
}
