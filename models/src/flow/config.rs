//! The description of a flow: a list of steps, and the presets that write such lists.
//!
//! A flow is data before it is tensors: [`FlowConfig`] holds the input shape and the steps in the order in which an
//! input meets them. The presets ([`ImagePreset`], [`VectorPreset`]) are shorthands which expand to the same list, so a
//! hand-written flow and a preset take one path from here on. Unknown keys are refused by the configuration layer above, which
//! knows the file and the line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A flow as a list of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// The steps from data to latent.
    pub transform: Vec<Step>,
}

/// One step of a flow, from data to latent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// Elementwise logit, from (0, 1) to the real line.
    Logit {
        /// Margin that keeps 0 and 1 away from the poles, in (0, 0.5).
        #[serde(default = "defaults::alpha")]
        alpha: f64,
        /// Which forward map.
        #[serde(default)]
        form: LogitForm,
    },
    /// `scale · x + shift`, fixed; as it stands here, from [0, 1] to [-1, 1].
    Scale {
        /// The factor, not 0.
        #[serde(default = "defaults::scale")]
        scale: f64,
        /// The shift.
        #[serde(default = "defaults::shift")]
        shift: f64,
    },
    /// `(x - m) / s` with the mean and the standard deviation of each element over the training data, measured before the training and fixed.
    /// Before all steps that learn, and once.
    Whiten {},
    /// `[c, h, w]` becomes `[c h w, 1, 1]`: an image is a vector from here on.
    Flatten {},
    /// Space to depth: `[c, h, w]` becomes `[c f², h/f, w/f]`.
    Squeeze {
        /// The factor `f`; both sides must be multiples of it.
        factor: usize,
    },
    /// Per-channel affine map, initialised from the first training batch to zero mean and unit variance.
    ActNorm {},
    /// Invertible 1x1 convolution `W = P L U` with a fixed permutation `P`.
    #[serde(rename = "conv1x1")]
    Conv1x1 {},
    /// Coupling: one half of the channels sets the parameters of an elementwise map of the other half.
    Coupling {
        /// The elementwise map.
        transform: Elementwise,
        /// Which channels are transformed.
        mask: Mask,
        /// The network that computes the parameters.
        conditioner: Conditioner,
    },
    /// Multiscale split: the first half of the channels leaves to the latent, the second half goes on.
    Split {},
    /// A list of steps, several times.
    Repeat {
        /// How many times.
        times: usize,
        /// The steps of one turn.
        steps: Vec<Step>,
    },
}

/// Forward map of the logit step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogitForm {
    /// `logit(α + (1 - 2α) x)`: symmetric in 0 and 1, with an exact inverse.
    #[default]
    Symmetric,
    /// `log(u / (1 - u + 1e-6))` with `u = α + (1 - α) x`: the forward map of checkpoints trained by the Python reference, with its exact inverse
    /// (the reference decodes to u instead of x).
    Reference,
}

/// Which channels a coupling transforms; the others are copied and feed the conditioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Channels 0, 2, 4, … are transformed.
    Even,
    /// Channels 1, 3, 5, … are transformed.
    Odd,
}

/// Elementwise map inside a coupling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Elementwise {
    /// Monotone rational-quadratic spline (Durkan et al. 2019) with linear tails.
    RqSpline {
        /// Number of bins.
        #[serde(default = "defaults::bins")]
        bins: usize,
        /// The spline acts on `[-tail, tail]` and is the identity outside.
        #[serde(default = "defaults::tail")]
        tail: f64,
    },
    /// `scale · x + shift` with `scale = sigmoid(s + 2) + 1e-3` (Glow).
    Affine {},
}

impl Elementwise {
    /// Parameters of one element.
    pub fn parameters(&self) -> usize {
        match self {
            Elementwise::RqSpline { bins, .. } => crate::ops::spline_parameters(*bins),
            Elementwise::Affine {} => 2,
        }
    }
}

/// Residual network that computes a coupling's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditioner {
    /// Channels of the hidden layers.
    pub hidden: usize,
    /// Number of residual blocks.
    #[serde(default = "defaults::blocks")]
    pub blocks: usize,
    /// Dropout rate inside the blocks, in [0, 1).
    #[serde(default)]
    pub dropout: f64,
    /// Side of the convolution kernels inside the blocks; 1 on 1x1 maps whatever is said here.
    #[serde(default = "defaults::kernel")]
    pub kernel: usize,
}

/// Multiscale image flow with three levels, as the reference's greyscale and RGB configurations describe it:
/// squeeze 2, `repeats[0]` x {ActNorm, 1x1, coupling, ActNorm, 1x1, coupling}, 1x1, split; the same once more; squeeze to 1x1
/// maps, `repeats[2]` x {ActNorm, coupling, ActNorm, coupling}, 1x1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImagePreset {
    /// Shape of one image, `[channels, height, width]`; height and width are equal and multiples of 4.
    pub shape: [usize; 3],
    /// Hidden channels of the conditioners at each level.
    pub hidden: [usize; 3],
    /// Pairs of couplings at each level.
    pub repeats: [usize; 3],
    /// Residual blocks of each conditioner.
    pub blocks: usize,
    /// Dropout rate of the conditioners, in [0, 1).
    pub dropout: f64,
    /// Margin of the logit, in (0, 0.5).
    pub alpha: f64,
    /// Forward map of the logit.
    pub logit: LogitForm,
}

impl Default for ImagePreset {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            hidden: [64, 64, 1024],
            repeats: [3, 3, 2],
            blocks: 2,
            dropout: 0.2,
            alpha: defaults::alpha(),
            logit: LogitForm::Symmetric,
        }
    }
}

impl ImagePreset {
    /// The written-out flow, with `transform` as the elementwise map of every coupling.
    pub fn expand(&self, transform: &Elementwise) -> FlowConfig {
        let coupling = |mask, level: usize| Step::Coupling {
            transform: transform.clone(),
            mask,
            conditioner: Conditioner {
                hidden: self.hidden[level],
                blocks: self.blocks,
                dropout: self.dropout,
                kernel: if level == 2 { 1 } else { 3 },
            },
        };
        let mut steps = vec![Step::Logit { alpha: self.alpha, form: self.logit }];
        for level in 0..2 {
            steps.push(Step::Squeeze { factor: 2 });
            steps.push(Step::Repeat {
                times: self.repeats[level],
                steps: vec![
                    Step::ActNorm {},
                    Step::Conv1x1 {},
                    coupling(Mask::Even, level),
                    Step::ActNorm {},
                    Step::Conv1x1 {},
                    coupling(Mask::Odd, level),
                ],
            });
            steps.push(Step::Conv1x1 {});
            steps.push(Step::Split {});
        }
        steps.push(Step::Squeeze { factor: (self.shape[1] / 4).max(1) });
        steps.push(Step::Repeat {
            times: self.repeats[2],
            steps: vec![
                Step::ActNorm {},
                coupling(Mask::Even, 2),
                Step::ActNorm {},
                coupling(Mask::Odd, 2),
            ],
        });
        steps.push(Step::Conv1x1 {});
        FlowConfig { shape: self.shape, transform: steps }
    }
}

/// Flow on vectors (tabular data, embeddings): `layers` x {ActNorm, coupling, ActNorm, coupling} with residual networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VectorPreset {
    /// Dimension of one vector.
    pub dimension: usize,
    /// Pairs of couplings.
    pub layers: usize,
    /// Hidden units of the conditioners.
    pub hidden: usize,
    /// Residual blocks of each conditioner.
    pub blocks: usize,
    /// Dropout rate of the conditioners, in [0, 1).
    pub dropout: f64,
    /// Mix the coordinates by an invertible linear map `P L U` before each coupling.
    pub linear: bool,
    /// Standardise each coordinate by the training data first.
    pub whiten: bool,
}

impl Default for VectorPreset {
    fn default() -> Self {
        Self {
            dimension: 2,
            layers: 8,
            hidden: 128,
            blocks: 2,
            dropout: 0.0,
            linear: true,
            whiten: false,
        }
    }
}

impl VectorPreset {
    /// The written-out flow, with `transform` as the elementwise map of every coupling.
    pub fn expand(&self, transform: &Elementwise) -> FlowConfig {
        let mut steps = Vec::new();
        for mask in [Mask::Even, Mask::Odd] {
            steps.push(Step::ActNorm {});
            if self.linear {
                steps.push(Step::Conv1x1 {});
            }
            steps.push(Step::Coupling {
                transform: transform.clone(),
                mask,
                conditioner: Conditioner {
                    hidden: self.hidden,
                    blocks: self.blocks,
                    dropout: self.dropout,
                    kernel: 1,
                },
            });
        }
        let mut transform = vec![Step::Repeat { times: self.layers, steps }];
        if self.whiten {
            transform.insert(0, Step::Whiten {});
        }
        FlowConfig { shape: [self.dimension, 1, 1], transform }
    }
}

/// Values that a step takes where its description leaves a key out.
pub(crate) mod defaults {
    pub fn alpha() -> f64 {
        0.05
    }
    pub fn scale() -> f64 {
        2.0
    }
    pub fn shift() -> f64 {
        -1.0
    }
    pub fn bins() -> usize {
        8
    }
    pub fn tail() -> f64 {
        3.0
    }
    pub fn blocks() -> usize {
        2
    }
    pub fn kernel() -> usize {
        3
    }
}
