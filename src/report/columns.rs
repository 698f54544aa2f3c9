//! Score files, ours or anyone's, as columns of text.

use super::ScoreError;
use parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use std::{io::BufRead, path::Path};

/// A table as it stands in a file; a missing entry is an empty text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Names of the columns.
    pub names: Vec<String>,
    /// The columns, all of one length.
    pub values: Vec<Vec<String>>,
}

impl Columns {
    /// Read by extension: `.parquet`, `.csv` (with a header; lines that begin with `#` are left out), `.jsonl`.
    ///
    /// # Errors
    /// An unknown extension, a file that cannot be read, lines that do not fit the header.
    pub fn read(path: &Path) -> Result<Self, ScoreError> {
        let table = match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => Self::parquet(path),
            Some("csv") => Self::csv(path),
            Some("jsonl") => Self::json_lines(path),
            _ => Err(ScoreError::Format(path.display().to_string())),
        }?;
        let twice = (0..table.names.len()).find(|&i| table.names[..i].contains(&table.names[i]));
        match twice {
            Some(i) => Err(ScoreError::Unreadable {
                path: path.display().to_string(),
                problem: format!("two columns are named `{}`", table.names[i]),
            }),
            None => Ok(table),
        }
    }

    /// A column by its name.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        let place = self.names.iter().position(|n| n == name)?;
        Some(&self.values[place])
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    fn push(&mut self, row: impl Iterator<Item = String>) {
        self.values.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }

    fn with_names(names: Vec<String>) -> Self {
        let values = vec![Vec::new(); names.len()];
        Self { names, values }
    }

    fn csv(path: &Path) -> Result<Self, ScoreError> {
        let error = |e: csv::Error| ScoreError::Unreadable {
            path: path.display().to_string(),
            problem: e.to_string(),
        };
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(error)?;
        let names = reader.headers().map_err(error)?.iter().map(str::to_owned).collect();
        let mut table = Self::with_names(names);
        for record in reader.records() {
            table.push(record.map_err(error)?.iter().map(str::to_owned));
        }
        Ok(table)
    }

    fn json_lines(path: &Path) -> Result<Self, ScoreError> {
        let error =
            |problem: String| ScoreError::Unreadable { path: path.display().to_string(), problem };
        let file = std::fs::File::open(path).map_err(|e| error(e.to_string()))?;
        let mut table = Self::default();
        for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| error(e.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line)
                .map_err(|e| error(format!("line {}: {e}", number + 1)))?;
            if table.names.is_empty() {
                table = Self::with_names(row.keys().cloned().collect());
            }
            if let Some(name) = row.keys().find(|name| !table.names.contains(name)) {
                let problem = format!("line {}: `{name}` is not in the first line", number + 1);
                return Err(error(problem));
            }
            let text = |value: Option<&serde_json::Value>| match value {
                None | Some(serde_json::Value::Null) => String::new(),
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            let values: Vec<String> = table.names.iter().map(|name| text(row.get(name))).collect();
            table.push(values.into_iter());
        }
        Ok(table)
    }

    fn parquet(path: &Path) -> Result<Self, ScoreError> {
        let error = |source| ScoreError::Parquet { path: path.display().to_string(), source };
        let file =
            std::fs::File::open(path).map_err(|e| error(ParquetError::External(Box::new(e))))?;
        let reader = SerializedFileReader::new(file).map_err(error)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let names = schema.columns().iter().map(|c| c.name().to_owned()).collect();
        let mut table = Self::with_names(names);
        for row in reader.get_row_iter(None).map_err(error)? {
            let row = row.map_err(error)?;
            table.push(row.get_column_iter().map(|(_, field)| match field {
                Field::Null => String::new(),
                Field::Str(text) => text.clone(),
                field => field.to_string(),
            }));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ScoreTable;

    #[test]
    fn all_forms_read_alike() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = ScoreTable::default();
        table
            .extend(
                "",
                "a,b:test",
                "in",
                &[("log_likelihood", &[1.5, -2e-9]), ("lid", &[3.0, 4.0])],
            )
            .unwrap();
        let mut read = ["csv", "jsonl", "parquet"].map(|extension| {
            let path = dir.path().join(format!("scores.{extension}"));
            table.write(&path, "higher is in").unwrap();
            Columns::read(&path).unwrap()
        });
        for columns in &mut read {
            assert_eq!(columns.rows(), 2);
            assert_eq!(columns.get("dataset").unwrap(), ["a,b:test", "a,b:test"]);
            assert_eq!(columns.get("label").unwrap(), ["in", "in"]);
            let numbers: Vec<f64> =
                columns.get("log_likelihood").unwrap().iter().map(|t| t.parse().unwrap()).collect();
            assert_eq!(numbers, [1.5, -2e-9]);
            assert_eq!(columns.get("nothing"), None);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Columns::read(&path).unwrap_err().to_string()
        };
        assert!(error("s.csv", "a,b\n1,2\n3\n").contains("s.csv"));
        assert!(error("t.csv", "a,b,a\n1,2,3\n").contains("two columns are named `a`"));
        assert!(error("s.jsonl", "{\"a\": 1}\n{\"b\": 1}\n").contains("line 2: `b`"));
        assert!(error("t.jsonl", "{\"a\": 1}\nnonsense\n").contains("line 2"));
        assert!(error("s.parquet", "nonsense").contains("s.parquet"));
        assert!(error("s.xlsx", "").contains(".parquet, .csv or .jsonl"));
    }
}
