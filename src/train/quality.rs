//! What the learner is shown of a model's samples: how much they are like validation images.

use crate::eval::generation::Quality;
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
    state::{FormatOptions, NumericMetricState},
};
use std::sync::Arc;

/// A number of a [`Quality`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The kernel distance of the features; of vectors, which have none, that of their numbers.
    KernelDistance,
    /// Precision.
    Precision,
    /// Recall.
    Recall,
    /// Density.
    Density,
    /// Coverage.
    Coverage,
}

impl Shown {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::KernelDistance, Self::Precision, Self::Recall, Self::Density, Self::Coverage];

    fn name(self) -> &'static str {
        match self {
            Self::KernelDistance => "Kernel distance",
            Self::Precision => "Precision",
            Self::Recall => "Recall",
            Self::Density => "Density",
            Self::Coverage => "Coverage",
        }
    }

    fn of(self, quality: &Quality) -> f64 {
        let distances = quality.kernel_distance;
        match self {
            Self::KernelDistance => distances.features.unwrap_or(distances.pixels).value,
            Self::Precision => quality.precision,
            Self::Recall => quality.recall,
            Self::Density => quality.density,
            Self::Coverage => quality.coverage,
        }
    }
}

/// One number of the [`Quality`] of a model's samples, which is measured once an epoch, at its end.
#[derive(Clone)]
pub struct QualityMetric {
    shown: Shown,
    name: MetricName,
    state: NumericMetricState,
}

impl QualityMetric {
    /// A metric that shows this number, under its name.
    pub fn new(shown: Shown) -> Self {
        Self { shown, name: Arc::new(shown.name().into()), state: NumericMetricState::default() }
    }
}

impl Metric for QualityMetric {
    type Input = Option<Quality>;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        let higher_is_better = self.shown != Shown::KernelDistance;
        NumericAttributes { unit: None, higher_is_better }.into()
    }

    fn update(&mut self, quality: &Option<Quality>, _metadata: &MetricMetadata) -> SerializedEntry {
        let format = FormatOptions::new(self.name()).precision(4);
        match quality {
            Some(quality) => self.state.update(self.shown.of(quality), quality.n_generated, format),
            // Most batches come without: what was measured last stays.
            None => SerializedEntry::new(String::new(), String::new()),
        }
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for QualityMetric {
    fn value(&self) -> NumericEntry {
        self.state.current_value()
    }

    fn running_value(&self) -> NumericEntry {
        self.state.running_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::generation::{KernelDistance, KernelDistances};
    use burn::{data::dataloader::Progress, train::metric::MetricMetadata};

    #[test]
    fn every_number_has_a_metric_of_its_name() {
        let distance = |value| KernelDistance { value, standard_error: 0.5 };
        let features = Some(distance(1.0));
        let quality = Quality {
            kernel_distance: KernelDistances { pixels: distance(7.0), features },
            precision: 2.0,
            recall: 3.0,
            density: 4.0,
            coverage: 5.0,
            n_generated: 20,
            n_real: 30,
        };
        let metadata = MetricMetadata {
            progress: Progress::new(1, 1),
            global_progress: Progress::new(1, 1),
            iteration: None,
            lr: None,
        };
        for (i, shown) in Shown::ALL.into_iter().enumerate() {
            let mut metric = QualityMetric::new(shown);
            metric.update(&Some(quality), &metadata);
            assert_eq!(metric.value().current(), (i + 1) as f64, "{shown:?}");
            assert_eq!(*metric.name(), shown.name());
            metric.clear();
            assert!(metric.value().current().is_nan());
        }
        let vectors = KernelDistances { pixels: distance(7.0), features: None };
        let quality = Quality { kernel_distance: vectors, ..quality };
        assert_eq!(Shown::KernelDistance.of(&quality), 7.0);
    }
}
