//! Stratified percentile bootstrap: in-distribution and OOD samples are resampled apart, each to its own size.

use super::{
    EvalError, IN, OUT, check,
    dual::{self, Half, Pairs},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A number with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic on all samples.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage, 0.95 for a 95 % interval.
    pub level: f64,
    /// Samples behind it, both sides together.
    pub n: usize,
}

impl Interval {
    /// The coverage in percent, as tables write it: `95 %`.
    pub fn coverage(&self) -> String {
        format!("{} %", (self.level * 1e4).round() / 100.0)
    }
}

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Coverage, 0.95 for a 95 % interval.
    pub level: f64,
    /// Seed of the resampling (and of the split for the cross-fitted dual).
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// AUROC of one score.
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn auroc(&self, inside: &[f64], outside: &[f64]) -> Result<Interval, EvalError> {
        let ranked = Ranked::new(inside, outside)?;
        let value = ranked.auroc(&identity(inside.len()), &identity(outside.len()));
        let draws = self.draws(|rng| {
            let (a, b) = (resample(rng, inside.len()), resample(rng, outside.len()));
            Ok(ranked.auroc(&a, &b))
        })?;
        Ok(self.interval(value, draws, inside.len() + outside.len()))
    }

    /// AUROC of one score less that of another, both of the same samples: resampled together, so that what is hard for both does not widen the
    /// interval.
    ///
    /// # Errors
    /// An empty side, NaN, scores of different samples.
    pub fn auroc_difference(&self, one: Sides, other: Sides) -> Result<Interval, EvalError> {
        for (a, b) in [(one.inside, other.inside), (one.outside, other.outside)] {
            if a.len() != b.len() {
                return Err(EvalError::Unpaired { one: a.len(), other: b.len() });
            }
        }
        let (n_in, n_out) = (one.inside.len(), one.outside.len());
        let [one, other] =
            [Ranked::new(one.inside, one.outside)?, Ranked::new(other.inside, other.outside)?];
        let difference = |a: &[usize], b: &[usize]| one.auroc(a, b) - other.auroc(a, b);
        let value = difference(&identity(n_in), &identity(n_out));
        let draws =
            self.draws(|rng| Ok(difference(&resample(rng, n_in), &resample(rng, n_out))))?;
        Ok(self.interval(value, draws, n_in + n_out))
    }

    /// Area under the dual-threshold staircase, chosen and measured on the same samples.
    ///
    /// # Errors
    /// As [`dual::oracle`].
    pub fn dual_oracle(&self, inside: Pairs, outside: Pairs) -> Result<Interval, EvalError> {
        let value = dual::oracle(inside, outside)?;
        let draws = self.draws(|rng| {
            let (a, b) = (redraw(rng, inside), redraw(rng, outside));
            dual::oracle(pairs(&a), pairs(&b))
        })?;
        Ok(self.interval(value, draws, inside.lid.len() + outside.lid.len()))
    }

    /// Area under the dual-threshold staircase, chosen on one half and measured on the other, both ways.
    ///
    /// The split comes first and each half is resampled on its own: a duplicate of a sample never stands in both halves.
    ///
    /// # Errors
    /// As [`dual::cross_fitted`].
    pub fn dual_cross_fitted(&self, inside: Pairs, outside: Pairs) -> Result<Interval, EvalError> {
        let value = dual::cross_fitted(inside, outside, self.seed)?;
        let (first, second) = dual::halves(inside, outside, self.seed)?;
        let redraw_half = |rng: &mut ChaCha8Rng, half: &Half| Half {
            inside: redraw(rng, pairs(&half.inside)),
            outside: redraw(rng, pairs(&half.outside)),
        };
        let draws = self.draws(|rng| {
            let (first, second) = (redraw_half(rng, &first), redraw_half(rng, &second));
            Ok((first.area_on(&second)? + second.area_on(&first)?) / 2.0)
        })?;
        Ok(self.interval(value, draws, inside.lid.len() + outside.lid.len()))
    }

    /// The statistic on every resample, sorted; the same whatever the number of threads.
    fn draws(
        &self,
        statistic: impl Fn(&mut ChaCha8Rng) -> Result<f64, EvalError> + Sync,
    ) -> Result<Vec<f64>, EvalError> {
        let mut draws: Vec<f64> = (0..self.resamples as u64)
            .into_par_iter()
            .map(|i| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(i + 1);
                statistic(&mut rng)
            })
            .collect::<Result<_, _>>()?;
        draws.sort_by(f64::total_cmp);
        Ok(draws)
    }

    /// Percentile interval; without resamples it has no width.
    fn interval(&self, value: f64, draws: Vec<f64>, n: usize) -> Interval {
        let at = |share: f64| {
            let position = share * (draws.len() as f64 - 1.0);
            draws.get(position.round() as usize).copied().unwrap_or(value)
        };
        let tail = (1.0 - self.level) / 2.0;
        Interval { value, low: at(tail), high: at(1.0 - tail), level: self.level, n }
    }
}

/// A score of both sides.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// Of in-distribution samples.
    pub inside: &'a [f64],
    /// Of OOD samples.
    pub outside: &'a [f64],
}

/// Ranks of a score, once: a resample then is a vector of counts and costs O(n).
struct Ranked {
    inside: Vec<usize>,
    outside: Vec<usize>,
    distinct: usize,
}

impl Ranked {
    fn new(inside: &[f64], outside: &[f64]) -> Result<Self, EvalError> {
        check(IN, inside)?;
        check(OUT, outside)?;
        let mut table = [inside, outside].concat();
        // -0 and 0 are one score.
        table.iter_mut().for_each(|v| *v += 0.0);
        table.sort_by(f64::total_cmp);
        table.dedup();
        let rank = |scores: &[f64]| -> Vec<usize> {
            scores.iter().map(|&s| table.partition_point(|&t| t < s)).collect()
        };
        Ok(Self { inside: rank(inside), outside: rank(outside), distinct: table.len() })
    }

    /// AUROC of some samples.
    fn auroc(&self, inside: &[usize], outside: &[usize]) -> f64 {
        let mut counts = vec![(0u64, 0u64); self.distinct];
        inside.iter().for_each(|&i| counts[self.inside[i]].0 += 1);
        outside.iter().for_each(|&i| counts[self.outside[i]].1 += 1);
        let (mut below, mut twice) = (0u64, 0u64);
        for (a, b) in counts {
            twice += a * (2 * below + b);
            below += b;
        }
        twice as f64 / (2.0 * inside.len() as f64 * outside.len() as f64)
    }
}

fn identity(n: usize) -> Vec<usize> {
    (0..n).collect()
}

fn resample(rng: &mut ChaCha8Rng, n: usize) -> Vec<usize> {
    (0..n).map(|_| rng.random_range(0..n)).collect()
}

fn redraw(rng: &mut ChaCha8Rng, source: Pairs) -> [Vec<f64>; 2] {
    let index = resample(rng, source.lid.len());
    [source.likelihood, source.lid].map(|column| index.iter().map(|&i| column[i]).collect())
}

fn pairs(columns: &[Vec<f64>; 2]) -> Pairs<'_> {
    Pairs { likelihood: &columns[0], lid: &columns[1] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Roc;

    fn normal(n: usize, mean: f64, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Sum of twelve uniforms: close enough to a normal for these tests.
        (0..n).map(|_| mean - 6.0 + (0..12).map(|_| rng.random::<f64>()).sum::<f64>()).collect()
    }

    #[test]
    fn the_value_is_the_plain_auroc() {
        let (inside, outside) = (normal(70, 0.5, 1), normal(50, 0.0, 2));
        let interval = Bootstrap::default().auroc(&inside, &outside).unwrap();
        let plain = Roc::new(&inside, &outside).unwrap().auroc();
        assert!((interval.value - plain).abs() < 1e-12);
        assert!(interval.low < plain && plain < interval.high);
        assert_eq!(interval.n, 120);
    }

    #[test]
    fn paired_differences_are_narrower_than_the_intervals_themselves() {
        let (inside, outside) = (normal(100, 1.0, 1), normal(100, 0.0, 2));
        // The same score with a little noise.
        let shaken = |scores: &[f64], seed| -> Vec<f64> {
            scores.iter().zip(normal(100, 0.0, seed)).map(|(s, n)| s + 0.2 * n).collect()
        };
        let (other_in, other_out) = (shaken(&inside, 3), shaken(&outside, 4));
        let bootstrap = Bootstrap::default();
        let one = Sides { inside: &inside, outside: &outside };
        let other = Sides { inside: &other_in, outside: &other_out };
        let difference = bootstrap.auroc_difference(one, other).unwrap();
        let [a, b] = [one, other].map(|s| bootstrap.auroc(s.inside, s.outside).unwrap());
        assert!((difference.value - (a.value - b.value)).abs() < 1e-12);
        assert!(difference.high - difference.low < 0.5 * (a.high - a.low));
        let nothing = bootstrap.auroc_difference(one, one).unwrap();
        assert_eq!([nothing.value, nothing.low, nothing.high], [0.0; 3]);
        let short = Sides { inside: &inside[..3], ..one };
        let error = bootstrap.auroc_difference(one, short).unwrap_err();
        assert_eq!(error, EvalError::Unpaired { one: 100, other: 3 });
    }

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        // Two unit normals one standard deviation apart: AUROC = Φ(1/√2) = 0.76025.
        let repeats = 200;
        let bootstrap = Bootstrap { resamples: 300, ..Default::default() };
        let covered = (0..repeats)
            .filter(|&seed| {
                let (inside, outside) = (normal(80, 1.0, 2 * seed), normal(80, 0.0, 2 * seed + 1));
                let interval = bootstrap.auroc(&inside, &outside).unwrap();
                interval.low <= 0.76025 && 0.76025 <= interval.high
            })
            .count();
        assert!((175..=199).contains(&covered), "{covered} of {repeats}");
    }

    #[test]
    fn the_seed_decides() {
        let a = [normal(40, 0.5, 1), normal(40, 0.3, 2)];
        let b = [normal(40, 0.0, 3), normal(40, 0.0, 4)];
        let run = |seed| {
            Bootstrap { resamples: 50, seed, ..Default::default() }
                .dual_cross_fitted(pairs(&a), pairs(&b))
                .unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn the_dual_interval_holds_its_value() {
        let a = [normal(60, 0.0, 1), normal(60, 2.0, 2)];
        let b = [normal(60, 1.0, 3), normal(60, 0.0, 4)];
        let bootstrap = Bootstrap { resamples: 200, ..Default::default() };
        for interval in [
            bootstrap.dual_oracle(pairs(&a), pairs(&b)).unwrap(),
            bootstrap.dual_cross_fitted(pairs(&a), pairs(&b)).unwrap(),
        ] {
            assert!(interval.low <= interval.value && interval.value <= interval.high + 0.02);
            assert!(interval.value > 0.8);
        }
    }
}
