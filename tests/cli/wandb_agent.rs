//! W&B's own agent drives the program.

use super::{Bench, Duration, Instant};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A process that does not outlive the test.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn wandb_agent_starts_trainings() {
    let venv = std::env::var_os("TRACKERS_VENV").map(PathBuf::from);
    let Some(bin) = venv.map(|venv| venv.join("bin")).filter(|bin| bin.join("wandb").exists())
    else {
        let why = "TRACKERS_VENV names no environment with wandb (track/scripts/trackers_venv.sh)";
        let _ = writeln!(std::io::stderr(), "SKIPPED: wandb_agent_starts_trainings, {why}");
        return;
    };
    let bench = Bench::new();
    // The second rate is written as Python does it.
    let trials = [("aaaa1111", 3e-4, 3, 2), ("bbbb2222", 1e-5, 4, 1)];
    // An agent that is killed leaves its trial running, which has a time limit of its own, with the upload.
    let command = json!([
        "timeout",
        "--kill-after=5",
        "100",
        "${program}",
        "train",
        "--config",
        "train.yaml",
        "--set",
        "track.wandb=online",
        "${args}"
    ]);
    let runs = trials.map(|(id, lr, seed, epochs)| {
        json!({ "id": id, "args": { "optimizer.lr": lr, "seed": seed, "epochs": epochs } })
    });
    let program = env!("CARGO_BIN_EXE_atypical");
    let sweep = json!({ "config": { "program": program, "command": command }, "runs": runs });
    bench.file("sweep.json", &sweep.to_string());

    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("track/tests/wandb_stub.py");
    let mut stub = Command::new(bin.join("python"))
        .arg(stub)
        .arg(bench.path("sweep.json"))
        .stdout(Stdio::piped())
        .spawn()
        .map(Held)
        .unwrap();
    let mut port = String::new();
    BufReader::new(stub.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let address = format!("http://127.0.0.1:{}", port.trim());

    // The program finds `wandb` there, to upload.
    let path = [bin.as_os_str(), &std::env::var_os("PATH").unwrap_or_default()];
    let log = std::fs::File::create(bench.path("agent.log")).unwrap();
    let mut agent = Command::new(bin.join("wandb"))
        // The exit codes of trials are seen by it only: after the first that is not 0 it asks for no more.
        .args(["agent", "--max-consecutive-failed-runs", "1", "me/ood/sweep-1"])
        .current_dir(bench.dir.path())
        .env("PATH", path.join(":".as_ref()))
        .env("HOME", bench.dir.path())
        .env("TMPDIR", bench.dir.path())
        .env("WANDB_BASE_URL", &address)
        .env("WANDB_API_KEY", "0".repeat(40))
        // On a busy machine its own ten seconds are too few.
        .env("WANDB_HTTP_TIMEOUT", "60")
        .env("WANDB_ERROR_REPORTING", "false")
        .env("WANDB__DISABLE_STATS", "true")
        .env_remove("DATA_DIR")
        .env_remove("MODEL_DIR")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .map(Held)
        .unwrap();
    let said = || std::fs::read_to_string(bench.path("agent.log")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(240);
    let status = loop {
        if let Some(status) = agent.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "not done in four minutes\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = said();
    // What it is told after the last trial, unless one has failed.
    assert!(status.success() && said.contains("Received exit command"), "{said}");
    assert!(!said.contains("warning: "), "{said}");

    let state = ureq::get(format!("{address}/state")).call().unwrap().body_mut().read_to_string();
    let state: Value = serde_json::from_str(&state.unwrap()).unwrap();
    for (id, lr, seed, epochs) in trials {
        let run = format!("runs/train-{id}");
        let read = |name: &str| std::fs::read_to_string(bench.path(&run).join(name)).unwrap();
        let config = read("config.yaml");
        for line in [&format!("\nseed: {seed}\n"), &format!("\nepochs: {epochs}\n")] {
            assert!(config.contains(line), "{line} in\n{config}");
        }
        let outcome: Value = serde_json::from_str(&read("outcome.json")).unwrap();
        assert_eq!((&outcome["epochs"], &outcome["interrupted"]), (&json!(epochs), &Value::Null));
        // What is left to `wandb sync`.
        let session = std::fs::read_dir(bench.path(&run).join("wandb")).unwrap().next().unwrap();
        let session = session.unwrap().path().join(format!("run-{id}.wandb"));
        let session = std::fs::read(session).unwrap();
        for text in [id, "sweep-1"] {
            assert!(session.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
        }
        // What came of it.
        let uploaded = &state["runs"][id];
        let first = &uploaded["upserts"][0];
        assert_eq!(
            [&first["sweep"], &first["project"], &first["entity"]],
            ["sweep-1", "ood", "me"]
        );
        let config = &uploaded["config"];
        assert_eq!(
            [
                &config["optimizer"]["value"]["lr"],
                &config["seed"]["value"],
                &config["epochs"]["value"]
            ],
            [&json!(lr), &json!(seed), &json!(epochs)]
        );
        assert_eq!(uploaded["history"].as_array().unwrap().len(), epochs);
        assert_eq!((&uploaded["complete"], &uploaded["exit"]), (&json!(true), &json!(0)));
    }
}
