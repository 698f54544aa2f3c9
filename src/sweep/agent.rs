//! An agent: it claims trials and runs them, one after the other, each in a process of its own.

use super::{
    Spec, SweepError,
    space::short_id,
    store::{Claim, Lease, Next, Store, StoreError},
    trial::{Attempt, Ending},
};
use std::{
    ffi::OsString,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Time between two looks at a trial's process.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two questions for a trial where there is none now.
const WAIT: Duration = Duration::from_secs(2);
/// How long a trial rests that another process still works on.
const REST: Duration = Duration::from_secs(20);
/// How long a process has to write a checkpoint when it is to stop: less than Slurm's usual warning.
const GRACE: Duration = Duration::from_secs(90);
/// How long an agent waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// What claims trials and runs them.
pub struct Agent<'a> {
    /// The queue.
    pub store: Store,
    /// The sweep.
    pub sweep: &'a str,
    /// What it is.
    pub spec: Spec,
    /// What it is known by.
    pub name: String,
    /// How long a trial is its own after a sign of life.
    pub lease: Duration,
    /// Where runs lie.
    pub model_dir: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Options of every trial: the backend and its device.
    pub options: Vec<OsString>,
    /// Whether it was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// What it does, line by line.
    pub say: &'a dyn Fn(&str),
}

/// What an agent came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Trials (or, with successive halving, rungs of trials) that it finished.
    pub done: usize,
    /// Attempts that failed.
    pub failed: usize,
    /// Whether it was asked to stop before the sweep's end.
    pub stopped: bool,
}

impl Agent<'_> {
    /// Work until nothing is left, `most` trials are done, or it is asked to stop. Without `wait` it ends, too, when all that is left is in other agents' hands.
    ///
    /// # Errors
    /// A store that fails, a program that cannot be started. A trial that fails is no error: it is tried again, and set aside in the end.
    pub fn run(&mut self, most: Option<usize>, wait: bool) -> Result<Tally, SweepError> {
        let mut tally = Tally::default();
        while most.is_none_or(|most| tally.done + tally.failed < most) {
            if (self.stop)() {
                tally.stopped = true;
                break;
            }
            let (sweep, name, lease) = (self.sweep, self.name.clone(), self.lease);
            match self.patiently(|store| store.claim(sweep, &name, lease))? {
                Next::Trial(claim) => self.work(&claim, &mut tally)?,
                Next::Wait if wait => self.rest(),
                Next::Wait | Next::Finished => break,
            }
        }
        Ok(tally)
    }

    fn rest(&self) {
        let start = Instant::now();
        while start.elapsed() < WAIT && !(self.stop)() {
            std::thread::sleep(LOOK);
        }
    }

    /// Ask the store, and go on asking where it does not answer: what a trial came to is not to be lost by a server that restarts.
    fn patiently<T>(
        &mut self,
        mut ask: impl FnMut(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        loop {
            match ask(&mut self.store) {
                Err(error)
                    if is_passing(&error) && start.elapsed() < PATIENCE && !(self.stop)() =>
                {
                    (self.say)(&format!("{error}; trying again"));
                    self.rest();
                }
                answer => return answer,
            }
        }
    }

    fn work(&mut self, claim: &Claim, tally: &mut Tally) -> Result<(), SweepError> {
        let short = short_id(&claim.trial.id);
        let budget = claim.budget.map_or(String::new(), |budget| format!(", up to {budget}"));
        (self.say)(&format!("{short} {}{budget}", claim.trial.label));
        let start = Instant::now();
        let attempt = match Attempt::start(self, claim) {
            Ok(attempt) => attempt,
            Err(error @ SweepError::Taken(_)) => {
                tally.failed += 1;
                (self.say)(&format!("{short} failed: {error}"));
                let _ = self.patiently(|store| store.fail(claim, &error.to_string(), ""))?;
                return Ok(());
            }
            Err(error) => {
                // It was not even begun: no attempt.
                let _ = self.patiently(|store| store.release(claim, REST))?;
                return Err(error);
            }
        };
        let Some(ending) = self.watch(attempt, claim)? else { return Ok(()) };
        let lease = match &ending {
            Ending::Done { value, result } => {
                let seconds = start.elapsed().as_secs_f64();
                (self.say)(&format!("{short} {value:.5} after {seconds:.0} s"));
                let lease =
                    self.patiently(|store| store.report(claim, *value, &result.to_string()))?;
                tally.done += usize::from(lease == Lease::Kept);
                lease
            }
            Ending::Interrupted => {
                (self.say)(&format!("{short} stopped; it goes on where it was"));
                self.patiently(|store| store.release(claim, Duration::ZERO))?
            }
            Ending::Occupied => {
                (self.say)(&format!("{short} is still written to by another process; later"));
                self.patiently(|store| store.release(claim, REST))?
            }
            Ending::Failed { error, log } => {
                tally.failed += 1;
                (self.say)(&format!("{short} failed: {error}"));
                self.patiently(|store| store.fail(claim, error, log))?
            }
        };
        if lease != Lease::Kept {
            (self.say)(&format!("{short} {}", words(lease)));
        }
        Ok(())
    }

    /// Wait for the end of an attempt, with signs of life to the store meanwhile; none where the trial is no longer this agent's.
    fn watch(&mut self, mut attempt: Attempt, claim: &Claim) -> Result<Option<Ending>, SweepError> {
        let mut beat = Instant::now();
        let mut stopping: Option<Instant> = None;
        let mut owned = true;
        loop {
            if let Some(ending) = attempt.ending()? {
                // Whatever it says: it was told to end, and perhaps by the same Ctrl-C.
                let ended = match (&ending, stopping.is_some() || (self.stop)()) {
                    (Ending::Done { .. }, _) | (_, false) => ending,
                    (_, true) => Ending::Interrupted,
                };
                return Ok(owned.then_some(ended));
            }
            match stopping {
                None if (self.stop)() => {
                    attempt.tell_to_stop();
                    stopping = Some(Instant::now());
                }
                Some(since) if since.elapsed() > GRACE => attempt.kill()?,
                _ => {}
            }
            if owned && beat.elapsed() > self.lease / 3 {
                beat = Instant::now();
                match self.store.heartbeat(claim, self.lease) {
                    Ok(Lease::Kept) => {}
                    Ok(lost) => {
                        (self.say)(&format!("{} {}", short_id(&claim.trial.id), words(lost)));
                        attempt.tell_to_stop();
                        (owned, stopping) = (false, Some(Instant::now()));
                    }
                    // The trial goes on: its token says in the end whether it counts.
                    Err(error) if is_passing(&error) => (self.say)(&error.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a store may answer later.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreachable { .. } | StoreError::Busy { .. } | StoreError::Full(_))
}

fn words(lease: Lease) -> &'static str {
    match lease {
        Lease::Kept => "kept",
        Lease::Cancelled => "was cancelled",
        Lease::Lost => "was given to another agent; what this one did does not count",
    }
}
