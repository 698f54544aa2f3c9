//! Per-sample scores as parquet, CSV or JSON lines.

use super::{Frame, Values};
use crate::run::RunError;
use parquet::errors::ParquetError;
use std::path::Path;
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
    /// The run that scored each sample; empty texts where none did.
    pub run: Vec<String>,
    /// SPEC of the data set that each sample is from.
    pub dataset: Vec<String>,
    /// `in` or `out` of distribution.
    pub label: Vec<String>,
    /// Index of the sample in its set.
    pub index: Vec<i64>,
    /// The file that each sample is from; empty texts where it has none of its own.
    pub file: Vec<String>,
    /// Named scores; none where the run of a sample was not asked for them.
    pub columns: Vec<(String, Vec<Option<f64>>)>,
}

impl ScoreTable {
    /// Add the samples of one set, scored by one run.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn extend<N: AsRef<str>>(
        &mut self,
        run: &str,
        dataset: &str,
        label: &str,
        columns: &[(N, &[f64])],
    ) -> Result<(), ScoreError> {
        let rows = columns.first().map_or(0, |c| c.1.len());
        if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
            let (name, found) = (name.as_ref().to_owned(), values.len());
            return Err(ScoreError::Length { name, found, rows });
        }
        let before = self.len();
        for (name, values) in columns {
            let place = self.columns.iter().position(|(own, _)| own == name.as_ref());
            let place = place.unwrap_or_else(|| {
                self.columns.push((name.as_ref().to_owned(), vec![None; before]));
                self.columns.len() - 1
            });
            self.columns[place].1.extend(values.iter().copied().map(Some));
        }
        for (_, column) in &mut self.columns {
            column.resize(before + rows, None);
        }
        for (column, text) in
            [(&mut self.run, run), (&mut self.dataset, dataset), (&mut self.label, label)]
        {
            column.extend(std::iter::repeat_n(text.to_owned(), rows));
        }
        self.index.extend(0..rows as i64);
        self.file.resize(self.index.len(), String::new());
        Ok(())
    }

    /// Say which files the samples of the set added last are from, where they have some.
    pub fn name_files(&mut self, files: Option<&[String]>) {
        let files = files.unwrap_or_default();
        let from = self.file.len() - files.len();
        self.file[from..].clone_from_slice(files);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Write by extension: `.parquet`, `.csv`, `.jsonl`; `convention` goes into the file where its format has a place. Without columns of runs and files where there are none.
    ///
    /// # Errors
    /// An unknown extension, a file that cannot be written.
    pub fn write(&self, path: &Path, convention: &str) -> Result<(), ScoreError> {
        let mut columns = vec![
            ("run", Values::Text(self.run.clone())),
            ("dataset", Values::Text(self.dataset.clone())),
            ("label", Values::Text(self.label.clone())),
            ("index", Values::Integer(self.index.clone())),
        ];
        if self.file.iter().any(|file| !file.is_empty()) {
            columns.push(("file", Values::Text(self.file.clone())));
        }
        if self.run.iter().all(String::is_empty) {
            columns.remove(0);
        }
        columns.extend(self.columns.iter().map(|(name, column)| {
            let all: Option<Vec<f64>> = column.iter().copied().collect();
            (name.as_str(), all.map_or_else(|| Values::Optional(column.clone()), Values::Number))
        }));
        Frame { columns, note: convention }.write(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Columns;

    fn table() -> ScoreTable {
        let mut table = ScoreTable::default();
        table
            .extend(
                "r",
                "a:test",
                "in",
                &[("log_likelihood", &[1.5, f64::NAN]), ("lid", &[3.0, 4.0])],
            )
            .unwrap();
        table.name_files(None);
        table
            .extend("r", "b[:1]", "out", &[("log_likelihood", &[-f64::INFINITY]), ("lid", &[5.0])])
            .unwrap();
        table.name_files(Some(&["b/0.png".to_owned()]));
        table
    }

    #[test]
    fn parquet_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.parquet");
        table().write(&path, "higher is in").unwrap();
        let back = Columns::read(&path).unwrap();
        assert_eq!(back.get("run").unwrap(), ["r", "r", "r"]);
        assert_eq!(back.get("dataset").unwrap(), ["a:test", "a:test", "b[:1]"]);
        assert_eq!(back.get("index").unwrap(), ["0", "1", "0"]);
        assert_eq!(back.get("file").unwrap(), ["", "", "b/0.png"]);
        let numbers = |name| -> Vec<f64> {
            back.get(name).unwrap().iter().map(|t: &String| t.parse().unwrap()).collect()
        };
        let likelihood = numbers("log_likelihood");
        assert!(likelihood[1].is_nan() && likelihood[2] == -f64::INFINITY);
        assert_eq!(numbers("lid"), [3.0, 4.0, 5.0]);
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
    fn columns_are_of_one_length() {
        let error =
            ScoreTable::default().extend("", "a", "in", &[("x", &[1.0]), ("y", &[])]).unwrap_err();
        assert!(error.to_string().contains("`y` has 0 values, the table 1 rows"));
    }

    /// What was not asked for is no NaN.
    #[test]
    fn runs_may_have_columns_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = table();
        table.extend("q", "a:test", "in", &[("error", &[0.5]), ("lid", &[6.0])]).unwrap();
        for name in ["s.parquet", "s.csv", "s.jsonl"] {
            let path = dir.path().join(name);
            table.write(&path, "c").unwrap();
            let back = Columns::read(&path).unwrap();
            let column = |name| back.get(name).unwrap().iter().map(String::as_str);
            assert!(column("error").eq(["", "", "", "0.5"]), "{name}");
            assert_eq!(column("log_likelihood").next_back(), Some(""), "{name}");
            assert!(column("lid").all(|value| !value.is_empty()), "{name}");
        }
    }
}
