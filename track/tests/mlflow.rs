//! A real MLflow server keeps what is logged, also when it is away for a while.

mod common;

use atypical_track::{Mlflow, Outcome, Trackers};
use common::{PNG, Server, Warnings, program, run, table, values};
use serde_json::{Value, json};
use std::{
    net::TcpListener, os::unix::process::CommandExt, path::Path, process::Command, time::Duration,
};

/// How often a server is asked whether something has come.
const OFTEN: Duration = Duration::from_millis(100);

/// A server on sqlite, and its workers.
struct Real {
    server: Server,
    uri: String,
}

impl Real {
    fn start(dir: &Path, port: u16) -> Option<Self> {
        let mut command = Command::new(program("mlflow")?);
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port"]);
        command.arg(port.to_string()).arg("--backend-store-uri");
        command.arg(format!("sqlite:///{}", dir.join("mlflow.db").display()));
        command.arg("--artifacts-destination").arg(dir.join("artifacts"));
        let log = std::fs::File::create(dir.join("mlflow.log")).unwrap();
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        command.stderr(log.try_clone().unwrap()).stdout(log).process_group(0).current_dir(dir);
        let server = Server(command.spawn().unwrap());
        let real = Self { server, uri: format!("http://127.0.0.1:{port}") };
        while ureq::get(format!("{}/health", real.uri)).call().is_err() {
            std::thread::sleep(OFTEN);
        }
        Some(real)
    }

    fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/2.0/{path}", self.uri);
        let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}", self.uri);
        ureq::get(url).call().unwrap().body_mut().read_to_vec().unwrap()
    }

    fn history(&self, run: &str, metric: &str) -> Vec<(u64, String)> {
        let found =
            self.get(&format!("mlflow/metrics/get-history?run_id={run}&metric_key={metric}"));
        let metrics = found["metrics"].as_array().unwrap().iter();
        let mut history: Vec<_> =
            metrics.map(|m| (m["step"].as_u64().unwrap_or(0), m["value"].to_string())).collect();
        history.sort();
        history
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let group = format!("-{}", self.server.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
    }
}

/// Wait until all that was logged is delivered: a busy machine's server may take longer than the end of a run waits.
fn delivered(dir: &Path, warnings: usize, heard: &Warnings) {
    let spool = dir.join("track/mlflow.spool.jsonl");
    let length = spool.metadata().unwrap().len();
    let cursor = || std::fs::read_to_string(dir.join("track/mlflow.spool.jsonl.at")).unwrap();
    while cursor().parse() != Ok(length) {
        assert_eq!(heard.all().len(), warnings, "{:?}", heard.all());
        std::thread::sleep(OFTEN);
    }
}

fn session(dir: &Path, uri: &str, warnings: &Warnings) -> Trackers {
    let trackers: Vec<_> = vec![Box::new(Mlflow::new(uri).unwrap()) as _];
    let mut run = run(dir);
    run.config["long"] = "x".repeat(7000).into();
    for index in 0..150 {
        run.config["many"][index.to_string()] = index.into();
    }
    Trackers::start(run, trackers, warnings.hear()).unwrap()
}

fn pairs(of: &Value) -> Value {
    let pairs = of.as_array().unwrap().iter();
    pairs.map(|p| (p["key"].as_str().unwrap().to_owned(), p["value"].clone())).collect()
}

#[test]
fn a_server_keeps_what_is_logged_also_when_it_is_away_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(real) = Real::start(dir.path(), port) else { return };
    let warnings = Warnings::default();
    let file = dir.path().join("a file.txt");
    std::fs::write(&file, "contents").unwrap();
    let trackers = session(dir.path(), &real.uri, &warnings);
    (0..1500).for_each(|step| trackers.log(step, values([("train/bpd", step as f64)])));
    trackers.log(1500, values([("odd (name)", 0.1), ("nan", f64::NAN)]));
    trackers.image(1500, "samples/grid", PNG.to_vec());
    trackers.table(1500, "ood", table());
    trackers.file(&file);
    delivered(dir.path(), 0, &warnings);
    trackers.finish(Outcome::Preempted);
    warnings.none();
    let experiment = real.get("mlflow/experiments/get-by-name?experiment_name=ood");
    let experiment = experiment["experiment"]["experiment_id"].as_str().unwrap().to_owned();
    let search = json!({ "experiment_ids": [experiment] }).to_string();
    let runs = || -> Value {
        let url = format!("http://127.0.0.1:{port}/api/2.0/mlflow/runs/search");
        let mut found = ureq::post(url).content_type("application/json").send(&search).unwrap();
        serde_json::from_str(&found.body_mut().read_to_string().unwrap()).unwrap()
    };
    let found = runs();
    let (info, data) = (&found["runs"][0]["info"], &found["runs"][0]["data"]);
    assert_eq!(
        (&info["status"], &info["run_name"]),
        (&json!("KILLED"), &json!("rq_nsf on cifar10"))
    );
    let (params, tags) = (pairs(&data["params"]), pairs(&data["tags"]));
    assert_eq!((&params["model.bins"], &params["lr"]), (&json!("8"), &json!("0.0005")));
    assert_eq!((&params["shape"], &params["many.149"]), (&json!("[3,32]"), &json!("149")));
    assert_eq!(params["long"].as_str().unwrap().len(), 6000);
    assert_eq!(
        (&tags["group"], &tags["sweep"], &tags["tags"], &tags["mlflow.note.content"]),
        (&json!("seeds"), &json!("sweep-1"), &json!("flow,small"), &json!("a note"))
    );
    let id = info["run_id"].as_str().unwrap();
    let expected = |to: u64| (0..to).map(|step| (step, format!("{step}.0"))).collect::<Vec<_>>();
    let history = |real: &Real, name: &str| real.history(id, &format!("{name}&max_results=5000"));
    assert_eq!(history(&real, "train/bpd"), expected(1500));
    assert_eq!(history(&real, "odd%20_name_"), [(1500, "0.1".into())]);
    assert_eq!(history(&real, "nan"), [(1500, "\"NaN\"".into())]);
    let artifacts = format!("{experiment}/{id}/artifacts");
    assert_eq!(real.bytes(&format!("{artifacts}/images/samples/grid/000001500.png")), PNG);
    let ood = real.bytes(&format!("{artifacts}/tables/ood/000001500.json"));
    let split =
        json!({ "columns": ["set", "auroc"], "data": [["svhn", 0.95], ["a \"quote\"", null]] });
    assert_eq!(serde_json::from_slice::<Value>(&ood).unwrap(), split);
    assert_eq!(real.bytes(&format!("{artifacts}/a%20file.txt")), b"contents");

    // The same run again; the server goes away, and comes back.
    let trackers = session(dir.path(), &real.uri, &warnings);
    trackers.log(1500, values([("train/bpd", 1500.0)]));
    while history(&real, "train/bpd").len() < 1501 {
        std::thread::sleep(OFTEN);
    }
    drop(real);
    (1501..4000).for_each(|step| trackers.log(step, values([("train/bpd", step as f64)])));
    trackers.image(4000, "late", PNG.to_vec());
    while warnings.all().is_empty() {
        std::thread::sleep(OFTEN);
    }
    let said = warnings.all();
    assert!(
        said.len() == 1 && said[0].starts_with("mlflow fails, and what is logged waits"),
        "{said:?}"
    );
    let real = Real::start(dir.path(), port).unwrap();
    delivered(dir.path(), 1, &warnings);
    trackers.finish(Outcome::Done);
    assert_eq!(warnings.all().len(), 1, "{:?}", warnings.all());
    assert_eq!(history(&real, "train/bpd"), expected(4000));
    assert_eq!(real.bytes(&format!("{artifacts}/images/late/000004000.png")), PNG);
    let found = runs();
    assert_eq!(found["runs"].as_array().unwrap().len(), 1, "the same run");
    assert_eq!(found["runs"][0]["info"]["status"], "FINISHED");
    assert!(!dir.path().join("track").exists());
}

#[test]
fn a_server_that_never_answers_does_not_hold_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let warnings = Warnings::default();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    let trackers = session(dir.path(), &uri, &warnings);
    (0..1000).for_each(|step| trackers.log(step, values([("train/bpd", step as f64)])));
    // Nothing is warned of before the first attempt has run out of time: no call waited for it.
    warnings.none();
    trackers.finish(Outcome::Done);
    let said = warnings.all().join("\n");
    assert!(said.contains("the end of the run and 1000 events before it"), "{said}");
}
