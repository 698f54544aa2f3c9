//! A connection to a PostgreSQL server.

use super::{
    StoreError,
    database::{Fault, Kind, Parameter},
};
use postgres::{Client, Row, SimpleQueryMessage, Statement, types::ToSql};
use std::collections::HashMap;

/// The schema is looked for in each transaction anew, and a process that is suspended amid one is cut off, for its locks would stop all
/// others.
const SETTINGS: &str = "SET LOCAL search_path TO atypical; SET LOCAL idle_in_transaction_session_timeout TO '30s'; SELECT extract(epoch FROM clock_timestamp())";

/// A connection, with the statements that it has prepared: each costs a round trip.
pub(super) struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Session {
    pub fn new(client: Client) -> Self {
        Self { client, statements: HashMap::new() }
    }

    /// Begin a transaction, and read the clock.
    pub fn begin(&mut self, kind: Kind) -> Result<f64, Fault> {
        let begin = match kind {
            Kind::Reading => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Leasing | Kind::Lasting => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        let answers = self.client.simple_query(&format!("{begin}; {SETTINGS}"))?;
        let now = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        let no_clock = || StoreError::Database {
            store: "the PostgreSQL server".into(),
            problem: "it does not tell the time".into(),
        };
        Ok(now.ok_or_else(no_clock)?)
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    pub fn execute(
        &mut self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<u64, postgres::Error> {
        let statement = self.prepared(sql)?;
        self.client.execute(&statement, &upcast(parameters))
    }

    pub fn query(
        &mut self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<Row>, postgres::Error> {
        let statement = self.prepared(sql)?;
        self.client.query(&statement, &upcast(parameters))
    }

    pub fn script(&mut self, sql: &str) -> Result<(), postgres::Error> {
        self.client.batch_execute(sql)
    }
}

fn upcast<'a>(parameters: &[&'a dyn Parameter]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|parameter| *parameter as _).collect()
}
