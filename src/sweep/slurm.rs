//! Agents as one array of Slurm jobs.

use super::SweepError;
use std::{path::Path, process::Command};

/// What the array is.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    /// The sweep.
    pub sweep: &'a str,
    /// How many agents.
    pub agents: usize,
    /// How many of them at once; none for all.
    pub at_once: Option<usize>,
    /// Further options of `sbatch`, as its script writes them (`--time=4:00:00`).
    pub options: &'a [String],
    /// Seconds before the time limit at which an agent is told to stop.
    pub warning: u32,
    /// Where the jobs' output goes.
    pub logs: &'a Path,
    /// The program, with the arguments of the agent.
    pub command: &'a [String],
    /// Variables that jobs get from `sbatch` and not from the script: the address of a store may have a password.
    pub environment: &'a [(&'a str, String)],
}

impl Array<'_> {
    /// The script. Slurm tells the agent itself by SIGUSR1 that its time is nearly over: it lets its trial write a checkpoint, gives it back, and has its task requeued.
    pub fn script(&self) -> String {
        let at_once = self.at_once.map_or(String::new(), |n| format!("%{n}"));
        let options: String =
            self.options.iter().map(|option| format!("#SBATCH {option}\n")).collect();
        let command: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        format!(
            "#!/bin/bash\n\
             #SBATCH --job-name={}\n\
             #SBATCH --array=0-{}{at_once}\n\
             #SBATCH --output=\"{}/%A_%a.log\"\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --requeue\n\
             #SBATCH --signal=B:USR1@{}\n\
             {options}\
             # The agent takes the place of this shell, and so gets its signals.\n\
             exec {}\n",
            self.sweep,
            self.agents - 1,
            self.logs.display().to_string().replace('%', "%%"),
            self.warning,
            command.join(" ")
        )
    }

    /// Write the script to `file` and hand it to `sbatch`; the job's number.
    ///
    /// # Errors
    /// There is no `sbatch`, or it refuses.
    pub fn submit(&self, file: &Path) -> Result<String, SweepError> {
        crate::run::write_atomic(file, self.script().as_bytes())?;
        std::fs::create_dir_all(self.logs).map_err(|source| crate::run::RunError::Write {
            path: self.logs.to_path_buf(),
            source,
            hint: String::new(),
        })?;
        let refused = |problem: String| SweepError::Slurm { script: file.to_path_buf(), problem };
        let mut sbatch = Command::new("sbatch");
        sbatch.arg("--parsable").arg(file).envs(self.environment.iter().map(|(k, v)| (k, v)));
        let output = sbatch.output().map_err(|e| {
            refused(format!(
                "`sbatch` cannot be started: {e}; is this a login node of a Slurm cluster?"
            ))
        })?;
        if !output.status.success() {
            return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        // With a cluster's name after it, where there are several.
        Ok(answer.trim().split(';').next().unwrap_or_default().to_owned())
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The job of Slurm that this process is, if it is one.
pub fn job() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (array, task) = (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID"));
    array.zip(task).map(|(array, task)| format!("{array}_{task}")).or(variable("SLURM_JOB_ID"))
}

/// Have a job started again; whether Slurm will.
pub fn requeue(job: &str) -> bool {
    Command::new("scontrol").args(["requeue", job]).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_what_slurm_reads() {
        let options = ["--time=4:00:00".to_owned(), "--gres=gpu:1".to_owned()];
        let command =
            ["/opt/it's here/atypical".to_owned(), "sweep".to_owned(), "agent".to_owned()];
        let array = Array {
            sweep: "lr",
            agents: 8,
            at_once: Some(2),
            options: &options,
            warning: 120,
            logs: Path::new("logs"),
            command: &command,
            environment: &[],
        };
        let script = array.script();
        for line in [
            "#SBATCH --array=0-7%2",
            "#SBATCH --time=4:00:00",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --signal=B:USR1@120",
            "#SBATCH --requeue",
            "exec '/opt/it'\\''s here/atypical' sweep agent",
        ] {
            assert!(script.lines().any(|l| l == line), "{line} in\n{script}");
        }
    }
}
