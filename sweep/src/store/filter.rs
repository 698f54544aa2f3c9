//! Which of a sweep's trials are meant.

use super::{
    State, StoreError,
    database::{Fault, Transaction},
};

/// Some of a sweep's trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// All.
    All,
    /// Those that stand so.
    In(State),
    /// The one of this address.
    Trial(&'a str),
}

impl<'a> Filter<'a> {
    /// As a condition, with the state for $2 and the address for $3.
    pub(super) const SQL: &'static str =
        "AND state = COALESCE($2, state) AND id = COALESCE($3, id)";

    pub(super) fn state(self) -> Option<&'static str> {
        match self {
            Self::In(state) => Some(state.name()),
            Self::All | Self::Trial(_) => None,
        }
    }

    pub(super) fn id(self) -> Option<&'a str> {
        match self {
            Self::Trial(id) => Some(id),
            Self::All | Self::In(_) => None,
        }
    }

    /// Refuse an address that the sweep does not have.
    pub(super) fn check(self, tx: &mut Transaction, sweep: &str) -> Result<(), Fault> {
        let Self::Trial(id) = self else { return Ok(()) };
        let there = "SELECT id FROM trials WHERE sweep = $1 AND id = $2";
        let there = tx.first(there, &[&sweep, &id], |row| row.get::<String>("id"))?;
        there
            .map(drop)
            .ok_or_else(|| StoreError::NoTrial { sweep: sweep.into(), id: id.into() }.into())
    }
}
