//! The thread of one tracker: it delivers what the spool holds, again and again until it is taken.

use crate::{
    Entry, Outcome, RunInfo, TrackError, Tracker,
    lane::{Lane, Phase},
};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

/// Where warnings go.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How many events are delivered together, if none of them is refused.
const TOGETHER: usize = 1000;
/// The wait after a first failure; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a thread is to do next.
enum Task {
    Start,
    Deliver(Vec<Vec<u8>>),
    Finish(Outcome),
}

/// The thread's side.
pub struct Worker {
    tracker: Box<dyn Tracker>,
    run: RunInfo,
    lane: Arc<Lane>,
    warn: Warn,
    started: bool,
    /// How many events are delivered together.
    together: usize,
}

impl Worker {
    pub fn new(tracker: Box<dyn Tracker>, run: RunInfo, lane: Arc<Lane>, warn: Warn) -> Self {
        Self { tracker, run, lane, warn, started: false, together: TOGETHER }
    }

    /// Until the run is over, or nobody waits any longer.
    pub fn run(mut self) {
        let mut wait = None;
        while let Some(task) = self.next() {
            self.lane.state().busy = Some(Instant::now());
            let result = task.and_then(|task| self.attempt(task));
            self.lane.state().busy = None;
            match result {
                Ok(()) => wait = None,
                Err(error) => {
                    if wait.is_none() {
                        self.say(&format!("fails, and what is logged waits: {error}"));
                    }
                    let next = wait.map_or(FIRST_WAIT, |wait: Duration| wait * 2).min(LONGEST_WAIT);
                    wait = Some(next);
                    self.pause(next);
                }
            }
        }
    }

    fn say(&self, what: &str) {
        (self.warn)(&format!("{} {what}", self.lane.name));
    }

    /// Wait until there is something to do; nothing where there never will be.
    fn next(&mut self) -> Option<Result<Task, TrackError>> {
        let mut state = self.lane.state();
        loop {
            if matches!(state.phase, Phase::Left | Phase::Over) {
                return None;
            }
            if !self.started {
                return Some(Ok(Task::Start));
            }
            match state.spool.hand_out(self.together) {
                Ok(lines) if lines.is_empty() => self.together = TOGETHER,
                lines => return Some(lines.map(Task::Deliver)),
            }
            if let Phase::Finishing(outcome) = state.phase {
                return Some(Ok(Task::Finish(outcome)));
            }
            state.idle = true;
            state = self.lane.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }

    /// Wait before another attempt, unless the run ends meanwhile: then there is one at once, and the next ones come soon.
    fn pause(&self, wait: Duration) {
        let state = self.lane.state();
        let before = state.phase;
        let wait = if before == Phase::Running { wait } else { wait.min(FIRST_WAIT) };
        drop(self.lane.bell.wait_timeout_while(state, wait, |state| state.phase == before));
    }

    fn attempt(&mut self, task: Task) -> Result<(), TrackError> {
        match task {
            Task::Start => {
                self.tracker.start(&self.run)?;
                self.started = true;
                Ok(())
            }
            Task::Deliver(lines) => self.deliver(&lines),
            Task::Finish(outcome) => self.finish(outcome),
        }
    }

    fn deliver(&mut self, lines: &[Vec<u8>]) -> Result<(), TrackError> {
        for (index, line) in lines.iter().enumerate() {
            match self.record(line) {
                Err(error) if !error.is_final() => {
                    // Those before it are none the worse for it.
                    self.lane.state().spool.take_back(lines.len() - index);
                    return self.flush().and(Err(error));
                }
                result => self.note(result),
            }
        }
        match self.flush() {
            // One of them is refused: alone, it will be found.
            Err(error) if error.is_final() && lines.len() > 1 => {
                self.together = 1;
                Ok(())
            }
            Err(error) if error.is_final() => {
                self.together = TOGETHER;
                self.note(Err(error));
                let mut state = self.lane.state();
                state.spool.hand_out(1)?;
                state.spool.settle(0)
            }
            result => result,
        }
    }

    fn record(&mut self, line: &[u8]) -> Result<(), TrackError> {
        let entry: Entry = serde_json::from_slice(line).map_err(|error| TrackError::Event {
            what: format!("a line of {}", self.lane.state().spool.path().display()),
            problem: format!("it is damaged: {error}"),
        })?;
        self.tracker.record(&entry)
    }

    fn flush(&mut self) -> Result<(), TrackError> {
        let flushed = self.tracker.flush();
        let spool = &mut self.lane.state().spool;
        match flushed {
            Ok(held) => spool.settle(held),
            Err(error) => {
                spool.rewind();
                Err(error)
            }
        }
    }

    /// What is refused is said once, and counted.
    fn note(&self, result: Result<(), TrackError>) {
        let Err(error) = result else { return };
        let mut state = self.lane.state();
        state.refused += 1;
        let first = state.refused == 1;
        drop(state);
        if first {
            self.say(&format!("refuses an event, which is left out: {error}"));
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        let finished = self.tracker.finish(outcome);
        let mut state = self.lane.state();
        if finished.is_err() {
            state.spool.rewind();
            return finished;
        }
        state.spool.settle(0)?;
        state.spool.remove();
        state.phase = Phase::Over;
        self.lane.bell.notify_all();
        Ok(())
    }
}
