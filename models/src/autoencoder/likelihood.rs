//! What a decoder's output says of an input: `log p(x | z)`, in nats, where the decoder has turned z into a location.

use super::LikelihoodConfig;
use burn::{
    module::{Module, Param},
    tensor::{Distribution, Tensor, activation::log_sigmoid, backend::Backend},
};
use std::f64::consts::{LN_2, PI};

/// Levels of a pixel.
pub const LEVELS: f64 = 256.0;

/// Logarithm of a logistic's first scale: e⁻² makes its standard deviation that of the uniform distribution on the unit interval, about.
const FIRST_LOG_SCALE: f64 = -2.0;

/// The distribution of an input around the decoder's output.
#[derive(Module, Debug)]
pub enum Likelihood<B: Backend> {
    /// Normal.
    Gaussian(Gaussian<B>),
    /// Logistic, counted in the levels of a pixel.
    DiscretizedLogistic(DiscretizedLogistic<B>),
}

impl<B: Backend> Likelihood<B> {
    /// As a configuration says, which has been checked, for inputs of this shape, `[channels, height, width]`.
    pub(super) fn new(config: &LikelihoodConfig, shape: [usize; 3], device: &B::Device) -> Self {
        match config {
            LikelihoodConfig::Gaussian { sigma } => Self::Gaussian(Gaussian {
                log_sigma: sigma.is_none().then(|| Param::from_tensor(Tensor::zeros([1], device))),
                fixed: sigma.map_or(0.0, f64::ln),
            }),
            LikelihoodConfig::DiscretizedLogistic {} => {
                let first = Tensor::full([shape[0]], FIRST_LOG_SCALE, device);
                Self::DiscretizedLogistic(DiscretizedLogistic {
                    log_scale: Param::from_tensor(first),
                })
            }
        }
    }

    /// `log p(x | z)` in nats; of images the density on the unit cube.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - location: `[batch, D]`, the decoder's output for z
    /// - output: `[batch]`
    pub fn log_prob(&self, x: Tensor<B, 2>, location: Tensor<B, 2>) -> Tensor<B, 1> {
        match self {
            Self::Gaussian(normal) => normal.log_prob(x, location),
            Self::DiscretizedLogistic(logistic) => logistic.log_prob(x, location),
        }
    }

    /// A draw for each row; the backend's random generator decides which.
    ///
    /// # Shapes
    /// - location, output: `[batch, D]`
    pub fn sample(&self, location: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Gaussian(normal) => normal.sample(location),
            Self::DiscretizedLogistic(logistic) => logistic.sample(location),
        }
    }
}

/// `N(x; location, σ² I)` with one σ for all coordinates and inputs.
#[derive(Module, Debug)]
pub struct Gaussian<B: Backend> {
    /// `log σ`, `[1]`, where it is learned.
    pub log_sigma: Option<Param<Tensor<B, 1>>>,
    /// `log σ` where it is not.
    fixed: f64,
}

impl<B: Backend> Gaussian<B> {
    /// `log σ`, `[1, 1]`.
    fn log_sigma(&self, device: &B::Device) -> Tensor<B, 2> {
        match &self.log_sigma {
            Some(learned) => learned.val().unsqueeze(),
            None => Tensor::full([1, 1], self.fixed, device),
        }
    }

    fn log_prob(&self, x: Tensor<B, 2>, location: Tensor<B, 2>) -> Tensor<B, 1> {
        let [batch, dimension] = x.dims();
        let log_sigma = self.log_sigma(&x.device());
        let standardised = (x - location) * log_sigma.clone().neg().exp();
        let squares = standardised.powi_scalar(2).sum_dim(1);
        let normaliser = (log_sigma + 0.5 * (2.0 * PI).ln()) * dimension as f64;
        (squares * -0.5 - normaliser).reshape([batch])
    }

    fn sample(&self, location: Tensor<B, 2>) -> Tensor<B, 2> {
        let noise = location.random_like(Distribution::Normal(0.0, 1.0));
        let sigma = self.log_sigma(&location.device()).exp();
        location + noise * sigma
    }
}

/// Each coordinate is one of [`LEVELS`] levels, with the probability that [`discretized_logistic`] gives it, and uniform within its level:
/// `log p(x | z) = Σ log P(level) + D log 256`; outside [0, 1] there is no density.
#[derive(Module, Debug)]
pub struct DiscretizedLogistic<B: Backend> {
    /// Logarithm of the scale in each channel, `[channels]`.
    pub log_scale: Param<Tensor<B, 1>>,
}

impl<B: Backend> DiscretizedLogistic<B> {
    /// The scale of each of `dimension` coordinates, `[1, D]`.
    fn log_scales(&self, dimension: usize) -> Tensor<B, 2> {
        let [channels] = self.log_scale.dims();
        let each = self.log_scale.val().reshape([channels, 1]);
        each.expand([channels, dimension / channels]).reshape([1, dimension])
    }

    fn log_prob(&self, x: Tensor<B, 2>, location: Tensor<B, 2>) -> Tensor<B, 1> {
        let [batch, dimension] = x.dims();
        let outside = x.clone().lower_elem(0.0).bool_or(x.clone().greater_elem(1.0));
        let log_p = discretized_logistic(levels(x), location, self.log_scales(dimension));
        let log_p = log_p.mask_fill(outside, f32::NEG_INFINITY);
        log_p.sum_dim(1).reshape([batch]) + dimension as f64 * LEVELS.ln()
    }

    fn sample(&self, location: Tensor<B, 2>) -> Tensor<B, 2> {
        let [batch, dimension] = location.dims();
        let u = location.random_like(Distribution::Default);
        let within = location.random_like(Distribution::Default);
        let logistic = u.clone().log() - u.neg().log1p();
        let scale = self.log_scales(dimension).exp().expand([batch, dimension]);
        (levels(location + logistic * scale) + within) / LEVELS
    }
}

/// The level of each value of an image: `floor(256 x)`, and 0 or 255 outside the unit interval. A constant for automatic differentiation.
///
/// # Shapes
/// - x, output: any, the same
pub fn levels<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    (x.detach() * LEVELS).floor().clamp(0.0, LEVELS - 1.0)
}

/// Log-probability, in nats, of a level under a logistic distribution on the unit interval, whose tails beyond the interval belong to the
/// first and the last level (Salimans et al. 2017, arXiv 1701.05517, there on `[-1, 1]`):
///
/// ```text
/// P(level) = σ(b) - σ(a),    a = (level/256 - location) / scale,    b = ((level + 1)/256 - location) / scale,
/// ```
///
/// with `a = -∞` at level 0 and `b = ∞` at level 255. It is computed as
/// `log σ(b) + log σ(-a) + log(1 - e^(a - b))`, which is the same number without the difference, and so exact wherever the level lies. The logarithm
/// of the scale is to be within ±80, or f32 has no room for it.
///
/// # Shapes
/// - level: whole numbers from 0 to 255; location, log_scale: such that the three broadcast: the components of a mixture are
///   one dimension more, which level has with length 1
/// - output: what they broadcast to
pub fn discretized_logistic<B: Backend, const D: usize>(
    level: Tensor<B, D>,
    location: Tensor<B, D>,
    log_scale: Tensor<B, D>,
) -> Tensor<B, D> {
    let inverse = log_scale.neg().exp();
    let below = (location.clone() - level.clone() / LEVELS) * inverse.clone();
    let above = ((level.clone() + 1.0) / LEVELS - location) * inverse.clone();
    let dims = below.dims();
    let first = level.clone().equal_elem(0.0).expand(dims);
    let last = level.equal_elem(LEVELS - 1.0).expand(dims);
    // 1 - e^(a - b) = 2 t / (1 + t) with t = tanh((b - a) / 2), which loses nothing where b - a is small.
    let t = (inverse / (2.0 * LEVELS)).tanh();
    let width = (t.clone().log() - t.log1p() + LN_2).expand(dims);
    log_sigmoid(above).mask_fill(last.clone(), 0.0)
        + log_sigmoid(below).mask_fill(first.clone(), 0.0)
        + width.mask_fill(first.bool_or(last), 0.0)
}
