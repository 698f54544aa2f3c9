//! From a sweep's file to trials, each with its whole configuration.

use super::{
    Spec, SweepError,
    space::{self, Command, Goal, Metric, Point, Stop, SweepFile},
    store,
};
use crate::config::{Loaded, ModelConfig, OodConfig, Section, TrainConfig, of_another_kind};
use crate::track::RECONSTRUCTION;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

/// A sweep and its trials.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The sweep.
    pub spec: Spec,
    /// Its trials.
    pub trials: Vec<Planned>,
    /// Points that were left out by an exclusion.
    pub excluded: usize,
    /// Points that were left out because they come to the same configuration as an earlier one.
    pub duplicates: usize,
    /// What is no error, and yet hardly meant.
    pub warnings: Vec<String>,
}

/// A trial.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was chosen on each axis.
    pub point: Point,
    /// Name of its run.
    pub run: String,
    /// The trial as the queue has it.
    pub trial: store::Trial,
}

/// What trainings log.
const MEASURES: [&str; 5] = [
    "valid_bits_per_dimension",
    "valid_loss",
    "train_bits_per_dimension",
    "train_loss",
    RECONSTRUCTION,
];

/// Keys that say what a run is called and where it is shown, not what it computes.
const NAMES: [&str; 3] = ["run", "name", "track"];

impl Plan {
    /// Read a sweep's file and resolve every trial.
    ///
    /// # Errors
    /// A file that cannot be read, axes that make no space, a trial whose configuration is none, with the trial's choices.
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SweepError::Read { path: path.to_path_buf(), source })?;
        let mut file = SweepFile::read(&text, path).map_err(|error| {
            of_another_kind::<SweepFile>(&text, path).map_or(error.into(), SweepError::Kind)
        })?;
        let expansion = space::expand(&file)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        file.base = file.base.iter().map(|base| folder.join(base)).collect();
        let mut plan = Self {
            spec: Spec { file },
            trials: Vec::new(),
            excluded: expansion.excluded,
            duplicates: expansion.duplicates,
            warnings: expansion.warnings,
        };
        let (mut known, mut runs) = (HashSet::new(), HashMap::new());
        for point in expansion.points {
            let planned = plan.resolve(point)?;
            // Different settings may come to the same configuration: a default that is written out.
            if !known.insert(planned.trial.id.clone()) {
                plan.duplicates += 1;
                continue;
            }
            if let Some(other) = runs.insert(planned.run.clone(), planned.point.label()) {
                return Err(plan.error(format!(
                    "the trials `{other}` and `{}` would both be the run `{}`; name every axis on which they differ in `run`",
                    planned.point.label(),
                    planned.run
                )));
            }
            plan.trials.push(planned);
        }
        plan.judge_as_trained();
        let measure = plan.spec.measure().name;
        let known = MEASURES.contains(&measure.as_str()) || measure.starts_with("quality.");
        if plan.spec.file.command == Command::Train && !known {
            let similar = crate::data::did_you_mean(&measure, &MEASURES);
            plan.warnings.push(format!(
                "no training logs a measure `{measure}`; {similar}there are {}, and quality.… where `samples.quality` is set",
                MEASURES.join(", ")
            ));
        }
        Ok(plan)
    }

    /// Trainings that all tell their better epochs by reconstruction are ranked by it where the file names no metric.
    fn judge_as_trained(&mut self) {
        let by_reconstruction = |planned: &Planned| {
            let config: Option<Value> = serde_json::from_str(&planned.trial.config).ok();
            config.is_some_and(|c| c["early_stopping"]["measure"] == "reconstruction")
        };
        let all = !self.trials.is_empty() && self.trials.iter().all(by_reconstruction);
        if all && self.spec.file.metric.is_none() {
            let name = RECONSTRUCTION.to_owned();
            self.spec.file.metric = Some(Metric { name, goal: Goal::Minimize });
        }
    }

    fn error(&self, problem: String) -> SweepError {
        SweepError::File { file: self.spec.file.file.clone(), problem }
    }

    fn resolve(&self, point: Point) -> Result<Planned, SweepError> {
        let file = &self.spec.file;
        let sets: Vec<String> =
            point.sets.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let invalid = |problem| SweepError::Config {
            file: file.file.clone(),
            label: point.label(),
            problem: Box::new(problem),
        };
        let mut config = match file.command {
            Command::Train => {
                let loaded = resolved::<TrainConfig>(&file.base, &sets).map_err(invalid)?;
                self.check_budget(&loaded)?;
                json!(loaded)
            }
            Command::Ood => json!(resolved::<OodConfig>(&file.base, &sets).map_err(invalid)?),
        };
        let mut computed = config.clone();
        if let Some(keys) = computed.as_object_mut() {
            let is_name = |key: &String| match file.command {
                Command::Train => NAMES.contains(&key.as_str()),
                // The run that an experiment judges is no name of its own.
                Command::Ood => key != "run" && NAMES.contains(&key.as_str()),
            };
            keys.retain(|key, _| !is_name(key));
        }
        let id = space::content_address(&computed);
        let own = match &file.run {
            Some(template) => point.filled(template),
            None => space::short_id(&id).to_owned(),
        };
        if let Some(axis) = own.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            let axes = point.choices.iter().map(|(axis, _)| format!("`{axis}`"));
            return Err(self.error(format!(
                "`run` names the axis `{}`, which the trial `{}` does not have; it has {}",
                axis.0,
                point.label(),
                axes.collect::<Vec<_>>().join(", ")
            )));
        }
        // One folder below the sweep's, beside its own.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+=,".contains(c);
        let own: String = own.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        if own.is_empty() || own.starts_with('.') || ["trials", "slurm"].contains(&own.as_str()) {
            return Err(self.error(format!(
                "a run of the trial `{}` would be named `{own}`, which cannot be; change `run`",
                point.label()
            )));
        }
        let run = format!("{}/{own}", file.name);
        config[name_key(file.command)] = run.clone().into();
        if config["track"]["group"].is_null() {
            config["track"]["group"] = file.name.clone().into();
        }
        let trial = store::Trial {
            id,
            label: point.label(),
            sets: json!(point.choices).to_string(),
            config: config.to_string(),
        };
        Ok(Planned { point, run, trial })
    }

    /// A budget that grows under a trial must not change what it has done already.
    fn check_budget(&self, config: &TrainConfig) -> Result<(), SweepError> {
        let Some(Stop::Asha(asha)) = &self.spec.file.stop else { return Ok(()) };
        if !["epochs", "max_steps"].contains(&asha.budget.as_str()) {
            return Err(self.error(format!(
                "`stop.asha.budget` is `{}`, but trainings are stopped and resumed by `epochs` or `max_steps`",
                asha.budget
            )));
        }
        if asha.budget == "epochs" && config.max_steps.is_some() {
            return Err(self.error(
                "`max_steps` may end a training before its `epochs`, which `stop.asha` counts; set it to null".into(),
            ));
        }
        if matches!(config.model, ModelConfig::TwoStep(_)) {
            return Err(self.error(
                "the first step of a two-step model is done when the second begins, and cannot go on for longer as `stop.asha` asks; sweep it without `stop`"
                    .into(),
            ));
        }
        if config.scheduler.fixes_the_length() {
            return Err(self.error(
                "under the schedules one_cycle and cosine a training cannot go on for longer than it was to at its start, as `stop.asha` asks; set another `scheduler`"
                    .into(),
            ));
        }
        Ok(())
    }
}

fn resolved<T: Section>(
    base: &[PathBuf],
    sets: &[String],
) -> Result<T, crate::config::ConfigError> {
    Ok(Loaded::<T>::new(base, sets)?.config)
}

/// The key of a configuration that names its run.
pub(super) fn name_key(command: Command) -> &'static str {
    match command {
        Command::Train => "run",
        Command::Ood => "name",
    }
}

/// The value of a trial's configuration at that key.
pub(super) fn name_of(command: Command, config: &Value) -> Option<&str> {
    config[name_key(command)].as_str()
}
