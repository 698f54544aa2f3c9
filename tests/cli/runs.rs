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
/// A folder with a program `wandb` that notes what it is asked, and does `more`.
fn wandb(bench: &Bench, more: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = bench.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("wandb");
    let script = format!("#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/arguments\"\n{more}\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn an_online_run_is_handed_to_wandb() {
    let bench = Bench::new();
    let folder = wandb(&bench, "");
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

/// What MLflow's server says to all that it is asked, and what it was asked.
fn mlflow(listener: std::net::TcpListener) -> std::sync::mpsc::Receiver<(String, Value)> {
    use std::io::{BufRead, BufReader, Read, Write};
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            if reader.read_line(&mut first).unwrap() == 0 {
                continue;
            }
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = first.split_whitespace().nth(1).unwrap().to_owned();
            let _ = tell.send((path, serde_json::from_slice(&body).unwrap_or_default()));
            let answer = r#"{"experiment": {"experiment_id": "1"}, "runs": [], "run": {"info": {"run_id": "r", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + answer).as_bytes()).unwrap();
        }
    });
    told
}

#[test]
fn trackers_are_told_afterwards_what_they_missed() {
    let bench = Bench::new();
    // A port at which nobody answers, as yet.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let output = bench
        .run(&format!("train --config train.yaml --quiet --set track.mlflow=http://{address}"));
    let said = texts(&output).1;
    assert!(output.status.success() && said.contains("mlflow has not taken the end"), "{said}");
    assert!(said.contains("atypical runs sync"), "{said}");
    let said = bench.error("runs sync train");
    assert!(said.contains("MLflow did not take all of `train`"), "{said}");

    let told = mlflow(std::net::TcpListener::bind(address).unwrap());
    assert!(bench.ok("runs sync train").contains("train: all of it is with MLflow"));
    let told: Vec<(String, Value)> = told.try_iter().collect();
    let metrics = told.iter().filter_map(|(_, body)| body["metrics"].as_array()).flatten();
    assert_eq!(metrics.filter(|metric| metric["key"] == "valid_loss").count(), 6);
    let (path, end) = told.last().unwrap();
    assert!(path.ends_with("runs/update") && end["status"] == "FINISHED", "{path} {end}");
    bench.ok("train --config train.yaml --quiet --run nowhere");
    assert!(bench.ok("runs sync nowhere").contains("shown nowhere"));
}

#[test]
fn what_a_killed_run_did_not_hand_on_is_handed_on() {
    let bench = Bench::new();
    bench.ok(
        "train --config train.yaml --quiet --set track.wandb=offline --set track.tensorboard=true",
    );
    // As a kill leaves it: written down, and not taken.
    let line = r#"{"time":1,"event":{"Metrics":{"step":99,"values":{"undelivered":"0.5"}}}}"#;
    for tracker in ["wandb", "tensorboard"] {
        let spool = bench.path(&format!("runs/train/track/{tracker}.spool.jsonl"));
        assert!(!spool.exists(), "it was told all");
        std::fs::write(spool, format!("{line}\n")).unwrap();
    }
    let sync = |more: &str| {
        let path = format!("{}:/usr/bin:/bin", wandb(&bench, more).display());
        bench.command("runs sync train").env("PATH", path).output().unwrap()
    };
    // What W&B's program says is passed on, and TensorBoard has its part all the same.
    let output = sync("echo nobody is logged in >&2; exit 1");
    let (out, said) = texts(&output);
    assert!(!output.status.success() && said.contains("nobody is logged in"), "{said}");
    assert!(out.contains("train: all of it is with TensorBoard\n"), "{out}");
    let output = sync("");
    assert!(texts(&output).0.contains("TensorBoard and W&B"), "{output:?}");
    let written: Vec<u8> = sessions(&bench, "train")
        .iter()
        .flat_map(|session| std::fs::read_dir(session).unwrap().flatten())
        .filter(|file| file.path().extension().is_some_and(|e| e == "wandb"))
        .flat_map(|file| std::fs::read(file.path()).unwrap())
        .collect();
    assert!(written.windows(11).any(|w| w == b"undelivered"));
}
