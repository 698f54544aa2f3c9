//! Parquet files of pictures: those of the Hugging Face hub, plain binary columns, lists of pixel values.

use super::{
    DataError, Images, Kind, Prepare,
    names::{LABELS, PICTURES, is_one, likeliest},
    original::at_most,
    picture::fill,
    pixels::Writer,
    vectors,
};
use flate2::read::MultiGzDecoder;
use image::{DynamicImage, ImageDecoder, ImageReader};
use parquet::{
    basic::{Compression, ConvertedType, LogicalType, Type},
    column::{
        page::{Page, PageMetadata, PageReader},
        reader::{ColumnReaderImpl, get_column_reader},
    },
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        metadata::ColumnChunkMetaData,
        reader::{FileReader, SerializedFileReader, SerializedPageReader},
    },
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use rayon::prelude::*;
use std::{
    fs::File,
    io::{Cursor, Read},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

/// Rows that are read at a time: what bounds the memory beyond that of the pixels.
const BATCH: usize = 256;

/// Bytes of pixels that are decoded or prepared at a time, but for a picture that is larger by itself.
const AT_ONCE: usize = 16 << 20;

/// A file without a picture.
const NO_ROWS: &str = "it holds no pictures (0 rows)";

/// Pictures `from..to` of files, one behind the other, all where there are no bounds; bounds beyond them read what there is. Each is changed as `prepare` says,
/// whose part is not taken. The first picture of all, whatever the slice, then decides on the size and whether they are grey: in a set in colour, grey pictures
/// have three equal channels; in a grey one, colour would be lost, and is refused. Of more than `memory` bytes, their pixels are on disk.
///
/// # Errors
/// Files that cannot be read, are damaged, or have no column of pictures; pictures that are missing, damaged, smaller than the crop, of two sizes when they are
/// changed, or in colour after a grey first one; labels that are missing, or in some of the files only; a temporary file that cannot be written.
pub(super) fn load(
    paths: &[impl AsRef<Path>],
    (from, to): (Option<usize>, Option<usize>),
    prepare: &Prepare,
    memory: u64,
) -> Result<Images, DataError> {
    let tables = paths.iter().map(|path| Table::open(path.as_ref()));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    let name = paths.first().map(|path| path.as_ref().display().to_string()).unwrap_or_default();
    let (mut labels, mut left_out) = (Some(Vec::new()), Vec::new());
    let (mut before, mut samples, mut parts) = (0usize, 0usize, Vec::new());
    for table in &tables {
        let place = |bound: usize| bound.saturating_sub(before).min(table.rows());
        let rows = place(from.unwrap_or(0))..place(to.unwrap_or(usize::MAX));
        let label = table.label();
        let own = label.map(|leaf| table.labels(leaf, rows.clone())).transpose()?;
        if !parts.is_empty() && own.is_some() != labels.is_some() {
            let with = |there: bool| if there { "with" } else { "without" };
            return Err(table.error(format!(
                "its pictures are {} labels, but those of {name} {}: the files do not belong together; fetch them again",
                with(own.is_some()),
                with(labels.is_some())
            )));
        }
        labels = labels.zip(own).map(|(all, own)| [all, own].concat());
        before = before.saturating_add(table.rows());
        samples = samples.saturating_add(rows.len());
        let column = the_one(table)?;
        for name in table.left_out([Some(column.leaf()), label].into_iter().flatten()) {
            if !left_out.contains(&name) {
                left_out.push(name);
            }
        }
        parts.push((table, column, rows));
    }
    let Some((table, column, _)) = parts.iter().find(|(table, ..)| table.rows() > 0) else {
        return Err(DataError::Format { path: name.into(), problem: NO_ROWS.into() });
    };
    let shape = prepare.shape(match *column {
        Pictures::Encoded { bytes, .. } => first_file(table, bytes)?,
        Pictures::Numbers(leaf) => first_list(table, leaf)?.0,
    });
    let writer = Writer::new(samples, shape.iter().product(), memory)?;
    let mut kept = Kept { prepare, shape, writer };
    let mut files = Some(Vec::new());
    for (table, column, rows) in parts {
        let own = match column {
            Pictures::Encoded { bytes, path } => {
                encoded(table, bytes, rows.clone(), &mut kept)?;
                path.map(|path| texts(table, path, rows)).transpose()?.flatten()
            }
            Pictures::Numbers(leaf) => {
                numbers(table, leaf, rows, &mut kept)?;
                None
            }
        };
        files = files.zip(own).map(|(all, own)| [all, own].concat());
    }
    let pixels = kept.writer.finish();
    Ok(Images { name, shape, kind: Kind::Pixels, pixels, labels, files, left_out })
}

/// Whether a file has a column of pictures; otherwise it has numbers that may be vectors.
///
/// # Errors
/// A file that is no parquet file, damaged, or without rows; neither pictures nor numbers; several columns that may be the pictures.
pub(super) fn has_pictures(path: &Path) -> Result<bool, DataError> {
    let table = Table::open(path)?;
    let vectors = candidates(&table).is_empty() && vectors::has_numbers(&table);
    if !vectors {
        the_one(&table)?;
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
    file: Arc<File>,
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
        let reader = caught(|| SerializedFileReader::new(file.try_clone()?)).map_err(|error| {
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
                Ok(Self { path, file: file.into(), reader, groups })
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
        let named = |c: &Arc<ColumnDescriptor>| format!("`{}` {}", c.path().string(), kind(c));
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
            let chunk = self.reader.metadata().row_group(group).column(leaf);
            let codec = chunk.compression();
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
                let pages: Box<dyn PageReader> = match codec {
                    Compression::GZIP(_) => Box::new(Gunzip::new(&self.file, chunk, len)?),
                    _ => self.reader.get_row_group(group)?.get_column_page_reader(leaf)?,
                };
                let reader = get_column_reader(column.clone(), pages);
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

    /// The name of each column, of a nested one that of its group.
    pub(super) fn names(&self) -> Vec<&str> {
        self.schema().columns().iter().map(|column| column.path().parts()[0].as_str()).collect()
    }

    /// The column of labels, where one is called so.
    pub(super) fn label(&self) -> Option<usize> {
        likeliest(&self.names(), &LABELS)
    }

    /// The columns beside those that are read, in words.
    pub(super) fn left_out(&self, read: impl Iterator<Item = usize>) -> Vec<String> {
        let schema = self.schema();
        let roots: Vec<usize> = read.map(|leaf| schema.get_column_root_idx(leaf)).collect();
        let fields = schema.root_schema().get_fields().iter().enumerate();
        let others = fields.filter(|(root, _)| !roots.contains(root));
        others.map(|(_, field)| format!("column `{}`", field.name())).collect()
    }

    /// Labels of rows of a column.
    pub(super) fn labels(&self, leaf: usize, rows: Range<usize>) -> Result<Vec<i64>, DataError> {
        let column = self.schema().column(leaf);
        let name = &column.path().parts()[0];
        let nested = column.path().parts().len() > 1;
        if nested || !is_integer(&column) || column.max_rep_level() > 0 {
            let found = if nested { "nested".to_owned() } else { kind(&column) };
            return Err(self.error(format!(
                "column `{name}` is {found}; labels are integers: write them as such, or give the column another name to do without labels"
            )));
        }
        let mut labels = Vec::new();
        self.integers(leaf, rows.clone(), |rows| {
            labels.extend(rows.values);
            Ok(())
        })?;
        match rows.len() - labels.len() {
            0 => Ok(labels),
            nulls => Err(self.error(format!(
                "column `{name}` has no label (null) in {nulls} of the {} rows read; fill them in, drop those rows, or give the column another name to do \
                 without labels",
                rows.len()
            ))),
        }
    }
}

/// Pages that gzip compresses, unpacked to no more bytes than the footer announces for all of them. The parquet crate knows their number for all codecs but
/// this one, which it lets unpack to whatever is there.
struct Gunzip {
    /// The pages as they are stored.
    pages: SerializedPageReader<File>,
    /// Bytes of the pages to come.
    left: usize,
}

impl Gunzip {
    fn new(
        file: &Arc<File>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<Self, ParquetError> {
        let stored = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED);
        let pages = SerializedPageReader::new(file.clone(), &stored.build()?, rows, None)?;
        Ok(Self { pages, left: chunk.uncompressed_size().max(0) as usize })
    }
}

impl Iterator for Gunzip {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Gunzip {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let mut page = self.pages.get_next_page()?;
        let (bytes, levels) = match &mut page {
            Some(Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. }) => (buf, 0),
            Some(Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed: true,
                ..
            }) => (buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize),
            _ => return Ok(page),
        };
        // Levels of lists and nulls are not compressed. Where all is null, nothing follows them.
        if let Some((levels, packed @ [_, ..])) = bytes.split_at_checked(levels) {
            let unpacked = levels.chain(MultiGzDecoder::new(packed));
            // As of other codecs, the largest page is of 2 GiB.
            let unpacked = at_most(self.left.min(i32::MAX as usize), unpacked)
                .map_err(|error| ParquetError::General(format!("a page of gzip: {error}")))?;
            self.left -= unpacked.len();
            *bytes = unpacked.into();
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        self.pages.at_record_boundary()
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

impl Pictures {
    /// The column of their bytes or values.
    fn leaf(self) -> usize {
        match self {
            Self::Encoded { bytes, .. } => bytes,
            Self::Numbers(leaf) => leaf,
        }
    }
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
            if is_one(name, &PICTURES)
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
fn the_one(table: &Table) -> Result<Pictures, DataError> {
    let found = candidates(table);
    let names: Vec<&str> = found.iter().map(|f| f.0).collect();
    match (likeliest(&names, &PICTURES), &found[..]) {
        (Some(place), _) => Ok(found[place].1),
        (None, [(_, column)]) => Ok(*column),
        (None, []) => Err(table.error(format!(
            "it has no column of pictures; it has {}. Pictures are a group `image` of `bytes` and `path` as on the Hugging Face hub, a binary column of PNG, \
             JPEG or WebP files, or integers in nested lists [H, W] or [H, W, C] in a column `image`",
            table.columns()
        ))),
        (None, _) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            Err(table.error(format!(
                "its columns {} may all be pictures; name the one that is meant `image`",
                names.join(", ")
            )))
        }
    }
}

/// Pictures that are kept, of one shape when they are prepared.
struct Kept<'a> {
    prepare: &'a Prepare,
    shape: [usize; 3],
    writer: Writer,
}

impl Kept<'_> {
    /// Pictures that come together, where each takes at least that many bytes.
    fn at_once(&self, bytes: usize) -> usize {
        (AT_ONCE / self.shape.iter().product::<usize>().max(bytes).max(1)).max(1)
    }
}

/// Files of pictures in a column, none of which is null.
fn read_files(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    mut each: impl FnMut(usize, &[ByteArray]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let column = table.schema().column(leaf);
    table.read::<ByteArrayType>(leaf, rows, |rows| match null(&rows, &column) {
        None => each(rows.first, &rows.values),
        Some(place) => {
            let problem = "holds no picture (null); drop such rows, and embed the pictures in the file where it has their paths only";
            Err(table.error_in(leaf, rows.first + place, problem.into()))
        }
    })
}

/// The shape of the first picture of a column of files.
fn first_file(table: &Table, leaf: usize) -> Result<[usize; 3], DataError> {
    let mut shape = [0; 3];
    read_files(table, leaf, 0..1, |_, files| {
        let decoder = decoder(files[0].data());
        shape = shape_of(&decoder.map_err(|problem| table.error_in(leaf, 0, problem))?);
        Ok(())
    })?;
    Ok(shape)
}

/// Rows of a column of files of pictures.
fn encoded(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    kept: &mut Kept,
) -> Result<(), DataError> {
    let (prepare, shape) = (kept.prepare, kept.shape);
    let (dimension, at_once) = (shape.iter().product(), kept.at_once(0));
    read_files(table, leaf, rows, |first, files| {
        for (first, files) in (first..).step_by(at_once).zip(files.chunks(at_once)) {
            let mut pixels = vec![0; files.len() * dimension];
            let failed = pixels.par_chunks_mut(dimension).zip(files).enumerate().find_map_first(
                |(i, (out, bytes))| Some((i, decode(bytes.data(), prepare, shape, out).err()?)),
            );
            if let Some((i, problem)) = failed {
                return Err(table.error_in(leaf, first + i, problem));
            }
            kept.writer.write(&pixels)?;
        }
        Ok(())
    })
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

/// The shape that a picture has by its header.
fn shape_of(decoder: &impl ImageDecoder) -> [usize; 3] {
    let (width, height) = decoder.dimensions();
    let channels = if decoder.color_type().channel_count() < 3 { 1 } else { 3 };
    [channels, height as usize, width as usize]
}

/// A picture, prepared to that shape, into `out`.
fn decode(
    bytes: &[u8],
    prepare: &Prepare,
    shape: [usize; 3],
    out: &mut [u8],
) -> Result<(), String> {
    let decoder = decoder(bytes)?;
    let ([channels, h, w], [first, height, width]) = (prepare.shape(shape_of(&decoder)), shape);
    if [h, w] != [height, width] {
        return Err(format!(
            "is {h} x {w} (height x width), but the first picture is {height} x {width}; bring all pictures to one size, e.g. by @size=28"
        ));
    }
    if channels > first {
        return Err(
            "is in colour, but the first picture is grey; turn all to one kind, e.g. by @rgb"
                .into(),
        );
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
    fill(prepare.picture(picture)?, first, out);
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

/// The shape of the first picture of a column of (nested) lists, and their repetition levels: `[H, W]`, `[H, W, C]`, or the pixels of a square grey picture.
fn first_list(table: &Table, leaf: usize) -> Result<([usize; 3], Vec<i16>), DataError> {
    let column = table.schema().column(leaf);
    let error = |row, problem| table.error_in(leaf, row, problem);
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
    Ok((shape, pattern))
}

/// Rows of a column of lists.
fn numbers(
    table: &Table,
    leaf: usize,
    rows: Range<usize>,
    kept: &mut Kept,
) -> Result<(), DataError> {
    if rows.is_empty() {
        return Ok(());
    }
    let column = table.schema().column(leaf);
    let error = |row, problem| table.error_in(leaf, row, problem);
    let other = |row, first: [usize; 3]| {
        let problem = format!(
            "is not of the shape of the first picture, {first:?} (channels, height, width); bring all pictures to one size"
        );
        error(row, problem)
    };
    // All rows have the levels of the first, whose lists are of equal lengths.
    let (shape, pattern) = first_list(table, leaf)?;
    if kept.prepare.shape(shape) != kept.shape {
        return Err(other(0, kept.shape));
    }
    let at_once = kept.at_once(pattern.len()) * pattern.len();
    table.integers(leaf, rows, |rows| {
        let mut pictures = rows.repetitions.chunks(pattern.len());
        if let Some(i) = pictures.position(|p| p != pattern) {
            return Err(other(rows.first + i, shape));
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
        for pictures in rows.values.chunks(at_once) {
            let mut pixels = Vec::with_capacity(pictures.len());
            for picture in pictures.chunks_exact(pattern.len()) {
                for channel in 0..shape[0] {
                    pixels.extend(picture.iter().skip(channel).step_by(shape[0]).map(|&v| v as u8));
                }
            }
            if kept.prepare.changes() {
                let changed = kept.prepare.pixels(&pixels, shape);
                pixels =
                    changed.map_err(|problem| table.error(format!("each picture {problem}")))?;
            }
            kept.writer.write(&pixels)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    type Slice = (Option<usize>, Option<usize>);

    /// Pictures as they are in the file, in memory.
    fn load(path: &Path, slice: Slice) -> Result<Images, DataError> {
        super::load(&[path], slice, &Prepare::default(), u64::MAX)
    }

    /// A file of `scripts/reference/parquet_fixtures.py`.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet").join(name)
    }

    fn all(name: &str) -> Images {
        load(&fixture(name), (None, None)).unwrap()
    }

    /// The pictures of a file, as files.
    fn files(name: &str) -> Vec<Vec<u8>> {
        let path = fixture(name);
        let table = Table::open(&path).unwrap();
        let Pictures::Encoded { bytes, .. } = the_one(&table).unwrap() else { unreachable!() };
        let mut all = Vec::new();
        let keep = |_, files: &[ByteArray]| {
            all.extend(files.iter().map(|bytes| bytes.data().to_vec()));
            Ok(())
        };
        read_files(&table, bytes, 0..table.rows(), keep).unwrap();
        all
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
        assert_eq!(images.left_out, ["column `coarse_label`"]);
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
    fn files_are_read_one_behind_the_other() {
        let whole = all("hf_grey.parquet");
        let twice = whole.select(&(0..24).map(|i| i % 12).collect::<Vec<_>>());
        let paths = ["hf_grey.parquet"; 2].map(fixture);
        for (from, to) in [(0, 24), (5, 7), (5, 12), (12, 13), (11, 14), (24, 24)] {
            let (from_to, prepare) = ((Some(from), Some(to)), Prepare::default());
            let images = super::load(&paths, from_to, &prepare, u64::MAX).unwrap();
            let expected = twice.select(&(from..to).collect::<Vec<_>>());
            assert_eq!((images.len(), &images.labels), (to - from, &expected.labels));
            // Of none, it cannot be told whether all have names.
            assert_eq!(images.files.is_some(), from < 12 && to > 12);
            assert!(images.pixels == expected.pixels);
        }
        let paths = ["pixels_grid.parquet", "pixels_colour.parquet"].map(fixture);
        let load = |options: &str| {
            let prepare = options.parse().unwrap();
            super::load(&paths, (None, None), &prepare, 0).map_err(|error| error.to_string())
        };
        let message = load("invert").unwrap_err();
        assert!(
            message.contains("pixels_colour.parquet is not usable: row 0 (from 0)")
                && message.contains("is not of the shape of the first picture, [1, 4, 6]"),
            "{message}"
        );
        assert!(load("rgb").unwrap().bytes().unwrap()[5 * 72..] == expected(0..5, [3, 4, 6]));
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
        let files = files("plain_mixed.parquet");
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
                    "plain_mixed.parquet is not usable: row {row} (from 0) of column `picture` is in colour, but the first picture is grey; turn all to one \
                     kind, e.g. by @rgb"
                )),
                "{message}"
            );
        }
        assert!(problem("plain_mixed.parquet").contains("row 1 (from 0)"));
        // In a file in colour, all of them are read.
        let mut colour = [0; 72];
        for bytes in &files {
            decode(bytes, &Prepare::default(), [3, 4, 6], &mut colour).unwrap();
            assert!(super::super::decode(bytes, "x", 3).unwrap().pixels == colour);
        }
        decode(&files[0], &Prepare::default(), [3, 4, 6], &mut colour).unwrap();
        assert!(colour.chunks_exact(24).all(|channel| channel == expected(0..1, [1, 4, 6])));
    }

    #[test]
    fn pictures_of_several_sizes_and_kinds_become_one_as_those_of_a_folder() {
        let load = |name: &str, options: &str, memory| {
            let prepare = options.parse().unwrap();
            super::load(&[fixture(name)], (None, None), &prepare, memory)
        };
        for (name, options) in [
            ("two_sizes.parquet", "size=5"),
            ("two_sizes.parquet", "crop=4,invert"),
            ("plain_mixed.parquet", "rgb"),
            ("plain_mixed.parquet", "grey,invert"),
            ("plain_mixed.parquet", "size=8x3,rgb"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (i, file) in files(name).iter().enumerate() {
                std::fs::write(folder.path().join(format!("{i}.png")), file).unwrap();
            }
            let prepare = options.parse().unwrap();
            let expected = super::super::picture::load_folder(folder.path(), &prepare).unwrap();
            for memory in [0, u64::MAX] {
                let images = load(name, options, memory).unwrap();
                assert_eq!(images.shape, expected.shape, "{name}@{options}");
                assert!(images.pixels == expected.pixels, "{name}@{options}");
            }
        }
        for (name, options, part) in [
            ("two_sizes.parquet", "rgb", "is 6 x 4 (height x width), but the first picture is 4"),
            ("two_sizes.parquet", "crop=5", "is 4 x 6 (height x width), smaller than the crop"),
            ("plain_mixed.parquet", "size=5", "is in colour, but the first picture is grey"),
        ] {
            let message = load(name, options, 0).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("row "), "{message}");
            assert!(message.contains(part), "{message}");
        }
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
    fn pages_of_gzip_are_those_without_compression() {
        use parquet::file::properties::{WriterProperties, WriterVersion};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        // Lists have levels of both kinds, and the last pages nothing else: their rows are null.
        let schema = "message schema { optional group label (LIST) { repeated group list { optional int64 element; } } }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let definitions: Vec<i16> = (0..3000).map(|i| if i < 2000 { 3 } else { 0 }).collect();
        let repetitions: Vec<i16> = (0..3000).map(|i| i16::from(i < 2000 && i % 2 == 1)).collect();
        let values: Vec<i64> = (0..2000).map(|i| i % 700).collect();
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for dictionary in [false, true] {
                let read = |compression| {
                    let properties = WriterProperties::builder()
                        .set_compression(compression)
                        .set_writer_version(version)
                        .set_dictionary_enabled(dictionary)
                        .set_data_page_row_count_limit(500)
                        .set_write_batch_size(500)
                        .build();
                    let file = File::create(&path).unwrap();
                    let mut writer = parquet::file::writer::SerializedFileWriter::new(
                        file,
                        schema.clone(),
                        properties.into(),
                    )
                    .unwrap();
                    let mut group = writer.next_row_group().unwrap();
                    let mut column = group.next_column().unwrap().unwrap();
                    let typed = column.typed::<Int64Type>();
                    typed.write_batch(&values, Some(&definitions), Some(&repetitions)).unwrap();
                    column.close().unwrap();
                    group.close().unwrap();
                    writer.close().unwrap();
                    let mut all = Vec::new();
                    let table = Table::open(&path).unwrap();
                    let keep = |rows: Rows<i64>| {
                        all.push((rows.values, rows.definitions, rows.repetitions));
                        Ok(())
                    };
                    // Some pages are skipped.
                    table.read::<Int64Type>(0, 700..table.rows(), keep).unwrap();
                    all
                };
                let plain = read(Compression::UNCOMPRESSED);
                assert_eq!(plain[0].0[..2], [0, 1]);
                assert!(plain == read(Compression::GZIP(Default::default())));
            }
        }
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
                    "is 6 x 4 (height x width), but the first picture is 4 x 6; bring all pictures to one size, e.g. by @size=28",
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
            let problem = decode(&png, &Prepare::default(), [1, 3, 3], &mut [0; 9]).unwrap_err();
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
