//! Weights & Biases: an offline run, which `wandb sync` uploads.

mod artifact;
mod log;
mod media;
mod record;

use crate::{
    Entry, Event, Outcome, RunInfo, Table, TrackError, Tracker, event::now, names, proto::Message,
};
use artifact::Artifact;
use log::Log;
use media::Media;
use record::{Items, Kind, number};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use time::OffsetDateTime;

/// Writes `wandb/offline-run-DATE_TIME-ID` in a directory; each session of a resumed run writes a further one, and `wandb sync` (0.31 or
/// newer) merges them by their id.
///
/// Each table is also a version of an artifact, as W&B's own client makes it. `wandb sync` looks for an artifact's file where it was
/// written: if the run's directory was moved before the sync, tables are uploaded without their artifacts.
///
/// What is logged at one step makes one row. A row is written once the next step begins; until then it waits in the spool.
#[derive(Debug)]
pub struct Wandb {
    root: PathBuf,
    session: Option<Session>,
}

impl Wandb {
    /// In the directory that `wandb sync` will be called in.
    pub fn new(dir: &Path) -> Self {
        Self { root: dir.to_path_buf(), session: None }
    }

    fn session(&mut self) -> Result<&mut Session, TrackError> {
        self.session.as_mut().ok_or_else(|| TrackError::Event {
            what: "an event".into(),
            problem: "the run has not begun".into(),
        })
    }
}

/// The records that a session begins with.
const START: usize = 2;

#[derive(Debug)]
struct Session {
    run: RunInfo,
    log: Log,
    files: PathBuf,
    /// The artifacts' files; they are not among those of the run.
    artifacts: PathBuf,
    began: u64,
    /// Records so far.
    records: u64,
    row: Option<Row>,
}

/// What was logged at one step.
#[derive(Debug, Default)]
struct Row {
    step: u64,
    time: u64,
    values: Items,
    events: usize,
}

impl Tracker for Wandb {
    fn name(&self) -> &'static str {
        "wandb"
    }

    fn start(&mut self, run: &RunInfo) -> Result<(), TrackError> {
        let wandb = self.root.join("wandb");
        std::fs::create_dir_all(&wandb).map_err(TrackError::write(&wandb))?;
        mend(&wandb, &run.id)?;
        let (folder, began) = new_folder(&wandb, &run.id)?;
        let session = Session::start(run, &folder, began);
        if session.is_err() {
            // `wandb sync` would stumble over half of a run.
            let _ = std::fs::remove_dir_all(&folder);
        }
        self.session = Some(session?);
        Ok(())
    }

    fn record(&mut self, entry: &Entry) -> Result<(), TrackError> {
        self.session()?.record(entry)
    }

    fn flush(&mut self) -> Result<usize, TrackError> {
        self.session()?.flush()
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        self.session()?.finish(outcome)
    }
}

/// See to it that `wandb sync` reads the last session to its end, whatever ended it.
fn mend(wandb: &Path, id: &str) -> Result<(), TrackError> {
    let entries = std::fs::read_dir(wandb).map_err(TrackError::write(wandb))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|folder| {
        let name = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        // The date and the time have a length of their own: `-a-b` is not the end of the run `b`.
        let rest = name.strip_prefix("offline-run-").and_then(|rest| rest.get(15..));
        rest.and_then(|rest| rest.strip_prefix('-')) == Some(id)
    });
    let Some(last) = folders.max() else { return Ok(()) };
    let records = log::mend(&last.join(format!("run-{id}.wandb")))?;
    if records < START {
        // It was killed before it said what run it is of; no sync would go past it.
        std::fs::remove_dir_all(&last).map_err(TrackError::write(&last))?;
    }
    Ok(())
}

/// A folder named by the second, the next free one.
fn new_folder(wandb: &Path, id: &str) -> Result<(PathBuf, u64), TrackError> {
    let mut began = now();
    loop {
        let seconds = i64::try_from(began / 1000).unwrap_or_default();
        let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = format!("{:04}{:02}{:02}", t.year(), t.month() as u8, t.day());
        let time = format!("{:02}{:02}{:02}", t.hour(), t.minute(), t.second());
        let folder = wandb.join(format!("offline-run-{date}_{time}-{id}"));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => began += 1000,
            made => {
                return made.map(|()| (folder.clone(), began)).map_err(TrackError::write(&folder));
            }
        }
    }
}

impl Session {
    fn start(run: &RunInfo, folder: &Path, began: u64) -> Result<Self, TrackError> {
        let files = folder.join("files");
        std::fs::create_dir(&files).map_err(TrackError::write(&files))?;
        // `wandb sync` of a folder may be called anywhere.
        let artifacts = std::path::absolute(folder.join("artifacts"));
        let artifacts = artifacts.map_err(TrackError::write(folder))?;
        let log = Log::create(&folder.join(format!("run-{}.wandb", run.id)))?;
        let run = run.clone();
        let mut session = Self { run, log, files, artifacts, began, records: 0, row: None };
        session.push(Kind::Header, record::header());
        session.push(Kind::Run, record::run(&session.run, began));
        session.log.write()?;
        Ok(session)
    }

    fn push(&mut self, kind: Kind, message: Message) {
        self.records += 1;
        let record = Message::default().number(1, self.records).message(kind as u32, message);
        self.log.push(&record.into_bytes());
    }

    fn record(&mut self, entry: &Entry) -> Result<(), TrackError> {
        let result = self.event(entry);
        if let Some(row) = &mut self.row
            && result.as_ref().err().is_none_or(TrackError::is_final)
        {
            row.events += 1;
        }
        result
    }

    fn event(&mut self, Entry { time, event }: &Entry) -> Result<(), TrackError> {
        match event {
            Event::Metrics { step, values } => self.row(*step, *time).extend(numbers(values)),
            Event::Image { step, name, png } => {
                let file = media::image(name, *step, png)?;
                self.media(*step, *time, name, file)?;
            }
            Event::Table { step, name, table } => {
                let mut file = media::table(name, *step, table)?;
                file.fields.extend(self.artifact(name, table)?);
                self.media(*step, *time, name, file)?;
            }
            Event::File { path } => {
                let name = self.run.name_of(path)?;
                let parts = names::parts(&name)?.join("/");
                let contents = File::open(path).map_err(TrackError::read(path))?;
                self.save(&parts, contents)?;
            }
            Event::Summary { values, .. } => {
                self.end_row();
                self.push(Kind::Summary, record::summary(&numbers(values).collect()));
            }
        }
        Ok(())
    }

    /// The row of a step; that of another step is ended.
    fn row(&mut self, step: u64, time: u64) -> &mut Items {
        if self.row.as_ref().is_some_and(|row| row.step != step) {
            self.end_row();
        }
        let row = self.row.get_or_insert_default();
        (row.step, row.time) = (step, time);
        &mut row.values
    }

    fn end_row(&mut self) {
        let Some(mut row) = self.row.take() else { return };
        let seconds = row.time as f64 / 1000.0;
        let runtime = row.time.saturating_sub(self.began) as f64 / 1000.0;
        row.values.insert(vec!["_step".into()], row.step.to_string());
        row.values.insert(vec!["_timestamp".into()], number(seconds));
        row.values.insert(vec!["_runtime".into()], number(runtime));
        self.push(Kind::Summary, record::summary(&row.values));
        self.push(Kind::History, record::history(row.step, &row.values));
    }

    fn media(&mut self, step: u64, time: u64, name: &str, file: Media) -> Result<(), TrackError> {
        self.save(&file.path, file.contents.as_slice())?;
        let fields = file.fields.into_iter();
        let values = fields.map(|(field, json)| (vec![name.to_owned(), field.to_owned()], json));
        self.row(step, time).extend(values);
        Ok(())
    }

    /// The artifact of a table. What is returned are the fields by which the table's value in a row refers to it.
    fn artifact(
        &mut self,
        name: &str,
        table: &Table,
    ) -> Result<[(&'static str, String); 2], TrackError> {
        let artifact = Artifact::new(&self.run, (self.began, self.records), name, table)?;
        let path = self.artifacts.join(format!("{}.table.json", self.records));
        write(&path, artifact.contents.as_slice())?;
        self.push(Kind::Artifact, record::artifact(&self.run, &artifact, &path));
        Ok(artifact.fields())
    }

    /// Put a file among those of the run.
    fn save(&mut self, name: &str, contents: impl Read) -> Result<(), TrackError> {
        write(&self.files.join(name), contents)?;
        self.push(Kind::Files, record::file(name));
        Ok(())
    }

    fn flush(&mut self) -> Result<usize, TrackError> {
        if let Err(error) = self.log.write() {
            self.row = None;
            return Err(error);
        }
        Ok(self.row.as_ref().map_or(0, |row| row.events))
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        self.end_row();
        if outcome == Outcome::Preempted {
            self.push(Kind::Preempting, Message::default());
        }
        let seconds = now().saturating_sub(self.began) / 1000;
        self.push(Kind::Exit, record::exit(outcome, seconds));
        self.log.write()
    }
}

/// A file, with the folders that it needs.
fn write(path: &Path, mut contents: impl Read) -> Result<(), TrackError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(TrackError::write(folder))?;
    }
    let mut file = File::create(path).map_err(TrackError::write(path))?;
    std::io::copy(&mut contents, &mut file).map(drop).map_err(TrackError::write(path))
}

fn numbers(values: &BTreeMap<String, f64>) -> impl Iterator<Item = (Vec<String>, String)> {
    values.iter().map(|(name, value)| (vec![name.clone()], number(*value)))
}
