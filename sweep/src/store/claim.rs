//! Claims: which trial an agent gets.

use super::{
    Store, StoreError,
    database::{Fault, Kind, Row, Transaction},
    lease::{self, Failure},
    promotion,
    sweeps::{self, Sweep},
    trials::{Trial, printable},
};
use serde::Serialize;
use std::time::Duration;

/// A trial in an agent's hands, for the length of its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The sweep.
    pub sweep: String,
    /// What is to be run.
    #[serde(flatten)]
    pub trial: Trial,
    /// What marks the writes of this claim. Drawn at random: it is unique, and tokens have no order.
    pub token: i64,
    /// The rung to run at; 0 without ASHA.
    pub rung: u32,
    /// The whole budget up to the end of that rung, with ASHA.
    pub budget: Option<u64>,
    /// How many attempts have failed before.
    pub attempts: u32,
}

/// What there is for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A trial to run.
    Trial(Box<Claim>),
    /// Nothing now, but a trial that others work on, or that waits for its time, may become claimable: ask again in a while.
    Wait,
    /// Nothing any more: no trial is pending, leased or fit to go on to the next rung.
    Finished,
}

/// How many leases that ran out one claim clears away at most.
const EXPIRED_AT_ONCE: i64 = 100;

impl Store {
    /// Claim a trial of a sweep for `agent`, for the time `lease`. The highest rung comes first, and at each a trial that is to be tried
    /// there again before one that is promoted to it; then the lowest, in the order of the sweep. Trials that failed or were released come
    /// after those that were never tried.
    ///
    /// # Errors
    /// There is no such sweep, or the store fails.
    pub fn claim(&mut self, sweep: &str, agent: &str, lease: Duration) -> Result<Next, StoreError> {
        let token = rand::random_range(1..=i64::MAX);
        let agent = printable(agent);
        let mut again = false;
        self.database.transaction(Kind::Leasing, |tx| {
            let sweep = sweeps::named(tx, sweep)?;
            // It is done again after a lost connection, perhaps with a claim made that nobody heard of.
            if std::mem::replace(&mut again, true)
                && let Some(claim) = held(tx, &sweep, token)?
            {
                return Ok(Next::Trial(Box::new(claim)));
            }
            expire(tx, &sweep)?;
            match choose(tx, &sweep)? {
                Some((id, rung)) => take(tx, &sweep, &id, rung, &agent, token, lease)
                    .map(|claim| Next::Trial(Box::new(claim))),
                None if unfinished(tx, &sweep)? => Ok(Next::Wait),
                None => Ok(Next::Finished),
            }
        })
    }
}

/// Every trial whose lease ran out has failed.
fn expire(tx: &mut Transaction, sweep: &Sweep) -> Result<(), Fault> {
    let sql = "SELECT id, owner, beat FROM trials WHERE sweep = $1 AND state = 'leased' AND expires < $2 ORDER BY expires LIMIT $3";
    let sql = format!("{sql}{}", tx.lock_free());
    let now = tx.now;
    let expired = tx.query(&sql, &[&sweep.name, &now, &EXPIRED_AT_ONCE], |row| {
        Ok((row.get::<String>("id")?, row.get::<Option<String>>("owner")?, row.get::<f64>("beat")?))
    })?;
    for (id, owner, beat) in expired {
        let error = format!(
            "the lease of {} ran out: it died, or could not reach the store",
            owner.unwrap_or_default()
        );
        // Without a token, for the owner may still live.
        lease::failed(
            tx,
            sweep,
            &id,
            &Failure { token: None, until: beat, error: &error, log: None },
        )?;
    }
    Ok(())
}

/// A trial and the rung to run it at.
fn choose(tx: &mut Transaction, sweep: &Sweep) -> Result<Option<(String, i64)>, Fault> {
    for rung in (1..=sweep.top()).rev() {
        if let Some(id) = pending(tx, sweep, rung)? {
            return Ok(Some((id, rung)));
        }
        if let Some(id) = promotion::candidate(tx, sweep, rung - 1, tx.lock_free())? {
            return Ok(Some((id, rung)));
        }
    }
    Ok(pending(tx, sweep, 0)?.map(|id| (id, 0)))
}

fn pending(tx: &mut Transaction, sweep: &Sweep, rung: i64) -> Result<Option<String>, Fault> {
    let sql = "SELECT id FROM trials WHERE sweep = $1 AND state = 'pending' AND rung = $2 AND not_before <= $3 ORDER BY not_before, place LIMIT 1";
    let now = tx.now;
    tx.first(&format!("{sql}{}", tx.lock_free()), &[&sweep.name, &rung, &now], |row| row.get("id"))
}

fn take(
    tx: &mut Transaction,
    sweep: &Sweep,
    id: &str,
    rung: i64,
    agent: &str,
    token: i64,
    lease: Duration,
) -> Result<Claim, Fault> {
    let (now, expires) = (tx.now, tx.now + lease.as_secs_f64());
    let sql = format!(
        "UPDATE trials SET state = 'leased', rung = $3, owner = $4, token = $5, claimed = $6, beat = $6, expires = $7, started = COALESCE(started, $6) WHERE sweep = $1 AND id = $2 RETURNING {CLAIMED}"
    );
    let claim =
        tx.first(&sql, &[&sweep.name, &id, &rung, &agent, &token, &now, &expires], |row| {
            Claim::read(row, sweep, token)
        })?;
    claim.ok_or_else(|| StoreError::NoTrial { sweep: sweep.name.clone(), id: id.into() }.into())
}

/// What was claimed under a token.
fn held(tx: &mut Transaction, sweep: &Sweep, token: i64) -> Result<Option<Claim>, Fault> {
    let sql = format!(
        "SELECT {CLAIMED} FROM trials WHERE sweep = $1 AND state = 'leased' AND token = $2"
    );
    tx.first(&sql, &[&sweep.name, &token], |row| Claim::read(row, sweep, token))
}

/// What makes a claim.
const CLAIMED: &str = "id, label, sets, config, rung, attempts";

impl Claim {
    fn read(row: &Row, sweep: &Sweep, token: i64) -> Result<Self, Fault> {
        let rung: i64 = row.get("rung")?;
        Ok(Self {
            sweep: sweep.name.clone(),
            trial: Trial::read(row)?,
            token,
            rung: rung as u32,
            budget: sweep.budget(rung),
            attempts: row.get::<i64>("attempts")? as u32,
        })
    }
}

/// Whether a trial is pending or leased, or fit for promotion.
pub(super) fn unfinished(tx: &mut Transaction, sweep: &Sweep) -> Result<bool, Fault> {
    let sql = "SELECT id FROM trials WHERE sweep = $1 AND state IN ('pending', 'leased') LIMIT 1";
    if tx.first(sql, &[&sweep.name], |row| row.get::<String>("id"))?.is_some() {
        return Ok(true);
    }
    for rung in 0..sweep.top() {
        if promotion::candidate(tx, sweep, rung, "")?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
