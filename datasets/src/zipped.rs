//! Pictures in zip archives as published: Omniglot, Tiny ImageNet and CelebA, read without unpacking.
//!
//! Nothing is written, so that it does not matter which paths an archive gives its files: `../../etc/passwd` is a name like others. Names that are
//! no UTF-8 are shown with the replacement character.

use super::{
    DataError, Images, Prepare,
    original::{at_most, format, open, read, room},
    picture::planes,
};
use image::DynamicImage;
use rayon::prelude::*;
use std::{
    collections::HashMap,
    io::{Cursor, Read, Seek},
    path::Path,
};
use zip::{ZipArchive, read::ZipFile};

/// Bytes of a picture or a list at most, as a file and decoded.
const LIMIT: usize = 64 << 20;

/// Height and width of a picture at most.
const SIDE: u32 = 8192;

/// An archive in memory; its clones share it, so that each thread has its own place in it.
type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Omniglot (Lake et al. 2015): greyscale, ink bright, then prepared; labels number the characters, sorted by alphabet and character. A drawing's drawer
/// is in its file's name.
///
/// # Errors
/// An archive that cannot be read, is damaged or another, or pictures that are not of one size when they are prepared.
pub(super) fn omniglot(path: &Path, prepare: &Prepare) -> Result<Images, DataError> {
    let bytes = read(path)?;
    let archive = archive(path, Cursor::new(bytes.as_slice()))?;
    let names = drawings(&archive);
    let mut characters: Vec<&str> = names.iter().filter_map(|name| character(name)).collect();
    let each = characters.clone();
    characters.sort_unstable();
    characters.dedup();
    let labels =
        each.iter().filter_map(|c| characters.binary_search(c).ok()).map(|i| i as i64).collect();
    let ink_bright = |picture: DynamicImage| {
        let mut picture = DynamicImage::ImageLuma8(picture.into_luma8());
        picture.invert();
        prepare.picture(picture)
    };
    load(path, &archive, &names, 1, ink_bright, Some(labels))
}

/// Drawings of Omniglot, by the list at the archive's end.
///
/// # Errors
/// An archive that cannot be read.
pub(super) fn count_omniglot(path: &Path) -> Result<usize, DataError> {
    Ok(drawings(&archive(path, open(path)?)?).len())
}

fn drawings<R: Read + Seek>(archive: &ZipArchive<R>) -> Vec<String> {
    pictures(archive, |name| {
        name.ends_with(".png") && character(name).is_some_and(|c| c.contains("/character"))
    })
}

/// The alphabet and character of a drawing, from its name.
fn character(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(folder, _)| folder)
}

/// Tiny ImageNet (`tiny-imagenet-200.zip`) in colour, prepared: splits `train`, `val` and `test`, the last without labels; labels number the classes in
/// the order of their WordNet identifiers.
///
/// # Errors
/// An archive that cannot be read, is damaged or another, or pictures that are not of one size when they are prepared.
pub(super) fn tiny_imagenet(
    path: &Path,
    split: &str,
    prepare: &Prepare,
) -> Result<Images, DataError> {
    let bytes = read(path)?;
    let mut archive = archive(path, Cursor::new(bytes.as_slice()))?;
    let root = root(path, &archive)?;
    let classes = text(path, &mut archive, &format!("{root}wnids.txt"))?;
    let mut classes: Vec<&str> = classes.split_whitespace().collect();
    classes.sort_unstable();
    let label = |class: &str, from: &str| match classes.binary_search(&class) {
        Ok(label) => Ok(label as i64),
        Err(_) => Err(format(
            path,
            format!(
                "`{from}` is of class `{class}`, which `{root}wnids.txt` does not list; fetch the archive again"
            ),
        )),
    };
    let folder = format!("{root}{split}/");
    let names = photographs(&archive, &folder);
    let labels = match split {
        "train" => {
            // train/<class>/images/<class>_<number>.JPEG
            let class = |name: &str| {
                label(name[folder.len()..].split('/').next().unwrap_or_default(), name)
            };
            Some(names.iter().map(|name| class(name)).collect::<Result<_, _>>()?)
        }
        "val" => {
            let list = format!("{folder}val_annotations.txt");
            let annotations = text(path, &mut archive, &list)?;
            let annotations: HashMap<&str, &str> = annotations
                .lines()
                .filter_map(|line| {
                    let mut fields = line.split_whitespace();
                    Some((fields.next()?, fields.next()?))
                })
                .collect();
            let class = |name: &str| match annotations.get(name.rsplit('/').next().unwrap_or(name))
            {
                Some(class) => label(class, name),
                None => Err(format(
                    path,
                    format!("`{list}` does not list `{name}`; fetch the archive again"),
                )),
            };
            Some(names.iter().map(|name| class(name)).collect::<Result<_, _>>()?)
        }
        _ => None,
    };
    load(path, &archive, &names, 3, |picture| prepare.picture(picture), labels)
}

/// Photographs of a split of Tiny ImageNet, by the list at the archive's end.
///
/// # Errors
/// An archive that cannot be read, or is another.
pub(super) fn count_tiny_imagenet(path: &Path, split: &str) -> Result<usize, DataError> {
    let archive = archive(path, open(path)?)?;
    let root = root(path, &archive)?;
    Ok(photographs(&archive, &format!("{root}{split}/")).len())
}

/// The folder of Tiny ImageNet in its archive.
fn root<R: Read + Seek>(path: &Path, archive: &ZipArchive<R>) -> Result<String, DataError> {
    let root = archive.file_names().find_map(|name| name.strip_suffix("wnids.txt"));
    root.map(str::to_owned).ok_or_else(|| {
        format(path, "it has no `wnids.txt`: it is not tiny-imagenet-200.zip; put that there")
    })
}

fn photographs<R: Read + Seek>(archive: &ZipArchive<R>, folder: &str) -> Vec<String> {
    pictures(archive, |name| name.starts_with(folder) && name.ends_with(".JPEG"))
}

/// CelebA (`img_align_celeba.zip`, and `list_eval_partition.txt` beside it) in colour, prepared: splits `train`, `valid` and `test`, without labels.
///
/// # Errors
/// An archive or list that cannot be read or is damaged, pictures that the archive lacks or that are not of one size when they are prepared.
pub(super) fn celeba(path: &Path, split: &str, prepare: &Prepare) -> Result<Images, DataError> {
    let names = listed(path, split)?;
    let bytes = read(path)?;
    let archive = archive(path, Cursor::new(bytes.as_slice()))?;
    load(path, &archive, &names, 3, |picture| prepare.picture(picture), None)
}

/// Pictures of a split of CelebA, by the list beside its archive.
///
/// # Errors
/// A list that cannot be read or is damaged.
pub(super) fn count_celeba(path: &Path, split: &str) -> Result<usize, DataError> {
    Ok(listed(path, split)?.len())
}

/// Names of a split in CelebA's archive, from the list beside it.
fn listed(path: &Path, split: &str) -> Result<Vec<String>, DataError> {
    let list = path.with_file_name("list_eval_partition.txt");
    let lines = at_most(LIMIT, open(&list)?).map_err(|e| format(&list, e.to_string()))?;
    let part = match split {
        "train" => "0",
        "valid" => "1",
        _ => "2",
    };
    let mut names = Vec::new();
    for (i, line) in String::from_utf8_lossy(&lines).lines().enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [] => {}
            [name, "0" | "1" | "2"] if fields[1] != part => _ = name,
            [name, found] if found == part => names.push(format!("img_align_celeba/{name}")),
            _ => {
                let problem = format!(
                    "line {} is `{line}`; lines are such as `000001.jpg 0`: fetch the list again",
                    i + 1
                );
                return Err(format(&list, problem));
            }
        }
    }
    Ok(names)
}

/// The archive of a file.
pub(super) fn archive<R: Read + Seek>(path: &Path, file: R) -> Result<ZipArchive<R>, DataError> {
    ZipArchive::new(file).map_err(|error| {
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let problem = format!(
            "its {size} bytes are no readable zip archive ({error}): it is truncated, damaged or another file; fetch it again"
        );
        format(path, problem)
    })
}

/// A file in an archive, of which nothing is read yet.
pub(super) fn begin<'a, R: Read + Seek>(
    path: &Path,
    archive: &'a mut ZipArchive<R>,
    name: &str,
) -> Result<ZipFile<'a, R>, DataError> {
    archive.by_name(name).map_err(|error| unreadable(path, name, "", &error.to_string()))
}

fn unreadable(path: &Path, name: &str, place: &str, error: &str) -> DataError {
    format(path, format!("`{name}` in it{place} cannot be read ({error}); fetch it again"))
}

/// The bytes of a file in an archive, at most `limit`.
pub(super) fn entry<R: Read + Seek>(
    path: &Path,
    archive: &mut ZipArchive<R>,
    name: &str,
    limit: usize,
) -> Result<Vec<u8>, DataError> {
    let file = begin(path, archive, name)?;
    let place = format!(", at byte {},", file.header_start());
    let problem = |error: String| unreadable(path, name, &place, &error);
    if file.size() > limit as u64 {
        return Err(problem(format!("it announces {} bytes, and may have {limit}", file.size())));
    }
    at_most(limit, file).map_err(|error| problem(error.to_string()))
}

fn text(path: &Path, archive: &mut Archive, name: &str) -> Result<String, DataError> {
    let bytes = entry(path, archive, name, LIMIT)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Names of the files wanted, sorted.
fn pictures<R: Read + Seek>(archive: &ZipArchive<R>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> =
        archive.file_names().filter(|name| wanted(name)).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// The pictures of these names, decoded and changed by all threads.
fn load(
    path: &Path,
    archive: &Archive,
    names: &[String],
    channels: usize,
    change: impl Fn(DynamicImage) -> Result<DynamicImage, String> + Sync,
    labels: Option<Vec<i64>>,
) -> Result<Images, DataError> {
    let picture = |archive: &mut Archive, name: &str| {
        let bytes = entry(path, archive, name, LIMIT)?;
        if super::picture::ends_early(&bytes) {
            return Err(format(
                path,
                format!(
                    "`{name}` in it is a JPEG picture that ends early, with its byte {}: it is truncated; fetch the archive again",
                    bytes.len()
                ),
            ));
        }
        let picture = decode(&bytes).map_err(|error| {
            format(
                path,
                format!(
                    "`{name}` in it, of {} bytes, is no picture of at most {SIDE} x {SIDE}, or damaged ({error}); fetch the archive again",
                    bytes.len()
                ),
            )
        })?;
        let picture = change(picture).map_err(|problem| {
            format(path, format!("`{name}` in it {problem}: it is another archive; fetch it again"))
        })?;
        Ok(planes(picture, channels))
    };
    let Some(first_name) = names.first() else {
        return Err(format(
            path,
            "it has none of the pictures asked for: it is another archive, or damaged; fetch it again",
        ));
    };
    let mut archive = archive.clone();
    let first = picture(&mut archive, first_name)?;
    if first.pixels.is_empty() {
        return Err(format(path, format!("`{first_name}` in it is empty")));
    }
    // All at once, and each picture to its place: the pixels are in memory but once.
    let size = first.pixels.len().saturating_mul(names.len());
    let mut pixels = room(size as u64, u64::MAX).map_err(|problem| {
        format(path, format!("{} pictures of shape {:?} are {problem}", names.len(), first.shape))
    })?;
    pixels.resize(size, 0);
    pixels.par_chunks_exact_mut(first.pixels.len()).zip(names).try_for_each_with(archive, |archive, (place, name)| {
        let next = picture(archive, name)?;
        if next.shape != first.shape {
            let ([_, h, w], [_, first_h, first_w]) = (next.shape, first.shape);
            let problem = format!("`{name}` in it is {h} x {w} (height x width), but `{first_name}` is {first_h} x {first_w}: it is another archive, or damaged; fetch it again");
            return Err(format(path, problem));
        }
        place.copy_from_slice(&next.pixels);
        Ok(())
    })?;
    let name = path.display().to_string();
    Ok(Images {
        files: Some(names.to_vec()),
        ..Images::of_pixels(name, first.shape, pixels, labels)
    })
}

/// A picture, unless its header announces one too large.
fn decode(bytes: &[u8]) -> Result<DynamicImage, image::ImageError> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    limits.max_alloc = Some(LIMIT as u64);
    let mut reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    reader.decode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations::zip_of;
    use image::{GrayImage, ImageFormat, RgbImage};

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn grey(width: u32, height: u32, pixel: u8) -> DynamicImage {
        GrayImage::from_pixel(width, height, image::Luma([pixel])).into()
    }

    fn colour(pixel: [u8; 3]) -> Vec<u8> {
        encoded(&RgbImage::from_pixel(8, 8, image::Rgb(pixel)).into(), ImageFormat::Jpeg)
    }

    /// A file of an archive in a folder of its own.
    fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pictures.zip");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn drawings(files: &[(&str, &[u8])]) -> Result<Images, String> {
        omniglot(&file(&zip_of(files)).1, &Prepare::default()).map_err(|error| error.to_string())
    }

    const A: &str = "images_background/Latin/character01/0700_01.png";
    const B: &str = "images_background/Greek/character02/0500_02.png";

    #[test]
    fn omniglot_is_read_sorted_with_bright_ink() {
        let (white, black) = (
            encoded(&grey(3, 2, 255), ImageFormat::Png),
            encoded(&grey(3, 2, 0), ImageFormat::Png),
        );
        let again = B.replace("_02.png", "_01.png");
        let files: [(&str, &[u8]); 4] =
            [(A, &white), (B, &black), (&again, &white), ("images_background/notes.png", b"no")];
        let (_folder, path) = file(&zip_of(&files));
        let images = omniglot(&path, &Prepare::default()).unwrap();
        assert_eq!((images.len(), images.shape), (3, [1, 2, 3]));
        assert_eq!(images.labels, Some(vec![0, 0, 1]));
        assert_eq!(images.pixels, [[0; 6], [255; 6], [0; 6]].concat());
        assert_eq!(images.files.unwrap(), [again.as_str(), B, A]);
        let reduced = omniglot(&path, &"size=1".parse().unwrap()).unwrap();
        assert_eq!((reduced.shape, reduced.pixels), ([1, 1, 1], vec![0, 255, 0].into()));
    }

    #[test]
    fn one_bit_pictures_are_black_and_white() {
        // 9 x 1, one bit a pixel, as Omniglot's: white but for the first and the last.
        const PNG: &[u8] = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/goldens/formats/one_bit.png"
        ));
        let images = drawings(&[(A, PNG)]).unwrap();
        let diagonal = vec![255, 0, 0, 0, 0, 0, 0, 0, 255];
        assert_eq!((images.shape, images.pixels), ([1, 1, 9], diagonal.into()));
    }

    #[test]
    fn tiny_imagenet_has_its_classes_sorted_and_its_grey_pictures_in_colour() {
        let (red, flat) = (colour([250, 0, 0]), encoded(&grey(8, 8, 9), ImageFormat::Jpeg));
        let annotations = "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t1\t2\t3\t4\n";
        let mut files: Vec<(&str, &[u8])> = vec![
            ("tiny-imagenet-200/wnids.txt", b"n02\nn01\n"),
            ("tiny-imagenet-200/train/n02/images/n02_0.JPEG", &red),
            ("tiny-imagenet-200/train/n01/images/n01_0.JPEG", &flat),
            ("tiny-imagenet-200/train/n01/n01_boxes.txt", b"n01_0.JPEG\t0\t0\t9\t9\n"),
            ("tiny-imagenet-200/val/val_annotations.txt", annotations.as_bytes()),
            ("tiny-imagenet-200/val/images/val_0.JPEG", &red),
            ("tiny-imagenet-200/val/images/val_1.JPEG", &flat),
            ("tiny-imagenet-200/test/images/test_0.JPEG", &red),
        ];
        let read = |files: &[(&str, &[u8])], split: &str| {
            tiny_imagenet(&file(&zip_of(files)).1, split, &Prepare::default())
                .map_err(|error| error.to_string())
        };
        let train = read(&files, "train").unwrap();
        assert_eq!((train.shape, train.labels.as_deref()), ([3, 8, 8], Some([0, 1].as_slice())));
        assert!(train.sample(0).unwrap().iter().all(|p| p.abs_diff(9) < 2), "grey in all channels");
        let second = train.sample(1).unwrap();
        let (bright, dark) = second.split_at(64);
        assert!(bright.iter().all(|p| *p > 240) && dark.iter().all(|p| *p < 10), "channels first");
        assert_eq!(read(&files, "val").unwrap().labels, Some(vec![1, 0]));
        let test = read(&files, "test").unwrap();
        assert_eq!((test.len(), test.labels), (1, None));

        files.push(("tiny-imagenet-200/val/images/val_2.JPEG", &red));
        let message = read(&files, "val").unwrap_err();
        assert!(
            message.contains(
                "val_annotations.txt` does not list `tiny-imagenet-200/val/images/val_2.JPEG`"
            ),
            "{message}"
        );
        files.push(("tiny-imagenet-200/train/n03/images/n03_0.JPEG", &red));
        let message = read(&files, "train").unwrap_err();
        assert!(
            message
                .contains("is of class `n03`, which `tiny-imagenet-200/wnids.txt` does not list"),
            "{message}"
        );
        assert!(read(&files[1..], "train").unwrap_err().contains("it has no `wnids.txt`"));
    }

    #[test]
    fn celeba_is_split_by_the_list_beside_it() {
        let (red, blue) = (colour([250, 0, 0]), colour([0, 0, 250]));
        let files: [(&str, &[u8]); 2] =
            [("img_align_celeba/000001.jpg", &red), ("img_align_celeba/000002.jpg", &blue)];
        let (folder, path) = file(&zip_of(&files));
        let read = |list: &str, split: &str| {
            std::fs::write(folder.path().join("list_eval_partition.txt"), list).unwrap();
            celeba(&path, split, &Prepare::default()).map_err(|error| error.to_string())
        };
        let message = celeba(&path, "train", &Prepare::default()).unwrap_err().to_string();
        assert!(
            message.contains("cannot read") && message.contains("list_eval_partition.txt"),
            "{message}"
        );
        let list = "000001.jpg 2\n000002.jpg 0\n";
        let train = read(list, "train").unwrap();
        assert_eq!((train.len(), train.labels.as_ref()), (1, None));
        assert!(train.sample(0).unwrap()[2 * 64] > 240, "blue");
        assert!(read(list, "test").unwrap().sample(0).unwrap()[0] > 240, "red");
        assert!(read(list, "valid").unwrap_err().contains("none of the pictures asked for"));
        let message = celeba(&path, "train", &"crop=9".parse().unwrap()).unwrap_err().to_string();
        assert!(
            message.contains(
                "`img_align_celeba/000002.jpg` in it is 8 x 8 (height x width), smaller than the crop of 9 x 9: it is another archive"
            ),
            "{message}"
        );
        let message = read("000001.jpg 0\n000003.jpg 0\n", "train").unwrap_err();
        assert!(
            message.contains("`img_align_celeba/000003.jpg` in it cannot be read (specified file not found in archive)"),
            "{message}"
        );
        for line in ["000002.jpg 3", "000002.jpg", "image_id,partition"] {
            let message = read(&format!("000001.jpg 1\n{line}\n"), "valid").unwrap_err();
            assert!(message.contains(&format!("line 2 is `{line}`")), "{message}");
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let picture = encoded(&grey(5, 5, 3), ImageFormat::Png);
        let good = zip_of(&[(A, &picture), (B, &picture)]);
        let read = |bytes: &[u8]| omniglot(&file(bytes).1, &Prepare::default());
        for end in 0..good.len() {
            let message = read(&good[..end]).unwrap_err().to_string();
            assert!(
                message.contains(&format!(
                    "pictures.zip is not usable: its {end} bytes are no readable zip archive"
                )),
                "{message}"
            );
        }
        let images = read(&good).unwrap();
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                // A time or a name may be another, and a name that no longer matches is left out.
                if let Ok(read) = read(&bytes) {
                    let (images, read) = (images.bytes().unwrap(), read.bytes().unwrap());
                    assert!(images.starts_with(&read), "{at}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_entry() {
        let picture = encoded(&grey(5, 5, 3), ImageFormat::Png);
        let jpeg = encoded(&grey(5, 5, 3), ImageFormat::Jpeg);
        let other = encoded(&grey(5, 6, 3), ImageFormat::Png);
        let cut = jpeg.len() - 2;
        type Files<'a> = &'a [(&'a str, &'a [u8])];
        let files: [(Files, String); 4] = [
            (
                &[(A, &picture[..40])],
                format!(
                    "`{A}` in it, of 40 bytes, is no picture of at most 8192 x 8192, or damaged"
                ),
            ),
            (
                &[(A, &jpeg[..cut])],
                format!("`{A}` in it is a JPEG picture that ends early, with its byte {cut}"),
            ),
            (&[("a.png", &picture)], "none of the pictures asked for".into()),
            (
                &[(A, &picture), (B, &other)],
                format!("`{A}` in it is 5 x 5 (height x width), but `{B}` is 6 x 5"),
            ),
        ];
        for (files, expected) in files {
            let message = drawings(files).unwrap_err();
            assert!(
                message.contains("pictures.zip is not usable: ")
                    && message.contains(&expected)
                    && message.contains("fetch"),
                "{message}"
            );
        }
        // A byte within the second file: its entry begins behind the first.
        let mut zip = zip_of(&[(B, &picture), (A, &picture)]);
        let second = zip.windows(4).rposition(|bytes| bytes == b"PK\x03\x04").unwrap();
        zip[second + 30 + A.len() + 20] ^= 0xff;
        let message = omniglot(&file(&zip).1, &Prepare::default()).unwrap_err().to_string();
        let expected = format!("`{A}` in it, at byte {second}, cannot be read (behind byte ");
        assert!(message.contains(&expected) && message.contains("fetch it again"), "{message}");
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        // A picture of few bytes, and wide.
        let wide = encoded(&grey(SIDE + 1, 1, 0), ImageFormat::Png);
        assert!(drawings(&[(A, &wide)]).unwrap_err().contains("at most 8192 x 8192"));
        // Within both sides, and of more than 64 MiB in colour.
        let large = encoded(&RgbImage::new(SIDE, SIDE / 2).into(), ImageFormat::Png);
        assert!(large.len() < LIMIT && drawings(&[(A, &large)]).is_err());
        let bomb = vec![0; LIMIT + 1];
        let mut zip = zip_of(&[(A, &bomb)]);
        assert!(zip.len() < 1 << 20);
        let read =
            |bytes: &[u8]| omniglot(&file(bytes).1, &Prepare::default()).unwrap_err().to_string();
        assert!(
            read(&zip).contains("it announces 67108865 bytes, and may have 67108864"),
            "{}",
            read(&zip)
        );
        // One that announces 100 bytes.
        let announced = (bomb.len() as u32).to_le_bytes();
        let places: Vec<usize> =
            (0..zip.len() - 4).filter(|&i| zip[i..i + 4] == announced).collect();
        assert_eq!(places.len(), 2, "one in the file's header, one in the archive's list");
        places.iter().for_each(|&i| zip[i..i + 4].copy_from_slice(&100u32.to_le_bytes()));
        let message = read(&zip);
        assert!(message.contains("it holds more than the 67108864 bytes"), "{message}");
    }

    #[test]
    fn strange_names_are_harmless() {
        // Nothing is written, so a path that leads outside is a name.
        let picture = encoded(&grey(5, 5, 3), ImageFormat::Png);
        let outside = "../../Latin/character01/a.png";
        assert_eq!(drawings(&[(outside, &picture)]).unwrap().files.unwrap(), [outside]);
        // Bytes that are no UTF-8, though flagged as such.
        let mut zip = zip_of(&[("Latin/character01/é.png", b"no picture")]);
        for i in 0..zip.len() - 1 {
            if zip[i..i + 2] == *"é".as_bytes() {
                zip[i..i + 2].copy_from_slice(&[0xff, 0xfe]);
            }
        }
        let message = omniglot(&file(&zip).1, &Prepare::default()).unwrap_err().to_string();
        assert!(
            message.contains(
                "`Latin/character01/\u{fffd}\u{fffd}.png` in it, of 10 bytes, is no picture"
            ),
            "{message}"
        );
    }

    #[test]
    #[ignore = "reads Omniglot: set OMNIGLOT to the folder that holds its images_background_small1.zip"]
    fn the_original_archives_load() {
        let folder =
            std::path::PathBuf::from(std::env::var_os("OMNIGLOT").expect("OMNIGLOT is set"));
        let images =
            omniglot(&folder.join("images_background_small1.zip"), &Prepare::default()).unwrap();
        assert_eq!((images.len(), images.shape), (2720, [1, 105, 105]));
        let pixels = images.bytes().unwrap();
        assert!(pixels.iter().all(|p| [0, 255].contains(p)));
        let ink = pixels.iter().filter(|p| **p == 255).count() as f64 / pixels.len() as f64;
        assert!(ink > 0.01 && ink < 0.15, "{ink}");
        let labels = images.labels.unwrap();
        assert!(
            labels.chunks(20).enumerate().all(|(i, twenty)| twenty.iter().all(|l| *l == i as i64))
        );
    }
}
