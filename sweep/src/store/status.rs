//! How a sweep stands.

use super::{
    State, Store, StoreError, claim,
    database::{Fault, Kind, Transaction},
    sweeps::{self, Sweep},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a sweep stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// How many trials are in each state.
    pub counts: BTreeMap<State, u64>,
    /// The trials that agents work on, the one unheard of for the longest first.
    pub running: Vec<Running>,
    /// How much work is left, in seconds of one agent, by what the work that is done took; none before any is. With ASHA it is counted
    /// which rungs are likely to be reached, and that a higher one takes longer.
    pub seconds_left: Option<f64>,
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
            let seconds_left = seconds_left(tx, &sweep, &running)?;
            let finished = !claim::unfinished(tx, &sweep)?;
            Ok(Status { counts, running, seconds_left, finished })
        })
    }
}

/// The work that is left: what remains of each rung, at what a unit of the budget took so far, less what agents have done of it.
fn seconds_left(
    tx: &mut Transaction,
    sweep: &Sweep,
    running: &[Running],
) -> Result<Option<f64>, Fault> {
    let rungs = 0..=sweep.top();
    let cost = |rung: i64| {
        let budget = |rung| sweep.budget(rung).map_or(1.0, |budget| budget as f64);
        if rung == 0 { budget(0) } else { budget(rung) - budget(rung - 1) }
    };
    let mut by_rung = |sql: &str| -> Result<BTreeMap<i64, f64>, Fault> {
        let counts = tx.query(sql, &[&sweep.name], |row| {
            Ok((row.get::<i64>("rung")?, row.get::<i64>("n")? as f64))
        })?;
        Ok(counts.into_iter().collect())
    };
    let done = by_rung(match sweep.asha {
        Some(_) => "SELECT rung, COUNT(*) AS n FROM reports WHERE sweep = $1 GROUP BY rung",
        None => {
            "SELECT rung, COUNT(*) AS n FROM trials WHERE sweep = $1 AND state = 'done' GROUP BY rung"
        }
    })?;
    let waiting = by_rung(
        "SELECT rung, COUNT(*) AS n FROM trials WHERE sweep = $1 AND state IN ('pending', 'leased') GROUP BY rung",
    )?;
    let spent = "SELECT SUM(spent) AS seconds FROM trials WHERE sweep = $1";
    let spent: f64 =
        tx.first(spent, &[&sweep.name], |row| row.get("seconds"))?.flatten().unwrap_or(0.0);
    let count = |counts: &BTreeMap<i64, f64>, rung| counts.get(&rung).copied().unwrap_or(0.0);
    let worked: f64 = rungs.clone().map(|rung| count(&done, rung) * cost(rung)).sum();
    if worked == 0.0 {
        return Ok(None);
    }
    let rate = spent / worked;
    let (mut left, mut reach) = (0.0, 0.0_f64);
    for rung in rungs {
        // Of those that reach a rung one in `factor` goes on, and those that are there already.
        let promoted =
            sweep.asha.as_ref().map_or(0.0, |asha| (reach / f64::from(asha.factor)).floor());
        reach = promoted.max(count(&done, rung) + count(&waiting, rung));
        left += (reach - count(&done, rung)) * cost(rung) * rate;
    }
    let under_way = running.iter().map(|r| r.seconds.min(cost(i64::from(r.rung)) * rate));
    Ok(Some((left - under_way.sum::<f64>()).max(0.0)))
}
