//! Images and tables as files beside the log, and what a row says of them.

use super::record::number;
use crate::{Cell, Table, TrackError, names, png::Png};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A file, its path among those of the run, and the fields of its value in a row, as JSON.
pub struct Media {
    pub path: String,
    pub contents: Vec<u8>,
    pub fields: Vec<(&'static str, String)>,
}

pub fn image(name: &str, step: u64, png: &[u8]) -> Result<Media, TrackError> {
    let Png { width, height, .. } = Png::read(name, png)?;
    let mut media = media("images", name, step, ".png", png.to_vec())?;
    media.fields.extend([
        ("_type", "\"image-file\"".into()),
        ("format", "\"png\"".into()),
        ("width", width.to_string()),
        ("height", height.to_string()),
    ]);
    Ok(media)
}

pub fn table(name: &str, step: u64, table: &Table) -> Result<Media, TrackError> {
    let mut media = media("table", name, step, ".table.json", json(table).into_bytes())?;
    media.fields.extend([
        ("_type", "\"table-file\"".into()),
        ("ncols", table.columns.len().to_string()),
        ("nrows", table.rows.len().to_string()),
        ("log_mode", "\"IMMUTABLE\"".into()),
    ]);
    Ok(media)
}

/// Named by its contents, as W&B names it: the same file at another step does not take its place.
fn media(
    folder: &str,
    name: &str,
    step: u64,
    end: &str,
    contents: Vec<u8>,
) -> Result<Media, TrackError> {
    let name = names::parts(Path::new(name))?.join("/");
    let digest = hex(&Sha256::digest(&contents));
    let path = format!("media/{folder}/{name}_{step}_{}{end}", &digest[..20]);
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let fields = vec![
        ("path", text(&path)),
        ("sha256", text(&digest)),
        ("size", contents.len().to_string()),
    ];
    Ok(Media { path, contents, fields })
}

fn json(table: &Table) -> String {
    let columns = serde_json::Value::from(table.columns.clone());
    format!("{{\"columns\":{columns},\"data\":{}}}", rows(table, "NaN"))
}

/// A digest as text, two digits a byte.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows as JSON, with what is written for a NaN.
pub fn rows(table: &Table, nan: &str) -> String {
    let cell = |cell: &Cell| match cell {
        Cell::Number(value) if value.is_nan() => nan.to_owned(),
        Cell::Number(value) => number(*value),
        Cell::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
    };
    let row = |row: &Vec<Cell>| format!("[{}]", Vec::from_iter(row.iter().map(cell)).join(","));
    format!("[{}]", Vec::from_iter(table.rows.iter().map(row)).join(","))
}
