//! The fan-out: one log call, any number of trackers, each in its own time.

#[cfg(test)]
mod tests;

use crate::{
    Entry, Event, Outcome, RunInfo, Table, TrackError,
    lane::{Lane, Phase},
    spool::Spool,
    worker::{Warn, Worker},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long finishing waits, and a tracker may take, before it is spoken of.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a run is tracked. Its methods are called from one thread of its own, and may take their time.
pub trait Tracker: Send {
    /// What it is called in warnings and file names.
    fn name(&self) -> &'static str;

    /// Begin the run, or go on with it. Called again until it succeeds, and before anything else.
    ///
    /// # Errors
    /// The tracker cannot be reached or written to.
    fn start(&mut self, run: &RunInfo) -> Result<(), TrackError>;

    /// Take an event. What is cheaper to write with others may wait for [`flush`](Self::flush).
    ///
    /// # Errors
    /// A [final](TrackError::is_final) one leaves the event out; after another one the event comes again.
    fn record(&mut self, entry: &Entry) -> Result<(), TrackError>;

    /// Write what was recorded. What is returned is how many of the last events were not, because more may come to them: they count as
    /// delivered once a later flush or the end wrote them.
    ///
    /// # Errors
    /// Nothing was written since the last flush, and the tracker has forgotten all events that were not: they come again.
    fn flush(&mut self) -> Result<usize, TrackError>;

    /// Write the rest, and end the run.
    ///
    /// # Errors
    /// As those of [`flush`](Self::flush).
    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError>;
}

/// All trackers of a run.
///
/// Logging writes a line to a file in the run's directory a tracker, and returns. Dropped without [`finish`](Self::finish), the run has
/// failed.
pub struct Trackers {
    lanes: Vec<Arc<Lane>>,
    /// Whether a tracker could not even begin.
    missing: bool,
    warn: Warn,
    patience: Duration,
}

impl Trackers {
    /// Begin to track. What an earlier, killed session of the run left undelivered comes first.
    ///
    /// Whatever happens to a tracker is told to `warn`, once as long as it lasts, and hurts neither the run nor the other trackers.
    ///
    /// # Errors
    /// The run cannot be tracked as it is called; see [`RunInfo::check`].
    pub fn start(
        run: RunInfo,
        trackers: Vec<Box<dyn Tracker>>,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, TrackError> {
        Self::start_with(run, trackers, Arc::new(warn), PATIENCE)
    }

    fn start_with(
        run: RunInfo,
        trackers: Vec<Box<dyn Tracker>>,
        warn: Warn,
        patience: Duration,
    ) -> Result<Self, TrackError> {
        run.check()?;
        let folder = run.dir.join("track");
        let wanted = trackers.len();
        let mut lanes = Vec::new();
        for tracker in trackers {
            let name = tracker.name();
            match lane(&folder, name) {
                Ok(lane) => {
                    let worker = Worker::new(tracker, run.clone(), Arc::clone(&lane), warn.clone());
                    let thread = std::thread::Builder::new().name(format!("track-{name}"));
                    match thread.spawn(move || worker.run()) {
                        Ok(_) => lanes.push(lane),
                        Err(error) => warn(&format!("{name} does not track this run: {error}")),
                    }
                }
                Err(error) => warn(&format!("{name} does not track this run: {error}")),
            }
        }
        Ok(Self { missing: lanes.len() < wanted, lanes, warn, patience })
    }

    /// Numbers at a step.
    pub fn log(&self, step: u64, values: BTreeMap<String, f64>) {
        self.push(Event::Metrics { step, values });
    }

    /// An image, a PNG file, at a step.
    pub fn image(&self, step: u64, name: &str, png: Vec<u8>) {
        self.push(Event::Image { step, name: name.to_owned(), png });
    }

    /// A table at a step.
    pub fn table(&self, step: u64, name: &str, table: Table) {
        self.push(Event::Table { step, name: name.to_owned(), table });
    }

    /// A file, as it is when it is delivered.
    pub fn file(&self, path: &Path) {
        self.push(Event::File { path: path.to_path_buf() });
    }

    /// What the run comes to, after its last step.
    pub fn summary(&self, step: u64, values: BTreeMap<String, f64>) {
        self.push(Event::Summary { step, values });
    }

    fn push(&self, event: Event) {
        let mut line = match serde_json::to_vec(&Entry::now(event)) {
            Ok(line) => line,
            Err(error) => return (self.warn)(&format!("an event is not tracked: {error}")),
        };
        line.push(b'\n');
        for lane in &self.lanes {
            if let Some(warning) = lane.push(&line, self.patience) {
                (self.warn)(&warning);
            }
        }
    }

    /// End the run. Waits for what is not delivered, at most ten seconds for all trackers together; the rest stays in the run's directory,
    /// and goes out when the run is tracked again. Says whether every tracker was handed all.
    pub fn finish(mut self, outcome: Outcome) -> bool {
        self.end(outcome)
    }

    /// The same, waiting for as long as `patience`.
    pub fn finish_within(mut self, outcome: Outcome, patience: Duration) -> bool {
        self.patience = patience;
        self.end(outcome)
    }

    fn end(&mut self, outcome: Outcome) -> bool {
        for lane in &self.lanes {
            lane.set(Phase::Finishing(outcome));
        }
        let deadline = Instant::now() + self.patience;
        let mut whole = !self.missing;
        for lane in self.lanes.drain(..) {
            let (over, warning) = lane.wait_until(deadline, self.patience);
            whole &= over;
            if let Some(warning) = warning {
                (self.warn)(&warning);
            }
        }
        whole
    }
}

impl Drop for Trackers {
    fn drop(&mut self) {
        self.end(Outcome::Failed);
    }
}

fn lane(folder: &Path, name: &'static str) -> Result<Arc<Lane>, TrackError> {
    std::fs::create_dir_all(folder).map_err(TrackError::write(folder))?;
    Ok(Arc::new(Lane::new(name, Spool::open(&spool(folder, name))?)))
}

fn spool(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.spool.jsonl"))
}

/// Whether a tracker, by its [name](Tracker::name), has not taken all of the run in a directory and its end.
pub fn is_behind(run: &Path, tracker: &str) -> bool {
    let folder = run.join("track");
    // Where the folder is missing it has heard of nothing.
    !folder.is_dir() || spool(&folder, tracker).exists()
}
