//! What people do to trials.

use super::{Filter, Store, StoreError, database::Kind, sweeps};

impl Store {
    /// Cancel those trials that are pending, leased or paused. The holder of a lease hears of it with its next write. Says how many were
    /// cancelled.
    ///
    /// # Errors
    /// There is no such sweep, or no such trial in it.
    pub fn cancel(&mut self, sweep: &str, filter: Filter) -> Result<u64, StoreError> {
        let set = "state = 'cancelled', finished = $4, spent = spent + CASE WHEN state = 'leased' THEN $4 - claimed ELSE 0 END";
        self.change(sweep, filter, "'pending', 'leased', 'paused'", set)
    }

    /// Give those trials that are quarantined or cancelled all their attempts again. Says how many there were. A trial that has reported at
    /// its rung waits there again.
    ///
    /// # Errors
    /// There is no such sweep, or no such trial in it.
    pub fn retry(&mut self, sweep: &str, filter: Filter) -> Result<u64, StoreError> {
        // Without a token, for a cancelled trial's agent may still live.
        let set = "attempts = 0, token = NULL, finished = NULL, not_before = $4, state = CASE WHEN EXISTS (
                SELECT 1 FROM reports WHERE reports.sweep = trials.sweep AND reports.trial = trials.id AND reports.rung = trials.rung
            ) THEN 'paused' ELSE 'pending' END";
        self.change(sweep, filter, "'quarantined', 'cancelled'", set)
    }

    /// Set what is given, with the time for $4, in those trials that stand in one of the states.
    fn change(
        &mut self,
        sweep: &str,
        filter: Filter,
        states: &str,
        set: &str,
    ) -> Result<u64, StoreError> {
        self.database.transaction(Kind::Lasting, |tx| {
            sweeps::named(tx, sweep)?;
            filter.check(tx, sweep)?;
            let now = tx.now;
            tx.execute(
                &format!(
                    "UPDATE trials SET {set} WHERE sweep = $1 AND state IN ({states}) {}",
                    Filter::SQL
                ),
                &[&sweep, &filter.state(), &filter.id(), &now],
            )
        })
    }
}
