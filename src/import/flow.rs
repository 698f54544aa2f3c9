//! The reference's list of transforms as a flow of ours, and where each step's weights stand in its state dict.

use super::{ImportError, reader::Reader};
use atypical_models::flow::{Conditioner, Elementwise, FlowConfig, LogitForm, Mask, Step};

/// Most steps of one flow.
const MAX_STEPS: usize = 10_000;
const ONLY_BEFORE_LU: &str = "is a permutation: only one right before an LULinear can be imported";

/// What PyTorch calls an inner list of modules.
const INNER: &str = "_transforms";

/// A flow to be, and the names of its parts in the reference's state dict.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The flow.
    pub config: FlowConfig,
    /// For each level and each of its steps, as they are built, the modules that hold its weights; none for a step without.
    pub sources: Vec<Vec<Source>>,
    /// Pixels are scaled to [0, 1].
    pub scaled: bool,
}

/// The modules of one step, below the whole transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The step has no weights.
    None,
    /// One module.
    One(String),
    /// A permutation, if there is one, and the linear map behind it.
    Linear(Option<String>, String),
}

/// One transform of the unrolled list.
struct Old {
    step: Part,
    /// A multiscale split follows.
    split: bool,
}

/// What one transform of the reference is here.
#[derive(Clone, Debug)]
enum Part {
    Step(Step),
    /// Half of a step: the linear map that follows makes it whole.
    Permutation,
    Linear,
}

/// Read `transform` out of the flow's arguments.
///
/// # Errors
/// A transform, or a setting of one, that has no counterpart; with its place in the file.
pub(super) fn plan(
    arguments: &mut Reader,
    shape: [usize; 3],
    (scaled, logit): (bool, bool),
    notes: &mut Vec<String>,
) -> Result<Plan, ImportError> {
    let transform = arguments.list("transform")?;
    let old = unroll(transform, notes)?;
    let multiscale = old.iter().any(|transform| transform.split);
    // With the logit in front, the reference wraps the rest once more.
    let outer = if logit { format!("{INNER}.1.") } else { String::new() };
    let mut config = FlowConfig { shape, transform: Vec::new() };
    let mut sources = vec![Vec::new()];
    if logit {
        config.transform.push(Step::Logit { alpha: 0.05, form: LogitForm::Reference });
        sources[0].push(Source::None);
    }
    let (mut place, mut permutation) = (0, None);
    let count = old.len();
    for (i, Old { step, split }) in old.into_iter().enumerate() {
        let level = sources.len() - 1;
        let inside = if multiscale { format!("{INNER}.{level}.") } else { String::new() };
        let module = format!("{outer}{inside}{INNER}.{place}");
        place += 1;
        let (step, source) = match step {
            Part::Permutation => {
                permutation = Some(module);
                continue;
            }
            Part::Linear => (Step::Conv1x1 {}, Source::Linear(permutation.take(), module)),
            Part::Step(step @ Step::Conv1x1 {}) => {
                (step, Source::Linear(Some(format!("{module}.permutation")), module))
            }
            Part::Step(step @ (Step::Squeeze { .. } | Step::Logit { .. })) => (step, Source::None),
            Part::Step(step) => (step, Source::One(module)),
        };
        sources[level].push(source);
        config.transform.push(step);
        // What comes out of the last level is not split.
        if split && i + 1 < count {
            config.transform.push(Step::Split {});
            sources.push(Vec::new());
            place = 0;
        }
    }
    Ok(Plan { config, sources, scaled })
}

/// The list with its repeats written out.
fn unroll(list: Vec<Reader>, notes: &mut Vec<String>) -> Result<Vec<Old>, ImportError> {
    let mut all = Vec::new();
    let mut waiting: Option<Reader> = None;
    for mut item in list {
        if item.has("repeat_n") {
            if let Some(before) = &waiting {
                return Err(before.error("class_path", ONLY_BEFORE_LU));
            }
            let times: usize = item.need("repeat_n")?;
            let content = item.list("content")?;
            let most = || {
                let problem = format!("is {times}: a flow has at most {MAX_STEPS} steps");
                Err(item.error("repeat_n", problem))
            };
            // Counted before they are made, and after: there may be repeats within.
            if times.saturating_mul(content.len().max(1)) > MAX_STEPS {
                return most();
            }
            for turn in 0..times {
                let mut said = Vec::new();
                all.extend(unroll(content.clone(), &mut said)?);
                // Every turn would say the same.
                notes.extend(said.into_iter().filter(|_| turn == 0));
                if all.len() > MAX_STEPS {
                    return most();
                }
            }
        } else {
            let split = item.has("multiscale");
            item.take::<serde_json::Value>("multiscale")?;
            let class = item.class("class_path")?;
            let mut arguments = item.section("init_args")?;
            let step = part(&class, &item, &mut arguments)?;
            if let Some(before) = &waiting
                && !matches!(step, Part::Linear)
            {
                return Err(before.error("class_path", ONLY_BEFORE_LU));
            }
            waiting = matches!(step, Part::Permutation).then(|| item.clone());
            if waiting.is_some() && split {
                return Err(item
                    .error("multiscale", "splits behind a permutation, which cannot be imported"));
            }
            notes.extend(arguments.left().into_iter().map(|key| format!("`{key}` was not read")));
            all.push(Old { step, split });
        }
    }
    match waiting {
        Some(before) => {
            Err(before.error("class_path", "is a permutation without an LULinear behind it"))
        }
        None => Ok(all),
    }
}

/// One transform, by its class.
fn part(class: &str, item: &Reader, arguments: &mut Reader) -> Result<Part, ImportError> {
    Ok(match class {
        "SqueezeTransform" => {
            Part::Step(Step::Squeeze { factor: arguments.take("factor")?.unwrap_or(2) })
        }
        "ActNorm" => {
            arguments.take::<usize>("features")?;
            Part::Step(Step::ActNorm {})
        }
        "OneByOneConvolution" | "LULinear" => {
            for key in ["num_channels", "features", "using_cache", "identity_init"] {
                arguments.take::<serde_json::Value>(key)?;
            }
            arguments.only("eps", 1e-3, "it is added to the diagonal of U")?;
            if class == "LULinear" { Part::Linear } else { Part::Step(Step::Conv1x1 {}) }
        }
        "RandomPermutation" => {
            arguments.take::<usize>("features")?;
            arguments.only("dim", 1, "channels are permuted")?;
            Part::Permutation
        }
        "LogitTransform" => {
            arguments.only("eps", 1e-6, "it is part of the map")?;
            let alpha = arguments.take("alpha")?.unwrap_or(0.05);
            Part::Step(Step::Logit { alpha, form: LogitForm::Reference })
        }
        "ConfigurableCouplingTransform" => Part::Step(coupling(arguments)?),
        other => {
            return Err(item.error(
                "class_path",
                format!(
                    "is {other}, which has no counterpart here; there are SqueezeTransform, ActNorm, OneByOneConvolution, RandomPermutation with LULinear, \
                     LogitTransform and ConfigurableCouplingTransform"
                ),
            ));
        }
    })
}

fn coupling(arguments: &mut Reader) -> Result<Step, ImportError> {
    let class = arguments.class("coupling_transform_cls")?;
    let transform = match class.as_str() {
        "PiecewiseRationalQuadraticCouplingTransform" => {
            let why = "the splines here have linear tails";
            match arguments.take::<String>("tails")?.as_deref() {
                Some("linear") => {}
                other => {
                    return Err(arguments.error(
                        "tails",
                        format!("is {other:?}, but only \"linear\" can be imported: {why}"),
                    ));
                }
            }
            for key in ["min_bin_width", "min_bin_height", "min_derivative"] {
                arguments.only(key, 1e-3, "it is fixed here")?;
            }
            arguments.only("apply_unconditional_transform", false, "one half is copied here")?;
            Elementwise::RqSpline {
                bins: arguments.take("num_bins")?.unwrap_or(10),
                tail: arguments.take("tail_bound")?.unwrap_or(1.0),
            }
        }
        "AffineCouplingTransform" => {
            for key in ["scale_activation", "unconditional_transform"] {
                if arguments.has(key) {
                    return Err(arguments.error(
                        key,
                        "is code, which is never run; only the default can be imported",
                    ));
                }
            }
            Elementwise::Affine {}
        }
        other => {
            return Err(arguments.error(
                "coupling_transform_cls",
                format!("is {other}, which has no counterpart here; there are PiecewiseRationalQuadraticCouplingTransform and AffineCouplingTransform"),
            ));
        }
    };
    let mut mask = arguments.section("mask")?;
    mask.take::<usize>("dim")?;
    if mask.has("mask_function") {
        return Err(mask.error("mask_function", "is code, which is never run; only the alternating mask can be imported: leave it out if it is that one"));
    }
    let flip: bool = mask.take("flip")?.unwrap_or(false);
    Ok(Step::Coupling {
        transform,
        mask: if flip { Mask::Even } else { Mask::Odd },
        conditioner: conditioner(arguments.section("net")?)?,
    })
}

fn conditioner(mut net: Reader) -> Result<Conditioner, ImportError> {
    let class = net.class("class_path")?;
    let (kernel, hidden) = match class.as_str() {
        "ConvResidualNet" => (3, "hidden_channels"),
        "ResidualNet" => (1, "hidden_features"),
        other => {
            return Err(net.error(
                "class_path",
                format!("is {other}, which has no counterpart here; there are ConvResidualNet and ResidualNet"),
            ));
        }
    };
    let mut arguments = net.section("init_args")?;
    arguments.only("use_batch_norm", false, "there is no batch normalisation here")?;
    arguments.only("context_features", 0, "there are no conditional flows here")?;
    arguments.only("context_channels", 0, "there are no conditional flows here")?;
    if let Some(activation) = arguments.take::<String>("activation")?
        && activation.rsplit('.').next() != Some("relu")
    {
        return Err(arguments
            .error("activation", format!("is {activation}, but only relu can be imported")));
    }
    Ok(Conditioner {
        hidden: arguments.need(hidden)?,
        blocks: arguments.take("num_blocks")?.unwrap_or(2),
        dropout: arguments.take("dropout_probability")?.unwrap_or(0.0),
        kernel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};
    use std::path::Path;

    #[test]
    fn repeats_within_repeats_are_counted_together() {
        let step = json!({"class_path": "nflows.transforms.normalization.ActNorm", "init_args": {"features": 2}});
        let nested = |depth: usize, innermost: serde_json::Value| {
            let repeated = |inner, _| json!({"repeat_n": 2, "content": [inner]});
            match (0..depth).fold(innermost, repeated) {
                serde_json::Value::Object(map) => vec![Reader::new(Path::new("old.yaml"), map)],
                _ => unreachable!("a repeat is a mapping"),
            }
        };
        assert_eq!(unroll(nested(5, step.clone()), &mut Vec::new()).unwrap().len(), 32);
        let most = |list| unroll(list, &mut Vec::new()).err().unwrap().to_string();
        assert!(most(nested(26, step)).contains("at most 10000 steps"));
        let empty: Map<String, serde_json::Value> =
            json!({"repeat_n": u64::MAX, "content": []}).as_object().unwrap().clone();
        assert!(most(vec![Reader::new(Path::new("old.yaml"), empty)]).contains("at most"));
    }
}
