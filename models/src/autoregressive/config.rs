//! The description of an autoregressive model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most parameters of one model, some ten times the largest in the literature.
const MAX_PARAMETERS: f64 = 1e9;

/// PixelCNN++ on images of 256 levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PixelCnnConfig {
    /// Shape of one image, `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Channels of the hidden maps.
    pub hidden: usize,
    /// Gated residual blocks of each of the two streams.
    pub blocks: usize,
    /// Side of the kernels before the half that looks ahead is cut off, odd.
    pub kernel: usize,
    /// Logistics of each pixel's mixture.
    pub mixtures: usize,
    /// Dropout rate inside the blocks, in [0, 1).
    pub dropout: f64,
    /// Smallest logarithm of a logistic's scale where the levels go from -1 to 1, from -20 to 0; the original's is -7.
    pub min_log_scale: f64,
}

impl Default for PixelCnnConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            hidden: 32,
            blocks: 3,
            kernel: 3,
            mixtures: 10,
            dropout: 0.0,
            min_log_scale: -7.0,
        }
    }
}

impl PixelCnnConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// The first key that is outside its range, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        sides(self.shape)?;
        at_least("hidden", self.hidden, 1)?;
        at_least("blocks", self.blocks, 1)?;
        if self.kernel < 3 || self.kernel.is_multiple_of(2) {
            let kernel = self.kernel;
            return Err(("kernel", format!("is {kernel}, but it must be odd and at least 3")));
        }
        at_least("mixtures", self.mixtures, 1)?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(("dropout", format!("is {}, but it must be in [0, 1)", self.dropout)));
        }
        if !(-20.0..=0.0).contains(&self.min_log_scale) {
            let value = self.min_log_scale;
            return Err(("min_log_scale", format!("is {value}, but it must be from -20 to 0")));
        }
        let [hidden, blocks, kernel] = [self.hidden, self.blocks, self.kernel].map(|n| n as f64);
        let outputs = self.mixtures as f64 * numbers_per_component(self.shape[0]) as f64;
        let taps = (kernel + 1.0) / 2.0 * (kernel + (kernel + 1.0) / 2.0);
        size(
            hidden,
            hidden * (outputs + self.shape[0] as f64 * taps + blocks * hidden * (3.0 * taps + 1.0)),
        )
    }

    /// Channels of the network's output.
    pub(super) fn outputs(&self) -> usize {
        self.mixtures * numbers_per_component(self.shape[0])
    }
}

/// Numbers that describe one component of a pixel's mixture: its weight, a mean and a scale a channel, and a coefficient for each pair of channels.
pub(super) fn numbers_per_component(channels: usize) -> usize {
    1 + 2 * channels + channels * (channels - 1) / 2
}

/// LSTM with a mixture of Gaussians for each coordinate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LstmMixtureConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Units of each layer of the LSTM.
    pub hidden: usize,
    /// Layers of the LSTM.
    pub layers: usize,
    /// Gaussians of each coordinate's mixture.
    pub mixtures: usize,
    /// What is added to every standard deviation: without it the density of repeated values has no bound.
    pub min_sigma: f64,
}

impl Default for LstmMixtureConfig {
    fn default() -> Self {
        Self { shape: [2, 1, 1], hidden: 128, layers: 1, mixtures: 10, min_sigma: 1e-3 }
    }
}

impl LstmMixtureConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// The first key that is outside its range, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        sides(self.shape)?;
        at_least("hidden", self.hidden, 1)?;
        at_least("layers", self.layers, 1)?;
        at_least("mixtures", self.mixtures, 1)?;
        // The square of a deviation, divided by sigma's, has to stay inside f32.
        if !(1e-6..=1e6).contains(&self.min_sigma) {
            let value = self.min_sigma;
            return Err(("min_sigma", format!("is {value}, but it must be from 1e-6 to 1e6")));
        }
        let [hidden, layers, mixtures] =
            [self.hidden, self.layers, self.mixtures].map(|n| n as f64);
        size(hidden, hidden * (8.0 * hidden * layers + 3.0 * mixtures))
    }
}

fn sides(shape: [usize; 3]) -> Result<(), (&'static str, String)> {
    if shape.contains(&0) {
        return Err(("shape", format!("is {shape:?}, but every side must be at least 1")));
    }
    Ok(())
}

fn at_least(key: &'static str, value: usize, least: usize) -> Result<(), (&'static str, String)> {
    if value < least {
        return Err((key, format!("is {value}, but it must be at least {least}")));
    }
    Ok(())
}

fn size(hidden: f64, parameters: f64) -> Result<(), (&'static str, String)> {
    if parameters > MAX_PARAMETERS {
        let problem =
            format!("is {hidden}, which makes {parameters:.1e} parameters, more than 1e9");
        return Err(("hidden", problem));
    }
    Ok(())
}
