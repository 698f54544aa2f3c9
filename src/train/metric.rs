//! What the learner is shown of the loss; and the parts of burn-train that this framework does itself.

use super::trainee::is_vector;
use crate::eval::generation::Quality;
use atypical_models::{Model, bits_per_dimension};
use burn::{
    data::dataloader::Progress,
    tensor::backend::Backend,
    train::{
        ItemLazy,
        logger::MetricLogger,
        metric::{
            Adaptor, Metric, MetricAttributes, MetricDefinition, MetricMetadata, MetricName,
            Numeric, NumericAttributes, NumericEntry, SerializedEntry,
            state::{FormatOptions, NumericMetricState},
            store::{EpochSummary, MetricsUpdate, Split},
        },
        renderer::{
            EvaluationName, EvaluationProgress, MetricState, MetricsRenderer,
            MetricsRendererEvaluation, MetricsRendererTraining, ProgressType, TrainingProgress,
        },
    },
};
use std::sync::Arc;

/// Result of one batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchLoss {
    /// Mean loss: the negative log-likelihood in nats, where there is one.
    pub loss: f64,
    /// Images in the batch.
    pub size: usize,
    /// How it is told.
    pub told: Told,
    /// How much samples are like validation images, where that has just been measured.
    pub quality: Option<Quality>,
}

/// How a loss is told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// In bits per dimension: the negative log-likelihood of inputs of this shape.
    Bits([usize; 3]),
    /// As it is.
    Plainly,
}

impl Told {
    /// That of a model.
    pub fn of<B: Backend>(model: &Model<B>) -> Self {
        if model.is_likelihood() { Self::Bits(model.shape()) } else { Self::Plainly }
    }

    /// The bits per dimension of a loss, if it is told in those; vectors have no grey levels, whose 8 bits those of images contain.
    pub fn bits(self, loss: f64) -> Option<f64> {
        let Self::Bits(shape) = self else { return None };
        let of_images = bits_per_dimension(-loss, shape.iter().product());
        Some(if is_vector(shape) { of_images - 8.0 } else { of_images })
    }

    /// The number shown.
    fn value(self, loss: f64) -> f64 {
        self.bits(loss).unwrap_or(loss)
    }

    /// In a line of text.
    pub fn text(self, loss: f64) -> String {
        match self.bits(loss) {
            Some(bits) => format!("{bits:.3} bits/dim"),
            None => format!("loss {loss:.4}"),
        }
    }
}

impl ItemLazy for BatchLoss {
    type ItemSync = Self;

    fn sync(self) -> Self {
        self
    }
}

impl Adaptor<Option<Quality>> for BatchLoss {
    fn adapt(&self) -> Option<Quality> {
        self.quality
    }
}

impl Adaptor<BatchLoss> for BatchLoss {
    fn adapt(&self) -> BatchLoss {
        *self
    }
}

/// The loss; bits per dimension include the 1/256 of the grey levels.
#[derive(Clone)]
pub struct Loss {
    name: MetricName,
    unit: Option<String>,
    state: NumericMetricState,
}

impl Loss {
    /// With the name of what is shown.
    pub fn new(told: Told) -> Self {
        let (name, unit) = match told {
            Told::Bits(_) => ("Bits per dimension", Some("bits".into())),
            Told::Plainly => ("Loss", None),
        };
        Self { name: Arc::new(name.into()), unit, state: NumericMetricState::default() }
    }
}

impl Metric for Loss {
    type Input = BatchLoss;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: self.unit.clone(), higher_is_better: false }.into()
    }

    fn update(&mut self, item: &BatchLoss, _metadata: &MetricMetadata) -> SerializedEntry {
        self.state.update(
            item.told.value(item.loss),
            item.size,
            FormatOptions::new(self.name()).precision(3),
        )
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for Loss {
    fn value(&self) -> NumericEntry {
        self.state.current_value()
    }

    fn running_value(&self) -> NumericEntry {
        self.state.running_value()
    }
}

/// Metrics go to `metrics.jsonl` by the strategy: burn-train's own files are not written.
pub struct NoLogger;

impl MetricLogger for NoLogger {
    fn log(&mut self, _update: MetricsUpdate, _epoch: usize, _split: &Split) {}

    fn read_numeric(
        &mut self,
        _name: &str,
        _epoch: usize,
        _split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        Ok(Vec::new())
    }

    fn log_metric_definition(&mut self, _definition: MetricDefinition) {}

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}

/// Progress lines come from the strategy: nothing is rendered.
pub struct NoRenderer;

impl MetricsRendererTraining for NoRenderer {
    fn update_train(&mut self, _state: MetricState) {}

    fn update_valid(&mut self, _state: MetricState) {}

    fn render_train(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {}

    fn render_valid(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {}
}

impl MetricsRendererEvaluation for NoRenderer {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}

    fn render_test(&mut self, _item: EvaluationProgress, _indicators: Vec<ProgressType>) {}
}

impl MetricsRenderer for NoRenderer {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, _definition: MetricDefinition) {}
}

/// Progress of items out of a total.
pub fn progress(done: usize, total: usize) -> Progress {
    Progress::new(done, total)
}
