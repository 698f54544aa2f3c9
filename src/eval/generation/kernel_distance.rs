//! The kernel distance of Bińkowski, Sutherland, Arbel & Gretton, "Demystifying MMD GANs", ICLR 2018 (arXiv 1801.01401).

use super::{EvalError, Points};
use crate::data::epoch_order;
use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Subsets at least: what the standard error is estimated from.
const SUBSETS: usize = 10;

/// Points of a subset at most, or nearly: its kernel matrix takes 8 MB.
const SIZE: usize = 1000;

/// Points that an unbiased estimate needs on each side.
const PAIR: usize = 2;

/// Samples that a comparison needs on each side, at least.
pub const FEWEST: usize = PAIR * SUBSETS;

/// The squared maximum mean discrepancy (MMD) of two distributions under the kernel `k(a, b) = (aᵀb / d + 1)³`, which sees the moments up to the third.
///
/// Each side is divided at random into as many subsets, ten or more; no sample is in two of them. A pair of subsets `x_1..x_m`, `y_1..y_n` gives the unbiased estimate
///
/// `MMD² = Σ_{i≠j} k(x_i, x_j) / (m (m-1)) + Σ_{i≠j} k(y_i, y_j) / (n (n-1)) - 2 Σ_{ij} k(x_i, y_j) / (m n)`.
///
/// The mean of them is unbiased too, hence below 0 now and then where the distributions are the same. As the subsets are disjoint the estimates are independent, which those from
/// overlapping subsets are not: the standard error is honest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelDistance {
    /// Mean of the estimates.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl KernelDistance {
    /// Estimate it; `seed` decides who is in which subset.
    ///
    /// # Errors
    /// Fewer than 20 points on a side, points of different dimensions, numbers that are not finite or whose third powers overflow.
    ///
    /// # Performance
    /// O(n · size · d) in time with subsets of at most about 1000 points, whose kernel matrix (8 MB) each thread holds.
    pub fn new(generated: &Points, real: &Points, seed: u64) -> Result<Self, EvalError> {
        check(generated, real)?;
        let order = |points: &Points, side| epoch_order(points.len(), seed, side);
        let orders = [order(generated, 0), order(real, 1)];
        let subsets = subsets(generated.len().max(real.len()));
        Self::over_subsets([generated, real], &orders, subsets)
    }

    /// Over subsets of the points in these orders, one after the other.
    fn over_subsets(
        points: [&Points; 2],
        orders: &[Vec<usize>; 2],
        subsets: usize,
    ) -> Result<Self, EvalError> {
        let of_subset = |s: usize| {
            let [x, y] = [0, 1].map(|side| {
                let order = &orders[side];
                let bound = |s: usize| s * order.len() / subsets;
                points[side].select(&order[bound(s)..bound(s + 1)])
            });
            squared_mmd(&x, &y)
        };
        let estimates: Vec<f64> = (0..subsets).into_par_iter().map(of_subset).collect();
        let m = subsets as f64;
        let value = estimates.iter().sum::<f64>() / m;
        let variance = estimates.iter().map(|e| (e - value).powi(2)).sum::<f64>() / (m - 1.0);
        if !variance.is_finite() {
            return Err(EvalError::TooLarge);
        }
        Ok(Self { value, standard_error: (variance / m).sqrt() })
    }
}

/// Subsets of `n` points: [`SUBSETS`], or more where they would be larger than [`SIZE`].
fn subsets(n: usize) -> usize {
    n.div_ceil(SIZE).max(SUBSETS)
}

/// Refuse points that cannot be compared; the side with more of them says how many subsets there are.
pub(super) fn check(generated: &Points, real: &Points) -> Result<(), EvalError> {
    Points::check(generated, real, PAIR * subsets(generated.len().max(real.len())))
}

/// The unbiased estimate of one pair of subsets.
fn squared_mmd(x: &Points, y: &Points) -> f64 {
    let pairs = (x.len() * y.len()) as f64;
    among(x) + among(y) - 2.0 * between(x, y).0 / pairs
}

/// Mean of the kernel over pairs of different points.
fn among(x: &Points) -> f64 {
    let (all, diagonal) = between(x, x);
    let n = x.len() as f64;
    (all - diagonal) / (n * (n - 1.0))
}

/// Sum of the kernel over all pairs, and over pairs of the same number.
fn between(x: &Points, y: &Points) -> (f64, f64) {
    let d = x.dimension();
    let columns = |points| {
        let points: &Points = points;
        MatRef::from_column_major_slice(points.values(), d, points.len())
    };
    let mut products = Mat::<f64>::zeros(x.len(), y.len());
    let scale = 1.0 / d as f64;
    matmul(products.as_mut(), Accum::Replace, columns(x).transpose(), columns(y), scale, Par::Seq);
    let kernel = |product: &f64| (product + 1.0).powi(3);
    // Column by column: rounding errors of long sums stay small.
    let all = (0..y.len()).map(|j| products.col_as_slice(j).iter().map(kernel).sum::<f64>()).sum();
    let diagonal = (0..x.len().min(y.len())).map(|i| kernel(&products[(i, i)])).sum();
    (all, diagonal)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GENERATED, REAL, tests::goldens},
        *,
    };
    use crate::data::normal;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn line(n: usize, mean: f64, rng: &mut Xoshiro256PlusPlus) -> Points {
        Points::new((0..n).map(|_| mean + normal(rng)).collect(), 1)
    }

    #[test]
    fn agrees_with_numpy() {
        for golden in goldens().clouds {
            let (x, y) = golden.points();
            let found = squared_mmd(&x, &y);
            let scale = golden.squared_mmd.abs().max(1e-3);
            assert!((found - golden.squared_mmd).abs() < 1e-11 * scale, "{}: {found}", golden.name);
            let orders = [&x, &y].map(|points| (0..points.len()).collect());
            let found = KernelDistance::over_subsets([&x, &y], &orders, golden.subsets).unwrap();
            let expected = golden.kernel_distance;
            for (found, expected) in
                [(found.value, expected.value), (found.standard_error, expected.standard_error)]
            {
                assert!(
                    (found - expected).abs() < 1e-11 * expected.abs().max(1e-3),
                    "{}",
                    golden.name
                );
            }
        }
    }

    /// On the line the kernel is `Σ_p C(3, p) aᵖ bᵖ`, so that MMD² is `Σ_p C(3, p) (E aᵖ - E bᵖ)²`.
    #[test]
    fn it_is_unbiased_and_its_standard_error_is_honest() {
        let mean = 0.5f64;
        let moments = [mean, mean * mean, mean.powi(3) + 3.0 * mean];
        let truth =
            moments.iter().zip([3.0, 3.0, 1.0]).map(|(m, weight)| weight * m * m).sum::<f64>();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let repeats = 400;
        let found: Vec<KernelDistance> = (0..repeats)
            .map(|seed| {
                let (x, y) = (line(200, mean, &mut rng), line(300, 0.0, &mut rng));
                KernelDistance::new(&x, &y, seed).unwrap()
            })
            .collect();
        let expectation = |of: &dyn Fn(&KernelDistance) -> f64| {
            found.iter().map(of).sum::<f64>() / repeats as f64
        };
        let error = expectation(&|d| d.value - truth);
        let variance = expectation(&|d| (d.value - truth).powi(2));
        assert!(error.abs() < 4.0 * (variance / repeats as f64).sqrt(), "{error} {variance}");
        // The square of the standard error is an unbiased estimate of the variance.
        let ratio = expectation(&|d| d.standard_error.powi(2)) / variance;
        assert!((0.75..1.35).contains(&ratio), "{ratio}");
    }

    #[test]
    fn of_one_distribution_it_is_zero_within_its_error() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut cloud = |n: usize| Points::new((0..n * 6).map(|_| normal(&mut rng)).collect(), 6);
        // More than ten subsets on the larger side.
        let found = KernelDistance::new(&cloud(1500), &cloud(11_000), 0).unwrap();
        assert!(found.value.abs() < 4.0 * found.standard_error && found.standard_error < 0.02);
    }

    #[test]
    fn unusable_points_are_refused() {
        let cloud = |n: usize, d: usize| Points::new((0..n * d).map(|i| i as f64).collect(), d);
        let error = |x: &Points, y: &Points| KernelDistance::new(x, y, 0).unwrap_err();
        assert_eq!(
            error(&cloud(19, 2), &cloud(30, 2)),
            EvalError::TooFewSamples { side: GENERATED, count: 19, needed: 20 }
        );
        assert_eq!(
            error(&cloud(20_000, 1), &cloud(30, 1)),
            EvalError::TooFewSamples { side: REAL, count: 30, needed: 40 }
        );
        let message = error(&cloud(20, 2), &cloud(20, 3)).to_string();
        assert!(message.contains("dimension 2") && message.contains("dimension 3"), "{message}");
        let huge = Points::new(vec![1e60; 20], 1);
        assert_eq!(error(&huge, &cloud(20, 1)), EvalError::TooLarge);
        let broken = Points::new([vec![1.0; 19], vec![f64::NAN]].concat(), 1);
        assert_eq!(
            error(&cloud(20, 1), &broken),
            EvalError::NotFinite { side: REAL, count: 1, first: 19 }
        );
    }
}
