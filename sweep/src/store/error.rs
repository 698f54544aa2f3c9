//! What can go wrong with a store.

use std::path::PathBuf;
use thiserror::Error;

/// A store that cannot be used, or an operation that it refuses.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Not the address of a store.
    #[error(
        "cannot open the store: {0}; give a path or `sqlite:PATH`, or `postgres://USER@HOST/DATABASE`"
    )]
    Url(String),
    /// An SQLite file where its locks do not hold.
    #[error(
        "{path} lies on {kind}, where SQLite cannot keep processes apart: choose a path on a local disk, or use PostgreSQL (`postgres://USER@HOST/DATABASE`) if agents on many machines share the sweep"
    )]
    NetworkFileSystem {
        /// The database file.
        path: PathBuf,
        /// What its file system is.
        kind: &'static str,
    },
    /// Nothing is there.
    #[error("there is no store of sweeps at {0}; creating a sweep makes one")]
    Missing(String),
    /// A file of another kind.
    #[error("{0} is not an SQLite database: its contents stay; choose another path")]
    NotADatabase(PathBuf),
    /// A database of another program.
    #[error("{0} is a database, but not a queue of sweeps: its contents stay; choose another one")]
    Foreign(String),
    /// Written by a newer version of this program.
    #[error(
        "{store} has the schema version {found}, and this program knows versions up to {known}: use a newer program, or another store"
    )]
    Newer {
        /// The store.
        store: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write {path}: {problem}; choose a path in a folder that you may write to")]
    Unwritable {
        /// The database file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// No space is left.
    #[error(
        "{0} cannot grow: the disk is full; nothing was changed, free some space and try again"
    )]
    Full(String),
    /// Another process keeps the file locked.
    #[error(
        "{path} was locked by another process for {seconds} s; try again, or end the process that holds it"
    )]
    Busy {
        /// The database file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server does not answer.
    #[error(
        "no answer from the PostgreSQL server {server} in {seconds} s: {problem}; check that it runs and that its address is right"
    )]
    Unreachable {
        /// Host, port and database.
        server: String,
        /// How long it was tried.
        seconds: u64,
        /// The last error.
        problem: String,
    },
    /// The database refuses.
    #[error("{store}: {problem}")]
    Database {
        /// The store.
        store: String,
        /// What it says.
        problem: String,
    },
    /// No sweep of that name.
    #[error("there is no sweep `{name}`{there}")]
    NoSweep {
        /// The name given.
        name: String,
        /// "; there are …" or what to do where there is none.
        there: String,
    },
    /// No trial of that address.
    #[error("the sweep `{sweep}` has no trial `{id}`; list its trials for their addresses")]
    NoTrial {
        /// The sweep.
        sweep: String,
        /// The address given.
        id: String,
    },
    /// Settings that make no sweep.
    #[error("the sweep `{name}` cannot be created: {problem}")]
    Sweep {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
    /// What values and rungs mean cannot change under a sweep that has them.
    #[error(
        "the sweep `{0}` is there with another goal or other rungs, which cannot change; choose another name, or remove the sweep first"
    )]
    Fixed(String),
    /// Not a content address.
    #[error("`{0}` is not the address of a trial: an address has 64 characters, each 0-9 or a-f")]
    Address(String),
    /// Text that should be JSON.
    #[error("the {what} of `{of}` is not JSON: {source}")]
    Json {
        /// Which text.
        what: &'static str,
        /// The sweep or trial.
        of: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Refuse a text that is not JSON.
pub(super) fn check_json(what: &'static str, of: &str, text: &str) -> Result<(), StoreError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|source| StoreError::Json { what, of: of.into(), source })
}
