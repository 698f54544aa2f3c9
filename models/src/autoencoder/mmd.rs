//! The maximum mean discrepancy.

use burn::tensor::{Tensor, backend::Backend};

/// Unbiased estimate of the squared maximum mean discrepancy between the distributions of two samples (Gretton et al. 2012), with the inverse multiquadratic kernel
/// `k(a, b) = C / (C + |a - b|²)`:
///
/// ```text
/// 1/(n (n - 1)) Σ_{i ≠ j} k(p_i, p_j) + 1/(m (m - 1)) Σ_{i ≠ j} k(q_i, q_j) - 2/(n m) Σ_{i, j} k(p_i, q_j).
/// ```
///
/// It is 0 in expectation where the distributions are the same, hence also negative at times. NaN where a sample has one row only, and no
/// pairs.
///
/// # Shapes
/// - p: `[n, d]`; q: `[m, d]`
/// - output: `[1]`
pub fn mmd<B: Backend>(p: Tensor<B, 2>, q: Tensor<B, 2>, c: f64) -> Tensor<B, 1> {
    let within = |x: Tensor<B, 2>| {
        let n = x.dims()[0] as f64;
        // Those of i = j are 1 each, exactly.
        (kernel(x.clone(), x, c).sum() - n) / (n * (n - 1.0))
    };
    let across = kernel(p.clone(), q.clone(), c).mean();
    within(p) + within(q) - across * 2.0
}

/// `[n, m]`, of all differences: the expansion of the square would cancel where points are near each other and far from the origin.
fn kernel<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>, c: f64) -> Tensor<B, 2> {
    let differences = a.unsqueeze_dim::<3>(1) - b.unsqueeze_dim::<3>(0);
    let distances = differences.powi_scalar(2).sum_dim(2).squeeze_dim::<2>(2);
    // Not by burn's reciprocal, which its NdArray backend rounds to four digits.
    distances.full_like(c) / (distances + c)
}
