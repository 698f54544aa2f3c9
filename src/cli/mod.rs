//! The command line: one file a command, no logic of its own.

mod adopt;
mod backends;
mod config;
mod data;
mod demo;
mod doctor;
mod eval;
mod export;
mod gate;
mod generated;
mod hub;
mod import;
mod lid;
mod load;
mod ood;
mod quality;
mod report;
mod runs;
mod sample;
mod score;
mod sweep;
mod train;

use crate::{
    backend::{BackendError, BackendName, end_on_device_failure},
    config::ConfigError,
    data::DataError,
    eval::EvalError,
    export::ExportError,
    hub::HubError,
    import::ImportError,
    ood::{LabelError, OodError},
    progress::Verbosity,
    publish::PublishError,
    report::{ScoreError, aligned},
    run::RunError,
    sweep::{OCCUPIED, SweepError, store::StoreError},
    track::{PageError, TrackError},
    train::TrainError,
};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{io::Write, process::ExitCode};
use thiserror::Error;

/// Train likelihood-based deep generative models and detect out-of-distribution inputs with them.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  atypical demo                                              the paradox and its cure in minutes, nothing to download
  atypical train --config configs/train/rq_nsf_fmnist_small.yaml
  atypical ood --config configs/ood/rq_nsf_fmnist_mnist_small.yaml
  atypical train --config configs/train/glow_fmnist.yaml --set optimizer.lr=5e-4 --run glow-slow
  atypical config show --config configs/train/glow_fmnist.yaml

Data (SPEC): a name and a split (mnist:test; `atypical data list` has them), an .npz, .parquet, .csv or idx file, a folder of pictures (photos/, in the order of their names, without
subfolders), samples of a trained run (generated:RUN, where images are scored; 1000 where no end is given), toy:two-moons, manifold:lollipop, random:1x28x28; each with options behind
an @ and a slice at the end: photos/@crop=148,size=28,grey[:100]. Options: crop=H or HxW (the middle), size=H or HxW, grey, rgb, invert, first=0.8 or rest=0.8 (a share drawn by seed=N).

Folders: DATA_DIR (default `data`) and MODEL_DIR (default `runs`), from the environment or .env. Pictures of a parquet file of more than DATA_MEMORY (default 2GiB) stay on disk.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a small flow on real images and show the likelihood paradox and its cure
    Demo(demo::Demo),
    /// Train a model into a run directory
    Train(train::Train),
    /// Score in- and out-of-distribution images with a trained run
    Ood(ood::Ood),
    /// Evaluate a file of scores, ours or anyone's: AUROC with intervals, AUPR, FPR95
    Eval(eval::Eval),
    /// Local intrinsic dimension: estimators on manifolds of known LID
    Lid(Box<lid::Lid>),
    /// Score a set of images with a trained run
    Score(score::Score),
    /// Accept images, or reject them as out-of-distribution, at a stated rate of false alarms
    Gate(gate::Gate),
    /// Examine a trained run: checkpoints, weights, inverse, log-determinant, step by step
    Doctor(doctor::Doctor),
    /// Take over a model that was trained elsewhere
    Import(import::Import),
    /// Write a trained flow for PyTorch
    Export(export::Export),
    /// Draw samples from a trained run
    Sample(sample::Sample),
    /// Compare samples of a trained run with real data: kernel distance, precision, recall, density, coverage
    Quality(quality::QualityArgs),
    Runs(runs::Runs),
    Report(report::Report),
    Sweep(sweep::Sweep),
    /// List the data sets known by name, look at one, or download it
    Data(data::Data),
    /// Publish runs on the Hugging Face hub
    Hub(hub::HubArgs),
    /// Show, check or describe configurations
    Config(config::Config),
    /// List the backends of this build and this machine
    #[command(after_help = "\
Examples:
  atypical backends
  cargo run --release --features cuda -- backends")]
    Backends,
}

/// Options of every command.
#[derive(Clone, Copy, Debug, Args)]
struct Common {
    /// Backend to compute on [default: the first of this build]
    #[arg(long, global = true, value_enum)]
    backend: Option<BackendName>,
    /// Device of the backend
    #[arg(long, global = true, default_value_t = 0)]
    device: usize,
    /// Seed, instead of the configuration's
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Print one JSON object on standard output; progress goes to standard error
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but errors (and the object of --json)
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Stop, as by Ctrl-C, when standard input ends: so a process does not outlive the agent that started it
    #[arg(long, global = true, hide = true)]
    stop_with_stdin: bool,
}

impl Common {
    /// The backend, checked.
    fn backend(&self) -> Result<BackendName, BackendError> {
        let backend = self.backend.unwrap_or_else(BackendName::default_of_build);
        backend.check(self.device)?;
        // Not before: a device that is not there fails in the same way, and has an error of its own.
        end_on_device_failure();
        Ok(backend)
    }

    fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }

    /// `--set` arguments with the seed among them.
    fn sets(&self, sets: &[String]) -> Vec<String> {
        sets.iter().cloned().chain(self.seed.map(|s| format!("seed={s}"))).collect()
    }
}

/// Do this once standard input has ended, where that is asked for.
fn when_stdin_ends(common: &Common, then: impl FnOnce() + Send + 'static) {
    if common.stop_with_stdin {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            then();
        });
    }
}

/// Whatever a command can fail with.
#[derive(Debug, Error)]
enum CliError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Ood(#[from] OodError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error("{path}: {problem}")]
    Labels { path: String, problem: Box<LabelError> },
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Track(#[from] TrackError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write to standard output: {0}")]
    Stdout(std::io::Error),
    /// An image was rejected; what is to be said was said.
    #[error("an image was rejected")]
    Rejected,
    /// Ctrl-C; what is to be said was said.
    #[error("stopped by Ctrl-C")]
    Stopped,
    #[error("{0}")]
    Other(String),
}

/// Run the program; the exit code is 0, 1 for an error, 2 for wrong usage, 3 where `gate` rejects an image, 75 where another process writes to
/// the run, 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let command = Cli::command();
    let in_sweep = std::env::var_os("WANDB_SWEEP_ID").is_some();
    let cli = Cli::parse_from(adopt::adopted(std::env::args_os(), in_sweep, &command));
    let result = match &cli.command {
        Command::Demo(command) => command.run(&cli.common),
        Command::Train(command) => command.run(&cli.common),
        Command::Ood(command) => command.run(&cli.common),
        Command::Eval(command) => command.run(&cli.common),
        Command::Lid(command) => command.run(&cli.common),
        Command::Score(command) => command.run(&cli.common),
        Command::Gate(command) => command.run(&cli.common),
        Command::Doctor(command) => command.run(&cli.common),
        Command::Import(command) => command.run(&cli.common),
        Command::Export(command) => command.run(&cli.common),
        Command::Sample(command) => command.run(&cli.common),
        Command::Quality(command) => command.run(&cli.common),
        Command::Runs(command) => command.run(&cli.common),
        Command::Report(command) => command.run(&cli.common),
        Command::Sweep(command) => command.run(&cli.common),
        Command::Data(command) => command.run(&cli.common),
        Command::Hub(command) => command.run(&cli.common),
        Command::Config(command) => command.run(&cli.common),
        Command::Backends => backends::run(&cli.common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Stopped) => ExitCode::from(130),
        Err(CliError::Rejected) => ExitCode::from(3),
        Err(
            error @ (CliError::Train(TrainError::Run(RunError::Locked(_)))
            | CliError::Run(RunError::Locked(_))),
        ) => {
            eprintln!("error: {error}");
            ExitCode::from(OCCUPIED as u8)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Print a line on standard output. A reader that has gone away (`| head`) is no error.
fn print(text: impl std::fmt::Display) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Stdout(error))
        }
        _ => Ok(()),
    }
}

/// Print lines of cells as a table.
fn print_table(lines: &[Vec<String>]) -> Result<(), CliError> {
    print(aligned(lines).trim_end())
}

/// Print a JSON object.
fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    print(serde_json::to_string(value).map_err(|e| CliError::Other(e.to_string()))?)
}

/// A share in (0, 1).
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("a share in (0, 1), e.g. 0.05".into()),
    }
}

/// A `--set` argument.
fn key_value(argument: &str) -> Result<String, String> {
    match argument.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(argument.to_owned()),
        _ => Err("write it as key=value, e.g. optimizer.lr=1e-4".to_owned()),
    }
}

/// Name of a configuration: its file's, without extension.
fn stem(files: &[std::path::PathBuf], fallback: &str) -> String {
    let last = files.last().and_then(|f| f.file_stem());
    last.map_or_else(|| fallback.to_owned(), |s| s.to_string_lossy().into_owned())
}
