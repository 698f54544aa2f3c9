//! The sweep file as it is written.

use super::{Axis, MOST, Problem, SpaceError, draw::SOBOL_DRAWS, error::did_you_mean};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};
use std::path::{Path, PathBuf};

/// A sweep: many trials of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Name of the sweep. Default: the file's stem.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What each trial runs.
    pub command: Command,
    /// The configuration that all trials start from: one file or several, later ones over earlier ones, relative to the sweep file.
    /// Default: none.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany")]
    pub base: Vec<PathBuf>,
    /// Name of each trial's run below the sweep's name; `{axis}` stands for the choice on that axis. Default: the start of the trial's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How the space is searched. Default: `grid`.
    #[serde(default)]
    pub method: Method,
    /// What is to be minimized or maximized. Needed only to stop trials early, and to rank them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// When a trial that does badly is stopped early. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// How often a trial may crash before it is quarantined. Default: 3.
    #[serde(default = "three")]
    pub attempts: u32,
    /// Keys that every trial sets; an axis over the same key wins. In texts, here and on axes, `{axis}` stands for the choice on that axis.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// What differs from trial to trial: dotted keys of the configuration with their values, and named groups.
    pub axes: IndexMap<String, Axis>,
    /// Combinations to leave out. One holds where the trial made all choices that it names; a list means any of its values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<IndexMap<String, Value>>,
    /// Where it was read from, for messages.
    #[serde(skip)]
    pub file: String,
}

/// What a trial runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A training.
    Train,
    /// An out-of-distribution experiment.
    Ood,
}

/// How the space is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every combination.
    #[default]
    Grid,
    /// Independent draws.
    Random(Draws),
    /// An Owen-scrambled Sobol sequence: draws that fill the space evenly, best for a power of two of them.
    Sobol(Draws),
}

/// Draws from the space. More of them begin with the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draws {
    /// How many different trials are drawn.
    pub trials: u32,
    /// Another seed, other draws. Default: 0.
    #[serde(default)]
    pub seed: u32,
}

/// What is to be minimized or maximized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name in the results of a trial.
    pub name: String,
    /// Which way is better.
    pub goal: Goal,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Less is better.
    Minimize,
    /// More is better.
    Maximize,
}

/// When a trial that does badly is stopped early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Asynchronous successive halving, see [`asha`](super::asha).
    Asha(Asha),
}

/// Asynchronous successive halving: of the trials that ran for `min`, the best `1 / factor` go on to `min * factor`, and so on up to `max`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asha {
    /// The key that says how long a trial runs, as `epochs`; no axis may set it.
    pub budget: String,
    /// Its least value.
    pub min: u64,
    /// Its greatest value.
    pub max: u64,
    /// Of how many trials one goes on.
    pub factor: u64,
}

impl SweepFile {
    /// Read a sweep; `file` names it in messages, and its stem names the sweep where the text does not.
    ///
    /// # Errors
    /// Text that is no YAML, an unknown key, a value of the wrong type or outside its range, each with its place.
    pub fn read(text: &str, file: &Path) -> Result<Self, SpaceError> {
        let mut sweep: Self =
            serde_saphyr::from_str(text).map_err(|error| unread(&error, text, file))?;
        sweep.file = file.display().to_string();
        if sweep.name.is_empty() {
            sweep.name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        sweep.check().map_err(|problem| sweep.error(problem))?;
        Ok(sweep)
    }

    pub(super) fn error(&self, problem: Problem) -> SpaceError {
        SpaceError { place: self.file.clone(), problem }
    }

    fn check(&self) -> Result<(), Problem> {
        let value = |key: &str, problem: String| Err(Problem::Value { key: key.into(), problem });
        // It names a folder and a job of a cluster.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !self.name.chars().all(plain) || self.name.starts_with('.') || self.name.is_empty() {
            let problem = format!(
                "is `{}` (the file's name, where it is left out); letters, digits, `-`, `_` and `.` make a name",
                self.name
            );
            return value("name", problem);
        }
        if self.attempts == 0 {
            return value("attempts", "is 0, and a trial needs at least 1".into());
        }
        let (trials, most) = match self.method {
            Method::Grid => (1, MOST),
            Method::Random(Draws { trials, .. }) => (trials, MOST),
            Method::Sobol(Draws { trials, .. }) => (trials, SOBOL_DRAWS as usize),
        };
        if trials == 0 || trials as usize > most {
            return value(
                "trials",
                format!("is {trials}; with this method it lies between 1 and {most}"),
            );
        }
        let Some(Stop::Asha(Asha { min, max, factor, .. })) = self.stop else { return Ok(()) };
        if self.metric.is_none() {
            let problem = "compares trials, which needs a `metric: {name: …, goal: …}`";
            return value("stop", problem.into());
        }
        if min == 0 || min > max {
            let problem = format!(
                "has min {min} and max {max}; they are 1 or more, and max is not below min"
            );
            return value("stop.asha", problem);
        }
        if factor < 2 {
            return value("stop.asha.factor", format!("is {factor}, and halving needs at least 2"));
        }
        Ok(())
    }
}

fn three() -> u32 {
    3
}

/// What the parser could not read.
fn unread(error: &serde_saphyr::Error, text: &str, file: &Path) -> SpaceError {
    let error = error.without_snippet();
    let at = error.location();
    let place = at.map_or(file.display().to_string(), |at| {
        format!("{}:{}:{}", file.display(), at.line(), at.column())
    });
    let unknown = |key: &str, known: &[&str]| Problem::UnknownKey {
        key: key.to_owned(),
        guess: did_you_mean(key, known.iter().copied()),
        known: known.join(", "),
    };
    let problem = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown(field, expected),
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown(variant, expected)
        }
        other => {
            let problem = UserMessageFormatter.format_message(other);
            let line = at
                .and_then(|at| text.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?));
            Problem::Syntax(
                line.map_or(problem.to_string(), |line| format!("{problem}, in `{}`", line.trim())),
            )
        }
    };
    SpaceError { place, problem }
}

/// A file or several, for the schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// Not as an untagged enum: those forget the place of an error.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    struct Files;

    impl<'de> serde::de::Visitor<'de> for Files {
        type Value = Vec<PathBuf>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a file or a list of files")
        }

        fn visit_str<E>(self, file: &str) -> Result<Vec<PathBuf>, E> {
            Ok(vec![file.into()])
        }

        fn visit_seq<S: serde::de::SeqAccess<'de>>(
            self,
            files: S,
        ) -> Result<Vec<PathBuf>, S::Error> {
            Deserialize::deserialize(serde::de::value::SeqAccessDeserializer::new(files))
        }
    }

    deserializer.deserialize_any(Files)
}
