//! `doctor`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::Environment,
    data::{Noise, Spec},
    doctor::{self, FlowHealth, Health},
    jacobian::Memory,
    ood,
    progress::Progress,
    run::{RunDir, RunError},
    train::{self, Checksum, TrainError},
    with_backend,
};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::Args;
use serde::Serialize;

/// Examine a trained run: checkpoints, weights, results; of a flow inverse, log-determinant, spectrum, step by step.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical doctor --run rq_nsf_fmnist_small
  atypical doctor --run rq_nsf_fmnist_small --data mnist:test --images 16
  atypical doctor --run rq_nsf_fmnist_small --json | jq '.health.steps[] | select(.round_trip > 1e-4)'

The steps of a flow are given at the first image, their round trip in parts of the largest input: `both ways` is the log-determinant of the step plus that of its inverse (nats,
over all images), `dense log-det` its difference from the one of the step's dense Jacobian, `condition` the ratio of that Jacobian's largest and smallest singular values.

The exit code is 0 for a healthy run and 1 otherwise: damaged checkpoints, weights that do not have the checksum that their file holds, weights or results that are NaN or infinite, an inverse that
misses by half a grey level (of vectors, by 1/512 of what the values of a column range over), a log-determinant that is 0.01 bits per dimension from that of the dense Jacobian. Steps of more than 1024
dimensions are examined without their own dense Jacobian.")]
pub struct Doctor {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// SPEC of images to look at [default: the run's training images]
    #[arg(long)]
    data: Option<String>,
    /// How many of them
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    images: u64,
    /// MiB that one Jacobian may take beside the model
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    run: String,
    healthy: bool,
    complaints: &'a [String],
    /// Steps whose checkpoints are whole.
    checkpoints: &'a [usize],
    weights_checksum: Checksum,
    health: &'a Health,
}

impl Doctor {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let run = super::load::open_run(common, &environment, &self.run)?;
        let (whole, damaged) = checkpoints(&run);
        let (health, spec, checksum) = with_backend!(backend, common.device, |B, device| {
            let (model, config, checksum) = train::open_damaged_model::<B>(&run, &device)?;
            let seed = common.seed.unwrap_or(config.seed);
            B::seed(&device, seed);
            let text = self.data.as_ref().unwrap_or(&config.data.train).clone();
            let spec: Spec = text.parse()?;
            let images = spec.load(&environment.data_dir)?;
            ood::expect_domain(&model, &images)?;
            let ends = images.ends()?;
            let images = images.draw(self.images as usize, seed);
            let all: Vec<usize> = (0..images.len()).collect();
            let noise = Noise::evaluation(config.data.dequantize, seed);
            let x = TensorData::new(images.unit(&all, noise)?, [images.len(), images.dimension()]);
            let work = doctor::work(&model, images.len());
            let mut bar = Progress::new(common.verbosity(), "examination", work);
            let x = Tensor::from_data(x, &device);
            let health = doctor::examine::<B>(&model, x, &ends, Memory::mib(self.memory), &mut bar)
                .map_err(|error| CliError::Other(error.to_string()))?;
            bar.finish(&run.name());
            Ok::<_, CliError>((health, text, checksum))
        })?;
        let mut complaints: Vec<String> = damaged.iter().map(RunError::to_string).collect();
        if checksum == Checksum::Damaged {
            complaints.push(TrainError::Damaged(run.weights()).to_string());
        }
        complaints.extend(health.complaints());
        let healthy = complaints.is_empty();
        if common.json {
            let run = run.name();
            let (complaints, checkpoints, health) = (&complaints, &whole, &health);
            let weights_checksum = checksum;
            print_json(&Report {
                run,
                healthy,
                complaints,
                checkpoints,
                weights_checksum,
                health,
            })?;
        } else if !common.quiet {
            let verdict = if healthy { "healthy" } else { "not healthy" };
            print(text(&format!("{}: {verdict}", run.name()), &spec, &whole, checksum, &health))?;
        }
        if healthy {
            return Ok(());
        }
        Err(CliError::Other(format!("{} is not healthy: {}", run.name(), complaints.join("; "))))
    }
}

/// Steps of the checkpoints that are whole, and what is wrong with the others.
fn checkpoints(run: &RunDir) -> (Vec<usize>, Vec<RunError>) {
    let checkpoints = run.checkpoints();
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    for step in checkpoints.steps() {
        match checkpoints.load(step) {
            Ok(_) => whole.push(step),
            Err(error) => damaged.push(error),
        }
    }
    (whole, damaged)
}

fn text(
    title: &str,
    data: &str,
    checkpoints: &[usize],
    checksum: Checksum,
    health: &Health,
) -> String {
    let steps: Vec<String> = checkpoints.iter().map(usize::to_string).collect();
    let whole = match steps.as_slice() {
        [] => "none kept".to_owned(),
        steps => format!("whole, of step {}", steps.join(" and ")),
    };
    let mut text = format!(
        "{title}\n\
         images            {} of {data}\n\
         checkpoints       {whole}\n\
         weights checksum  {checksum}\n\
         weights           {}, {} of them not finite\n\
         results           {} values not finite",
        health.images, health.weights, health.weights_not_finite, health.values_not_finite,
    );
    if let Some(flow) = &health.flow {
        text.push_str(&of_flow(flow, health.images));
    }
    text
}

/// What is to be said of a flow alone.
fn of_flow(flow: &FlowHealth, images: usize) -> String {
    let mut text = format!(
        "\n\
         round trip        {:.1e} of the range of x over {images} images, {:.1e} in z over as many samples\n\
         log-determinant   {:.1e} bits per dimension from that of the dense Jacobian\n\
         spectrum          condition number {:.1e}; {} eigenvalues below what f32 resolves\n\n\
         {:>5}  {:9}  {:>12}  {:>10}  {:>9}  {:>13}  {:>9}  {:>10}",
        flow.round_trip,
        flow.round_trip_of_samples,
        flow.log_det_error,
        flow.condition,
        flow.unresolved_eigenvalues,
        "level",
        "step",
        "input",
        "round trip",
        "both ways",
        "dense log-det",
        "condition",
        "not finite",
    );
    for step in &flow.steps {
        let [c, h, w] = step.shape;
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.1e}"));
        text.push_str(&format!(
            "\n{:>5}  {:9}  {:>12}  {:>10.1e}  {:>9.1e}  {:>13}  {:>9}  {:>10}",
            step.level,
            step.kind,
            format!("{c}x{h}x{w}"),
            step.round_trip,
            step.log_det_both_ways,
            optional(step.log_det_error),
            optional(step.condition),
            step.not_finite,
        ));
    }
    text
}
