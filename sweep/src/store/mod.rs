//! The queue of a sweep: trials that agents claim under leases, in an SQLite file or a PostgreSQL database.
//!
//! An agent [claims](Store::claim) a trial for the length of a lease and [renews](Store::heartbeat) it while it works. A lease that runs
//! out makes the trial claimable again and counts as a failed attempt; after as many as the sweep allows, the trial is quarantined. Every
//! claim has a token of its own, and a write under a token that is no longer the trial's is [`Lost`](Lease::Lost) without effect: whatever
//! dies or stalls, a trial is done once.
//!
//! # Time
//! All times are the store's, in seconds since 1970: the clock of the PostgreSQL server, or of the one host that an SQLite file is used
//! from. An agent's own clock is never read. A jump of the store's clock forward ends leases early: their trials are given out again, at
//! the cost of an attempt, and the tokens keep the older owners from writing. A jump backward keeps a dead agent's trial, and a delayed
//! one, waiting for longer by as much; living agents renew their leases at the new time.
//!
//! # Durability
//! What SQLite confirms survives a power loss (`synchronous=FULL`), except claims and heartbeats (`NORMAL`): a power loss ends their
//! agents, too. PostgreSQL confirms as it is configured to.

mod claim;
mod control;
mod database;
mod error;
mod file_system;
mod filter;
mod lease;
mod postgres;
mod promotion;
mod schema;
mod session;
mod sqlite;
mod status;
mod sweeps;
mod trials;

pub use claim::{Claim, Next};
pub use error::StoreError;
pub use filter::Filter;
pub use lease::Lease;
pub use status::{Running, Status};
pub use sweeps::{Asha, Creation, Goal, Listed, Sweep};
pub use trials::{Record, State, Trial};

use database::Database;
use std::time::Duration;

/// How long an operation waits by default for a store that is busy, restarting or out of reach.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What to do where there is no store.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    Make,
    Refuse,
}

/// An open store. Each thread that works with the store opens its own.
pub struct Store {
    database: Database,
}

impl Store {
    /// Open the store at `url`: `sqlite:PATH` or a plain path for an SQLite file, `postgres://USER:PASSWORD@HOST:PORT/DATABASE` for
    /// PostgreSQL. One of an older version is upgraded. An SQLite file that may not be written can be read.
    ///
    /// A PostgreSQL connection is encrypted, and the server's certificate verified, where the URL says `sslmode=require`. The trusted
    /// certificates are those of the system, or of the file that the variable `SSL_CERT_FILE` names.
    ///
    /// This and every later operation waits up to `patience` for a store that is busy, restarting or out of reach.
    ///
    /// # Errors
    /// The URL is none, there is no store, or it is out of reach, of a newer version, not a queue, or an SQLite file on a network file
    /// system.
    pub fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        Self::at(url, patience, Absent::Refuse)
    }

    /// The same, with what is not there made: the file and its folder, the tables.
    ///
    /// # Errors
    /// As those of [`open`](Self::open), but that there is no store; or it cannot be made.
    pub fn create(url: &str, patience: Duration) -> Result<Self, StoreError> {
        Self::at(url, patience, Absent::Make)
    }

    fn at(url: &str, patience: Duration, absent: Absent) -> Result<Self, StoreError> {
        let mut database = Database::open(url, patience, absent)?;
        schema::prepare(&mut database, absent)?;
        Ok(Self { database })
    }
}
