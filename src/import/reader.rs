//! A configuration of the reference. What is read is taken out, so that what is left over can be named.

use super::ImportError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};
use std::path::{Path, PathBuf};

/// A mapping of an old file, and where it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    path: PathBuf,
    /// Keys on the way to the mapping, each with a dot behind.
    prefix: String,
    map: Map<String, Value>,
}

impl Reader {
    /// Read a file: YAML, or the JSON that the reference leaves beside a run.
    ///
    /// # Errors
    /// A file that cannot be read, or is no mapping.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ImportError::read(path, source))?;
        let syntax = |problem: String| ImportError::Syntax { path: path.to_path_buf(), problem };
        let said = |error: serde_saphyr::Error| {
            UserMessageFormatter.format_message(error.without_snippet()).into_owned()
        };
        match serde_saphyr::from_str(&text).map_err(|error| syntax(said(error)))? {
            Value::Object(map) => Ok(Self::new(path, map)),
            _ => Err(syntax("it is no mapping of keys to values".into())),
        }
    }

    /// What a file comes to.
    pub(super) fn new(path: &Path, map: Map<String, Value>) -> Self {
        Self { path: path.to_path_buf(), prefix: String::new(), map }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All that was not taken out.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// Whether it has the key, and not as null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// What is wrong with a key.
    pub(super) fn error(&self, key: &str, problem: impl Into<String>) -> ImportError {
        let key = format!("{}{key}", self.prefix);
        ImportError::Key { path: self.path.clone(), key, problem: problem.into() }
    }

    /// Take a value out; null is none.
    ///
    /// # Errors
    /// A value of another type.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, ImportError> {
        let Some(value) = self.map.remove(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let shown = value.to_string();
        serde_json::from_value(value)
            .map(Some)
            .map_err(|error| self.error(key, format!("is {shown}, which cannot be read ({error})")))
    }

    /// Take a value out that must be there.
    ///
    /// # Errors
    /// No value, or one of another type.
    pub(super) fn need<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, ImportError> {
        self.take(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    /// Take a mapping out; an empty one where there is none.
    ///
    /// # Errors
    /// A value that is no mapping.
    pub(super) fn section(&mut self, key: &str) -> Result<Self, ImportError> {
        let map = self.take::<Map<String, Value>>(key)?.unwrap_or_default();
        Ok(Self { path: self.path.clone(), prefix: format!("{}{key}.", self.prefix), map })
    }

    /// Take a list of mappings out.
    ///
    /// # Errors
    /// No list, or something else in it.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Self>, ImportError> {
        let items: Vec<Value> = match self.need::<Value>(key)? {
            Value::Array(items) => items,
            one => vec![one],
        };
        let item = |(i, item)| match item {
            Value::Object(map) => {
                let prefix = format!("{}{key}.{i}.", self.prefix);
                Ok(Self { path: self.path.clone(), prefix, map })
            }
            other => Err(self.error(&format!("{key}.{i}"), format!("is {other}, no mapping"))),
        };
        // The reference skips what is null.
        items.into_iter().filter(|item| !item.is_null()).enumerate().map(item).collect()
    }

    /// A class by the last part of its path: `nflows.transforms.normalization.ActNorm` is `ActNorm`.
    ///
    /// # Errors
    /// No text.
    pub(super) fn class(&mut self, key: &str) -> Result<String, ImportError> {
        let path: String = self.need(key)?;
        Ok(path.rsplit('.').next().unwrap_or(&path).to_owned())
    }

    /// Refuse a setting other than the one that there is here.
    ///
    /// # Errors
    /// Another value.
    pub(super) fn only<T>(&mut self, key: &str, value: T, why: &str) -> Result<(), ImportError>
    where
        T: DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        match self.take::<T>(key)? {
            Some(found) if found != value => {
                Err(self
                    .error(key, format!("is {found:?}, but only {value:?} can be imported: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// Keys that nothing has taken, with their place; null ones do not count.
    pub(super) fn left(&self) -> Vec<String> {
        let kept = self.map.iter().filter(|(_, value)| !value.is_null());
        kept.map(|(key, _)| format!("{}{key}", self.prefix)).collect()
    }
}
