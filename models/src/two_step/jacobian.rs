//! Jacobians of decoders.

use atypical_forward::{Forward, jvp};
use burn::tensor::{Tensor, backend::Backend};

/// The Jacobian `J[b, i, k] = ∂x_i / ∂z_k` of a decoder `x = decoder(z)` at every latent of a batch, by forward mode: all `d` directions of all
/// latents are one evaluation of the decoder, which must treat the rows of a batch alike.
///
/// Its activations are held `1 + d` times for the whole batch; [`volume`](super::volume) takes a batch in chunks.
///
/// # Shapes
/// - z: `[batch, d]`
/// - output: `[batch, D, d]`
///
/// # Panics
/// Where the decoder applies an operation that forward mode has no rule for; the message names it.
pub fn decoder_jacobian<B: Backend>(
    decoder: impl Fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2>,
    z: Tensor<B, 2>,
) -> Tensor<B, 3> {
    let [batch, d] = z.dims();
    let axes = Tensor::<B, 2>::eye(d, &z.device()).cast(z.dtype());
    let directions = axes.reshape([d, 1, d]).expand([d, batch, d]);
    let derivative: Result<(Tensor<B, 2>, Tensor<B, 3>), _> = jvp(decoder, z, directions);
    match derivative {
        Ok((_, products)) => products.permute([1, 2, 0]),
        Err(error) => panic!("the decoder cannot be differentiated: {error}"),
    }
}
