//! `report`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::Environment,
    run::{RunDir, write_atomic},
    track,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Several runs on one page: results, curves, settings that differ, samples.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical report glow_a glow_b --out both.html
  atypical report runs/sweep-lr/* --out sweep.html      a folder of runs, by the shell

An experiment of `ood` writes its own report.html.")]
pub struct Report {
    /// The runs: names under MODEL_DIR or paths
    #[arg(required = true)]
    runs: Vec<String>,
    /// The page
    #[arg(long, short, default_value = "report.html")]
    out: PathBuf,
    /// Its title
    #[arg(long, default_value = "Runs")]
    title: String,
}

impl Report {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let mut runs = Vec::new();
        for name in &self.runs {
            match RunDir::open(&environment.model_dir, name) {
                Ok(run) => runs.push(run),
                // What a shell makes of `runs/sweep/*`: the sweep's own files are among its runs.
                Err(_) if Path::new(name).exists() && self.runs.len() > 1 => {
                    eprintln!("left out: {name} is no run");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let html = track::of_runs(&self.title, &runs)?;
        write_atomic(&self.out, html.as_bytes())?;
        match common.json {
            true => print_json(&serde_json::json!({ "report": self.out, "runs": runs.len() })),
            false => print(self.out.display()),
        }
    }
}
