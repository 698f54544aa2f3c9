//! What the latent alone tells.

use std::f64::consts::{LN_2, PI};

/// Log of the standard normal's distribution function.
pub(crate) fn log_cdf(z: f64) -> f64 {
    if z > -30.0 {
        return libm::erfc(-z / std::f64::consts::SQRT_2).ln() - LN_2;
    }
    // The asymptotic series, where erfc underflows soon; its next term is below 1e-8.
    let square = z * z;
    -0.5 * square - (-z).ln() - 0.5 * (2.0 * PI).ln()
        + (-1.0 / square + 3.0 / (square * square)).ln_1p()
}

/// `Σ_i log [Φ(z_i + r) - Φ(z_i - r)]`: the mass that the standard normal puts into a box of half-width `r` around `z`.
pub fn log_box_mass(z: &[f64], r: f64) -> f64 {
    // By symmetry in the lower tail, where the distribution function keeps its digits.
    let mass = |z: &f64| {
        let (upper, lower) = (log_cdf(r - z.abs()), log_cdf(-r - z.abs()));
        upper + (-(lower - upper).exp()).ln_1p()
    };
    z.iter().map(mass).sum()
}

/// The Anderson-Darling statistic of values against the standard normal (Anderson & Darling 1954):
/// `A² = -n - (1/n) Σ_i (2i - 1) [log Φ(z_(i)) + log (1 - Φ(z_(n+1-i)))]`, the values in rising order. NaN where a value is.
pub fn anderson_darling(values: &[f64]) -> f64 {
    let mut z = values.to_vec();
    z.sort_by(f64::total_cmp);
    let n = z.len() as f64;
    let sum: f64 = z
        .iter()
        .zip(z.iter().rev())
        .enumerate()
        .map(|(i, (low, high))| (2.0 * i as f64 + 1.0) * (log_cdf(*low) + log_cdf(-high)))
        .sum();
    -n - sum / n
}

/// The share of standard normal samples whose [`anderson_darling`] statistic is larger: the asymptotic distribution by Marsaglia & Marsaglia (2004),
/// good to 1e-5 from some tens of values on.
pub fn p_value(a2: f64) -> f64 {
    if a2 <= 0.0 {
        return 1.0;
    }
    let horner = |coefficients: &[f64]| coefficients.iter().rev().fold(0.0, |sum, c| c + a2 * sum);
    if a2 < 2.0 {
        let series = [2.00012, 0.247105, -0.0649821, 0.0347962, -0.0116720, 0.00168691];
        1.0 - (-1.2337141 / a2).exp() / a2.sqrt() * horner(&series)
    } else {
        let series = [1.0776, -2.30695, 0.43424, -0.082433, 0.008056, -0.0003146];
        -(-horner(&series).exp()).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifold::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn one_value_is_by_hand() {
        // At the median both terms are log 1/2.
        assert!((anderson_darling(&[0.0]) - (2.0 * LN_2 - 1.0)).abs() < 1e-15);
        assert!(anderson_darling(&[0.0, f64::NAN]).is_nan());
    }

    #[test]
    fn the_tail_goes_on_smoothly() {
        // R: pnorm(-30, log.p = TRUE) = -454.3212440, pnorm(-40, log.p = TRUE) = -804.6084420.
        assert!((log_cdf(-29.999_999) - log_cdf(-30.000_001)).abs() < 1e-4);
        assert!((log_cdf(-30.0) + 454.321_243_96).abs() < 1e-6);
        assert!((log_cdf(-40.0) + 804.608_442_01).abs() < 1e-6);
        assert!(anderson_darling(&[1e3, -1e3]).is_finite());
    }

    #[test]
    fn box_masses_are_those_of_the_normal() {
        // Within one and two standard deviations.
        assert!((log_box_mass(&[0.0], 1.0) - 0.682_689_492_137_f64.ln()).abs() < 1e-12);
        let two = 0.954_499_736_104_f64;
        assert!((log_box_mass(&[0.0, 1.0], 2.0) - two.ln() - 0.839_994_848_f64.ln()).abs() < 1e-8);
        assert_eq!(log_box_mass(&[-3.0], 0.5), log_box_mass(&[3.0], 0.5));
        // Far out, a thin box is density times width: e^(-z²/2) sinh(z r) / (z r) more, to first order.
        let (z, r) = (50.0f64, 1e-3f64);
        let expected = -0.5 * z * z - 0.5 * (2.0 * PI).ln() + (2.0 * r).ln();
        assert!((log_box_mass(&[z], r) - expected - ((z * r).sinh() / (z * r)).ln()).abs() < 1e-6);
    }

    #[test]
    fn p_values_are_those_of_the_tables() {
        // Critical values for a known distribution (D'Agostino & Stephens 1986).
        for (p, a2) in [(0.10, 1.933), (0.05, 2.492), (0.025, 3.070), (0.01, 3.857)] {
            assert!((p_value(a2) - p).abs() < 3e-4, "{a2}: {}, not {p}", p_value(a2));
        }
        assert_eq!((p_value(0.0), p_value(1e6)), (1.0, 0.0));
    }

    #[test]
    fn the_rate_of_false_alarms_is_the_one_stated() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let samples = 4000;
        let alarms = (0..samples)
            .filter(|_| {
                let z: Vec<f64> = (0..100).map(|_| normal(&mut rng)).collect();
                p_value(anderson_darling(&z)) < 0.05
            })
            .count();
        // 200 expected, with a standard deviation of 14.
        assert!((150..250).contains(&alarms), "{alarms}");
    }
}
