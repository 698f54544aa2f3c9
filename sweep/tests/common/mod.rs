//! A PostgreSQL server of the test's own, and what sweeps are made of.
#![allow(dead_code, reason = "each test uses some of it")]

use atypical_sweep::store::{Asha, Claim, Goal, Next, PATIENCE, Store, Sweep, Trial};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use tempfile::TempDir;

pub const LEASE: Duration = Duration::from_secs(60);

/// A server in a temporary folder, reached by a socket there, and by TCP where a port is given.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// None, with a note, where the programs are not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: no PostgreSQL server programs (initdb, pg_ctl) are installed");
            return None;
        };
        let server = Self { folder: tempfile::tempdir().expect("a temporary folder"), programs };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(server.folder()));
        }
        run(server.command("initdb").args([
            "-D",
            &server.data(),
            "-A",
            "trust",
            "-U",
            "postgres",
            "-N",
        ]));
        server.configure(&format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 50\n",
            server.folder().display()
        ));
        server.control(&["start"]);
        Some(server)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> String {
        self.folder().join("data").display().to_string()
    }

    /// Add lines to the configuration, for the next start.
    pub fn configure(&self, lines: &str) {
        let path = self.folder().join("data/postgresql.conf");
        let old = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(&path, old + lines).expect("a configuration");
    }

    pub fn control(&self, arguments: &[&str]) {
        let log = self.folder().join("log").display().to_string();
        run(self
            .command("pg_ctl")
            .args(["-D", &self.data(), "-l", &log, "-w", "-t", "60"])
            .args(arguments));
    }

    /// The URL of a database where no store is.
    pub fn empty(&self) -> String {
        let url = self.url("postgres");
        raw(&url, "DROP SCHEMA IF EXISTS atypical CASCADE");
        url
    }

    pub fn url(&self, database: &str) -> String {
        let folder = self.folder().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{database}")
    }

    /// One of the server's programs, as a user that it agrees to run as.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ =
            self.command("pg_ctl").args(["-D", &self.data(), "-m", "immediate", "stop"]).output();
    }
}

fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .map(|version| version.path().join("bin"))
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
}

pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

pub fn run(command: &mut Command) -> Output {
    // Files, not pipes: a server that was started keeps a pipe open.
    let log = tempfile::tempfile().expect("a temporary file");
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log.try_clone().expect("a file"))
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut said = String::new();
    let mut log = log;
    std::io::Seek::rewind(&mut log).expect("a file");
    std::io::Read::read_to_string(&mut log, &mut said).expect("a file");
    assert!(status.success(), "{command:?}: {said}");
    Output { status, stdout: said.into_bytes(), stderr: Vec::new() }
}

/// Statements on the database itself, past the store.
pub fn raw(url: &str, sql: &str) {
    match url.strip_prefix("sqlite:") {
        Some(path) => rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap(),
        None => {
            let mut client = postgres::Client::connect(url, postgres::NoTls).expect("a server");
            client.batch_execute(&format!("SET search_path TO atypical; {sql}")).expect(sql);
        }
    }
}

pub fn open(url: &str) -> Store {
    Store::create(url, PATIENCE).unwrap_or_else(|error| panic!("{error}"))
}

pub fn sweep(name: &str) -> Sweep {
    Sweep { name: name.into(), spec: "{}".into(), goal: Goal::Min, asha: None, max_attempts: 3 }
}

pub fn halving(name: &str, rungs: &[u64], factor: u32) -> Sweep {
    Sweep { asha: Some(Asha { rungs: rungs.into(), factor }), ..sweep(name) }
}

/// The address of the n-th trial.
pub fn id(n: usize) -> String {
    format!("{n:064x}")
}

pub fn trials(n: usize) -> Vec<Trial> {
    let trial = |n| Trial {
        id: id(n),
        label: format!("trial {n}"),
        sets: format!(r#"{{"lr":{n}}}"#),
        config: format!(r#"{{"seed":{n}}}"#),
    };
    (0..n).map(trial).collect()
}

/// A claim that has to be there.
pub fn claim(store: &mut Store, sweep: &str, lease: Duration) -> Claim {
    match store.claim(sweep, "agent", lease) {
        Ok(Next::Trial(claim)) => *claim,
        other => panic!("{other:?}"),
    }
}

/// The number of a claimed trial.
pub fn number(claim: &Claim) -> usize {
    usize::from_str_radix(&claim.trial.id, 16).expect("an address")
}
