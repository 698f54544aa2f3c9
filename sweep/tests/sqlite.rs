//! What can be wrong with an SQLite file.

mod common;

use atypical_sweep::store::{State, Store, StoreError};
use common::{LEASE, open, run, sweep, trials};
use std::{path::Path, process::Command, time::Duration};

fn refusal(url: &str) -> StoreError {
    Store::open(url, Duration::from_millis(200)).err().expect("a refusal")
}

#[test]
fn urls_that_name_no_store() {
    for (url, part) in [
        ("", "names no file"),
        ("sqlite:", "names no file"),
        ("mysql://user:secret@host/db", "`mysql://` are not supported"),
        ("postgres://user:secret@host:port/db", "invalid value for option `port`"),
        ("postgres://user:secret@host/db?sslmode=verify-full", "`sslmode=require` verifies"),
    ] {
        let error = refusal(url).to_string();
        assert!(error.contains(part) && error.contains("give a path or `sqlite:PATH`"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_plain_path_and_both_urls_are_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/queue.db");
    open(path.to_str().unwrap()).create_sweep(&sweep("s")).unwrap();
    for scheme in ["sqlite:", "sqlite://"] {
        assert_eq!(open(&format!("{scheme}{}", path.display())).sweeps().unwrap().len(), 1);
    }
}

#[test]
fn a_file_that_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough to have a header of one ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let error = refusal(path.to_str().unwrap());
    assert!(matches!(&error, StoreError::NotADatabase(at) if *at == path), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn places_that_cannot_be_written() {
    // Not even root writes there.
    for path in ["/proc/queue.db", "/proc/nowhere/queue.db"] {
        let error = refusal(path);
        assert!(
            matches!(&error, StoreError::Unwritable { path: at, .. } if at == Path::new(path)),
            "{error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(folder.path().to_str().unwrap());
    assert!(matches!(&error, StoreError::Unwritable { .. }), "{error}");
}

#[test]
fn another_process_that_never_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let mut store = Store::open(path.to_str().unwrap(), Duration::from_secs(1)).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.create_sweep(&sweep("s")).unwrap_err();
    assert!(matches!(error, StoreError::Busy { seconds: 1, .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.create_sweep(&sweep("s")).unwrap();
}

/// A file system of 1 MB, in a name space of the child's own.
#[test]
fn a_full_disk_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |what: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command
            .arg(format!("mount -t tmpfs -o size=1m tmpfs {} && {what}", folder.path().display()));
        command
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no file system can be mounted here (unshare --mount)");
        return;
    }
    let test = std::env::current_exe().unwrap();
    let test = format!("exec {} --ignored --exact on_a_full_disk --nocapture", test.display());
    run(inside(&test).env("FULL_DISK", folder.path()));
}

#[test]
#[ignore = "the child of a_full_disk_changes_nothing"]
fn on_a_full_disk() {
    let Some(folder) = std::env::var_os("FULL_DISK") else { return };
    let folder = Path::new(&folder);
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 400_000]).unwrap();
    let mut store = open(folder.join("queue.db").to_str().unwrap());
    store.create_sweep(&sweep("s")).unwrap();
    store.add_trials("s", &trials(10)).unwrap();
    let error = store.add_trials("s", &trials(2000)).unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert_eq!(store.status("s").unwrap().counts[&State::Pending], 10);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(store.add_trials("s", &trials(100)).unwrap(), 90);
    common::claim(&mut store, "s", LEASE);
}
