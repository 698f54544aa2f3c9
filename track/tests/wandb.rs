//! `wandb sync` uploads what is logged, to a stub of the service.

mod common;

use atypical_track::{Outcome, Trackers, Wandb};
use base64::{Engine, prelude::BASE64_STANDARD};
use common::{PNG, Server, Warnings, program, run, table, values};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn session(dir: &Path, warnings: &Warnings) -> Trackers {
    let trackers: Vec<_> = vec![Box::new(Wandb::new(dir)) as _];
    Trackers::start(run(dir), trackers, warnings.hear()).unwrap()
}

fn sessions(dir: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(dir.join("wandb")).into_iter().flatten();
    let mut folders: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    // `wandb sync` leaves logs of its own beside them.
    folders
        .retain(|folder| folder.file_name().unwrap().to_string_lossy().starts_with("offline-run-"));
    folders.sort();
    folders
}

/// What the service knows after a sync of all that lies in a directory; none without the program.
fn sync(dir: &Path) -> Option<Value> {
    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wandb_stub.py");
    let (_server, port) = Server::start(Command::new(program("python")?).arg(stub));
    let address = format!("http://127.0.0.1:{port}");
    let output = Command::new(program("wandb")?)
        .args(["sync", "--yes"])
        .current_dir(dir)
        .env("HOME", dir)
        .env("WANDB_BASE_URL", &address)
        .env("WANDB_API_KEY", "0".repeat(40))
        .env("WANDB_ERROR_REPORTING", "false")
        .env("WANDB__DISABLE_STATS", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");
    let state = ureq::get(format!("{address}/state")).call().unwrap().body_mut().read_to_string();
    Some(serde_json::from_str(&state.unwrap()).unwrap())
}

/// One column of the history, by step.
fn column(run: &Value, name: &str) -> Value {
    let rows = run["history"].as_array().unwrap().iter().filter(|row| !row[name].is_null());
    rows.map(|row| json!([row["_step"], row[name]])).collect()
}

#[test]
fn everything_of_a_run_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let inside = dir.path().join("figures/roc.txt");
    std::fs::create_dir(inside.parent().unwrap()).unwrap();
    std::fs::write(&inside, "a figure").unwrap();
    let trackers = session(dir.path(), &warnings);
    for step in 0..3000 {
        trackers.log(step, values([("train/bpd", 3.0 + step as f64)]));
        if step == 2000 {
            trackers.image(step, "samples/grid", PNG.to_vec());
            trackers.table(step, "ood", table());
        }
    }
    trackers.log(3000, values([("bad", f64::NAN), ("worse", f64::INFINITY), ("best", 7.5)]));
    trackers.summary(3000, values([("ood/auroc", 0.953), ("best", 2.5)]));
    trackers.file(&inside);
    trackers.finish(Outcome::Done);
    warnings.none();
    assert!(!dir.path().join("track").exists(), "nothing is left to deliver");
    let Some(state) = sync(dir.path()) else { return };
    let run = &state["runs"]["run-7"];
    let expected: Value = (0..3000).map(|step| json!([step, 3 + step])).collect();
    assert_eq!(column(run, "train/bpd"), expected);
    assert_eq!(run["history"].as_array().unwrap().len(), 3001, "one row a step");
    let last = &run["history"][3000];
    assert_eq!((&last["bad"], &last["worse"]), (&json!("NaN"), &json!("Infinity")));
    let first = &run["upserts"][0];
    assert_eq!(
        (
            &first["displayName"],
            &first["project"],
            &first["groupName"],
            &first["notes"],
            &first["sweep"]
        ),
        (
            &json!("rq_nsf on cifar10"),
            &json!("ood"),
            &json!("seeds"),
            &json!("a note"),
            &json!("sweep-1")
        )
    );
    assert_eq!(first["tags"], json!(["flow", "small"]));
    assert_eq!(run["config"]["model"]["value"], json!({ "name": "rq_nsf", "bins": 8 }));
    assert_eq!(run["config"]["lr"]["value"], json!(5e-4));
    let summary = &run["summary"];
    assert_eq!((&summary["ood/auroc"], &summary["best"]), (&json!(0.953), &json!(2.5)));
    assert_eq!(summary["train/bpd"], 3002);
    assert_eq!((&run["complete"], &run["exit"]), (&json!(true), &json!(0)));
    // Images and tables.
    let row = &run["history"][2000];
    let (image, ood) = (&row["samples/grid"], &row["ood"]);
    assert_eq!(
        (&image["_type"], &image["width"], &image["height"]),
        (&json!("image-file"), &json!(2), &json!(3))
    );
    assert_eq!(
        (&ood["_type"], &ood["ncols"], &ood["nrows"]),
        (&json!("table-file"), &json!(2), &json!(2))
    );
    let file = |path: &str| {
        let file = state["files"][format!("run-7/{path}")].as_str();
        BASE64_STANDARD.decode(file.unwrap_or_else(|| panic!("no {path}"))).unwrap()
    };
    assert_eq!(file(image["path"].as_str().unwrap()), PNG);
    let text = String::from_utf8(file(ood["path"].as_str().unwrap())).unwrap();
    assert_eq!(text, r#"{"columns":["set","auroc"],"data":[["svhn",0.95],["a \"quote\"",NaN]]}"#);
    assert_eq!(file("figures/roc.txt"), b"a figure");
}

#[test]
fn sessions_of_a_resumed_run_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    for (from, outcome) in [(0, Outcome::Preempted), (3, Outcome::Failed)] {
        let trackers = session(dir.path(), &warnings);
        for step in from..from + 3 {
            trackers.log(step, values([("bpd", step as f64)]));
        }
        trackers.finish(outcome);
    }
    warnings.none();
    assert_eq!(sessions(dir.path()).len(), 2);
    let Some(state) = sync(dir.path()) else { return };
    let run = &state["runs"]["run-7"];
    assert_eq!(column(run, "bpd"), json!([[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]));
    assert_eq!((&run["preempting"], &run["exit"]), (&json!(true), &json!(1)));
}

/// Called with a directory, the process logs there until it is killed.
const CHILD: &str = "ATYPICAL_TRACK_TEST_DIR";
const KILLED: &str = "a_killed_run_is_synced_up_to_the_kill_and_completed_by_the_next_session";

#[test]
fn a_killed_run_is_synced_up_to_the_kill_and_completed_by_the_next_session() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let trackers = session(Path::new(&dir), &Warnings::default());
        (0..1000).for_each(|step| trackers.log(step, values([("bpd", step as f64)])));
        loop {
            std::thread::park();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this);
    child.args(["--exact", KILLED, "--nocapture"]).env(CHILD, dir.path());
    let child = Server(child.stdout(Stdio::null()).spawn().unwrap());
    // Until nothing is delivered any more.
    let size = || {
        let folder = sessions(dir.path()).pop()?;
        folder.join("run-run-7.wandb").metadata().ok().map(|file| file.len())
    };
    let mut last = (None, 0);
    while last.1 < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = size();
        last = (now, if now.is_some() && now == last.0 { last.1 + 1 } else { 0 });
    }
    drop(child);
    assert!(dir.path().join("track/wandb.spool.jsonl").exists(), "the last row waits there");
    let steps = |to: u64| -> Value { (0..to).map(|step| json!([step, step])).collect() };
    let Some(state) = sync(dir.path()) else { return };
    let run = &state["runs"]["run-7"];
    assert_eq!(column(run, "bpd"), steps(999));
    assert_eq!(run["summary"]["bpd"], 998);
    assert_eq!((&run["complete"], &run["exit"]), (&json!(true), &json!(1)));
    // As if the kill had torn a record.
    let log = sessions(dir.path())[0].join("run-run-7.wandb");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() - 3]).unwrap();
    std::fs::remove_file(log.with_extension("wandb.synced")).unwrap();
    let run = &sync(dir.path()).unwrap()["runs"]["run-7"];
    assert_eq!(column(run, "bpd"), steps(998));
    // The next session mends that, and what waited goes with it. What was torn off had been delivered.
    let warnings = Warnings::default();
    let trackers = session(dir.path(), &warnings);
    trackers.log(1000, values([("bpd", 1000.0)]));
    trackers.finish(Outcome::Done);
    warnings.none();
    let run = &sync(dir.path()).unwrap()["runs"]["run-7"];
    let expected =
        [steps(998).as_array().unwrap().as_slice(), &[json!([999, 999]), json!([1000, 1000])]]
            .concat();
    assert_eq!(column(run, "bpd"), json!(expected));
    assert_eq!(run["exit"], 0);
}
