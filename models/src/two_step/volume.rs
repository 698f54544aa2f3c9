//! The density on the manifold.

use super::{decoder_jacobian, log_det};
use crate::{
    DensityModel, LatentModel,
    ops::{FlowBackend, product},
};
use atypical_forward::Forward;
use burn::tensor::Tensor;

/// `½ log det JᵀJ`, in nats, with `J = ∂decoder/∂z` at every latent: the log of the volume that the decoder makes of a unit of volume around the latent.
///
/// Not a number where `JᵀJ` is not positive definite: where the decoder is flat in some direction (always, if `d > D`), or so nearly that the numbers cannot
/// tell. In f32 that starts where the ratio of J's largest to its smallest singular value, its columns scaled to one length, is in the thousands. Nothing is added to make it definite.
///
/// `chunk` latents at a time, so that no more than `(1 + d) · chunk` activations of the decoder are held at once; where gradients are asked for, they
/// are held for the whole batch nevertheless.
///
/// # Shapes
/// - z: `[batch, d]`
/// - decoder: from `[rows, d]` to `[rows, D]`, treating all rows alike
/// - output: `[batch]`
///
/// # Panics
/// Where `chunk` is 0, and as [`decoder_jacobian`] does.
pub fn volume<B: FlowBackend>(
    decoder: impl Fn(Tensor<Forward<B>, 2>) -> Tensor<Forward<B>, 2>,
    z: Tensor<B, 2>,
    chunk: usize,
) -> Tensor<B, 1> {
    let volumes = z.split(chunk, 0).into_iter().map(|z| {
        let jacobian = decoder_jacobian(&decoder, z);
        log_det(product(jacobian.clone().swap_dims(1, 2), jacobian)) * 0.5
    });
    Tensor::cat(volumes.collect(), 0)
}

/// `log p(x) = log p(z) - ½ log det JᵀJ` with `z = encode(x)`, in nats: the density on the manifold of the point that `z` decodes to, which is x
/// if it is on the manifold.
///
/// `twin` is the autoencoder on the forward-mode backend, as [`on_forward`](atypical_forward::on_forward) makes it; `chunk` and
/// what is not a number are those of [`volume`].
///
/// # Shapes
/// - x: `[batch, D]`
/// - output: `[batch]`
///
/// # Panics
/// As [`volume`] does.
pub fn log_prob<B: FlowBackend>(
    autoencoder: &impl LatentModel<B>,
    twin: &impl LatentModel<Forward<B>>,
    density: &impl DensityModel<B>,
    x: Tensor<B, 2>,
    chunk: usize,
) -> Tensor<B, 1> {
    let z = autoencoder.encode(x);
    density.log_prob(z.clone()) - volume(|z| twin.decode(z), z, chunk)
}
