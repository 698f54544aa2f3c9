//! Precision and recall of Kynkäänniemi, Karras, Laine, Lehtinen & Aila, "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019 (arXiv 1904.06991); density
//! and coverage of Naeem, Oh, Uh, Choi & Yoo, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020 (arXiv 2002.09797).

use super::{EvalError, Points};
use rayon::prelude::*;
use serde::Serialize;

/// Points that are compared with all others at a time: of 256 coordinates they fit a core's own cache.
const BLOCK: usize = 64;

/// Coordinates after which a distance is looked at: once it is too large, how large is no matter.
const CHUNK: usize = 32;

/// Sums that run beside each other, for vector instructions.
const LANES: usize = 8;

/// Fidelity and diversity by nearest neighbours.
///
/// With `B(p)` the ball around a point p up to its k-th nearest neighbour among the points of its own side, N real points x and M generated ones y:
///
/// - precision `= Σ_j 1[y_j in some B(x_i)] / M`
/// - recall `= Σ_i 1[x_i in some B(y_j)] / N`
/// - density `= Σ_j Σ_i 1[y_j in B(x_i)] / (k M)`
/// - coverage `= Σ_i 1[some y_j in B(x_i)] / N`
///
/// A ball is without its surface, as in the reference implementation of Naeem et al. (that of Kynkäänniemi et al. counts it in): of points with k copies or more the ball is empty.
///
/// Where both sides have the same distribution the density is 1 on average, and the coverage `1 - (N-1)…(N-k) / ((M+N-1)…(M+N-k))`: at k = 5 and N = M it is about 0.97. Precision and
/// recall depend on the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prdc {
    /// Share of generated points that lie in the ball of a real one.
    pub precision: f64,
    /// Share of real points that lie in the ball of a generated one.
    pub recall: f64,
    /// Balls of real points that a generated one lies in, over k.
    pub density: f64,
    /// Share of real points whose ball has a generated one in it.
    pub coverage: f64,
}

impl Prdc {
    /// Measure them with `k` nearest neighbours, exactly.
    ///
    /// # Errors
    /// `k` points or fewer on a side, points of different dimensions, numbers that are not finite or whose squares overflow.
    ///
    /// # Performance
    /// O((M² + N² + M N) d) in time, in parallel, and O(M + N) in memory.
    pub fn new(generated: &Points, real: &Points, k: usize) -> Result<Self, EvalError> {
        Points::check(generated, real, k + 1)?;
        Ok(Self::between(&Balls::new(generated, k)?, &Balls::new(real, k)?))
    }

    pub(super) fn between(generated: &Balls, real: &Balls) -> Self {
        let (k, balls, real_balls) = (real.k, &generated.squared_radii, &real.squared_radii);
        let (generated, real) = (generated.points, real.points);
        let starts: Vec<usize> = (0..generated.len()).step_by(BLOCK).collect();
        let block = |start: &usize| {
            let mut seen = Seen::none(real.len());
            let generated_ones = *start..(start + BLOCK).min(generated.len());
            let mut within = vec![0usize; generated_ones.len()];
            for (i, &ball) in real_balls.iter().enumerate() {
                for (j, within) in generated_ones.clone().zip(&mut within) {
                    let larger = ball.max(balls[j]);
                    let squared = squared_distance(real.point(i), generated.point(j), larger);
                    if squared < ball {
                        *within += 1;
                        seen.covered[i] = true;
                    }
                    seen.recalled[i] |= squared < balls[j];
                }
            }
            seen.precise = within.iter().filter(|balls| **balls > 0).count();
            seen.balls = within.iter().sum();
            seen
        };
        let none = || Seen::none(real.len());
        let seen = starts.par_iter().map(block).reduce(none, Seen::and);
        let [m, n] = [generated, real].map(|points| points.len() as f64);
        let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as f64;
        Self {
            precision: seen.precise as f64 / m,
            recall: count(&seen.recalled) / n,
            density: seen.balls as f64 / (k as f64 * m),
            coverage: count(&seen.covered) / n,
        }
    }
}

/// The balls of points.
pub(super) struct Balls<'a> {
    points: &'a Points,
    k: usize,
    squared_radii: Vec<f64>,
}

impl<'a> Balls<'a> {
    /// # Errors
    /// Squares that overflow.
    pub(super) fn new(points: &'a Points, k: usize) -> Result<Self, EvalError> {
        let squared_radii = squared_radii(points, k);
        match squared_radii.iter().all(|r| r.is_finite()) {
            true => Ok(Self { points, k, squared_radii }),
            false => Err(EvalError::TooLarge),
        }
    }
}

/// What some of the generated points show.
struct Seen {
    /// Generated points that lie in a real one's ball.
    precise: usize,
    /// In how many, together.
    balls: usize,
    /// Real points that lie in a generated one's ball.
    recalled: Vec<bool>,
    /// Real points whose ball has a generated one in it.
    covered: Vec<bool>,
}

impl Seen {
    fn none(real: usize) -> Self {
        Self { precise: 0, balls: 0, recalled: vec![false; real], covered: vec![false; real] }
    }

    fn and(mut self, other: Self) -> Self {
        self.precise += other.precise;
        self.balls += other.balls;
        self.recalled.iter_mut().zip(other.recalled).for_each(|(a, b)| *a |= b);
        self.covered.iter_mut().zip(other.covered).for_each(|(a, b)| *a |= b);
        self
    }
}

/// Squared distance of every point to its k-th nearest neighbour, itself left out.
fn squared_radii(points: &Points, k: usize) -> Vec<f64> {
    let starts: Vec<usize> = (0..points.len()).step_by(BLOCK).collect();
    let block = |start: &usize| {
        let some = *start..(start + BLOCK).min(points.len());
        // The k smallest so far, rising.
        let mut nearest = vec![vec![f64::INFINITY; k]; some.len()];
        for other in 0..points.len() {
            for (i, nearest) in some.clone().zip(&mut nearest).filter(|(i, _)| *i != other) {
                let farthest = nearest[k - 1];
                let squared = squared_distance(points.point(i), points.point(other), farthest);
                if squared < farthest {
                    nearest.pop();
                    nearest.insert(nearest.partition_point(|r| *r <= squared), squared);
                }
            }
        }
        nearest.into_iter().map(|nearest| nearest[k - 1]).collect::<Vec<_>>()
    };
    starts.par_iter().flat_map_iter(block).collect()
}

/// The squared distance if it is below `bound`, else something that is not. From the differences, which do not cancel as inner products do; the same for (a, b) and (b, a).
fn squared_distance(a: &[f64], b: &[f64], bound: f64) -> f64 {
    let mut squared = 0.0;
    for (a, b) in a.chunks(CHUNK).zip(b.chunks(CHUNK)) {
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest = a.remainder().iter().zip(b.remainder());
        let rest = rest.map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let mut sums = [0.0; LANES];
        for (a, b) in a.zip(b) {
            for lane in 0..LANES {
                sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
            }
        }
        squared += sums.iter().sum::<f64>() + rest;
        if squared >= bound {
            break;
        }
    }
    squared
}

#[cfg(test)]
mod tests {
    use super::{
        super::{REAL, tests::goldens},
        *,
    };
    use crate::data::normal;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn cloud(n: usize, d: usize, mean: f64, seed: u64) -> Points {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Points::new((0..n * d).map(|_| mean + normal(&mut rng)).collect(), d)
    }

    #[test]
    fn agrees_with_prdc() {
        for golden in goldens().clouds {
            let (x, y) = golden.points();
            let found = Prdc::new(&x, &y, golden.k).unwrap();
            let found = [found.precision, found.recall, found.density, found.coverage];
            for (found, expected) in found.iter().zip(golden.prdc) {
                assert!((found - expected).abs() < 1e-12, "{}: {found:?}", golden.name);
            }
        }
    }

    /// From the definition, by the whole matrix of distances; more points than a block has, and more coordinates than a chunk.
    #[test]
    fn blocks_are_as_the_whole() {
        let (generated, real, k) = (cloud(150, 75, 0.3, 1), cloud(200, 75, 0.0, 2), 3);
        let distance = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        let radii = |points: &Points| -> Vec<f64> {
            let of = |i: usize| {
                let mut all: Vec<f64> =
                    (0..points.len()).map(|j| distance(points.point(i), points.point(j))).collect();
                all.sort_by(f64::total_cmp);
                all[k]
            };
            (0..points.len()).map(of).collect()
        };
        let (r, s) = (radii(&real), radii(&generated));
        let d = |i: usize, j: usize| distance(real.point(i), generated.point(j));
        let (n, m) = (real.len(), generated.len());
        let share = |of: usize, is: &dyn Fn(usize) -> bool| {
            (0..of).filter(|i| is(*i)).count() as f64 / of as f64
        };
        let inside = (0..m).map(|j| (0..n).filter(|&i| d(i, j) < r[i]).count()).sum::<usize>();
        let expected = Prdc {
            precision: share(m, &|j| (0..n).any(|i| d(i, j) < r[i])),
            recall: share(n, &|i| (0..m).any(|j| d(i, j) < s[j])),
            density: inside as f64 / (k * m) as f64,
            coverage: share(n, &|i| (0..m).any(|j| d(i, j) < r[i])),
        };
        assert_eq!(Prdc::new(&generated, &real, k).unwrap(), expected);
        assert!(expected.precision < 1.0 && expected.recall > 0.0);
    }

    #[test]
    fn of_one_distribution_density_and_coverage_are_as_derived() {
        let (n, m, k) = (700, 900, 5);
        let (real, generated) = (cloud(n, 4, 0.0, 1), cloud(m, 4, 0.0, 2));
        let found = Prdc::new(&generated, &real, k).unwrap();
        let missed: f64 = (1..=k).map(|l| (n - l) as f64 / (m + n - l) as f64).product();
        assert!((found.coverage - (1.0 - missed)).abs() < 0.02, "{found:?}");
        assert!((found.density - 1.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn lost_modes_cost_diversity_and_strays_cost_fidelity() {
        // Two far modes; one is lost.
        let both = [cloud(100, 3, 0.0, 1).values(), cloud(100, 3, 50.0, 2).values()].concat();
        let (both, one) = (Points::new(both, 3), cloud(200, 3, 0.0, 3));
        let lost = Prdc::new(&one, &both, 5).unwrap();
        assert!(lost.recall < 0.6 && lost.coverage < 0.6 && lost.precision > 0.9, "{lost:?}");
        let stray = Prdc::new(&both, &one, 5).unwrap();
        assert!(stray.precision < 0.6 && stray.density < 0.7 && stray.recall > 0.8, "{stray:?}");
    }

    #[test]
    fn a_generator_of_one_image_is_measured() {
        let constant = Points::new(vec![0.0; 60], 3);
        let found = Prdc::new(&constant, &cloud(20, 3, 0.0, 1), 5).unwrap();
        assert_eq!(found.recall, 0.0);
        assert!(found.coverage < 1.0);
    }

    #[test]
    fn too_few_points_for_k_are_refused() {
        let error = |n: usize| Prdc::new(&cloud(20, 2, 0.0, 1), &cloud(n, 2, 0.0, 2), 5);
        assert_eq!(error(5), Err(EvalError::TooFewSamples { side: REAL, count: 5, needed: 6 }));
        assert!(error(6).is_ok());
        let huge = Points::new((0..20).map(|i| f64::from(i) * 1e200).collect(), 1);
        assert_eq!(Prdc::new(&huge, &cloud(9, 1, 0.0, 1), 5), Err(EvalError::TooLarge));
    }
}
