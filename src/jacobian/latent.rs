//! The Jacobian of a decoder from a latent of another dimension than the data's.

use super::{JacobianError, Memory, finite};
use atypical_forward::{Forward, jvp, on_forward};
use atypical_models::{DensityModel, FlowBackend, LatentModel, Model};
use burn::tensor::Tensor;

/// Values that one direction is at most worth while it passes through a decoder, in parts of the data's dimension: the widest map of a convolutional decoder with 64 channels.
const WIDTH: usize = 64;

/// Jacobian `dx/dz` of the decoder of any model with latents at one latent, by forward mode.
///
/// # Shapes
/// - z: `[1, d]`
/// - output: `D x d` values, row-major, row i the gradient of `x_i`
///
/// # Errors
/// Several points, too little memory, NaN or infinite entries.
pub fn of_latent_model<B: FlowBackend>(
    model: &Model<B>,
    z: Tensor<B, 2>,
    memory: Memory,
) -> Result<Vec<f32>, JacobianError> {
    let ([points, d], dimension) = (z.dims(), model.dimension());
    if points != 1 {
        return Err(JacobianError::Points(points));
    }
    let chunk = memory.directions(4 * WIDTH * dimension, 4 * d * dimension, d, d)?;
    let twin: Model<Forward<B>> = on_forward(model.clone());
    let mut columns = Vec::with_capacity(d.div_ceil(chunk));
    for directions in Tensor::<B, 2>::eye(d, &z.device()).split(chunk, 0) {
        let count = directions.dims()[0];
        let tangents = directions.reshape([count, 1, d]);
        let (_, products): (_, Tensor<B, 3>) = jvp(|z| twin.decode(z), z.clone(), tangents)?;
        columns.push(products.reshape([count, dimension]));
    }
    let jacobian = Tensor::cat(columns, 0).transpose();
    finite(jacobian.into_data().iter::<f32>().collect(), d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::{
        AnyAutoencoder,
        autoencoder::{Vae, VaeConfig},
        network::{Activation, Decoder, NetworkConfig},
    };
    use burn::backend::Flex;

    /// Of a linear decoder it is the weights, whatever goes together.
    #[test]
    fn the_jacobian_of_a_linear_decoder_is_its_matrix() {
        let device = Default::default();
        let config = VaeConfig {
            shape: [2048, 1, 1],
            latent: 3,
            network: NetworkConfig::Mlp { hidden: vec![], activation: Activation::Relu },
            ..Default::default()
        };
        let vae = Vae::<Flex>::new(&config, 0, &device).unwrap();
        let Decoder::Mlp(decoder) = &vae.decoder else { panic!("fully connected") };
        let weights = decoder.layers[0].weight.val();
        assert_eq!(weights.dims(), [2048, 3]);
        let expected: Vec<f32> = weights.into_data().iter::<f32>().collect();
        let model = Model::Autoencoder(AnyAutoencoder::Vae(vae));
        let z = Tensor::from_floats([[0.5, -1.0, 2.0]], &device);
        // In 1 MiB one direction goes at a time.
        for memory in [Memory::mib(1), Memory::mib(100)] {
            assert_eq!(of_latent_model(&model, z.clone(), memory).unwrap(), expected);
        }
        let two = Tensor::cat(vec![z.clone(), z], 0);
        let error = of_latent_model(&model, two, Memory::mib(100));
        assert_eq!(error, Err(JacobianError::Points(2)));
    }
}
