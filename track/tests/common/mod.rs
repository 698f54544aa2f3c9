//! What the tests of all trackers need.
#![allow(dead_code, reason = "each test file uses a part of it")]

use atypical_track::{Cell, RunInfo, Table};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

/// Grey, two pixels wide and three high.
pub const PNG: &[u8] = include_bytes!("grey.png");

/// A program of the Python environment; none where there is none, which is said.
pub fn program(name: &str) -> Option<PathBuf> {
    let venv = std::env::var_os("TRACKERS_VENV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trackers-venv"),
        PathBuf::from,
    );
    let program = venv.join("bin").join(name);
    if !program.exists() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: there is no {}; make it by scripts/trackers_venv.sh",
            program.display()
        );
        return None;
    }
    Some(program)
}

/// A program that is killed when the test ends, however it ends.
pub struct Server(pub Child);

impl Server {
    /// Start it, and read the first line that it prints.
    pub fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was warned of.
#[derive(Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub fn hear(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let heard = Arc::clone(&self.0);
        move |text: &str| {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[track_caller]
    pub fn none(&self) {
        assert_eq!(self.all(), [""; 0]);
    }
}

pub fn run(dir: &Path) -> RunInfo {
    RunInfo {
        id: "run-7".into(),
        name: "rq_nsf on cifar10".into(),
        project: "ood".into(),
        entity: None,
        group: Some("seeds".into()),
        tags: vec!["flow".into(), "small".into()],
        notes: Some("a note".into()),
        sweep: Some("sweep-1".into()),
        config: json!({ "model": { "name": "rq_nsf", "bins": 8 }, "lr": 5e-4, "shape": [3, 32] }),
        dir: dir.to_path_buf(),
    }
}

pub fn values<const N: usize>(values: [(&str, f64); N]) -> BTreeMap<String, f64> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub fn table() -> Table {
    let row = |name: &str, number: f64| vec![Cell::from(name), Cell::from(number)];
    let rows = vec![row("svhn", 0.95), row("a \"quote\"", f64::NAN)];
    Table { columns: vec!["set".into(), "auroc".into()], rows }
}

/// What a Python program prints, as JSON.
pub fn python(script: &str, arguments: &[&str]) -> Option<Value> {
    let output = Command::new(program("python")?).arg("-c").arg(script).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
