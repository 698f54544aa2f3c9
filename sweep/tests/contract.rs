//! What both stores promise.

mod common;

use atypical_sweep::store::{
    Creation, Filter, Goal, Lease, Next, State, Store, StoreError, Sweep, Trial,
};
use common::{LEASE, Postgres, claim, halving, id, number, open, raw, sweep, trials};
use std::time::Duration;

/// Long enough for a store's clock to tick, and short enough to wait for.
const MOMENT: Duration = Duration::from_millis(40);
/// What a difference of two times may be off by: SQLite tells milliseconds.
const TICK: f64 = 2e-3;

/// Each of these, on a fresh store at the URL given.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                super::$name(&format!("sqlite:{}", folder.path().join("queue.db").display()));
            })*
        }

        #[test]
        fn postgres() {
            let Some(server) = Postgres::start() else { return };
            $(
                eprintln!("postgres: {}", stringify!($name));
                $name(&server.empty());
            )*
        }
    };
}

contract!(
    sweeps_are_created_once,
    impossible_sweeps_are_refused,
    trials_are_added_once,
    ten_thousand_trials,
    a_trial_from_claim_to_done,
    failures_end_in_quarantine,
    dead_agents_end_in_quarantine,
    a_superseded_owner_changes_nothing,
    a_heartbeat_keeps_a_lease,
    a_write_that_is_repeated_changes_nothing_more,
    cancelled_trials_are_told,
    cancelled_and_quarantined_trials_are_retried,
    released_trials_wait,
    removed_sweeps_are_lost,
    halving_by_hand,
    halving_for_a_maximum_without_nan,
    halving_survives_failures,
    status_tells_of_those_who_work,
    every_claim_is_of_another_trial,
    first_opens_at_once,
    foreign_text,
    a_newer_store_is_refused,
    what_is_not_there_is_not_made,
    the_time_left_counts_the_rungs_to_come,
    a_store_of_another_program_is_refused,
);

fn filled(url: &str, of: &Sweep, n: usize) -> Store {
    let mut store = open(url);
    assert_eq!(store.create_sweep(of).unwrap(), Creation::Created);
    assert_eq!(store.add_trials(&of.name, &trials(n)).unwrap(), n as u64);
    store
}

fn states(store: &mut Store, name: &str) -> Vec<State> {
    store.trials(name, Filter::All).unwrap().iter().map(|record| record.state).collect()
}

fn sweeps_are_created_once(url: &str) {
    let mut store = filled(url, &sweep("a"), 2);
    assert_eq!(store.create_sweep(&sweep("a")).unwrap(), Creation::Same);
    let other = Sweep { spec: r#"{"more":1}"#.into(), max_attempts: 5, ..sweep("a") };
    assert_eq!(store.create_sweep(&other).unwrap(), Creation::Updated);
    assert_eq!(store.create_sweep(&other).unwrap(), Creation::Same);
    assert_eq!(states(&mut store, "a").len(), 2);
    let turned = Sweep { goal: Goal::Max, ..other.clone() };
    let error = store.create_sweep(&turned).unwrap_err();
    assert!(matches!(&error, StoreError::Fixed(name) if name == "a"), "{error}");
    let halved = halving("b", &[1, 3, 9, 27], 3);
    store.create_sweep(&halved).unwrap();
    let listed = open(url).sweeps().unwrap();
    assert_eq!(listed.iter().map(|l| &l.sweep).collect::<Vec<_>>(), [&other, &halved]);
    let error = store.add_trials("c", &[]).unwrap_err().to_string();
    assert_eq!(error, "there is no sweep `c`; there are: a, b");
}

fn impossible_sweeps_are_refused(url: &str) {
    let mut store = open(url);
    let with = |change: fn(&mut Sweep)| {
        let mut sweep = halving("s", &[1, 3], 3);
        change(&mut sweep);
        sweep
    };
    for (wrong, names) in [
        (with(|s| s.name.clear()), "name"),
        (with(|s| s.spec = "{".into()), "the spec of `s` is not JSON"),
        (with(|s| s.max_attempts = 0), "max_attempts"),
        (with(|s| s.asha.as_mut().unwrap().rungs = vec![3, 3]), "[3, 3]"),
        (with(|s| s.asha.as_mut().unwrap().rungs.clear()), "[]"),
        (with(|s| s.asha.as_mut().unwrap().factor = 1), "factor 1"),
    ] {
        let error = store.create_sweep(&wrong).unwrap_err().to_string();
        assert!(error.contains(names), "{error}");
    }
    assert_eq!(store.sweeps().unwrap(), []);
}

fn trials_are_added_once(url: &str) {
    let mut store = filled(url, &sweep("s"), 3);
    assert_eq!(store.add_trials("s", &trials(5)).unwrap(), 2);
    let twice = [trials(7), trials(7)].concat();
    assert_eq!(store.add_trials("s", &twice).unwrap(), 2);
    let records = store.trials("s", Filter::All).unwrap();
    assert_eq!(records.iter().map(|r| r.trial.clone()).collect::<Vec<_>>(), trials(7));
    let error = |store: &mut Store, change: fn(&mut Trial)| {
        let mut wrong = trials(9);
        change(&mut wrong[8]);
        store.add_trials("s", &wrong).unwrap_err()
    };
    assert!(matches!(error(&mut store, |t| t.id.replace_range(..1, "A")), StoreError::Address(_)));
    assert!(matches!(error(&mut store, |t| t.id.truncate(63)), StoreError::Address(_)));
    assert!(matches!(
        error(&mut store, |t| t.config.clear()),
        StoreError::Json { what: "config", .. }
    ));
    assert_eq!(states(&mut store, "s").len(), 7, "none of a list that is refused");
    assert!(matches!(store.trials("s", Filter::Trial("x")), Err(StoreError::NoTrial { .. })));
}

fn ten_thousand_trials(url: &str) {
    let mut store = filled(url, &sweep("s"), 10_000);
    assert_eq!(store.add_trials("s", &trials(10_001)).unwrap(), 1);
    assert_eq!(store.status("s").unwrap().counts[&State::Pending], 10_001);
    assert_eq!(number(&claim(&mut store, "s", LEASE)), 0);
}

fn a_trial_from_claim_to_done(url: &str) {
    let mut store = filled(url, &sweep("s"), 2);
    let first = claim(&mut store, "s", LEASE);
    assert_eq!(first.trial, trials(1)[0]);
    assert_eq!((first.rung, first.budget, first.attempts), (0, None, 0));
    assert_eq!(number(&claim(&mut store, "s", LEASE)), 1);
    assert_eq!(store.claim("s", "b", LEASE).unwrap(), Next::Wait);
    std::thread::sleep(MOMENT);
    assert!(matches!(
        store.finish(&first, 0.5, "no JSON"),
        Err(StoreError::Json { what: "result", .. })
    ));
    assert_eq!(store.finish(&first, 0.5, r#"{"loss":0.5}"#).unwrap(), Lease::Kept);
    let record = &store.trials("s", Filter::Trial(&first.trial.id)).unwrap()[0];
    assert_eq!((record.state, record.value), (State::Done, Some(0.5)));
    assert_eq!(record.result.as_deref(), Some(r#"{"loss":0.5}"#));
    assert_eq!((record.owner.as_deref(), record.token), (Some("agent"), Some(first.token)));
    let (started, finished) = (record.started.unwrap(), record.finished.unwrap());
    assert!(record.created <= started && started < finished);
    assert!(
        (record.spent - (finished - started)).abs() < TICK
            && record.spent > MOMENT.as_secs_f64() - TICK
    );
    assert_eq!(store.trials("s", Filter::In(State::Leased)).unwrap().len(), 1);
}

fn failures_end_in_quarantine(url: &str) {
    let mut store = filled(url, &sweep("s"), 2);
    for attempt in 0..3 {
        // The other one is first each time: what failed goes to the end.
        let mut mine = claim(&mut store, "s", LEASE);
        if number(&mine) == 1 {
            let other = mine;
            mine = claim(&mut store, "s", LEASE);
            assert_eq!(store.release(&other, Duration::ZERO).unwrap(), Lease::Kept);
        }
        assert_eq!((number(&mine), mine.attempts), (0, attempt));
        assert_eq!(
            store.fail(&mine, &format!("error {attempt}"), "the\0log").unwrap(),
            Lease::Kept
        );
    }
    let record = &store.trials("s", Filter::Trial(&id(0))).unwrap()[0];
    assert_eq!((record.state, record.attempts), (State::Quarantined, 3));
    assert_eq!(record.error.as_deref(), Some("error 2"));
    assert_eq!(record.log.as_deref(), Some("the\u{fffd}log"));
    assert!(record.finished.is_some());
    let other = claim(&mut store, "s", LEASE);
    assert_eq!((number(&other), other.attempts), (1, 0), "a release is no failed attempt");
}

fn dead_agents_end_in_quarantine(url: &str) {
    let mut store = filled(url, &sweep("s"), 1);
    for attempt in 0..3 {
        assert_eq!(claim(&mut store, "s", MOMENT).attempts, attempt);
        std::thread::sleep(2 * MOMENT);
    }
    assert_eq!(store.claim("s", "agent", LEASE).unwrap(), Next::Finished);
    let record = &store.trials("s", Filter::All).unwrap()[0];
    assert_eq!((record.state, record.attempts), (State::Quarantined, 3));
    assert!(record.error.as_deref().unwrap().contains("the lease of agent ran out"));
}

fn a_superseded_owner_changes_nothing(url: &str) {
    let mut store = filled(url, &sweep("s"), 1);
    let old = claim(&mut store, "s", MOMENT);
    std::thread::sleep(2 * MOMENT);
    let new = claim(&mut store, "s", LEASE);
    assert_ne!(old.token, new.token);
    let before = store.trials("s", Filter::All).unwrap();
    assert_eq!(store.heartbeat(&old, LEASE).unwrap(), Lease::Lost);
    assert_eq!(store.finish(&old, 1.0, "1").unwrap(), Lease::Lost);
    assert_eq!(store.report(&old, 1.0, "1").unwrap(), Lease::Lost);
    assert_eq!(store.fail(&old, "e", "l").unwrap(), Lease::Lost);
    assert_eq!(store.release(&old, LEASE).unwrap(), Lease::Lost);
    assert_eq!(store.trials("s", Filter::All).unwrap(), before);
    assert_eq!(store.finish(&new, 2.0, "2").unwrap(), Lease::Kept);
    assert_eq!(store.finish(&old, 1.0, "1").unwrap(), Lease::Lost);
    assert_eq!(store.trials("s", Filter::All).unwrap()[0].value, Some(2.0));
}

fn a_heartbeat_keeps_a_lease(url: &str) {
    let mut store = filled(url, &sweep("s"), 1);
    let mine = claim(&mut store, "s", MOMENT);
    assert_eq!(store.heartbeat(&mine, LEASE).unwrap(), Lease::Kept);
    std::thread::sleep(2 * MOMENT);
    assert_eq!(store.claim("s", "other", LEASE).unwrap(), Next::Wait);
    assert_eq!(store.finish(&mine, 1.0, "1").unwrap(), Lease::Kept);
    assert_eq!(store.claim("s", "other", LEASE).unwrap(), Next::Finished);
}

fn a_write_that_is_repeated_changes_nothing_more(url: &str) {
    let mut store = filled(url, &sweep("s"), 2);
    let (a, b) = (claim(&mut store, "s", LEASE), claim(&mut store, "s", LEASE));
    assert_eq!(store.finish(&a, 1.0, "1").unwrap(), Lease::Kept);
    assert_eq!(store.fail(&b, "e", "l").unwrap(), Lease::Kept);
    let before = store.trials("s", Filter::All).unwrap();
    assert_eq!(store.finish(&a, 2.0, "2").unwrap(), Lease::Kept);
    assert_eq!(store.fail(&b, "e", "l").unwrap(), Lease::Kept);
    assert_eq!(store.trials("s", Filter::All).unwrap(), before);
}

fn cancelled_trials_are_told(url: &str) {
    let mut store = filled(url, &sweep("s"), 4);
    let (done, one, two) = (
        claim(&mut store, "s", LEASE),
        claim(&mut store, "s", LEASE),
        claim(&mut store, "s", LEASE),
    );
    assert_eq!(store.finish(&done, 1.0, "1").unwrap(), Lease::Kept);
    assert_eq!(store.cancel("s", Filter::Trial(&one.trial.id)).unwrap(), 1);
    assert_eq!(store.heartbeat(&one, LEASE).unwrap(), Lease::Cancelled);
    assert_eq!(store.finish(&one, 1.0, "1").unwrap(), Lease::Cancelled);
    assert_eq!(store.heartbeat(&two, LEASE).unwrap(), Lease::Kept);
    assert_eq!(store.cancel("s", Filter::All).unwrap(), 2);
    assert_eq!(store.cancel("s", Filter::All).unwrap(), 0);
    assert_eq!(store.heartbeat(&two, LEASE).unwrap(), Lease::Cancelled);
    assert_eq!(store.claim("s", "agent", LEASE).unwrap(), Next::Finished);
    let cancelled = State::Cancelled;
    assert_eq!(states(&mut store, "s"), [State::Done, cancelled, cancelled, cancelled]);
    assert!(matches!(store.cancel("s", Filter::Trial("x")), Err(StoreError::NoTrial { .. })));
}

fn cancelled_and_quarantined_trials_are_retried(url: &str) {
    let mut store = filled(url, &Sweep { max_attempts: 1, ..sweep("s") }, 3);
    let (done, bad, gone) = (
        claim(&mut store, "s", LEASE),
        claim(&mut store, "s", LEASE),
        claim(&mut store, "s", LEASE),
    );
    assert_eq!(store.finish(&done, 1.0, "1").unwrap(), Lease::Kept);
    assert_eq!(store.fail(&bad, "e", "l").unwrap(), Lease::Kept);
    assert_eq!(store.cancel("s", Filter::All).unwrap(), 1);
    assert_eq!(states(&mut store, "s"), [State::Done, State::Quarantined, State::Cancelled]);
    assert_eq!(store.retry("s", Filter::In(State::Cancelled)).unwrap(), 1);
    assert_eq!(store.heartbeat(&gone, LEASE).unwrap(), Lease::Lost, "its trial is anybody's again");
    assert_eq!(store.retry("s", Filter::Trial(&done.trial.id)).unwrap(), 0, "done is done");
    assert_eq!(store.retry("s", Filter::All).unwrap(), 1);
    assert_eq!(states(&mut store, "s"), [State::Done, State::Pending, State::Pending]);
    let again = store.trials("s", Filter::Trial(&bad.trial.id)).unwrap();
    assert_eq!((again[0].attempts, again[0].finished), (0, None));
}

fn released_trials_wait(url: &str) {
    let mut store = filled(url, &sweep("s"), 1);
    let mine = claim(&mut store, "s", LEASE);
    assert_eq!(store.release(&mine, Duration::from_secs(1)).unwrap(), Lease::Kept);
    assert_eq!(store.claim("s", "agent", LEASE).unwrap(), Next::Wait);
    std::thread::sleep(Duration::from_millis(1010));
    let again = claim(&mut store, "s", LEASE);
    assert_eq!((number(&again), again.attempts), (0, 0));
    assert_eq!(store.heartbeat(&mine, LEASE).unwrap(), Lease::Lost);
}

fn removed_sweeps_are_lost(url: &str) {
    let mut store = filled(url, &halving("s", &[1, 2], 2), 2);
    let mine = claim(&mut store, "s", LEASE);
    let reported = claim(&mut store, "s", LEASE);
    assert_eq!(store.report(&reported, 1.0, "1").unwrap(), Lease::Kept);
    store.remove_sweep("s").unwrap();
    assert_eq!(store.heartbeat(&mine, LEASE).unwrap(), Lease::Lost);
    assert_eq!(store.finish(&mine, 1.0, "1").unwrap(), Lease::Lost);
    let error = store.remove_sweep("s").unwrap_err().to_string();
    assert_eq!(error, "there is no sweep `s`; the store has none yet, create one first");
    let mut store = filled(url, &halving("s", &[1, 2], 2), 2);
    let first = claim(&mut store, "s", LEASE);
    assert_eq!(
        store.report(&first, 1.0, "1").unwrap(),
        Lease::Kept,
        "nothing of the old one is left"
    );
}

/// Nine trials, rungs of 1, 3 and 9, factor 3, one agent; the value of trial n at every rung is VALUES[n]. Worked by hand with the
/// algorithm of the paper: a rung with n reports sends on the best floor(n / 3), the highest rung is asked first, and a new trial is begun
/// only when no rung sends one on.
fn halving_by_hand(url: &str) {
    const VALUES: [f64; 9] = [5.0, 3.0, 4.0, 2.0, 9.0, 1.0, 7.0, 6.0, 8.0];
    let mut store = filled(url, &halving("s", &[1, 3, 9], 3), 9);
    let mut order = Vec::new();
    while let Next::Trial(mine) = store.claim("s", "agent", LEASE).unwrap() {
        assert_eq!(mine.budget, Some([1, 3, 9][mine.rung as usize]));
        order.push((number(&mine), mine.rung));
        let value = VALUES[number(&mine)];
        assert_eq!(store.report(&mine, value, &value.to_string()).unwrap(), Lease::Kept);
    }
    let by_hand = [
        (0, 0),
        (1, 0),
        (2, 0), // 5 3 4: the best of three is 1,
        (1, 1),
        (3, 0), // 2 is the best of four now: it goes on, as one of the best floor(4/3),
        (3, 1),
        (4, 0), // 9: floor(5/3) is 1, and the best is on
        (5, 0), // 1 is the best of six; the best two are 5 and 3
        (5, 1), // which makes three at rung 1: 3 2 1, so that the best of them, 5, goes on to the top
        (5, 2),
        (6, 0),
        (7, 0),
        (8, 0), // nine: the best three are 5 3 1, all on; rung 1 has three, its best is on
    ];
    assert_eq!(order, by_hand);
    assert_eq!(store.claim("s", "agent", LEASE).unwrap(), Next::Finished);
    let status = store.status("s").unwrap();
    assert!(status.finished);
    assert_eq!((status.counts[&State::Done], status.counts[&State::Paused]), (1, 8));
    let best = &store.trials("s", Filter::In(State::Done)).unwrap()[0];
    assert_eq!((best.trial.id.as_str(), best.value, best.rung), (id(5).as_str(), Some(1.0), 2));
}

fn halving_for_a_maximum_without_nan(url: &str) {
    let of = Sweep { goal: Goal::Max, ..halving("s", &[1, 2], 2) };
    let mut store = filled(url, &of, 4);
    let mine: Vec<_> = (0..4).map(|_| claim(&mut store, "s", LEASE)).collect();
    for (mine, value) in mine.iter().zip([f64::NAN, 3.0, f64::NEG_INFINITY, f64::NAN]) {
        assert_eq!(store.report(mine, value, "{}").unwrap(), Lease::Kept);
    }
    let records = store.trials("s", Filter::All).unwrap();
    let values: Vec<_> = records.iter().map(|record| record.value).collect();
    assert_eq!(values, [None, Some(3.0), Some(f64::NEG_INFINITY), None]);
    // Two of four go on: the two that have a number, the larger first.
    for expected in [1, 2] {
        let mine = claim(&mut store, "s", LEASE);
        assert_eq!((number(&mine), mine.rung), (expected, 1));
        assert_eq!(store.report(&mine, 0.0, "{}").unwrap(), Lease::Kept);
    }
    assert_eq!(store.claim("s", "agent", LEASE).unwrap(), Next::Finished);
}

fn halving_survives_failures(url: &str) {
    let mut store = filled(url, &halving("s", &[1, 2], 2), 3);
    for _ in 0..2 {
        let mine = claim(&mut store, "s", LEASE);
        assert_eq!(store.report(&mine, number(&mine) as f64, "{}").unwrap(), Lease::Kept);
    }
    // Trial 0 goes on, fails there, and is tried there again, before trial 2 is begun.
    let promoted = claim(&mut store, "s", LEASE);
    assert_eq!((number(&promoted), promoted.rung), (0, 1));
    assert_eq!(store.fail(&promoted, "e", "l").unwrap(), Lease::Kept);
    let again = claim(&mut store, "s", LEASE);
    assert_eq!((number(&again), again.rung, again.attempts), (0, 1, 1));
    // What is cancelled while it waits at a rung waits there again, and is not run there twice.
    assert_eq!(store.cancel("s", Filter::Trial(&id(1))).unwrap(), 1);
    assert_eq!(store.retry("s", Filter::Trial(&id(1))).unwrap(), 1);
    assert_eq!(states(&mut store, "s"), [State::Leased, State::Paused, State::Pending]);
    // What is cancelled at the rung that it went on to is run there again.
    assert_eq!(store.cancel("s", Filter::Trial(&id(0))).unwrap(), 1);
    assert_eq!(store.retry("s", Filter::Trial(&id(0))).unwrap(), 1);
    let again = claim(&mut store, "s", LEASE);
    assert_eq!((number(&again), again.rung, again.attempts), (0, 1, 0));
    assert_eq!(store.finish(&again, 0.0, "{}").unwrap(), Lease::Kept);
    assert_eq!(number(&claim(&mut store, "s", LEASE)), 2);
}

fn status_tells_of_those_who_work(url: &str) {
    let mut store = filled(url, &sweep("s"), 3);
    let done = claim(&mut store, "s", LEASE);
    std::thread::sleep(MOMENT);
    assert_eq!(store.finish(&done, 1.0, "1").unwrap(), Lease::Kept);
    let silent = claim(&mut store, "s", MOMENT);
    std::thread::sleep(2 * MOMENT);
    // Not by a claim: that would clear the lease away.
    let status = store.status("s").unwrap();
    let [running] = status.running.as_slice() else { panic!("{status:?}") };
    assert_eq!((&running.id, running.owner.as_str(), running.rung), (&silent.trial.id, "agent", 0));
    assert_eq!(running.label, "trial 1");
    assert!(
        running.expired && running.silent > 0.079 && running.seconds == running.silent,
        "{running:?}"
    );
    // As much again as the first took, but for what the second has worked already; and the third.
    let left = status.seconds_left.unwrap();
    assert!(left > 0.5 * MOMENT.as_secs_f64() && left < 4.0 * MOMENT.as_secs_f64(), "{left}");
    let counts: Vec<_> = status.counts.values().copied().collect();
    assert_eq!(counts, [1, 1, 0, 1, 0, 0]);
    assert!(!status.finished);
}

fn every_claim_is_of_another_trial(url: &str) {
    drop(filled(url, &sweep("s"), 60));
    let agents: Vec<_> = (0..4)
        .map(|_| {
            let mut store = open(url);
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                while let Next::Trial(claim) = store.claim("s", "agent", LEASE).unwrap() {
                    mine.push(number(&claim));
                }
                mine
            })
        })
        .collect();
    let mut all: Vec<_> = agents.into_iter().flat_map(|agent| agent.join().unwrap()).collect();
    all.sort();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
}

fn first_opens_at_once(url: &str) {
    let agents: Vec<_> = (0..8)
        .map(|_| {
            let url = url.to_owned();
            std::thread::spawn(move || open(&url).create_sweep(&sweep("s")).unwrap())
        })
        .collect();
    let made: Vec<_> = agents.into_iter().map(|agent| agent.join().unwrap()).collect();
    assert_eq!(made.iter().filter(|made| **made == Creation::Created).count(), 1);
}

fn foreign_text(url: &str) {
    let mut store = filled(url, &Sweep { name: "ü'; DROP TABLE trials --".into(), ..sweep("") }, 0);
    let name = "ü'; DROP TABLE trials --";
    let text = Trial { label: "'\"\\\0 $1 ?1 日本".into(), ..trials(1).remove(0) };
    assert_eq!(store.add_trials(name, &[text]).unwrap(), 1);
    let mine = claim(&mut store, name, LEASE);
    assert_eq!(mine.trial.label, "'\"\\\u{fffd} $1 ?1 日本");
    assert_eq!(mine.trial.config, r#"{"seed":0}"#);
}

fn what_is_not_there_is_not_made(url: &str) {
    for _ in 0..2 {
        let error = Store::open(url, LEASE).err().expect("a refusal");
        assert!(matches!(&error, StoreError::Missing(_)), "{error}");
    }
    open(url).create_sweep(&sweep("s")).unwrap();
    assert_eq!(Store::open(url, LEASE).unwrap().sweeps().unwrap().len(), 1);
}

fn the_time_left_counts_the_rungs_to_come(url: &str) {
    // Four trials at a budget of 1, two of them on to 3, one to 9: 4 + 2 · 2 + 6 units.
    let mut store = filled(url, &halving("s", &[1, 3, 9], 2), 4);
    assert_eq!(store.status("s").unwrap().seconds_left, None);
    let mut work = |left: &mut f64| {
        let claim = claim(&mut store, "s", LEASE);
        std::thread::sleep(MOMENT);
        assert_eq!(store.report(&claim, 0.0, "{}").unwrap(), Lease::Kept);
        let spent: f64 = store.trials("s", Filter::All).unwrap().iter().map(|t| t.spent).sum();
        *left = store.status("s").unwrap().seconds_left.unwrap() / spent;
        claim.rung
    };
    let mut left = 0.0;
    // Done: 1, 2, then the first rung's best goes on, and so forth.
    let mut done = 0.0;
    while done < 14.0 {
        done += [1.0, 2.0, 6.0][work(&mut left) as usize];
        let expected = (14.0 - done) / done;
        assert!((left - expected).abs() < 1e-6, "{left} and {expected} after {done}");
    }
    assert!(store.status("s").unwrap().finished);
}

fn a_newer_store_is_refused(url: &str) {
    drop(open(url));
    raw(url, "UPDATE schema_version SET version = 99");
    let error = Store::create(url, LEASE).err().expect("a refusal").to_string();
    assert!(
        error.contains("has the schema version 99") && error.contains("versions up to 1"),
        "{error}"
    );
}

fn a_store_of_another_program_is_refused(url: &str) {
    if url.starts_with("postgres") {
        raw(url, "CREATE SCHEMA atypical");
    }
    raw(url, "CREATE TABLE songs (title TEXT)");
    let error = Store::create(url, LEASE).err().expect("a refusal");
    assert!(matches!(&error, StoreError::Foreign(_)), "{error}");
}
