//! How a sweep stands.

use super::{State, Store, StoreError, claim, database::Kind, sweeps};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a sweep stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// How many trials are in each state.
    pub counts: BTreeMap<State, u64>,
    /// The trials that agents work on, the one unheard of for the longest first.
    pub running: Vec<Running>,
    /// How long agents worked on a trial that is done, in seconds, on average.
    pub mean_seconds: Option<f64>,
    /// Whether nothing is left to do: no trial is pending, leased or fit to go on to the next rung.
    pub finished: bool,
}

/// A trial that an agent works on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// The trial's address.
    pub id: String,
    /// The trial's name.
    pub label: String,
    /// The agent.
    pub owner: String,
    /// The rung.
    pub rung: u32,
    /// How long it has worked, in seconds.
    pub seconds: f64,
    /// How long ago it was heard of, in seconds.
    pub silent: f64,
    /// Whether its lease has run out, so that the next claim takes the trial from it.
    pub expired: bool,
}

impl Store {
    /// How a sweep stands now.
    ///
    /// # Errors
    /// There is no such sweep.
    pub fn status(&mut self, sweep: &str) -> Result<Status, StoreError> {
        self.database.transaction(Kind::Reading, |tx| {
            let sweep = sweeps::named(tx, sweep)?;
            let mut counts: BTreeMap<_, _> = State::ALL.into_iter().map(|state| (state, 0)).collect();
            let sql = "SELECT state, COUNT(*) AS n FROM trials WHERE sweep = $1 GROUP BY state";
            counts.extend(tx.query(sql, &[&sweep.name], |row| {
                Ok((State::read(row)?, row.get::<i64>("n")? as u64))
            })?);
            let now = tx.now;
            let sql = "SELECT id, label, owner, rung, claimed, beat, expires FROM trials WHERE sweep = $1 AND state = 'leased' ORDER BY beat, id";
            let running = tx.query(sql, &[&sweep.name], |row| {
                Ok(Running {
                    id: row.get("id")?,
                    label: row.get("label")?,
                    owner: row.get("owner")?,
                    rung: row.get::<i64>("rung")? as u32,
                    seconds: now - row.get::<f64>("claimed")?,
                    silent: now - row.get::<f64>("beat")?,
                    expired: row.get::<f64>("expires")? < now,
                })
            })?;
            let sql = "SELECT AVG(spent) AS mean FROM trials WHERE sweep = $1 AND state = 'done'";
            let mean_seconds = tx.first(sql, &[&sweep.name], |row| row.get("mean"))?.flatten();
            let finished = !claim::unfinished(tx, &sweep)?;
            Ok(Status { counts, running, mean_seconds, finished })
        })
    }
}
