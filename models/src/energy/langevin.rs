//! Langevin dynamics: samples from the gradient of an energy.

use burn::tensor::{Distribution, Tensor, backend::Backend};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The largest f32 below 1.
const BELOW_ONE: f64 = 1.0 - 1.0 / (1 << 24) as f64;

/// Langevin dynamics with the gradient clamped (Welling & Teh 2011; Du & Mordatch 2019, arXiv 1903.08689): step η, noise σ, clamp c,
///
/// `x ← x - η clamp(∇E(x), ±c) + σ ξ`, `ξ ~ N(0, I)`.
///
/// Without the clamp, its stationary density tends to `exp(-E(x) / T)` with the temperature `T = σ² / (2 η)` as η goes to 0. The defaults, the
/// reference's, have `T = 1.25e-6`: such chains go downhill and hardly wander, which makes sharp samples, and the energies that they teach
/// are not log-densities of temperature 1. For those, let the noise be `sqrt(2 step)`, and clamp rarely.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Langevin {
    /// Steps of a chain, at least 1.
    pub steps: usize,
    /// Factor η of the gradient, more than 0.
    pub step: f64,
    /// Standard deviation σ of the noise, at least 0.
    pub noise: f64,
    /// Bound c on each element of the gradient, more than 0.
    pub clamp: f64,
}

impl Default for Langevin {
    fn default() -> Self {
        Self { steps: 60, step: 10.0, noise: 0.005, clamp: 0.03 }
    }
}

/// Where the inputs live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Any real vectors.
    Real,
    /// Images: the unit cube, `[0, 1)` in each dimension.
    Unit,
}

impl Domain {
    /// The domain of inputs of a shape, `[channels, height, width]`.
    pub fn of([_, height, width]: [usize; 3]) -> Self {
        if height * width > 1 { Self::Unit } else { Self::Real }
    }

    /// Where a chain starts from nothing: standard normal, or uniform on the cube.
    pub fn noise<B: Backend>(self, dims: [usize; 2], device: &B::Device) -> Tensor<B, 2> {
        let distribution = match self {
            Self::Real => Distribution::Normal(0.0, 1.0),
            Self::Unit => Distribution::Default,
        };
        Tensor::random(dims, distribution, device)
    }

    /// The nearest point of the domain. A chain that left the cube would follow energies that no image teaches. The bound below 1 is the largest f32
    /// there: what has the level 255 keeps it.
    pub fn project<B: Backend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Real => x,
            Self::Unit => x.clamp(0.0, BELOW_ONE),
        }
    }
}

impl Langevin {
    /// Where chains from `x` end. The backend's random generator decides the noise.
    ///
    /// # Shapes
    /// - x, output: `[chains, D]`
    /// - gradient: of each chain's own energy, `[chains, D]` to `[chains, D]`
    pub fn run<B: Backend>(
        &self,
        x: Tensor<B, 2>,
        gradient: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>,
        domain: Domain,
    ) -> Tensor<B, 2> {
        (0..self.steps).fold(x, |x, _| {
            let downhill = gradient(x.clone()).clamp(-self.clamp, self.clamp) * self.step;
            let noise = x.random_like(Distribution::Normal(0.0, 1.0)) * self.noise;
            domain.project(x - downhill + noise)
        })
    }
}
