//! Folders that come from the environment.

use super::ConfigError;
use std::path::PathBuf;

/// `DATA_DIR` and `MODEL_DIR`, from the environment or from `.env` in the working directory (the environment wins).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where data sets lie; default `data`.
    pub data_dir: PathBuf,
    /// Where runs lie; default `runs`.
    pub model_dir: PathBuf,
}

impl Environment {
    /// Read `.env`, if there is one, and the two variables.
    ///
    /// # Errors
    /// A `.env` that cannot be read or parsed.
    pub fn read() -> Result<Self, ConfigError> {
        match dotenvy::dotenv() {
            Ok(_) => {}
            Err(error) if error.not_found() => {}
            Err(error) => return Err(ConfigError::DotEnv(error.to_string())),
        }
        let folder = |variable, default: &str| {
            std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
        };
        Ok(Self { data_dir: folder("DATA_DIR", "data"), model_dir: folder("MODEL_DIR", "runs") })
    }
}
