//! How fast a backend is here, in one number.

use burn::tensor::{Distribution, Tensor, backend::Backend};
use std::time::Instant;

/// Floating-point operations a second in products of square f32 matrices: the best rate over sizes from 128 up to 4096, or to the
/// first product that takes more than a twentieth of a second.
pub fn speed<B: Backend>(device: &B::Device) -> f64 {
    const LONGEST: f64 = 0.05;
    let mut best = 0.0f64;
    for n in [128, 256, 512, 1024, 2048, 4096] {
        let a = Tensor::<B, 2>::random([n, n], Distribution::Uniform(-1.0, 1.0), device);
        // Reading one number waits for the product.
        let product = || a.clone().matmul(a.clone()).narrow(0, 0, 1).narrow(1, 0, 1).into_data();
        product();
        let start = Instant::now();
        product();
        let seconds = start.elapsed().as_secs_f64();
        best = best.max(2.0 * (n as f64).powi(3) / seconds);
        if seconds > LONGEST {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_processor_multiplies_more_than_a_million_times_a_second() {
        let speed = super::speed::<burn::backend::Flex>(&Default::default());
        assert!(speed.is_finite() && speed > 1e6, "{speed}");
    }
}
