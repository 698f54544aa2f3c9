//! Parquet files of pictures: those of the Hugging Face hub, plain binary columns, lists of pixel values.

use super::{
    DataError, Images, Kind, Pixels, Prepare, picture::planes, pixels::Writer, vectors,
    zipped::Change,
};
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader};
use parquet::{
    basic::{Compression, ConvertedType, LogicalType, Type},
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use rayon::prelude::*;
use std::{
    fs::File,
    io::Cursor,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Names of columns of pictures, the likeliest first.
pub(super) const PICTURES: [&str; 4] = ["image", "img", "images", "pixels"];

/// Names of columns of labels, the likeliest first.
pub(super) const LABELS: [&str; 3] = ["label", "labels", "fine_label"];

/// Rows that are read at a time: what bounds the memory beyond that of the pixels.
const BATCH: usize = 256;

/// Bytes of pixels that are decoded or prepared at a time, but for a picture that is larger by itself.
const AT_ONCE: usize = 16 << 20;

/// A file without a picture.
const NO_ROWS: &str = "it holds no pictures (0 rows)";

/// Pictures of rows `from..to` of a file, all where there are no bounds; bounds beyond the file read what there is. The first picture of the file, whatever
/// the slice, decides on its size and whether it is grey: in a file in colour, grey pictures have three equal channels; in a grey one, colour would be lost,
/// and is refused. Each is changed as `prepare` says, whose part is not taken. Of more than `memory` bytes, their pixels are on disk.
///
/// # Errors
/// Files that cannot be read, are damaged, or have no column of pictures; pictures that are missing, damaged, of two sizes, smaller than the crop, or in
/// colour after a grey first one; labels that are missing; a temporary file that cannot be written.
pub(super) fn load_prepared(
    path: &Path,
    (from, to): (Option<usize>, Option<usize>),
    prepare: &Prepare,
    memory: u64,
) -> Result<Images, DataError> {
    let table = Table::open(path)?;
    if table.rows() == 0 {
        return Err(table.error(NO_ROWS.into()));
    }
    let to = to.unwrap_or(usize::MAX).min(table.rows());
    let rows = from.unwrap_or(0).min(to)..to;
    let column = the_one(&table, &candidates(&table))?;
    let labels = table.labels(rows.clone())?;
    let keep = Keep { prepare, memory };
    let (shape, pixels) = match column {
        Pictures::Encoded { bytes, .. } => decoded(&table, bytes, rows.clone(), keep)?,
        Pictures::Numbers(leaf) => numbers(&table, leaf, rows.clone(), keep)?,
    };
    let files = match column {
        Pictures::Encoded { path: Some(path), .. } => texts(&table, path, rows)?,
        _ => None,
    };
    let name = path.display().to_string();
    Ok(Images { name, shape, kind: Kind::Pixels, pixels, labels, files })
}

/// All pictures of files, one file behind the other, each changed before they are put together, as `channels` channels (1 or 3): they may be of several sizes,
/// grey or in colour. Of more than `memory` bytes, their pixels are on disk.
///
/// # Errors
/// As [`load_prepared`]; pictures that are of two sizes when they are changed, labels in some of the files only.
pub(super) fn load_changed(
    paths: &[PathBuf],
    channels: usize,
    change: Change,
    memory: u64,
) -> Result<Images, DataError> {
    let count = paths.iter().map(|path| rows(path)).sum::<Result<usize, _>>()?;
    let first = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    let (mut shape, mut writer) = ([0; 3], None);
    let (mut labels, mut files) = (Some(Vec::new()), Some(Vec::new()));
    for (number, path) in paths.iter().enumerate() {
        let table = Table::open(path)?;
        let rows = 0..table.rows();
        let Pictures::Encoded { bytes: leaf, path: names } = the_one(&table, &candidates(&table))?
        else {
            return Err(
                table.error("its pictures are lists of numbers, not files; fetch it again".into())
            );
        };
        let column = table.schema().column(leaf);
        table.read::<ByteArrayType>(leaf, rows.clone(), |batch| {
            let error = |place, problem| table.error_in(leaf, batch.first + place, problem);
            if let Some(place) = null(&batch, &column) {
                return Err(error(place, "holds no picture (null); fetch the file again".into()));
            }
            let picture = |(place, bytes): (usize, &ByteArray)| {
                let picture = decoder(bytes.data()).and_then(|decoder| {
                    DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))
                });
                let picture = picture.map_err(|problem| error(place, problem))?;
                Ok(planes(&change(picture), channels))
            };
            let pictures = batch.values.par_iter().enumerate().map(picture);
            for (place, one) in pictures.collect::<Result<Vec<_>, _>>()?.into_iter().enumerate() {
                let writer = match &mut writer {
                    Some(writer) => writer,
                    None => {
                        shape = one.shape;
                        writer.insert(Writer::new(count, shape.iter().product(), memory)?)
                    }
                };
                if one.shape != shape {
                    let problem = format!(
                        "is of shape {:?} (channels, height, width), but the first picture of {first} of {shape:?}; fetch the files again",
                        one.shape
                    );
                    return Err(error(place, problem));
                }
                writer.write(&one.pixels)?;
            }
            Ok(())
        })?;
        let own = table.labels(rows.clone())?;
        if number > 0 && own.is_some() != labels.is_some() {
            let with = |there: bool| if there { "with" } else { "without" };
            return Err(table.error(format!(
                "its pictures are {} labels, but those of {first} {}: the files do not belong together; fetch them again",
                with(own.is_some()),
                with(labels.is_some())
            )));
        }
        labels = labels.zip(own).map(|(all, own)| [all, own].concat());
        let own = names.map(|names| texts(&table, names, rows)).transpose()?.flatten();
        files = files.zip(own).map(|(all, own)| [all, own].concat());
    }
    let Some(writer) = writer else {
        return Err(DataError::Format { path: first.into(), problem: NO_ROWS.into() });
    };
    Ok(Images { name: first, shape, kind: Kind::Pixels, pixels: writer.finish(), labels, files })
}

/// Whether a file has a column of pictures; otherwise it has numbers that may be vectors.
///
/// # Errors
/// A file that is no parquet file, damaged, or without rows; neither pictures nor numbers; several columns that may be the pictures.
pub(super) fn has_pictures(path: &Path) -> Result<bool, DataError> {
    let table = Table::open(path)?;
    let candidates = candidates(&table);
    let vectors = candidates.is_empty() && vectors::has_numbers(&table);
    if !vectors {
        the_one(&table, &candidates)?;
    }
    match table.rows() {
        0 => Err(table.error(if vectors { vectors::NO_ROWS } else { NO_ROWS }.into())),
        _ => Ok(!vectors),
    }
}

/// Number of rows of a file.
///
/// # Errors
/// A file that is no parquet file, or damaged.
pub(super) fn rows(path: &Path) -> Result<usize, DataError> {
    Table::open(path).map(|table| table.rows())
}

/// An open file.
pub(super) struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    /// Rows of each row group.
    groups: Vec<usize>,
}

/// Some rows of a column.
pub(super) struct Rows<V> {
    /// The first of them.
    pub(super) first: usize,
    /// How many.
    pub(super) count: usize,
    /// The values that are not null, of all rows.
    pub(super) values: Vec<V>,
    /// How much of each value's path is there: the column's maximum unless it is null. Empty where nothing can be.
    pub(super) definitions: Vec<i16>,
    /// At which level of nested lists each value begins a new element; empty outside of lists.
    pub(super) repetitions: Vec<i16>,
}

impl<V> Rows<V> {
    /// With other values in the same places.
    pub(super) fn map<W>(self, convert: impl Fn(V) -> W) -> Rows<W> {
        let Self { first, count, values, definitions, repetitions } = self;
        let values = values.into_iter().map(convert).collect();
        Rows { first, count, values, definitions, repetitions }
    }
}

impl<'a> Table<'a> {
    /// Open a file and read its footer.
    pub(super) fn open(path: &'a Path) -> Result<Self, DataError> {
        let format = |problem| DataError::Format { path: path.to_path_buf(), problem };
        let file = File::open(path).map_err(|source| DataError::Read {
            path: path.to_path_buf(),
            source,
            hint: String::new(),
        })?;
        let reader = caught(|| SerializedFileReader::new(file)).map_err(|error| {
            format(format!(
                "it is no parquet file, or truncated or damaged ({error}); fetch it again"
            ))
        })?;
        let metadata = reader.metadata();
        let groups: Option<Vec<usize>> =
            metadata.row_groups().iter().map(|g| g.num_rows().try_into().ok()).collect();
        let sum = groups.iter().flatten().try_fold(0usize, |sum, &rows| sum.checked_add(rows));
        match groups {
            Some(groups) if sum.map(|s| s as i64) == Some(metadata.file_metadata().num_rows()) => {
                Ok(Self { path, reader, groups })
            }
            _ => Err(format(
                "its row groups do not add up to its rows: it is damaged; fetch it again".into(),
            )),
        }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.groups.iter().sum()
    }

    /// Its columns.
    pub(super) fn schema(&self) -> &SchemaDescriptor {
        self.reader.metadata().file_metadata().schema_descr()
    }

    /// What is wrong with the file.
    pub(super) fn error(&self, problem: String) -> DataError {
        DataError::Format { path: self.path.to_path_buf(), problem }
    }

    /// What is wrong with a row of a column.
    fn error_in(&self, leaf: usize, row: usize, problem: String) -> DataError {
        let column = self.schema().column(leaf);
        self.error(format!("row {row} (from 0) of column `{}` {problem}", column.path().string()))
    }

    /// The columns and their types, for messages.
    pub(super) fn columns(&self) -> String {
        let columns = self.schema().columns();
        let named =
            |c: &std::sync::Arc<ColumnDescriptor>| format!("`{}` {}", c.path().string(), kind(c));
        let mut list: Vec<String> = columns.iter().take(20).map(named).collect();
        if columns.len() > list.len() {
            list.push(format!("{} more", columns.len() - list.len()));
        }
        list.join(", ")
    }

    /// Rows of column `leaf`, batch by batch; row groups outside of them are not touched.
    pub(super) fn read<T: DataType>(
        &self,
        leaf: usize,
        rows: Range<usize>,
        mut each: impl FnMut(Rows<T::T>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let column = self.schema().column(leaf);
        let damaged = |group: usize, what: String| {
            self.error(format!(
                "column `{}` is damaged in row group {group} ({what}); fetch the file again",
                column.path().string()
            ))
        };
        let mut start = 0;
        for (group, &len) in self.groups.iter().enumerate() {
            let wanted = rows.start.max(start)..rows.end.min(start + len);
            let before = start;
            start += len;
            if wanted.is_empty() {
                continue;
            }
            let codec = self.reader.metadata().row_group(group).column(leaf).compression();
            if matches!(
                codec,
                Compression::BROTLI(_) | Compression::LZ4 | Compression::LZ4_RAW | Compression::LZO
            ) {
                return Err(self.error(format!(
                    "column `{}` is compressed by {codec}; what is read is snappy, zstd, gzip, and none: write the file again by one of them, e.g. \
                     pyarrow.parquet.write_table(table, path, compression=\"zstd\")",
                    column.path().string()
                )));
            }
            let skip = wanted.start - before;
            let open = || {
                let reader = self.reader.get_row_group(group)?.get_column_reader(leaf)?;
                let mut reader = T::get_column_reader(reader)
                    .ok_or_else(|| ParquetError::General("it has two types".into()))?;
                match reader.skip_records(skip)? {
                    skipped if skipped == skip => Ok(reader),
                    skipped => Err(ParquetError::EOF(format!("{skipped} of {len} rows"))),
                }
            };
            let mut reader: ColumnReaderImpl<T> =
                caught(open).map_err(|error| damaged(group, error))?;
            let mut first = wanted.start;
            while first < wanted.end {
                let most = BATCH.min(wanted.end - first);
                let (mut values, mut definitions, mut repetitions) = (vec![], vec![], vec![]);
                let (definition, repetition) = (Some(&mut definitions), Some(&mut repetitions));
                let (count, ..) =
                    caught(|| reader.read_records(most, definition, repetition, &mut values))
                        .map_err(|error| damaged(group, error))?;
                if count == 0 {
                    let there = first - before;
                    return Err(damaged(group, format!("it ends after {there} of {len} rows")));
                }
                each(Rows { first, count, values, definitions, repetitions })?;
                first += count;
            }
        }
        Ok(())
    }

    /// Rows of a column of integers.
    pub(super) fn integers(
        &self,
        leaf: usize,
        rows: Range<usize>,
        mut each: impl FnMut(Rows<i64>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let column = self.schema().column(leaf);
        if column.physical_type() == Type::INT64 {
            return self.read::<Int64Type>(leaf, rows, each);
        }
        let unsigned = column.converted_type() == ConvertedType::UINT_32;
        let widened = |v: i32| if unsigned { i64::from(v as u32) } else { i64::from(v) };
        self.read::<Int32Type>(leaf, rows, |rows| each(rows.map(widened)))
    }

    /// Labels of rows, where there is a column of them.
    pub(super) fn labels(&self, rows: Range<usize>) -> Result<Option<Vec<i64>>, DataError> {
        let schema = self.schema();
        let roots = schema.root_schema().get_fields();
        let is_root = |name: &&str| roots.iter().any(|root| root.name() == *name);
        let Some(name) = LABELS.into_iter().find(is_root) else {
            return Ok(None);
        };
        let leaf = schema.columns().iter().position(|c| c.path().parts() == [name]);
        let leaf = match leaf.map(|leaf| (leaf, schema.column(leaf))) {
            Some((leaf, column)) if is_integer(&column) && column.max_rep_level() == 0 => leaf,
            other => {
                let found = other.map_or("nested".to_owned(), |(_, column)| kind(&column));
                return Err(self.error(format!(
                    "column `{name}` is {found}; labels are integers: write them as such, or give the column another name to do without labels"
                )));
            }
        };
        let mut labels = Vec::new();
        self.integers(leaf, rows.clone(), |rows| {
            labels.extend(rows.values);
            Ok(())
        })?;
        match rows.len() - labels.len() {
            0 => Ok(Some(labels)),
            nulls => Err(self.error(format!(
                "column `{name}` has no label (null) in {nulls} of the {} rows read; fill them in, drop those rows, or give the column another name to do \
                 without labels",
                rows.len()
            ))),
        }
    }
}

/// What the parquet crate reads. It panics where the parts of a damaged file contradict each other in ways that it does not check.
fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its parts contradict each other".into()),
    }
}

/// Whether a column holds integers of at most 64 bits; dates, times and decimals are stored as such too.
pub(super) fn is_integer(column: &ColumnDescriptor) -> bool {
    use ConvertedType as C;
    matches!(column.physical_type(), Type::INT32 | Type::INT64)
        && matches!(column.logical_type_ref(), None | Some(LogicalType::Integer { .. }))
        && matches!(
            column.converted_type(),
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::INT_64
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::UINT_64
        )
}

/// The type of a column, for messages.
pub(super) fn kind(column: &ColumnDescriptor) -> String {
    let list = if column.max_rep_level() > 0 { "list of " } else { "" };
    match column.converted_type() {
        ConvertedType::NONE => format!("{list}{}", column.physical_type()),
        converted => format!("{list}{} ({converted})", column.physical_type()),
    }
}

/// Where the pictures of a file are.
#[derive(Clone, Copy)]
enum Pictures {
    /// PNG, JPEG or WebP files in one column, their names in another.
    Encoded { bytes: usize, path: Option<usize> },
    /// Lists of pixel values.
    Numbers(usize),
}

/// The columns that may be pictures, with their names.
fn candidates<'a>(table: &'a Table) -> Vec<(&'a str, Pictures)> {
    let schema = table.schema();
    let mut found: Vec<(&str, Pictures)> = Vec::new();
    for (root, field) in schema.root_schema().get_fields().iter().enumerate() {
        let leaves: Vec<usize> =
            (0..schema.num_columns()).filter(|&l| schema.get_column_root_idx(l) == root).collect();
        let bytes = |path: &[&str]| {
            leaves.iter().copied().find(|&leaf| {
                let column = schema.column(leaf);
                column.path().parts() == path
                    && column.physical_type() == Type::BYTE_ARRAY
                    && column.max_rep_level() == 0
            })
        };
        let name = field.name();
        if let Some(leaf) = bytes(&[name, "bytes"]) {
            found.push((name, Pictures::Encoded { bytes: leaf, path: bytes(&[name, "path"]) }));
        } else if let Some(leaf) = bytes(&[name]) {
            // Texts are bytes too.
            if schema.column(leaf).converted_type() == ConvertedType::NONE {
                found.push((name, Pictures::Encoded { bytes: leaf, path: None }));
            }
        } else if let [leaf] = leaves[..] {
            let column = schema.column(leaf);
            if PICTURES.contains(&name)
                && is_integer(&column)
                && (1..=3).contains(&column.max_rep_level())
            {
                found.push((name, Pictures::Numbers(leaf)));
            }
        }
    }
    found
}

/// The column of pictures: by its name, or the only one.
fn the_one(table: &Table, found: &[(&str, Pictures)]) -> Result<Pictures, DataError> {
    let by_name = PICTURES.iter().find_map(|name| found.iter().find(|f| f.0 == *name));
    match (by_name, found) {
        (Some((_, column)), _) | (None, [(_, column)]) => Ok(*column),
        (None, []) => Err(table.error(format!(
            "it has no column of pictures; it has {}. Pictures are a group `image` of `bytes` and `path` as on the Hugging Face hub, a binary column of PNG, \
             JPEG or WebP files, or integers in nested lists [H, W] or [H, W, C] in a column `image`",
            table.columns()
        ))),
        (None, several) => {
            let names: Vec<String> = several.iter().map(|f| format!("`{}`", f.0)).collect();
            Err(table.error(format!(
                "its columns {} may all be pictures; name the one that is meant `image`",
                names.join(", ")
            )))
        }
    }
}

/// What pictures are kept as.
#[derive(Clone, Copy)]
struct Keep<'a> {
    prepare: &'a Prepare,
    /// Bytes beyond which they are on disk.
    memory: u64,
}

/// Pictures that are kept.
struct Kept<'a> {
    path: &'a Path,
    prepare: &'a Prepare,
    /// Of the pictures as they come.
    shape: [usize; 3],
    writer: Writer,
}

impl<'a> Keep<'a> {
    /// Room for that many pictures of a shape.
    fn room(self, path: &'a Path, rows: usize, shape: [usize; 3]) -> Result<Kept<'a>, DataError> {
        let Self { prepare, memory } = self;
        let writer = Writer::new(rows, prepare.shape(shape).iter().product(), memory)?;
        Ok(Kept { path, prepare, shape, writer })
    }
}

impl Kept<'_> {
    /// Pictures that come together.
    fn at_once(&self) -> usize {
        let larger = self.shape.iter().product::<usize>();
        let larger = larger.max(self.prepare.shape(self.shape).iter().product());
        (AT_ONCE / larger.max(1)).max(1)
    }

    fn add(&mut self, pixels: &[u8]) -> Result<(), DataError> {
        if !self.prepare.changes() {
            return self.writer.write(pixels);
        }
        let changed = self.prepare.pixels(pixels, self.shape);
        let changed = changed.map_err(|problem| {
            let spec = self.path.display().to_string();
            DataError::Spec { spec, problem }
        })?;
        self.writer.write(&changed)
    }

    /// Their shape and their pixels.
    fn finish(self) -> ([usize; 3], Pixels) {
        (self.prepare.shape(self.shape), self.writer.finish())
    }
}

/// The shape that all pictures have, and the pixels of rows of encoded pictures.
fn decoded(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    keep: Keep,
) -> Result<([usize; 3], Pixels), DataError> {
    let column = table.schema().column(leaf);
    let error = |row, problem| table.error_in(leaf, row, problem);
    let there = |rows: &Rows<ByteArray>| match null(rows, &column) {
        None => Ok(()),
        Some(place) => {
            let problem = "holds no picture (null); drop such rows, and embed the pictures in the file where it has their paths only";
            Err(error(rows.first + place, problem.into()))
        }
    };
    let mut shape = [0; 3];
    table.read::<ByteArrayType>(leaf, 0..1, |rows| {
        there(&rows)?;
        let decoder = decoder(rows.values[0].data()).map_err(|problem| error(0, problem))?;
        let (width, height) = decoder.dimensions();
        let channels = if decoder.color_type().channel_count() < 3 { 1 } else { 3 };
        shape = [channels, height as usize, width as usize];
        Ok(())
    })?;
    let dimension: usize = shape.iter().product();
    let mut kept = keep.room(table.path, rows.len(), shape)?;
    table.read::<ByteArrayType>(leaf, rows, |rows| {
        there(&rows)?;
        let at_once = kept.at_once();
        for (first, files) in (rows.first..).step_by(at_once).zip(rows.values.chunks(at_once)) {
            let mut pixels = vec![0; files.len() * dimension];
            let failed = pixels.par_chunks_mut(dimension).zip(files).enumerate().find_map_first(
                |(i, (out, bytes))| Some((i, decode(bytes.data(), shape, out).err()?)),
            );
            if let Some((i, problem)) = failed {
                return Err(error(first + i, problem));
            }
            kept.add(&pixels)?;
        }
        Ok(())
    })?;
    Ok(kept.finish())
}

/// The header of a picture, of a size that can be decoded.
fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder, String> {
    if super::picture::ends_early(bytes) {
        return Err(
            "is a JPEG picture that ends early: it is truncated; mend or drop the row".into()
        );
    }
    let decoder = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(image::ImageError::IoError)
        .and_then(ImageReader::into_decoder)
        .map_err(|error| broken(&error))?;
    match super::picture::beyond(&decoder) {
        None => Ok(decoder),
        Some(problem) => Err(problem),
    }
}

fn broken(error: &image::ImageError) -> String {
    format!("is no PNG, JPEG or WebP picture, or damaged ({error}); mend or drop the row")
}

/// A picture of that shape into `out`, channels first.
fn decode(
    bytes: &[u8],
    [channels, height, width]: [usize; 3],
    out: &mut [u8],
) -> Result<(), String> {
    let decoder = decoder(bytes)?;
    let (w, h) = decoder.dimensions();
    if [h as usize, w as usize] != [height, width] {
        return Err(format!(
            "is {h} x {w} (height x width), but the first picture of the file is {height} x {width}; bring all pictures to one size"
        ));
    }
    if channels == 1 && decoder.color_type().channel_count() >= 3 {
        return Err(
            "is in colour, but the first picture of the file is grey; turn all to one kind".into(),
        );
    }
    if channels == 1 && decoder.color_type() == ColorType::L8 {
        return decoder.read_image(out).map_err(|error| broken(&error));
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
    if channels == 1 {
        out.copy_from_slice(&picture.to_luma8());
        return Ok(());
    }
    let interleaved = picture.into_rgb8();
    for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(interleaved.chunks_exact(3)) {
            *value = pixel[channel];
        }
    }
    Ok(())
}

/// The place of the first null among rows outside of lists.
fn null<V>(rows: &Rows<V>, column: &ColumnDescriptor) -> Option<usize> {
    rows.definitions.iter().position(|&d| d != column.max_def_level())
}

/// The texts of rows, where all have one.
fn texts(table: &Table, leaf: usize, rows: Range<usize>) -> Result<Option<Vec<String>>, DataError> {
    let mut texts = Vec::new();
    table.read::<ByteArrayType>(leaf, rows.clone(), |rows| {
        texts.extend(
            rows.values.iter().map(|text| String::from_utf8_lossy(text.data()).into_owned()),
        );
        Ok(())
    })?;
    Ok(Some(texts).filter(|texts| !texts.is_empty() && texts.len() == rows.len()))
}

/// The shape that all pictures have, and the pixels of rows of (nested) lists: `[H, W]`, `[H, W, C]`, or the pixels of a square grey picture.
fn numbers(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    keep: Keep,
) -> Result<([usize; 3], Pixels), DataError> {
    let column = table.schema().column(leaf);
    let error = |row, problem| table.error_in(leaf, row, problem);
    // All rows have the repetition levels of the first, once its lists turn out to be of equal lengths.
    let mut pattern = Vec::new();
    let mut shape = [0; 3];
    table.integers(leaf, 0..1, |rows| {
        if null(&rows, &column).is_some() {
            return Err(error(0, "has nulls or empty lists; pictures are whole".into()));
        }
        pattern = rows.repetitions;
        let lists = |level: i16| pattern.iter().filter(|&&r| r <= level).count();
        let sides: Vec<usize> = (1..=column.max_rep_level())
            .map(|level| lists(level) / lists(level - 1).max(1))
            .collect();
        shape = match sides[..] {
            [n] if n.isqrt().pow(2) == n => [1, n.isqrt(), n.isqrt()],
            [h, w] => [1, h, w],
            [h, w, c @ (1 | 3)] => [c, h, w],
            _ => {
                let problem = format!(
                    "is a list of shape {sides:?}; pictures are [H, W], [H, W, 1] or [H, W, 3], or the values of a square grey one"
                );
                return Err(error(0, problem));
            }
        };
        let mut size = pattern.len();
        for (level, side) in (0..).zip(&sides) {
            let begins = |i: usize| pattern[i] <= level;
            if !(0..pattern.len()).all(|i| begins(i) == (i % size == 0)) {
                let problem = "has lists of different lengths; pictures are rectangular";
                return Err(error(0, problem.into()));
            }
            size /= side;
        }
        Ok(())
    })?;
    let [channels, ..] = shape;
    let mut kept = keep.room(table.path, rows.len(), shape)?;
    table.integers(leaf, rows, |rows| {
        let mut pictures = rows.repetitions.chunks(pattern.len());
        if let Some(i) = pictures.position(|p| p != pattern) {
            let problem = format!(
                "is not of the shape of the first picture, {shape:?} (channels, height, width); bring all pictures to one size"
            );
            return Err(error(rows.first + i, problem));
        }
        if let Some(place) = null(&rows, &column) {
            let problem = "has nulls; pictures are whole";
            return Err(error(rows.first + place / pattern.len(), problem.into()));
        }
        if let Some(i) = rows.values.iter().position(|v| !(0..=255).contains(v)) {
            return Err(error(
                rows.first + i / pattern.len(),
                format!("holds the value {}; pixels are 0 to 255", rows.values[i]),
            ));
        }
        for pictures in rows.values.chunks(kept.at_once() * pattern.len()) {
            let mut pixels = Vec::with_capacity(pictures.len());
            for picture in pictures.chunks_exact(pattern.len()) {
                for channel in 0..channels {
                    pixels.extend(picture.iter().skip(channel).step_by(channels).map(|&v| v as u8));
                }
            }
            kept.add(&pixels)?;
        }
        Ok(())
    })?;
    Ok(kept.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Slice = (Option<usize>, Option<usize>);

    /// Pictures as they are in the file, in memory.
    fn load(path: &Path, slice: Slice) -> Result<Images, DataError> {
        load_prepared(path, slice, &Prepare::default(), u64::MAX)
    }

    /// A file of `scripts/reference/parquet_fixtures.py`.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet").join(name)
    }

    fn all(name: &str) -> Images {
        load(&fixture(name), (None, None)).unwrap()
    }

    fn problem(name: &str) -> String {
        load(&fixture(name), (None, None)).unwrap_err().to_string()
    }

    /// The pixels that the fixtures have in these rows.
    fn expected(rows: Range<usize>, [channels, height, width]: [usize; 3]) -> Vec<u8> {
        let mut pixels = Vec::new();
        for row in rows {
            for channel in 0..channels {
                for y in 0..height {
                    pixels.extend(
                        (0..width).map(|x| (31 * row + 50 * channel + 7 * y + 3 * x) as u8),
                    );
                }
            }
        }
        pixels
    }

    #[test]
    fn hub_files_give_pictures_labels_and_names() {
        let images = all("hf_grey.parquet");
        assert_eq!(images.shape, [1, 28, 28]);
        assert!(images.pixels == expected(0..12, images.shape));
        assert_eq!(images.labels.unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        assert_eq!(images.files.unwrap()[11], "11.png");
        let images = all("hf_colour.parquet");
        assert_eq!(images.shape, [3, 32, 32]);
        assert!(images.pixels == expected(0..6, images.shape));
        assert_eq!(images.labels.unwrap(), [100, 101, 102, 103, 104, 105]);
        assert_eq!(images.files, None);
    }

    #[test]
    fn a_slice_is_that_of_the_whole() {
        for name in [
            "hf_grey.parquet",
            "hf_colour.parquet",
            "dictionary.parquet",
            "pixels_flat_pandas.parquet",
        ] {
            let whole = all(name);
            let dimension = whole.dimension();
            for from in 0..=whole.len() {
                for to in from..=whole.len() {
                    let slice = load(&fixture(name), (Some(from), Some(to))).unwrap();
                    assert!(
                        slice.pixels == whole.bytes().unwrap()[from * dimension..to * dimension]
                    );
                    assert_eq!(slice.shape, whole.shape);
                    assert_eq!(slice.labels, whole.labels.as_ref().map(|l| l[from..to].to_vec()));
                    let files = whole.files.as_ref().map(|f| f[from..to].to_vec());
                    assert_eq!(slice.files.unwrap_or_default(), files.unwrap_or_default());
                }
            }
            let beyond = load(&fixture(name), (Some(1), Some(1000))).unwrap();
            assert!(beyond.pixels == whole.bytes().unwrap()[dimension..]);
            assert!(load(&fixture(name), (Some(1000), None)).unwrap().is_empty());
            assert_eq!(rows(&fixture(name)).unwrap(), whole.len());
        }
    }

    #[test]
    fn row_groups_outside_of_the_slice_are_not_read() {
        let bytes = std::fs::read(fixture("damaged_picture.parquet")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        // Row 4, in the second row group, is damaged.
        assert_eq!(load(&path, (None, Some(4))).unwrap().len(), 4);
        assert_eq!(load(&path, (Some(5), None)).unwrap().len(), 1);
        assert!(load(&path, (Some(3), None)).is_err());
    }

    #[test]
    fn the_first_picture_decides_on_the_channels() {
        let path = fixture("plain_mixed.parquet");
        let of = |row: usize| load(&path, (Some(row), Some(row + 1)));
        let table = Table::open(&path).unwrap();
        let mut files = Vec::new();
        table
            .read::<ByteArrayType>(0, 0..7, |rows| {
                files.extend(rows.values.iter().map(|bytes| bytes.data().to_vec()));
                Ok(())
            })
            .unwrap();
        assert_eq!(files.len(), 7);
        // Grey: PNG, PNG with transparency, JPEG, PNG of 16 bits. As pictures in a folder are converted; labels are uint8.
        for row in [0, 3, 5, 6] {
            let images = of(row).unwrap();
            assert_eq!((images.shape, images.labels), ([1, 4, 6], Some(vec![249 + row as i64])));
            assert!(row > 3 || images.pixels == expected(row..row + 1, images.shape));
            assert!(super::super::decode(&files[row], "x", 1).unwrap().pixels == images.pixels);
        }
        // In colour: PNG, PNG with transparency, WebP, which has no other kind.
        for row in [1, 2, 4] {
            let message = of(row).unwrap_err().to_string();
            assert!(
                message.contains(&format!(
                    "plain_mixed.parquet is not usable: row {row} (from 0) of column `picture` is in colour, but the first picture of the file is grey; turn \
                     all to one kind"
                )),
                "{message}"
            );
        }
        assert!(problem("plain_mixed.parquet").contains("row 1 (from 0)"));
        // In a file in colour, all of them are read.
        let mut colour = [0; 72];
        for bytes in &files {
            decode(bytes, [3, 4, 6], &mut colour).unwrap();
            assert!(super::super::decode(bytes, "x", 3).unwrap().pixels == colour);
        }
        decode(&files[0], [3, 4, 6], &mut colour).unwrap();
        assert!(colour.chunks_exact(24).all(|channel| channel == expected(0..1, [1, 4, 6])));
    }

    #[test]
    fn what_has_no_pictures_may_be_vectors() {
        for (name, pictures) in [
            ("hf_grey.parquet", true),
            ("pixels_grid.parquet", true),
            ("null_picture.parquet", true),
            ("vectors_list.parquet", false),
            ("vectors_columns_pandas.parquet", false),
            // What is wrong with them as vectors is said when they are read.
            ("vectors_text.parquet", false),
            ("vectors_ragged.parquet", false),
        ] {
            assert_eq!(has_pictures(&fixture(name)).unwrap(), pictures, "{name}");
        }
        for (name, part) in [
            ("two_pictures.parquet", "its columns `left`, `right` may all be pictures"),
            ("no_rows.parquet", "it holds no pictures (0 rows)"),
        ] {
            let message = has_pictures(&fixture(name)).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(part), "{message}");
        }
        // Files of these columns, and no rows.
        let list = |name: &str| {
            format!(
                "required group {name} (LIST) {{ repeated group list {{ required float element; }} }}"
            )
        };
        for (columns, part) in [
            ("required binary text (UTF8);", "it has no column of pictures"),
            ("required int64 label;", "it has no column of pictures"),
            (&list("pixels"), "it has no column of pictures"),
            (&list("found"), "it holds no vectors (0 rows)"),
            ("required double a; required binary text (UTF8);", "it holds no vectors (0 rows)"),
            ("required binary left; required binary right;", "its columns `left`, `right`"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.parquet");
            let schema = format!("message schema {{ {columns} }}");
            let schema = parquet::schema::parser::parse_message_type(&schema).unwrap();
            let file = File::create(&path).unwrap();
            let writer = parquet::file::writer::SerializedFileWriter::new(
                file,
                schema.into(),
                Default::default(),
            );
            writer.unwrap().close().unwrap();
            let message = has_pictures(&path).unwrap_err().to_string();
            assert!(message.contains("x.parquet") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn dictionaries_and_batches_are_read() {
        let images = all("dictionary.parquet");
        let two = expected(0..2, [3, 4, 6]);
        assert!(images.pixels == two.repeat(20));
        assert_eq!(images.labels, None);
    }

    #[test]
    fn lists_of_pixels_are_pictures() {
        let images = all("pixels_flat_pandas.parquet");
        assert_eq!((images.shape, images.labels), ([1, 4, 4], Some(vec![0, 1, 2, 3, 4])));
        assert!(images.pixels == expected(0..5, [1, 4, 4]));
        let images = all("pixels_grid.parquet");
        assert_eq!(images.shape, [1, 4, 6]);
        assert!(images.pixels == expected(0..5, [1, 4, 6]));
        let images = all("pixels_colour.parquet");
        assert_eq!(images.shape, [3, 4, 6]);
        assert!(images.pixels == expected(0..5, [3, 4, 6]));
        let message = problem("pixels_ragged.parquet");
        assert!(message.contains("row 1 (from 0) of column `image.list.element.list.element` is not of the shape of the first"), "{message}");
        let message = problem("pixels_beyond.parquet");
        assert!(
            message.contains("row 1 (from 0)")
                && message.contains("holds the value 256; pixels are 0 to 255"),
            "{message}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, parts) in [
            ("null_labels.parquet", &["column `label` has no label (null) in 3 of the 6 rows"][..]),
            (
                "null_picture.parquet",
                &["row 3 (from 0) of column `image.bytes` holds no picture (null)"],
            ),
            (
                "damaged_picture.parquet",
                &[
                    "row 4 (from 0) of column `image.bytes` is no PNG, JPEG or WebP picture, or damaged",
                ],
            ),
            (
                "two_sizes.parquet",
                &[
                    "row 5 (from 0)",
                    "is 6 x 4 (height x width), but the first picture of the file is 4 x 6",
                ],
            ),
            ("no_rows.parquet", &["no pictures (0 rows)"]),
            (
                "no_pictures.parquet",
                &[
                    "no column of pictures; it has `text` BYTE_ARRAY (UTF8), `label` INT64, `score` DOUBLE, `box.list.element` list of INT64. Pictures are",
                ],
            ),
            ("text_labels.parquet", &["column `label` is BYTE_ARRAY (UTF8); labels are integers"]),
            (
                "two_pictures.parquet",
                &[
                    "its columns `left`, `right` may all be pictures; name the one that is meant `image`",
                ],
            ),
            ("lz4.parquet", &["column `image.bytes` is compressed by LZ4", "write the file again"]),
        ] {
            let message = problem(name);
            assert!(message.contains(name), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        assert!(problem("there_is_none.parquet").starts_with("cannot read"));
    }

    #[test]
    fn a_header_that_announces_an_absurd_size_is_refused() {
        for side in [0, 1 << 14, u32::MAX] {
            let mut png = std::io::Cursor::new(Vec::new());
            image::GrayImage::new(3, 3).write_to(&mut png, image::ImageFormat::Png).unwrap();
            let mut png = png.into_inner();
            png[16..20].copy_from_slice(&side.to_be_bytes());
            png[20..24].copy_from_slice(&side.to_be_bytes());
            let checksum = flate2::Crc::new();
            let checksum = {
                let mut c = checksum;
                c.update(&png[12..29]);
                c.sum()
            };
            png[29..33].copy_from_slice(&checksum.to_be_bytes());
            let problem = decode(&png, [1, 3, 3], &mut [0; 9]).unwrap_err();
            let expected = if side == 1 << 14 {
                "16384 x 16384 (height x width), beyond 67108864 pixels"
            } else {
                "is no PNG"
            };
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn other_files_and_parts_of_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let bytes = std::fs::read(fixture("hf_grey.parquet")).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let message = load(&path, (None, None)).unwrap_err().to_string();
            assert!(
                message.contains(
                    "x.parquet is not usable: it is no parquet file, or truncated or damaged"
                ),
                "{message}"
            );
            assert!(rows(&path).is_err());
        }
        std::fs::write(&path, [b"PAR1".as_slice(), &bytes[100..]].concat()).unwrap();
        assert!(load(&path, (None, None)).is_err());
    }

    #[test]
    fn no_byte_whatever_its_value_makes_the_program_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        for name in [
            "null_labels.parquet",
            "dictionary.parquet",
            "plain_mixed.parquet",
            "pixels_grid.parquet",
        ] {
            let bytes = std::fs::read(fixture(name)).unwrap();
            for place in 0..bytes.len() {
                for flip in [0xff, 0x01] {
                    let mut bytes = bytes.clone();
                    bytes[place] ^= flip;
                    std::fs::write(&path, bytes).unwrap();
                    // Some flips change a pixel or a name, and nothing else: only a panic fails.
                    let _ = load(&path, (None, None));
                    let _ = load(&path, (Some(3), Some(5)));
                }
            }
        }
    }
}
