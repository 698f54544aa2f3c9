//! Sweeps, worked off by agents that are killed and started again.

use super::{Bench, Command, Duration, Instant, texts};
use serde_json::Value;
use std::collections::BTreeMap;

pub const SWEEP: &str = "
command: train
base: train.yaml
run: '{optimizer.lr}_{seed}'
metric: {name: valid_bits_per_dimension, goal: minimize}
axes:
  optimizer.lr: [1e-3, 1e-2]
  seed: {range: [0, 2]}
set: {epochs: 2, samples.every: 0}
";

const HALVING: &str = "
command: train
base: train.yaml
run: '{optimizer.lr}'
metric: {name: valid_bits_per_dimension, goal: minimize}
stop: {asha: {budget: epochs, min: 1, max: 4, factor: 2}}
axes: {optimizer.lr: [1e-2, 1e-3, 1e-4, 1e-5]}
set: {samples.every: 0}
";

fn bench(sweep: &str) -> Bench {
    let bench = Bench::new();
    bench.file("sweep.yaml", sweep);
    bench
}

/// Value of every trial by its run.
pub fn values(bench: &Bench, sweep: &str) -> BTreeMap<String, (String, f64)> {
    let results: Value =
        serde_json::from_str(&bench.ok(&format!("sweep results {sweep} --json"))).unwrap();
    let trials = results["trials"].as_array().unwrap().iter();
    trials
        .map(|trial| {
            let state = trial["state"].as_str().unwrap().to_owned();
            (
                trial["run"].as_str().unwrap().to_owned(),
                (state, trial["value"].as_f64().unwrap_or(f64::NAN)),
            )
        })
        .collect()
}

#[test]
fn a_sweep_is_planned_worked_off_and_ranked() {
    let bench = bench(SWEEP);
    let plan: Value = serde_json::from_str(&bench.ok("sweep plan sweep.yaml --json")).unwrap();
    assert_eq!(plan["trials"].as_array().unwrap().len(), 4);
    assert!(!bench.path("runs").exists(), "a plan writes nothing");
    assert!(bench.ok("sweep create sweep.yaml").contains("4 trials were added"));
    // The same again, and with one more seed.
    assert!(bench.ok("sweep create sweep.yaml").contains("0 trials were added, 4 were there"));
    bench.file("sweep.yaml", &SWEEP.replace("[0, 2]", "[0, 3]"));
    assert!(bench.ok("sweep create sweep.yaml").contains("2 trials were added, 4 were there"));
    assert!(bench.ok("sweep status sweep").contains("no agent works on it"));

    assert!(bench.ok("sweep agent sweep --most 1").contains("1 done, 0 failed"));
    assert!(bench.ok("sweep agent sweep").contains("5 done, 0 failed"));
    let values = values(&bench, "sweep");
    assert_eq!(values.len(), 6);
    for (run, (state, value)) in &values {
        assert_eq!(state, "done", "{run}");
        // What the run's own log says.
        let shown: Value =
            serde_json::from_str(&bench.ok(&format!("runs show {run} --json"))).unwrap();
        assert_eq!(shown["run"]["best"].as_f64(), Some(*value), "{run}");
    }
    let table = bench.ok("sweep results sweep");
    let first = table.lines().nth(1).unwrap();
    assert!(table.starts_with("run "), "{table}");
    let best = values.values().map(|v| v.1).fold(f64::INFINITY, f64::min);
    assert!(first.contains(&format!("{best:.5}")), "{table}");
    for file in ["results.csv", "results.parquet", "trials.svg", "trials.png"] {
        assert!(bench.path("runs/sweep").join(file).exists(), "{file}");
    }
    // Its runs are runs like others.
    assert!(bench.ok("runs").contains("sweep/0.001_2"));
    assert!(bench.ok("sweep status").contains("sweep"));
    assert!(bench.ok("sweep rm sweep").contains("its runs stay"));
    assert!(bench.error("sweep status sweep").contains("no sweep `sweep`"));
    assert!(bench.path("runs/sweep/0.001_0/model/best.safetensors").exists());
}

#[test]
fn killed_agents_lose_nothing() {
    let long = SWEEP.replace("epochs: 2", "epochs: 30");
    let [undisturbed, disturbed] = [bench(&long), bench(&long)];
    for bench in [&undisturbed, &disturbed] {
        bench.ok("sweep create sweep.yaml");
    }
    undisturbed.ok("sweep agent sweep --quiet");
    let expected = values(&undisturbed, "sweep");

    // Each is killed as soon as its trial has a checkpoint; the next one begins with the next trial.
    for run in ["0.001_0", "0.001_1", "0.01_0"] {
        let mut agent = disturbed.command("sweep agent sweep --quiet --lease 3").spawn().unwrap();
        let metrics = disturbed.path(&format!("runs/sweep/{run}/metrics.jsonl"));
        let deadline = Instant::now() + Duration::from_secs(120);
        while !metrics.exists() {
            assert!(Instant::now() < deadline, "{run} was not begun");
            std::thread::sleep(Duration::from_millis(2));
        }
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    disturbed.ok("sweep agent sweep --quiet --lease 3");
    assert_eq!(values(&disturbed, "sweep"), expected);
    let results: Value = serde_json::from_str(&disturbed.ok("sweep results sweep --json")).unwrap();
    let attempts = results["trials"].as_array().unwrap().iter().map(|t| t["attempts"].as_u64());
    assert_eq!(attempts.map(Option::unwrap).sum::<u64>(), 3, "an agent died without a trial");
    for run in expected.keys() {
        let same = disturbed.weights(run) == undisturbed.weights(run);
        assert!(same, "{run}: other weights");
    }
}

#[test]
fn a_run_of_another_trial_is_not_taken_for_its_own() {
    let bench = bench(&SWEEP.replace("[0, 2]", "[0, 1]"));
    bench.ok("sweep create sweep.yaml");
    bench.ok("sweep agent sweep --quiet");
    // Other settings under the same names.
    let other = SWEEP.replace("[0, 2]", "[0, 1]").replace("epochs: 2", "epochs: 1");
    bench.file("sweep.yaml", &other);
    assert!(bench.ok("sweep create sweep.yaml").contains("2 trials were added"));
    assert!(bench.error("sweep agent sweep").contains("every trial failed"));
    let results = bench.ok("sweep results sweep");
    assert!(results.contains("is not this trial's"), "{results}");
    // What the first trials came to stands.
    let states =
        |state: &str| results.lines().filter(|l| l.contains(&format!(" {state} "))).count();
    assert_eq!((states("done"), states("quarantined")), (2, 2), "{results}");
    bench.file("sweep.yaml", &other.replace("valid_bits_per_dimension", "valid_loss"));
    assert!(bench.error("sweep create sweep.yaml").contains("another `metric`"));
}

#[test]
fn successive_halving_resumes_the_best() {
    let bench = bench(HALVING);
    bench.ok("sweep create sweep.yaml");
    bench.ok("sweep agent sweep --quiet");
    let epochs = |lr: &str| {
        let log =
            std::fs::read_to_string(bench.path(&format!("runs/sweep/{lr}/metrics.jsonl"))).unwrap();
        log.lines().count()
    };
    // One agent, and the best rate first: of four trials at one epoch two go on to two, and one of those to four.
    let mut lengths = ["0.00001", "0.0001", "0.001", "0.01"].map(epochs);
    assert_eq!(epochs("0.01"), 4, "a tiny flow learns fastest at the highest rate: {lengths:?}");
    lengths.sort_unstable();
    assert_eq!(lengths, [1, 1, 2, 4]);
    let values = values(&bench, "sweep");
    assert_eq!(values.values().filter(|(state, _)| state == "done").count(), 1);
    // The winner is what an unbroken training of four epochs comes to.
    bench.ok("train --config train.yaml --run whole --set optimizer.lr=0.01 --set epochs=4 --set samples.every=0 --quiet");
    assert!(bench.weights("whole") == bench.weights("sweep/0.01"));
    // A training that is laid out for its length cannot go on for longer.
    bench.file(
        "sweep.yaml",
        &std::fs::read_to_string(bench.path("sweep.yaml"))
            .unwrap()
            .replace("set: {", "set: {scheduler: {kind: one_cycle}, "),
    );
    assert!(bench.error("sweep plan sweep.yaml").contains("one_cycle"));
}

/// Agents that die at each rung: the best trial is the best still, and what it comes to is what an unbroken training does.
#[test]
fn successive_halving_survives_kills() {
    // It is always the best that is killed: it needs more attempts than there are by default.
    let longer = HALVING.replace("min: 1, max: 4", "min: 8, max: 32") + "attempts: 10\n";
    let bench = bench(&longer);
    bench.ok("sweep create sweep.yaml");
    let epochs = |run: &str| {
        let log = std::fs::read_to_string(bench.path(&format!("runs/sweep/{run}/metrics.jsonl")));
        log.unwrap_or_default().lines().count()
    };
    let runs = ["0.00001", "0.0001", "0.001", "0.01"];
    let all = || runs.map(epochs).iter().sum::<usize>();
    // Whatever trial it has at the time: in the first rung, and then in the middle of two promotions.
    for done in [2, 12, 36, 44, 52] {
        bench.kill("sweep agent sweep --quiet --lease 3", || all() >= done);
    }
    bench.ok("sweep agent sweep --quiet --lease 3");
    // Which of the others went on depends on the order in which they came again.
    let lengths = runs.map(epochs);
    assert_eq!(epochs("0.01"), 32, "{lengths:?}");
    assert!(lengths[..3].iter().all(|length| [8, 16].contains(length)), "{lengths:?}");
    for run in runs {
        let log = std::fs::read_to_string(bench.path(&format!("runs/sweep/{run}/metrics.jsonl")));
        let logged = log
            .unwrap()
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["epoch"].as_u64().unwrap() as usize
            })
            .collect::<Vec<_>>();
        assert_eq!(logged, (1..=epochs(run)).collect::<Vec<_>>(), "{run}");
        bench.ok(&format!("train --config train.yaml --run whole-{run} --set optimizer.lr={run} --set epochs={} --set samples.every=0 --quiet", epochs(run)));
        assert!(
            bench.weights(&format!("whole-{run}")) == bench.weights(&format!("sweep/{run}")),
            "{run}"
        );
    }
    let results: Value = serde_json::from_str(&bench.ok("sweep results sweep --json")).unwrap();
    let trials = results["trials"].as_array().unwrap();
    let attempts: u64 = trials.iter().map(|trial| trial["attempts"].as_u64().unwrap()).sum();
    assert!((1..=5).contains(&attempts), "{attempts} agents died with a trial");
    assert_eq!(trials.iter().filter(|trial| trial["state"] == "done").count(), 1);
}

/// On a terminal the table is drawn anew until nothing is left to do.
#[test]
#[cfg(target_os = "linux")]
fn a_sweep_is_watched() {
    let bench = bench(&SWEEP.replace("[0, 2]", "[0, 1]"));
    bench.ok("sweep create sweep.yaml");
    let watch = format!("{} sweep status sweep --watch", env!("CARGO_BIN_EXE_atypical"));
    let mut script = Command::new("script");
    script.args(["-qefc", &watch, "/dev/null"]).current_dir(bench.path(""));
    script
        .env_remove("MODEL_DIR")
        .env_remove("DATA_DIR")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    let watching = match script.spawn() {
        Ok(child) => child,
        Err(error) => return eprintln!("SKIPPED: there is no pseudo-terminal ({error})"),
    };
    std::thread::sleep(Duration::from_millis(500));
    bench.ok("sweep agent sweep --quiet");
    let output = watching.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let looks: Vec<&str> = text.split("\x1b[H\x1b[2J").skip(1).collect();
    assert!(output.status.success() && looks.len() > 1, "{text}");
    assert!(looks[0].contains("no agent works on it"), "{text}");
    let last: Vec<&str> =
        looks.last().unwrap().lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(last, ["sweep", "0", "0", "0", "2", "0", "0", "-"], "{text}");
}

#[test]
fn a_trial_that_crashes_is_set_aside_with_its_log() {
    let bench = bench(&SWEEP.replace("[1e-3, 1e-2]", "[1e-3, 1e30]").replace("[0, 2]", "[0, 1]"));
    bench.ok("sweep create sweep.yaml");
    assert!(bench.ok("sweep agent sweep").contains("1 done, 3 failed"));
    let table = bench.ok("sweep results sweep");
    assert!(
        table.contains("quarantined") && table.contains("was set aside after 3 attempts"),
        "{table}"
    );
    assert!(table.contains("step 1"), "{table}");
    let logs = std::fs::read_dir(bench.path("runs/sweep/trials")).unwrap();
    assert!(
        logs.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "log")).count()
            == 2
    );
    assert!(bench.ok("sweep retry sweep").contains("1 trials are back"));
    assert!(bench.ok("sweep cancel sweep").contains("1 trials are cancelled"));
    assert!(bench.ok("sweep agent sweep").contains("0 done, 0 failed"));
}

#[test]
fn what_is_wrong_with_a_sweep_is_named() {
    let bench = bench(SWEEP);
    let error = |from: &str, to: &str| {
        bench.file("sweep.yaml", &SWEEP.replace(from, to));
        bench.error("sweep plan sweep.yaml")
    };
    let said = error("  optimizer.lr:", "  optimizer.learning_rate:");
    assert!(said.contains("learning_rate") && said.contains("did you mean `lr`"), "{said}");
    let said = error("[1e-3, 1e-2]", "[]");
    assert!(said.contains("`optimizer.lr`"), "{said}");
    let said = error("'{optimizer.lr}_{seed}'", "'{seed}'");
    assert!(said.contains("would both be the run") && said.contains("sweep/0"), "{said}");
    let said = error("'{optimizer.lr}_{seed}'", "'{lr}'");
    assert!(said.contains("the axis `lr`") && said.contains("`optimizer.lr`, `seed`"), "{said}");
    bench.file("sweep.yaml", &SWEEP.replace("name: valid_bits", "name: valid_bitz"));
    let output = bench.run("sweep plan sweep.yaml");
    assert!(texts(&output).1.contains("did you mean `valid_bits_per_dimension`"), "{output:?}");
    let said = error("base: train.yaml", "base: nothing.yaml");
    assert!(said.contains("nothing.yaml"), "{said}");
    let said = error("command: train", "command: train\nname: ../up");
    assert!(said.contains("`../up`"), "{said}");
    let said = error("metric:", "metirc:");
    assert!(said.contains("sweep.yaml:") && said.contains("did you mean `metric`"), "{said}");
    assert!(bench.error("sweep agent nothing").contains("there is no store of sweeps"));
    assert!(bench.error("sweep agent x --store postgres://localhost:1/none").contains("localhost"));
    bench.file("text.sqlite", "no database, only text that is long enough to be looked at as one");
    assert!(bench.error("sweep status --store text.sqlite").contains("not an SQLite database"));
    // Nobody but `create` makes a queue.
    assert!(bench.ok("sweep status").contains("no sweeps yet"));
    for command in ["status", "status x", "agent x", "results x", "cancel x", "rm x"] {
        let said = bench.error(&format!("sweep {command} --store mistyped.sqlite"));
        assert!(said.contains("there is no store of sweeps at mistyped.sqlite"), "{said}");
    }
    assert!(!bench.path("mistyped.sqlite").exists() && !bench.path("runs/sweeps.sqlite").exists());
}

#[test]
fn an_agent_that_is_told_to_stop_gives_its_trial_back() {
    let bench = bench(&SWEEP.replace("epochs: 2", "epochs: 4000"));
    bench.ok("sweep create sweep.yaml");
    let mut agent = bench.command("sweep agent sweep --quiet").spawn().unwrap();
    let log = bench.path("runs/sweep/0.001_0/metrics.jsonl");
    while !log.exists() {
        assert!(agent.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let process = agent.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-USR1", &process]).status().unwrap().success()
    );
    assert_eq!(agent.wait().unwrap().code(), Some(130));
    let status: Value = serde_json::from_str(&bench.ok("sweep status sweep --json")).unwrap();
    assert_eq!(
        (&status["sweep"]["counts"]["pending"], &status["sweep"]["counts"]["leased"]),
        (&4.into(), &0.into())
    );
    // No attempt was counted, and there is a checkpoint to go on from.
    assert!(!bench.checkpoints("sweep/0.001_0").is_empty());
    let script =
        bench.ok("sweep submit sweep --slurm --agents 3 --sbatch=--time=1:00:00 --dry-run");
    for part in ["#SBATCH --array=0-2", "#SBATCH --time=1:00:00", "sweep agent sweep"] {
        assert!(script.contains(part), "{part} in\n{script}");
    }
    let output = bench.command("sweep submit sweep --slurm").env("PATH", "").output().unwrap();
    assert!(texts(&output).1.contains("`sbatch` cannot be started"), "{}", texts(&output).1);
}

#[test]
fn experiments_are_swept_too() {
    let bench = bench(SWEEP);
    bench.ok("sweep create sweep.yaml");
    bench.ok("sweep agent sweep --quiet");
    bench.file(
        "compare.yaml",
        "
command: ood
base: ood.yaml
run: 'of_{model}'
metric: {name: likelihood, goal: maximize}
axes: {model: {group: {'0.001_0': {}, '0.01_0': {}}}}
set: {run: 'sweep/{model}', methods: [likelihood]}
",
    );
    bench.ok("sweep create compare.yaml");
    assert!(bench.ok("sweep agent compare").contains("2 done, 0 failed"));
    let values = values(&bench, "compare");
    for (run, (state, value)) in values {
        assert_eq!(state, "done");
        let metrics =
            std::fs::read_to_string(bench.path(&format!("runs/{run}/metrics.json"))).unwrap();
        let metrics: Value = serde_json::from_str(&metrics).unwrap();
        assert_eq!(metrics["rows"][0]["auroc"]["value"].as_f64(), Some(value));
    }
}

/// Every sweep that is shipped makes the trials that it says.
#[test]
fn shipped_sweeps_can_be_planned() {
    let bench = Bench::new();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/sweeps");
    let expected = BTreeMap::from([
        ("greyscale_background_flows.yaml", 10),
        ("greyscale_flows.yaml", 10),
        ("greyscale_ood.yaml", 8),
        ("lr_small.yaml", 6),
        ("rgb_background_flows.yaml", 10),
        ("rgb_flows.yaml", 10),
        ("rgb_ood.yaml", 10),
    ]);
    let found = std::fs::read_dir(&shipped).unwrap().count();
    assert_eq!(found, expected.len());
    for (file, trials) in expected {
        let plan = bench.ok(&format!("sweep plan {} --json", shipped.join(file).display()));
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(plan["trials"].as_array().unwrap().len(), trials, "{file}");
    }
}
