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
