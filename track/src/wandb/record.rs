//! The records of a `.wandb` file: those messages of `wandb_internal.proto` that a run needs, as of wandb 0.31.

use super::artifact::Artifact;
use crate::{Outcome, RunInfo, proto::Message};
use std::{collections::BTreeMap, path::Path};

/// Values by the path of their key, as JSON.
pub type Items = BTreeMap<Vec<String>, String>;

/// The version whose format this is, and the oldest that reads it.
const PRODUCER: &str = "0.31.0";
const MIN_CONSUMER: &str = "0.10.20";

/// What a record is of: its field in `Record`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    History = 2,
    Summary = 3,
    Files = 6,
    Artifact = 8,
    Run = 17,
    Exit = 18,
    Header = 21,
    Preempting = 23,
}

pub fn header() -> Message {
    let version = Message::default().bytes(1, PRODUCER).bytes(2, MIN_CONSUMER);
    Message::default().message(1, version)
}

pub fn run(run: &RunInfo, began: u64) -> Message {
    let mut config = Message::default();
    for (key, value) in run.config.as_object().into_iter().flatten() {
        let item = Message::default().bytes(1, key).bytes(16, value.to_string());
        config = config.message(1, item);
    }
    let mut message = Message::default().bytes(1, &run.id).bytes(3, &run.project);
    if let Some(entity) = &run.entity {
        message = message.bytes(2, entity);
    }
    message = message.message(4, config);
    for (field, text) in [(6, &run.group), (9, &run.notes), (12, &run.sweep)] {
        if let Some(text) = text {
            message = message.bytes(field, text);
        }
    }
    message = message.bytes(8, &run.name);
    for tag in &run.tags {
        message = message.bytes(10, tag);
    }
    let start = Message::default().number(1, began / 1000).number(2, began % 1000 * 1_000_000);
    // resume="allow": what is there under this id is continued.
    message.message(17, start).number(24, 1)
}

fn items(items: &Items) -> Message {
    items.iter().fold(Message::default(), |message, (path, json)| {
        let item = path.iter().fold(Message::default(), |item, key| item.bytes(2, key));
        message.message(1, item.bytes(16, json))
    })
}

pub fn history(step: u64, row: &Items) -> Message {
    items(row).message(2, Message::default().number(1, step))
}

pub fn summary(values: &Items) -> Message {
    items(values)
}

/// A file in the run's `files` folder, to be uploaded as it is.
pub fn file(path: &str) -> Message {
    Message::default().message(1, Message::default().bytes(1, path))
}

/// An artifact with one file, which is taken from where it lies.
pub fn artifact(run: &RunInfo, artifact: &Artifact, file: &Path) -> Message {
    let layout = Message::default().bytes(1, "storageLayout").bytes(2, "\"V2\"");
    let entry = Message::default()
        .bytes(1, &artifact.path)
        .bytes(2, artifact.file_digest())
        .number(4, artifact.contents.len() as u64)
        .bytes(6, file.to_string_lossy().as_bytes());
    let manifest = Message::default()
        .number(1, 1)
        .bytes(2, "wandb-storage-policy-v1")
        .message(3, layout)
        .message(4, entry);
    let mut message = Message::default().bytes(1, &run.id).bytes(2, &run.project);
    if let Some(entity) = &run.entity {
        message = message.bytes(3, entity);
    }
    message = message
        .bytes(4, "run_table")
        .bytes(5, &artifact.name)
        .bytes(6, artifact.digest())
        .bytes(11, "latest")
        .message(12, manifest);
    // It is complete: to be committed once its file is uploaded.
    message = message.number(14, 1);
    message.bytes(15, &artifact.id).bytes(16, &artifact.sequence).bytes(20, "MANIFEST_MD5")
}

pub fn exit(outcome: Outcome, seconds: u64) -> Message {
    let code = u64::from(outcome != Outcome::Done);
    Message::default().number(1, code).number(2, seconds)
}

/// A number as W&B writes it: JSON, with the three values that JSON does not have.
pub fn number(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        serde_json::Value::from(number).to_string()
    }
}
