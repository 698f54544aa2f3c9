//! The description of an energy-based model.

use super::{EnergyError, Langevin};
use crate::network::{Activation, NetworkConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Numbers that a buffer may hold, 4 GB of them.
const MAX_NUMBERS: usize = 1_000_000_000;
/// Samples that a buffer may hold: an index is drawn as a float, which holds integers exactly up to here.
const MAX_BUFFER: usize = 1 << 24;

/// An energy-based model. The defaults are the reference's for small grey images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EnergyConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// The network whose one output is the energy; silu keeps its gradient smooth, which the sampler follows.
    pub network: NetworkConfig,
    /// Whether every layer's weight is divided by its largest singular value, which bounds how steep the energy can get.
    pub spectral_norm: bool,
    /// How samples are drawn, in training and afterwards.
    pub langevin: Langevin,
    /// Samples that are kept to start from, the oldest replaced first; at least 1.
    pub buffer: usize,
    /// Share of the chains that start from noise instead of a kept sample, in [0, 1].
    pub fresh: f64,
    /// Weight of the squared energies in the loss, at least 0; the loss is smallest at energies of size 1 / (2 alpha).
    pub alpha: f64,
}

impl Default for EnergyConfig {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            network: NetworkConfig::Mlp { hidden: vec![256, 128], activation: Activation::Silu },
            spectral_norm: true,
            langevin: Langevin::default(),
            buffer: 8192,
            fresh: 0.05,
            alpha: 1.0,
        }
    }
}

impl EnergyConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.validate().map_err(|error| match error {
            EnergyError::OutOfRange { key, problem } => (key, problem),
            EnergyError::Network(error) => ("network", error.to_string()),
        })
    }

    pub(super) fn validate(&self) -> Result<(), EnergyError> {
        let Langevin { steps, step, noise, clamp } = self.langevin;
        let (shape, buffer, fresh, alpha) = (self.shape, self.buffer, self.fresh, self.alpha);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        require("shape", shape, !shape.contains(&0), "have no side of length 0")?;
        self.network.check(shape)?;
        require("langevin.steps", steps, steps > 0, "be at least 1")?;
        require("langevin.step", step, positive(step), "be more than 0 and finite")?;
        require("langevin.noise", noise, not_negative(noise), "be at least 0 and finite")?;
        require("langevin.clamp", clamp, positive(clamp), "be more than 0 and finite")?;
        let dimension = shape.iter().fold(1_usize, |product, side| product.saturating_mul(*side));
        let most = MAX_BUFFER.min(MAX_NUMBERS / dimension);
        let range = format!("be at least 1 and, for inputs of {dimension} numbers, at most {most}");
        require("buffer", buffer, (1..=most).contains(&buffer), &range)?;
        let share = (0.0..=1.0).contains(&fresh);
        require("fresh", fresh, share, "be at least 0 and at most 1")?;
        require("alpha", alpha, not_negative(alpha), "be at least 0 and finite")
    }
}

/// An error unless `allowed`: "is 0, but it must be at least 1".
fn require(
    key: &'static str,
    value: impl std::fmt::Debug,
    allowed: bool,
    range: &str,
) -> Result<(), EnergyError> {
    if allowed {
        return Ok(());
    }
    let problem = format!("is {value:?}, but it must {range}");
    Err(EnergyError::OutOfRange { key, problem })
}
