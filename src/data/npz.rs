//! npz archives of images: `images` (or `<split>_images`) uint8 `[N, H, W]` or `[N, H, W, C]`, `labels` optional.

use super::{DataError, Images};
use npyz::{DType, NpyFile, TypeChar};
use std::path::Path;

/// Images of an archive. With a split, the arrays are named `<split>_images`, as MedMNIST does, where those exist.
///
/// # Errors
/// Archives that cannot be read, lack the array, or hold another type or shape.
pub(super) fn load(path: &Path, split: Option<&str>) -> Result<Images, DataError> {
    let format = |problem: String| DataError::Format { path: path.to_path_buf(), problem };
    let file = std::fs::File::open(path).map_err(|source| DataError::Read {
        path: path.to_path_buf(),
        source,
        hint: String::new(),
    })?;
    let mut archive =
        npyz::npz::NpzArchive::new(std::io::BufReader::new(file)).map_err(|error| {
            format(format!("it is no readable npz archive ({error}); fetch it again"))
        })?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let name = |plain: &str| {
        let prefixed = split.map(|split| format!("{split}_{plain}"));
        prefixed.into_iter().chain([plain.to_owned()]).find(|name| names.contains(name))
    };
    let Some(images) = name("images") else {
        let wanted = split.map_or("images".into(), |s| format!("images` or `{s}_images"));
        return Err(format(format!("it has no array `{wanted}`; it has {names:?}")));
    };
    let array = archive
        .by_name(&images)
        .map_err(|error| format(format!("`{images}` is damaged ({error})")))?
        .ok_or_else(|| format(format!("`{images}` is missing")))?;
    let (n, shape) = match *array.shape() {
        [n, h, w] => (n, [1, h, w]),
        [n, h, w, c @ (1 | 3)] => (n, [c, h, w]),
        ref other => {
            return Err(format(format!(
                "`{images}` has shape {other:?}; images are [N, H, W], [N, H, W, 1] or [N, H, W, 3]"
            )));
        }
    };
    let shape = shape.map(|s| s as usize);
    if n == 0 || shape.contains(&0) {
        return Err(format(format!("`{images}` holds no images (shape {:?})", array.shape())));
    }
    let pixels = bytes(array).map_err(|problem| format(format!("`{images}` {problem}")))?;
    let pixels = channels_first(pixels, shape);
    let labels = match name("labels") {
        None => None,
        Some(labels) => {
            let array = archive
                .by_name(&labels)
                .map_err(|error| format(format!("`{labels}` is damaged ({error})")))?
                .ok_or_else(|| format(format!("`{labels}` is missing")))?;
            let values =
                integers(array).map_err(|problem| format(format!("`{labels}` {problem}")))?;
            if values.len() as u64 != n {
                return Err(format(format!(
                    "`{labels}` has {} values for {n} images",
                    values.len()
                )));
            }
            Some(values)
        }
    };
    Ok(Images { name: path.display().to_string(), shape, pixels, labels })
}

/// `[N, H, W, C]` to `[N, C, H, W]`.
fn channels_first(pixels: Vec<u8>, [c, h, w]: [usize; 3]) -> Vec<u8> {
    if c == 1 {
        return pixels;
    }
    let mut out = Vec::with_capacity(pixels.len());
    for sample in pixels.chunks(c * h * w) {
        for channel in 0..c {
            out.extend(sample.iter().skip(channel).step_by(c));
        }
    }
    out
}

fn kind<R: std::io::Read>(array: &NpyFile<R>) -> Option<(TypeChar, u64)> {
    match array.dtype() {
        DType::Plain(t) => Some((t.type_char(), t.size_field())),
        _ => None,
    }
}

fn row_major<R: std::io::Read>(array: &NpyFile<R>) -> Result<(), String> {
    match array.order() {
        npyz::Order::C => Ok(()),
        npyz::Order::Fortran => {
            Err("is in Fortran order; save it with np.ascontiguousarray".into())
        }
    }
}

/// Pixels as bytes; floats are accepted where they are whole numbers from 0 to 255.
fn bytes<R: std::io::Read>(array: NpyFile<R>) -> Result<Vec<u8>, String> {
    row_major(&array)?;
    let damaged =
        |error: std::io::Error| format!("is truncated or damaged ({error}); fetch it again");
    let floats: Vec<f64> = match kind(&array) {
        Some((TypeChar::Uint, 1)) => return array.into_vec::<u8>().map_err(damaged),
        Some((TypeChar::Float, 4)) => {
            array.into_vec::<f32>().map_err(damaged)?.into_iter().map(f64::from).collect()
        }
        Some((TypeChar::Float, 8)) => array.into_vec::<f64>().map_err(damaged)?,
        _ => return Err(format!("has type {}; pixels are uint8", array.dtype().descr())),
    };
    let nan = floats.iter().filter(|v| v.is_nan()).count();
    if nan > 0 {
        return Err(format!("holds {nan} NaN pixels; mend or drop those images"));
    }
    let other = floats.iter().filter(|v| v.fract() != 0.0 || !(0.0..=255.0).contains(*v)).count();
    if other > 0 {
        return Err(format!(
            "holds {other} values that are no whole numbers from 0 to 255; save pixels as uint8 (multiply images in [0, 1] by 255 first)"
        ));
    }
    Ok(floats.into_iter().map(|v| v as u8).collect())
}

fn integers<R: std::io::Read>(array: NpyFile<R>) -> Result<Vec<i64>, String> {
    row_major(&array)?;
    let damaged =
        |error: std::io::Error| format!("is truncated or damaged ({error}); fetch it again");
    macro_rules! widen {
        ($type:ty) => {
            array.into_vec::<$type>().map_err(damaged)?.into_iter().map(|v| v as i64).collect()
        };
    }
    Ok(match kind(&array) {
        Some((TypeChar::Int, 8)) => array.into_vec::<i64>().map_err(damaged)?,
        Some((TypeChar::Int, 4)) => widen!(i32),
        Some((TypeChar::Int, 2)) => widen!(i16),
        Some((TypeChar::Int, 1)) => widen!(i8),
        Some((TypeChar::Uint, 1)) => widen!(u8),
        Some((TypeChar::Uint, 2)) => widen!(u16),
        Some((TypeChar::Uint, 4)) => widen!(u32),
        _ => return Err(format!("has type {}; labels are integers", array.dtype().descr())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_split_picks_its_arrays() {
        let dir = tempfile::tempdir().unwrap();
        let arrays: [(&str, &[u64], &[u8]); 3] = [
            ("train_images", &[1, 1, 2], &[1, 2]),
            ("val_images", &[2, 1, 1], &[3, 4]),
            ("val_labels", &[2, 1], &[5, 6]),
        ];
        let images = load(&write(dir.path(), &arrays), Some("val")).unwrap();
        assert_eq!((images.pixels, images.labels), (vec![3, 4], Some(vec![5, 6])));
    }

    #[test]
    fn unusable_arrays_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let nan = [1.0, f32::NAN, f32::NAN, 2.0];
        assert!(
            problem(&write(dir.path(), &[("images", &[1, 2, 2], &nan)])).contains("2 NaN pixels")
        );
        let unit = [0.5f32, 0.25, 1.0, 0.0];
        assert!(
            problem(&write(dir.path(), &[("images", &[1, 2, 2], &unit)]))
                .contains("no whole numbers")
        );
        let wide = [1i32; 4];
        assert!(
            problem(&write(dir.path(), &[("images", &[1, 2, 2], &wide)]))
                .contains("pixels are uint8")
        );
        let flat = [1u8; 4];
        assert!(problem(&write(dir.path(), &[("images", &[4], &flat)])).contains("has shape [4]"));
        assert!(
            problem(&write(dir.path(), &[("pictures", &[1, 2, 2], &flat)]))
                .contains("no array `images`")
        );
        assert!(
            problem(&write::<u8>(dir.path(), &[("images", &[0, 2, 2], &[])]))
                .contains("holds no images")
        );
        let labels: [(&str, &[u64], &[u8]); 2] =
            [("images", &[1, 2, 2], &flat), ("labels", &[2], &[1, 2])];
        assert!(problem(&write(dir.path(), &labels)).contains("2 values for 1 images"));
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &[("images", &[1, 2, 2], &[1u8; 4])]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(problem(&path).contains("no readable npz archive"));
    }
}
