//! The dual-threshold rule of Kamkari et al. 2024 (arXiv 2403.18910): x is in-distribution iff `log p(x) >= a` and
//! `LID(x) >= b`.
//!
//! Its ROC is the upper staircase over *all* pairs (a, b): for each false-positive rate the best true-positive rate. The
//! staircase is found exactly: LID thresholds b are taken from high to low, samples enter as b falls, and one walk over the
//! admitted samples in order of likelihood visits every a. That is O(distinct LIDs · samples) time and O(samples) memory.
//! Where one of the two columns is constant, the area is the plain AUROC of the other, ties included.
//!
//! Precision is read off the same way: along the staircase, [`Metrics`] sum over every rule on it, also those between the ends of a vertical step. So all
//! of them are those of the one score where the other column is constant.
//!
//! The frontier is chosen on the labels it is scored with, so [`oracle`] is optimistic: two identical distributions give
//! about 0.57 at 128 + 128 samples. [`cross_fitted`] chooses it on one half of the samples and walks it on the other. On
//! identical distributions its expectation is exactly 1/2: the frontier is independent of the half it is measured on, and
//! swapping the roles of the two (exchangeable) samples there turns the area A under the path from (0,0) to (1,1) into
//! 1 - A.

use super::{EvalError, IN, Metrics, OUT, check, roc::area};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Likelihoods and LIDs of the same samples.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// log p(x), in nats.
    pub likelihood: &'a [f64],
    /// Local intrinsic dimension.
    pub lid: &'a [f64],
}

/// A point of the staircase with the thresholds that reach it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Share of OOD samples accepted.
    pub fpr: f64,
    /// Share of in-distribution samples accepted.
    pub tpr: f64,
    /// Smallest likelihood accepted.
    pub likelihood: f64,
    /// Smallest LID accepted.
    pub lid: f64,
}

impl Pairs<'_> {
    fn check(&self, side: &'static str) -> Result<(), EvalError> {
        if self.likelihood.len() != self.lid.len() {
            let (likelihood, lid) = (self.likelihood.len(), self.lid.len());
            return Err(EvalError::Lengths { likelihood, lid });
        }
        check(side, self.likelihood)?;
        check(side, self.lid)
    }

    fn iter(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.likelihood.iter().copied().zip(self.lid.iter().copied())
    }

    /// Share of samples that the thresholds accept.
    fn accepted(&self, point: &Point) -> f64 {
        let hits = self.iter().filter(|&(a, b)| a >= point.likelihood && b >= point.lid).count();
        hits as f64 / self.likelihood.len() as f64
    }
}

/// The numbers of the staircase chosen and measured on the same samples: optimistic, for comparison with the literature.
///
/// # Errors
/// Empty sides, NaN, columns of different lengths.
pub fn oracle(inside: Pairs, outside: Pairs) -> Result<Metrics, EvalError> {
    let Staircase { points, rises } = staircase(inside, outside)?;
    let (fpr, tpr): (Vec<_>, Vec<_>) = points.iter().map(|p| (p.fpr, p.tpr)).unzip();
    let (n_in, n_out) = (inside.likelihood.len(), outside.likelihood.len());
    let (mut recall, mut aupr_in) = (0.0, 0.0);
    for (hits, misses) in rises {
        let before = recall;
        recall = f64::from(hits) / n_in as f64;
        aupr_in += (recall - before) * f64::from(hits) / f64::from(hits + misses);
    }
    // From the far end, where nothing is rejected. Of the points at one fpr the last one rejects the fewest in-distribution samples.
    let precision = |p: &Point| {
        let [hits, false_alarms] = [(1.0 - p.fpr) * n_out as f64, (1.0 - p.tpr) * n_in as f64];
        hits / (hits + false_alarms)
    };
    let steps = points.windows(2).filter(|step| step[1].fpr > step[0].fpr);
    Ok(Metrics {
        auroc: area(&fpr, &tpr),
        aupr_in,
        aupr_out: steps.map(|step| (step[1].fpr - step[0].fpr) * precision(&step[0])).sum(),
        fpr95: points.iter().find(|p| p.tpr >= 0.95).map_or(1.0, |p| p.fpr),
        n_in,
        n_out,
    })
}

/// Area under the staircase chosen on one half and measured on the other, both ways, averaged.
///
/// # Errors
/// As [`oracle`], and fewer than two samples on a side.
pub fn cross_fitted(inside: Pairs, outside: Pairs, seed: u64) -> Result<f64, EvalError> {
    let halves = halves(inside, outside, seed)?;
    area_of_both(&halves.map(|half| Half::new(inside, outside, &half)))
}

/// Samples of one half, by index: in-distribution, OOD.
pub(super) type Index = [Vec<usize>; 2];

/// Area of the frontier of each half on the other, averaged.
pub(super) fn area_of_both([first, second]: &[Half; 2]) -> Result<f64, EvalError> {
    Ok((first.area_on(second)? + second.area_on(first)?) / 2.0)
}

/// One half of the samples of both sides: their likelihoods and LIDs.
#[derive(Clone, Debug)]
pub(super) struct Half {
    inside: [Vec<f64>; 2],
    outside: [Vec<f64>; 2],
}

impl Half {
    /// These samples, some perhaps more than once.
    pub(super) fn new(inside: Pairs, outside: Pairs, [index_in, index_out]: &Index) -> Self {
        let part = |pairs: Pairs, index: &[usize]| {
            [pairs.likelihood, pairs.lid].map(|column| index.iter().map(|&i| column[i]).collect())
        };
        Self { inside: part(inside, index_in), outside: part(outside, index_out) }
    }

    fn sides(&self) -> [Pairs<'_>; 2] {
        let [inside, outside] = [&self.inside, &self.outside];
        [inside, outside].map(|side| Pairs { likelihood: &side[0], lid: &side[1] })
    }

    /// Choose the frontier here, walk it on `other`; signed trapezoids along the path.
    fn area_on(&self, other: &Self) -> Result<f64, EvalError> {
        let [inside, outside] = self.sides();
        let [other_in, other_out] = other.sides();
        let points = frontier(inside, outside)?;
        let (fpr, tpr): (Vec<_>, Vec<_>) =
            points.iter().map(|p| (other_out.accepted(p), other_in.accepted(p))).unzip();
        Ok(area(&fpr, &tpr))
    }
}

/// A seeded split of both sides into halves.
pub(super) fn halves(inside: Pairs, outside: Pairs, seed: u64) -> Result<[Index; 2], EvalError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut split = |pairs: Pairs, side| {
        pairs.check(side)?;
        let count = pairs.likelihood.len();
        if count < 2 {
            return Err(EvalError::TooFew { side, count });
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut rng);
        let second = order.split_off(count / 2);
        Ok((order, second))
    };
    let (in_first, in_second) = split(inside, IN)?;
    let (out_first, out_second) = split(outside, OUT)?;
    Ok([[in_first, out_first], [in_second, out_second]])
}

/// The staircase from (0, 0) to (1, 1): points of rising fpr, each with the highest tpr at or below its fpr.
///
/// Thresholds lie halfway between a sample that is accepted and the next that is not, so that they carry over to other
/// samples; the first point accepts nothing, the last everything.
///
/// # Errors
/// Empty sides, NaN, columns of different lengths.
pub fn frontier(inside: Pairs, outside: Pairs) -> Result<Vec<Point>, EvalError> {
    Ok(staircase(inside, outside)?.points)
}

/// The staircase.
struct Staircase {
    /// Its corners.
    points: Vec<Point>,
    /// `(hits, misses)` of every rule on it that accepts more in-distribution samples than rules of fewer misses, by rising hits.
    rises: Vec<(u32, u32)>,
}

fn staircase(inside: Pairs, outside: Pairs) -> Result<Staircase, EvalError> {
    inside.check(IN)?;
    outside.check(OUT)?;
    let (n_in, n_out) = (inside.likelihood.len(), outside.likelihood.len());
    // Ranks instead of values: u32 comparisons in the inner loop.
    let likelihoods = distinct([inside.likelihood, outside.likelihood]);
    let lids = distinct([inside.lid, outside.lid]);
    let rank = |table: &[f64], v: f64| table.partition_point(|&t| t < v);

    // Samples of each LID rank; `present[r]` counts (in, out) samples of likelihood rank r among those admitted.
    let mut by_lid: Vec<Vec<(usize, bool)>> = vec![Vec::new(); lids.len()];
    for (pairs, is_in) in [(inside, true), (outside, false)] {
        for (a, b) in pairs.iter() {
            by_lid[rank(&lids, b)].push((rank(&likelihoods, a), is_in));
        }
    }
    let sweep = |visit: &mut dyn FnMut(Rule)| {
        let mut admitted: Vec<(u32, u32, u32)> = Vec::with_capacity(likelihoods.len());
        for b in (0..lids.len()).rev() {
            admit(&mut admitted, &by_lid[b]);
            let (mut hits, mut misses) = (0u32, 0u32);
            for &(a, is_in, is_out) in &admitted {
                hits += is_in;
                misses += is_out;
                visit(Rule { hits, misses, a, b: b as u32 });
            }
        }
    };
    // First sweep: the most hits at exactly k misses. Second sweep, the corner before it: the fewest hits at k misses that
    // are no fewer than what fewer misses already reach. Corners make untied steps rectangles and ties diagonals.
    let mut best: Vec<Option<Rule>> = vec![None; n_out + 1];
    sweep(&mut |rule| {
        let entry = &mut best[rule.misses as usize];
        if entry.is_none_or(|e| rule.hits > e.hits) {
            *entry = Some(rule);
        }
    });
    let mut reached = Vec::with_capacity(n_out + 1);
    let mut highest = 0;
    for entry in &best {
        reached.push(highest);
        highest = highest.max(entry.map_or(0, |e| e.hits));
    }
    let mut corner: Vec<Option<Rule>> = vec![None; n_out + 1];
    // A number of hits is beyond what fewer misses reach at one number of misses only.
    let mut misses: Vec<Option<u32>> = vec![None; n_in + 1];
    sweep(&mut |rule| {
        let k = rule.misses as usize;
        if rule.hits > reached[k] {
            misses[rule.hits as usize] = Some(rule.misses);
        }
        let entry = &mut corner[k];
        if rule.hits >= reached[k] && entry.is_none_or(|e| rule.hits < e.hits) {
            *entry = Some(rule);
        }
    });

    let point = |rule: Rule| Point {
        fpr: f64::from(rule.misses) / n_out as f64,
        tpr: f64::from(rule.hits) / n_in as f64,
        likelihood: below(&likelihoods, rule.a as usize),
        lid: below(&lids, rule.b as usize),
    };
    let inf = f64::INFINITY;
    let mut points = vec![Point { fpr: 0.0, tpr: 0.0, likelihood: inf, lid: inf }];
    for (k, (corner, best)) in corner.iter().zip(&best).enumerate() {
        if let (Some(corner), Some(best)) = (corner, best) {
            points.push(point(*corner));
            if best.hits > corner.hits && best.hits > reached[k] {
                points.push(point(*best));
            }
        }
    }
    points.push(Point { fpr: 1.0, tpr: 1.0, likelihood: -inf, lid: -inf });
    let rises = misses.iter().zip(0..).filter_map(|(misses, hits)| Some((hits, (*misses)?)));
    Ok(Staircase { points, rises: rises.collect() })
}

/// A pair of thresholds, by rank, and what it accepts.
#[derive(Clone, Copy, Debug)]
struct Rule {
    hits: u32,
    misses: u32,
    a: u32,
    b: u32,
}

/// The distinct values, rising.
fn distinct(columns: [&[f64]; 2]) -> Vec<f64> {
    let mut values = columns.concat();
    // Adding 0 makes -0 and 0 one value.
    values.iter_mut().for_each(|v| *v += 0.0);
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Halfway between `table[i]` and the value below it; the lowest value has nothing below it.
fn below(table: &[f64], i: usize) -> f64 {
    match i {
        0 => f64::NEG_INFINITY,
        _ => {
            let middle = table[i - 1] / 2.0 + table[i] / 2.0;
            // Neighbours in floating point, or infinities, have no middle that separates them.
            if middle > table[i - 1] && middle <= table[i] { middle } else { table[i] }
        }
    }
}

/// Merge newly admitted samples into the list of (likelihood rank, in, out), falling in rank.
fn admit(admitted: &mut Vec<(u32, u32, u32)>, new: &[(usize, bool)]) {
    let mut new: Vec<(u32, u32, u32)> =
        new.iter().map(|&(a, is_in)| (a as u32, u32::from(is_in), u32::from(!is_in))).collect();
    new.sort_unstable_by_key(|sample| std::cmp::Reverse(sample.0));
    for sample in new {
        let at = admitted.partition_point(|s| s.0 > sample.0);
        match admitted.get_mut(at) {
            Some(same) if same.0 == sample.0 => {
                same.1 += sample.1;
                same.2 += sample.2;
            }
            _ => admitted.insert(at, sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Roc;
    use rand::Rng;

    fn pairs(columns: &[Vec<f64>; 2]) -> Pairs<'_> {
        Pairs { likelihood: &columns[0], lid: &columns[1] }
    }

    fn draw(rng: &mut ChaCha8Rng, n: usize, levels: u32) -> [Vec<f64>; 2] {
        [(); 2].map(|()| (0..n).map(|_| f64::from(rng.random_range(0..levels))).collect())
    }

    fn assert_close(got: Metrics, expected: Metrics, what: &str) {
        for (got, expected) in [
            (got.auroc, expected.auroc),
            (got.aupr_in, expected.aupr_in),
            (got.aupr_out, expected.aupr_out),
            (got.fpr95, expected.fpr95),
        ] {
            assert!((got - expected).abs() < 1e-12, "{what}: {got}, not {expected}");
        }
        assert_eq!([got.n_in, got.n_out], [expected.n_in, expected.n_out]);
    }

    /// All threshold pairs, each counted on its own; then the monotone envelope.
    fn brute_force(inside: Pairs, outside: Pairs) -> Metrics {
        let mut rules = vec![(0.0, 0.0)];
        for a in inside.likelihood.iter().chain(outside.likelihood) {
            for b in inside.lid.iter().chain(outside.lid) {
                let rule = Point { fpr: 0.0, tpr: 0.0, likelihood: *a, lid: *b };
                rules.push((outside.accepted(&rule), inside.accepted(&rule)));
            }
        }
        rules.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
        let mut path = vec![(0.0, 0.0)];
        for rule in rules.into_iter().chain([(1.0, 1.0)]) {
            if rule.1 >= path[path.len() - 1].1 {
                path.push(rule);
            }
        }
        let (n_in, n_out) = (inside.lid.len(), outside.lid.len());
        let precision = |hits: f64, misses: f64| hits / (hits + misses);
        let (mut aupr_in, mut aupr_out) = (0.0, 0.0);
        for step in path.windows(2) {
            let [before, after] = [step[0], step[1]];
            if after.1 > before.1 {
                let precision = precision(after.1 * n_in as f64, after.0 * n_out as f64);
                aupr_in += (after.1 - before.1) * precision;
            }
            if after.0 > before.0 {
                let [out, wrong] =
                    [(1.0 - before.0) * n_out as f64, (1.0 - before.1) * n_in as f64];
                aupr_out += (after.0 - before.0) * precision(out, wrong);
            }
        }
        let fpr95 = path.iter().find(|rule| rule.1 >= 0.95).unwrap().0;
        let (fpr, tpr): (Vec<_>, Vec<_>) = path.into_iter().unzip();
        Metrics { auroc: area(&fpr, &tpr), aupr_in, aupr_out, fpr95, n_in, n_out }
    }

    #[test]
    fn the_staircase_is_exact() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for levels in [2, 3, 6, 40, 1000] {
            for _ in 0..20 {
                let (inside, outside) = (draw(&mut rng, 11, levels), draw(&mut rng, 9, levels));
                let got = oracle(pairs(&inside), pairs(&outside)).unwrap();
                let expected = brute_force(pairs(&inside), pairs(&outside));
                assert_close(got, expected, &format!("{levels} levels"));
            }
        }
    }

    #[test]
    fn a_constant_column_leaves_the_numbers_of_the_other() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for levels in [3, 1000] {
            let ([score, _], [other, _]) = (draw(&mut rng, 30, levels), draw(&mut rng, 20, levels));
            let plain = Metrics::new(&score, &other).unwrap();
            let (ones, twos) = (vec![1.0; 30], vec![1.0; 20]);
            for (inside, outside) in [
                ([score.clone(), ones.clone()], [other.clone(), twos.clone()]),
                ([ones, score], [twos, other]),
            ] {
                let dual = oracle(pairs(&inside), pairs(&outside)).unwrap();
                assert_close(dual, plain, &format!("{levels} levels"));
            }
        }
    }

    #[test]
    fn thresholds_reach_their_points() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let (inside, outside) = (draw(&mut rng, 40, 12), draw(&mut rng, 30, 12));
        for point in frontier(pairs(&inside), pairs(&outside)).unwrap() {
            assert_eq!(pairs(&inside).accepted(&point), point.tpr);
            assert_eq!(pairs(&outside).accepted(&point), point.fpr);
        }
    }

    #[test]
    fn identical_distributions_score_one_half_when_cross_fitted_only() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut cross, mut optimistic, repeats) = (0.0, 0.0, 60);
        for seed in 0..repeats {
            let (inside, outside) = (draw(&mut rng, 128, 1 << 20), draw(&mut rng, 128, 1 << 20));
            cross += cross_fitted(pairs(&inside), pairs(&outside), seed).unwrap();
            optimistic += oracle(pairs(&inside), pairs(&outside)).unwrap().auroc;
        }
        let n = repeats as f64;
        assert!((cross / n - 0.5).abs() < 0.015, "cross-fitted {}", cross / n);
        assert!(optimistic / n > 0.54, "oracle {}", optimistic / n);
    }

    #[test]
    fn separated_distributions_score_one() {
        let inside = [vec![0.0, 1.0, 2.0, 3.0], vec![5.0, 6.0, 7.0, 8.0]];
        let outside = [vec![9.0, 8.0, 7.0, 6.0], vec![1.0, 2.0, 3.0, 4.0]];
        let Metrics { auroc, aupr_in, aupr_out, fpr95, .. } =
            oracle(pairs(&inside), pairs(&outside)).unwrap();
        assert_eq!([auroc, aupr_in, aupr_out, fpr95], [1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn ten_thousand_against_ten_thousand_stay_exact() {
        // All values distinct: the worst case. Where the LID repeats the likelihood's order, the answer is known.
        let n = 10_000;
        let inside: Vec<f64> = (0..n).map(|i| f64::from(2 * i)).collect();
        let outside: Vec<f64> = (0..n).map(|i| f64::from(2 * i + 1)).collect();
        let plain = Roc::new(&inside, &outside).unwrap().auroc();
        let (inside, outside) = ([inside.clone(), inside], [outside.clone(), outside]);
        let dual = oracle(pairs(&inside), pairs(&outside)).unwrap().auroc;
        assert!((dual - plain).abs() < 1e-9);
        // Independent columns, all values distinct: insertions everywhere in the frontier. Nothing tells the sets apart.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut column = || (0..n).map(|_| rng.random::<f64>()).collect::<Vec<f64>>();
        let (inside, outside) = ([column(), column()], [column(), column()]);
        let dual = oracle(pairs(&inside), pairs(&outside)).unwrap().auroc;
        assert!((0.5..0.53).contains(&dual), "{dual}");
        // The process's peak, test harness included. Counting all 4e8 threshold pairs at once would not fit.
        #[cfg(target_os = "linux")]
        {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(kib < 1 << 20, "{kib} KiB");
        }
    }

    #[test]
    fn bad_columns_are_refused() {
        let good = [vec![1.0], vec![2.0]];
        let short = [vec![1.0], vec![]];
        assert_eq!(
            oracle(pairs(&good), pairs(&short)),
            Err(EvalError::Lengths { likelihood: 1, lid: 0 })
        );
        assert_eq!(
            cross_fitted(pairs(&good), pairs(&good), 0),
            Err(EvalError::TooFew { side: IN, count: 1 })
        );
    }
}
