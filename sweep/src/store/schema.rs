//! The tables, and how an older store gets them.

use super::{
    Absent, StoreError,
    database::{Connection, Database, Fault, Kind, Transaction},
};

/// What brings a store from each version to the next, beginning with an empty one. What is here has been used: add, never change.
///
/// Times are seconds since 1970. Long texts come last: SQLite reads the columns before them without them.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE sweeps (
        name TEXT PRIMARY KEY,
        created DOUBLE PRECISION NOT NULL,
        goal TEXT NOT NULL,
        rungs TEXT,              -- with ASHA: a JSON list of budgets
        factor BIGINT,
        max_attempts BIGINT NOT NULL,
        spec TEXT NOT NULL
    );
    CREATE TABLE trials (
        sweep TEXT NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        id TEXT NOT NULL,        -- content address
        place BIGINT NOT NULL,   -- in the order of the sweep
        state TEXT NOT NULL,
        rung BIGINT NOT NULL,    -- pending, leased: to be run next; otherwise the last one run
        attempts BIGINT NOT NULL, -- that failed
        token BIGINT,            -- of the last claim; NULL once it is void
        owner TEXT,
        claimed DOUBLE PRECISION,
        beat DOUBLE PRECISION,
        expires DOUBLE PRECISION,
        not_before DOUBLE PRECISION NOT NULL,
        loss DOUBLE PRECISION,   -- the last value, negated where the goal is a maximum; NULL for NaN
        created DOUBLE PRECISION NOT NULL,
        started DOUBLE PRECISION,
        finished DOUBLE PRECISION,
        spent DOUBLE PRECISION NOT NULL,
        label TEXT NOT NULL,
        sets TEXT NOT NULL,
        config TEXT NOT NULL,
        result TEXT,
        error TEXT,
        log TEXT,
        PRIMARY KEY (sweep, id)
    );
    CREATE INDEX trials_by_state ON trials (sweep, state, place);
    CREATE INDEX trials_pending ON trials (sweep, rung, not_before, place) WHERE state = 'pending';
    CREATE INDEX trials_leased ON trials (sweep, expires) WHERE state = 'leased';
    CREATE INDEX trials_paused ON trials (sweep, rung, loss, id) WHERE state = 'paused';
    CREATE TABLE reports (
        sweep TEXT NOT NULL,
        trial TEXT NOT NULL,
        rung BIGINT NOT NULL,
        loss DOUBLE PRECISION,
        PRIMARY KEY (sweep, trial, rung),
        FOREIGN KEY (sweep, trial) REFERENCES trials ON DELETE CASCADE
    );
    CREATE INDEX reports_by_loss ON reports (sweep, rung, loss, trial);
"];

/// Make the store one of this version.
pub(super) fn prepare(database: &mut Database, absent: Absent) -> Result<(), StoreError> {
    migrate(database, MIGRATIONS, absent)
}

fn migrate(database: &mut Database, migrations: &[&str], absent: Absent) -> Result<(), StoreError> {
    let store = database.name();
    // Most often there is nothing to do, and perhaps no right to do it.
    let current = database.transaction(Kind::Reading, |tx| version(tx, &store, migrations))?;
    if current == migrations.len() {
        return Ok(());
    }
    if current == 0 && absent == Absent::Refuse {
        return Err(StoreError::Missing(store));
    }
    if current == 0 {
        database.begin()?;
    }
    database.transaction(Kind::Lasting, |tx| {
        if let Connection::Postgres(session) = &mut tx.connection {
            // One at a time: two that create the same thing would fail. The number is any that no other program uses.
            session.script(
                "SELECT pg_advisory_xact_lock(7022639318427316588); CREATE SCHEMA IF NOT EXISTS atypical",
            )?;
        }
        let current = version(tx, &store, migrations)?;
        if current == 0 {
            tx.script(
                "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)",
            )?;
        }
        migrations[current..].iter().try_for_each(|migration| tx.script(migration))?;
        tx.execute("UPDATE schema_version SET version = $1", &[&(migrations.len() as i64)])?;
        Ok(())
    })
}

/// How many of the migrations the store has had.
fn version(tx: &mut Transaction, store: &str, migrations: &[&str]) -> Result<usize, Fault> {
    let tables = match tx.connection {
        Connection::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Connection::Postgres(_) => {
            "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = 'atypical'"
        }
    };
    let tables = tx.query(tables, &[], |row| row.get::<String>("name"))?;
    if tables.is_empty() {
        return Ok(0);
    }
    if !tables.iter().any(|table| table == "schema_version") {
        return Err(StoreError::Foreign(store.into()).into());
    }
    let found =
        tx.first("SELECT version FROM schema_version", &[], |row| row.get::<i64>("version"))?;
    let known = migrations.len();
    match found.map(usize::try_from) {
        Some(Ok(found)) if found <= known => Ok(found),
        Some(found) => Err(StoreError::Newer {
            store: store.into(),
            found: found.map_or(-1, |found| found as i64),
            known: known as i64,
        }
        .into()),
        None => Err(StoreError::Foreign(store.into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[&str] = &["CREATE TABLE a (n BIGINT); INSERT INTO a VALUES (7)"];

    fn empty(folder: &tempfile::TempDir) -> Database {
        let url = folder.path().join("queue.db").display().to_string();
        Database::open(&url, std::time::Duration::ZERO, Absent::Make).expect("a database")
    }

    fn sevens(database: &mut Database, column: &str) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT {column} FROM a");
        database.transaction(Kind::Reading, |tx| tx.query(&sql, &[], |row| row.get(column)))
    }

    #[test]
    fn an_older_store_is_upgraded_with_its_contents() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = empty(&folder);
        migrate(&mut database, OLD, Absent::Make).expect("the old version");
        let new = [OLD, &["ALTER TABLE a RENAME COLUMN n TO m"]].concat();
        for _ in 0..2 {
            migrate(&mut database, &new, Absent::Refuse).expect("the new version");
            assert_eq!(sevens(&mut database, "m").expect("a column"), [7]);
        }
        let error = migrate(&mut database, OLD, Absent::Make).expect_err("a refusal").to_string();
        assert!(error.contains("has the schema version 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = empty(&folder);
        migrate(&mut database, OLD, Absent::Make).expect("the old version");
        let bad = [OLD, &["ALTER TABLE a RENAME COLUMN n TO m", "no SQL"]].concat();
        migrate(&mut database, &bad, Absent::Refuse).expect_err("an error");
        assert_eq!(sevens(&mut database, "n").expect("the old column"), [7]);
        migrate(&mut database, OLD, Absent::Make).expect("still the old version");
    }
}
