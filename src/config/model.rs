//! The `model` section.

use atypical_models::flow::{Elementwise, FlowConfig, ImagePreset, VectorPreset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which model. The presets are shorthands for a written-out `flow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum ModelConfig {
    /// Rational-quadratic neural spline flow on images, three levels.
    RqNsf {
        /// The flow's sizes.
        #[serde(flatten)]
        preset: ImagePreset,
        /// Bins of the splines, from 2 to 64.
        #[serde(default = "bins")]
        bins: usize,
        /// The splines act on [-tail, tail].
        #[serde(default = "tail")]
        tail: f64,
    },
    /// Glow: affine couplings on images, three levels.
    Glow(ImagePreset),
    /// Rational-quadratic neural spline flow on vectors.
    RqNsfVector {
        /// The flow's sizes.
        #[serde(flatten)]
        preset: VectorPreset,
        /// Bins of the splines, from 2 to 64.
        #[serde(default = "bins")]
        bins: usize,
        /// The splines act on [-tail, tail].
        #[serde(default = "vector_tail")]
        tail: f64,
    },
    /// Affine couplings on vectors.
    GlowVector(VectorPreset),
    /// A flow written out step by step.
    Flow(FlowConfig),
}

fn bins() -> usize {
    8
}

fn tail() -> f64 {
    3.0
}

fn vector_tail() -> f64 {
    10.0
}

impl ModelConfig {
    /// The written-out flow.
    pub fn flow(&self) -> FlowConfig {
        let spline = |&bins: &usize, &tail: &f64| Elementwise::RqSpline { bins, tail };
        match self {
            ModelConfig::RqNsf { preset, bins, tail } => preset.expand(&spline(bins, tail)),
            ModelConfig::Glow(preset) => preset.expand(&Elementwise::Affine {}),
            ModelConfig::RqNsfVector { preset, bins, tail } => preset.expand(&spline(bins, tail)),
            ModelConfig::GlowVector(preset) => preset.expand(&Elementwise::Affine {}),
            ModelConfig::Flow(flow) => flow.clone(),
        }
    }
}
