use super::*;
use std::sync::{Mutex, mpsc};

type Seen = Arc<Mutex<Vec<String>>>;

/// What it is told of each event, by name, before it takes it.
struct Fake<F> {
    name: &'static str,
    seen: Seen,
    mood: F,
    waiting: Vec<String>,
}

fn fake<F: FnMut(&str) -> Result<(), TrackError> + Send + 'static>(
    name: &'static str,
    seen: &Seen,
    mood: F,
) -> Box<dyn Tracker> {
    Box::new(Fake { name, seen: Arc::clone(seen), mood, waiting: Vec::new() })
}

impl<F: FnMut(&str) -> Result<(), TrackError> + Send> Tracker for Fake<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, run: &RunInfo) -> Result<(), TrackError> {
        (self.mood)("start")?;
        self.seen.lock().unwrap().push(run.id.clone());
        Ok(())
    }

    fn record(&mut self, entry: &Entry) -> Result<(), TrackError> {
        let Event::File { path } = &entry.event else { panic!("{entry:?}") };
        let name = path.display().to_string();
        (self.mood)(&name)?;
        self.waiting.push(name);
        Ok(())
    }

    fn flush(&mut self) -> Result<usize, TrackError> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|name| (self.mood)(&format!("flush {name}")))?;
        self.seen.lock().unwrap().extend(waiting);
        Ok(0)
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        (self.mood)("finish")?;
        self.seen.lock().unwrap().push(format!("{outcome:?}"));
        Ok(())
    }
}

fn run(dir: &Path) -> RunInfo {
    RunInfo {
        id: "id".into(),
        name: "name".into(),
        project: "project".into(),
        entity: None,
        group: None,
        tags: Vec::new(),
        notes: None,
        sweep: None,
        config: serde_json::json!({}),
        dir: dir.to_path_buf(),
    }
}

fn later() -> Result<(), TrackError> {
    let (path, source) = ("x".into(), std::io::ErrorKind::StorageFull.into());
    Err(TrackError::Write { path, source })
}

fn never() -> Result<(), TrackError> {
    Err(TrackError::Event { what: "it".into(), problem: "wrong".into() })
}

/// Start with patience for a test, and what is warned of.
fn start(dir: &Path, trackers: Vec<Box<dyn Tracker>>, patience: Duration) -> (Trackers, Seen) {
    let said = Seen::default();
    let hear = Arc::clone(&said);
    let warn: Warn = Arc::new(move |text: &str| hear.lock().unwrap().push(text.to_owned()));
    (Trackers::start_with(run(dir), trackers, warn, patience).unwrap(), said)
}

fn log(trackers: &Trackers, names: &[&str]) {
    names.iter().for_each(|name| trackers.file(Path::new(name)));
}

fn all(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().clone()
}

#[test]
fn what_fails_for_a_while_arrives_once_and_in_order() {
    for at in ["start", "b", "flush b", "finish"] {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::default();
        let mut failures = 2;
        let tracker = fake("fake", &seen, move |what| {
            if what == at && failures > 0 {
                failures -= 1;
                return later();
            }
            Ok(())
        });
        let (trackers, said) = start(dir.path(), vec![tracker], PATIENCE);
        log(&trackers, &["a", "b", "c"]);
        trackers.finish(Outcome::Done);
        assert_eq!(all(&seen), ["id", "a", "b", "c", "Done"], "{at}");
        let said = all(&said);
        assert!(said.len() == 1 && said[0].starts_with("fake fails, and"), "{at}: {said:?}");
        assert!(!dir.path().join("track").exists());
    }
}

#[test]
fn what_is_refused_is_left_out() {
    for at in ["b", "flush b"] {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::default();
        let tracker = fake("fake", &seen, move |what| if what == at { never() } else { Ok(()) });
        let (trackers, said) = start(dir.path(), vec![tracker], PATIENCE);
        log(&trackers, &["a", "b", "c", "b", "d"]);
        trackers.finish(Outcome::Preempted);
        assert_eq!(all(&seen), ["id", "a", "c", "d", "Preempted"], "{at}");
        let refused = "fake refuses an event, which is left out: it cannot be tracked: wrong";
        assert_eq!(all(&said), [refused, "fake has refused 2 events"]);
    }
}

#[test]
fn one_that_hangs_holds_neither_the_run_nor_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (quick, slow) = (Seen::default(), Seen::default());
    let (release, hang) = mpsc::channel::<()>();
    let trackers = vec![
        fake("slow", &slow, move |what| {
            if what == "a" {
                let _ = hang.recv();
            }
            Ok(())
        }),
        fake("quick", &quick, |_| Ok(())),
    ];
    let patience = Duration::from_millis(300);
    let (trackers, said) = start(dir.path(), trackers, patience);
    log(&trackers, &["a", "b"]);
    std::thread::sleep(2 * patience);
    log(&trackers, &["c"]);
    log(&trackers, &["d"]);
    trackers.finish(Outcome::Done);
    assert_eq!(all(&quick), ["id", "a", "b", "c", "d", "Done"]);
    let said = all(&said);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("slow has not answered for "), "{said:?}");
    assert!(said[1].contains("the end of the run and 4 events before it"), "{said:?}");
    // As long as it hangs, nobody else delivers.
    let (trackers, said) = start(dir.path(), vec![fake("slow", &slow, |_| Ok(()))], patience);
    trackers.finish(Outcome::Done);
    assert!(all(&said)[0].contains("another process delivers"), "{said:?}");
    drop(release);
    while Spool::open(&dir.path().join("track/slow.spool.jsonl")).is_err() {
        std::thread::sleep(patience / 10);
    }
    let late = Seen::default();
    let (trackers, said) = start(dir.path(), vec![fake("slow", &late, |_| Ok(()))], PATIENCE);
    log(&trackers, &["e"]);
    drop(trackers);
    assert_eq!(all(&said), [""; 0]);
    // What it took after all when nobody waited any longer does not come again.
    let both = [&all(&slow)[1..], &all(&late)[1..]].concat();
    assert_eq!(both, ["a", "b", "c", "d", "e", "Failed"]);
}

#[test]
fn a_run_that_cannot_be_tracked_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let message = |change: fn(&mut RunInfo)| {
        let mut run = run(dir.path());
        change(&mut run);
        Trackers::start(run, Vec::new(), |_| ()).err().map_or(String::new(), |e| e.to_string())
    };
    assert_eq!(message(|_| ()), "");
    assert!(message(|run| run.id = "a/b".into()).contains("id `a/b`"));
    assert!(message(|run| run.project = "100%".into()).contains("project `100%`"));
    assert!(message(|run| run.config = 1.into()).contains("not a JSON object"));
}

#[test]
fn a_folder_that_cannot_be_made_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("track"), "").unwrap();
    let (trackers, said) =
        start(dir.path(), vec![fake("fake", &Seen::default(), |_| Ok(()))], PATIENCE);
    log(&trackers, &["a"]);
    trackers.finish(Outcome::Done);
    let said = all(&said);
    assert!(said.len() == 1 && said[0].starts_with("fake does not track this run"), "{said:?}");
}
