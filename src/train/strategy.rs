//! The training loop.

use super::{
    FusedAdamW, TrainError,
    checkpoint::{self, State},
    descent::{Descent, Seen},
    loader::Loader,
    metric::{BatchLoss, Told, progress},
    samples::{DENSITY_SIDE, density_picture, draw, reconstructions_png},
    schedule::Schedule,
    trainee::{Trainee, is_vector, number},
    weights,
};
use crate::{
    config::{Measure, TrainConfig},
    data::{Images, Noise},
    eval::generation::{self, Quality},
    progress::{Progress, Verbosity},
    report,
    run::{RunDir, RunError, write_atomic},
    track::{self, Live},
};
use atypical_models::{Ability, DensityModel, FlowBackend, LatentModel, Model};
use burn::{
    module::{AutodiffModule, Module},
    optim::adaptor::OptimizerAdaptor,
    tensor::backend::{AutodiffBackend, Backend},
    train::{
        EventProcessorTraining, InferenceStep, Learner, LearnerEvent, LearningComponentsMarker,
        SupervisedLearningStrategy, SupervisedTrainingEventProcessor, TrainLoader,
        TrainingComponents, TrainingItem, ValidLoader,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

/// What a training came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps done.
    pub steps: usize,
    /// Whole epochs done.
    pub epochs: usize,
    /// Validation loss of the best epoch, in nats where it is a likelihood; none before the first validation.
    pub best_loss: Option<f64>,
    /// The same in bits per dimension, where it is a likelihood.
    pub best_bits_per_dimension: Option<f64>,
    /// Validation error of reconstruction of the best epoch, where epochs are compared by it.
    #[serde(default)]
    pub best_reconstruction: Option<f64>,
    /// The best epoch.
    pub best_epoch: usize,
    /// Seconds of training, over all legs.
    pub seconds: f64,
    /// Why it ended before its last step; none if it did not.
    pub interrupted: Option<String>,
}

impl Outcome {
    /// What a training that has ended came to, where it has said so.
    pub fn read(run: &RunDir) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(run.outcome()).ok()?).ok()
    }

    /// Say it.
    pub(super) fn write(&self, run: &RunDir) -> Result<(), RunError> {
        write_atomic(&run.outcome(), &serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What progress of a training of one step is said of.
pub const TRAINING: &str = "training";
/// ... of the first step of a two-step model.
pub const FIRST_STEP: &str = "first step";
/// ... of its second.
pub const SECOND_STEP: &str = "second step";

/// The loop, and what it needs besides what burn-train hands it.
pub struct Strategy<B: AutodiffBackend + FlowBackend>
where
    B::InnerBackend: FlowBackend,
{
    /// What progress is said of.
    what: &'static str,
    config: TrainConfig,
    run: RunDir,
    train: Arc<Loader<B>>,
    valid: Arc<Loader<B::InnerBackend>>,
    schedule: Schedule,
    verbosity: Verbosity,
    start: Mutex<Option<(Descent<B>, State)>>,
    live: Arc<Live>,
    /// What there is to be said of the model after the last epoch.
    complaint: Mutex<Option<String>>,
    result: Mutex<Result<Outcome, TrainError>>,
}

/// Seed of one step's dropout.
fn step_seed(seed: u64, step: usize) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(step as u64 + 1)
}

/// Validation images that a look at the model takes after each epoch.
const LOOK: usize = 128;

/// Seed of the samples that are compared with validation images.
const QUALITY: u64 = 0x7175_616c;

/// Seed of the dequantisation noise on validation images.
const VALIDATION: u64 = 0x7661_6c69;

impl<B> Strategy<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    pub fn new(
        (what, live): (&'static str, Arc<Live>),
        config: TrainConfig,
        run: RunDir,
        (train, valid): (Arc<Loader<B>>, Arc<Loader<B::InnerBackend>>),
        schedule: Schedule,
        verbosity: Verbosity,
        start: (Descent<B>, State),
    ) -> Self {
        let result = Mutex::new(Err(TrainError::NoResult("it did not start".into())));
        let start = Mutex::new(Some(start));
        let complaint = Mutex::new(None);
        Self {
            what,
            config,
            run,
            train,
            valid,
            schedule,
            verbosity,
            start,
            live,
            complaint,
            result,
        }
    }

    /// What there is to be said of the trained model and nobody has heard yet, because no progress is shown.
    pub fn unheard(&self) -> Option<String> {
        let complaint = self.complaint.lock().ok().and_then(|mut complaint| complaint.take());
        complaint.filter(|_| self.verbosity == Verbosity::Quiet)
    }

    /// What the training came to, once.
    pub fn outcome(&self) -> Result<Outcome, TrainError> {
        let nothing = || Err(TrainError::NoResult("its thread failed".into()));
        match self.result.lock() {
            Ok(mut result) => std::mem::replace(&mut *result, nothing()),
            Err(_) => nothing(),
        }
    }

    /// What names of measures begin with in trackers: nothing, or the step of a two-step model.
    fn prefix(&self) -> String {
        if self.what == TRAINING { String::new() } else { format!("{}/", self.what) }
    }

    fn noise(&self, epoch: usize) -> Noise {
        match self.config.data.dequantize {
            true => Noise::Training { seed: self.config.seed, epoch: epoch as u64 },
            false => Noise::Off,
        }
    }

    fn validation_noise(&self) -> Noise {
        Noise::evaluation(self.config.data.dequantize, VALIDATION)
    }

    /// Mean validation loss; dropout is off on the inner backend.
    fn validate(
        &self,
        model: &Trainee<B::InnerBackend>,
        mut each: impl FnMut(BatchLoss, usize),
    ) -> Result<f64, TrainError> {
        let (mut sum, mut count) = (0.0, 0);
        for batch in self.valid.batches(self.validation_noise())? {
            let loss = model.step(batch?);
            sum += loss.loss * loss.size as f64;
            count += loss.size;
            each(loss, count);
        }
        Ok(sum / count as f64)
    }

    /// Mean over validation images of `‖x - decode(encode(x))‖²`.
    fn reconstruction_error(&self, model: &Model<B::InnerBackend>) -> Result<f64, TrainError> {
        let mut sum = 0.0;
        for batch in self.valid.batches(self.validation_noise())? {
            let x = batch?;
            let difference = model.decode(model.encode(x.clone())) - x;
            sum += number(difference.square().sum());
        }
        Ok(sum / self.valid.len() as f64)
    }

    /// How much samples are like validation images; said, and nothing where it cannot be had: a training goes on without.
    fn quality(
        &self,
        model: &Model<B::InnerBackend>,
        epoch: usize,
        device: &B::Device,
        bar: &Progress,
    ) -> Option<Quality> {
        if model.lacks(Ability::Samples).is_some() {
            return None;
        }
        let count = self.config.samples.quality.min(self.valid.len());
        let seed = step_seed(self.config.seed ^ QUALITY, epoch);
        <B::InnerBackend as Backend>::seed(device, seed);
        let samples = draw(model, count, device);
        let real = self.valid.images().draw(count, self.config.seed);
        let name = "samples".to_owned();
        let generated = match is_vector(model.shape()) {
            true => Images::of_vectors(name, model.dimension(), &samples, None),
            false => {
                let (pixels, broken) = report::to_pixels(&samples);
                if broken > 0 {
                    bar.say(&format!(
                        "no quality: {broken} values of the samples are NaN or infinite"
                    ));
                    return None;
                }
                Images::of_pixels(name, model.shape(), pixels, None)
            }
        };
        match generation::quality(&generated, &real, self.config.seed) {
            Ok(quality) => {
                bar.say(&format!(
                    "epoch {epoch}: of {count} samples kernel distance {:.4}{}, precision {:.3}, recall {:.3}, density {:.3}, coverage {:.3}",
                    quality.kernel_distance.pixels.value,
                    quality
                        .kernel_distance
                        .features
                        .map_or(String::new(), |d| format!(" (features {:.4})", d.value)),
                    quality.precision, quality.recall, quality.density, quality.coverage
                ));
                Some(quality)
            }
            Err(problem) => {
                bar.say(&format!("no quality: {problem}"));
                None
            }
        }
    }

    fn draw_samples(
        &self,
        model: &Model<B::InnerBackend>,
        epoch: usize,
        device: &B::Device,
        bar: &Progress,
    ) -> Result<(), TrainError> {
        <B::InnerBackend as Backend>::seed(device, step_seed(self.config.seed ^ VALIDATION, epoch));
        if is_vector(model.shape()) {
            // Of points in the plane the density itself can be seen; of longer vectors there is nothing to look at.
            let seen = model.dimension() == 2 && model.lacks(Ability::Density).is_none();
            if seen && model.lacks(Ability::Samples).is_none() {
                let picture = density_picture(model, device);
                let shape = [1, DENSITY_SIDE, DENSITY_SIDE];
                write_atomic(&self.run.samples(epoch), &report::grid_png(&picture, shape))?;
            }
            return Ok(());
        }
        if model.lacks(Ability::Reconstructions).is_none() {
            let shown = self.config.samples.count.min(self.valid.len()) / 2;
            let x = self.valid.first(shown.max(1), Noise::Off)?;
            let (png, broken) = reconstructions_png(model, x, model.shape());
            if broken > 0 {
                bar.say(&format!(
                    "{broken} values of the reconstructions are NaN or infinite; they are black"
                ));
            }
            write_atomic(&self.run.reconstructions(epoch), &png)?;
        }
        if model.lacks(Ability::Samples).is_some() {
            return Ok(());
        }
        let (pixels, broken) = report::to_pixels(&draw(model, self.config.samples.count, device));
        if broken > 0 {
            bar.say(&format!("{broken} values of the samples are NaN or infinite; they are black"));
        }
        let png = report::grid_png(&pixels, model.shape());
        write_atomic(&self.run.samples(epoch), &png)?;
        Ok(())
    }
}

/// The learner's types for burn-train, with a constant learning rate: schedule and steps are the strategy's own.
pub type Learning<B> =
    LearningComponentsMarker<B, f64, Trainee<B>, OptimizerAdaptor<FusedAdamW, Trainee<B>, B>>;

impl<B> SupervisedLearningStrategy<Learning<B>> for Strategy<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn fit(
        &self,
        components: TrainingComponents<Learning<B>>,
        learner: Learner<Learning<B>>,
        _train: TrainLoader<Learning<B>>,
        _valid: ValidLoader<Learning<B>>,
        _starting_epoch: usize,
    ) -> (Trainee<B>, SupervisedTrainingEventProcessor<Learning<B>>) {
        let start = self.start.lock().ok().and_then(|mut start| start.take());
        let Some((descent, state)) = start else {
            return (learner.model(), components.event_processor);
        };
        // It shares the weights, which are to have one owner.
        drop(learner);
        let saved = state.step;
        let mut leg = Leg { strategy: self, components, descent, saved };
        let result = leg.run(state);
        if let Ok(mut slot) = self.result.lock() {
            *slot = result;
        }
        (leg.descent.trainee().clone(), leg.components.event_processor)
    }
}

/// One stretch of training, from a start or a resume to an end or an interruption.
struct Leg<'a, B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    strategy: &'a Strategy<B>,
    /// What burn-train hands over; of it only the display and the interrupter are used.
    components: TrainingComponents<Learning<B>>,
    descent: Descent<B>,
    /// Step of the last checkpoint.
    saved: usize,
}

impl<B> Leg<'_, B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn run(&mut self, mut state: State) -> Result<Outcome, TrainError> {
        let this = self.strategy;
        let config = &this.config;
        let device = self.descent.trainee().devices()[0].clone();
        let before = state.seconds;
        let start = Instant::now();
        let steps_per_epoch = this.train.steps();
        let total = this.schedule.total();
        let mut bar = Progress::new(this.verbosity, this.what, total.saturating_sub(state.step));
        let mut interrupted = None;

        'epochs: while state.step < total && interrupted.is_none() {
            let epoch = state.step / steps_per_epoch;
            if self.is_over(&state, epoch) {
                bar.say(&format!(
                    "stopped early: epoch {} is the best, and none of the {} since is better",
                    state.best_epoch,
                    epoch - state.best_epoch
                ));
                break;
            }
            let overall = progress(epoch + 1, config.epochs);
            let end = ((epoch + 1) * steps_per_epoch).min(total);
            let begin = epoch * steps_per_epoch;
            let steps = state.step - begin..end - begin;
            let batches = this.train.training_batches(
                [config.seed, epoch as u64],
                steps.clone(),
                this.noise(epoch),
            )?;
            for (within, batch) in steps.zip(batches) {
                if within == 0 {
                    state.epoch_loss = 0.0;
                }
                B::seed(&device, step_seed(config.seed, state.step));
                let lr = this.schedule.rate(state.step);
                let Seen { loss, norm } = self.descent.step(batch?, lr);
                for (what, value) in [("the loss", loss.loss), ("the gradient's norm", norm)] {
                    if !value.is_finite() {
                        return Err(self.diverged(what, value, state.step + 1, epoch + 1));
                    }
                }
                state.step += 1;
                state.epoch_loss += loss.loss;
                bar.advance(1, &format!("epoch {}, {}", epoch + 1, loss.told.text(loss.loss)));
                let items = progress(within + 1, steps_per_epoch);
                let item =
                    TrainingItem::new(loss, items, overall.clone(), Some(state.step), Some(lr));
                self.components.event_processor.process_train(LearnerEvent::ProcessedItem(item));

                let stop = self.components.interrupter.should_stop();
                if stop {
                    let reason = self.components.interrupter.get_message();
                    interrupted = Some(reason.unwrap_or_else(|| "interrupted".into()));
                }
                // The last step of an epoch is saved after its validation only: no resume can miss that.
                let due = stop || state.step.is_multiple_of(config.checkpoint_steps);
                if due && state.step < end {
                    state.seconds = before + start.elapsed().as_secs_f64();
                    self.save(&state)?;
                }
                if stop && state.step < end {
                    break 'epochs;
                }
            }
            self.components.event_processor.process_train(LearnerEvent::EndEpoch(epoch + 1));
            state.seconds = before + start.elapsed().as_secs_f64();
            self.end_epoch(&mut state, epoch + 1, &device, &bar)?;
        }

        let told = Told::of(&self.descent.trainee().model);
        bar.finish(&match (state.best_reconstruction, state.best_loss) {
            (Some(error), _) => format!("best reconstruction error {error:.4}"),
            (None, Some(loss)) => format!("best {}", told.text(loss)),
            (None, None) => String::new(),
        });
        Ok(Outcome {
            steps: state.step,
            epochs: state.step / steps_per_epoch,
            best_loss: state.best_loss,
            best_bits_per_dimension: state.best_loss.and_then(|loss| told.bits(loss)),
            best_reconstruction: state.best_reconstruction,
            best_epoch: state.best_epoch,
            seconds: before + start.elapsed().as_secs_f64(),
            interrupted,
        })
    }

    /// Validate, keep the best, log, draw, save.
    fn end_epoch(
        &mut self,
        state: &mut State,
        epoch: usize,
        device: &B::Device,
        bar: &Progress,
    ) -> Result<(), TrainError> {
        let this = self.strategy;
        let model = self.descent.trainee().valid();
        let overall = progress(epoch, this.config.epochs);
        let processor = &mut self.components.event_processor;
        let loss = this.validate(&model, |loss, done| {
            let items = progress(done, this.valid.len());
            let item = TrainingItem::new(loss, items, overall.clone(), None, None);
            processor.process_valid(LearnerEvent::ProcessedItem(item));
        })?;
        let every = this.config.samples.every;
        let drawn = every > 0 && epoch.is_multiple_of(every);
        let quality = match drawn && this.config.samples.quality > 0 {
            true => this.quality(&model.model, epoch, device, bar),
            false => None,
        };
        if quality.is_some() {
            // Without weight: the mean loss is that of the batches.
            let item = BatchLoss { loss, size: 0, told: Told::of(&model.model), quality };
            let items = progress(this.valid.len(), this.valid.len());
            let item = TrainingItem::new(item, items, overall.clone(), None, None);
            processor.process_valid(LearnerEvent::ProcessedItem(item));
        }
        processor.process_valid(LearnerEvent::EndEpoch(epoch));
        if !loss.is_finite() {
            return Err(self.diverged("the validation loss", loss, state.step, epoch));
        }
        self.check_weights(state)?;
        let complaint = model.model.complaint(this.valid.first(LOOK, this.noise(epoch))?);
        if let Some(complaint) = &complaint {
            bar.say(&format!("warning: {complaint}"));
        }
        let steps = state.step - (epoch - 1) * this.train.steps();
        let train_loss = state.epoch_loss / steps as f64;
        state.valid_loss = Some(loss);
        let reconstruction = match this.config.early_stopping.measure {
            Measure::Reconstruction => Some(this.reconstruction_error(&model.model)?),
            Measure::Loss => None,
        };
        if let Some(error) = reconstruction.filter(|error| !error.is_finite()) {
            return Err(self.diverged("the reconstruction error", error, state.step, epoch));
        }
        let better = match reconstruction {
            Some(error) => state.best_reconstruction.is_none_or(|best| error < best),
            None => !model.model.is_ranked() || state.best_loss.is_none_or(|best| loss < best),
        };
        if better {
            (state.best_loss, state.best_epoch) = (Some(loss), epoch);
            state.best_reconstruction = reconstruction;
            write_atomic(&this.run.best_model(), &weights::to_bytes(&model.model)?)?;
        }
        let told = Told::of(&model.model);
        bar.say(&format!(
            "{}epoch {epoch}/{}: {} on training, {} on validation data{}",
            if this.what == TRAINING { String::new() } else { format!("{}, ", this.what) },
            this.config.epochs,
            told.text(train_loss),
            told.text(loss),
            reconstruction.map_or(String::new(), |e| format!(", reconstruction error {e:.4}"))
        ));
        let mut line = serde_json::json!({
            "epoch": epoch, "step": state.step, "lr": this.schedule.rate(state.step - 1),
            "train_loss": train_loss, "valid_loss": loss, "seconds": state.seconds,
        });
        for (key, loss) in
            [("train_bits_per_dimension", train_loss), ("valid_bits_per_dimension", loss)]
        {
            if let Some(bits) = told.bits(loss) {
                line[key] = bits.into();
            }
        }
        if let Some(error) = reconstruction {
            line[track::RECONSTRUCTION] = error.into();
        }
        if let Some(quality) = quality {
            line["quality"] = serde_json::to_value(quality).unwrap_or_default();
        }
        if let Some(complaint) = &complaint {
            line["warning"] = complaint.as_str().into();
        }
        if let Ok(mut last) = this.complaint.lock() {
            *last = complaint;
        }
        log_line(&this.run.metrics_log(), epoch, &line)?;
        this.live.log(state.step, &this.prefix(), &line);
        if drawn {
            this.draw_samples(&model.model, epoch, device, bar)?;
            let pictures = [
                ("samples", this.run.samples(epoch)),
                ("reconstructions", this.run.reconstructions(epoch)),
            ];
            for (name, path) in pictures {
                if let Ok(png) = std::fs::read(path) {
                    this.live.image(state.step, &format!("{}{name}", this.prefix()), &png);
                }
            }
        }
        self.save(state)
    }

    /// Whether early stopping ends the run after `epoch` epochs. From the best epoch alone, so that a resume may change the
    /// patience.
    fn is_over(&self, state: &State, epoch: usize) -> bool {
        let patience = self.strategy.config.early_stopping.patience;
        state.best_loss.is_some() && patience.is_some_and(|p| epoch >= state.best_epoch + p)
    }

    fn diverged(&self, what: &'static str, value: f64, step: usize, epoch: usize) -> TrainError {
        let training = self.strategy.what;
        let second = training == SECOND_STEP;
        let kept = match self.saved {
            0 if second => "The first step is whole: --resume goes on behind it, with any `model.second` and `model.second_training`".to_owned(),
            0 => "There is no checkpoint yet, and the run's name is free again".to_owned(),
            saved => format!("The last checkpoint is of step {saved}"),
        };
        let keys = if second { "model.second_training." } else { "" };
        TrainError::Diverged { training, what, value, step, epoch, kept, keys }
    }

    /// Refuse to keep weights that nothing can be resumed from.
    fn check_weights(&self, state: &State) -> Result<(), TrainError> {
        let largest = self.descent.largest_weight();
        if largest.is_finite() {
            return Ok(());
        }
        let epoch = state.step.div_ceil(self.strategy.train.steps());
        Err(self.diverged("a weight", largest, state.step, epoch))
    }

    /// Write a checkpoint and the latest weights.
    fn save(&mut self, state: &State) -> Result<(), TrainError> {
        self.check_weights(state)?;
        let checkpoint = checkpoint::of(&self.descent, state)?;
        self.strategy.run.checkpoints().save(state.step, &checkpoint)?;
        if let Some(model) = checkpoint.files.get(checkpoint::MODEL) {
            write_atomic(&self.strategy.run.latest_model(), model)?;
        }
        self.saved = state.step;
        Ok(())
    }
}

/// Append an epoch's line; lines of this epoch or later, left by a leg that was killed, and a torn last line go.
fn log_line(path: &Path, epoch: usize, line: &serde_json::Value) -> Result<(), TrainError> {
    let mut text = String::new();
    for old in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let value: Result<serde_json::Value, _> = serde_json::from_str(old);
        if value.is_ok_and(|v| v["epoch"].as_u64().is_some_and(|e| (e as usize) < epoch)) {
            text.push_str(old);
            text.push('\n');
        }
    }
    text.push_str(&line.to_string());
    text.push('\n');
    write_atomic(path, text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_forgets_what_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        for epoch in [1, 2, 3] {
            log_line(&path, epoch, &serde_json::json!({ "epoch": epoch, "leg": 1 })).unwrap();
        }
        let mut torn = std::fs::read_to_string(&path).unwrap();
        torn.push_str("{\"epo");
        std::fs::write(&path, torn).unwrap();
        log_line(&path, 3, &serde_json::json!({ "epoch": 3, "leg": 2 })).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("{\"epoch\":3,\"leg\":2}\n"));
    }
}
