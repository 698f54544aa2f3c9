//! Stratified percentile bootstrap: in-distribution and OOD samples are resampled apart, each to its own size.

use super::{
    EvalError, IN, Metrics, OUT, check,
    dual::{self, Half, Index, Pairs},
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

/// The other numbers of one score, as [`Metrics`] has them, with their intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricIntervals {
    /// Average precision, in-distribution positive.
    pub aupr_in: Interval,
    /// Average precision, out-of-distribution positive.
    pub aupr_out: Interval,
    /// Share of out-of-distribution samples accepted at 95 % of in-distribution samples accepted.
    pub fpr95: Interval,
}

/// False-positive rates at which a band of ROC curves is known.
const RATES: usize = 101;

/// The `i`-th of them, from 0 to 1.
fn rate(i: usize) -> f64 {
    i as f64 / (RATES - 1) as f64
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
        let [draws] = self.draws(|rng| Ok([ranked.resampled(rng).auroc()]))?;
        Ok(self.interval(ranked.all().auroc(), &draws, inside.len() + outside.len()))
    }

    /// AUPR both ways and FPR95 of one score, on the resamples of [`Self::auroc`].
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn metrics(&self, inside: &[f64], outside: &[f64]) -> Result<MetricIntervals, EvalError> {
        let ranked = Ranked::new(inside, outside)?;
        let values = ranked.all().metrics();
        let draws = self.draws(|rng| Ok(ranked.resampled(rng).metrics()))?;
        let interval = |i: usize| self.interval(values[i], &draws[i], inside.len() + outside.len());
        Ok(MetricIntervals { aupr_in: interval(0), aupr_out: interval(1), fpr95: interval(2) })
    }

    /// Where the ROC curve of one score may run: `[fpr, low, high]`, the interval of the true-positive rate at each of 101 false-positive rates from 0
    /// to 1, on the resamples of [`Self::auroc`]. Empty without resamples.
    ///
    /// Each rate has its own interval: the whole curve leaves the band somewhere more often than one of its points does. Between its vertices a curve is
    /// linear; where it rises straight up, the upper end counts.
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn roc_band(&self, inside: &[f64], outside: &[f64]) -> Result<Vec<[f64; 3]>, EvalError> {
        let ranked = Ranked::new(inside, outside)?;
        let draws = self.draws(|rng| Ok(ranked.resampled(rng).true_positive_rates()))?;
        let point = |(i, draws): (usize, &Vec<f64>)| {
            self.ends(draws).map(|[low, high]| [rate(i), low, high])
        };
        Ok(draws.iter().enumerate().filter_map(point).collect())
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
        let difference =
            |a: &[usize], b: &[usize]| one.counts(a, b).auroc() - other.counts(a, b).auroc();
        let value = difference(&identity(n_in), &identity(n_out));
        let [draws] =
            self.draws(|rng| Ok([difference(&resample(rng, n_in), &resample(rng, n_out))]))?;
        Ok(self.interval(value, &draws, n_in + n_out))
    }

    /// The numbers of the dual-threshold staircase chosen and measured on the same samples, all on the same resamples: its area, then the others.
    ///
    /// # Errors
    /// As [`dual::oracle`].
    pub fn dual_oracle(
        &self,
        inside: Pairs,
        outside: Pairs,
    ) -> Result<(Interval, MetricIntervals), EvalError> {
        let numbers = |of: Metrics| [of.auroc, of.aupr_in, of.aupr_out, of.fpr95];
        let values = numbers(dual::oracle(inside, outside)?);
        let draws = self.draws(|rng| {
            let (a, b) = (redraw(rng, inside), redraw(rng, outside));
            Ok(numbers(dual::oracle(pairs(&a), pairs(&b))?))
        })?;
        let n = inside.lid.len() + outside.lid.len();
        let interval = |i: usize| self.interval(values[i], &draws[i], n);
        let others =
            MetricIntervals { aupr_in: interval(1), aupr_out: interval(2), fpr95: interval(3) };
        Ok((interval(0), others))
    }

    /// Area under the dual-threshold staircase, chosen on one half and measured on the other, both ways.
    ///
    /// The split comes first and each half is resampled on its own: a duplicate of a sample never stands in both halves.
    ///
    /// # Errors
    /// As [`dual::cross_fitted`].
    pub fn dual_cross_fitted(&self, inside: Pairs, outside: Pairs) -> Result<Interval, EvalError> {
        self.dual_less(inside, outside, |_| 0.0)
    }

    /// [`dual_cross_fitted`](Self::dual_cross_fitted) less the AUROC of a score of the same samples, resampled together.
    ///
    /// # Errors
    /// As [`dual::cross_fitted`]; NaN in the score, a score of different samples.
    pub fn dual_difference(
        &self,
        inside: Pairs,
        outside: Pairs,
        score: Sides,
    ) -> Result<Interval, EvalError> {
        for (a, b) in [(inside.lid, score.inside), (outside.lid, score.outside)] {
            if a.len() != b.len() {
                return Err(EvalError::Unpaired { one: a.len(), other: b.len() });
            }
        }
        let ranked = Ranked::new(score.inside, score.outside)?;
        self.dual_less(inside, outside, |halves| {
            let [index_in, index_out] =
                [0, 1].map(|side| halves.each_ref().map(|h| &*h[side]).concat());
            ranked.counts(&index_in, &index_out).auroc()
        })
    }

    /// The cross-fitted area less what is given for the samples of the two halves.
    fn dual_less(
        &self,
        inside: Pairs,
        outside: Pairs,
        other: impl Fn(&[Index; 2]) -> f64 + Sync,
    ) -> Result<Interval, EvalError> {
        let halves = dual::halves(inside, outside, self.seed)?;
        let difference = |halves: &[Index; 2]| {
            let own = halves.each_ref().map(|half| Half::new(inside, outside, half));
            Ok(dual::area_of_both(&own)? - other(halves))
        };
        let [draws] = self.draws(|rng| {
            let redrawn = halves.each_ref().map(|half| {
                half.each_ref()
                    .map(|index| resample(rng, index.len()).into_iter().map(|i| index[i]).collect())
            });
            Ok([difference(&redrawn)?])
        })?;
        let n = inside.lid.len() + outside.lid.len();
        Ok(self.interval(difference(&halves)?, &draws, n))
    }

    /// Statistics on every resample, each sorted on its own; the same whatever the number of threads.
    fn draws<const N: usize>(
        &self,
        statistics: impl Fn(&mut ChaCha8Rng) -> Result<[f64; N], EvalError> + Sync,
    ) -> Result<[Vec<f64>; N], EvalError> {
        let draws: Vec<[f64; N]> = (0..self.resamples as u64)
            .into_par_iter()
            .map(|i| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(i + 1);
                statistics(&mut rng)
            })
            .collect::<Result<_, _>>()?;
        Ok(std::array::from_fn(|k| {
            let mut one: Vec<f64> = draws.iter().map(|draw| draw[k]).collect();
            one.sort_by(f64::total_cmp);
            one
        }))
    }

    /// Percentile interval; without resamples it has no width.
    fn interval(&self, value: f64, draws: &[f64], n: usize) -> Interval {
        let [low, high] = self.ends(draws).unwrap_or([value; 2]);
        Interval { value, low, high, level: self.level, n }
    }

    /// Both ends of the percentile interval of sorted draws, `None` where there are none.
    fn ends(&self, draws: &[f64]) -> Option<[f64; 2]> {
        let at = |share: f64| {
            let position = share * (draws.len() as f64 - 1.0);
            draws.get(position.round() as usize).copied()
        };
        let tail = (1.0 - self.level) / 2.0;
        Some([at(tail)?, at(1.0 - tail)?])
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

    /// Some samples, by index.
    fn counts(&self, inside: &[usize], outside: &[usize]) -> Counts {
        let mut groups = vec![[0u64; 2]; self.distinct];
        inside.iter().for_each(|&i| groups[self.inside[i]][0] += 1);
        outside.iter().for_each(|&i| groups[self.outside[i]][1] += 1);
        Counts { groups, sizes: [inside.len() as f64, outside.len() as f64] }
    }

    /// Every sample once.
    fn all(&self) -> Counts {
        self.counts(&identity(self.inside.len()), &identity(self.outside.len()))
    }

    /// One resample of both sides.
    fn resampled(&self, rng: &mut ChaCha8Rng) -> Counts {
        let inside = resample(rng, self.inside.len());
        self.counts(&inside, &resample(rng, self.outside.len()))
    }
}

/// Samples as numbers at each distinct score: the statistics of a resample, each in one pass.
struct Counts {
    /// `[in-distribution, OOD]` samples, by rising score.
    groups: Vec<[u64; 2]>,
    /// All of them.
    sizes: [f64; 2],
}

impl Counts {
    fn auroc(&self) -> f64 {
        let (mut below, mut twice) = (0u64, 0u64);
        for [a, b] in &self.groups {
            twice += a * (2 * below + b);
            below += b;
        }
        twice as f64 / (2.0 * self.sizes[0] * self.sizes[1])
    }

    /// `[aupr_in, aupr_out, fpr95]`, to the last bit those of [`Metrics`].
    fn metrics(&self) -> [f64; 3] {
        let [n_in, n_out] = self.sizes;
        let groups = || self.groups.iter().copied();
        let (mut hits, mut misses) = (0, 0);
        for [a, b] in groups().rev() {
            hits += a;
            misses += b;
            if hits as f64 / n_in >= 0.95 {
                break;
            }
        }
        [
            average_precision(groups().rev(), [n_in, n_out]),
            average_precision(groups().map(|[a, b]| [b, a]), [n_out, n_in]),
            misses as f64 / n_out,
        ]
    }

    /// The ROC curve read off at every [`rate`].
    fn true_positive_rates(&self) -> [f64; RATES] {
        let [n_in, n_out] = self.sizes;
        // Every curve ends at (1, 1); the loop reads off the rates before.
        let mut rates = [1.0; RATES];
        let mut next = 0;
        let (mut hits, mut misses) = (0, 0);
        let mut from = (0.0, 0.0);
        for [a, b] in self.groups.iter().rev() {
            hits += a;
            misses += b;
            let to = (misses as f64 / n_out, hits as f64 / n_in);
            // Not at the vertex itself, where the curve may still rise. Comparing is exact: equal quotients round alike. The last rate, 1, is never below.
            while rate(next) < to.0 {
                rates[next] = from.1 + (to.1 - from.1) * (rate(next) - from.0) / (to.0 - from.0);
                next += 1;
            }
            from = to;
        }
        rates
    }
}

/// Average precision of `[positive, negative]` samples at each distinct score, the most positive score first.
fn average_precision(
    groups: impl Iterator<Item = [u64; 2]>,
    [positives, negatives]: [f64; 2],
) -> f64 {
    let (mut hits, mut misses) = (0, 0);
    let (mut recall, mut sum) = (0.0, 0.0);
    for [a, b] in groups {
        hits += a;
        misses += b;
        // Without positives recall stays, and the term is 0 (or 0/0 where a resample has nothing yet).
        if a == 0 {
            continue;
        }
        let before = recall;
        recall = hits as f64 / positives;
        // Divided and multiplied again as `Roc::average_precision` does, so that the last bit agrees with the number in the tables.
        let (hits, misses) = (recall * positives, misses as f64 / negatives * negatives);
        sum += (recall - before) * hits / (hits + misses);
    }
    sum
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

    /// A score of tenths, so that many tie, also across the sides.
    fn tied(n: usize, mean: f64, seed: u64) -> Vec<f64> {
        normal(n, mean, seed).into_iter().map(|s| (10.0 * s).round() / 10.0).collect()
    }

    /// The ends of the intervals of some statistics, with every resample written out as scores.
    fn slow(
        bootstrap: &Bootstrap,
        inside: &[f64],
        outside: &[f64],
        statistics: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    ) -> Vec<[f64; 2]> {
        let mut draws: Vec<Vec<f64>> = Vec::new();
        for i in 0..bootstrap.resamples as u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(bootstrap.seed);
            rng.set_stream(i + 1);
            let [a, b] = [inside, outside].map(|scores| -> Vec<f64> {
                resample(&mut rng, scores.len()).into_iter().map(|i| scores[i]).collect()
            });
            draws.push(statistics(&a, &b));
        }
        let tail = (1.0 - bootstrap.level) / 2.0;
        (0..draws[0].len())
            .map(|k| {
                let mut column: Vec<f64> = draws.iter().map(|draw| draw[k]).collect();
                column.sort_by(f64::total_cmp);
                [tail, 1.0 - tail]
                    .map(|share| column[(share * (column.len() as f64 - 1.0)).round() as usize])
            })
            .collect()
    }

    /// The true-positive rates of a curve at the rates of a band.
    fn read_off(roc: &Roc) -> Vec<f64> {
        let points = roc.points();
        (0..RATES)
            .map(|i| {
                let x = i as f64 / 100.0;
                let last = points.iter().rposition(|p| p.0 <= x).unwrap();
                let from = points[last];
                points
                    .get(last + 1)
                    .map_or(from.1, |to| from.1 + (to.1 - from.1) * (x - from.0) / (to.0 - from.0))
            })
            .collect()
    }

    #[test]
    fn the_values_are_the_plain_metrics() {
        let bootstrap = Bootstrap { resamples: 0, ..Default::default() };
        for seed in 0..20 {
            // Sizes whose reciprocals round.
            let (inside, outside) = (tied(73, 0.5, 2 * seed), tied(59, 0.0, 2 * seed + 1));
            let plain = Metrics::new(&inside, &outside).unwrap();
            let intervals = bootstrap.metrics(&inside, &outside).unwrap();
            for (interval, plain) in [
                (intervals.aupr_in, plain.aupr_in),
                (intervals.aupr_out, plain.aupr_out),
                (intervals.fpr95, plain.fpr95),
            ] {
                assert_eq!([interval.value, interval.low, interval.high], [plain; 3]);
                assert_eq!((interval.level, interval.n), (0.95, 132));
            }
        }
        let error = bootstrap.metrics(&[0.0], &[]).unwrap_err();
        assert_eq!(error, EvalError::Empty(OUT));
    }

    #[test]
    fn counts_give_the_metrics_of_the_resampled_scores() {
        let bootstrap = Bootstrap { resamples: 100, level: 0.8, seed: 3 };
        let mut outside = tied(23, 0.0, 2);
        outside.extend([f64::NEG_INFINITY, f64::INFINITY, -0.0, 0.0]);
        for inside in [tied(31, 0.7, 1), normal(31, 0.7, 1), vec![0.0; 3]] {
            let got = bootstrap.metrics(&inside, &outside).unwrap();
            let expected = slow(&bootstrap, &inside, &outside, |a, b| {
                let metrics = Metrics::new(a, b).unwrap();
                vec![metrics.aupr_in, metrics.aupr_out, metrics.fpr95]
            });
            let ends = [got.aupr_in, got.aupr_out, got.fpr95].map(|i| [i.low, i.high]);
            assert_eq!(ends, expected[..]);
            assert!(ends[0][0] < ends[0][1] && ends[1][0] < ends[1][1]);
        }
    }

    #[test]
    fn the_band_is_of_the_curves_of_the_resampled_scores() {
        let bootstrap = Bootstrap { resamples: 100, level: 0.8, seed: 3 };
        let (tied_in, tied_out) = (tied(31, 0.7, 1), tied(25, 0.0, 2));
        // 20 and 25 OOD samples put vertices on the rates themselves.
        let (plain_in, plain_out) = (normal(31, 0.7, 3), normal(20, 0.0, 4));
        for (inside, outside) in [(&tied_in, &tied_out), (&plain_in, &plain_out)] {
            let got = bootstrap.roc_band(inside, outside).unwrap();
            let expected =
                slow(&bootstrap, inside, outside, |a, b| read_off(&Roc::new(a, b).unwrap()));
            assert_eq!(got.len(), RATES);
            for (i, (got, [low, high])) in got.into_iter().zip(expected).enumerate() {
                assert_eq!(got, [i as f64 / 100.0, low, high]);
            }
        }
    }

    #[test]
    fn the_band_holds_the_curve() {
        let (inside, outside) = (normal(200, 1.0, 1), normal(200, 0.0, 2));
        let band = Bootstrap::default().roc_band(&inside, &outside).unwrap();
        let curve = read_off(&Roc::new(&inside, &outside).unwrap());
        let held = band.iter().zip(&curve).filter(|(b, t)| b[1] <= **t && **t <= b[2]).count();
        assert!(held >= 98, "{held} of {RATES}");
        assert!(band.windows(2).all(|b| b[0][1] <= b[1][1] && b[0][2] <= b[1][2]));
        assert!(band[50][1] < band[50][2]);
        assert_eq!(band[RATES - 1], [1.0; 3]);
    }

    #[test]
    fn the_band_of_perfect_scores_is_their_curve() {
        let bootstrap = Bootstrap { resamples: 50, ..Default::default() };
        let band = bootstrap.roc_band(&[2.0, 3.0, 3.0], &[0.0, 1.0]).unwrap();
        assert_eq!(band.len(), RATES);
        assert!(band.iter().all(|b| b[1..] == [1.0; 2]));
        let none = Bootstrap { resamples: 0, ..bootstrap };
        assert!(none.roc_band(&[2.0], &[0.0]).unwrap().is_empty());
    }

    #[test]
    fn threads_do_not_matter() {
        let (inside, outside) = (tied(40, 0.5, 1), tied(30, 0.0, 2));
        let bootstrap = Bootstrap { resamples: 64, ..Default::default() };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                (
                    bootstrap.auroc(&inside, &outside).unwrap(),
                    bootstrap.metrics(&inside, &outside).unwrap(),
                    bootstrap.roc_band(&inside, &outside).unwrap(),
                )
            })
        };
        assert_eq!(run(1), run(5));
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
    fn the_dual_is_compared_with_a_score_of_the_same_samples() {
        let a = [normal(60, 0.0, 1), normal(60, 2.0, 2)];
        let b = [normal(60, 1.0, 3), normal(60, 0.0, 4)];
        let bootstrap = Bootstrap { resamples: 200, ..Default::default() };
        let score = Sides { inside: &a[1], outside: &b[1] };
        let difference = bootstrap.dual_difference(pairs(&a), pairs(&b), score).unwrap();
        let dual = bootstrap.dual_cross_fitted(pairs(&a), pairs(&b)).unwrap();
        let auroc = bootstrap.auroc(score.inside, score.outside).unwrap();
        assert!((difference.value - (dual.value - auroc.value)).abs() < 1e-12);
        // What is hard for both is no difference.
        assert!(
            difference.high - difference.low < 0.9 * (auroc.high - auroc.low),
            "{difference:?}"
        );
        // Where likelihood is constant, both halves give the LID's own AUROC: on each half, not on both together.
        let flat = |side: &[Vec<f64>; 2]| [vec![0.0; 60], side[1].clone()];
        let (flat_a, flat_b) = (flat(&a), flat(&b));
        let own = bootstrap.dual_difference(pairs(&flat_a), pairs(&flat_b), score).unwrap();
        assert!(own.value.abs() < 0.05 && own.low <= 0.0 && own.high >= 0.0, "{own:?}");
        let short = Sides { inside: &a[0][..3], ..score };
        let error = bootstrap.dual_difference(pairs(&a), pairs(&b), short).unwrap_err();
        assert_eq!(error, EvalError::Unpaired { one: 60, other: 3 });
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
        let (oracle, others) = bootstrap.dual_oracle(pairs(&a), pairs(&b)).unwrap();
        let MetricIntervals { aupr_in, aupr_out, fpr95 } = others;
        let metrics = dual::oracle(pairs(&a), pairs(&b)).unwrap();
        for (interval, value) in
            [(aupr_in, metrics.aupr_in), (aupr_out, metrics.aupr_out), (fpr95, metrics.fpr95)]
        {
            assert_eq!(interval.value, value);
            assert!(interval.low < interval.high, "{interval:?}");
        }
        for interval in [oracle, bootstrap.dual_cross_fitted(pairs(&a), pairs(&b)).unwrap()] {
            assert!(interval.low <= interval.value && interval.value <= interval.high + 0.02);
            assert!(interval.value > 0.8);
        }
    }
}
