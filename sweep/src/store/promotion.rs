//! ASHA: which trials go on to the next rung.

use super::{
    database::{Fault, Transaction},
    sweeps::{Asha, Sweep},
};

/// The best trial that waits at a rung, if it is among the best 1/factor of all that have reported there: those that went on, ended or
/// failed later count, too.
///
/// `lock` ends the SELECT of that trial. A trial whose value is not a number counts among those that reported, and never goes on. Equal
/// values rank by address.
pub(super) fn candidate(
    tx: &mut Transaction,
    sweep: &Sweep,
    rung: i64,
    lock: &str,
) -> Result<Option<String>, Fault> {
    let Some(Asha { factor, .. }) = sweep.asha else { return Ok(None) };
    let best = "SELECT id, loss FROM trials WHERE sweep = $1 AND state = 'paused' AND rung = $2 AND loss IS NOT NULL ORDER BY loss, id LIMIT 1";
    let best = tx.first(&format!("{best}{lock}"), &[&sweep.name, &rung], |row| {
        Ok((row.get::<String>("id")?, row.get::<f64>("loss")?))
    })?;
    let Some((id, loss)) = best else { return Ok(None) };
    let all = "SELECT COUNT(*) AS n FROM reports WHERE sweep = $1 AND rung = $2";
    let better = format!("{all} AND (loss, trial) < ($3, $4)");
    let better = tx.first(&better, &[&sweep.name, &rung, &loss, &id], |row| row.get::<i64>("n"))?;
    let all = tx.first(all, &[&sweep.name, &rung], |row| row.get::<i64>("n"))?;
    let (better, all) = (better.unwrap_or(0), all.unwrap_or(0));
    Ok((better < all / i64::from(factor)).then_some(id))
}
