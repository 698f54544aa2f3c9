//! The trace of f(A) from random signs, and how far off it may be.

/// Hutchinson's trace estimate with its standard error, accumulated probe by probe.
///
/// With random signs g, `gᵀ F g` has mean `tr F` and variance `2 Σ_{i≠j} F_ij² = 2 (‖F‖² - Σ F_ii²)`. Both terms can be estimated:
/// `‖F g‖²` has mean `‖F‖²`, and `d = g ∘ (F g)` has mean `diag F`, so that for two probes `d₁ᵀ d₂` has mean `Σ F_ii²`. That uses D
/// numbers a probe where the spread of a few values of `gᵀ F g` would be one.
#[derive(Clone, Debug)]
pub struct Trace {
    sum: Vec<f64>,
    squares: f64,
    probes: usize,
}

impl Trace {
    /// No probes yet, for dimension `dimension`.
    pub fn new(dimension: usize) -> Self {
        Self { sum: vec![0.0; dimension], squares: 0.0, probes: 0 }
    }

    /// Take a probe g and `F g`.
    pub fn add(&mut self, probe: &[f64], product: &[f64]) {
        for ((sum, g), f) in self.sum.iter_mut().zip(probe).zip(product) {
            *sum += g * f;
            self.squares += f * f;
        }
        self.probes += 1;
    }

    /// Standard error of the mean over all probes; none before the second.
    pub fn standard_error(&self) -> Option<f64> {
        if self.probes < 2 {
            return None;
        }
        let m = self.probes as f64;
        let cross = (self.sum.iter().map(|s| s * s).sum::<f64>() - self.squares) / (m * (m - 1.0));
        Some((2.0 * (self.squares / m - cross) / m).max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lid::matrix_free::estimate::signs;

    #[test]
    fn the_standard_error_is_the_spread_of_the_estimates() {
        // F = a diagonal and a band beside it.
        let n = 60;
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => (i as f64 / 10.0).sin().abs(),
            1..=3 => 0.2,
            _ => 0.0,
        };
        let multiply = |g: &[f64]| -> Vec<f64> {
            (0..n).map(|i| (0..n).map(|j| entry(i, j) * g[j]).sum()).collect()
        };
        let trace: f64 = (0..n).map(|i| entry(i, i)).sum();
        let (mut errors, mut claimed) = (0.0, 0.0);
        let repeats = 400;
        for seed in 0..repeats {
            let mut estimate = Trace::new(n);
            let mut mean = 0.0;
            for probe in 0..3 {
                let g = signs(seed, probe, n);
                let f = multiply(&g);
                mean += g.iter().zip(&f).map(|(g, f)| g * f).sum::<f64>() / 3.0;
                estimate.add(&g, &f);
            }
            errors += (mean - trace).powi(2) / repeats as f64;
            claimed += estimate.standard_error().unwrap().powi(2) / repeats as f64;
        }
        let ratio = (claimed / errors).sqrt();
        // 400 squared errors have a relative spread of sqrt(2/400) = 0.07.
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
        let mut one = Trace::new(n);
        one.add(&signs(0, 0, n), &vec![1.0; n]);
        assert_eq!(one.standard_error(), None);
    }
}
