//! Samples of a flow.

use atypical_models::{DensityModel, FlowBackend, flow::Flow};

/// Samples drawn in one pass: bounds the memory.
const BATCH: usize = 256;

/// `n` samples, one after the other; the backend's random generator decides which.
///
/// # Shapes
/// - output: `n x D` values, row-major
pub fn draw<B: FlowBackend>(flow: &Flow<B>, n: usize, device: &B::Device) -> Vec<f32> {
    let mut samples = Vec::with_capacity(n * flow.dimension());
    for from in (0..n).step_by(BATCH) {
        let batch = flow.sample(BATCH.min(n - from), device);
        samples.extend(batch.into_data().iter::<f32>());
    }
    samples
}
