//! Where a learned standard deviation of a decoder starts.

use burn::{
    module::Param,
    tensor::{Tensor, backend::Backend},
};

/// Set `log σ` to that of a batch around its mean in each coordinate: what a decoder that knows nothing but the mean leaves over. A batch without any deviation changes nothing.
///
/// # Shapes
/// - x: `[batch, D]`
pub(super) fn start_from<B: Backend>(log_sigma: &mut Param<Tensor<B, 1>>, x: Tensor<B, 2>) {
    let deviation = x.clone() - x.mean_dim(0);
    let variance = deviation.powi_scalar(2).mean().into_data().iter::<f64>().sum::<f64>();
    if variance > 0.0 && variance.is_finite() {
        let start = 0.5 * variance.ln();
        *log_sigma = log_sigma.clone().map(|old| {
            Tensor::full(old.dims(), start, &old.device()).set_require_grad(old.is_require_grad())
        });
    }
}
