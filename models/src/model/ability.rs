//! What a model can be asked for.

use thiserror::Error;

/// Something that a model may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// A log-density, or a bound or an estimate of it.
    Density,
    /// A log-density whose derivatives say something.
    SmoothDensity,
    /// A log-density without an unknown constant, which may be compared with those of other models.
    Normalized,
    /// A log-density in nats of pixels, which bits of a code may be compared with.
    Bits,
    /// Samples.
    Samples,
    /// Latents, and inputs made of latents.
    Latents,
    /// Latents around 0.
    CentredLatents,
    /// A density of its latents that it has learned.
    LatentDensity,
    /// Latents that are standard normal where the model is right.
    NormalLatents,
    /// An exact inverse between inputs and latents of the same dimension.
    Bijection,
    /// Reconstructions that differ from their inputs.
    Reconstructions,
    /// A posterior of the latent that can be improved for one input.
    Posterior,
}

impl Ability {
    /// In a sentence.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Density => "log-density",
            Self::SmoothDensity => "log-density with derivatives",
            Self::Normalized => "normalised log-density",
            Self::Bits => "log-density in nats of pixels",
            Self::Samples => "samples",
            Self::Latents => "latents",
            Self::CentredLatents => "latents around 0",
            Self::LatentDensity => "density of its latents",
            Self::NormalLatents => "latents with a standard normal prior",
            Self::Bijection => "exact inverse",
            Self::Reconstructions => "reconstructions",
            Self::Posterior => "posterior of its latents",
        }
    }
}

/// What a model cannot be asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{family} has no {what}: {why}")]
pub struct Undefined {
    /// What was asked for.
    pub what: &'static str,
    /// The family, with an article.
    pub family: &'static str,
    /// Why, and what has it.
    pub why: &'static str,
}
