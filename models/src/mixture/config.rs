//! The description of a Gaussian mixture.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most numbers in one mixture: 4 GiB of them.
const MAX_NUMBERS: f64 = 1e9;
/// Smallest floor: the factor of a covariance of that size is 1e6, whose square f32 still holds beside inputs of 1e13.
const MIN_FLOOR: f64 = 1e-12;

/// A mixture of Gaussians.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MixtureConfig {
    /// Shape of one input, `[channels, height, width]`; a vector of dimension `D` is `[D, 1, 1]`.
    pub shape: [usize; 3],
    /// Number of Gaussians.
    pub components: usize,
    /// Form of their covariances.
    pub covariance: Covariance,
    /// Added to the diagonal of every covariance, in the data's units squared, so that no component shrinks to a point or a plane; at least 1e-12.
    pub floor: f64,
}

/// Form of the covariances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Covariance {
    /// Any: `D²` numbers for each component. It takes many more than D inputs to know them.
    #[default]
    Full,
    /// A variance for each coordinate.
    Diagonal,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self { shape: [2, 1, 1], components: 10, covariance: Covariance::Full, floor: 1e-6 }
    }
}

impl MixtureConfig {
    /// Dimension `D` of one input.
    pub(super) fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows of a covariance as it is stored: D, or 1 of the diagonal alone.
    pub(super) fn rows(&self) -> usize {
        match self.covariance {
            Covariance::Full => self.dimension(),
            Covariance::Diagonal => 1,
        }
    }

    /// Whether it can be built.
    ///
    /// # Errors
    /// The key that is at fault, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.shape.contains(&0) {
            return Err(("shape", format!("is {:?}, but no side may be 0", self.shape)));
        }
        if self.components == 0 {
            return Err(("components", "is 0, but it must be at least 1".to_owned()));
        }
        if !(self.floor >= MIN_FLOOR && self.floor.is_finite()) {
            return Err((
                "floor",
                format!("is {}, but it must be at least {MIN_FLOOR:e}", self.floor),
            ));
        }
        // In f64, which no size overflows. Covariances and their factors.
        let d = self.shape.iter().map(|side| *side as f64).product::<f64>();
        let covariance = if self.covariance == Covariance::Full { d * d } else { d };
        let numbers = 2.0 * self.components as f64 * covariance;
        if numbers > MAX_NUMBERS {
            let what = format!(
                "is {}, which with inputs of dimension {d} makes {numbers:.1e} numbers, more than {MAX_NUMBERS:.0e}",
                self.components
            );
            return Err(("components", what));
        }
        Ok(())
    }
}
