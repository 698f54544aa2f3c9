//! What the learner is shown: bits per dimension; and the parts of burn-train that this framework does itself.

use burn::{
    data::dataloader::Progress,
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
    /// Mean negative log-likelihood, in nats.
    pub nats: f64,
    /// The same in bits per dimension.
    pub bits: f64,
    /// Images in the batch.
    pub size: usize,
}

impl ItemLazy for BatchLoss {
    type ItemSync = Self;

    fn sync(self) -> Self {
        self
    }
}

impl Adaptor<BatchLoss> for BatchLoss {
    fn adapt(&self) -> BatchLoss {
        *self
    }
}

/// Bits per dimension, the 1/256 of the grey levels included.
#[derive(Clone)]
pub struct BitsPerDimension {
    name: MetricName,
    state: NumericMetricState,
}

impl Default for BitsPerDimension {
    fn default() -> Self {
        Self { name: Arc::new("Bits per dimension".into()), state: NumericMetricState::default() }
    }
}

impl Metric for BitsPerDimension {
    type Input = BatchLoss;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some("bits".into()), higher_is_better: false }.into()
    }

    fn update(&mut self, item: &BatchLoss, _metadata: &MetricMetadata) -> SerializedEntry {
        self.state.update(item.bits, item.size, FormatOptions::new(self.name()).precision(3))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for BitsPerDimension {
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
