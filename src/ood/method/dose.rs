//! Density of states (DoSE; Morningstar et al. 2021, arXiv 2006.09273): `Σ_j log q_j(T_j(x))`, each `q_j` a Gaussian kernel density, fitted on training
//! images, of the statistic `T_j`. An image is in-distribution if all its statistics are common ones.

use super::{FitError, Reads, Scoring, Spec, deviation, log_sum_exp};

const TITLE: &str = "DoSE";

pub const SPEC: Spec = Spec {
    title: TITLE,
    reads: Reads::All,
    scoring: Scoring::Fitted {
        least: 2,
        fit: |train| {
            let densities: Vec<Kernel> =
                train.iter().map(|c| Kernel::fit(c)).collect::<Result<_, _>>()?;
            Ok(Box::new(move |v| densities.iter().zip(v).map(|(q, &t)| q.log_density(t)).sum()))
        },
    },
};

/// Kernel density with the bandwidth of Scott's rule, `σ n^(-1/5)`.
struct Kernel {
    points: Vec<f64>,
    bandwidth: f64,
}

impl Kernel {
    fn fit(points: &[f64]) -> Result<Self, FitError> {
        let n = points.len();
        let bandwidth = deviation(points) * (n as f64).powf(-0.2);
        if !(bandwidth > 0.0 && bandwidth.is_finite()) {
            return Err(FitError::Degenerate { method: TITLE });
        }
        Ok(Self { points: points.to_vec(), bandwidth })
    }

    fn log_density(&self, t: f64) -> f64 {
        let scale = self.bandwidth * (2.0 * std::f64::consts::PI).sqrt() * self.points.len() as f64;
        let terms = self.points.iter().map(|p| -0.5 * ((t - p) / self.bandwidth).powi(2));
        log_sum_exp(terms) - scale.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_of_two_points_are_those_by_hand() {
        let kernel = Kernel::fit(&[0.0, 2.0]).unwrap();
        let h = 2.0f64.sqrt() * 2.0f64.powf(-0.2);
        let normal =
            |d: f64| (-0.5 * (d / h).powi(2)).exp() / (h * (2.0 * std::f64::consts::PI).sqrt());
        for t in [-1.0, 0.0, 1.0, 7.0] {
            let expected = ((normal(t) + normal(t - 2.0)) / 2.0).ln();
            assert!((kernel.log_density(t) - expected).abs() < 1e-12);
        }
        // Far out it falls on, where the density itself is zero in f64.
        assert!(kernel.log_density(1e3) > kernel.log_density(2e3));
    }

    #[test]
    fn statistics_add_up_and_constants_are_refused() {
        let (a, b) = ([0.0, 1.0, 2.0], [5.0, 6.0, 9.0]);
        let both = SPEC.score(&[&a, &b]).unwrap();
        let [a, b] = [&a, &b].map(|c| Kernel::fit(c).unwrap());
        assert!((both(&[0.5, 7.0]) - a.log_density(0.5) - b.log_density(7.0)).abs() < 1e-12);
        let refused = |train: &[f64]| SPEC.score(&[train]).err().unwrap();
        assert_eq!(refused(&[3.0, 3.0]), FitError::Degenerate { method: TITLE });
        assert_eq!(refused(&[3.0]), FitError::TooFew { method: TITLE, needed: 2, found: 1 });
    }
}
