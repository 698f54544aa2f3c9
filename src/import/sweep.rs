//! A sweep of the reference as one of ours: every trial is translated, and what its choices change becomes axes.

use super::{
    Config, ImportError,
    dysweep::Dysweep,
    one,
    reader::Reader,
    space::{Named, Space, Trial},
    training::left_out,
};
use crate::sweep::space::{self, Command, Draws, Method, SweepFile};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most trials of a sweep that is translated.
const MOST_TRIALS: usize = 10_000;

/// Settings of dysweep and W&B that say where agents run and what they log.
const ABOUT_AGENTS: [&str; 12] = [
    "entity",
    "project",
    "run_name",
    "run_name_changer",
    "delete_checkpoints",
    "default_root_dir",
    "custom_checkpoint_dir",
    "use_lightning_logger",
    "mark_preempting",
    "resume",
    "rerun_id",
    "sweep_id",
];

/// Translate a sweep. Returns it and what is to be said about it, one sentence each.
///
/// # Errors
/// A sweep that cannot be read, or of which no trial can be translated.
pub(super) fn sweep(
    mut old: Reader,
    data: Option<&str>,
) -> Result<(SweepFile, Vec<String>), ImportError> {
    let (dysweep, mut beside) = Dysweep::read(&mut old)?;
    let size = dysweep.axes.iter().map(|axis| axis.labels.len()).fold(1, usize::saturating_mul);
    if size > MOST_TRIALS {
        return Err(old.error(
            "sweep_configuration",
            format!(
                "has {size} combinations, and only {MOST_TRIALS} are translated; take values away"
            ),
        ));
    }
    let mut notes = Vec::new();
    let method =
        [beside.take::<String>("method")?, old.take("method")?].into_iter().flatten().next();
    let count: Option<u32> = old.take("count")?;
    for key in ABOUT_AGENTS {
        old.take::<Value>(key)?;
    }
    let names: [Option<String>; 2] = [beside.take("name")?, old.take("sweep_name")?];
    let name = names.into_iter().flatten().next().unwrap_or_default();
    notes.extend(left_out(&beside));
    notes.extend(left_out(&old));

    let (mut trials, mut errors, mut command) = (Vec::new(), Vec::new(), None);
    for number in 0..size {
        let choices = choices(&dysweep, number);
        let translated =
            dysweep.resolve(&choices).and_then(|config| one(Reader::new(old.path(), config), data));
        let config = match translated {
            Ok((config, said)) => {
                for note in said {
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
                let (of, value) = configuration(&config);
                if *command.get_or_insert(of) != of {
                    return Err(old.error(
                        "sweep_configuration",
                        "makes trainings and experiments; a sweep is of either",
                    ));
                }
                Some(value)
            }
            Err(error) => {
                errors.push((choices.clone(), error));
                None
            }
        };
        trials.push(Trial { choices, config });
    }
    let Some(command) = command else {
        let first = errors.into_iter().next().map(|(_, error)| error);
        return Err(first.unwrap_or_else(|| old.error("sweep_configuration", "has no trials")));
    };
    let axes: Vec<Named> = dysweep
        .axes
        .iter()
        .map(|axis| Named { name: &axis.name, named: axis.named, labels: &axis.labels })
        .collect();
    let found = Space::new(&axes, &trials);
    notes.extend(lost(&axes, &found, &errors));
    notes.extend(
        found
            .idle
            .iter()
            .map(|axis| format!("the axis `{axis}` changes nothing here and was left out")),
    );
    let mut names = BTreeSet::new();
    if let Some(twice) = found.names.iter().find(|name| !names.insert(*name)) {
        return Err(old.error(
            "sweep_configuration",
            format!("has two axes that would be called `{twice}`; name them by `sweep_identifier`"),
        ));
    }
    if found.axes.is_empty() {
        return Err(old.error("sweep_configuration", "has no axis that changes anything here"));
    }
    let different: BTreeSet<String> =
        trials.iter().filter_map(|trial| Some(trial.config.as_ref()?.to_string())).collect();
    let run: Vec<String> = found.names.iter().map(|name| format!("{{{name}}}")).collect();
    let file = SweepFile {
        name: plain(&name),
        command,
        base: Vec::new(),
        run: Some(run.join("_")),
        method: search(method.as_deref(), count, different.len(), &mut notes)
            .map_err(|problem| old.error("method", problem))?,
        metric: None,
        stop: None,
        attempts: 3,
        set: found.set.into_iter().collect(),
        axes: found.axes.into_iter().collect(),
        exclude: found.exclude.into_iter().map(|choices| choices.into_iter().collect()).collect(),
        file: old.path().display().to_string(),
    };
    space::expand(&file)?;
    Ok((file, notes))
}

/// How a space of so many different trials is searched.
fn search(
    method: Option<&str>,
    count: Option<u32>,
    size: usize,
    notes: &mut Vec<String>,
) -> Result<Method, String> {
    match method {
        None | Some("grid") => Ok(Method::Grid),
        Some("random") => match count {
            Some(trials) if (trials as usize) < size => {
                notes.push(format!("{trials} trials are drawn, as many as `count` gives an agent of W&B, but all different"));
                Ok(Method::Random(Draws { trials, seed: 0 }))
            }
            _ => {
                notes
                    .push(format!("W&B draws without end; here it is a grid of all {size} trials"));
                Ok(Method::Grid)
            }
        },
        Some(other) => {
            Err(format!("is {other}, which has no counterpart here; there are grid and random"))
        }
    }
}

/// The number of the value on each axis, the last axis moving fastest.
fn choices(sweep: &Dysweep, number: usize) -> Vec<usize> {
    let mut rest = number;
    let mut choices: Vec<usize> = sweep
        .axes
        .iter()
        .rev()
        .map(|axis| {
            let choice = rest % axis.labels.len();
            rest /= axis.labels.len();
            choice
        })
        .collect();
    choices.reverse();
    choices
}

/// A configuration without its name, which the sweep gives.
fn configuration(config: &Config) -> (Command, Value) {
    let (command, name) = match config {
        Config::Train(_) => (Command::Train, "run"),
        Config::Ood(_) => (Command::Ood, "name"),
    };
    let mut value = json!(config);
    if let Some(map) = value.as_object_mut() {
        map.remove(name);
    }
    (command, value)
}

/// Choices that a sentence names before it counts the others.
const NAMED: usize = 4;

/// What is to be said of trials that were left out, one sentence a reason: each choice of which none is left, and each set of choices that decided it otherwise.
fn lost(axes: &[Named], found: &Space, errors: &[(Vec<usize>, ImportError)]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for (choices, error) in errors {
        let made = |axis: &usize| (*axis, choices[*axis]);
        let gone =
            (0..axes.len()).map(|axis| made(&axis)).find(|choice| found.gone.contains(choice));
        let decided = match gone {
            Some(choice) => vec![choice],
            None => found.decisive.iter().map(made).collect(),
        };
        let words: Vec<String> = decided
            .iter()
            .map(|&(axis, choice)| format!("{}={}", axes[axis].name, axes[axis].labels[choice]))
            .collect();
        if !seen.insert(decided) {
            continue;
        }
        // The file is the one that is translated.
        let reason = match error {
            ImportError::Key { key, problem, .. } => format!("`{key}` {problem}"),
            other => other.to_string(),
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, choices)) => choices.push(words.join(" ")),
            None => reasons.push((reason, vec![words.join(" ")])),
        }
    }
    let sentence = |(reason, choices): (String, Vec<String>)| {
        let (named, others) = choices.split_at(choices.len().min(NAMED));
        let more = match others.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let verb = if choices.len() == 1 { "is" } else { "are" };
        format!("{}{more} {verb} left out: {reason}", named.join(", "))
    };
    reasons.into_iter().map(sentence).collect()
}

/// A name that a folder may have; none where nothing is left of it, and the file names the sweep.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    name.trim_start_matches('.').chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{tests::golden, translate};
    use crate::sweep::{Plan, Planned};
    use std::path::Path;

    /// The trials of a translated file, and what is said about it.
    fn planned(old: &Path, data: Option<&str>) -> (Plan, Vec<String>) {
        let (yaml, notes) = translate(old, data).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let plan = Plan::read(&file).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        (plan, notes)
    }

    /// What a changed golden comes to.
    fn changed(name: &str, changes: &[(&str, &str)]) -> Result<(String, Vec<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.yaml");
        let mut text = std::fs::read_to_string(golden(name)).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).unwrap();
        translate(&path, None).map_err(|error| error.to_string())
    }

    fn config(trial: &Planned) -> serde_json::Value {
        serde_json::from_str(&trial.trial.config).unwrap()
    }

    fn labels(plan: &Plan) -> Vec<String> {
        plan.trials.iter().map(|trial| trial.point.label()).collect()
    }

    fn said(notes: &[String], part: &str) -> bool {
        notes.iter().any(|note| note.contains(part))
    }

    #[test]
    fn trainings_by_sets_and_couplings_are_a_sweep() {
        let (plan, notes) = planned(&golden("sweep_flows.yaml"), None);
        assert_eq!(plan.spec.file.name, "small_flows");
        assert_eq!(
            labels(&plan),
            [
                "couplings=affine data.train=mnist:train",
                "couplings=affine data.train=fashion-mnist:train",
                "couplings=splines data.train=mnist:train",
                "couplings=splines data.train=fashion-mnist:train",
            ]
        );
        assert!(
            said(&notes, "dataset=celeba-small is left out") && said(&notes, "is unknown here")
        );
        assert_eq!(plan.trials[1].run, "small_flows/affine_fashion-mnist_train");
        let [affine, splines] = [1, 2].map(|trial| config(&plan.trials[trial]));
        for config in [&affine, &splines] {
            assert_eq!(
                (&config["epochs"], &config["optimizer"]["lr"]),
                (&40.into(), &0.002.into())
            );
            assert_eq!(config["model"]["transform"].as_array().unwrap().len(), 8);
            assert_eq!(config["model"]["transform"][7]["conditioner"]["hidden"], 16);
        }
        for place in [4, 7] {
            let map = |config: &serde_json::Value| {
                config["model"]["transform"][place]["transform"].clone()
            };
            assert_eq!(map(&affine), serde_json::json!({"kind": "affine"}));
            let spline = serde_json::json!({"kind": "rq_spline", "bins": 6, "tail": 2.5});
            assert_eq!(map(&splines), spline);
        }
        // The same as the file of one training with the choice in place.
        let (plan, notes) = planned(&golden("sweep_flows.yaml"), Some("mnist:train"));
        assert_eq!(labels(&plan), ["couplings=affine", "couplings=splines"]);
        assert!(said(&notes, "the axis `dataset` changes nothing here"), "{notes:?}");
    }

    #[test]
    fn experiments_by_models_and_sets_are_a_sweep() {
        let (plan, notes) = planned(&golden("sweep_ood.yaml"), None);
        let labels = labels(&plan);
        // Of 20, each model's own set is out twice: by its name, and as the same, which is no value any more.
        assert_eq!((labels.len(), plan.excluded), (12, 4));
        assert_eq!(labels[0], "A_size=few B_model=spline_mnist C_against=generated");
        // One reason, one sentence.
        let lost = "B_model=spline_mnist C_against=mnist, C_against=same, B_model=spline_fmnist C_against=fmnist are left out: `data.out_of_distribution";
        assert!(said(&notes, lost), "{notes:?}");
        assert!(said(&notes, "--out spline_fmnist_2_final"), "{notes:?}");
        let trial = |label: &str| {
            let place = labels.iter().position(|other| other == label);
            config(&plan.trials[place.unwrap_or_else(|| panic!("{label} of {labels:?}"))])
        };
        let generated = trial("A_size=many B_model=spline_fmnist C_against=generated");
        assert_eq!(generated["run"], "spline_fmnist_2_final");
        assert_eq!(generated["limit"], 512);
        assert_eq!(generated["seed"], 7);
        assert_eq!(generated["calibration_count"], 32);
        assert_eq!(generated["in_distribution"], serde_json::json!(["fashion-mnist:test"]));
        let own = "generated:spline_fmnist_2_final[:1000]";
        assert_eq!(generated["out_of_distribution"], serde_json::json!([own]));
        assert_eq!(generated["lid"]["scale"]["dimension"], 200.0);
        let noise = trial("A_size=few B_model=spline_mnist C_against=noise");
        let spec = "random:1x28x28[:500]";
        assert_eq!(noise["out_of_distribution"], serde_json::json!([spec]));
        assert_eq!((&noise["run"], &noise["limit"]), (&"spline_mnist_1_final".into(), &16.into()));
        assert_eq!(noise["lid"]["scale"]["dimension"], 300.0);
    }

    #[test]
    fn draws_are_draws() {
        let (plan, notes) = planned(&golden("sweep_random.yaml"), None);
        assert_eq!((plan.trials.len(), plan.spec.file.name.as_str()), (4, "numbers"));
        for trial in &plan.trials {
            let config = config(trial);
            let chosen = |axis: &str| {
                let mut choices = trial.point.choices.iter();
                choices.find(|(name, _)| name == axis).unwrap().1.parse::<f64>().unwrap()
            };
            assert_eq!(config["epochs"].as_f64(), Some(chosen("epochs")));
            assert_eq!(config["optimizer"]["lr"].as_f64(), Some(chosen("optimizer.lr")));
            let hidden = &config["model"]["transform"][3]["conditioner"]["hidden"];
            assert_eq!(hidden.as_f64(), Some(chosen("width")));
        }
        assert!(said(&notes, "`progress_bar` changes nothing here"), "{notes:?}");
        assert!(said(&notes, "`sweep_configuration.metric`"), "{notes:?}");
        // More than there are: of 24 combinations 12 are different.
        let (yaml, notes) = changed("sweep_random.yaml", &[("count: 4", "count: 13")]).unwrap();
        assert!(yaml.contains("method: grid") && said(&notes, "all 12 trials"), "{notes:?}");
    }

    #[test]
    fn what_is_not_translated_is_named() {
        for (name, from, to, part) in [
            ("sweep_random.yaml", "method: random", "method: bayes", "`method` is bayes"),
            (
                "sweep_random.yaml",
                "values: [10, 20]",
                "min: 10",
                "`sweep_configuration.parameters.trainer.max_epochs` is an axis without `values`",
            ),
            ("sweep_random.yaml", "values: [10, 20]", "{values: [1], max: 3}", "is no YAML"),
            (
                "sweep_random.yaml",
                "values: [10, 20]",
                "values: [10, 20]\n        distribution: q_normal",
                "is an axis with `distribution`",
            ),
            ("sweep_random.yaml", "values: [10, 20]", "values: [10, 10]", "the value `10` twice"),
            (
                "sweep_random.yaml",
                "        - {}\n        - {}",
                "        - {}",
                "a list of 2 laid over one of 3",
            ),
            (
                "sweep_random.yaml",
                "        - {}\n        - {}",
                "        - {}\n        - {dy__remove: 1}",
                "has `dy__remove`",
            ),
            ("sweep_flows.yaml", "    - affine\n    - splines", "    - affine", "give each one"),
            ("sweep_flows.yaml", "NormalizingFlow", "VAE", "`model.class_path` is VAE"),
            ("sweep_ood.yaml", "LID_OOD", "DegradeDenoise", "`ood.method` is DegradeDenoise"),
            ("sweep_ood.yaml", "- sweep: True", "- once: True", "has no axis"),
        ] {
            let message = changed(name, &[(from, to)]).unwrap_err();
            assert!(message.contains(part), "{from} to {to}: {message}");
        }
    }

    #[test]
    fn unknown_python_takes_its_trials_out() {
        let changes = [(
            "return change_coupling_layers(conf, 'AffineCouplingTransform')",
            "return remove(conf)",
        )];
        let (yaml, notes) = changed("sweep_flows.yaml", &changes).unwrap();
        assert!(
            said(&notes, "couplings=affine dataset=mnist is left out")
                || said(&notes, "couplings=affine is left out"),
            "{notes:?}"
        );
        assert!(said(&notes, "is Python, which is never run"), "{notes:?}");
        assert!(!yaml.contains("affine"), "{yaml}");
    }

    #[test]
    fn names_that_were_not_given_are_those_of_keys() {
        let nested = [("- sweep: True\n    sweep_identifier: couplings", "- sweep: True")];
        let (yaml, _) = changed("sweep_flows.yaml", &nested).unwrap();
        assert!(yaml.contains("dy__upsert.0:"), "{yaml}");
        let twice = [("sweep_identifier: couplings", "sweep_identifier: data.train")];
        let message = changed("sweep_flows.yaml", &twice).unwrap_err();
        assert!(message.contains("two axes that would be called `data.train`"), "{message}");
    }

    #[test]
    fn scales_of_the_earlier_class_are_translated() {
        let earlier = [
            ("ood.intrinsic_dimension.LID_OOD", "ood.methods.FlowIntrinsicDimensionOODDetection"),
            (
                "      scale_selection_algorithm: given_from_model_free\n      scale_selection_algorithm_args:\n        l_scale: -100\n        r_scale: 100\n        bin_search_steps: 20\n",
                "",
            ),
            ("      lid_calculator_class: lid.flows.ThresholdSVDFlowLIDEstimator\n", ""),
            (
                "          scale_selection_algorithm_args:\n            model_free_dimension: ",
                "          given_mean_lid: ",
            ),
            (
                "        pick_count: 2\n",
                "        pick_count: 2\n        method_args: {adaptive_measurement: True, adaptive_setting_mode: given, submethod: thresholding}\n",
            ),
            (
                "        pick_count: 64\n",
                "        pick_count: 64\n        method_args: {evaluate_r: -8, submethod: taylor_approximation}\n",
            ),
        ];
        let (yaml, notes) = changed("sweep_ood.yaml", &earlier).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let plan = Plan::read(&file).unwrap();
        assert_eq!(plan.trials.len(), 12);
        for trial in &plan.trials {
            let (config, label) = (config(trial), trial.point.label());
            let (estimator, kind) = match label.contains("A_size=few") {
                true => ("threshold", "calibrated"),
                false => ("spectral", "fixed"),
            };
            assert_eq!(config["lid"]["estimator"], estimator, "{label}");
            assert_eq!(config["lid"]["scale"]["kind"], kind, "{label}");
            if kind == "calibrated" {
                let dimension = if label.contains("spline_mnist") { 300.0 } else { 200.0 };
                assert_eq!(config["lid"]["scale"]["dimension"], dimension, "{label}");
            }
        }
        assert!(said(&notes, "`evaluate_r` -8 is -7.9487 here"), "{notes:?}");
        let percentile =
            [earlier.as_slice(), &[("adaptive_setting_mode: given", "percentile: 10")]].concat();
        let (yaml, notes) = changed("sweep_ood.yaml", &percentile).unwrap();
        assert!(said(&notes, "A_size=few is left out") && !yaml.contains("few"), "{notes:?}");
    }
}
