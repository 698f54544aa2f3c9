//! `wandb sync` uploads what is logged, to a stub of the service.

mod common;

use atypical_track::{Outcome, Table, Trackers, Wandb};
use base64::{Engine, prelude::BASE64_STANDARD};
use common::{PNG, Server, Warnings, program, run, table, values};
use md5::{Digest, Md5};
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
    // The table is an artifact too.
    let artifact = artifact_of(&state, ood);
    assert_eq!(artifact["artifactTypeName"], "run_table");
    assert_eq!(artifact["artifactCollectionName"], "run-run-7-ood");
    assert_eq!((&artifact["projectName"], &artifact["runName"]), (&json!("ood"), &json!("run-7")));
    assert_eq!((&artifact["state"], &artifact["version"]), (&json!("COMMITTED"), &json!("v0")));
    assert_eq!(artifact["aliases"][0]["alias"], "latest");
    let contents = artifact_file(&state, artifact, "ood.table.json");
    let manifest = artifact_file(&state, artifact, "wandb_manifest.json");
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let entry = &manifest["contents"]["ood.table.json"];
    let digest = BASE64_STANDARD.encode(Md5::digest(&contents));
    assert_eq!((&entry["digest"], &entry["size"]), (&json!(digest), &json!(contents.len())));
    let manifest = Md5::digest(format!("wandb-artifact-manifest-v1\nood.table.json:{digest}\n"));
    let manifest = String::from_iter(manifest.iter().map(|byte| format!("{byte:02x}")));
    assert_eq!(artifact["digest"], manifest);
    let contents: Value = serde_json::from_slice(&contents).unwrap();
    assert_eq!(contents["_type"], "table");
    assert_eq!(contents["columns"], json!(["set", "auroc"]));
    assert_eq!(contents["data"], json!([["svhn", 0.95], ["a \"quote\"", null]]));
}

/// What the service has under the link of a table's value.
fn artifact_of<'a>(state: &'a Value, table: &Value) -> &'a Value {
    let link = table["artifact_path"].as_str().unwrap().strip_prefix("wandb-client-artifact://");
    let (id, _) = link.unwrap().split_once('/').unwrap();
    let latest = table["_latest_artifact_path"].as_str().unwrap();
    assert!(latest.contains(":latest/") && !latest.contains(id), "{latest}");
    let mut artifacts = state["artifacts"].as_array().unwrap().iter();
    let has = |artifact: &&Value| artifact["clients"].as_array().unwrap().contains(&json!(id));
    artifacts.find(has).unwrap_or_else(|| panic!("no {id}"))
}

fn artifact_file(state: &Value, artifact: &Value, name: &str) -> Vec<u8> {
    let path = format!("{}/{name}", artifact["id"].as_str().unwrap());
    let file = state["files"][&path].as_str().unwrap_or_else(|| panic!("no {path}"));
    BASE64_STANDARD.decode(file).unwrap()
}

#[test]
fn tables_under_one_name_are_versions_of_an_artifact() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let numbered =
        |number: f64| Table { columns: vec!["n".into()], rows: vec![vec![number.into()]] };
    // The last two are the same.
    let numbers = [0.5, 1.5, 2.5, 3.5, 3.5];
    for steps in [0..2, 2..5] {
        let trackers = session(dir.path(), &warnings);
        for step in steps {
            trackers.table(step as u64, "eval/a table", numbered(numbers[step]));
        }
        trackers.finish(Outcome::Done);
    }
    warnings.none();
    let Some(state) = sync(dir.path()) else { return };
    let rows = state["runs"]["run-7"]["history"].as_array().unwrap();
    assert_eq!(rows.len(), numbers.len());
    for ((row, number), version) in rows.iter().zip(numbers).zip(["v0", "v1", "v2", "v3", "v3"]) {
        let artifact = artifact_of(&state, &row["eval/a table"]);
        assert_eq!(artifact["artifactCollectionName"], "run-run-7-evalatable-_CHYcQ");
        assert_eq!(
            (&artifact["state"], &artifact["version"]),
            (&json!("COMMITTED"), &json!(version))
        );
        let contents = artifact_file(&state, artifact, "eval/a%20table.table.json");
        let contents: Value = serde_json::from_slice(&contents).unwrap();
        assert_eq!(contents["data"], json!([[number]]));
    }
    assert_eq!(state["artifacts"].as_array().unwrap().len(), 4);
}

#[test]
fn a_run_that_was_moved_is_synced_but_for_its_artifacts() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    std::fs::create_dir(&before).unwrap();
    let warnings = Warnings::default();
    let trackers = session(&before, &warnings);
    trackers.table(0, "ood", table());
    trackers.finish(Outcome::Done);
    warnings.none();
    std::fs::rename(before, &after).unwrap();
    let Some(state) = sync(&after) else { return };
    let run = &state["runs"]["run-7"];
    let path = run["history"][0]["ood"]["path"].as_str().unwrap();
    assert!(state["files"][format!("run-7/{path}")].is_string());
    assert_eq!((&run["complete"], &run["exit"]), (&json!(true), &json!(0)));
    assert_eq!(state["artifacts"][0]["state"], "PENDING");
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
