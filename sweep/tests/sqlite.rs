//! What can be wrong with an SQLite file.

mod common;

use atypical_sweep::store::{State, Store, StoreError};
use common::{LEASE, open, run, sweep, trials};
use std::{path::Path, process::Command, time::Duration};

fn refusal(url: &str) -> StoreError {
    Store::create(url, Duration::from_millis(200)).err().expect("a refusal")
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
    let mut store = Store::create(path.to_str().unwrap(), Duration::from_secs(1)).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.create_sweep(&sweep("s")).unwrap_err();
    assert!(matches!(error, StoreError::Busy { seconds: 1, .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.create_sweep(&sweep("s")).unwrap();
}

/// Not even the mode of its journal.
#[test]
fn what_is_not_ours_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("songs.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    drop(other);
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for open in [Store::open, Store::create] {
        let error = open(path.to_str().unwrap(), LEASE).err().unwrap();
        assert!(matches!(&error, StoreError::Foreign(_)), "{error}");
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
    let error = Store::open(empty.to_str().unwrap(), LEASE).err().unwrap();
    assert!(matches!(&error, StoreError::Missing(_)), "{error}");
    assert!(std::fs::read(&empty).unwrap().is_empty());
}

/// As a colleague's store is looked at. Root writes everywhere: it is nobody who reads.
#[test]
fn a_store_that_may_not_be_written_can_be_read() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("que ue?#%.db");
    open(path.to_str().unwrap()).create_sweep(&sweep("s")).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&path, 0o444);
    // Where the test's own program lies may be closed to nobody.
    let program = folder.path().join("test");
    mode(folder.path(), 0o755);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let mut child = Command::new(&program);
    child.args(["--ignored", "--exact", "reads_the_store", "--nocapture"]);
    child.env("READ_STORE", &path).current_dir(folder.path());
    if rustix::process::getuid().is_root() {
        child.uid(65_534);
    } else {
        mode(folder.path(), 0o555);
    }
    let output = child.output().unwrap();
    mode(folder.path(), 0o755);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "the child of a_store_that_may_not_be_written_can_be_read"]
fn reads_the_store() {
    let Ok(path) = std::env::var("READ_STORE") else { return };
    let mut store = Store::open(&path, LEASE).unwrap();
    assert_eq!(store.sweeps().unwrap().len(), 1);
    let error = store.create_sweep(&sweep("t")).unwrap_err();
    assert!(matches!(&error, StoreError::Unwritable { .. }), "{error}");
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
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.add_trials("s", &trials(100)).unwrap(), 90);
    common::claim(&mut store, "s", LEASE);
    drop(store);
    // Not even what is there can be opened where nothing can be written, and it is said why.
    while std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&ballast)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]))
        .is_ok()
    {}
    let path = folder.join("queue.db").display().to_string();
    let error = Store::open(&path, LEASE).and_then(|mut store| store.create_sweep(&sweep("t")));
    assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");
}
