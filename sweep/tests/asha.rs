//! Successive halving by the queue, against a hand-worked run and against its definition.

mod common;

use atypical_sweep::{
    space::asha::rungs,
    store::{Asha, Goal, Next, PATIENCE, Store, Sweep, Trial},
};
use common::LEASE;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn rungs_are_powers_up_to_the_maximum() {
    assert_eq!(rungs(1, 27, 3), [1, 3, 9, 27]);
    assert_eq!(rungs(2, 30, 4), [2, 8, 30]);
    assert_eq!(rungs(5, 5, 2), [5]);
    assert_eq!(rungs(1, u64::MAX, 1 << 32), [1, 1 << 32, u64::MAX]);
}

/// What one worker gets, trial and rung, where a trial's value is the same at every rung.
fn jobs(values: &[f64], rungs: usize, factor: u32, goal: Goal) -> Vec<(usize, usize)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    let mut store = Store::create(&path.display().to_string(), PATIENCE).unwrap();
    let asha = Asha { rungs: (1..=rungs as u64).collect(), factor };
    let sweep =
        Sweep { name: "s".into(), spec: "{}".into(), goal, asha: Some(asha), max_attempts: 1 };
    store.create_sweep(&sweep).unwrap();
    let trial = |i: usize| Trial {
        id: format!("{i:064x}"),
        label: i.to_string(),
        sets: "{}".into(),
        config: "{}".into(),
    };
    store.add_trials("s", &(0..values.len()).map(trial).collect::<Vec<_>>()).unwrap();
    let mut jobs = Vec::new();
    while let Next::Trial(claim) = store.claim("s", "worker", LEASE).unwrap() {
        let trial: usize = claim.trial.label.parse().unwrap();
        jobs.push((trial, claim.rung as usize));
        assert_eq!(claim.budget, Some(u64::from(claim.rung) + 1));
        let _ = store.report(&claim, values[trial], "{}").unwrap();
    }
    jobs
}

/// Worked by hand from algorithm 2.
#[test]
fn one_worker_promotes_as_worked_by_hand() {
    let values = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 6.0, 0.0, 8.0];
    let by_hand = [
        (0, 0),
        (1, 0),
        (2, 0), // of three the best is 1
        (1, 1),
        (3, 0),
        (4, 0),
        (5, 0), // of six: 1 and 3
        (3, 1),
        (6, 0),
        (7, 0), // of eight, still two: 7 and 1
        (7, 1),
        (7, 2), // of three at rung 1 the best is 7
        (8, 0), // of nine: 7, 1, 3, all promoted
    ];
    assert_eq!(jobs(&values, 3, 3, Goal::Min), by_hand);
}

/// Those of the trials that finished a rung of which fewer than a `factor`-th of all are ahead and that are numbers, the best first.
fn promotable(finished: &[(usize, f64)], factor: u32, goal: Goal) -> Vec<usize> {
    let ahead = |a: &(usize, f64), b: &(usize, f64)| {
        let better = match goal {
            Goal::Min => a.1 < b.1,
            Goal::Max => a.1 > b.1,
        };
        better || (a.1 == b.1 && a.0 < b.0)
    };
    let count = |of: &(usize, f64)| finished.iter().filter(|other| ahead(other, of)).count();
    let among = |of: &&(usize, f64)| (count(of) + 1) * factor as usize <= finished.len();
    let mut all: Vec<_> = finished.iter().filter(|of| !of.1.is_nan()).filter(among).collect();
    all.sort_by_key(|of| count(of));
    all.into_iter().map(|of| of.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_queue_promotes_by_the_definition(
        values in prop::collection::vec(prop_oneof![4 => (0..6i8).prop_map(f64::from), 1 => Just(f64::NAN)], 0..20),
        factor in 2..5u32,
        maximize: bool,
    ) {
        let goal = if maximize { Goal::Max } else { Goal::Min };
        let mut finished: [Vec<(usize, f64)>; 3] = Default::default();
        let mut promoted: [BTreeSet<usize>; 2] = Default::default();
        let (mut expected, mut next) = (Vec::new(), 0);
        loop {
            let promotion = [1, 0].into_iter().find_map(|k| {
                let best = promotable(&finished[k], factor, goal);
                best.into_iter().find(|trial| !promoted[k].contains(trial)).map(|trial| (trial, k))
            });
            let (trial, rung) = match promotion {
                Some((trial, k)) => {
                    promoted[k].insert(trial);
                    (trial, k + 1)
                }
                None if next < values.len() => {
                    next += 1;
                    (next - 1, 0)
                }
                None => break,
            };
            expected.push((trial, rung));
            finished[rung].push((trial, values[trial]));
        }
        prop_assert_eq!(jobs(&values, 3, factor, goal), expected);
    }
}
