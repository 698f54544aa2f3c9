//! `lid --data`: LID of every image of a set.

use crate::{
    backend::BackendName,
    cli::{CliError, Common, print, print_json},
    config::{Environment, LidConfig, Loaded, TrainConfig},
    data::{Images, Noise, Spec},
    lid::{Estimator, MatrixFree, Route, Scale, scale},
    ood::{Column, Member, Scorer, Survey, Surveyed, largest, survey},
    report::{self, Frame, ScoreTable},
    run::{Journal, RunDir},
    train, with_backend,
};
use atypical_models::FlowBackend;
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// Local intrinsic dimension of every image of a set.
#[derive(Debug, Args)]
pub struct OfImages {
    /// The trained run: a name under MODEL_DIR or a path; needed by threshold, spectral, gap and matrix_free
    #[arg(long)]
    run: Option<String>,
    /// SPEC of the images: name:split, a file, each with an optional slice [from:to]
    #[arg(long, value_name = "SPEC", required = true)]
    data: String,
    /// Estimators, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "threshold")]
    estimator: Vec<Estimator>,
    /// lidl: runs trained on data with noise of different `data.noise`, separated by commas
    #[arg(long, value_name = "RUN", value_delimiter = ',')]
    ensemble: Vec<String>,
    /// Scale r (log-sigma): a number in [-20, 20]; `calibrate`: where the mean LID of the calibration images is --dimension; `plateau`: where it
    /// changes least [default: calibrate]
    #[arg(long, allow_hyphen_values = true)]
    scale: Option<ScaleArgument>,
    /// Dimension to calibrate to [default: what LPCA finds in the calibration images]
    #[arg(long)]
    dimension: Option<f64>,
    /// Neighbours, for the estimators without a model [default: 20 for mle, 100 for the others]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    k: Option<u64>,
    /// SPEC of the images to choose the scale on [default: those that the run was trained on]
    #[arg(long, value_name = "SPEC")]
    calibration: Option<String>,
    /// How many of them the model sees [default: 64]; LPCA sees 5000
    #[arg(long, value_name = "N")]
    calibration_count: Option<usize>,
    /// matrix_free: error of the quadrature (estimated) and standard error asked for, in dimensions [default: 7]
    #[arg(long)]
    tolerance: Option<f64>,
    /// matrix_free: random probes of one round, at least 2 [default: 2]
    #[arg(long)]
    probes: Option<usize>,
    /// matrix_free: most steps of one Krylov space [default: 40]
    #[arg(long)]
    max_steps: Option<usize>,
    /// matrix_free: most probes in all rounds [default: 64]
    #[arg(long)]
    max_probes: Option<usize>,
    /// MiB that an exact Jacobian, or the products of a batch, may take beside the model [default: 512]
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
    /// File to write: .parquet, .csv or .jsonl
    #[arg(long, default_value = "lid.parquet")]
    out: PathBuf,
}

/// `--scale`.
#[derive(Clone, Copy, Debug)]
enum ScaleArgument {
    Number(f64),
    Calibrate,
    Plateau,
}

impl FromStr for ScaleArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "calibrate" => Ok(Self::Calibrate),
            "plateau" => Ok(Self::Plateau),
            number => match number.parse() {
                Ok(r) => Ok(Self::Number(r)),
                Err(_) => Err("write a number such as -3, `calibrate` or `plateau`".into()),
            },
        }
    }
}

/// A trained run and its settings.
struct Model {
    run: RunDir,
    config: TrainConfig,
}

impl Model {
    fn open(common: &Common, environment: &Environment, name: &str) -> Result<Self, CliError> {
        let run = super::super::load::open_run(common, environment, name)?;
        let config = Loaded::<TrainConfig>::file(&run.config())?.config;
        Ok(Self { run, config })
    }

    fn scorer<B: FlowBackend>(
        &self,
        lid: &LidConfig,
        seed: u64,
        common: &Common,
        device: &B::Device,
    ) -> Result<Scorer<B>, CliError> {
        let (model, config) = train::open_model::<B>(&self.run, device)?;
        let noise = Noise::evaluation(config.data.dequantize, seed);
        let (batch, verbosity) = (config.batch_size, common.verbosity());
        Ok(Scorer::new(model, noise, batch, lid, seed, device.clone(), verbosity))
    }
}

impl OfImages {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let backend = common.backend()?;
        self.check_flags()?;
        let lid = self.lid_config()?;
        let mut estimators = self.estimator.clone();
        // Each once, in the order given.
        let mut seen = Vec::new();
        estimators.retain(|e| {
            !seen.contains(e) && {
                seen.push(*e);
                true
            }
        });
        Frame::check_format(&self.out).map_err(crate::ood::OodError::from)?;
        if self.out.is_dir() {
            return Err(CliError::Other(format!(
                "--out {} is a folder; name a file in it, e.g. {}",
                self.out.display(),
                self.out.join("lid.parquet").display()
            )));
        }
        let model = self.model(common, &environment)?;
        let ensemble = self.ensemble(common, &environment)?;
        let images = self.data.parse::<Spec>()?.load(&environment.data_dir)?;
        let calibration = self.calibration_images(&environment, model.as_ref())?;
        let seed = common.seed.unwrap_or(0);
        let models: Vec<&Model> = model.iter().chain(&ensemble).collect();
        let fingerprint =
            self.fingerprint(&lid, backend, seed, &images, calibration.as_ref(), &models)?;
        // Work under other settings has a journal of its own, and is not lost.
        let name = format!("{}.{}.journal", self.out.display(), &fingerprint[..8]);
        let journal_path = PathBuf::from(name);
        let asked = Survey {
            images: &images,
            calibration: calibration.as_ref(),
            calibration_count: self.calibration_count(),
            estimators: &estimators,
            lid: &lid,
            k: self.k.map(|k| k as usize),
            seed,
            verbosity: common.verbosity(),
        };
        let (surveyed, inverse_error, journal) =
            with_backend!(backend, common.device, |B, device| {
                let open = |model: &Model| -> Result<Scorer<B>, CliError> {
                    model.scorer::<B>(&lid, seed, common, &device)
                };
                let scorer = model.as_ref().map(&open).transpose()?;
                let ensemble: Vec<Member<B>> = self
                    .ensemble
                    .iter()
                    .zip(&ensemble)
                    .map(|(name, model)| {
                        let (name, noise) = (name.clone(), model.config.data.noise);
                        Ok(Member { name, noise, scorer: open(model)? })
                    })
                    .collect::<Result<_, CliError>>()?;
                for images in calibration.iter().chain([&images]) {
                    for scorer in scorer.iter().chain(ensemble.iter().map(|member| &member.scorer))
                    {
                        images.expect_shape(scorer.shape())?;
                    }
                }
                let mut journal = Journal::open(&journal_path, &fingerprint)?;
                if let Some(damage) = journal.damage() {
                    eprintln!("warning: {damage}");
                }
                say_on_interrupt();
                let surveyed = survey::<B>(&asked, scorer.as_ref(), &ensemble, &mut journal);
                let surveyed = match surveyed {
                    Ok(surveyed) => surveyed,
                    Err(error) => {
                        journal.leave();
                        return Err(error.into());
                    }
                };
                // What only a flow promises.
                let flow = scorer.filter(|s| s.model().as_flow().is_some());
                let errors = flow.map(|s| s.inverse_error(&images)).transpose()?;
                (surveyed, errors, journal)
            });
        let table = table(&images, &surveyed, inverse_error.as_deref())?;
        let convention = self.convention(&images, seed, &surveyed);
        table.write(&self.out, &convention).map_err(crate::ood::OodError::from)?;
        let figure = figure(&self.out, &images, &surveyed);
        if let Some(figure) = &figure {
            figure.write(folder(&self.out))?;
        }
        // The table is written: the journal has done its duty.
        journal.finish();
        self.tell(common, &images, &surveyed, inverse_error.as_deref(), figure.is_some())
    }

    fn scale(&self) -> ScaleArgument {
        self.scale.unwrap_or(ScaleArgument::Calibrate)
    }

    fn calibration_count(&self) -> usize {
        self.calibration_count.unwrap_or(64)
    }

    /// Refuse flags that would do nothing.
    fn check_flags(&self) -> Result<(), CliError> {
        let has = |fits: &dyn Fn(&Estimator) -> bool| self.estimator.iter().any(fits);
        let scale = self.scale();
        let chooses = !matches!(scale, ScaleArgument::Number(_)) && has(&|e| e.has_scale());
        let calibrates = chooses && matches!(scale, ScaleArgument::Calibrate);
        let reads_points = has(&|e| matches!(e.route(), Route::Points(_)));
        let products = has(&|e| e.route() == Route::Krylov);
        let jacobians = products || has(&|e| e.route() == Route::Spectrum);
        let on = "choosing a scale, which a number as --scale or an estimator without a scale leaves out";
        for (flag, given, used, when) in [
            ("run", self.run.is_some(), jacobians, "estimators that read a model"),
            (
                "scale",
                self.scale.is_some(),
                has(&|e| e.has_scale()),
                "threshold, spectral and matrix_free",
            ),
            ("k", self.k.is_some(), reads_points, "lpca, mle, twonn, ess and corrint"),
            ("dimension", self.dimension.is_some(), calibrates, "--scale calibrate"),
            ("calibration", self.calibration.is_some(), chooses, on),
            ("calibration-count", self.calibration_count.is_some(), chooses, on),
            ("tolerance", self.tolerance.is_some(), products, "--estimator matrix_free"),
            ("probes", self.probes.is_some(), products, "--estimator matrix_free"),
            ("max-steps", self.max_steps.is_some(), products, "--estimator matrix_free"),
            ("max-probes", self.max_probes.is_some(), products, "--estimator matrix_free"),
            ("memory", self.memory.is_some(), jacobians, "estimators that read a Jacobian"),
        ] {
            if given && !used {
                return Err(CliError::Other(format!(
                    "--{flag} would do nothing here: it is for {when}; leave it out"
                )));
            }
        }
        Ok(())
    }

    fn lid_config(&self) -> Result<LidConfig, CliError> {
        let usual = LidConfig::default();
        let scale = match self.scale() {
            ScaleArgument::Number(r) => Scale::Fixed { r },
            ScaleArgument::Plateau => Scale::usual_plateau(),
            ScaleArgument::Calibrate => match Scale::default() {
                Scale::Calibrated { alpha, low, high, .. } => {
                    Scale::Calibrated { dimension: self.dimension, alpha, low, high }
                }
                other => other,
            },
        };
        let free = MatrixFree::default();
        let probes = self.probes.unwrap_or(free.probes);
        let lid = LidConfig {
            estimator: self.estimator[0],
            scale,
            memory_mib: self.memory.unwrap_or(usual.memory_mib),
            matrix_free: MatrixFree {
                probes,
                tolerance: self.tolerance.unwrap_or(free.tolerance),
                max_steps: self.max_steps.unwrap_or(free.max_steps),
                max_probes: self.max_probes.unwrap_or(free.max_probes.max(probes)),
                ..free
            },
        };
        let named = |(key, problem): (String, String)| {
            let flag = key.rsplit('.').next().unwrap_or(&key);
            let flag = match flag {
                "r" => "scale".to_owned(),
                "memory_mib" => "memory".to_owned(),
                flag => flag.replace('_', "-"),
            };
            CliError::Other(format!("--{flag} {problem}"))
        };
        lid.validate("").map_err(named)?;
        if self.calibration_count() == 0 {
            return Err(CliError::Other(
                "--calibration-count is 0, but it must be at least 1".into(),
            ));
        }
        Ok(lid)
    }

    fn model(&self, common: &Common, environment: &Environment) -> Result<Option<Model>, CliError> {
        let reads_model = |e: &&Estimator| matches!(e.route(), Route::Spectrum | Route::Krylov);
        match (&self.run, self.estimator.iter().find(reads_model)) {
            (Some(name), _) => Ok(Some(Model::open(common, environment, name)?)),
            (None, None) => Ok(None),
            (None, Some(estimator)) => Err(CliError::Other(format!(
                "the estimator {} reads a trained model: say which, with --run NAME (`runs` lists them), or take one that needs \
                 none: lpca, mle, twonn, ess, corrint",
                estimator.name()
            ))),
        }
    }

    /// The runs of the ensemble.
    fn ensemble(&self, common: &Common, environment: &Environment) -> Result<Vec<Model>, CliError> {
        if self.estimator.contains(&Estimator::Lidl) == self.ensemble.is_empty() {
            let problem = match self.ensemble.is_empty() {
                true => "none is given",
                false => "--ensemble is given, but --estimator has no lidl",
            };
            return Err(crate::ood::OodError::Ensemble(problem.into()).into());
        }
        self.ensemble.iter().map(|name| Model::open(common, environment, name)).collect()
    }

    /// The images to choose a scale on, where one is to be chosen.
    fn calibration_images(
        &self,
        environment: &Environment,
        model: Option<&Model>,
    ) -> Result<Option<Images>, CliError> {
        let fixed = matches!(self.scale(), ScaleArgument::Number(_));
        if fixed || !self.estimator.iter().any(|e| e.has_scale()) {
            return Ok(None);
        }
        let load = |spec: &str| spec.parse::<Spec>()?.load(&environment.data_dir);
        match (&self.calibration, model) {
            (Some(spec), _) => Ok(Some(load(spec)?)),
            (None, Some(model)) => {
                let images = load(&model.config.data.train)?;
                Ok(Some(match model.config.data.limit {
                    Some(limit) => images.take(limit),
                    None => images,
                }))
            }
            (None, None) => Ok(None),
        }
    }

    /// Whatever the numbers depend on.
    fn fingerprint(
        &self,
        lid: &LidConfig,
        backend: BackendName,
        seed: u64,
        images: &Images,
        calibration: Option<&Images>,
        models: &[&Model],
    ) -> Result<String, CliError> {
        let mut hash = Sha256::new();
        let settings = json!({
            "version": env!("CARGO_PKG_VERSION"), "lid": lid, "k": self.k, "estimators": self.estimator, "seed": seed,
            "backend": format!("{backend:?}"), "count": self.calibration_count(),
            "shape": images.shape, "calibration": calibration.map(|c| (c.shape, c.len())), "images": images.len(), "models": models.iter().map(|m| &m.config).collect::<Vec<_>>(),
        });
        hash.update(settings.to_string());
        for images in std::iter::once(images).chain(calibration) {
            for i in 0..images.len() {
                hash.update(images.sample(i)?);
            }
        }
        for model in models {
            let path = model.run.weights();
            let weights = std::fs::read(&path)
                .map_err(|source| crate::run::RunError::Read { path, source })?;
            hash.update(weights);
        }
        Ok(format!("{:x}", hash.finalize()))
    }

    /// What the numbers of the file are; it goes into it where its format has a place.
    fn convention(&self, images: &Images, seed: u64, surveyed: &Surveyed) -> String {
        let scales: Vec<String> = surveyed
            .columns
            .iter()
            .filter_map(|column| Some((column.estimator.name(), column.scale?)))
            .map(|(name, chosen)| match chosen.dimension {
                Some(d) => format!(
                    "{name} at r = {:.4} (mean LID {d} on the calibration images)",
                    chosen.r
                ),
                None => format!("{name} at r = {:.4}", chosen.r),
            })
            .collect();
        let run = self.run.as_deref().map(|run| format!("; run {run}")).unwrap_or_default();
        let scales =
            if scales.is_empty() { String::new() } else { format!("; {}", scales.join("; ")) };
        format!("{CONVENTION}; data {}{run}; seed {seed}{scales}", images.name)
    }

    fn tell(
        &self,
        common: &Common,
        images: &Images,
        surveyed: &Surveyed,
        inverse_error: Option<&[f64]>,
        with_figure: bool,
    ) -> Result<(), CliError> {
        let trouble = &surveyed.trouble;
        let not_finite = trouble.iter().filter(|t| t.not_finite > 0).count();
        let negative: usize = trouble.iter().map(|t| t.negative).sum();
        let unresolved = trouble.iter().filter(|t| t.unresolved).count();
        let worst = inverse_error.map(|errors| errors.iter().copied().fold(0.0, largest));
        if common.json {
            let estimators: serde_json::Map<String, serde_json::Value> = surveyed
                .columns
                .iter()
                .map(|column| (column.estimator.name().to_owned(), summary(column)))
                .collect();
            return print_json(&json!({
                "data": images.name, "images": images.len(), "estimators": estimators,
                "images_not_finite": not_finite, "negative_eigenvalues": negative,
                "images_unresolved": unresolved, "largest_inverse_error": worst,
                "out": self.out.display().to_string(),
            }));
        }
        if common.quiet {
            return Ok(());
        }
        let lines: Vec<report::LidSummary> = surveyed.columns.iter().map(line).collect();
        print(report::lid_summary(&lines).trim_end())?;
        let chosen = surveyed.columns.iter().find_map(|column| column.scale?.dimension);
        if let Some(dimension) = chosen {
            let whence = match self.dimension {
                Some(_) => "--dimension",
                None => "LPCA of the calibration images",
            };
            print(format_args!(
                "scale: where the mean LID of the calibration images is {dimension} ({whence})"
            ))?;
        }
        if not_finite > 0 {
            print(format_args!(
                "{not_finite} of {} images have NaN or infinite entries in their Jacobian: their LID is NaN (column not_finite_entries)",
                images.len()
            ))?;
        }
        if unresolved > 0 {
            print(format_args!(
                "{unresolved} of {} images do not resolve the scale in f32: there LID reads rounding (column unresolved)",
                images.len()
            ))?;
        }
        for column in &surveyed.columns {
            let short =
                column.matrix_free.iter().flatten().flatten().filter(|m| !m.converged).count();
            if short > 0 {
                print(format_args!(
                    "{short} of {} images stopped short of the tolerance (column matrix_free_converged); raise --tolerance, --max-steps, --max-probes or the scale",
                    images.len()
                ))?;
            }
        }
        if let Some(worst) = worst {
            let ranges = images.ends()?.into_iter().map(|[low, high]| f64::from(high - low));
            let range = ranges.fold(0.0, largest);
            if worst.is_nan() || worst > INVERSE * range {
                print(format_args!(
                    "the model does not invert some images: they come back from the latent up to {worst:.3} away, where values range over {range} (column inverse_error)"
                ))?;
            }
        }
        let beside = if with_figure {
            format!("\nfigure: {}", figure_path(&self.out).display())
        } else {
            String::new()
        };
        print(format_args!("\nLID:    {}{beside}", self.out.display()))
    }
}

/// Say on Ctrl-C that nothing is lost.
fn say_on_interrupt() {
    // Without the handler Ctrl-C ends the program all the same.
    let _ = ctrlc::set_handler(|| {
        eprintln!("stopped; the same command goes on where it was");
        std::process::exit(130);
    });
}

/// Errors of the inverse, in parts of the range of x, above which it is worth a line: of pixels a quarter of a grey level.
const INVERSE: f64 = 1e-3;

/// What the columns mean; it goes into the file where its format has a place.
const CONVENTION: &str = "local intrinsic dimension, in dimensions, by estimator; NaN where the Jacobian has entries that are not finite";

/// One estimator in the table.
fn line(column: &Column) -> report::LidSummary<'_> {
    let errors = column.matrix_free.as_ref().map(|rows| {
        let errors: Vec<f64> = rows.iter().flatten().filter_map(|m| m.standard_error).collect();
        (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()
    });
    report::LidSummary {
        estimator: column.estimator.name(),
        scale: column.scale.map(|c| c.r),
        lid: &column.lid,
        standard_error: errors,
        seconds_per_image: column.seconds_per_image,
    }
}

/// One estimator in JSON.
fn summary(column: &Column) -> serde_json::Value {
    let finite: Vec<f64> = column.lid.iter().copied().filter(|v| v.is_finite()).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    let free = column.matrix_free.as_ref();
    let per_image = |f: fn(&crate::ood::MatrixFreeColumns) -> f64| {
        free.map(|rows| {
            rows.iter().flatten().map(f).sum::<f64>() / rows.iter().flatten().count() as f64
        })
    };
    json!({
        "scale": column.scale.map(|c| c.r), "calibrated_to": column.scale.and_then(|c| c.dimension),
        "mean": mean, "seconds_per_image": column.seconds_per_image,
        "mean_products": per_image(|m| m.products as f64), "mean_probes": per_image(|m| m.probes as f64),
        "mean_standard_error": per_image(|m| m.standard_error.unwrap_or(f64::NAN)),
        "not_converged": free.map(|rows| rows.iter().flatten().filter(|m| !m.converged).count()),
    })
}

/// One row an image.
fn table(
    images: &Images,
    surveyed: &Surveyed,
    inverse_error: Option<&[f64]>,
) -> Result<ScoreTable, CliError> {
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    for column in &surveyed.columns {
        let name = column.estimator.name();
        columns.push((name.to_owned(), column.lid.clone()));
        if let Some(rows) = &column.matrix_free {
            let of = |f: fn(&crate::ood::MatrixFreeColumns) -> f64| {
                rows.iter().map(|row| row.as_ref().map_or(f64::NAN, f)).collect()
            };
            columns.extend([
                (format!("{name}_standard_error"), of(|m| m.standard_error.unwrap_or(f64::NAN))),
                (
                    format!("{name}_quadrature_error"),
                    of(|m| m.quadrature_error.unwrap_or(f64::NAN)),
                ),
                (format!("{name}_low"), of(|m| m.low.unwrap_or(f64::NAN))),
                (format!("{name}_high"), of(|m| m.high.unwrap_or(f64::NAN))),
                (format!("{name}_products"), of(|m| m.products as f64)),
                (format!("{name}_converged"), of(|m| f64::from(u8::from(m.converged)))),
            ]);
        }
    }
    if let Some(errors) = inverse_error {
        let trouble = &surveyed.trouble;
        columns.extend([
            ("not_finite_entries".into(), trouble.iter().map(|t| t.not_finite as f64).collect()),
            (
                "no_convergence".into(),
                trouble.iter().map(|t| f64::from(u8::from(t.no_convergence))).collect(),
            ),
            ("negative_eigenvalues".into(), trouble.iter().map(|t| t.negative as f64).collect()),
            (
                "unresolved".into(),
                trouble.iter().map(|t| f64::from(u8::from(t.unresolved))).collect(),
            ),
            ("inverse_error".into(), errors.to_vec()),
        ]);
    }
    let columns: Vec<(&str, &[f64])> =
        columns.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
    let mut table = ScoreTable::default();
    table.extend("", &images.name, "", &columns).map_err(crate::ood::OodError::from)?;
    table.name_files(images.files.as_deref());
    Ok(table)
}

fn folder(out: &Path) -> &Path {
    out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn figure_name(out: &Path) -> String {
    let stem = out.file_stem().map_or("lid".into(), |s| s.to_string_lossy().into_owned());
    format!("{stem}_scale")
}

fn figure_path(out: &Path) -> PathBuf {
    folder(out).join(format!("{}.svg", figure_name(out)))
}

/// LID against the scale, by estimator.
fn figure(out: &Path, images: &Images, surveyed: &Surveyed) -> Option<report::Figure> {
    let scales = scale::shown();
    let bands: Vec<(&str, Vec<[f64; 3]>)> = surveyed
        .columns
        .iter()
        .filter(|column| column.scale.is_some() && !column.curves.is_empty())
        .map(|column| {
            let at = |i: usize| column.curves.iter().map(|curve| curve[i]).collect();
            let bands = (0..scales.len()).map(|i| report::band(at(i))).collect();
            (column.estimator.name(), bands)
        })
        .collect();
    let chosen: Vec<(&str, f64)> = surveyed
        .columns
        .iter()
        .filter_map(|column| Some((column.estimator.name(), column.scale?.r)))
        .collect();
    (!bands.is_empty()).then(|| {
        report::lid_curve(
            &figure_name(out),
            format!("LID of {} against the scale at which it is read: the mean over images, with the band of their middle 80 %.", images.name),
            &scales,
            &bands,
            &chosen,
            images.dimension(),
        )
    })
}
