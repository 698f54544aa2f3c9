//! What the holder of a lease writes.

use super::{
    Claim, Store, StoreError,
    database::{Fault, Kind, Transaction},
    error::check_json,
    sweeps::{self, Sweep},
    trials::{State, printable},
};
use std::time::Duration;

/// How a lease stood when its holder wrote.
#[must_use = "a trial that is cancelled or lost is to be dropped"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It held: what was written counts. So it is, too, when the holder has ended it before: a write that is repeated changes nothing more.
    Kept,
    /// The trial was cancelled; nothing was written.
    Cancelled,
    /// It ran out and was cleared away, or the sweep was removed; nothing was written.
    Lost,
}

/// Why an attempt failed.
pub(super) struct Failure<'a> {
    /// What stays the trial's token.
    pub token: Option<i64>,
    /// Until when it was worked on.
    pub until: f64,
    pub error: &'a str,
    pub log: Option<&'a str>,
}

impl Store {
    /// Renew a lease: it lasts for `lease` from now.
    ///
    /// # Errors
    /// The store fails.
    pub fn heartbeat(&mut self, claim: &Claim, lease: Duration) -> Result<Lease, StoreError> {
        self.write(Kind::Leasing, claim, |tx| {
            let (now, expires) = (tx.now, tx.now + lease.as_secs_f64());
            let sql = "UPDATE trials SET beat = $3, expires = $4 WHERE sweep = $1 AND id = $2";
            tx.execute(sql, &[&claim.sweep, &claim.trial.id, &now, &expires])?;
            Ok(())
        })
    }

    /// Report what the trial has reached at its rung, and end the lease: it waits to be among the best, or, at the highest rung, is done.
    /// `result` is JSON.
    ///
    /// # Errors
    /// The result is not JSON, or the store fails.
    pub fn report(&mut self, claim: &Claim, value: f64, result: &str) -> Result<Lease, StoreError> {
        self.end(claim, value, result, State::Paused)
    }

    /// The trial is done, whatever its rung, with this value (NaN for none) and this result, as JSON.
    ///
    /// # Errors
    /// The result is not JSON, or the store fails.
    pub fn finish(&mut self, claim: &Claim, value: f64, result: &str) -> Result<Lease, StoreError> {
        self.end(claim, value, result, State::Done)
    }

    fn end(
        &mut self,
        claim: &Claim,
        value: f64,
        result: &str,
        state: State,
    ) -> Result<Lease, StoreError> {
        check_json("result", &claim.trial.id, result)?;
        let rung = i64::from(claim.rung);
        self.write(Kind::Lasting, claim, |tx| {
            let sweep = sweeps::named(tx, &claim.sweep)?;
            let loss = sweep.goal.turn(value);
            let state = if rung == sweep.top() { State::Done } else { state };
            let now = tx.now;
            let finished = (state == State::Done).then_some(now);
            tx.execute(
                "UPDATE trials SET state = $3, loss = $4, result = $5, finished = $6, spent = spent + ($7 - claimed) WHERE sweep = $1 AND id = $2",
                &[&claim.sweep, &claim.trial.id, &state.name(), &loss, &result, &finished, &now],
            )?;
            if sweep.asha.is_some() {
                tx.execute(
                    "INSERT INTO reports (sweep, trial, rung, loss) VALUES ($1, $2, $3, $4)",
                    &[&claim.sweep, &claim.trial.id, &rung, &loss],
                )?;
            }
            Ok(())
        })
    }

    /// The attempt failed: the trial is tried again after all others, or quarantined if it has failed as often as the sweep allows. `log`
    /// is the end of what it printed.
    ///
    /// # Errors
    /// The store fails.
    pub fn fail(&mut self, claim: &Claim, error: &str, log: &str) -> Result<Lease, StoreError> {
        let (error, log) = (printable(error), printable(log));
        self.write(Kind::Lasting, claim, |tx| {
            let sweep = sweeps::named(tx, &claim.sweep)?;
            let failure =
                Failure { token: Some(claim.token), until: tx.now, error: &error, log: Some(&log) };
            failed(tx, &sweep, &claim.trial.id, &failure)
        })
    }

    /// Give the trial back, as an agent does that has to make room: no attempt is counted, and it is not claimed before `delay` has passed.
    ///
    /// # Errors
    /// The store fails.
    pub fn release(&mut self, claim: &Claim, delay: Duration) -> Result<Lease, StoreError> {
        self.write(Kind::Lasting, claim, |tx| {
            let (now, not_before) = (tx.now, tx.now + delay.as_secs_f64());
            tx.execute(
                "UPDATE trials SET state = 'pending', not_before = $3, spent = spent + ($4 - claimed) WHERE sweep = $1 AND id = $2",
                &[&claim.sweep, &claim.trial.id, &not_before, &now],
            )?;
            Ok(())
        })
    }

    /// Write to a claimed trial, if the claim is still in force.
    fn write(
        &mut self,
        kind: Kind,
        claim: &Claim,
        mut write: impl FnMut(&mut Transaction) -> Result<(), Fault>,
    ) -> Result<Lease, StoreError> {
        self.database.transaction(kind, |tx| {
            let sql = "SELECT state FROM trials WHERE sweep = $1 AND id = $2 AND token = $3";
            let sql = format!("{sql}{}", tx.lock());
            let state =
                tx.first(&sql, &[&claim.sweep, &claim.trial.id, &claim.token], State::read)?;
            match state {
                None => Ok(Lease::Lost),
                Some(State::Cancelled) => Ok(Lease::Cancelled),
                Some(State::Leased) => write(tx).map(|()| Lease::Kept),
                // The holder ended it before: most likely the answer was lost, and this is the same write again.
                Some(_) => Ok(Lease::Kept),
            }
        })
    }
}

/// Count an attempt that failed.
pub(super) fn failed(
    tx: &mut Transaction,
    sweep: &Sweep,
    id: &str,
    failure: &Failure,
) -> Result<(), Fault> {
    let now = tx.now;
    let Failure { token, until, error, log } = failure;
    tx.execute(
        "UPDATE trials SET attempts = attempts + 1, token = $3, error = $4, log = $5, spent = spent + ($6 - claimed),
            state = CASE WHEN attempts + 1 >= $7 THEN 'quarantined' ELSE 'pending' END,
            finished = CASE WHEN attempts + 1 >= $7 THEN CAST($8 AS DOUBLE PRECISION) END,
            not_before = $8
        WHERE sweep = $1 AND id = $2",
        &[&sweep.name, &id, token, error, log, until, &i64::from(sweep.max_attempts), &now],
    )?;
    Ok(())
}
