//! `config`.

use super::{CliError, Common, print_json};
use crate::config::{Environment, Loaded, OodConfig, Section, TrainConfig};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Show, check or describe configurations.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the resolved configuration and where each value came from
    #[command(after_help = "\
Examples:
  atypical config show --config configs/train/glow_fmnist.yaml --set epochs=3
  atypical config show --kind ood --config configs/ood/demo.yaml")]
    Show {
        /// Configuration file; given several times, later files win
        #[arg(long, short, required = true)]
        config: Vec<PathBuf>,
        /// Set one key: a.b=value, the value in YAML
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Which command the file is for
        #[arg(long, value_enum, default_value_t = Kind::Train)]
        kind: Kind,
    },
    /// Print the JSON Schema of a configuration, for editors
    Schema {
        /// Which command the file is for
        #[arg(long, value_enum, default_value_t = Kind::Train)]
        kind: Kind,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Train,
    Ood,
}

impl Config {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        Environment::read()?;
        match &self.command {
            ConfigCommand::Show { config, set, kind } => {
                let sets = common.sets(set);
                match kind {
                    Kind::Train => show(common, &Loaded::<TrainConfig>::new(config, &sets)?),
                    Kind::Ood => show(common, &Loaded::<OodConfig>::new(config, &sets)?),
                }
            }
            ConfigCommand::Schema { kind } => {
                let schema = match kind {
                    Kind::Train => schemars::schema_for!(TrainConfig),
                    Kind::Ood => schemars::schema_for!(OodConfig),
                };
                let text = serde_json::to_string_pretty(&schema);
                println!("{}", text.map_err(|e| CliError::Other(e.to_string()))?);
                Ok(())
            }
        }
    }
}

fn show<T: Section>(common: &Common, loaded: &Loaded<T>) -> Result<(), CliError> {
    if common.json {
        return print_json(&loaded.config);
    }
    print!("{}\n{}", loaded.yaml()?, loaded.provenance()?);
    Ok(())
}
