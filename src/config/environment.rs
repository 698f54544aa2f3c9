//! Folders that come from the environment.

use super::ConfigError;
use std::{ffi::OsString, path::PathBuf};

/// `DATA_DIR` and `MODEL_DIR`, from the environment or from `.env` in the working directory (the environment wins).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where data sets lie; default `data`.
    pub data_dir: PathBuf,
    /// Where runs lie; default `runs`.
    pub model_dir: PathBuf,
}

impl Environment {
    /// Read `.env` in the working directory (no parent's), if there is one, and the two variables.
    ///
    /// # Errors
    /// A `.env` that cannot be read or parsed.
    pub fn read() -> Result<Self, ConfigError> {
        match dotenvy::from_path(".env") {
            Ok(()) => {}
            Err(error) if error.not_found() => {}
            Err(error) => return Err(ConfigError::DotEnv(error.to_string())),
        }
        Ok(Self::from_variables(std::env::var_os("DATA_DIR"), std::env::var_os("MODEL_DIR")))
    }

    /// An empty variable counts as unset: as a folder it would mean the working directory itself.
    fn from_variables(data_dir: Option<OsString>, model_dir: Option<OsString>) -> Self {
        let folder = |variable: Option<OsString>, default: &str| {
            variable.filter(|v| !v.is_empty()).map_or_else(|| default.into(), PathBuf::from)
        };
        Self { data_dir: folder(data_dir, "data"), model_dir: folder(model_dir, "runs") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_or_empty_variable_is_the_default() {
        let defaults = Environment { data_dir: "data".into(), model_dir: "runs".into() };
        assert_eq!(Environment::from_variables(None, Some("".into())), defaults);
        let set = Environment::from_variables(Some("a".into()), Some("b".into()));
        assert_eq!(set, Environment { data_dir: "a".into(), model_dir: "b".into() });
    }
}
