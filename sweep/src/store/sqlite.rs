//! An SQLite file: WAL, one writer at a time.

use super::{
    StoreError,
    database::{Connection, Fault, Kind, Transaction},
    file_system,
};
use rusqlite::{ErrorCode, OpenFlags};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub(super) struct Sqlite {
    connection: rusqlite::Connection,
    path: PathBuf,
    patience: Duration,
}

impl Sqlite {
    pub fn open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        if let Some(kind) = file_system::network(path) {
            return Err(StoreError::NetworkFileSystem { path: path.into(), kind });
        }
        let unwritable = |problem: String| StoreError::Unwritable { path: path.into(), problem };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| unwritable(e.to_string()))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened =
            rusqlite::Connection::open_with_flags(path, flags).and_then(|mut connection| {
                wait_for_others(&mut connection, patience)?;
                connection.pragma_update(None, "foreign_keys", true)?;
                let mode = "PRAGMA journal_mode = WAL";
                let mode: String = connection.query_row(mode, (), |row| row.get(0))?;
                Ok((connection, mode))
            });
        match opened {
            Ok((connection, mode)) if mode == "wal" => {
                Ok(Self { connection, path: path.into(), patience })
            }
            Ok((_, mode)) => {
                Err(unwritable(format!("it cannot have a write-ahead log (`{mode}`)")))
            }
            Err(error) => Err(explained(error, path, patience)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn transaction<T>(
        &mut self,
        kind: Kind,
        work: impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let done = self.attempt(kind, work);
        if done.is_err() && !self.connection.is_autocommit() {
            // Fails only where the database is so broken that the error in hand says more.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done.map_err(|fault| match fault {
            Fault::Sqlite(error) => explained(error, &self.path, self.patience),
            Fault::Refused(error) => error,
            Fault::Postgres(error) => StoreError::Database {
                store: self.path.display().to_string(),
                problem: error.to_string(),
            },
        })
    }

    fn attempt<T>(
        &mut self,
        kind: Kind,
        mut work: impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.connection.execute_batch(match kind {
            Kind::Reading => "BEGIN",
            Kind::Leasing => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
            Kind::Lasting => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
        })?;
        let now = self
            .connection
            .prepare_cached("SELECT unixepoch('subsec')")?
            .query_row((), |row| row.get(0))?;
        let result =
            work(&mut Transaction { connection: Connection::Sqlite(&self.connection), now })?;
        self.connection.execute_batch("COMMIT")?;
        Ok(result)
    }
}

/// Wait for other writers by short naps of random length: those of SQLite's own timeout grow to 100 ms, and who naps for so long may never
/// get its turn among many.
fn wait_for_others(
    connection: &mut rusqlite::Connection,
    patience: Duration,
) -> rusqlite::Result<()> {
    let mut start = Instant::now();
    connection.busy_handler(Some(move |tries| {
        if tries == 0 {
            start = Instant::now();
        }
        thread::sleep(Duration::from_micros(rand::random_range(500..4000)));
        start.elapsed() < patience
    }))
}

fn explained(error: rusqlite::Error, path: &Path, patience: Duration) -> StoreError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase(path),
        Some(ErrorCode::DiskFull) => StoreError::Full(path.display().to_string()),
        Some(ErrorCode::DatabaseBusy) => StoreError::Busy { path, seconds: patience.as_secs() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::Unwritable { path, problem: error.to_string() }
        }
        _ => StoreError::Database { store: path.display().to_string(), problem: error.to_string() },
    }
}
