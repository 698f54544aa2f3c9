//! `gate`.

use super::{CliError, Common, key_value, print, print_json};
use crate::{
    config::{Environment, Loaded, Method, OodConfig},
    data::{DataError, Images, decode, frame},
    lid::Estimator,
    ood::{self, Models, Plan, Verdict},
    run::{RunDir, write_atomic},
    train, with_backend,
};
use atypical_models::{FlowBackend, Model};
use clap::{ArgGroup, Args};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Accept images, or reject them as out-of-distribution, at a stated rate of false alarms.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("images").args(["paths", "stream"]).required(true)))]
#[command(after_help = "\
Examples:
  atypical gate --run rq_nsf_fmnist_small photo.png
  atypical gate --run rq_nsf_fmnist_small --method likelihood,lid,complexity,combined --false-alarms 0.01 --json in/*.png
  camera | atypical gate --run rq_nsf_fmnist_small --stream     one JSON object an image, as it comes

The first call fits the methods on training images of the run and calibrates the last of them on images that were held out from training; later
calls read that from the run's folder. Of images like the held-out ones, at most the stated share is rejected.

--stream reads images from standard input, each as its length in bytes (4 bytes, little-endian) and the bytes of a PNG, JPEG or WebP file, and answers each with a
JSON object. Images must have the model's height and width; colours become grey for a greyscale model, a transparency is left out.

The exit code is 0 where all images are accepted and 3 where one is rejected. What cannot be read or judged is rejected, with the error; the exit code is then 1 for files.")]
pub struct Gate {
    /// The run: a name under MODEL_DIR or a path
    #[arg(long)]
    run: String,
    /// Methods, separated by commas; the last one decides, combined and dose read what those before them read [default: likelihood,complexity,gradient_norm,combined; where the
    /// model lacks what one of them reads, latent_likelihood,reconstruction,latent_norm too, of all those that it can]
    #[arg(long, value_name = "METHOD,…", value_enum, value_delimiter = ',')]
    method: Vec<Method>,
    /// Share of in-distribution images that may be rejected, in (0, 1)
    #[arg(long, value_name = "RATE", default_value = "0.05", value_parser = super::share, allow_negative_numbers = true)]
    false_alarms: f64,
    /// Held-out images that it is calibrated on
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    held_out: u64,
    /// Set one key: a.b=value, the value in YAML
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<String>,
    /// Read images from standard input, each as 4 bytes of length (little-endian) and the bytes of its file
    #[arg(long)]
    stream: bool,
    /// Images: PNG, JPEG or WebP files
    paths: Vec<PathBuf>,
}

/// The methods that decide where none are named: those that cost little and that the model has what they read for.
fn defined<B: FlowBackend>(model: &Model<B>) -> Vec<Method> {
    let of = |methods: [Method; 3]| -> Vec<Method> {
        let estimator = Estimator::Threshold;
        let is_defined = |method: &Method| ood::undefined(*method, estimator, model).is_none();
        methods.into_iter().filter(is_defined).collect()
    };
    let mut methods = of([Method::Likelihood, Method::Complexity, Method::GradientNorm]);
    if methods.len() < 3 {
        methods.extend(of([Method::LatentLikelihood, Method::Reconstruction, Method::LatentNorm]));
    }
    methods.push(Method::Combined);
    methods
}

/// An image with what the gate says of it.
#[derive(Serialize)]
struct Answer {
    image: String,
    accept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Answer {
    fn new(image: String, verdict: Result<Verdict, CliError>) -> Self {
        match verdict {
            Ok(Verdict { accept, p_value, score }) => {
                Self { image, accept, p_value: Some(p_value), score: Some(score), error: None }
            }
            // What cannot be judged does not pass.
            Err(error) => {
                let error = Some(error.to_string());
                Self { image, accept: false, p_value: None, score: None, error }
            }
        }
    }
}

impl Gate {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        let run = super::load::open_run(common, &environment, &self.run)?;
        let trained = Loaded::<crate::config::TrainConfig>::file(&run.config())?.config;
        if train::is_vector(trained.model.shape()) {
            return Err(CliError::Other(format!(
                "the run `{}` is one of vectors, and a gate reads pictures; score vectors with: atypical score --run {} --data FILE --method likelihood",
                self.run, self.run
            )));
        }
        let spec = &trained.data.train;
        with_backend!(backend, common.device, |B, device| {
            let (model, trained) = train::open_model::<B>(&run, &device)?;
            let methods = match self.method.as_slice() {
                [] => defined(&model),
                asked => asked.to_vec(),
            };
            let loaded =
                super::score::settings(common, &self.run, &methods, spec, spec, &self.set)?;
            let config = &loaded.config;
            let (fitted, held_out) = train::images(&trained, &environment.data_dir)?;
            let held_out = held_out.draw(self.held_out as usize, config.seed);
            let plan = Plan::new(config, &fitted);
            let own = (&run, &trained, &model);
            let others = super::ood::Others::open(common, &environment, config, own, &device)?;
            let mut fingerprints = others.fingerprints();
            fingerprints.push(super::ood::fingerprint(&run, &trained)?);
            // A gate's images come once; what it is calibrated on is kept with the gate.
            let model = super::ood::Opened {
                model,
                dequantized: trained.data.dequantize,
                run: None,
                name: None,
            };
            let models = super::ood::models(common, config, model, others, &device);
            let gate = self.gate(&run, &fingerprints, config, &plan, &models, &held_out)?;
            // From here on, an image at a time: no bars.
            let models = models.quiet();
            if let (false, Some(method)) = (common.quiet || common.json, methods.last()) {
                let held_out = gate.calibrated_on();
                let fewest = (self.false_alarms * (held_out + 1) as f64 + 1e-9).floor();
                eprintln!(
                    "{} decides: rejected where fewer than {fewest} of {held_out} held-out images score as low",
                    method.name(),
                );
            }
            let judge = |images: Result<Images, DataError>| -> Result<Verdict, CliError> {
                let images = images?;
                Ok(gate.judge(&plan, &models, &images)?[0])
            };
            let channels = models.scorer.shape()[0];
            if self.stream {
                stream(channels, judge)
            } else {
                self.files(common, &methods, channels, gate.calibrated_on(), judge)
            }
        })
    }

    /// The calibrated gate, from the run's folder where it has one for these models and settings.
    fn gate<B: FlowBackend>(
        &self,
        run: &RunDir,
        fingerprints: &[String],
        config: &OodConfig,
        plan: &Plan,
        models: &Models<B>,
        held_out: &Images,
    ) -> Result<ood::Gate, CliError> {
        // By another name or path it is the same run.
        let config = OodConfig { run: String::new(), ..config.clone() };
        let digests = [plan.calibration.digest()?, held_out.digest()?];
        let settings =
            serde_json::to_vec(&(ood::RULES, fingerprints, &config, self.held_out, digests));
        let key =
            format!("{:x}", Sha256::digest(settings.expect("settings are JSON")))[..16].to_owned();
        let path = run.root().join(format!("gates/{key}.json"));
        if let Ok(kept) = std::fs::read(&path) {
            match serde_json::from_slice::<ood::Gate>(&kept) {
                Ok(gate) => return Ok(gate.at(self.false_alarms).map_err(ood::OodError::from)?),
                Err(problem) => eprintln!(
                    "warning: {} is damaged ({problem}); the gate is calibrated anew",
                    path.display()
                ),
            }
        }
        let gate = ood::Gate::calibrate(plan, models, held_out, self.false_alarms)?;
        write_atomic(&path, &serde_json::to_vec(&gate).unwrap_or_default())?;
        Ok(gate)
    }

    fn files(
        &self,
        common: &Common,
        methods: &[Method],
        channels: usize,
        held_out: usize,
        judge: impl Fn(Result<Images, DataError>) -> Result<Verdict, CliError>,
    ) -> Result<(), CliError> {
        let mut answers = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let name = path.display().to_string();
            let folder = format!(" (give the files of a folder: {name}/*.png)");
            let read = std::fs::read(path).map_err(|source| DataError::Read {
                path: path.clone(),
                source,
                hint: if path.is_dir() { folder } else { String::new() },
            });
            let verdict = judge(read.and_then(|bytes| decode(&bytes, &name, channels)));
            let answer = Answer::new(name, verdict);
            if !common.json && !common.quiet {
                print(line(&answer))?;
            }
            answers.push(answer);
        }
        if common.json {
            print_json(&serde_json::json!({
                "run": self.run, "method": methods.last().map(|m| m.name()),
                "false_alarms": self.false_alarms, "held_out": held_out, "images": answers,
            }))?;
        }
        let failed = answers.iter().filter(|a| a.error.is_some()).count();
        if failed > 0 {
            let all = answers.len();
            return Err(CliError::Other(format!(
                "{failed} of {all} images could not be judged, and are rejected"
            )));
        }
        if answers.iter().all(|a| a.accept) { Ok(()) } else { Err(CliError::Rejected) }
    }
}

fn line(answer: &Answer) -> String {
    let Answer { image, accept, p_value, score, error } = answer;
    let word = if *accept { "accept" } else { "reject" };
    match (p_value, score, error) {
        (Some(p), Some(score), _) => format!("{word}  p = {p:.4}  score {score:.2}  {image}"),
        (_, _, error) => format!("{word}  {}", error.as_deref().unwrap_or(image)),
    }
}

/// Images from standard input, one answer each.
fn stream(
    channels: usize,
    judge: impl Fn(Result<Images, DataError>) -> Result<Verdict, CliError>,
) -> Result<(), CliError> {
    let mut input = std::io::stdin().lock();
    let mut all_pass = true;
    for number in 0usize.. {
        let Some(bytes) = frame(&mut input, number)? else {
            if number == 0 {
                let problem = "standard input ended before the first image";
                return Err(CliError::Other(problem.into()));
            }
            break;
        };
        let name = format!("image {number}");
        let answer = Answer::new(name.clone(), judge(decode(&bytes, &name, channels)));
        all_pass &= answer.accept;
        print_json(&answer)?;
    }
    if all_pass { Ok(()) } else { Err(CliError::Rejected) }
}
