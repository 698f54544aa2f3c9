//! Where a run is shown besides its folder.

use super::train::check;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Where a run is shown besides its folder. A tracker that fails or hangs never slows or stops a run: what it did not take waits in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct TrackConfig {
    /// What the run belongs to: W&B's project, MLflow's experiment.
    pub project: String,
    /// Runs to be seen together.
    pub group: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What you want to say of it.
    pub notes: Option<String>,
    /// Weights & Biases.
    #[serde(deserialize_with = "wandb")]
    pub wandb: Wandb,
    /// TensorBoard: event files in the run's folder `tensorboard`, for `tensorboard --logdir`.
    pub tensorboard: bool,
    /// Address of an MLflow server (http://127.0.0.1:5000). Credentials come from MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD.
    pub mlflow: Option<String>,
}

/// Weights & Biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wandb {
    /// Not at all.
    #[default]
    Off,
    /// An offline run in the run's folder `wandb`, which `wandb sync` uploads.
    Offline,
    /// The same, and at its end the program `wandb` is started to upload it.
    Online,
}

/// YAML reads a plain `off` as false.
fn wandb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wandb, D::Error> {
    struct Mode;
    impl serde::de::Visitor<'_> for Mode {
        type Value = Wandb;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("off, offline or online")
        }
        fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Wandb, E> {
            match on {
                false => Ok(Wandb::Off),
                true => Err(E::invalid_type(serde::de::Unexpected::Bool(true), &self)),
            }
        }
        fn visit_str<E: serde::de::Error>(self, mode: &str) -> Result<Wandb, E> {
            match mode {
                "off" => Ok(Wandb::Off),
                "offline" => Ok(Wandb::Offline),
                "online" => Ok(Wandb::Online),
                other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
            }
        }
    }
    deserializer.deserialize_any(Mode)
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self {
            project: "atypical".into(),
            group: None,
            tags: Vec::new(),
            notes: None,
            wandb: Wandb::Off,
            tensorboard: false,
            mlflow: None,
        }
    }
}

impl TrackConfig {
    /// Refuse what no tracker takes.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let project = &self.project;
        let plain = !project.contains(|c: char| "/\\#?%:".contains(c) || c.is_control());
        let length = (1..=128).contains(&project.trim().chars().count());
        let allowed = "a name of 1 to 128 characters without / \\ # ? % :";
        check("track.project", format!("`{project}`"), plain && length, allowed)?;
        if let Some(uri) = &self.mlflow {
            let http = ["http://", "https://"].iter().any(|scheme| uri.starts_with(scheme));
            let allowed = "an address that begins with http:// or https://, or null";
            check("track.mlflow", format!("`{uri}`"), http, allowed)?;
            // It goes into config.yaml and into every tracker.
            let with = "without a password, which MLFLOW_TRACKING_PASSWORD or _TOKEN gives";
            check("track.mlflow", "an address with `@`", !uri.contains('@'), with)?;
        }
        Ok(())
    }
}
