//! Feature vectors (embeddings) from parquet and CSV.

use super::{
    DataError, Images,
    original::{self, format},
    parquet::{LABELS, PICTURES, Rows, Table, is_integer, kind},
};
use parquet::{
    basic::Type,
    data_type::{DoubleType, FloatType},
    schema::types::ColumnDescriptor,
};
use std::{ops::Range, path::Path};

/// Names of what holds vectors, the likeliest first: columns of lists here, arrays of an npz archive.
pub(super) const FEATURES: [&str; 5] = ["features", "embeddings", "embedding", "vectors", "vector"];

/// Names of columns that count rows; pandas leaves that of its index empty in CSV.
const INDICES: [&str; 4] = ["index", "id", "__index_level_0__", ""];

/// A file without a vector.
pub(super) const NO_ROWS: &str = "it holds no vectors (0 rows)";

/// Vectors of one dimension, one a row, as they come out of a file.
#[derive(Clone, Debug, PartialEq)]
struct Vectors {
    name: String,
    /// Values of one vector.
    dimension: usize,
    /// Vector by vector, all finite.
    values: Vec<f32>,
    /// One label a vector, where the source has them.
    labels: Option<Vec<i64>>,
}

/// Vectors by extension: `.parquet` (numeric columns, one a dimension, or a column of lists that is called as one of [`FEATURES`]) or `.csv` (with a header;
/// lines that begin with `#` are left out). Columns `label`, `labels` and `fine_label` are labels; `index` and `id` are left out.
///
/// # Errors
/// Files that cannot be read, are damaged or empty; columns that are not numeric; lists of different lengths; values that are missing, NaN or infinite.
pub(super) fn load(path: &Path) -> Result<Images, DataError> {
    let Vectors { name, dimension, values, labels } = read(path)?;
    Ok(Images::of_vectors(name, dimension, &values, labels))
}

fn read(path: &Path) -> Result<Vectors, DataError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "parquet" => from_parquet(path),
        "csv" => from_csv(path),
        _ => Err(format(path, "feature vectors are read from .parquet and .csv")),
    }
}

/// Whether a column of that name is a dimension.
fn is_dimension(name: &str) -> bool {
    !LABELS.contains(&name) && !INDICES.contains(&name)
}

/// Vectors whose values are finite; `columns` names the dimensions, and `place` where the vector of a row is.
fn finite(
    vectors: Vectors,
    path: &Path,
    columns: &[String],
    place: impl Fn(usize) -> String,
) -> Result<Vectors, DataError> {
    if vectors.values.is_empty() {
        return Err(format(path, NO_ROWS));
    }
    let mut bad = vectors.values.iter().enumerate().filter(|(_, v)| !v.is_finite());
    match bad.next() {
        None => Ok(vectors),
        Some((i, value)) => {
            let (place, column) = (place(i / vectors.dimension), &columns[i % vectors.dimension]);
            let value = if value.is_nan() { "NaN or missing" } else { "infinite as float32" };
            let count = 1 + bad.count();
            Err(format(
                path,
                format!(
                    "{count} of its {} values are NaN, missing or infinite; the first is in {place}, column {column} ({value}): mend or drop those \
                     rows",
                    vectors.values.len()
                ),
            ))
        }
    }
}

fn from_csv(path: &Path) -> Result<Vectors, DataError> {
    let bytes = original::read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(bytes.as_slice());
    let error = |error: csv::Error| {
        format(path, format!("it is no usable CSV file ({error}); save it as CSV in UTF-8"))
    };
    let header = reader.headers().map_err(error)?.clone();
    let dimensions: Vec<usize> = (0..header.len()).filter(|&i| is_dimension(&header[i])).collect();
    if dimensions.is_empty() {
        return Err(format(
            path,
            "it has no column of numbers in its header line (line 1): begin the file with a name for each",
        ));
    }
    if let Some(number) = dimensions.iter().find(|&&i| header[i].parse::<f64>().is_ok()) {
        return Err(format(
            path,
            format!(
                "its first line is no header: it has the number {} as the name of column {}; begin the file with names of columns",
                &header[*number],
                number + 1
            ),
        ));
    }
    let label = LABELS.iter().find_map(|label| header.iter().position(|name| name == *label));
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    // Where the first vector is that is not finite.
    let mut bad = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(error)? {
        let line = || line_of(&bytes, &record);
        let wrong = |column: usize, what: &str| {
            let (name, value) = (&header[column], &record[column]);
            format(path, format!("line {}, column `{name}`: `{value}` is no {what}", line()))
        };
        if record.len() != header.len() {
            let (found, expected) = (record.len(), header.len());
            return Err(format(
                path,
                format!(
                    "line {} has {found} values, the header names {expected} columns; mend or drop the line",
                    line()
                ),
            ));
        }
        let before = values.len();
        for &column in &dimensions {
            values.push(match &record[column] {
                "" => f32::NAN,
                text => text.parse().map_err(|_| {
                    wrong(
                        column,
                        "number; leave the column out, or name it `id` to have it skipped",
                    )
                })?,
            });
        }
        if bad.is_none() && values[before..].iter().any(|value: &f32| !value.is_finite()) {
            bad = Some(line());
        }
        if let Some(column) = label {
            let parsed = record[column].parse::<i64>();
            labels.push(parsed.map_err(|_| {
                wrong(
                    column,
                    "label; labels are integers: write them as such, or leave the column out",
                )
            })?);
        }
    }
    let vectors = Vectors {
        name: path.display().to_string(),
        dimension: dimensions.len(),
        values,
        labels: label.map(|_| labels),
    };
    let names: Vec<String> = dimensions.iter().map(|&i| format!("`{}`", &header[i])).collect();
    finite(vectors, path, &names, |_| format!("line {}", bad.unwrap_or_default()))
}

/// The line on which a record stands, from 1; its own position is before the empty lines and comments that were skipped.
fn line_of(bytes: &[u8], record: &csv::StringRecord) -> usize {
    let (before, after) = bytes.split_at(record.position().map_or(0, |p| p.byte() as usize));
    let lines = |bytes: &[u8]| bytes.iter().filter(|&&b| b == b'\n').count();
    let skipped = |line: &&[u8]| matches!(line, [] | [b'\r'] | [b'#', ..]);
    1 + lines(before) + after.split(|&b| b == b'\n').take_while(skipped).count()
}

fn from_parquet(path: &Path) -> Result<Vectors, DataError> {
    let table = Table::open(path)?;
    if table.rows() == 0 {
        return Err(format(path, NO_ROWS));
    }
    let rows = 0..table.rows();
    let columns = table.schema().columns();
    let list = FEATURES.iter().find_map(|name| {
        columns
            .iter()
            .position(|c| c.path().parts()[0] == *name && c.max_rep_level() == 1 && is_number(c))
    });
    let name = path.display().to_string();
    let row_of = |row| format!("row {row} (from 0)");
    let labels = table.labels(rows.clone())?;
    if let Some(leaf) = list {
        let (dimension, values) = lists(&table, leaf, rows)?;
        let name_of = |i: usize| format!("`{}[{i}]`", columns[leaf].path().parts()[0]);
        let names: Vec<String> = (0..dimension).map(name_of).collect();
        return finite(Vectors { name, dimension, values, labels }, path, &names, row_of);
    }
    let leaves: Vec<usize> =
        (0..columns.len()).filter(|&i| is_dimension(&columns[i].path().parts()[0])).collect();
    let is_dimension_type = |c: &ColumnDescriptor| is_number(c) && c.max_rep_level() == 0;
    if let Some(&other) = leaves.iter().find(|&&i| !is_dimension_type(&columns[i])) {
        return Err(table.error(format!(
            "column `{}` is {}, no number; drop it, name it `id` to have it skipped, or have the vectors in one column of lists of numbers, `features`",
            columns[other].path().string(),
            kind(&columns[other])
        )));
    }
    if leaves.is_empty() {
        return Err(table.error(format!("it has no column of numbers; it has {}", table.columns())));
    }
    // All room before anything is read.
    let mut all = room(&table, rows.len(), leaves.len())?;
    let mut by_column = Vec::with_capacity(leaves.len());
    for &leaf in &leaves {
        let mut values = room(&table, rows.len(), 1)?;
        floats(&table, leaf, rows.clone(), |rows| {
            values.extend(with_nulls(&rows, columns[leaf].max_def_level()));
            Ok(())
        })?;
        by_column.push(values);
    }
    all.extend(rows.flat_map(|row| by_column.iter().map(move |column| column[row])));
    let names: Vec<String> =
        leaves.iter().map(|&i| format!("`{}`", columns[i].path().string())).collect();
    finite(Vectors { name, dimension: leaves.len(), values: all, labels }, path, &names, row_of)
}

/// Whether a file that has no pictures is one of vectors: it has a column of numbers, or of lists of them, that is not called as pictures are. Whether they
/// make vectors is told when they are read.
pub(super) fn has_numbers(table: &Table) -> bool {
    table.schema().columns().iter().any(|column| {
        let name = column.path().parts()[0].as_str();
        is_dimension(name)
            && !PICTURES.contains(&name)
            && is_number(column)
            && column.max_rep_level() <= 1
    })
}

/// Room for the values of that many vectors.
fn room(table: &Table, rows: usize, dimension: usize) -> Result<Vec<f32>, DataError> {
    let mut values = Vec::new();
    match rows.checked_mul(dimension).map(|size| values.try_reserve_exact(size)) {
        Some(Ok(())) => Ok(values),
        _ => Err(table.error(format!(
            "its {rows} vectors of {dimension} values do not fit in memory; write fewer rows or columns to a file of their own"
        ))),
    }
}

fn is_number(column: &ColumnDescriptor) -> bool {
    is_integer(column) || matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
}

/// The values of all places that can hold one, NaN where there is null.
fn with_nulls(rows: &Rows<f32>, whole: i16) -> Vec<f32> {
    if rows.definitions.is_empty() {
        return rows.values.clone();
    }
    let mut values = rows.values.iter();
    let value = |&d: &i16| if d == whole { values.next().copied() } else { None };
    rows.definitions.iter().map(value).map(|value| value.unwrap_or(f32::NAN)).collect()
}

/// Rows of a column of numbers.
fn floats(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    mut each: impl FnMut(Rows<f32>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    match table.schema().column(leaf).physical_type() {
        Type::FLOAT => table.read::<FloatType>(leaf, rows, each),
        Type::DOUBLE => table.read::<DoubleType>(leaf, rows, |rows| each(rows.map(|v| v as f32))),
        _ => table.integers(leaf, rows, |rows| each(rows.map(|v| v as f32))),
    }
}

/// The dimension, and the values of a column of lists.
fn lists(table: &Table, leaf: usize, rows: Range<usize>) -> Result<(usize, Vec<f32>), DataError> {
    let column = table.schema().column(leaf);
    let (mut dimension, mut values, count) = (None, Vec::new(), rows.len());
    floats(table, leaf, rows, |rows| {
        let all = with_nulls(&rows, column.max_def_level());
        // A list that is null or empty has a place of its own, which is no element.
        let element =
            |place: usize| rows.definitions[place] >= column.repeated_ancestor_def_level();
        let mut begins: Vec<usize> =
            (0..all.len()).filter(|&place| rows.repetitions[place] == 0).collect();
        begins.push(all.len());
        for (row, ends) in (rows.first..).zip(begins.windows(2)) {
            let places = ends[0]..ends[1];
            let found = if element(places.start) { places.len() } else { 0 };
            let expected = *dimension.get_or_insert(found);
            if found != expected || found == 0 {
                return Err(table.error(format!(
                    "row {row} (from 0) of column `{}` has {found} values, row 0 has {expected}; vectors are of one length",
                    column.path().parts()[0]
                )));
            }
            if values.capacity() == 0 {
                values = room(table, count, expected)?;
            }
            values.extend_from_slice(&all[places]);
        }
        Ok(())
    })?;
    Ok((dimension.unwrap_or(0), values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A file of `scripts/reference/parquet_fixtures.py`.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet").join(name)
    }

    fn csv(text: &str) -> Result<Vectors, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_and_lists_give_the_same_vectors() {
        let values: Vec<f32> = (0..12u8).map(|v| f32::from(v) / 4.0).collect();
        for (name, labels) in [
            ("vectors_columns_pandas.parquet", Some(vec![3, 1, 4, 1])),
            ("vectors_list.parquet", Some(vec![3, 1, 4, 1])),
            ("vectors_fixed.parquet", None),
        ] {
            let vectors = read(&fixture(name)).unwrap();
            assert_eq!(
                (vectors.dimension, &vectors.values, vectors.labels),
                (3, &values, labels),
                "{name}"
            );
            assert!(vectors.name.ends_with(name));
        }
        let text = ",a,b,c,label\n7,0,0.25,0.5,3\n8,.75,1e0,1.25,1\n# a comment\n9, 1.5,1.75,2,4\n10,2.25,2.5,2.75,1\n";
        let vectors = csv(text).unwrap();
        assert_eq!(
            (vectors.dimension, vectors.values, vectors.labels),
            (3, values, Some(vec![3, 1, 4, 1]))
        );
    }

    #[test]
    fn unusable_parquet_files_are_explained() {
        for (name, expected) in [
            (
                "vectors_ragged.parquet",
                "row 2 (from 0) of column `features` has 1 values, row 0 has 2",
            ),
            (
                "vectors_nan_list.parquet",
                "2 of its 6 values are NaN, missing or infinite; the first is in row 1 (from 0), column `vector[1]` (NaN or missing)",
            ),
            (
                "vectors_nan_columns.parquet",
                "2 of its 6 values are NaN, missing or infinite; the first is in row 1 (from 0), column `b` (NaN",
            ),
            (
                "vectors_null.parquet",
                "1 of its 6 values are NaN, missing or infinite; the first is in row 1 (from 0), column `a`",
            ),
            ("vectors_dates.parquet", "column `day` is INT32 (DATE), no number"),
            ("vectors_text.parquet", "column `name` is BYTE_ARRAY (UTF8), no number; drop it"),
            ("hf_grey.parquet", "column `image.bytes` is BYTE_ARRAY, no number"),
            ("there_is_none.parquet", "cannot read"),
            ("make.py", "read from .parquet and .csv"),
        ] {
            let message = read(&fixture(name)).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_does_not_fit_in_memory_is_an_error() {
        let path = fixture("vectors_list.parquet");
        let table = Table::open(&path).unwrap();
        assert!(room(&table, 4, 3).unwrap().capacity() >= 12);
        for (rows, dimension) in [(usize::MAX, 1), (usize::MAX, usize::MAX), (1 << 40, 1 << 20)] {
            let message = room(&table, rows, dimension).unwrap_err().to_string();
            assert!(
                message.contains("vectors_list.parquet") && message.contains("fit in memory"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_without_rows_says_so() {
        let message = read(&fixture("no_rows.parquet")).unwrap_err().to_string();
        assert!(message.contains("no_rows.parquet is not usable: it holds no vectors (0 rows)"));
    }

    #[test]
    fn unusable_csv_files_are_explained() {
        for (text, expected) in [
            ("a,b\n1,2\n\n# note\n3,x\n", "line 5, column `b`: `x` is no number"),
            (
                "a,label\n1,2\n3,cat\n",
                "line 3, column `label`: `cat` is no label; labels are integers",
            ),
            ("a,b\n1,2\n3\n", "line 3 has 1 values, the header names 2 columns; mend"),
            ("a,b\n1,2\n3,4,5\n", "line 3 has 3 values, the header"),
            (
                "a,b\n1,\nnan,inf\n",
                "3 of its 4 values are NaN, missing or infinite; the first is in line 2, column `b`",
            ),
            ("# by hand\na\n1\n\n1e39\n", "in line 5, column `a` (infinite as float32)"),
            ("a,b\n", "holds no vectors (0 rows)"),
            ("", "no column of numbers"),
            ("id,label\n1,2\n", "no column of numbers"),
            ("0.5,1.5\n1,2\n", "it has the number 0.5 as the name of column 1"),
            ("a,b\n1,\u{fffd}\n", "is no number"),
        ] {
            let message = csv(text).unwrap_err();
            assert!(message.contains("x.csv") && message.contains(expected), "{message}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        std::fs::write(&path, b"a\n\xff\n").unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("x.csv is not usable: it is no usable CSV file (CSV parse error: record 1 (line 2, field: 0, byte: 2): invalid utf-8")
        );
    }

    #[test]
    fn no_byte_whatever_its_value_makes_the_program_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        for name in ["vectors_list.parquet", "vectors_nan_columns.parquet"] {
            let bytes = std::fs::read(fixture(name)).unwrap();
            for place in 0..bytes.len() {
                for flip in [0xff, 0x01] {
                    let mut bytes = bytes.clone();
                    bytes[place] ^= flip;
                    std::fs::write(&path, bytes).unwrap();
                    let _ = read(&path);
                }
            }
        }
    }
}
