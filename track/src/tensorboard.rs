//! TensorBoard: event files.

use crate::{
    Cell, Entry, Event, Outcome, RunInfo, Table, TrackError, Tracker, append::Appended, event::now,
    flat::flatten, png::Png, proto::Message,
};
use crc::{CRC_32_ISCSI, Crc};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Writes event files into a directory, one a session: scalars, images, tables and the config as text, and the config as hyperparameters.
/// Files are none of TensorBoard's.
#[derive(Debug)]
pub struct TensorBoard {
    dir: PathBuf,
    file: Option<Appended>,
    waiting: Vec<u8>,
}

impl TensorBoard {
    /// In a directory of its own, for `tensorboard --logdir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), file: None, waiting: Vec::new() }
    }

    fn push(&mut self, time: u64, step: u64, rest: impl FnOnce(Message) -> Message) {
        let event = Message::default().double(1, time as f64 / 1000.0).number(2, step);
        frame(&rest(event).into_bytes(), &mut self.waiting);
    }

    fn values(&mut self, time: u64, step: u64, values: impl IntoIterator<Item = Message>) {
        let values = values.into_iter();
        let summary = values.fold(Message::default(), |all, value| all.message(1, value));
        self.push(time, step, |event| event.message(5, summary));
    }

    fn write(&mut self) -> Result<(), TrackError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.file.as_mut().map_or(Ok(()), |file| file.push(&waiting))
    }
}

impl Tracker for TensorBoard {
    fn name(&self) -> &'static str {
        "tensorboard"
    }

    fn start(&mut self, run: &RunInfo) -> Result<(), TrackError> {
        std::fs::create_dir_all(&self.dir).map_err(TrackError::write(&self.dir))?;
        // In the order of their names; the number keeps those of one process apart.
        static SESSIONS: AtomicU32 = AtomicU32::new(0);
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let (now, process) = (now(), std::process::id());
        let name =
            format!("events.out.tfevents.{:010}.{}.{process}.{number:03}", now / 1000, run.id);
        self.file = Some(Appended::create(&self.dir.join(name))?);
        self.push(now, 0, |event| event.bytes(3, "brain.Event:2"));
        let config = flatten(&run.config);
        let rows = config.iter().map(|(key, value)| vec![Cell::from(&**key), Cell::from(&**value)]);
        let table = Table { columns: vec!["key".into(), "value".into()], rows: rows.collect() };
        self.values(now, 0, [text("config", &table), hparams_start(now, &config)]);
        self.write()
    }

    fn record(&mut self, Entry { time, event }: &Entry) -> Result<(), TrackError> {
        match event {
            Event::Metrics { step, values } | Event::Summary { step, values } => {
                self.values(*time, *step, scalars(values));
            }
            Event::Image { step, name, png } => {
                let image = image(name, png)?;
                self.values(*time, *step, [image]);
            }
            Event::Table { step, name, table } => self.values(*time, *step, [text(name, table)]),
            Event::File { .. } => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<usize, TrackError> {
        self.write().map(|()| 0)
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        // TensorBoard keeps the first end that it reads: that of a run which will be resumed is not the end.
        if outcome != Outcome::Preempted {
            let now = now();
            self.values(now, 0, [hparams_end(now, outcome == Outcome::Done)]);
        }
        self.write()
    }
}

/// A TFRecord: length and data, each with its masked checksum.
fn frame(data: &[u8], to: &mut Vec<u8>) {
    let masked = |bytes: &[u8]| CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8);
    let length = (data.len() as u64).to_le_bytes();
    to.extend(length);
    to.extend(masked(&length).to_le_bytes());
    to.extend(data);
    to.extend(masked(data).to_le_bytes());
}

fn scalars(values: &BTreeMap<String, f64>) -> impl Iterator<Item = Message> {
    // TensorBoard has single precision only.
    values.iter().map(|(name, value)| Message::default().bytes(1, name).float(2, *value as f32))
}

fn image(name: &str, png: &[u8]) -> Result<Message, TrackError> {
    let Png { width, height, channels } = Png::read(name, png)?;
    let image = Message::default().number(1, height.into()).number(2, width.into());
    let image = image.number(3, channels.into()).bytes(4, png);
    Ok(Message::default().bytes(1, name).message(4, image))
}

/// `SummaryMetadata` of a plugin.
fn plugin(name: &str, content: Message) -> Message {
    let plugin = Message::default().bytes(1, name).message(2, content);
    Message::default().message(1, plugin)
}

/// A table as the text plugin shows it: Markdown.
fn text(name: &str, table: &Table) -> Message {
    let escaped = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let cell = |cell: &Cell| match cell {
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => escaped(text),
    };
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut markdown = row(table.columns.iter().map(|column| escaped(column)).collect());
    markdown += &row(vec!["---".into(); table.columns.len()]);
    table.rows.iter().for_each(|cells| markdown += &row(cells.iter().map(cell).collect()));
    // DT_STRING, of no dimensions.
    let tensor = Message::default().number(1, 7).message(2, Message::default()).bytes(8, markdown);
    let value = Message::default().bytes(1, name).message(8, tensor);
    value.message(9, plugin("text", Message::default()))
}

/// A value of the hyperparameters' plugin, which carries everything in its metadata.
fn hparams(name: &str, content: Message) -> Message {
    // DT_FLOAT, of no dimensions.
    let tensor = Message::default().number(1, 1).message(2, Message::default()).float(5, 0.0);
    let value = Message::default().bytes(1, name).message(8, tensor);
    value.message(9, plugin("hparams", content))
}

fn hparams_start(now: u64, config: &[(String, String)]) -> Message {
    let mut info = Message::default();
    for (key, value) in config {
        // google.protobuf.Value: 2 is a number, 3 a text, 4 a truth.
        let value = match (value.parse::<bool>(), value.parse::<f64>()) {
            (Ok(truth), _) => Message::default().number(4, truth.into()),
            (_, Ok(number)) if number.is_finite() => Message::default().double(2, number),
            _ => Message::default().bytes(3, value),
        };
        info = info.message(1, Message::default().bytes(1, key).message(2, value));
    }
    let info = info.double(5, now as f64 / 1000.0);
    hparams("_hparams_/session_start_info", Message::default().message(3, info))
}

fn hparams_end(now: u64, success: bool) -> Message {
    let status = if success { 1 } else { 2 };
    let info = Message::default().number(1, status).double(2, now as f64 / 1000.0);
    hparams("_hparams_/session_end_info", Message::default().message(4, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        // Appendix B.4.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC.checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(CRC.checksum(&Vec::from_iter(0..32)), 0x46dd_794e);
    }

    #[test]
    fn a_record_is_framed() {
        // The first event of every file, as TensorFlow writes it, at the time 0.
        let mut framed = Vec::new();
        let event = Message::default().double(1, 0.0).bytes(3, "brain.Event:2");
        frame(&event.into_bytes(), &mut framed);
        assert_eq!(framed[..12], *b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22");
        assert_eq!(framed[12..36], *b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2");
        // Both checksums by TensorBoard's own masked_crc32c.
        assert_eq!(framed[36..], *b"\xee\xdf\x28\xa3");
    }
}
