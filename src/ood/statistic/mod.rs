//! Statistics: numbers of an image that methods read, each computed once.

mod around;
mod complexity;
mod gradient;
mod hessian;
mod latent;
mod measure;
mod optimum;
mod regret;
mod shells;

pub use around::Ball;
pub use complexity::{Codec, ComplexityError, bits};
pub use gradient::gradient_norm;
pub use hessian::{Curved, curved, hessian_products};
pub(crate) use latent::log_cdf;
pub use latent::{anderson_darling, log_box_mass, p_value};
pub use measure::Models;
pub(super) use measure::check_finite;
pub use optimum::{Optimum, climb};
pub use regret::regret;
pub use shells::{Shells, shells};

use atypical_models::Ability;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A number of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Statistic {
    /// `log p(x)`, in nats.
    LogLikelihood,
    /// Local intrinsic dimension at the chosen scale.
    Lid,
    /// `log p(x)` under the background model, in nats.
    BackgroundLogLikelihood,
    /// Mean of `log p(x)` over the ensemble, in nats.
    EnsembleMean,
    /// Variance of `log p(x)` over the ensemble, in nats².
    EnsembleVariance,
    /// Length by the best lossless codec, in bits.
    Complexity,
    /// `‖∇ₓ log p(x)‖₂`, in nats per unit of x.
    GradientNorm,
    /// `‖z‖₂`.
    LatentNorm,
    /// `log p(u)` of the standardised latent under a two-step model's second step, in nats.
    LatentLogLikelihood,
    /// `Σ_i log [Φ(z_i + r) - Φ(z_i - r)]`, in nats.
    LatentBox,
    /// `log ρ_r(x)` at the scale of LID, in nats.
    LogRho,
    /// `log E p(x + σ ε)`, by draws, in nats.
    Convolution,
    /// `log E p(x + u)`, u uniform on a ball, by draws, in nats.
    DataBall,
    /// `log E p(f⁻¹(z + u))`, u uniform on a ball, by draws, in nats.
    LatentBall,
    /// `d log P(ball of radius r around x) / d log r`, by chains.
    ShellDimension,
    /// `log p(x*) - log p(x)`, x* the optimum that an ascent from x finds, in nats.
    OptimumRise,
    /// `½ σ² gᵀ (1 + σ² max(Λ, 0))⁻¹ g`, g the gradient and Λ the negative Hessian of log p(x), in nats.
    Slope,
    /// `½ Σ_i log(1 + σ² max(λ_i, 0))` over the eigenvalues λ of `-∇² log p(x)`, in nats.
    Curvature,
    /// `Σ_i 1 / (1 + σ² max(λ_i, 0))`: directions in which log p is flat.
    FlatDirections,
    /// `max |x - f⁻¹(f(x))|`, in units of x.
    InverseError,
    /// The Anderson-Darling statistic of the coordinates of z against N(0, 1).
    LatentFit,
    /// `1/D ‖x - decode(encode(x))‖²`, in units of x squared.
    ReconstructionError,
    /// `max_q ELBO(x; q) - ELBO(x; q(z | x))`, in nats.
    Regret,
}

impl Statistic {
    /// The column's name in score files.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogLikelihood => "log_likelihood",
            Self::Lid => "lid",
            Self::BackgroundLogLikelihood => "background_log_likelihood",
            Self::EnsembleMean => "ensemble_mean",
            Self::EnsembleVariance => "ensemble_variance",
            Self::Complexity => "complexity_bits",
            Self::GradientNorm => "gradient_l2",
            Self::LatentNorm => "latent_l2",
            Self::LatentLogLikelihood => "latent_log_likelihood",
            Self::LatentBox => "latent_box",
            Self::LogRho => "log_rho",
            Self::Convolution => "convolved_log_likelihood",
            Self::DataBall => "data_ball",
            Self::LatentBall => "latent_ball",
            Self::ShellDimension => "shell_dimension",
            Self::OptimumRise => "optimum_rise",
            Self::Slope => "slope",
            Self::Curvature => "curvature",
            Self::FlatDirections => "flat_directions",
            Self::InverseError => "inverse_error",
            Self::LatentFit => "latent_anderson_darling",
            Self::ReconstructionError => "reconstruction_mse",
            Self::Regret => "likelihood_regret",
        }
    }

    /// In a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::LogLikelihood => "log-likelihood",
            Self::Lid => "LID",
            Self::BackgroundLogLikelihood => "log-likelihood under the background model",
            Self::EnsembleMean => "mean log-likelihood over the ensemble",
            Self::EnsembleVariance => "variance of the log-likelihood over the ensemble",
            Self::Complexity => "complexity",
            Self::GradientNorm => "norm of the gradient",
            Self::LatentNorm => "norm of the latent",
            Self::LatentLogLikelihood => "log-likelihood of the latent",
            Self::LatentBox => "mass around the latent",
            Self::LogRho => "local mass",
            Self::Convolution => "convolved density",
            Self::DataBall => "density in a ball",
            Self::LatentBall => "density in a ball of latents",
            Self::ShellDimension => "dimension by shells",
            Self::OptimumRise => "rise to the optimum",
            Self::Slope => "slope",
            Self::Curvature => "curvature",
            Self::FlatDirections => "flat directions",
            Self::InverseError => "error of the inverse",
            Self::LatentFit => "fit of the latent",
            Self::ReconstructionError => "reconstruction error",
            Self::Regret => "likelihood regret",
        }
    }
}

impl Statistic {
    /// What a model must have for it; nothing where it reads the image alone.
    pub fn needs(self) -> Option<Ability> {
        Some(match self {
            Self::Complexity => return None,
            Self::LogLikelihood
            | Self::BackgroundLogLikelihood
            | Self::Convolution
            | Self::DataBall
            | Self::ShellDimension => Ability::Density,
            Self::EnsembleMean | Self::EnsembleVariance => Ability::Normalized,
            Self::GradientNorm
            | Self::OptimumRise
            | Self::Slope
            | Self::Curvature
            | Self::FlatDirections => Ability::SmoothDensity,
            Self::Lid => Ability::Latents,
            Self::LatentNorm => Ability::CentredLatents,
            Self::LatentLogLikelihood => Ability::LatentDensity,
            Self::LogRho | Self::LatentBox | Self::LatentFit => Ability::NormalLatents,
            Self::LatentBall | Self::InverseError => Ability::Bijection,
            Self::ReconstructionError => Ability::Reconstructions,
            Self::Regret => Ability::Posterior,
        })
    }

    /// Whether it is read from what LID is read from.
    pub fn is_of_spectrum(self) -> bool {
        matches!(self, Self::Lid | Self::LogRho)
    }
}

/// Statistics of a set of images, one value an image in each.
pub type Statistics = BTreeMap<Statistic, Vec<f64>>;

#[cfg(test)]
mod tests {
    use atypical_models::{
        Model,
        flow::{Flow, FlowConfig, Layer, Step},
    };
    use burn::{
        backend::Flex,
        module::{Module, Param},
        tensor::Tensor,
    };

    /// `z_i = (x_i - mode_i) / s_i`: `p(x) = Π N(x_i; mode_i, s_i²)`.
    pub fn gaussian(mode: &[f64], s: &[f64]) -> Model<Flex> {
        let config = FlowConfig { shape: [s.len(), 1, 1], transform: vec![Step::ActNorm {}] };
        let mut flow = Flow::<Flex>::new(&config, 0, &Default::default()).unwrap();
        let parameter = |values: Vec<f32>| {
            Param::from_tensor(Tensor::from_floats(values.as_slice(), &Default::default()))
        };
        for step in &mut flow.levels[0].steps {
            let Layer::ActNorm(norm) = step else { unreachable!() };
            norm.log_scale = parameter(s.iter().map(|s| -s.ln() as f32).collect());
            norm.shift = parameter(mode.iter().zip(s).map(|(m, s)| (-m / s) as f32).collect());
        }
        flow.no_grad().into()
    }
}
