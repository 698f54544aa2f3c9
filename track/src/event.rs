//! What a run tells its trackers.

use crate::TrackError;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// The run that is tracked.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// Stays the same when the run is resumed: the trackers continue the run of that id. Letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it belongs to: W&B's project, MLflow's experiment.
    pub project: String,
    /// W&B's team or user, where it is not the one that is logged in.
    pub entity: Option<String>,
    /// Runs to be seen together, such as the seeds of one setting.
    pub group: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What its user says of it.
    pub notes: Option<String>,
    /// The sweep that it is a part of.
    pub sweep: Option<String>,
    /// Its settings, a JSON object.
    pub config: serde_json::Value,
    /// Its directory. What is not delivered yet is kept in `track/` there.
    pub dir: PathBuf,
}

impl RunInfo {
    /// Whether every tracker can be told of this run.
    ///
    /// # Errors
    /// The id or the project has a character that a tracker does not take, or the config is not an object.
    pub fn check(&self) -> Result<(), TrackError> {
        let wrong = |field, value: &str, problem: &str| {
            let (value, problem) = (value.to_owned(), problem.to_owned());
            Err(TrackError::Run { field, value, problem })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(plain) {
            return wrong("id", &self.id, "use 1 to 64 letters, digits, `-`, `_` and `.`");
        }
        let project = &self.project;
        if project.trim().is_empty() || project.chars().count() > 128 {
            return wrong("project", project, "use 1 to 128 characters");
        }
        if project.contains(|c: char| "/\\#?%:".contains(c) || c.is_control()) {
            return wrong("project", project, "it may not have `/`, `\\`, `#`, `?`, `%` or `:`");
        }
        if !self.config.is_object() {
            return wrong("config", &self.config.to_string(), "it is not a JSON object");
        }
        Ok(())
    }

    /// What a file of the run is called in a tracker: its path in the run's directory, or its name where it lies elsewhere.
    pub(crate) fn name_of(&self, path: &Path) -> Result<PathBuf, TrackError> {
        let inside = path.strip_prefix(&self.dir).ok().filter(|p| !p.as_os_str().is_empty());
        inside.or(path.file_name().map(Path::new)).map(Path::to_path_buf).ok_or_else(|| {
            TrackError::Event { what: path.display().to_string(), problem: "not a file".into() }
        })
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was to do.
    Done,
    /// An error ended it.
    Failed,
    /// It was told to stop, and will be resumed.
    Preempted,
}

/// Rows of cells under named columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// A number, finite or not.
    #[serde(with = "exact")]
    Number(f64),
    /// A text.
    Text(String),
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// An event, and when it was logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub time: u64,
    /// What was logged.
    pub event: Event,
}

impl Entry {
    pub(crate) fn now(event: Event) -> Self {
        Self { time: now(), event }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// What a run logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Numbers at a step.
    Metrics {
        /// The step.
        step: u64,
        /// By name.
        #[serde(with = "exact_map")]
        values: BTreeMap<String, f64>,
    },
    /// An image at a step.
    Image {
        /// The step.
        step: u64,
        /// Its name, `/` for folders.
        name: String,
        /// A PNG file.
        #[serde(with = "bytes")]
        png: Vec<u8>,
    },
    /// A table at a step.
    Table {
        /// The step.
        step: u64,
        /// Its name, `/` for folders.
        name: String,
        /// The table.
        table: Table,
    },
    /// A file, as it is when it is delivered.
    File {
        /// Where it lies.
        path: PathBuf,
    },
    /// What the run comes to.
    Summary {
        /// The last step.
        step: u64,
        /// By name.
        #[serde(with = "exact_map")]
        values: BTreeMap<String, f64>,
    },
}

/// Numbers as texts: JSON has no NaN, and its readers may change the last bit.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{number:?}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod exact_map {
    use super::{BTreeMap, exact};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Number(#[serde(with = "exact")] f64);

    pub fn serialize<S: Serializer>(map: &BTreeMap<String, f64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(name, number)| (name, Number(*number))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Number>::deserialize(from)?;
        Ok(map.into_iter().map(|(name, number)| (name, number.0)).collect())
    }
}

mod bytes {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
