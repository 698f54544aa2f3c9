//! Folders that come from the environment.

use super::ConfigError;
use std::{ffi::OsString, path::PathBuf};

/// `DATA_DIR`, `MODEL_DIR` and `SWEEP_STORE`, from the environment or from `.env` in the working directory (the environment wins).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where data sets lie; default `data`.
    pub data_dir: PathBuf,
    /// Where runs lie; default `runs`.
    pub model_dir: PathBuf,
    /// Where the queue of sweeps is, if that is said.
    pub sweep_store: Option<String>,
}

impl Environment {
    /// Read `.env` in the working directory (no parent's), if there is one, and the variables.
    ///
    /// # Errors
    /// A `.env` that cannot be read or parsed.
    pub fn read() -> Result<Self, ConfigError> {
        match dotenvy::from_path(".env") {
            Ok(()) => {}
            Err(error) if error.not_found() => {}
            Err(error) => return Err(ConfigError::DotEnv(error.to_string())),
        }
        let folders = ["DATA_DIR", "MODEL_DIR"].map(std::env::var_os);
        Ok(Self::from_variables(folders, std::env::var("SWEEP_STORE").ok()))
    }

    /// An empty variable counts as unset: as a folder it would mean the working directory itself.
    fn from_variables(
        [data_dir, model_dir]: [Option<OsString>; 2],
        sweep_store: Option<String>,
    ) -> Self {
        let folder = |variable: Option<OsString>, default: &str| {
            variable.filter(|v| !v.is_empty()).map_or_else(|| default.into(), PathBuf::from)
        };
        Self {
            data_dir: folder(data_dir, "data"),
            model_dir: folder(model_dir, "runs"),
            sweep_store: sweep_store.filter(|store| !store.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_or_empty_variable_is_the_default() {
        let of = |data_dir: &str, model_dir: &str, sweep_store: Option<&str>| Environment {
            data_dir: data_dir.into(),
            model_dir: model_dir.into(),
            sweep_store: sweep_store.map(str::to_owned),
        };
        let read = Environment::from_variables;
        assert_eq!(read([None, Some("".into())], Some(String::new())), of("data", "runs", None));
        let set = read([Some("a".into()), Some("b".into())], Some("c".into()));
        assert_eq!(set, of("a", "b", Some("c")));
    }
}
