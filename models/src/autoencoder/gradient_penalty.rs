//! The penalty on a critic's gradient, which is differentiated by the critic's weights: a second derivative, with one pass in reverse mode
//! and one forward.

use super::Critic;
use atypical_forward::{Forward, jvp, on_forward};
use burn::{
    module::Module,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// `mean((|∇_u D(u)| - 1)²)` over the rows of a batch, which holds the critic D to slopes of 1 (Gulrajani et al. 2017, arXiv 1704.00028). Its gradient reaches the weights θ of D, not u.
///
/// Reverse mode here cannot be nested. But with `v = 2 (|g| - 1) / |g| · g / batch` at `g = ∇_u D(u)`, taken as a constant, the gradient is
///
/// ```text
/// ∇_θ mean((|∇_u D(u)| - 1)²) = Σ ∇_θ (vᵀ ∇_u D(u)),
/// ```
///
/// and `vᵀ ∇_u D(u)` is the derivative of D along v, for which forward mode carries v along u through D once: an expression in θ like any
/// other. Nothing is approximated. Where g vanishes, so does v, as the gradient of the norm there is taken to be 0.
///
/// # Shapes
/// - u: `[batch, inputs]`
/// - output: `[1]`
pub fn gradient_penalty<B: AutodiffBackend>(
    critic: &Critic<B>,
    u: Tensor<B::InnerBackend, 2>,
) -> Tensor<B, 1> {
    let at = Tensor::<B, 2>::from_inner(u.clone()).require_grad();
    let gradients = critic.clone().no_grad().forward(at.clone()).sum().backward();
    let gradient = at.grad(&gradients).expect("the critic depends on its input");
    let (length, direction) = polar(gradient);
    let excess = length - 1.0;
    let along = direction * (excess.clone() * (2.0 / u.dims()[0] as f64));

    let twin: Critic<Forward<B>> = on_forward(critic.clone());
    let (u, along) = (Tensor::from_inner(u), Tensor::from_inner(along.unsqueeze_dim::<3>(0)));
    let (_, slopes): (_, Tensor<B, 2>) =
        jvp(|u| twin.forward(u), u, along).expect("every operation of the critic has its rule");
    let slope = slopes.sum();
    // The derivative is that of `slope`, the value the penalty's own.
    let value = excess.powi_scalar(2).mean();
    let constant = Tensor::from_inner(value - slope.clone().inner());
    slope + constant
}

/// Lengths `[batch, 1]` and directions `[batch, n]` of the rows; the direction of a row of zeros is zero. Rows are divided by their largest
/// entry first, whose square may be out of range.
fn polar<B: Backend>(rows: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let or_one = |x: Tensor<B, 2>| x.clone().mask_fill(x.equal_elem(0.0), 1.0);
    let largest = rows.clone().abs().max_dim(1);
    let scaled = rows / or_one(largest.clone());
    let length = scaled.clone().powi_scalar(2).sum_dim(1).sqrt();
    let direction = scaled / or_one(length.clone());
    (length * largest, direction)
}
