//! Named columns, and the forms in which they are written: parquet, CSV, JSON lines.

use super::ScoreError;
use crate::run::write_atomic;
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as PhysicalType},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use std::{path::Path, sync::Arc};

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Texts.
    Text(Vec<String>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Numbers; NaN where there is none.
    Number(Vec<f64>),
    /// Numbers that not every row was asked for.
    Optional(Vec<Option<f64>>),
}

/// Columns of one length, with a note on what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<'a> {
    /// The columns by name.
    pub columns: Vec<(&'a str, Values)>,
    /// Goes into the file where its format has a place.
    pub note: &'a str,
}

impl Frame<'_> {
    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| match values {
            Values::Text(v) => v.len(),
            Values::Integer(v) => v.len(),
            Values::Number(v) => v.len(),
            Values::Optional(v) => v.len(),
        })
    }

    /// Whether [`write`](Self::write) knows the format of a file of this name.
    ///
    /// # Errors
    /// An unknown extension.
    pub fn check_format(path: &Path) -> Result<(), ScoreError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("parquet" | "csv" | "jsonl") => Ok(()),
            _ => Err(ScoreError::Format(path.display().to_string())),
        }
    }

    /// Write by extension: `.parquet`, `.csv`, `.jsonl`.
    ///
    /// # Errors
    /// An unknown extension, columns of different lengths, a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ScoreError> {
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => self.parquet().map_err(|source| ScoreError::Parquet {
                path: path.display().to_string(),
                source,
            })?,
            Some("csv") => self.csv().into_bytes(),
            Some("jsonl") => self.json_lines().into_bytes(),
            _ => return Err(ScoreError::Format(path.display().to_string())),
        };
        Ok(write_atomic(path, &bytes)?)
    }

    /// As parquet; the note is the value of `convention`.
    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        // The compression that every reader knows.
        self.compressed(Compression::SNAPPY)
    }

    fn compressed(&self, compression: Compression) -> Result<Vec<u8>, ParquetError> {
        let field = |(name, values): &(&str, Values)| {
            let (kind, logical) = match values {
                Values::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
                Values::Integer(_) => (PhysicalType::INT64, None),
                Values::Number(_) | Values::Optional(_) => (PhysicalType::DOUBLE, None),
            };
            let repetition = match values {
                Values::Optional(_) => Repetition::OPTIONAL,
                _ => Repetition::REQUIRED,
            };
            Type::primitive_type_builder(name, kind)
                .with_logical_type(logical)
                .with_repetition(repetition)
                .build()
                .map(Arc::new)
        };
        let fields = self.columns.iter().map(field).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("scores").with_fields(fields).build()?;
        let note = KeyValue::new("convention".to_owned(), self.note.to_owned());
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![note]))
            .set_compression(compression)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for (_, values) in &self.columns {
            let Some(mut column) = group.next_column()? else { break };
            match values {
                Values::Text(texts) => {
                    let texts: Vec<ByteArray> = texts.iter().map(|t| t.as_str().into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
                }
                Values::Integer(v) => {
                    column.typed::<Int64Type>().write_batch(v, None, None)?;
                }
                Values::Number(v) => {
                    column.typed::<DoubleType>().write_batch(v, None, None)?;
                }
                Values::Optional(v) => {
                    let there: Vec<f64> = v.iter().flatten().copied().collect();
                    let levels: Vec<i16> = v.iter().map(|v| i16::from(v.is_some())).collect();
                    column.typed::<DoubleType>().write_batch(&there, Some(&levels), None)?;
                }
            }
            column.close()?;
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }

    /// As CSV with a header, the note in a first line that begins with `#`.
    fn csv(&self) -> String {
        let quote = |text: &str| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let line = |cells: Vec<String>| cells.join(",") + "\n";
        let cell = |values: &Values, i: usize| match values {
            Values::Text(v) => quote(&v[i]),
            Values::Integer(v) => v[i].to_string(),
            Values::Number(v) => v[i].to_string(),
            Values::Optional(v) => v[i].map_or_else(String::new, |v| v.to_string()),
        };
        let header = line(self.columns.iter().map(|(name, _)| quote(name)).collect());
        let row = |i: usize| line(self.columns.iter().map(|(_, v)| cell(v, i)).collect());
        format!("# {}\n{header}", self.note) + &(0..self.rows()).map(row).collect::<String>()
    }

    /// As one JSON object a row.
    fn json_lines(&self) -> String {
        let row = |i: usize| {
            let mut row = serde_json::Map::new();
            for (name, values) in &self.columns {
                let value = match values {
                    Values::Text(v) => v[i].as_str().into(),
                    Values::Integer(v) => v[i].into(),
                    // JSON has no NaN or infinity: they become null.
                    Values::Number(v) => v[i].into(),
                    Values::Optional(v) => v[i].into(),
                };
                row.insert((*name).to_owned(), value);
            }
            format!("{}\n", serde_json::Value::Object(row))
        };
        (0..self.rows()).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Columns;
    use parquet::basic::{GzipLevel, ZstdLevel};

    #[test]
    fn every_usual_compression_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let texts = Values::Text(vec!["in".into(), "out".into()]);
        let columns = vec![("label", texts), ("score", Values::Number(vec![0.5, -2.0]))];
        let frame = Frame { columns, note: "higher is in" };
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            std::fs::write(&path, frame.compressed(compression).unwrap()).unwrap();
            let read = Columns::read(&path).unwrap();
            assert_eq!(read.get("label").unwrap(), ["in", "out"], "{compression:?}");
            assert_eq!(read.get("score").unwrap()[1].parse::<f64>().unwrap(), -2.0);
        }
    }
}
