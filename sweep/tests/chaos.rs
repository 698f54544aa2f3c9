//! Agents that are killed at any moment, and stall past their leases, while the server is restarted: every trial is done once, and nothing
//! is lost.

mod common;

use atypical_sweep::store::{Claim, Filter, Lease, Next, State, Store};
use common::{Postgres, halving, open, sweep, trials};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::Path,
    process::{Child, Command},
    thread,
    time::Duration,
};

const TRIALS: usize = 60;
const AGENTS: usize = 6;
const LEASE: Duration = Duration::from_millis(400);
const KILLS: usize = 20;

#[test]
fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("queue.db").display().to_string();
    chaos(&url, folder.path(), agent, &mut || ());
}

#[test]
fn postgres() {
    let Some(server) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let restart = &mut || server.control(&["restart", "-m", "immediate"]);
    chaos(&server.empty(), folder.path(), agent, restart);
}

/// Agents on machines whose clocks are hours apart.
#[test]
fn postgres_and_clocks_that_disagree() {
    if Command::new("faketime").arg("--version").output().is_err() {
        eprintln!("SKIPPED: postgres_and_clocks_that_disagree, there is no faketime");
        return;
    }
    let Some(server) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    chaos(&server.empty(), folder.path(), skewed_agent, &mut || ());
}

type Start = fn(&str, &Path, u64) -> Child;

/// Run two sweeps, one with ASHA, among agents that die; `shake` the store thrice meanwhile.
fn chaos(url: &str, folder: &Path, agent: Start, shake: &mut impl FnMut()) {
    let mut store = open(url);
    fill(&mut store);
    let log = folder.join("log");
    let mut seeds = 0..;
    let mut start = || agent(url, &log, seeds.next().unwrap());
    let mut agents: Vec<Child> = (0..AGENTS).map(|_| start()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for kill in 0..KILLS {
        thread::sleep(Duration::from_millis(random.random_range(20..250)));
        let victim = random.random_range(0..AGENTS);
        // SIGKILL.
        agents[victim].kill().unwrap();
        agents[victim].wait().unwrap();
        // What `faketime` keeps there under a process's number, and that a later process of the number would stumble over.
        for kept in ["faketime_shm", "sem.faketime_sem"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{kept}_{}", agents[victim].id()));
        }
        agents[victim] = start();
        if kill % 8 == 4 {
            shake();
        }
    }
    for mut agent in agents {
        assert!(agent.wait().unwrap().success());
    }
    check(&mut store, &log);
}

fn fill(store: &mut Store) {
    for mut sweep in [sweep("plain"), halving("halved", &[1, 3, 9], 3)] {
        // So that no trial is quarantined, however often its agents die.
        sweep.max_attempts = 1000;
        store.create_sweep(&sweep).unwrap();
        store.add_trials(&sweep.name, &trials(TRIALS)).unwrap();
    }
}

fn check(store: &mut Store, log: &Path) {
    // What agents had confirmed, by sweep, trial and rung: the token and the result.
    let mut confirmed = HashMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let [sweep, id, rung, token] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let earlier =
            confirmed.insert((sweep.to_owned(), id.to_owned(), rung.to_owned()), token.to_owned());
        assert_eq!(earlier, None, "done twice: {line}");
    }
    let mut calm = open(&format!("sqlite:{}", log.with_extension("calm").display()));
    fill(&mut calm);
    work(&mut calm, None, 0);
    for sweep in ["plain", "halved"] {
        assert!(store.status(sweep).unwrap().finished, "{sweep}");
        let (here, there) =
            (store.trials(sweep, Filter::All).unwrap(), calm.trials(sweep, Filter::All).unwrap());
        assert_eq!(here.len(), TRIALS);
        for (here, there) in here.iter().zip(&there) {
            if sweep == "plain" {
                assert_eq!(here.state, State::Done);
                assert_eq!(
                    (&here.trial, here.value, &here.result),
                    (&there.trial, there.value, &there.result)
                );
            }
            // An agent that died between the store's answer and its own line leaves none.
            let key = (sweep.to_owned(), here.trial.id.clone(), here.rung.to_string());
            if let Some(token) = confirmed.get(&key) {
                assert_eq!(token, &here.token.unwrap().to_string());
            }
        }
    }
    // In what order agents report decides who goes on, but the best at the top is the best of all.
    let best = |store: &mut Store| {
        let done = store.trials("halved", Filter::In(State::Done)).unwrap();
        done.into_iter()
            .min_by(|a, b| a.value.partial_cmp(&b.value).unwrap())
            .map(|record| (record.trial, record.result))
    };
    assert_eq!(best(store), best(&mut calm));
    let mut attempts = |sweep| {
        store.trials(sweep, Filter::All).unwrap().iter().map(|record| record.attempts).sum::<u32>()
    };
    let failed: u32 = ["plain", "halved"].map(&mut attempts).iter().sum();
    eprintln!(
        "{} reports confirmed to those who lived to note it, {failed} attempts failed",
        confirmed.len()
    );
    assert!(failed > 0, "nobody died at work: the test tests nothing");
}

/// This program as an agent.
fn agent(url: &str, log: &Path, seed: u64) -> Child {
    started(Command::new(std::env::current_exe().unwrap()), url, log, seed)
}

/// The same under a clock of its own, which `faketime` gives the process that it becomes.
fn skewed_agent(url: &str, log: &Path, seed: u64) -> Child {
    let mut agent = Command::new("faketime");
    agent.args(["-f", ["-3h", "+0", "+5h"][seed as usize % 3]]);
    agent.arg(std::env::current_exe().unwrap());
    started(agent, url, log, seed)
}

fn started(mut agent: Command, url: &str, log: &Path, seed: u64) -> Child {
    agent.args(["--ignored", "--exact", "agent_process", "--nocapture"]);
    agent.env("AGENT_URL", url).env("AGENT_LOG", log).env("AGENT_SEED", seed.to_string());
    agent.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "an agent of the chaos tests"]
fn agent_process() {
    let Ok(url) = std::env::var("AGENT_URL") else { return };
    let log = File::options()
        .create(true)
        .append(true)
        .open(std::env::var("AGENT_LOG").unwrap())
        .unwrap();
    work(&mut open(&url), Some(log), std::env::var("AGENT_SEED").unwrap().parse().unwrap());
}

/// Work until both sweeps are finished. One with a log is in the chaos, and takes its time.
fn work(store: &mut Store, mut log: Option<File>, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut sweeps = vec!["plain", "halved"];
    while let Some(sweep) = sweeps.choose(&mut random).copied() {
        match store.claim(sweep, &format!("agent {seed}"), LEASE).unwrap() {
            Next::Finished => sweeps.retain(|other| *other != sweep),
            Next::Wait => thread::sleep(Duration::from_millis(20)),
            Next::Trial(claim) => {
                if log.is_some() {
                    let stalls = random.random_bool(0.03);
                    let millis = random.random_range(30..130) + if stalls { 700 } else { 0 };
                    thread::sleep(Duration::from_millis(millis));
                }
                let value = value(&claim);
                let result = format!(r#"{{"value":{value},"of":{}}}"#, claim.trial.config);
                if store.report(&claim, value, &result).unwrap() == Lease::Kept
                    && let Some(log) = &mut log
                {
                    // In one write, for others append, too.
                    let line =
                        format!("{sweep} {} {} {}\n", claim.trial.id, claim.rung, claim.token);
                    log.write_all(line.as_bytes()).unwrap();
                }
            }
        }
    }
}

/// Some value that depends on the trial alone.
fn value(claim: &Claim) -> f64 {
    let seed = common::number(claim) as u64;
    ChaCha8Rng::seed_from_u64(seed).random()
}
