//! `sweep submit`.

use super::{CliError, Queue, print, print_json, program};
use crate::sweep::Array;
use clap::Args;

#[derive(Debug, Args)]
pub struct Submit {
    /// The sweep
    sweep: String,
    /// As one array of Slurm jobs, whose tasks are agents
    #[arg(long, required = true)]
    slurm: bool,
    /// How many agents
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    agents: u32,
    /// How many of them at once [default: as many as the cluster gives]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// An option for sbatch, as --sbatch=--time=4:00:00; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Seconds before the time limit at which an agent stops, so that its trial writes a checkpoint
    #[arg(long, default_value_t = 120)]
    warning: u32,
    /// Print the script and submit nothing; SWEEP_STORE and MODEL_DIR are to be set where it is submitted
    #[arg(long)]
    dry_run: bool,
}

impl Submit {
    pub fn run(&self, queue: &Queue) -> Result<(), CliError> {
        // A sweep that is not there is said now, not in the log of a job.
        queue.spec(&mut queue.open()?, &self.sweep)?;
        let absolute = |path: &std::path::Path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
        };
        let program = program()?;
        let folder = absolute(&queue.environment.model_dir.join(&self.sweep));
        let mut command = vec![program.display().to_string()];
        command.extend(["sweep", "agent", &self.sweep].map(str::to_owned));
        if let Some(backend) = queue.common.backend {
            command.extend(["--backend".to_owned(), backend.name().to_owned()]);
        }
        command.extend(["--device".to_owned(), queue.common.device.to_string()]);
        if self.sbatch.iter().any(|option| option.trim() == "--export=NONE") {
            return Err(CliError::Other(
                "with --export=NONE jobs do not hear where the queue and the runs are (SWEEP_STORE, MODEL_DIR); leave it out".into(),
            ));
        }
        let store = match queue.url() {
            url if url.contains("://") => url,
            path => {
                let path = path.strip_prefix("sqlite:").unwrap_or(&path);
                absolute(path.as_ref()).display().to_string()
            }
        };
        let model_dir = absolute(&queue.environment.model_dir).display().to_string();
        let environment = [("SWEEP_STORE", store), ("MODEL_DIR", model_dir)];
        let logs = folder.join("slurm");
        let array = Array {
            sweep: &self.sweep,
            agents: self.agents as usize,
            at_once: self.at_once.map(|n| n as usize),
            options: &self.sbatch,
            warning: self.warning,
            logs: &logs,
            command: &command,
            environment: &environment,
        };
        if self.dry_run {
            return print(array.script().trim_end());
        }
        let job = array.submit(&folder.join("agents.sbatch"))?;
        match queue.common.json {
            true => print_json(
                &serde_json::json!({ "job": job, "script": folder.join("agents.sbatch") }),
            ),
            false => print(format_args!(
                "job {job}: {} agents; their output is in {}; `atypical sweep status {}` says how they do",
                self.agents,
                logs.display(),
                self.sweep
            )),
        }
    }
}
