//! The training loop.

use super::{
    TrainError,
    loader::Loader,
    metric::{BatchLoss, progress},
    restore::{MODEL, ModelPart, Part, Parts},
    samples::draw,
    schedule::Schedule,
    trainee::{Trainee, clip_norm, largest_weight},
    weights,
};
use crate::{
    config::TrainConfig,
    data::Noise,
    progress::{Progress, Verbosity},
    report,
    run::{Checkpoint, RunDir, write_atomic},
};
use atypical_models::{DensityModel, FlowBackend, bits_per_dimension, flow::Flow};
use burn::{
    module::{AutodiffModule, Module},
    optim::Optimizer,
    tensor::backend::{AutodiffBackend, Backend},
    train::{
        EventProcessorTraining, InferenceStep, Learner, LearnerEvent, LearningCheckpointer,
        LearningComponentsMarker, SupervisedLearningStrategy, SupervisedTrainingEventProcessor,
        TrainLoader, TrainingComponents, TrainingItem, ValidLoader,
        checkpoint::{AsyncCheckpointer, CheckpointingAction, CheckpointingStrategy},
        metric::store::EventStoreClient,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

/// Where a training stands; kept in every checkpoint as `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Best validation loss so far, in nats.
    pub best_loss: Option<f64>,
    /// Epoch of the best validation loss, from 1.
    pub best_epoch: usize,
    /// Validation loss after the last whole epoch, in nats.
    pub valid_loss: Option<f64>,
    /// Sum of the training losses of the epoch at hand.
    pub epoch_loss: f64,
    /// Seconds of training, over all legs.
    pub seconds: f64,
}

/// What a training came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Steps done.
    pub steps: usize,
    /// Whole epochs done.
    pub epochs: usize,
    /// Best validation loss, in nats; none before the first validation.
    pub best_loss: Option<f64>,
    /// The same in bits per dimension.
    pub best_bits_per_dimension: Option<f64>,
    /// Epoch of the best validation loss.
    pub best_epoch: usize,
    /// Seconds of training, over all legs.
    pub seconds: f64,
    /// Why it ended before its last step; none if it did not.
    pub interrupted: Option<String>,
}

/// The loop, and what it needs besides what burn-train hands it.
pub struct Strategy<B: AutodiffBackend> {
    config: TrainConfig,
    run: RunDir,
    train: Arc<Loader<B>>,
    valid: Arc<Loader<B::InnerBackend>>,
    total: usize,
    verbosity: Verbosity,
    resume: Option<(usize, Checkpoint)>,
    template: Trainee<B>,
    result: Mutex<Result<Outcome, TrainError>>,
}

/// Save whenever asked.
struct Always;

impl CheckpointingStrategy for Always {
    fn checkpointing(&mut self, _: usize, _: &EventStoreClient) -> Vec<CheckpointingAction> {
        vec![CheckpointingAction::Save]
    }
}

/// Seed of one step's dropout.
fn step_seed(seed: u64, step: usize) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(step as u64 + 1)
}

/// Longest time for one part of a checkpoint to be gathered.
const SAVING: Duration = Duration::from_secs(600);

/// Seed of the dequantisation noise on validation images.
const VALIDATION: u64 = 0x7661_6c69;

impl<B> Strategy<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    pub fn new(
        config: TrainConfig,
        run: RunDir,
        (train, valid): (Arc<Loader<B>>, Arc<Loader<B::InnerBackend>>),
        total: usize,
        verbosity: Verbosity,
        resume: Option<(usize, Checkpoint)>,
        template: Trainee<B>,
    ) -> Self {
        let result = Mutex::new(Err(TrainError::NoResult("it did not start".into())));
        Self { config, run, train, valid, total, verbosity, resume, template, result }
    }

    /// What the training came to, once.
    pub fn outcome(&self) -> Result<Outcome, TrainError> {
        let nothing = || Err(TrainError::NoResult("its thread failed".into()));
        match self.result.lock() {
            Ok(mut result) => std::mem::replace(&mut *result, nothing()),
            Err(_) => nothing(),
        }
    }

    fn noise(&self, epoch: usize) -> Noise {
        match self.config.data.dequantize {
            true => Noise::Training { seed: self.config.seed, epoch: epoch as u64 },
            false => Noise::Off,
        }
    }

    /// Mean validation loss in nats; dropout is off on the inner backend.
    fn validate(
        &self,
        model: &Trainee<B::InnerBackend>,
        mut each: impl FnMut(BatchLoss, usize),
    ) -> Result<f64, TrainError> {
        let noise = match self.config.data.dequantize {
            true => Noise::Evaluation { seed: VALIDATION },
            false => Noise::Off,
        };
        let (mut sum, mut count) = (0.0, 0);
        for batch in self.valid.batches(noise)? {
            let loss = model.step(batch?);
            sum += loss.nats * loss.size as f64;
            count += loss.size;
            each(loss, count);
        }
        Ok(sum / count as f64)
    }

    fn draw_samples(
        &self,
        flow: &Flow<B::InnerBackend>,
        epoch: usize,
        device: &B::Device,
        bar: &Progress,
    ) -> Result<(), TrainError> {
        <B::InnerBackend as Backend>::seed(device, step_seed(self.config.seed ^ VALIDATION, epoch));
        let (pixels, broken) = report::to_pixels(&draw(flow, self.config.samples.count, device));
        if broken > 0 {
            bar.say(&format!("{broken} values of the samples are NaN or infinite; they are black"));
        }
        let png = report::grid_png(&pixels, flow.shape());
        write_atomic(&self.run.samples(epoch), &png)?;
        Ok(())
    }
}

impl<B, O> SupervisedLearningStrategy<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>
    for Strategy<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
    O: Optimizer<Trainee<B>, B> + 'static,
{
    fn fit(
        &self,
        components: TrainingComponents<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
        learner: Learner<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
        _train: TrainLoader<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
        _valid: ValidLoader<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
        _starting_epoch: usize,
    ) -> (
        Trainee<B>,
        SupervisedTrainingEventProcessor<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
    ) {
        let (parts, done) = Parts::new();
        let part = |name| Part { name, parts: parts.clone() };
        let saver = LearningCheckpointer::new(
            AsyncCheckpointer::new(ModelPart {
                template: Mutex::new(self.template.clone()),
                parts: parts.clone(),
            }),
            AsyncCheckpointer::new(part("optimizer.bin")),
            AsyncCheckpointer::new(part("scheduler.bin")),
            Box::new(Always),
        );
        let mut leg = Leg { strategy: self, components, learner, saver, parts, done, saved: 0 };
        let result = leg.run();
        if let Ok(mut slot) = self.result.lock() {
            *slot = result;
        }
        (leg.learner.model(), leg.components.event_processor)
    }
}

/// One stretch of training, from a start or a resume to an end or an interruption.
struct Leg<'a, B, O>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
    O: Optimizer<Trainee<B>, B> + 'static,
{
    strategy: &'a Strategy<B>,
    components: TrainingComponents<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
    learner: Learner<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
    saver: LearningCheckpointer<LearningComponentsMarker<B, Schedule, Trainee<B>, O>>,
    parts: Parts,
    done: mpsc::Receiver<Result<(), String>>,
    saved: usize,
}

impl<B, O> Leg<'_, B, O>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
    O: Optimizer<Trainee<B>, B> + 'static,
{
    fn run(&mut self) -> Result<Outcome, TrainError> {
        let this = self.strategy;
        let config = &this.config;
        let device = self.learner.model().devices()[0].clone();
        let mut state = self.restore(&device)?;
        let before = state.seconds;
        let start = Instant::now();
        let steps_per_epoch = this.train.steps();
        let mut bar =
            Progress::new(this.verbosity, "training", this.total.saturating_sub(state.step));
        let mut interrupted = None;

        'epochs: while state.step < this.total && interrupted.is_none() {
            let epoch = state.step / steps_per_epoch;
            if self.is_over(&state, epoch) {
                break;
            }
            let overall = progress(epoch + 1, config.epochs);
            let end = ((epoch + 1) * steps_per_epoch).min(this.total);
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
                self.learner.lr_step();
                let mut output = self.learner.train_step(batch?);
                let loss = output.item;
                let largest = config.clip_grad_norm.unwrap_or(f64::INFINITY);
                let norm = clip_norm(&self.learner.model(), &mut output.grads, largest);
                for (what, value) in [("the loss", loss.nats), ("the gradient's norm", norm)] {
                    if !value.is_finite() {
                        return Err(self.diverged(what, value, state.step + 1, epoch + 1));
                    }
                }
                self.learner.optimizer_step(output.grads);
                state.step += 1;
                state.epoch_loss += loss.nats;
                bar.advance(1, &format!("epoch {}, {:.3} bits/dim", epoch + 1, loss.bits));
                let items = progress(within + 1, steps_per_epoch);
                let lr = Some(self.learner.lr_current());
                let item = TrainingItem::new(loss, items, overall.clone(), Some(state.step), lr);
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

        let bits = |nats: f64| bits_per_dimension(-nats, this.template.flow.dimension());
        bar.finish(
            &state.best_loss.map_or(String::new(), |l| format!("best {:.3} bits/dim", bits(l))),
        );
        Ok(Outcome {
            steps: state.step,
            epochs: state.step / steps_per_epoch,
            best_loss: state.best_loss,
            best_bits_per_dimension: state.best_loss.map(bits),
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
        let model = self.learner.model().valid();
        let overall = progress(epoch, this.config.epochs);
        let processor = &mut self.components.event_processor;
        let loss = this.validate(&model, |loss, done| {
            let items = progress(done, this.valid.len());
            let item = TrainingItem::new(loss, items, overall.clone(), None, None);
            processor.process_valid(LearnerEvent::ProcessedItem(item));
        })?;
        processor.process_valid(LearnerEvent::EndEpoch(epoch));
        if !loss.is_finite() {
            return Err(self.diverged("the validation loss", loss, state.step, epoch));
        }
        self.check_weights(state)?;
        let steps = state.step - (epoch - 1) * this.train.steps();
        let train_loss = state.epoch_loss / steps as f64;
        state.valid_loss = Some(loss);
        if state.best_loss.is_none_or(|best| loss < best) {
            (state.best_loss, state.best_epoch) = (Some(loss), epoch);
            write_atomic(&this.run.best_model(), &weights::to_bytes(&model.flow)?)?;
        }
        let bits = |nats: f64| bits_per_dimension(-nats, this.template.flow.dimension());
        bar.say(&format!(
            "epoch {epoch}/{}: {:.3} bits/dim on training, {:.3} on validation images",
            this.config.epochs,
            bits(train_loss),
            bits(loss)
        ));
        let line = serde_json::json!({
            "epoch": epoch, "step": state.step, "lr": self.learner.lr_current(),
            "train_loss": train_loss, "train_bits_per_dimension": bits(train_loss),
            "valid_loss": loss, "valid_bits_per_dimension": bits(loss), "seconds": state.seconds,
        });
        log_line(&this.run.metrics_log(), epoch, &line)?;
        let every = this.config.samples.every;
        if every > 0 && epoch.is_multiple_of(every) {
            this.draw_samples(&model.flow, epoch, device, bar)?;
        }
        self.save(state)
    }

    /// Take up a checkpoint.
    fn restore(&mut self, device: &B::Device) -> Result<State, TrainError> {
        let Some((step, checkpoint)) = &self.strategy.resume else { return Ok(State::default()) };
        let path = self.strategy.run.root().join(format!("checkpoints/step-{step:08}"));
        let file = |name: &str| {
            let bytes = checkpoint.files.get(name).cloned();
            bytes.ok_or_else(|| TrainError::NoResult(format!("{} lacks {name}", path.display())))
        };
        // Check here what burn-train would only panic over.
        let mut probe = self.strategy.template.flow.clone();
        weights::from_bytes(&mut probe, file(MODEL)?, &path.join(MODEL))?;
        let state: State = serde_json::from_slice(&file("state.json")?)
            .map_err(|e| TrainError::NoResult(format!("{}/state.json: {e}", path.display())))?;
        if let Ok(mut files) = self.parts.files.lock() {
            files.clone_from(&checkpoint.files);
        }
        self.learner = self.saver.load_checkpoint(self.learner.clone(), device, *step);
        self.saved = *step;
        Ok(state)
    }

    /// Whether early stopping ends the run after `epoch` epochs. From the best epoch alone, so that a resume may change the
    /// patience.
    fn is_over(&self, state: &State, epoch: usize) -> bool {
        let patience = self.strategy.config.early_stopping.patience;
        state.best_loss.is_some() && patience.is_some_and(|p| epoch >= state.best_epoch + p)
    }

    fn diverged(&self, what: &'static str, value: f64, step: usize, epoch: usize) -> TrainError {
        TrainError::Diverged { what, value, step, epoch, saved: self.saved }
    }

    /// Refuse to keep weights that nothing can be resumed from.
    fn check_weights(&self, state: &State) -> Result<(), TrainError> {
        let largest = largest_weight(&self.learner.model());
        if largest.is_finite() {
            return Ok(());
        }
        let epoch = state.step.div_ceil(self.strategy.train.steps());
        Err(self.diverged("a weight", largest, state.step, epoch))
    }

    /// Write a checkpoint and the latest weights.
    fn save(&mut self, state: &State) -> Result<(), TrainError> {
        self.check_weights(state)?;
        let store = self.components.event_store.clone();
        self.saver.checkpoint(&self.learner, state.step, &store);
        for _ in 0..3 {
            // A thread of burn-train that died sends nothing.
            let part = self.done.recv_timeout(SAVING).map_err(|_| {
                TrainError::Optimizer(format!("nothing came within {} s", SAVING.as_secs()))
            })?;
            part.map_err(TrainError::Optimizer)?;
        }
        let mut checkpoint = Checkpoint::default();
        if let Ok(mut files) = self.parts.files.lock() {
            checkpoint.files = std::mem::take(&mut *files);
        }
        let json = serde_json::to_vec_pretty(state).unwrap_or_default();
        checkpoint.files.insert("state.json".into(), json);
        self.strategy.run.checkpoints().save(state.step, &checkpoint)?;
        if let Some(model) = checkpoint.files.get(MODEL) {
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
