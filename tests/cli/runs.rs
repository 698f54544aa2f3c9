//! Runs that are listed, compared, shown and removed.

use super::{Bench, Command, texts};
use serde_json::Value;

/// Two short trainings with different learning rates and an experiment.
fn bench() -> Bench {
    let bench = Bench::new();
    for (run, lr) in [("slow", "1e-4"), ("fast", "1e-2")] {
        bench.ok(&format!(
            "train --config train.yaml --run {run} --set optimizer.lr={lr} --set epochs=2 --set samples.every=1 --quiet"
        ));
    }
    bench.file("ood.yaml", &super::OOD.replace("run: train", "run: fast"));
    bench.ok("ood --config ood.yaml --quiet");
    bench
}

#[test]
fn runs_are_listed_shown_compared_and_removed() {
    let bench = bench();
    let json = |arguments: &str| -> Value { serde_json::from_str(&bench.ok(arguments)).unwrap() };
    let runs = json("runs --json");
    let named = |name: &str| {
        let runs = runs["runs"].as_array().unwrap();
        runs.iter().find(|run| run["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    let fast = named("fast");
    assert_eq!(
        (&fast["state"], &fast["epoch"], &fast["epochs"]),
        (&"done".into(), &2.into(), &2.into())
    );
    assert_eq!(fast["curve"].as_array().unwrap().len(), 2);
    assert_eq!(named("ood-ood")["kind"], "experiment");
    // The best is what the log says.
    let log = std::fs::read_to_string(bench.path("runs/fast/metrics.jsonl")).unwrap();
    let bits = |line: &str| -> f64 {
        let line: Value = serde_json::from_str(line).unwrap();
        line["valid_bits_per_dimension"].as_f64().unwrap()
    };
    let lowest = log.lines().map(bits).fold(f64::INFINITY, f64::min);
    assert_eq!(fast["best"].as_f64(), Some(lowest));
    let text = bench.ok("runs --sort best");
    for part in ["fast", "slow", "rq_nsf", "2/2", "bits/dim", "OOD of fast", "AUROC"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    let text = bench.ok("runs show fast");
    for part in
        ["valid_bits_per_dimension", "optimizer.lr", "0.01", "metrics.parquet", "checkpoints/"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let differences = json("runs diff fast slow --json");
    let keys: Vec<&str> = differences["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["optimizer.lr"]);
    let compared = json("runs compare fast slow --json");
    let result = compared["results"].as_array().unwrap().iter();
    let result = result.clone().find(|r| r["name"] == "valid_bits_per_dimension").unwrap();
    assert_eq!(result["values"][0].as_f64(), Some(lowest));
    assert!(bench.error("runs compare fast slwo").contains("did you mean `slow`"));

    for file in ["metrics.parquet", "figures/learning.svg", "figures/learning.png", "outcome.json"]
    {
        assert!(bench.path("runs/fast").join(file).exists(), "{file}");
    }
    bench.file("note.txt", "no run");
    bench.ok("report fast slow ood-ood note.txt --out both.html --title Both");
    let page = std::fs::read_to_string(bench.path("both.html")).unwrap();
    for part in [
        "<h1>Both</h1>",
        "optimizer.lr",
        "<svg viewBox",
        "data:image/png;base64,",
        "AUROC of likelihood",
    ] {
        assert!(page.contains(part), "{part}");
    }

    // Nobody is there to ask, and one name that is none removes nothing.
    assert!(bench.error("runs rm slow").contains("--yes"));
    assert!(bench.error("runs rm slow nothing --yes").contains("there is no run `nothing`"));
    assert!(bench.path("runs/slow").exists());
    bench.ok("runs rm slow --yes");
    assert!(!bench.path("runs/slow").exists());
    assert!(!bench.ok("runs").contains("slow"));
}

#[test]
fn a_run_says_how_it_stands() {
    let bench = Bench::new();
    let state = || {
        let runs: Value = serde_json::from_str(&bench.ok("runs --json")).unwrap();
        runs["runs"][0]["state"].as_str().unwrap_or("none").to_owned()
    };
    let begun = || bench.path("runs/train/metrics.jsonl").exists();
    let mut child =
        bench.command("train --config train.yaml --set epochs=4000 --quiet").spawn().unwrap();
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(state(), "running");
    let refused = bench.run("runs rm train --yes");
    assert_eq!(refused.status.code(), Some(75));
    assert!(texts(&refused).1.contains("another process is writing"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(state(), "unfinished");
    // The end of standard input is the word to stop.
    let mut child = bench
        .command("train --resume --run train --quiet --stop-with-stdin")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while state() != "running" {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(state(), "stopped");
}

#[test]
fn settings_may_be_options() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --quiet --optimizer.lr=0.25 --set epochs=1");
    let config = std::fs::read_to_string(bench.path("runs/train/config.yaml")).unwrap();
    assert!(config.contains("lr: 0.25"), "{config}");
    // As W&B's agent passes them: without a dot, too.
    let mut command: Command =
        bench.command("train --config train.yaml --quiet --epochs=1 --seed=9");
    let output = command.env("WANDB_SWEEP_ID", "abc").env("WANDB_RUN_ID", "x1").output().unwrap();
    assert!(output.status.success(), "{}", texts(&output).1);
    let config = std::fs::read_to_string(bench.path("runs/train-x1/config.yaml")).unwrap();
    assert!(config.contains("epochs: 1\n") && config.contains("seed: 9"), "{config}");
}

/// Folders below a run's `wandb`, one a session.
fn sessions(bench: &Bench, run: &str) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(bench.path(&format!("runs/{run}/wandb"))).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Whether a file has these bytes in it.
fn holds(path: &std::path::Path, text: &str) -> bool {
    std::fs::read(path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_run_is_shown_elsewhere_and_does_not_wait_for_it() {
    let bench = Bench::new();
    // Nobody listens on that port.
    let track = "--set track.project=paper --set track.tags=[a-tag] --set track.wandb=offline --set track.tensorboard=true --set track.mlflow=http://127.0.0.1:9";
    let arguments =
        format!("train --config train.yaml --set epochs=2 --set samples.every=1 --quiet {track}");
    let output = bench.run(&arguments);
    let (_, error) = texts(&output);
    assert!(output.status.success(), "{error}");
    assert!(error.contains("warning: ") && error.contains("127.0.0.1:9"), "{error}");
    assert!(bench.path("runs/train/track/mlflow.spool.jsonl").exists());
    let id = std::fs::read_to_string(bench.path("runs/train/track/id")).unwrap();
    let events = std::fs::read_dir(bench.path("runs/train/tensorboard")).unwrap().next().unwrap();
    assert!(holds(&events.unwrap().path(), "valid_bits_per_dimension"));
    let [session] = sessions(&bench, "train").try_into().unwrap();
    let file = session.join(format!("run-{id}.wandb"));
    for text in ["valid_bits_per_dimension", "a-tag", "paper", "optimizer"] {
        assert!(holds(&file, text), "{text}");
    }
    // Resumed, it is the same run.
    bench.ok("train --resume --run train --set epochs=3 --set track.mlflow=null --quiet");
    let sessions = sessions(&bench, "train");
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|session| session.join(format!("run-{id}.wandb")).exists()));

    bench.file(
        "shown.yaml",
        &format!("{}track: {{tensorboard: true, wandb: offline}}\n", super::OOD),
    );
    bench.ok("ood --config shown.yaml --quiet --name shown");
    let [session] = self::sessions(&bench, "shown").try_into().unwrap();
    let id = std::fs::read_to_string(bench.path("runs/shown/track/id")).unwrap();
    let file = session.join(format!("run-{id}.wandb"));
    for text in
        ["auroc/likelihood", "scatter/Score-Scatterplot-log_likelihood-vs-lid", "figures/roc"]
    {
        assert!(holds(&file, text), "{text}");
    }
    assert!(
        bench
            .error("train --config train.yaml --run x --set track.project=a/b")
            .contains("track.project")
    );
    // A plain `off` is false in YAML.
    bench.ok("train --resume --run train --set track.wandb=off --set track.mlflow=null --quiet");
    let said = bench.error("train --config train.yaml --run x --set track.wandb=yes");
    assert!(said.contains("offline"), "{said}");
    assert!(
        bench
            .error("train --config train.yaml --run x --set track.mlflow=server")
            .contains("http://")
    );
}

#[cfg(unix)]
#[test]
fn an_online_run_is_handed_to_wandb() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let folder = bench.path("bin");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("wandb");
    std::fs::write(&program, "#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/arguments\"\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let train = |run: &str, path: String| {
        let arguments = format!(
            "train --config train.yaml --set epochs=1 --set track.wandb=online --quiet --run {run}"
        );
        let output = bench.command(&arguments).env("PATH", path).output().unwrap();
        let (_, error) = texts(&output);
        assert!(output.status.success(), "{error}");
        error
    };
    let error = train("a", format!("{}:/usr/bin:/bin", folder.display()));
    assert!(!error.contains("warning"), "{error}");
    let arguments = std::fs::read_to_string(folder.join("arguments")).unwrap();
    let [session] = sessions(&bench, "a").try_into().unwrap();
    let name = session.file_name().unwrap().to_string_lossy().into_owned();
    assert!(arguments.starts_with("sync ") && arguments.trim().ends_with(&name), "{arguments}");
    // Without it the run is whole, and the way out is said.
    let error = train("b", String::new());
    assert!(error.contains("was not uploaded") && error.contains("wandb sync"), "{error}");
}

#[test]
fn a_training_killed_before_its_first_checkpoint_can_be_begun_anew() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set epochs=1 --quiet");
    assert!(bench.error("train --config train.yaml --quiet").contains("exists already"));
    // As a kill leaves it between the weights of the first epoch and its checkpoint.
    std::fs::remove_dir_all(bench.path("runs/train/checkpoints")).unwrap();
    std::fs::remove_file(bench.path("runs/train/outcome.json")).unwrap();
    let before = bench.weights("train");
    bench.ok("train --config train.yaml --set epochs=1 --quiet");
    assert!(bench.weights("train") == before);
}
