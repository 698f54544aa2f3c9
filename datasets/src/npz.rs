//! npz archives of images: `images` (or `<split>_images`) uint8 `[N, H, W]` or `[N, H, W, C]`; or of vectors: `features` `[N, D]`; `labels` optional.

use super::{
    DataError, Images,
    names::{FEATURES, LABELS, PICTURES, TARGETS, is_one, likeliest},
    original::{self, format, room},
};
use half::f16;
use npyz::{DType, NpyFile, TypeChar, WriterBuilder};
use std::{
    io::{Cursor, Read},
    path::Path,
};

/// Images of an archive. With a split, the arrays are named `<split>_images` and `<split>_labels`, as MedMNIST does. Without one, they are the first of
/// [`PICTURES`] or [`FEATURES`], or the only array that can be pictures or vectors, whatever its name.
///
/// # Errors
/// Archives that cannot be read, lack the array, or hold another type or shape.
pub(super) fn load(path: &Path, split: Option<&str>) -> Result<Images, DataError> {
    let mut archive = open(path)?;
    let names = names(&archive);
    let (name, pictures) = the_one(path, &mut archive, split, &names)?;
    let mut read = if pictures {
        pictures_of(path, &mut archive, &name)?
    } else {
        vectors(path, &mut archive, &name)?
    };
    let labels = labels(path, &mut archive, split, &names, read.len() as u64)?;
    let (labels_name, labels) = labels.unzip();
    let taken = |array: &String| *array == name || labels_name.as_ref() == Some(array);
    // Of an archive of several splits, the others are elsewhere.
    let own = |array: &String| split.is_none_or(|split| array.starts_with(&format!("{split}_")));
    let others = names.iter().filter(|array| own(array) && !taken(array));
    read.left_out = others.map(|array| format!("array `{array}`")).collect();
    Ok(Images { labels, ..read })
}

/// The names of all arrays, in their order whatever that in the archive.
fn names(archive: &Archive) -> Vec<String> {
    let mut names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    names.sort();
    names
}

/// The array of the samples, and whether they are pictures.
fn the_one(
    path: &Path,
    archive: &mut Archive,
    split: Option<&str>,
    names: &[String],
) -> Result<(String, bool), DataError> {
    let lacks = |arrays: &str| {
        format(
            path,
            format!("it has no array {arrays}; it has {names:?}: name the one that is meant so"),
        )
    };
    if let Some(split) = split {
        let images = format!("{split}_images");
        return match names.contains(&images) {
            true => Ok((images, true)),
            false => Err(lacks(&format!("`{images}`, where the pictures should be"))),
        };
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(place) = likeliest(&known, &PICTURES) {
        return Ok((names[place].clone(), true));
    }
    if let Some(place) = likeliest(&known, &FEATURES) {
        return Ok((names[place].clone(), false));
    }
    let mut likely = Vec::new();
    for name in names {
        // An array that is damaged, or of objects, is not the only one that can be read.
        let Ok((array, _)) = array(path, archive, name) else { continue };
        match (kind(&array), array.shape().len()) {
            (Some((TypeChar::Uint, 1)), 3 | 4) => likely.push((name.clone(), true)),
            (Some((TypeChar::Float, _)), 2) => likely.push((name.clone(), false)),
            _ => {}
        }
    }
    match likely.len() {
        1 => Ok(likely.remove(0)),
        _ => {
            Err(lacks("`images` (uint8 [N, H, W] or [N, H, W, 3]), nor `features` (float [N, D])"))
        }
    }
}

/// Pictures without their labels.
fn pictures_of(path: &Path, archive: &mut Archive, images: &str) -> Result<Images, DataError> {
    let (array, most) = array(path, archive, images)?;
    let (n, shape) = match *array.shape() {
        [n, h, w] => (n, [1, h, w]),
        [n, h, w, c @ (1 | 3)] => (n, [c, h, w]),
        ref other => {
            return Err(format(
                path,
                format!(
                    "`{images}` has shape {other:?}; images are [N, H, W], [N, H, W, 1] or [N, H, W, 3]: bring them to one of these"
                ),
            ));
        }
    };
    let shape = shape.map(|s| s as usize);
    if n == 0 || shape.contains(&0) {
        return Err(format(
            path,
            format!("`{images}` holds no images (shape {:?})", array.shape()),
        ));
    }
    let mut pixels =
        bytes(array, most).map_err(|problem| format(path, format!("`{images}` {problem}")))?;
    channels_first(&mut pixels, shape);
    Ok(Images::of_pixels(path.display().to_string(), shape, pixels, None))
}

/// How many images the header of their array announces; it is all that is read.
///
/// # Errors
/// Archives that cannot be read, or lack the array.
pub(super) fn count(path: &Path, split: Option<&str>) -> Result<usize, DataError> {
    let mut archive = open(path)?;
    let names = names(&archive);
    let (name, _) = the_one(path, &mut archive, split, &names)?;
    let (array, _) = array(path, &mut archive, &name)?;
    Ok(array.shape().first().map_or(0, |&n| n as usize))
}

type Archive = npyz::npz::NpzArchive<std::io::BufReader<std::fs::File>>;

fn open(path: &Path) -> Result<Archive, DataError> {
    let size = original::size(path)?;
    npyz::npz::NpzArchive::new(original::open(path)?).map_err(|error| {
        let problem = format!(
            "its {size} bytes are no readable npz archive ({error}): it is truncated, damaged or another file; fetch it again"
        );
        format(path, problem)
    })
}

/// An array of an archive, of which the header is read, and how many bytes its entry announces.
fn array<'a>(
    path: &Path,
    archive: &'a mut Archive,
    name: &str,
) -> Result<(NpyFile<impl Read + 'a>, u64), DataError> {
    let problem = |what: String| {
        format(path, format!("the header of its entry `{name}.npy` {what}; fetch the file again"))
    };
    let entry = npyz::npz::file_name_from_array_name(name);
    let size = archive.zip_archive().by_name(&entry).map_or(0, |entry| entry.size());
    let array = archive.by_name(name).map_err(|error| problem(format!("is damaged ({error})")))?;
    array.map(|array| (array, size)).ok_or_else(|| problem("is missing".into()))
}

/// Bytes of an array at most.
const LIMIT: u64 = 64 << 30;

/// Feature vectors `[N, D]` without their labels.
fn vectors(path: &Path, archive: &mut Archive, name: &str) -> Result<Images, DataError> {
    let format = |problem: String| format(path, format!("`{name}` {problem}"));
    let (array, most) = array(path, archive, name)?;
    let dimension = match *array.shape() {
        [n, d] if n > 0 && d > 0 => d as usize,
        ref other => {
            return Err(format(format!(
                "has shape {other:?}; feature vectors are [N, D]: reshape it"
            )));
        }
    };
    // As pandas writes a table: column by column.
    let by_column = array.order() == npyz::Order::Fortran;
    let array = raw(array, most).map_err(format)?;
    let found: Result<Vec<f32>, String> = match kind(&array) {
        Some((TypeChar::Float, 2)) => converted(array, f16::to_f32),
        Some((TypeChar::Float, 4)) => values(array),
        Some((TypeChar::Float, 8)) => converted(array, |v: f64| v as f32),
        Some((TypeChar::Int | TypeChar::Uint, _)) => {
            integers(array).map(|values| values.into_iter().map(|v| v as f32).collect())
        }
        _ => Err(format!(
            "has type {}; feature vectors are float16, float32, float64 or integers",
            array.dtype().descr()
        )),
    };
    let mut found = found.map_err(format)?;
    if by_column {
        let rows = found.len() / dimension;
        found = (0..found.len()).map(|i| found[i % dimension * rows + i / dimension]).collect();
    }
    let mut bad = (0..found.len()).filter(|&i| !found[i].is_finite());
    if let Some(first) = bad.next() {
        let (row, column) = (first / dimension, first % dimension);
        return Err(format(format!(
            "holds {} values that are NaN or infinite, the first in row {row}, column {column} (from 0); mend or drop those rows",
            1 + bad.count()
        )));
    }
    Ok(Images::of_vectors(path.display().to_string(), dimension, &found, None))
}

/// The labels of `n` samples and the name of their array, where there is one.
fn labels(
    path: &Path,
    archive: &mut Archive,
    split: Option<&str>,
    names: &[String],
    n: u64,
) -> Result<Option<(String, Vec<i64>)>, DataError> {
    // What belongs to another split has a name that is not known.
    let plain = |name: &String| match split {
        None => Some(name.clone()),
        Some(split) => name.strip_prefix(&format!("{split}_")).map(str::to_owned),
    };
    let known: Vec<String> = names.iter().map(|n| plain(n).unwrap_or_default()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for candidate in LABELS.iter().chain(&TARGETS) {
        let Some(place) = likeliest(&known, &[candidate]) else { continue };
        let name = &names[place];
        let format = |problem: String| format(path, format!("`{name}` {problem}"));
        let (array, most) = array(path, archive, name)?;
        let whole_numbers = matches!(kind(&array), Some((TypeChar::Int | TypeChar::Uint, _)));
        let strict = is_one(candidate, &LABELS);
        match array.len() {
            // Several findings an image are no class of it.
            _ if matches!(*array.shape(), [rows, k] if rows == n && k > 1) => {}
            found if found == n && (strict || whole_numbers) => {
                let labels = whole(array, most).and_then(integers).map_err(format)?;
                return Ok(Some((name.clone(), labels)));
            }
            found if strict => {
                return Err(format(format!(
                    "has {found} values for {n} images; save one label an image, or leave the array out"
                )));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// An archive with one array `images`, uint8 `[N, H, W]`, or `[N, H, W, C]` of more than one channel; what a SPEC of the file reads.
///
/// # Errors
/// The archive cannot be made.
///
/// # Shapes
/// - pixels: `[N, C, H, W]`
pub fn to_npz(pixels: &[u8], [c, h, w]: [usize; 3]) -> std::io::Result<Vec<u8>> {
    let n = pixels.len() / (c * h * w).max(1);
    let mut bytes = Cursor::new(Vec::new());
    let mut npz = npyz::npz::NpzWriter::new(&mut bytes);
    let shape: Vec<u64> = match c {
        1 => [n, h, w].map(|s| s as u64).to_vec(),
        _ => [n, h, w, c].map(|s| s as u64).to_vec(),
    };
    let array = npz.array("images", undated())?;
    let mut writer = array.default_dtype().shape(&shape).begin_nd()?;
    for sample in pixels.chunks(c * h * w) {
        for position in 0..h * w {
            writer.extend((0..c).map(|channel| sample[channel * h * w + position]))?;
        }
    }
    writer.finish()?;
    drop(npz);
    Ok(bytes.into_inner())
}

/// How arrays are put into archives: without the time, so that the same arrays make the same bytes.
fn undated() -> npyz::zip::write::FileOptions {
    npyz::zip::write::FileOptions::default().last_modified_time(npyz::zip::DateTime::default())
}

/// An archive with one array `features`, float32 `[N, D]`; what a SPEC of the file reads.
///
/// # Errors
/// The archive cannot be made.
pub fn vectors_to_npz(values: &[f32], dimension: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let mut npz = npyz::npz::NpzWriter::new(&mut bytes);
    let shape = [values.len() / dimension.max(1), dimension].map(|s| s as u64);
    let array = npz.array("features", undated())?;
    let mut writer = array.default_dtype().shape(&shape).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    drop(npz);
    Ok(bytes.into_inner())
}

/// `[N, H, W, C]` to `[N, C, H, W]`, one image after the other: the pixels are in memory but once.
fn channels_first(pixels: &mut [u8], [c, h, w]: [usize; 3]) {
    for sample in pixels.chunks_exact_mut(c * h * w).filter(|_| c > 1) {
        let interleaved = sample.to_vec();
        for (channel, plane) in sample.chunks_exact_mut(h * w).enumerate() {
            let values = interleaved.iter().skip(channel).step_by(c);
            plane.iter_mut().zip(values).for_each(|(pixel, value)| *pixel = *value);
        }
    }
}

fn kind<R: std::io::Read>(array: &NpyFile<R>) -> Option<(TypeChar, u64)> {
    match array.dtype() {
        DType::Plain(t) => Some((t.type_char(), t.size_field())),
        _ => None,
    }
}

/// The array with all of its bytes. Reads to the end of the archive's entry, where its checksum is verified, but no more than one byte beyond what the
/// header announces: a small file made to unpack to more than memory is refused. Its entry announces `most` bytes.
fn whole(array: NpyFile<impl Read>, most: u64) -> Result<NpyFile<Cursor<Vec<u8>>>, String> {
    if array.order() == npyz::Order::Fortran {
        return Err("is in Fortran order; save it with np.ascontiguousarray".into());
    }
    raw(array, most)
}

/// The same, in whatever order its values are.
fn raw(array: NpyFile<impl Read>, most: u64) -> Result<NpyFile<Cursor<Vec<u8>>>, String> {
    let header = array.header().clone();
    let announced = format!("announces shape {:?} of {}", header.shape(), header.dtype().descr());
    let size = header.dtype().num_bytes().map(|size| size as u64);
    let expected = header.shape().iter().try_fold(size, |bytes, &n| Some(bytes?.checked_mul(n)));
    let Some(expected) = expected.flatten().filter(|&bytes| bytes <= LIMIT) else {
        return Err(format!(
            "{announced}, more than the {LIMIT} bytes that an array may have: it is damaged, or to be split into several files"
        ));
    };
    let mut raw = room(expected, most).map_err(|problem| format!("{announced}, {problem}"))?;
    array.into_inner().take(expected + 1).read_to_end(&mut raw).map_err(|error| {
        format!(
            "is truncated or damaged behind byte {} of its {expected} bytes of values ({error}); fetch it again",
            raw.len()
        )
    })?;
    let found = raw.len() as u64;
    if found != expected {
        let found = if found > expected { "more".into() } else { found.to_string() };
        return Err(format!(
            "{announced}, {expected} bytes in all, but {found} follow: it is truncated or damaged; fetch it again"
        ));
    }
    Ok(NpyFile::with_header(header, Cursor::new(raw)))
}

/// Pixels as bytes; floats are accepted where they are whole numbers from 0 to 255.
fn bytes(array: NpyFile<impl Read>, most: u64) -> Result<Vec<u8>, String> {
    let array = whole(array, most)?;
    let dimension = array.shape().iter().skip(1).product::<u64>().max(1);
    let floats: Vec<f64> = match kind(&array) {
        Some((TypeChar::Uint, 1)) => return Ok(array.into_inner().into_inner()),
        Some((TypeChar::Float, 2)) => converted(array, f16::to_f64)?,
        Some((TypeChar::Float, 4)) => converted::<f32, _>(array, f64::from)?,
        Some((TypeChar::Float, 8)) => values(array)?,
        _ => return Err(format!("has type {}; pixels are uint8", array.dtype().descr())),
    };
    let whole = |v: &f64| v.fract() == 0.0 && (0.0..=255.0).contains(v);
    let mut bad = (0..floats.len()).filter(|&i| !whole(&floats[i]));
    if let Some(first) = bad.next() {
        return Err(format!(
            "holds {} values that are no whole numbers from 0 to 255, the first, {}, in image {} (from 0); mend or drop such images, or save pixels as uint8 \
             (multiply images in [0, 1] by 255 first)",
            1 + bad.count(),
            floats[first],
            first as u64 / dimension
        ));
    }
    Ok(floats.into_iter().map(|v| v as u8).collect())
}

/// Integers of any type.
fn integers(array: NpyFile<Cursor<Vec<u8>>>) -> Result<Vec<i64>, String> {
    match kind(&array) {
        Some((TypeChar::Int, 8)) => values(array),
        Some((TypeChar::Int, 4)) => widen::<i32>(array),
        Some((TypeChar::Int, 2)) => widen::<i16>(array),
        Some((TypeChar::Int, 1)) => widen::<i8>(array),
        Some((TypeChar::Uint, 8)) => widen::<u64>(array),
        Some((TypeChar::Uint, 4)) => widen::<u32>(array),
        Some((TypeChar::Uint, 2)) => widen::<u16>(array),
        Some((TypeChar::Uint, 1)) => widen::<u8>(array),
        _ => Err(format!("has type {}; labels are integers", array.dtype().descr())),
    }
}

fn values<T: npyz::Deserialize>(array: NpyFile<Cursor<Vec<u8>>>) -> Result<Vec<T>, String> {
    array.into_vec().map_err(|error| format!("cannot be read ({error})"))
}

/// Values as others, one by one.
fn converted<T: npyz::Deserialize, V>(
    array: NpyFile<Cursor<Vec<u8>>>,
    convert: impl Fn(T) -> V,
) -> Result<Vec<V>, String> {
    Ok(values(array)?.into_iter().map(convert).collect())
}

fn widen<T>(array: NpyFile<Cursor<Vec<u8>>>) -> Result<Vec<i64>, String>
where
    T: npyz::Deserialize + TryInto<i64> + Copy + std::fmt::Display,
{
    values::<T>(array)?
        .into_iter()
        .enumerate()
        .map(|(i, v)| {
            v.try_into().map_err(|_| {
                format!("holds {v} at place {i} (from 0), beyond int64; write smaller numbers")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Noise};
    use npyz::WriterBuilder;
    use std::path::PathBuf;

    fn write<T: npyz::AutoSerialize + Copy>(
        dir: &Path,
        arrays: &[(&str, &[u64], &[T])],
    ) -> PathBuf {
        let path = dir.join("x.npz");
        let mut npz = npyz::npz::NpzWriter::create(&path).unwrap();
        for (name, shape, data) in arrays {
            let mut writer = npz
                .array(name, Default::default())
                .unwrap()
                .default_dtype()
                .shape(shape)
                .begin_nd()
                .unwrap();
            writer.extend(data.iter().copied()).unwrap();
            writer.finish().unwrap();
        }
        path
    }

    fn problem(path: &Path) -> String {
        load(path, None).unwrap_err().to_string()
    }

    #[test]
    fn colour_images_become_channels_first() {
        let dir = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..12).collect();
        let images = load(&write(dir.path(), &[("images", &[1, 2, 2, 3], &data)]), None).unwrap();
        assert_eq!(images.shape, [3, 2, 2]);
        assert_eq!(images.pixels, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert_eq!(images.labels, None);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for shape in [[1, 3, 5], [3, 4, 2]] {
            let images = Images::random(7, shape, 1);
            let path = dir.path().join("written.npz");
            std::fs::write(&path, to_npz(&images.bytes().unwrap(), shape).unwrap()).unwrap();
            let read = load(&path, None).unwrap();
            assert_eq!((read.shape, read.pixels), (shape, images.pixels));
            // Midnight and the first day that archives know: no bytes of their own for every time.
            assert_eq!(std::fs::read(&path).unwrap()[10..14], [0, 0, 0x21, 0]);
        }
    }

    #[test]
    fn features_are_vectors() {
        let dir = tempfile::tempdir().unwrap();
        let values = [1.5f32, -2.0, 0.0, 4.0, 5.0, 6.0];
        let vectors = load(&write(dir.path(), &[("features", &[2, 3], &values)]), None).unwrap();
        assert_eq!((vectors.shape, vectors.len(), vectors.kind), ([3, 1, 1], 2, Kind::Vectors));
        assert_eq!(vectors.unit(&[0, 1], Noise::Off).unwrap(), values);
        let double = values.map(f64::from);
        assert_eq!(
            load(&write(dir.path(), &[("embeddings", &[2, 3], &double)]), None).unwrap().pixels,
            vectors.pixels
        );
        // As pandas writes a table: column by column.
        let path = dir.path().join("x.npz");
        let mut npz = npyz::npz::NpzWriter::create(&path).unwrap();
        let array = npz.array("features", Default::default()).unwrap();
        let order = npyz::Order::Fortran;
        let mut writer = array.default_dtype().shape(&[2, 3]).order(order).begin_nd().unwrap();
        writer.extend([1.5f32, 4.0, -2.0, 5.0, 0.0, 6.0]).unwrap();
        writer.finish().unwrap();
        drop(npz);
        assert_eq!(load(&path, None).unwrap().pixels, vectors.pixels);
        assert!(
            problem(&write(dir.path(), &[("features", &[6], &values)]))
                .contains("vectors are [N, D]")
        );
        assert!(
            problem(&write(dir.path(), &[("features", &[1, 2], &[1.0, f32::NAN])]))
                .contains("1 values that are NaN")
        );
    }

    #[test]
    fn vectors_are_of_any_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let expected = [1.5f32, -2.0];
        let half = expected.map(f16::from_f32);
        let vectors = load(&write(dir.path(), &[("Features", &[1, 2], &half)]), None).unwrap();
        assert_eq!(vectors.unit(&[0], Noise::Off).unwrap(), expected);
        let whole: [i16; 2] = [300, -2];
        let vectors = load(&write(dir.path(), &[("features", &[1, 2], &whole)]), None).unwrap();
        assert_eq!(vectors.unit(&[0], Noise::Off).unwrap(), [300.0, -2.0]);
        let half = [7.0f32, 9.0].map(f16::from_f32);
        let images = load(&write(dir.path(), &[("images", &[1, 1, 2], &half)]), None).unwrap();
        assert_eq!(images.pixels, [7, 9]);
    }

    #[test]
    fn the_only_array_that_can_be_samples_is_taken_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &[("arr_0", &[2, 2], &[0.5f32, 1.5, 2.5, 3.5])]);
        assert_eq!(load(&path, None).unwrap().kind, Kind::Vectors);
        let arrays: [(&str, &[u64], &[u8]); 4] = [
            ("X", &[2, 1, 2], &[1, 2, 3, 4]),
            ("y", &[2], &[5, 6]),
            ("ids", &[2], &[8, 9]),
            ("boxes", &[1, 4], &[1; 4]),
        ];
        let images = load(&write(dir.path(), &arrays), None).unwrap();
        assert_eq!((images.kind, images.shape), (Kind::Pixels, [1, 1, 2]));
        assert_eq!(images.labels, Some(vec![5, 6]));
        assert_eq!(images.left_out, ["array `boxes`", "array `ids`"]);
    }

    #[test]
    fn labels_have_one_of_several_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["label", "Labels", "targets", "target", "y", "fine_label", "class"] {
            let arrays: [(&str, &[u64], &[i64]); 2] =
                [("features", &[2, 1], &[7, 8]), (name, &[2], &[3, 4])];
            let vectors = load(&write(dir.path(), &arrays), None).unwrap();
            assert_eq!((vectors.labels, vectors.left_out), (Some(vec![3, 4]), vec![]), "{name}");
        }
        // Values of a regression, or of other things, are no labels.
        let arrays: [(&str, &[u64], &[f32]); 2] =
            [("features", &[2, 1], &[7.0, 8.0]), ("y", &[2], &[0.5, 1.5])];
        let vectors = load(&write(dir.path(), &arrays), None).unwrap();
        assert_eq!((vectors.labels, vectors.left_out), (None, vec!["array `y`".to_owned()]));
    }

    #[test]
    fn a_split_picks_its_arrays() {
        let dir = tempfile::tempdir().unwrap();
        let arrays: [(&str, &[u64], &[u8]); 3] = [
            ("train_images", &[1, 1, 2], &[1, 2]),
            ("val_images", &[2, 1, 1], &[3, 4]),
            ("val_labels", &[2, 1], &[5, 6]),
        ];
        let path = write(dir.path(), &arrays);
        let images = load(&path, Some("val")).unwrap();
        assert_eq!((images.pixels, images.labels), (vec![3, 4].into(), Some(vec![5, 6])));
        assert_eq!(load(&path, Some("train")).unwrap().labels, None);
    }

    #[test]
    fn an_archive_without_the_split_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &[("images", &[1, 1, 2], &[1u8, 2])]);
        let message = load(&path, Some("val")).unwrap_err().to_string();
        assert!(
            message.contains(
                "no array `val_images`, where the pictures should be; it has [\"images\"]"
            ),
            "{message}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let flat = [1u8; 4];
        type Arrays<'a, T> = &'a [(&'a str, &'a [u64], &'a [T])];
        let check = |path: PathBuf, expected: &str| {
            let message = problem(&path);
            assert!(
                message.contains("x.npz is not usable: ") && message.contains(expected),
                "{message}"
            );
        };
        let nan: Arrays<f32> = &[("images", &[2, 1, 2], &[1.0, 2.0, f32::NAN, f32::NAN])];
        check(
            write(dir.path(), nan),
            "`images` holds 2 values that are no whole numbers from 0 to 255, the first, NaN, in image 1 (from 0)",
        );
        let unit: Arrays<f32> = &[("images", &[1, 2, 2], &[0.5, 0.25, 1.0, 0.0])];
        check(write(dir.path(), unit), "holds 2 values that are no whole numbers");
        let infinite: Arrays<f32> = &[("features", &[2, 2], &[0.5, 0.25, 1.0, f32::INFINITY])];
        check(
            write(dir.path(), infinite),
            "`features` holds 1 values that are NaN or infinite, the first in row 1, column 1 (from 0)",
        );
        let wide: Arrays<i32> = &[("images", &[1, 2, 2], &[1; 4])];
        check(write(dir.path(), wide), "`images` has type '<i4'; pixels are uint8");
        let bytes: [(Arrays<u8>, &str); 4] = [
            (&[("images", &[4], &flat)], "`images` has shape [4]; images are [N, H, W]"),
            (
                &[("left", &[1, 2, 2], &flat), ("right", &[1, 2, 2], &flat)],
                "it has no array `images` (uint8 [N, H, W] or [N, H, W, 3]), nor `features` (float [N, D]); it has [\"left\", \"right\"]: name",
            ),
            (&[("images", &[0, 2, 2], &[])], "`images` holds no images (shape [0, 2, 2])"),
            (
                &[("images", &[1, 2, 2], &flat), ("labels", &[2], &[1, 2])],
                "`labels` has 2 values for 1 images; save one label an image",
            ),
        ];
        for (arrays, expected) in bytes {
            check(write(dir.path(), arrays), expected);
        }
        let several: Arrays<u8> = &[("images", &[1, 2, 2], &flat), ("labels", &[1, 2], &[1, 0])];
        let path = write(dir.path(), several);
        assert_eq!(load(&path, None).unwrap().labels, None);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..100]).unwrap();
        check(path.clone(), "its 100 bytes are no readable npz archive");
        // The magic of the first entry.
        let mut other = whole.clone();
        other[0] = 0;
        std::fs::write(&path, other).unwrap();
        check(path, "the header of its entry `images.npy` is damaged");
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        // Noise does not compress: only the checksum can tell that one of its bytes changed.
        let noise = Images::random(1, [1, 64, 64], 0).pixels.into_bytes().unwrap();
        let path = write(dir.path(), &[("images", &[1, 64, 64], &noise)]);
        assert_eq!(load(&path, None).unwrap().pixels, noise);
        let mut file = std::fs::read(&path).unwrap();
        let middle = file.len() / 2;
        file[middle] ^= 1;
        std::fs::write(&path, file).unwrap();
        assert!(
            problem(&path)
                .contains("`images` is truncated or damaged behind byte 4096 of its 4096"),
            "{}",
            problem(&path)
        );
    }

    #[test]
    fn an_array_is_as_long_as_its_header_says() {
        let mut npy = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(&[1, 1, 2]);
        let mut writer = options.writer(&mut npy).begin_nd().unwrap();
        writer.extend([1u8, 2]).unwrap();
        writer.finish().unwrap();
        let read = |npy: &[u8]| bytes(NpyFile::new(npy).unwrap(), 9);
        assert_eq!(read(&npy).unwrap(), [1, 2]);
        assert!(read(&npy[..npy.len() - 1]).unwrap_err().contains("2 bytes in all, but 1 follow"));
        let longer = [npy.as_slice(), &[3]].concat();
        assert!(read(&longer).unwrap_err().contains("2 bytes in all, but more follow"));
    }

    #[test]
    fn no_more_is_read_than_is_announced() {
        let announcing = |kind: &str, shape: &str, data: Box<dyn Read>| {
            let header =
                format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            let mut npy = b"\x93NUMPY\x01\x00".to_vec();
            npy.extend((header.len() as u16).to_le_bytes());
            npy.extend(header.bytes());
            bytes(NpyFile::new(Cursor::new(npy).chain(data)).unwrap(), 9)
        };
        // The stream has no end: it is left after the first byte too many.
        let endless = |kind: &str, shape: &str| {
            announcing(kind, shape, Box::new(std::io::repeat(0))).unwrap_err()
        };
        let message = endless("|u1", "(1, 2, 2)");
        assert!(message.contains("4 bytes in all, but more follow"), "{message}");
        // The last one is of 2^65 bytes.
        for (kind, shape) in
            [("|u1", "(68719476737,)"), ("<f8", "(8589934593,)"), ("<f8", "(4611686018427387904,)")]
        {
            let message = endless(kind, shape);
            assert!(message.contains("more than the 68719476736 bytes"), "{message}");
        }
        let four = Box::new([1u8, 2, 3, 4].as_slice());
        assert_eq!(announcing("|u1", "(1, 2, 2)", four).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn an_entry_that_unpacks_to_more_than_it_announces_is_refused() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npz");
        let mut npy = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(&[1, 2, 2]);
        let mut writer = options.writer(&mut npy).begin_nd().unwrap();
        writer.extend([1u8, 2, 3, 4]).unwrap();
        writer.finish().unwrap();
        npy.resize(npy.len() + (10 << 20), 0);
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        zip.start_file("images.npy", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy).unwrap();
        zip.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 18);
        let message = problem(&path);
        assert!(message.contains("`images` announces shape [1, 2, 2]"), "{message}");
        assert!(message.contains("4 bytes in all, but more follow"), "{message}");
    }

    #[test]
    fn labels_may_be_of_any_integer_type() {
        fn labels<T: npyz::AutoSerialize>(values: Vec<T>) -> Result<Vec<i64>, String> {
            let mut npy = Vec::new();
            let shape = [values.len() as u64];
            let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
            let mut writer = options.writer(&mut npy).begin_nd().unwrap();
            writer.extend(values).unwrap();
            writer.finish().unwrap();
            integers(whole(NpyFile::new(npy.as_slice()).unwrap(), 9)?)
        }
        assert_eq!(labels(vec![-1i64, 3]), Ok(vec![-1, 3]));
        assert_eq!(labels(vec![-1i8, 3]), Ok(vec![-1, 3]));
        assert_eq!(labels(vec![7u32, 3]), Ok(vec![7, 3]));
        assert_eq!(labels(vec![7u64, 3]), Ok(vec![7, 3]));
        let message = labels(vec![1, u64::MAX]).unwrap_err();
        assert!(message.contains("18446744073709551615 at place 1 (from 0), beyond int64"));
        assert!(labels(vec![1.0f32]).unwrap_err().contains("labels are integers"));
    }
}
