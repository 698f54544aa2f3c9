//! How long a claim takes: 10,000 queued trials, 16 agent processes that claim and finish as fast as they can.
//!
//! `cargo run --release --example claim_bench [URL]`; without a URL, an SQLite file in a temporary folder.

use atypical_sweep::store::{Asha, Goal, Lease, Next, PATIENCE, Store, StoreError, Sweep, Trial};
use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const AGENTS: usize = 16;
const TRIALS: usize = 10_000;
/// How many claims each agent makes.
const CLAIMS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [agent, url, sweep, pause] if agent == "agent" => work(url, sweep, pause.parse()?),
        [url] => measure(url),
        _ => {
            let folder = tempfile::tempdir()?;
            measure(&format!("sqlite:{}", folder.path().join("queue.db").display()))
        }
    }
}

fn measure(url: &str) -> Result<(), Box<dyn Error>> {
    let mut store = Store::create(url, PATIENCE)?;
    for (asha, pause) in [(false, 0), (false, 20), (true, 20)] {
        let name = fill(&mut store, asha)?;
        let start = Instant::now();
        let agents = (0..AGENTS)
            .map(|_| {
                let mut agent = Command::new(std::env::current_exe()?);
                agent.args(["agent", url, &name, &pause.to_string()]).stdout(Stdio::piped()).spawn()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut millis = Vec::new();
        for mut agent in agents {
            for line in BufReader::new(agent.stdout.take().ok_or("no output")?).lines() {
                millis.push(line?.parse::<f64>()?);
            }
            agent.wait()?;
        }
        let seconds = start.elapsed().as_secs_f64();
        millis.sort_by(f64::total_cmp);
        let at = |part: f64| millis[((millis.len() - 1) as f64 * part) as usize];
        println!(
            "{name}, {pause} ms of work: {} claims in {seconds:.1} s; a claim took {:.2} ms (median), {:.2} (p95), {:.2} (max)",
            millis.len(),
            at(0.5),
            at(0.95),
            at(1.0)
        );
        store.remove_sweep(&name)?;
    }
    Ok(())
}

fn fill(store: &mut Store, asha: bool) -> Result<String, StoreError> {
    let name = if asha { "with ASHA" } else { "without ASHA" };
    let asha = asha.then(|| Asha { rungs: vec![1, 3, 9, 27], factor: 3 });
    let sweep =
        Sweep { name: name.into(), spec: "{}".into(), goal: Goal::Min, asha, max_attempts: 3 };
    store.create_sweep(&sweep)?;
    let trial = |n: usize| Trial {
        id: format!("{n:064x}"),
        label: format!("trial {n}"),
        sets: r#"{"train.lr":0.001}"#.into(),
        // As long as a real configuration.
        config: format!(r#"{{"seed":{n},"text":"{}"}}"#, "x".repeat(3000)),
    };
    let trials: Vec<_> = (0..TRIALS).map(trial).collect();
    let start = Instant::now();
    store.add_trials(name, &trials)?;
    println!("{name}: {TRIALS} trials added in {:.2} s", start.elapsed().as_secs_f64());
    Ok(name.into())
}

fn work(url: &str, sweep: &str, pause: u64) -> Result<(), Box<dyn Error>> {
    let mut store = Store::open(url, PATIENCE)?;
    for n in 0..CLAIMS {
        let start = Instant::now();
        let next = store.claim(sweep, "agent", Duration::from_secs(60))?;
        println!("{}", 1e3 * start.elapsed().as_secs_f64());
        let Next::Trial(claim) = next else { break };
        std::thread::sleep(Duration::from_millis(pause));
        if store.report(&claim, ((n * 7919) % 1000) as f64, "{}")? != Lease::Kept {
            return Err("a lease was lost".into());
        }
    }
    Ok(())
}
