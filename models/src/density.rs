//! What the framework asks of a model that has a density.

use burn::tensor::{Tensor, backend::Backend};

/// A model with a tractable density on vectors of dimension `D` (images are flattened, channels first).
pub trait DensityModel<B: Backend> {
    /// Dimension `D` of one input.
    fn dimension(&self) -> usize;

    /// Log-density of each input, in nats.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch]`
    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1>;

    /// `n` draws from the model; the backend's random generator decides which ([`Backend::seed`]).
    ///
    /// # Shapes
    /// - output: `[n, D]`
    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2>;
}

/// A model that represents an input by a latent vector and makes an input of a latent.
pub trait LatentModel<B: Backend> {
    /// Dimension `d` of the latent.
    fn latent_dimension(&self) -> usize;

    /// The latent of each input; where the encoder is random, its mean.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch, d]`
    fn encode(&self, x: Tensor<B, 2>) -> Tensor<B, 2>;

    /// The input that each latent stands for; where the decoder is random, its mean.
    ///
    /// # Shapes
    /// - z: `[batch, d]`
    /// - output: `[batch, D]`
    fn decode(&self, z: Tensor<B, 2>) -> Tensor<B, 2>;
}

/// Bits per dimension of images with 256 levels that were scaled to [0, 1].
///
/// `log_prob` is the log-density, in nats, of `x = (pixel + u) / 256` on the unit cube. The discrete pixel has probability
/// density per level `p(pixel) = p(x) / 256` in each dimension, hence
/// `bpd = -log_prob / (D ln 2) + 8`: the factor 1/256 is included.
pub fn bits_per_dimension(log_prob: f64, dimension: usize) -> f64 {
    8.0 - log_prob / (dimension as f64 * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::bits_per_dimension;

    #[test]
    fn the_uniform_density_costs_eight_bits() {
        assert_eq!(bits_per_dimension(0.0, 784), 8.0);
    }

    #[test]
    fn a_density_twice_as_high_in_every_dimension_saves_one_bit() {
        assert!((bits_per_dimension(3.0 * std::f64::consts::LN_2, 3) - 7.0).abs() < 1e-12);
    }
}
