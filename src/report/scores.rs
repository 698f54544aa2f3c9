//! Per-sample scores as parquet, CSV or JSON lines.

use crate::run::{RunError, write_atomic};
use parquet::{
    basic::{LogicalType, Repetition, Type as PhysicalType},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::{Field, RowAccessor},
    schema::types::Type,
};
use std::{path::Path, sync::Arc};
use thiserror::Error;

/// Scores that cannot be written or read.
#[derive(Debug, Error)]
pub enum ScoreError {
    /// The file cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Parquet.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: String,
        /// The cause.
        source: ParquetError,
    },
    /// A file that is no table.
    #[error("{path}: {problem}")]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// An extension that says nothing.
    #[error("cannot tell the format of {0}; end its name in .parquet, .csv or .jsonl")]
    Format(String),
    /// A column of another length.
    #[error("the column `{name}` has {found} values, the table {rows} rows")]
    Length {
        /// The column.
        name: String,
        /// Its length.
        found: usize,
        /// Rows of the table.
        rows: usize,
    },
}

/// One row a scored sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTable {
    /// SPEC of the data set that each sample is from.
    pub dataset: Vec<String>,
    /// `in` or `out` of distribution.
    pub label: Vec<String>,
    /// Index of the sample in its set.
    pub index: Vec<i64>,
    /// Named scores.
    pub columns: Vec<(String, Vec<f64>)>,
}

impl ScoreTable {
    /// Add the samples of one set.
    ///
    /// # Errors
    /// Columns of different lengths, or other columns than the table has.
    pub fn extend<N: AsRef<str>>(
        &mut self,
        dataset: &str,
        label: &str,
        columns: &[(N, &[f64])],
    ) -> Result<(), ScoreError> {
        let rows = columns.first().map_or(0, |c| c.1.len());
        if self.columns.is_empty() {
            self.columns =
                columns.iter().map(|(name, _)| (name.as_ref().to_owned(), Vec::new())).collect();
        }
        for ((name, column), (given, values)) in self.columns.iter_mut().zip(columns) {
            if values.len() != rows || name != given.as_ref() {
                return Err(ScoreError::Length {
                    name: given.as_ref().to_owned(),
                    found: values.len(),
                    rows,
                });
            }
            column.extend_from_slice(values);
        }
        self.dataset.extend(std::iter::repeat_n(dataset.to_owned(), rows));
        self.label.extend(std::iter::repeat_n(label.to_owned(), rows));
        self.index.extend(0..rows as i64);
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
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

    /// Write by extension: `.parquet`, `.csv`, `.jsonl`; `convention` goes into the file where its format has a place.
    ///
    /// # Errors
    /// An unknown extension, a file that cannot be written.
    pub fn write(&self, path: &Path, convention: &str) -> Result<(), ScoreError> {
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => self.parquet(convention).map_err(|source| ScoreError::Parquet {
                path: path.display().to_string(),
                source,
            })?,
            Some("csv") => self.csv(convention).into_bytes(),
            Some("jsonl") => self.json_lines().into_bytes(),
            _ => return Err(ScoreError::Format(path.display().to_string())),
        };
        Ok(write_atomic(path, &bytes)?)
    }

    fn parquet(&self, convention: &str) -> Result<Vec<u8>, ParquetError> {
        let text = |name: &str| {
            Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_repetition(Repetition::REQUIRED)
                .build()
        };
        let number = |name: &str, kind| {
            Type::primitive_type_builder(name, kind).with_repetition(Repetition::REQUIRED).build()
        };
        let mut fields =
            vec![text("dataset")?, text("label")?, number("index", PhysicalType::INT64)?];
        for (name, _) in &self.columns {
            fields.push(number(name, PhysicalType::DOUBLE)?);
        }
        let schema = Type::group_type_builder("scores")
            .with_fields(fields.into_iter().map(Arc::new).collect())
            .build()?;
        let note = KeyValue::new("convention".to_owned(), convention.to_owned());
        let properties =
            WriterProperties::builder().set_key_value_metadata(Some(vec![note])).build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for texts in [&self.dataset, &self.label] {
            let values: Vec<ByteArray> = texts.iter().map(|t| t.as_str().into()).collect();
            if let Some(mut column) = group.next_column()? {
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
                column.close()?;
            }
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int64Type>().write_batch(&self.index, None, None)?;
            column.close()?;
        }
        for (_, values) in &self.columns {
            if let Some(mut column) = group.next_column()? {
                column.typed::<DoubleType>().write_batch(values, None, None)?;
                column.close()?;
            }
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }

    fn csv(&self, convention: &str) -> String {
        let quote = |text: &str| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let mut out = format!("# {convention}\ndataset,label,index");
        self.columns.iter().for_each(|(name, _)| out.push_str(&format!(",{}", quote(name))));
        out.push('\n');
        for i in 0..self.len() {
            out.push_str(&format!(
                "{},{},{}",
                quote(&self.dataset[i]),
                self.label[i],
                self.index[i]
            ));
            self.columns.iter().for_each(|(_, values)| out.push_str(&format!(",{}", values[i])));
            out.push('\n');
        }
        out
    }

    fn json_lines(&self) -> String {
        (0..self.len())
            .map(|i| {
                let mut row = serde_json::json!({
                    "dataset": self.dataset[i], "label": self.label[i], "index": self.index[i],
                });
                for (name, values) in &self.columns {
                    // JSON has no NaN or infinity: they become null.
                    row[name] = values[i].into();
                }
                format!("{row}\n")
            })
            .collect()
    }

    /// Read a parquet file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// A file that cannot be read or has other columns.
    pub fn read_parquet(path: &Path) -> Result<Self, ScoreError> {
        let error = |source| ScoreError::Parquet { path: path.display().to_string(), source };
        let file =
            std::fs::File::open(path).map_err(|e| error(ParquetError::External(Box::new(e))))?;
        let reader = SerializedFileReader::new(file).map_err(error)?;
        let mut table = Self::default();
        for row in reader.get_row_iter(None).map_err(error)? {
            let row = row.map_err(error)?;
            table.dataset.push(row.get_string(0).map_err(error)?.clone());
            table.label.push(row.get_string(1).map_err(error)?.clone());
            table.index.push(row.get_long(2).map_err(error)?);
            for (i, (name, field)) in row.get_column_iter().skip(3).enumerate() {
                if table.columns.len() <= i {
                    table.columns.push((name.clone(), Vec::new()));
                }
                if let Field::Double(value) = field {
                    table.columns[i].1.push(*value);
                }
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ScoreTable {
        let mut table = ScoreTable::default();
        table
            .extend("a:test", "in", &[("log_likelihood", &[1.5, f64::NAN]), ("lid", &[3.0, 4.0])])
            .unwrap();
        table
            .extend("b[:1]", "out", &[("log_likelihood", &[-f64::INFINITY]), ("lid", &[5.0])])
            .unwrap();
        table
    }

    #[test]
    fn parquet_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.parquet");
        table().write(&path, "higher is in").unwrap();
        let back = ScoreTable::read_parquet(&path).unwrap();
        assert_eq!(
            (back.dataset.as_slice(), back.index.as_slice()),
            (table().dataset.as_slice(), &[0, 1, 0][..])
        );
        assert!(back.columns[0].1[1].is_nan());
        assert_eq!(back.columns[0].1[2], -f64::INFINITY);
        assert_eq!(back.columns[1], ("lid".to_owned(), vec![3.0, 4.0, 5.0]));
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.windows(12).any(|w| w == b"higher is in"), "the convention is in the file");
    }

    #[test]
    fn csv_and_json_lines_hold_every_row() {
        let dir = tempfile::tempdir().unwrap();
        for (name, rows) in [("s.csv", 5), ("s.jsonl", 3)] {
            let path = dir.path().join(name);
            table().write(&path, "c").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), rows, "{name}");
        }
        assert!(matches!(
            table().write(&dir.path().join("s.txt"), "c"),
            Err(ScoreError::Format(_))
        ));
    }

    #[test]
    fn columns_must_agree() {
        let error =
            ScoreTable::default().extend("a", "in", &[("x", &[1.0]), ("y", &[])]).unwrap_err();
        assert!(error.to_string().contains("`y` has 0 values, the table 1 rows"));
    }
}
