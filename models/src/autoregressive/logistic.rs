//! Mixtures of discretised logistics over the levels of a pixel.

use super::{choose, config::numbers_per_component, log_sum_exp};
use burn::tensor::{
    Distribution, Tensor,
    activation::{log_sigmoid, tanh},
    backend::Backend,
};

/// Half the distance of two levels.
const HALF: f64 = 1.0 / 255.0;

/// For each pixel a mixture of logistics, discretised to 256 levels `x_l = l / 127.5 - 1` (Salimans et al. 2017, arXiv 1701.05517):
///
/// `P(l) = Σ_k π_k Π_c [σ((x_c + 1/255 - μ_kc) / s_kc) - σ((x_c - 1/255 - μ_kc) / s_kc)]`,
///
/// where the first level has all that is below it and the last all that is above. The channels of a pixel share the component, and each mean is
/// linear in the channels before, `μ_kc = m_kc + Σ_{b<c} tanh(a_kcb) x_b`.
///
/// The scales are `s = σ(t)`, below 1, half the range of the levels: that is wide enough for any mixture, and where images are black and white a free scale grows
/// without end, until both have half the probability whatever comes before and all gradients have vanished.
#[derive(Clone, Debug)]
pub struct LogisticMixture<B: Backend> {
    /// Logarithms of π, up to a constant: `[batch, 1, mixtures, pixels]`.
    logits: Tensor<B, 4>,
    /// m: `[batch, channels, mixtures, pixels]`.
    means: Tensor<B, 4>,
    /// log s, of the same shape.
    log_scales: Tensor<B, 4>,
    /// tanh a, of the pairs (1, 0), (2, 0), (2, 1), …: `[batch, pairs, mixtures, pixels]`; none where there is one channel.
    coefficients: Option<Tensor<B, 4>>,
}

impl<B: Backend> LogisticMixture<B> {
    /// The mixtures that a network's output describes. In its channels come the logits of all components, then the means, channel by channel, then t of the
    /// scales, whose logarithms are raised to `min_log_scale` where they are below, then a of the coefficients.
    ///
    /// # Shapes
    /// - parameters: `[batch, mixtures · (1 + 2 channels + channels (channels - 1) / 2), pixels]`
    pub fn new(parameters: Tensor<B, 3>, channels: usize, min_log_scale: f64) -> Self {
        let [batch, outputs, pixels] = parameters.dims();
        let numbers = numbers_per_component(channels);
        let parameters = parameters.reshape([batch, numbers, outputs / numbers, pixels]);
        let pairs = numbers - 1 - 2 * channels;
        Self {
            logits: parameters.clone().narrow(1, 0, 1),
            means: parameters.clone().narrow(1, 1, channels),
            log_scales: log_sigmoid(parameters.clone().narrow(1, 1 + channels, channels))
                .clamp_min(min_log_scale),
            coefficients: (pairs > 0).then(|| tanh(parameters.narrow(1, 1 + 2 * channels, pairs))),
        }
    }

    /// Logarithm of the probability of every pixel's levels, in nats.
    ///
    /// # Shapes
    /// - levels: `[batch, channels, pixels]`, whole numbers from 0 to 255
    /// - output: `[batch, pixels]`
    pub fn log_prob(&self, levels: Tensor<B, 3>) -> Tensor<B, 2> {
        let components = self.log_components(levels).sum_dim(1);
        let log_prob =
            log_sum_exp(components + self.logits.clone(), 2) - log_sum_exp(self.logits.clone(), 2);
        let [batch, _, _, pixels] = log_prob.dims();
        log_prob.reshape([batch, pixels])
    }

    /// Logarithm of the probability of every channel's level given the channels before, in nats; their sum over channels is
    /// [`log_prob`](Self::log_prob).
    ///
    /// # Shapes
    /// - levels, output: `[batch, channels, pixels]`
    pub fn log_conditionals(&self, levels: Tensor<B, 3>) -> Tensor<B, 3> {
        let dims = levels.dims();
        let components = self.log_components(levels);
        let mut weights = self.logits.clone();
        let mut before = log_sum_exp(weights.clone(), 2);
        let conditionals = (0..dims[1])
            .map(|channel| {
                weights = weights.clone() + components.clone().narrow(1, channel, 1);
                let joint = log_sum_exp(weights.clone(), 2);
                let conditional = joint.clone() - before.clone();
                before = joint;
                conditional
            })
            .collect();
        Tensor::cat(conditionals, 1).reshape(dims)
    }

    /// Logarithm of every component's probability of every channel's level given the channels before: `[batch, channels, mixtures, pixels]`.
    ///
    /// With `α = (x + 1/255 - μ)/s` and `β = (x - 1/255 - μ)/s` the difference of the sigmoids is a product, without cancellation:
    /// `σ(α) - σ(β) = σ(α) σ(-β) (1 - e^{β - α})`. The first level is `σ(α)` alone, the last `σ(-β)`.
    fn log_components(&self, levels: Tensor<B, 3>) -> Tensor<B, 4> {
        let levels = levels.unsqueeze_dim::<4>(2);
        let x = to_real(levels.clone());
        let from_mean = x.clone() - self.conditional_means(x);
        let precision = self.log_scales.clone().neg().exp();
        let upper = (from_mean.clone() + HALF) * precision.clone();
        let lower = (from_mean - HALF) * precision;
        let has_upper = levels.clone().lower_elem(255.0).float();
        let has_lower = levels.greater_elem(0.0).float();
        let between = log_one_minus_exp(-self.log_scales.clone() + (2.0 * HALF).ln());
        log_sigmoid(upper) * has_upper.clone()
            + log_sigmoid(-lower) * has_lower.clone()
            + between * (has_upper * has_lower)
    }

    /// μ, `[batch, channels, mixtures, pixels]`, from the image `[batch, channels, 1, pixels]`.
    fn conditional_means(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let Some(coefficients) = &self.coefficients else {
            return self.means.clone();
        };
        let mut means = vec![self.means.clone().narrow(1, 0, 1)];
        for channel in 1..self.means.dims()[1] {
            let earlier = x.clone().narrow(1, 0, channel);
            let own = coefficients.clone().narrow(1, channel * (channel - 1) / 2, channel);
            means.push(self.means.clone().narrow(1, channel, 1) + (own * earlier).sum_dim(1));
        }
        Tensor::cat(means, 1)
    }

    /// A draw of levels for the one pixel that the mixtures are of: a component, then the channels in order, each a logistic rounded to its level.
    ///
    /// # Shapes
    /// - output: `[batch, channels]`
    pub(super) fn draw(self) -> Tensor<B, 2> {
        let [batch, channels, mixtures, _] = self.means.dims();
        let component = choose(self.logits.reshape([batch, mixtures]));
        let of_component = |numbers: Tensor<B, 4>| {
            let count = numbers.dims()[1];
            let index = component.clone().unsqueeze_dim::<3>(1).expand([batch, count, 1]);
            numbers.reshape([batch, count, mixtures]).gather(2, index).reshape([batch, count])
        };
        let scales = of_component(self.log_scales).exp();
        let means = of_component(self.means);
        let coefficients = self.coefficients.map(of_component);
        let u = Tensor::<B, 2>::random([batch, channels], Distribution::Default, &means.device());
        let noise = scales * (u.clone().log() - u.neg().log1p());
        let mut levels: Vec<Tensor<B, 2>> = Vec::with_capacity(channels);
        for channel in 0..channels {
            let mut x = means.clone().narrow(1, channel, 1) + noise.clone().narrow(1, channel, 1);
            if let Some(coefficients) = &coefficients {
                let first = channel * channel.saturating_sub(1) / 2;
                for (b, level) in levels.iter().enumerate() {
                    x = x + coefficients.clone().narrow(1, first + b, 1) * to_real(level.clone());
                }
            }
            // What lies beyond the first and the last level belongs to them.
            levels.push(((x + 1.0) * 127.5).round().clamp(0.0, 255.0));
        }
        Tensor::cat(levels, 1)
    }
}

/// Levels from 0 to 255 as numbers from -1 to 1.
pub(super) fn to_real<B: Backend, const D: usize>(levels: Tensor<B, D>) -> Tensor<B, D> {
    levels / 127.5 - 1.0
}

/// `log(1 - e^{-δ})`, from `log δ`: exact to rounding for every δ, however small.
///
/// Below 1, `log δ - δ/2 + log(sinh(δ/2) / (δ/2))`, the last by its series in `(δ/2)²`, whose first term left out is below 3e-9.
fn log_one_minus_exp<B: Backend, const D: usize>(log_delta: Tensor<B, D>) -> Tensor<B, D> {
    let delta = log_delta.clone().exp();
    // Each side gets only what it is for, so that neither has an infinite gradient that the other's mask would turn into NaN.
    let large = delta.clone().clamp_min(1.0).neg().exp().neg().log1p();
    let half = delta.clone().clamp_max(1.0) * 0.5;
    let square = half.clone() * half.clone();
    let series = ((square.clone() * (-1.0 / 37800.0) + 1.0 / 2835.0) * square.clone()
        - 1.0 / 180.0)
        * square.clone()
        + 1.0 / 6.0;
    let small = log_delta - half + series * square;
    large.mask_where(delta.lower_elem(1.0), small)
}
