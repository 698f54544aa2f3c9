//! Feature vectors (embeddings) from parquet and CSV.

use super::{
    DataError, Images,
    names::{FEATURES, INDICES, LABELS, PICTURES, TARGETS, is_one, likeliest},
    original::{self, format},
    parquet::{Rows, Table, is_integer, kind},
};
use half::f16;
use parquet::{
    basic::{LogicalType, Type},
    data_type::{DoubleType, FixedLenByteArrayType, FloatType},
    schema::types::ColumnDescriptor,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

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
    /// The columns that are neither dimensions nor labels, in words.
    left_out: Vec<String>,
    /// The dimensions, in words.
    columns: Vec<String>,
}

/// Vectors of files, one behind the other. By extension: `.parquet` (numeric columns, one a dimension, or a column of lists that is called as one of [`FEATURES`]) or `.csv` (with a header;
/// lines that begin with `#` are left out). Columns that are called as one of [`LABELS`] or [`TARGETS`] are labels, those of [`INDICES`] are left out.
///
/// # Errors
/// Files that cannot be read, are damaged or empty; columns that are not numeric; lists of different lengths; values that are missing, NaN or infinite.
pub(super) fn load(paths: &[PathBuf]) -> Result<Images, DataError> {
    let [first, others @ ..] = paths else { return Err(format(Path::new(""), NO_ROWS)) };
    let mut all = read(first)?;
    for path in others {
        let next = read(path)?;
        let kind = |vectors: &Vectors| {
            let with = if vectors.labels.is_some() { "with" } else { "without" };
            format!("of {} values {with} labels", vectors.dimension)
        };
        if kind(&all) != kind(&next) {
            let problem = format!(
                "its vectors are {}, those of {} {}: the files do not belong together",
                kind(&next),
                first.display(),
                kind(&all)
            );
            return Err(format(path, problem));
        }
        if let Some(i) = (0..all.columns.len()).find(|&i| all.columns[i] != next.columns[i]) {
            let problem = format!(
                "its dimension {i} is {}, that of {} {}: give all files the same columns in the same order",
                next.columns[i],
                first.display(),
                all.columns[i]
            );
            return Err(format(path, problem));
        }
        all.values.extend(next.values);
        if let (Some(all), Some(own)) = (&mut all.labels, next.labels) {
            all.extend(own);
        }
    }
    let Vectors { name, dimension, values, labels, left_out, .. } = all;
    Ok(Images { left_out, ..Images::of_vectors(name, dimension, &values, labels) })
}

fn read(path: &Path) -> Result<Vectors, DataError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "parquet" => from_parquet(path),
        "csv" => from_csv(path),
        _ => Err(format(path, "feature vectors are read from .parquet and .csv")),
    }
}

/// The columns of a table that are dimensions, and that of labels, where there is one.
///
/// `integers` says whether a column holds nothing else.
fn roles(names: &[&str], integers: impl Fn(usize) -> bool) -> (Vec<usize>, Option<usize>) {
    // Beside an `x`, `y` is a coordinate.
    let is_point = is_one("x", names);
    let targets: Vec<usize> = (0..names.len())
        .filter(|&i| is_one(names[i], &TARGETS) && !(is_point && is_one(names[i], &["y"])))
        .filter(|&i| integers(i))
        .collect();
    let likely = |i: &usize| TARGETS.iter().position(|known| is_one(names[*i], &[known]));
    let label = likeliest(names, &LABELS).or(targets.iter().copied().min_by_key(likely));
    let is_other = |i: &usize| is_one(names[*i], &LABELS) || is_one(names[*i], &INDICES);
    let dimensions = (0..names.len()).filter(|i| !is_other(i) && !targets.contains(i)).collect();
    (dimensions, label)
}

/// Vectors whose values are finite; `place` names where the vector of a row is.
fn finite(
    vectors: Vectors,
    path: &Path,
    place: impl Fn(usize) -> String,
) -> Result<Vectors, DataError> {
    if vectors.values.is_empty() {
        return Err(format(path, NO_ROWS));
    }
    let mut bad = vectors.values.iter().enumerate().filter(|(_, v)| !v.is_finite());
    match bad.next() {
        None => Ok(vectors),
        Some((i, value)) => {
            let (place, column) =
                (place(i / vectors.dimension), &vectors.columns[i % vectors.dimension]);
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
    let mut bytes = original::read(path)?;
    // Without a newline, a comment at the end would be a record.
    bytes.push(b'\n');
    let error = |error: csv::Error| {
        format(path, format!("it is no usable CSV file ({error}); save it as CSV in UTF-8"))
    };
    let integers = |column: usize| {
        let is_integer = |text: &str| text.parse::<i64>().is_ok();
        // What cannot be read is told when all columns are.
        rules()
            .from_reader(bytes.as_slice())
            .into_records()
            .flatten()
            .all(|record| record.get(column).is_none_or(is_integer))
    };
    let mut reader = rules().from_reader(bytes.as_slice());
    let header = reader.headers().map_err(error)?.clone();
    let (dimensions, label) = roles(&header.iter().collect::<Vec<_>>(), integers);
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
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    // Where the first vector is that is not finite.
    let mut bad = None;
    let mut record = csv::StringRecord::new();
    let mut last = 0;
    while reader.read_record(&mut record).map_err(error)? {
        last = record.position().map_or(0, |position| position.byte() as usize);
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
    if !is_closed(&bytes[last..]) {
        let problem = "it ends within quotes (\"): it is truncated; fetch it again, or close them";
        return Err(format(path, problem));
    }
    let left_out =
        (0..header.len()).filter(|i| !dimensions.contains(i) && label != Some(*i)).map(|i| {
            match &header[i] {
                "" => format!("column {} (without a name)", i + 1),
                name => format!("column `{name}`"),
            }
        });
    let vectors = Vectors {
        name: path.display().to_string(),
        dimension: dimensions.len(),
        values,
        labels: label.map(|_| labels),
        left_out: left_out.collect(),
        columns: dimensions.iter().map(|&i| format!("`{}`", &header[i])).collect(),
    };
    finite(vectors, path, |_| format!("line {}", bad.unwrap_or_default()))
}

/// How CSV is read.
fn rules() -> csv::ReaderBuilder {
    let mut rules = csv::ReaderBuilder::new();
    rules.comment(Some(b'#')).trim(csv::Trim::All).flexible(true);
    rules
}

/// Whether the last record of a file is whole: behind an open quote, a further line would be a part of it.
fn is_closed(last: &[u8]) -> bool {
    let longer = [last, b"0"].concat();
    rules().has_headers(false).from_reader(longer.as_slice()).into_byte_records().count() > 1
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
    let is_list = |&i: &usize| columns[i].max_rep_level() == 1 && is_number(&columns[i]);
    let names = table.names();
    let all_lists: Vec<usize> = (0..columns.len()).filter(is_list).collect();
    let of_lists: Vec<&str> = all_lists.iter().map(|&i| names[i]).collect();
    let list = likeliest(&of_lists, &FEATURES).map(|place| all_lists[place]);
    let (leaves, label) =
        roles(&names, |i| is_integer(&columns[i]) && columns[i].max_rep_level() == 0);
    let left_out = |leaves: &[usize]| table.left_out(leaves.iter().copied().chain(label));
    let name = path.display().to_string();
    let row_of = |row| format!("row {row} (from 0)");
    let labels = label.map(|leaf| table.labels(leaf, rows.clone())).transpose()?;
    if let Some(leaf) = list {
        let (dimension, values) = lists(&table, leaf, rows)?;
        let name_of = |i: usize| format!("`{}[{i}]`", columns[leaf].path().parts()[0]);
        let names: Vec<String> = (0..dimension).map(name_of).collect();
        let left_out = left_out(&[leaf]);
        let vectors = Vectors { name, dimension, values, labels, left_out, columns: names };
        return finite(vectors, path, row_of);
    }
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
    let left_out = left_out(&leaves);
    let dimension = leaves.len();
    let vectors = Vectors { name, dimension, values: all, labels, left_out, columns: names };
    finite(vectors, path, row_of)
}

/// Whether a file that has no pictures is one of vectors: it has a column of numbers, or of lists of them, that is not called as pictures are. Whether they
/// make vectors is told when they are read.
pub(super) fn has_numbers(table: &Table) -> bool {
    table.schema().columns().iter().any(|column| {
        let name = column.path().parts()[0].as_str();
        ![&LABELS[..], &INDICES, &PICTURES].iter().any(|known| is_one(name, known))
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
    is_integer(column)
        || matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
        || matches!(column.logical_type_ref(), Some(LogicalType::Float16))
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
        Type::FIXED_LEN_BYTE_ARRAY => table.read::<FixedLenByteArrayType>(leaf, rows, |rows| {
            // What is not of two bytes is of a damaged file.
            let half = |bytes: &[u8]| {
                bytes.try_into().map_or(f32::NAN, |b| f16::from_le_bytes(b).to_f32())
            };
            each(rows.map(|v| half(v.data())))
        }),
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
    use parquet::{
        data_type::{ByteArray, DataType, FixedLenByteArray, Int32Type, Int64Type},
        file::writer::{SerializedFileWriter, SerializedRowGroupWriter},
    };

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

    /// A file of one row group, whose columns `fill` writes.
    fn write(path: &Path, schema: &str, fill: impl Fn(Group)) {
        let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
        let file = std::fs::File::create(path).unwrap();
        let mut writer =
            SerializedFileWriter::new(file, schema.into(), Default::default()).unwrap();
        fill(writer.next_row_group().unwrap());
        writer.close().unwrap();
    }

    type Group<'a> = SerializedRowGroupWriter<'a, std::fs::File>;

    /// The next column, without nulls.
    fn put<T: DataType>(group: &mut Group, values: &[T::T]) {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
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
        assert_eq!(vectors.left_out, ["column 1 (without a name)"]);
    }

    #[test]
    fn files_of_one_set_have_their_columns_in_one_order() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, other] = ["1", "2", "3"].map(|n| dir.path().join(format!("{n}.parquet")));
        for (path, names) in [(&one, ["a", "b"]), (&two, ["a", "b"]), (&other, ["b", "a"])] {
            let [first, second] = names.map(|name| format!("required float {name};"));
            write(path, &format!("message s {{ {first} {second} }}"), |mut group| {
                put::<FloatType>(&mut group, &[1.0, 2.0]);
                put::<FloatType>(&mut group, &[3.0, 4.0]);
                group.close().unwrap();
            });
        }
        let both = load(&[one.clone(), two]).unwrap();
        assert_eq!((both.len(), both.dimension()), (4, 2));
        let message = load(&[one, other]).unwrap_err().to_string();
        assert!(message.contains("its dimension 0 is `b`, that of"), "{message}");
        assert!(message.contains("1.parquet `a`: give all files the same columns"), "{message}");
    }

    #[test]
    fn halves_are_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let halves: Vec<FixedLenByteArray> = [1.5f32, -2.0, 0.25, 4.0]
            .iter()
            .map(|&v| ByteArray::from(f16::from_f32(v).to_le_bytes().to_vec()).into())
            .collect();
        let element = "required fixed_len_byte_array(2)";
        let columns = format!("message s {{ {element} a (FLOAT16); {element} b (FLOAT16); }}");
        write(&path, &columns, |mut group| {
            put::<FixedLenByteArrayType>(&mut group, &halves[..2]);
            put::<FixedLenByteArrayType>(&mut group, &halves[2..]);
            group.close().unwrap();
        });
        assert_eq!(read(&path).unwrap().values, [1.5, 0.25, -2.0, 4.0]);
        let list = format!(
            "message s {{ required group features (LIST) {{ repeated group list {{ {element} element (FLOAT16); }} }} }}"
        );
        write(&path, &list, |mut group| {
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<FixedLenByteArrayType>();
            typed.write_batch(&halves, Some(&[1; 4]), Some(&[0, 1, 0, 1])).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        });
        let vectors = read(&path).unwrap();
        assert_eq!((vectors.dimension, vectors.values), (2, vec![1.5, -2.0, 0.25, 4.0]));
    }

    #[test]
    fn known_names_are_no_dimensions_in_whatever_case() {
        for (text, dimension, labels, left_out) in [
            ("ID,a,Label\n7,0.5,3\n", 1, Some(3), &["column `ID`"][..]),
            ("Unnamed: 0,a,Target\n7,0.5,3\n", 1, Some(3), &["column `Unnamed: 0`"]),
            ("a,y,class\n0.5,2,3\n", 1, Some(3), &["column `y`"]),
            ("a,target,label\n0.5,2,3\n", 1, Some(3), &["column `target`"]),
            // Numbers that are no integers are data, and so are coordinates.
            ("a,y\n0.5,2.0\n", 2, None, &[]),
            ("x,y\n1,2\n", 2, None, &[]),
            ("a,target\n0.5,\n", 0, None, &[]),
            // Quotes that are closed, one within, and none.
            ("id,\"a\"\n5\" disk,\"0.5\"", 1, None, &["column `id`"]),
            ("a\n0.5\n# a \" of a comment", 1, None, &[]),
        ] {
            match csv(text) {
                Ok(vectors) => {
                    let found = (vectors.dimension, vectors.labels, vectors.left_out.as_slice());
                    let left_out: Vec<String> = left_out.iter().map(|l| l.to_string()).collect();
                    assert_eq!(
                        found,
                        (dimension, labels.map(|l| vec![l]), &left_out[..]),
                        "{text}"
                    );
                }
                Err(message) => {
                    assert!(dimension == 0 && message.contains("missing"), "{text}: {message}")
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let schema = "message s { required int64 ID; required double a; required int32 Y; required double class; }";
        write(&path, schema, |mut group| {
            put::<Int64Type>(&mut group, &[7, 8]);
            put::<DoubleType>(&mut group, &[0.5, 1.5]);
            put::<Int32Type>(&mut group, &[3, 4]);
            put::<DoubleType>(&mut group, &[0.25, 0.75]);
            group.close().unwrap();
        });
        let vectors = read(&path).unwrap();
        assert_eq!((vectors.dimension, vectors.labels), (2, Some(vec![3, 4])));
        assert_eq!(vectors.values, [0.5, 0.25, 1.5, 0.75]);
        assert_eq!(vectors.left_out, ["column `ID`"]);
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
            ("a,b\n1,\"2", "it ends within quotes (\"): it is truncated"),
            ("a,\"b\n1,2\n", "it ends within quotes (\"): it is truncated"),
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
