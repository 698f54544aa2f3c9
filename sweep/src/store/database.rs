//! One way to speak to both databases, so that every operation is written once.
//!
//! The dialects agree on all that the operations use, with parameters `$1`, `$2`, …. They differ in how a transaction begins and what it
//! locks: SQLite has one writer at a time, PostgreSQL locks rows.

use super::{Absent, StoreError, postgres::Postgres, session::Session, sqlite::Sqlite};
use std::{path::Path, time::Duration};

pub(super) enum Database {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Reads one consistent state.
    Reading,
    /// Writes what may be forgotten when the store's machine loses power.
    Leasing,
    /// Writes what must last.
    Lasting,
}

impl Database {
    pub fn open(url: &str, patience: Duration, absent: Absent) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(Postgres::new(url, patience)?)));
        }
        let path = ["sqlite://", "sqlite:"].iter().find_map(|scheme| url.strip_prefix(scheme));
        match (path.unwrap_or(url), url.split_once("://")) {
            ("", _) => Err(StoreError::Url(format!("`{url}` names no file"))),
            // No more of it: it may hold a password.
            (_, Some((scheme, _))) if path.is_none() => {
                Err(StoreError::Url(format!("stores of the kind `{scheme}://` are not supported")))
            }
            (path, _) => Ok(Self::Sqlite(Sqlite::open(Path::new(path), patience, absent)?)),
        }
    }

    /// Do all of `work` or nothing. It may be called again, when the connection broke; also when what it did was in truth committed, and
    /// only the answer lost.
    pub fn transaction<T>(
        &mut self,
        kind: Kind,
        work: impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.transaction(kind, work),
            Self::Postgres(postgres) => postgres.transaction(kind, work),
        }
    }

    /// Whatever comes before the first table.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin_log(),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// The store's name in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Sqlite(sqlite) => sqlite.path().display().to_string(),
            Self::Postgres(postgres) => postgres.server().to_owned(),
        }
    }
}

/// Why a transaction ended without effect.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Postgres(postgres::Error),
    Refused(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

pub(super) trait Parameter: rusqlite::ToSql + postgres::types::ToSql + Sync {}
impl<T: rusqlite::ToSql + postgres::types::ToSql + Sync> Parameter for T {}

pub(super) trait Cell:
    rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a>
{
}
impl<T: rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a>> Cell for T {}

pub(super) enum Connection<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut Session),
}

/// A transaction under way.
pub(super) struct Transaction<'a> {
    pub connection: Connection<'a>,
    /// When it began, by the store's clock.
    pub now: f64,
}

pub(super) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a postgres::Row),
}

impl Row<'_> {
    pub fn get<T: Cell>(&self, column: &str) -> Result<T, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl Transaction<'_> {
    /// How many rows were changed.
    pub fn execute(&mut self, sql: &str, parameters: &[&dyn Parameter]) -> Result<u64, Fault> {
        Ok(match &mut self.connection {
            Connection::Sqlite(connection) => connection
                .prepare_cached(&numbered(sql))?
                .execute(rusqlite::params_from_iter(parameters))?
                as u64,
            Connection::Postgres(session) => session.execute(sql, parameters)?,
        })
    }

    pub fn query<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn Parameter],
        mut read: impl FnMut(&Row) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&numbered(sql))?;
                let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
                let mut out = Vec::new();
                while let Some(row) = rows.next()? {
                    out.push(read(&Row::Sqlite(row))?);
                }
                Ok(out)
            }
            Connection::Postgres(session) => session
                .query(sql, parameters)?
                .iter()
                .map(|row| read(&Row::Postgres(row)))
                .collect(),
        }
    }

    /// The first row, if there is any.
    pub fn first<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn Parameter],
        read: impl FnMut(&Row) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        Ok(self.query(sql, parameters, read)?.into_iter().next())
    }

    /// Statements without parameters.
    pub fn script(&mut self, sql: &str) -> Result<(), Fault> {
        match &mut self.connection {
            Connection::Sqlite(connection) => connection.execute_batch(sql)?,
            Connection::Postgres(session) => session.script(sql)?,
        }
        Ok(())
    }

    /// What ends a SELECT whose rows are then changed: nobody else changes them meanwhile.
    pub fn lock(&self) -> &'static str {
        match self.connection {
            Connection::Sqlite(_) => "",
            Connection::Postgres(_) => " FOR UPDATE",
        }
    }

    /// The same, for any rows that nobody else has locked.
    pub fn lock_free(&self) -> &'static str {
        match self.connection {
            Connection::Sqlite(_) => "",
            Connection::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// SQLite's way to number parameters.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}
