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
    /// The kernel distance of the pixels; of vectors, that of their numbers.
    PixelDistance,
    /// The kernel distance of the random features, which vectors have none of.
    FeatureDistance,
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
    pub const ALL: [Self; 6] = [
        Self::PixelDistance,
        Self::FeatureDistance,
        Self::Precision,
        Self::Recall,
        Self::Density,
        Self::Coverage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PixelDistance => "Kernel distance, pixels",
            Self::FeatureDistance => "Kernel distance, features",
            Self::Precision => "Precision",
            Self::Recall => "Recall",
            Self::Density => "Density",
            Self::Coverage => "Coverage",
        }
    }

    /// None where it is not defined.
    fn of(self, quality: &Quality) -> Option<f64> {
        let distances = quality.kernel_distance;
        match self {
            Self::PixelDistance => Some(distances.pixels.value),
            Self::FeatureDistance => distances.features.map(|distance| distance.value),
            Self::Precision => Some(quality.precision),
            Self::Recall => Some(quality.recall),
            Self::Density => Some(quality.density),
            Self::Coverage => Some(quality.coverage),
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
        let distance = matches!(self.shown, Shown::PixelDistance | Shown::FeatureDistance);
        let higher_is_better = !distance;
        NumericAttributes { unit: None, higher_is_better }.into()
    }

    fn update(&mut self, quality: &Option<Quality>, _metadata: &MetricMetadata) -> SerializedEntry {
        let format = FormatOptions::new(self.name()).precision(4);
        match quality.as_ref().and_then(|q| Some((self.shown.of(q)?, q.n_generated))) {
            Some((value, n)) => self.state.update(value, n, format),
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
        let features = Some(distance(2.0));
        let quality = Quality {
            kernel_distance: KernelDistances { pixels: distance(1.0), features },
            precision: 3.0,
            recall: 4.0,
            density: 5.0,
            coverage: 6.0,
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
        assert_eq!(Shown::PixelDistance.of(&quality), Some(7.0));
        let mut metric = QualityMetric::new(Shown::FeatureDistance);
        let shown = metric.update(&Some(quality), &metadata);
        assert!(shown.formatted.is_empty() && metric.value().current().is_nan());
    }
}
