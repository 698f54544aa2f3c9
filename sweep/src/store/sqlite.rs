//! An SQLite file: WAL, one writer at a time.

use super::{
    Absent, StoreError,
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
    /// Whether it was opened as a file that nobody writes to.
    at_rest: bool,
}

impl Sqlite {
    pub fn open(path: &Path, patience: Duration, absent: Absent) -> Result<Self, StoreError> {
        if let Some(kind) = file_system::network(path) {
            return Err(StoreError::NetworkFileSystem { path: path.into(), kind });
        }
        let unwritable = |problem: String| StoreError::Unwritable { path: path.into(), problem };
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match (absent, path.parent()) {
            (Absent::Make, folder) => {
                flags |= OpenFlags::SQLITE_OPEN_CREATE;
                folder
                    .map_or(Ok(()), std::fs::create_dir_all)
                    .map_err(|e| unwritable(e.to_string()))?;
            }
            (Absent::Refuse, _) if path.try_exists().is_ok_and(|there| !there) => {
                return Err(StoreError::Missing(path.display().to_string()));
            }
            (Absent::Refuse, _) => {}
        }
        let path = path.to_path_buf();
        match connect(&path, flags, patience) {
            Ok(connection) => Ok(Self { connection, path, patience, at_rest: false }),
            Err(error) => match at_rest(&path).filter(|_| is_unwritable(&error)) {
                Some(connection) => Ok(Self { connection, path, patience, at_rest: true }),
                None => Err(explained(error, &path, patience)),
            },
        }
    }

    /// Have a write-ahead log from now on: before the first table, and never in a file of another program.
    pub fn begin_log(&mut self) -> Result<(), StoreError> {
        let mode = self.connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0));
        let mode: String = mode.map_err(|error| explained(error, &self.path, self.patience))?;
        if mode == "wal" {
            return Ok(());
        }
        let problem = format!("it cannot have a write-ahead log (`{mode}`)");
        Err(StoreError::Unwritable { path: self.path.clone(), problem })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn transaction<T>(
        &mut self,
        kind: Kind,
        work: impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if self.at_rest {
            // Somebody may have begun to write.
            *self = Self::open(&self.path, self.patience, Absent::Refuse)?;
        }
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

/// A connection to a file that can be read.
fn connect(
    path: &Path,
    flags: OpenFlags,
    patience: Duration,
) -> rusqlite::Result<rusqlite::Connection> {
    let mut connection = rusqlite::Connection::open_with_flags(path, flags)?;
    wait_for_others(&mut connection, patience)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Opened is not yet read.
    connection.query_row("SELECT COUNT(*) FROM sqlite_master", (), |_| Ok(()))?;
    Ok(connection)
}

/// A file that may be read and not written, as in a colleague's folder: SQLite reads it only where it is told that nobody writes meanwhile. So
/// it is where no log lies beside it, which whoever writes has.
fn at_rest(path: &Path) -> Option<rusqlite::Connection> {
    let log =
        path.file_name().map(|name| path.with_file_name(format!("{}-wal", name.display())))?;
    if log.exists() {
        return None;
    }
    let encoded = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let url = format!("file:{encoded}?immutable=1");
    rusqlite::Connection::open_with_flags(url, flags).ok()
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
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
        // Where its shared memory cannot grow, SQLite does not say why.
        Some(ErrorCode::SystemIoFailure) if file_system::is_full(&path) => {
            StoreError::Full(path.display().to_string())
        }
        _ if is_unwritable(&error) => StoreError::Unwritable { path, problem: error.to_string() },
        _ => StoreError::Database { store: path.display().to_string(), problem: error.to_string() },
    }
}
