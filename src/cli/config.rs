//! `config`.

use super::{CliError, Common, key_value, print, print_json};
use crate::{
    config::{Environment, Loaded, OodConfig, Section, TrainConfig, schema},
    import,
    run::write_atomic,
    sweep::space::SweepFile,
};
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
        #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<String>,
        /// Which command the file is for
        #[arg(long, value_enum, default_value_t = Kind::Train)]
        kind: Kind,
    },
    /// Print the JSON Schema of a configuration, for editors
    #[command(after_help = "\
Examples:
  atypical config schema > train.schema.json
  atypical config schema --kind ood > ood.schema.json
  atypical config schema --kind sweep > sweep.schema.json

First line of a YAML file, for editors with the YAML language server:
  # yaml-language-server: $schema=train.schema.json")]
    Schema {
        /// Which command the file is for
        #[arg(long, value_enum, default_value_t = Described::Train)]
        kind: Described,
    },
    /// Translate a configuration of the Python reference (dgm_ood_detection)
    #[command(after_help = "\
Examples:
  atypical config import example_grayscale_train.yaml > flow.yaml
  atypical config import lid_ood_2.yaml --out lid_ood.yaml
  atypical config import grayscale_flows.yaml --out flows.yaml && atypical sweep plan flows.yaml

A training (it has `trainer`), an OOD experiment (it has `ood`) or a sweep of either (it has `base_config`). What has no counterpart here is said on standard error.")]
    Import {
        /// The old file, YAML or JSON
        file: PathBuf,
        /// SPEC of the training images [default: what `data.dataset` is here]
        #[arg(long)]
        data: Option<String>,
        /// File to write [default: standard output]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Train,
    Ood,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Described {
    Train,
    Ood,
    Sweep,
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
                    Described::Train => schema::<TrainConfig>(),
                    Described::Ood => schema::<OodConfig>(),
                    Described::Sweep => schemars::schema_for!(SweepFile).to_value(),
                };
                print(format_args!("{schema:#}"))
            }
            ConfigCommand::Import { file, data, out } => {
                let (yaml, notes) = import::translate(file, data.as_deref())?;
                if !common.quiet {
                    notes.iter().for_each(|note| eprintln!("note: {note}"));
                }
                let replaced = out.as_ref().is_some_and(|out| out.exists());
                if let Some(out) = out {
                    write_atomic(out, yaml.as_bytes())?;
                }
                match (common.json, out) {
                    (true, _) => {
                        print_json(&serde_json::json!({"config": yaml, "notes": notes, "out": out}))
                    }
                    (false, None) => print(yaml.trim_end()),
                    (false, Some(_)) if common.quiet => Ok(()),
                    (false, Some(out)) => print(format_args!(
                        "{}: {}",
                        if replaced { "replaced" } else { "written" },
                        out.display()
                    )),
                }
            }
        }
    }
}

fn show<T: Section>(common: &Common, loaded: &Loaded<T>) -> Result<(), CliError> {
    if common.json {
        let origins: serde_json::Map<_, _> =
            loaded.origins()?.into_iter().map(|(key, _, origin)| (key, origin.into())).collect();
        return print_json(&serde_json::json!({ "config": loaded.config, "origins": origins }));
    }
    print(format_args!("{}\n{}", loaded.yaml()?, loaded.provenance()?.trim_end()))
}
