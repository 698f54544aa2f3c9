//! LID from how fast the density falls as noise is added.

use super::LidEstimator;
use serde::{Deserialize, Serialize};

/// LIDL (Tempczyk et al. 2022, "LIDL: Local Intrinsic Dimension Estimation Using Approximate Likelihood", arXiv 2206.14882): the
/// density of the data convolved with `N(0, δ² I)` falls at a point of the manifold as `log p_δ(x) ≈ (LID - D) log δ + c` for small δ.
/// An ensemble of models, each trained on data with noise of another δ, gives `log p_δ(x)`; the slope of its regression on `log δ`
/// gives `LID(x) = D + slope`.
#[derive(Clone, Copy, Debug)]
pub struct Lidl;

/// `log p_δ(x)` of one sample, in nats, at several δ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Densities {
    dimension: usize,
    /// `(log δ, log p_δ)`, those that are finite.
    points: Vec<(f64, f64)>,
    /// How many were not.
    pub not_finite: usize,
}

impl Densities {
    /// Log-densities in dimension `dimension`, one a δ; those that are not finite are left out and counted.
    pub fn new(dimension: usize, deltas: &[f64], log_densities: &[f64]) -> Self {
        let pairs = deltas.iter().map(|d| d.ln()).zip(log_densities.iter().copied());
        let points: Vec<(f64, f64)> = pairs.filter(|(_, p)| p.is_finite()).collect();
        let not_finite = deltas.len() - points.len();
        Self { dimension, points, not_finite }
    }
}

/// `count` geometrically spaced δ from `low` to `high`; the paper's and the reference's are 8 from 0.01 to 0.1.
pub fn deltas(low: f64, high: f64, count: usize) -> Vec<f64> {
    let step = (high / low).ln() / (count.max(2) - 1) as f64;
    (0..count).map(|i| low * (step * i as f64).exp()).collect()
}

impl LidEstimator for Lidl {
    type Prepared = Densities;

    /// NaN where fewer than two densities are finite.
    fn lid(&self, densities: &Densities, _r: f64) -> f64 {
        let points = &densities.points;
        let n = points.len() as f64;
        let [x, y] =
            [0, 1].map(|i| points.iter().map(|p| if i == 0 { p.0 } else { p.1 }).sum::<f64>() / n);
        let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        let variance: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
        densities.dimension as f64 + covariance / variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gaussian_on_a_plane_has_the_dimension_of_the_plane() {
        // N(0, diag(1, …, 1, 0, …, 0)) of rank d in dimension 10, convolved: variances 1 + δ² and δ², in closed form.
        let deltas = deltas(0.01, 0.1, 8);
        for d in [1, 4, 9] {
            let x: Vec<f64> =
                (0..10).map(|i| if i < d { 0.3 * i as f64 - 1.0 } else { 0.0 }).collect();
            let log_density = |delta: &f64| -> f64 {
                x.iter()
                    .enumerate()
                    .map(|(i, x)| {
                        let variance = delta.powi(2) + f64::from(u8::from(i < d));
                        -0.5 * ((std::f64::consts::TAU * variance).ln() + x * x / variance)
                    })
                    .sum()
            };
            let densities: Vec<f64> = deltas.iter().map(log_density).collect();
            let lid = Lidl.lid(&Densities::new(10, &deltas, &densities), 0.0);
            assert!((lid - d as f64).abs() < 0.02, "{lid}, not {d}");
        }
    }

    #[test]
    fn the_deltas_are_those_of_the_reference() {
        let expected = [0.01, 0.013895, 0.019307, 0.026827, 0.037276, 0.051795, 0.071969, 0.1];
        for (got, expected) in deltas(0.01, 0.1, 8).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_counted() {
        let densities =
            Densities::new(3, &[0.1, 0.2, 0.4], &[1.0, f64::NAN, 1.0 - 2f64.ln() * 2.0]);
        assert_eq!(densities.not_finite, 1);
        assert!((Lidl.lid(&densities, 0.0) - 2.0).abs() < 1e-12);
        let none = Densities::new(3, &[0.1, 0.2], &[f64::NAN, 1.0]);
        assert!(Lidl.lid(&none, 0.0).is_nan());
    }
}
