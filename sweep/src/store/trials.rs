//! Trials: what is to be run, and what became of it.

use super::{
    Filter, Store, StoreError,
    database::{Fault, Kind, Parameter, Row, Transaction},
    error::check_json,
    sweeps::{self, Goal},
};
use serde::Serialize;

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Its content address, 64 hexadecimal digits in lower case; unique in the sweep.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// What the sweep sets in it, as JSON.
    pub sets: String,
    /// Its whole configuration, as JSON.
    pub config: String,
}

/// How a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for an agent.
    Pending,
    /// An agent works on it.
    Leased,
    /// It has reported at a rung, and waits until it is among the best of it.
    Paused,
    /// It is finished.
    Done,
    /// It failed too often.
    Quarantined,
    /// It was cancelled.
    Cancelled,
}

/// A trial and what became of it. Times are in seconds since 1970 by the store's clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The trial.
    #[serde(flatten)]
    pub trial: Trial,
    /// How it stands.
    pub state: State,
    /// The rung that it is to run next, or runs; the last one that it ran, where it is paused or done.
    pub rung: u32,
    /// How many attempts failed, by an error or with their lease.
    pub attempts: u32,
    /// The agent that claimed it last.
    pub owner: Option<String>,
    /// The token of the last claim.
    pub token: Option<i64>,
    /// When its lease ends or ended.
    pub expires: Option<f64>,
    /// It is not claimed before.
    pub not_before: f64,
    /// The last value that was reported; none for NaN.
    pub value: Option<f64>,
    /// The last result that was reported, as JSON.
    pub result: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// The end of the log of the last attempt that failed.
    pub log: Option<String>,
    /// When it was added.
    pub created: f64,
    /// When it was claimed first.
    pub started: Option<f64>,
    /// When it was done, quarantined or cancelled.
    pub finished: Option<f64>,
    /// How long agents have worked on it, in seconds.
    pub spent: f64,
}

/// How many trials one statement adds. SQLite takes 32,766 parameters at most.
const BATCH: usize = 500;

impl Store {
    /// Add trials to a sweep, behind those that are there. A trial whose address is there already is left as it is. Says how many were new.
    ///
    /// # Errors
    /// There is no such sweep, or a trial's address or JSON is none; then nothing is added.
    pub fn add_trials(&mut self, sweep: &str, trials: &[Trial]) -> Result<u64, StoreError> {
        trials.iter().try_for_each(Trial::check)?;
        let labels: Vec<String> = trials.iter().map(|trial| printable(&trial.label)).collect();
        self.database.transaction(Kind::Lasting, |tx| {
            sweeps::locked(tx, sweep)?;
            let last = "SELECT COALESCE(MAX(place), 0) AS last FROM trials WHERE sweep = $1";
            let last: i64 = tx.first(last, &[&sweep], |row| row.get("last"))?.unwrap_or(0);
            let places: Vec<i64> = (last + 1..).take(trials.len()).collect();
            let batches = trials.chunks(BATCH).zip(labels.chunks(BATCH)).zip(places.chunks(BATCH));
            let mut new = 0;
            for ((trials, labels), places) in batches {
                new += insert(tx, sweep, trials, labels, places)?;
            }
            Ok(new)
        })
    }

    /// The trials of a sweep, in its order.
    ///
    /// # Errors
    /// There is no such sweep, or no such trial in it.
    pub fn trials(&mut self, sweep: &str, filter: Filter) -> Result<Vec<Record>, StoreError> {
        self.database.transaction(Kind::Reading, |tx| {
            let goal = sweeps::named(tx, sweep)?.goal;
            filter.check(tx, sweep)?;
            tx.query(
                &format!("SELECT * FROM trials WHERE sweep = $1 {} ORDER BY place", Filter::SQL),
                &[&sweep, &filter.state(), &filter.id()],
                |row| Record::read(row, goal),
            )
        })
    }
}

fn insert(
    tx: &mut Transaction,
    sweep: &str,
    trials: &[Trial],
    labels: &[String],
    places: &[i64],
) -> Result<u64, Fault> {
    let now = tx.now;
    let mut parameters: Vec<&dyn Parameter> = vec![&sweep, &now];
    let mut rows = Vec::with_capacity(trials.len());
    for ((trial, label), place) in trials.iter().zip(labels).zip(places) {
        let [id, at, name, sets, config] = std::array::from_fn(|i| parameters.len() + 1 + i);
        rows.push(format!(
            "($1, ${id}, ${at}, 'pending', 0, 0, 0, $2, 0, ${name}, ${sets}, ${config})"
        ));
        parameters.extend([&trial.id as &dyn Parameter, place, label, &trial.sets, &trial.config]);
    }
    let sql = format!(
        "INSERT INTO trials (sweep, id, place, state, rung, attempts, not_before, created, spent, label, sets, config) VALUES {} ON CONFLICT DO NOTHING",
        rows.join(", ")
    );
    tx.execute(&sql, &parameters)
}

/// PostgreSQL has no texts with a zero byte, and the logs of programs that die do.
pub(super) fn printable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl Trial {
    fn check(&self) -> Result<(), StoreError> {
        let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if self.id.len() != 64 || !self.id.bytes().all(digit) {
            return Err(StoreError::Address(self.id.clone()));
        }
        check_json("sets", &self.id, &self.sets)?;
        check_json("config", &self.id, &self.config)
    }

    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.get("id")?,
            label: row.get("label")?,
            sets: row.get("sets")?,
            config: row.get("config")?,
        })
    }
}

impl Record {
    fn read(row: &Row, goal: Goal) -> Result<Self, Fault> {
        Ok(Self {
            trial: Trial::read(row)?,
            state: State::read(row)?,
            rung: row.get::<i64>("rung")? as u32,
            attempts: row.get::<i64>("attempts")? as u32,
            owner: row.get("owner")?,
            token: row.get("token")?,
            expires: row.get("expires")?,
            not_before: row.get("not_before")?,
            value: row.get::<Option<f64>>("loss")?.and_then(|loss| goal.turn(loss)),
            result: row.get("result")?,
            error: row.get("error")?,
            log: row.get("log")?,
            created: row.get("created")?,
            started: row.get("started")?,
            finished: row.get("finished")?,
            spent: row.get("spent")?,
        })
    }
}

impl State {
    /// All states, in the order of a trial's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Leased, Self::Paused, Self::Done, Self::Quarantined, Self::Cancelled];

    /// Its name, as the store has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Quarantined => "quarantined",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        let name: String = row.get("state")?;
        let state = Self::ALL.into_iter().find(|state| state.name() == name);
        state.ok_or_else(|| {
            StoreError::Foreign(format!("a store with trials in the state `{name}`")).into()
        })
    }
}
