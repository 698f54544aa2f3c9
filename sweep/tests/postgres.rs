//! A PostgreSQL server that is away, and one that encrypts.

mod common;

use atypical_sweep::store::{Lease, Store, StoreError};
use common::{LEASE, Postgres, claim, open, run, sweep, trials};
use std::{process::Command, thread, time::Duration};

#[test]
fn a_server_that_does_not_answer() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://user:secret@127.0.0.1:{port}/db");
    let error = Store::create(&url, Duration::from_secs(1)).err().expect("a refusal");
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unreachable { seconds: 1, .. }), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{port}/db")) && text.contains("refused"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_server_that_refuses_is_not_asked_again() {
    let Some(server) = Postgres::start() else { return };
    // With this patience, the test would time out.
    let error =
        Store::create(&server.url("nothing"), Duration::from_secs(600)).err().expect("a refusal");
    assert!(error.to_string().contains(r#"database "nothing" does not exist"#), "{error}");
}

#[test]
fn operations_wait_for_a_server_that_restarts() {
    let Some(server) = Postgres::start() else { return };
    let mut store = open(&server.empty());
    store.create_sweep(&sweep("s")).unwrap();
    store.add_trials("s", &trials(2)).unwrap();
    let first = claim(&mut store, "s", LEASE);
    server.control(&["restart", "-m", "immediate"]);
    assert_eq!(store.finish(&first, 1.0, "1").unwrap(), Lease::Kept);
    let second = claim(&mut store, "s", LEASE);
    server.control(&["stop", "-m", "immediate"]);
    let waiting = thread::spawn(move || store.finish(&second, 1.0, "1").unwrap());
    thread::sleep(Duration::from_millis(500));
    assert!(!waiting.is_finished());
    server.control(&["start"]);
    assert_eq!(waiting.join().unwrap(), Lease::Kept);
}

#[test]
fn a_connection_that_must_be_encrypted() {
    let Some(server) = Postgres::start() else { return };
    let certificate = server.folder().join("server.crt");
    let key = server.folder().join("server.key");
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
    if openssl.output().is_err() {
        eprintln!("SKIPPED: no openssl to make a certificate with");
        return;
    }
    if common::is_root() {
        run(Command::new("chown").arg("postgres").arg(&certificate).arg(&key));
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    server.configure(&format!(
        "listen_addresses = 'localhost'\nport = {port}\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        certificate.display(),
        key.display()
    ));
    // Whoever comes by TCP has to encrypt.
    let access = server.folder().join("data/pg_hba.conf");
    std::fs::write(&access, "local all all trust\nhostssl all all all trust\n").unwrap();
    server.control(&["restart"]);

    let url = format!("postgres://postgres@localhost:{port}/postgres");
    let child = |url: &str, trusted: &std::path::Path| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "opens_the_url", "--nocapture"]);
        let output = child
            .env("OPEN_URL", url)
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let encrypted = format!("{url}?sslmode=require");
    let said = child(&encrypted, &certificate);
    assert!(said.contains("opened"), "{said}");
    let said = child(&url, &certificate);
    assert!(said.contains("no encryption"), "{said}");
    let stranger = server.folder().join("stranger.crt");
    openssl.arg("-out").arg(&stranger).arg("-keyout").arg(server.folder().join("stranger.key"));
    run(&mut openssl);
    let said = child(&encrypted, &stranger);
    assert!(
        said.contains("invalid peer certificate") && said.contains("set SSL_CERT_FILE"),
        "{said}"
    );
}

/// In a process of its own, for the certificates to trust are named by the environment.
#[test]
#[ignore = "the child of a_connection_that_must_be_encrypted"]
fn opens_the_url() {
    let Ok(url) = std::env::var("OPEN_URL") else { return };
    match Store::create(&url, Duration::from_secs(20)) {
        Ok(_) => println!("opened"),
        Err(error) => println!("{error}"),
    }
}
