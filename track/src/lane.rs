//! What a run and the thread of one of its trackers share.

use crate::{Outcome, spool::Spool};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// More may be logged.
    Running,
    /// What is left is to be delivered, then the end.
    Finishing(Outcome),
    /// Nobody waits any longer.
    Left,
    /// Everything is delivered.
    Over,
}

/// What the run and the thread of a tracker share.
#[derive(Debug)]
pub struct Lane {
    pub name: &'static str,
    pub state: Mutex<State>,
    pub bell: Condvar,
}

/// Under the lock.
#[derive(Debug)]
pub struct State {
    pub spool: Spool,
    pub phase: Phase,
    /// Whether the thread waits for something to do.
    pub idle: bool,
    /// Since when the tracker has been at work on something, until it was spoken of.
    pub busy: Option<Instant>,
    /// Events that the spool could not take.
    lost: u64,
    /// Events that the tracker will never take.
    pub refused: u64,
}

impl Lane {
    pub fn new(name: &'static str, spool: Spool) -> Self {
        let state =
            State { spool, phase: Phase::Running, idle: false, busy: None, lost: 0, refused: 0 };
        Self { name, state: Mutex::new(state), bell: Condvar::new() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Add a line to the spool. What is returned is a warning.
    pub fn push(&self, line: &[u8], patience: Duration) -> Option<String> {
        let name = self.name;
        let mut state = self.state();
        if let Err(error) = state.spool.push(line) {
            state.lost += 1;
            return (state.lost == 1).then(|| format!("{name} misses what is logged: {error}"));
        }
        if state.idle {
            self.bell.notify_all();
        }
        let busy = state.busy.filter(|since| since.elapsed() > patience)?;
        state.busy = None;
        let (spool, seconds) = (state.spool.path().display(), busy.elapsed().as_secs());
        Some(format!("{name} has not answered for {seconds} s; what is logged waits in {spool}"))
    }

    pub fn set(&self, phase: Phase) {
        self.state().phase = phase;
        self.bell.notify_all();
    }

    /// Wait for the end, but not longer than `deadline`. What is returned is whether it came, and a warning.
    pub fn wait_until(&self, deadline: Instant, patience: Duration) -> (bool, Option<String>) {
        let wait = deadline.saturating_duration_since(Instant::now());
        let ended = |state: &mut State| state.phase != Phase::Over;
        let waited = self.bell.wait_timeout_while(self.state(), wait, ended);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let name = self.name;
        let mut said = Vec::new();
        let over = state.phase == Phase::Over;
        if !over {
            state.phase = Phase::Left;
            self.bell.notify_all();
            let (left, spool) = (state.spool.left(), state.spool.path().display());
            let seconds = patience.as_secs();
            said.push(format!(
                "has not taken the end of the run and {left} events before it in {seconds} s; \
                 they stay in {spool}, and are delivered when the run is tracked again"
            ));
        }
        if state.lost > 0 {
            said.push(format!("misses {} events that could not be written to disk", state.lost));
        }
        if state.refused > 1 {
            said.push(format!("has refused {} events", state.refused));
        }
        (over, (!said.is_empty()).then(|| format!("{name} {}", said.join(", and "))))
    }
}
