//! Training, through burn-train's learner.
//!
//! [`train`] puts a strategy of its own into the learner: every step draws its randomness (data order, dequantisation,
//! dropout) from the seed and the step's number alone. A run that is interrupted at any step, by Ctrl-C or by `kill -9`, and
//! resumed from its last checkpoint ends with the same weights as one that was not.

mod adam_w;
mod checkpoint;
mod descent;
mod error;
mod loader;
mod metric;
mod moments;
mod quality;
mod samples;
mod schedule;
mod strategy;
mod trainee;
mod two_step;
mod weights;

pub use adam_w::FusedAdamW;
pub use checkpoint::State;
pub use descent::{Descent, Seen};
pub use error::TrainError;
pub use quality::{QualityMetric, Shown};
pub use samples::{draw, reconstructions_png, walks_png};
pub use strategy::Outcome;
pub use trainee::Trainee;
pub(crate) use trainee::is_vector;
pub(crate) use weights::to_bytes;
pub use weights::{Checksum, load_model, open_damaged_model, open_flow, open_model};

use crate::{
    config::{EarlyStopping, Loaded, Measure, ModelConfig, TrainConfig},
    data::{Corruption, Images, Noise, Spec},
    progress::Verbosity,
    run::{RunDir, write_atomic},
    track::{self, History, Live},
};
use atypical_models::{Ability, FlowBackend, Model};
use burn::{
    optim::adaptor::OptimizerAdaptor,
    tensor::backend::AutodiffBackend,
    train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy},
};
use loader::Loader;
use moments::Moments;
use schedule::Schedule;
use std::{path::Path, sync::Arc};
use strategy::{Learning, Strategy};

/// How a training shows itself. Under the full-screen view there are no progress lines: the terminal is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Display {
    /// Progress lines.
    pub verbosity: Verbosity,
    /// burn-train's full-screen view.
    pub tui: bool,
}

/// Training and validation images of a configuration.
///
/// # Errors
/// Data that cannot be read or has another shape than the model.
pub fn images(config: &TrainConfig, data_dir: &Path) -> Result<(Images, Images), TrainError> {
    let load = |spec: &str| spec.parse::<Spec>()?.load(data_dir);
    let mut train = load(&config.data.train)?;
    if let Some(limit) = config.data.limit {
        train = train.take(limit);
    }
    let (train, valid) = match &config.data.valid {
        Some(spec) => (train, load(spec)?),
        None => train.split(config.data.valid_fraction, config.seed),
    };
    let shape = config.model.shape();
    train.expect_shape(shape)?;
    valid.expect_shape(shape)?;
    if train.len() < config.batch_size {
        return Err(TrainError::TooFewImages {
            images: train.len(),
            batch_size: config.batch_size,
        });
    }
    Ok((train, valid))
}

/// Train a model into `run`; with `resume`, continue from its newest whole checkpoint.
///
/// The run directory gets `config.yaml`, `checkpoints/`, `model/latest.safetensors` and `model/best.safetensors`,
/// `metrics.jsonl` (one line an epoch) and `samples/`; at its end, or where it is interrupted, `outcome.json`, `metrics.parquet` and the learning curve in `figures/`. The steps of a two-step model are runs of their own in the folders `first` and `second`.
///
/// # Errors
/// A model that cannot be built, a checkpoint that does not fit, a loss that diverges, a disk that is full. What was
/// written before stays.
pub fn train<B>(
    loaded: &Loaded<TrainConfig>,
    images: (Images, Images),
    run: &RunDir,
    resume: bool,
    device: &B::Device,
    display: Display,
    interrupter: Interrupter,
) -> Result<Outcome, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let _lock = run.lock()?;
    // Until it ends again, nothing is known of its end.
    let _ = std::fs::remove_file(run.outcome());
    let name = run.name();
    let settings = serde_json::to_value(&loaded.config).unwrap_or_default();
    let live = Live::start(
        &loaded.config.track,
        run,
        loaded.config.run.as_deref().unwrap_or(&name),
        settings,
    )?;
    let live = Arc::new(live);
    let how = How { device, display, interrupter, live: live.clone() };
    let trained = match &loaded.config.model {
        ModelConfig::TwoStep(two_step) => {
            two_step::train::<B>(loaded, two_step, images, run, resume, &how)
        }
        _ => one::<B>(strategy::TRAINING, loaded, images, run, resume, &how),
    };
    let outcome = match trained {
        Ok(outcome) => outcome,
        Err(error) => {
            live.finish(track::Outcome::Failed);
            run.remove_if_empty();
            return Err(error);
        }
    };
    outcome.write(run)?;
    let history = History::read(run)?;
    history.write(run)?;
    if let Some(best) = history.criterion().and_then(|name| Some((name, history.lowest(name)?))) {
        let best = [
            (format!("best_{}", best.0), best.1.value),
            ("best_epoch".into(), best.1.epoch as f64),
        ];
        live.summary(outcome.steps, best.into());
    }
    live.file(&run.config());
    live.finish(match outcome.interrupted {
        None => track::Outcome::Done,
        Some(_) => track::Outcome::Preempted,
    });
    Ok(outcome)
}

/// Images that are looked at in one pass before the training: bounds the memory.
const BATCH: usize = 1024;

/// Give a flow's whitening step, where there is one, the moments of all training images.
fn whiten<B: FlowBackend>(
    model: &mut Model<B>,
    images: &Images,
    noise: Noise,
    corruption: Corruption,
    device: &B::Device,
) -> Result<(), TrainError> {
    let Some(flow) = model.as_flow().filter(|flow| flow.whitens()) else { return Ok(()) };
    let mut moments = Moments::new(images.dimension());
    let all: Vec<usize> = (0..images.len()).collect();
    for index in all.chunks(BATCH) {
        let x = loader::batch(images, index, (noise, corruption), device)?;
        let seen = flow.before_whitening(x);
        moments.add(&seen.into_data().iter::<f32>().collect::<Vec<_>>());
    }
    let (standards, constant) = moments.standards();
    if constant > 0 {
        eprintln!(
            "warning: {constant} of the {} values of an input are constant over the training data; whiten only centres them",
            images.dimension()
        );
    }
    model.whiten(standards);
    Ok(())
}

/// What a training needs besides its settings and its data.
struct How<'a, B: AutodiffBackend> {
    device: &'a B::Device,
    display: Display,
    interrupter: Interrupter,
    live: Arc<Live>,
}

/// Train a model of one step; `what` says which training it is.
fn one<B>(
    what: &'static str,
    loaded: &Loaded<TrainConfig>,
    (train, valid): (Images, Images),
    run: &RunDir,
    resume: bool,
    how: &How<B>,
) -> Result<Outcome, TrainError>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    let &How { device, display, ref interrupter, ref live } = how;
    let config = &loaded.config;
    let mut model = config.model.build::<B>(config.seed, device)?;
    if model.as_flow().is_some_and(|flow| !flow.learns()) {
        return Err(TrainError::NoParameters);
    }
    if model.as_flow().is_some_and(|flow| flow.begins_with_logit()) {
        for images in [&train, &valid] {
            if let Some(dimension) = images.outside_of_unit()? {
                return Err(TrainError::OutsideLogit { set: images.name.clone(), dimension });
            }
        }
    }
    if let (true, Some(why)) = (config.samples.quality > 0, model.lacks(Ability::Samples)) {
        eprintln!("warning: samples.quality compares samples with images: {why}");
    }
    let EarlyStopping { patience, measure } = config.early_stopping;
    if patience.is_some() && measure == Measure::Loss && !model.is_ranked() {
        let problem = "a lower objective of it is no better model";
        let way_out = match model.lacks(Ability::Reconstructions) {
            None => "; early_stopping.measure: reconstruction does",
            Some(_) => "",
        };
        eprintln!(
            "warning: early_stopping.patience stops no training of this model: {problem}{way_out}"
        );
    }
    let noise = |epoch| match config.data.dequantize {
        true => Noise::Training { seed: config.seed, epoch },
        false => Noise::Off,
    };
    if !resume {
        whiten(&mut model, &train, noise(0), config.data.corruption(), device)?;
        // ActNorm starts from the first batch.
        let order = crate::data::epoch_order(train.len(), config.seed, 0);
        let seen = (noise(0), config.data.corruption());
        let x = loader::batch(&train, &order[..config.batch_size], seen, device)?;
        if let Some(complaint) = model.initialize(x) {
            eprintln!("warning: {complaint}");
        }
    }

    let steps_per_epoch = train.len() / config.batch_size;
    let total = (config.epochs * steps_per_epoch).min(config.max_steps.unwrap_or(usize::MAX));
    let schedule =
        Schedule::new(config.optimizer.lr(), config.scheduler.clone(), steps_per_epoch, total);

    let told = metric::Told::of(&model);
    let train = Arc::new(Loader::<B>::new(
        Arc::new(train),
        config.batch_size,
        config.data.corruption(),
        device.clone(),
    ));
    let valid = Arc::new(Loader::<B::InnerBackend>::new(
        Arc::new(valid),
        config.batch_size,
        config.data.corruption(),
        device.clone(),
    ));
    let mut descent = Descent::new(model, &config.optimizer, config.clip_grad_norm);
    let state = match resume {
        true => checkpoint::latest(run, &mut descent, device)?,
        false => State::default(),
    };
    write_atomic(&run.config(), loaded.yaml()?.as_bytes())?;

    // What burn-train wants to hand back to the strategy, which steps by itself.
    let learner = Learner::new(
        descent.trainee().clone(),
        OptimizerAdaptor::from(FusedAdamW::of(&config.optimizer)),
        config.optimizer.lr(),
    );
    let strategy = Arc::new(Strategy::new(
        (what, live.clone()),
        config.clone(),
        run.clone(),
        (train.clone(), valid.clone()),
        schedule,
        if display.tui { Verbosity::Quiet } else { display.verbosity },
        (descent, state),
    ));
    let training = SupervisedTraining::<Learning<B>>::new(run.root(), train, valid)
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()))
        .with_application_logger(None)
        .with_metric_logger(metric::NoLogger)
        .metrics((metric::Loss::new(told),))
        .num_epochs(config.epochs)
        .with_interrupter(interrupter.clone());
    let vectors = is_vector(config.model.shape());
    let shown = Shown::ALL.into_iter().filter(|shown| {
        config.samples.quality > 0 && !(vectors && *shown == Shown::FeatureDistance)
    });
    let training = shown
        .fold(training, |training, shown| training.metric_valid_numeric(QualityMetric::new(shown)));
    let training = match display.tui {
        true => training.renderer(burn::train::renderer::tui::TuiMetricsRendererWrapper::new(
            interrupter.clone(),
            None,
        )),
        false => training.renderer(metric::NoRenderer),
    };
    let _trained = training.launch(learner);
    if let Some(complaint) = strategy.unheard() {
        eprintln!("warning: {complaint}");
    }
    strategy.outcome()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::flow::{Flow, FlowConfig, Layer, Step};
    use burn::{
        backend::Flex,
        tensor::{Tensor, TensorData},
    };

    /// Every element of the whitened training data has mean 0 and variance 1, whatever the steps before; weights are measured, not learned.
    #[test]
    fn whitening_knows_all_training_images() {
        let device = Default::default();
        let transform: Vec<Step> = serde_json::from_str(
            r#"[{"kind": "logit"}, {"kind": "scale"}, {"kind": "flatten"}, {"kind": "whiten"}]"#,
        )
        .unwrap();
        let config = FlowConfig { shape: [1, 2, 3], transform };
        let mut model: Model<Flex> = Flow::new(&config, 0, &device).unwrap().into();
        // More than one pass.
        let images = Images::random(BATCH + 500, [1, 2, 3], 0);
        let (noise, corruption) = (Noise::Training { seed: 1, epoch: 0 }, Corruption::default());
        whiten(&mut model, &images, noise, corruption, &device).unwrap();
        let all: Vec<usize> = (0..images.len()).collect();
        let x =
            TensorData::new(images.corrupted(&all, noise, corruption).unwrap(), [images.len(), 6]);
        let (z, _) = model.as_flow().unwrap().encode(Tensor::from_data(x, &device));
        let (variance, mean) = z.var_mean(0);
        for (mean, variance) in
            mean.into_data().iter::<f64>().zip(variance.into_data().iter::<f64>())
        {
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 2e-3, "{mean}, {variance}");
        }
        let steps = &model.as_flow().unwrap().levels[0].steps;
        assert!(matches!(steps.last(), Some(Layer::Whiten(_))));
        assert!(!model.as_flow().unwrap().learns());
    }
}
