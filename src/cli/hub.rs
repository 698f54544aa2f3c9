//! `hub`.

use super::{CliError, Common, load, print, print_json};
use crate::{config::Environment, hub::Hub, publish, run::RunDir};
use clap::{Args, Subcommand};

/// Publish runs on the Hugging Face hub.
#[derive(Debug, Args)]
pub struct HubArgs {
    #[command(subcommand)]
    command: HubCommand,
}

#[derive(Debug, Subcommand)]
enum HubCommand {
    /// Publish a run as a model repository
    #[command(after_help = "\
Examples:
  HF_TOKEN=hf_… atypical hub push rq_nsf_fmnist --repo my-lab/rq-nsf-fashion-mnist
  atypical hub push rq_nsf_fmnist --repo my-lab/secret --private
  atypical hub push rq_nsf_fmnist --repo my-lab/rq-nsf-fashion-mnist --ood ood-rq_nsf_fmnist_mnist
  atypical score --run hf://my-lab/rq-nsf-fashion-mnist --data photos/ --method likelihood,lid --out scores.csv

Weights, configuration, the log, the learning curve, samples and a card go up as one commit, and of each experiment (--ood) its matrix, report and figures. Every command that reads a run takes hf://org/name, and hf://org/name@revision, as well: the run
is copied once to hf/org/name under MODEL_DIR. HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are respected.")]
    Push {
        /// The run: a name under MODEL_DIR or a path
        run: String,
        /// The repository: org/name
        #[arg(long)]
        repo: String,
        /// An experiment of `ood` with this run, whose numbers and figures the card shows; may be given several times
        #[arg(long, value_name = "EXPERIMENT")]
        ood: Vec<String>,
        /// Make it private
        #[arg(long)]
        private: bool,
    },
}

impl HubArgs {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let HubCommand::Push { run, repo, ood, private } = &self.command;
        let environment = Environment::read()?;
        let run = load::open_run(common, &environment, run)?;
        let experiments = ood.iter().map(|name| RunDir::open(&environment.model_dir, name));
        let experiments = experiments.collect::<Result<Vec<_>, _>>()?;
        let hub = Hub::from_environment(false)?;
        let url = publish::push(&hub, &run, &experiments, repo, *private)?;
        if common.json {
            return print_json(&serde_json::json!({"commit": url, "repo": repo}));
        }
        if common.quiet {
            Ok(())
        } else {
            print(format_args!("{url}\nread it with: --run hf://{repo}"))
        }
    }
}
