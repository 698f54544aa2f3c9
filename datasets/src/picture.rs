//! Pictures: PNG, JPEG and WebP files, and folders of them.

use super::{DataError, Images, Prepare, names::is_one, original};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader};
use rayon::prelude::*;
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

/// Ends of the names of pictures.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Pixels of the largest picture that is decoded: the header of a small file can announce any size. Beside it, `image` has a bound on memory of its own.
const MOST_PIXELS: u64 = 64 << 20;

/// One picture from the bytes of its file, as `channels` channels: 1 (its luma) or 3; a transparency is left out. `name` is for messages.
///
/// # Errors
/// Bytes that are no PNG, JPEG or WebP, or damaged; a picture of more than 64 Mi pixels.
pub fn decode(bytes: &[u8], name: &str, channels: usize) -> Result<Images, DataError> {
    let Planes { shape, pixels } = planes(read(bytes, name)?, channels);
    Ok(Images::of_pixels(name.to_owned(), shape, pixels, None))
}

/// What is named of a folder in messages.
const FEW: usize = 5;

/// What lies in a folder, by name.
struct Listing {
    /// Files of these ends.
    files: Vec<PathBuf>,
    /// Names of the other files.
    others: Vec<String>,
    /// Names of the folders in it.
    folders: Vec<String>,
}

impl Listing {
    fn of(folder: &Path, ends: &[&str]) -> Result<Self, DataError> {
        let error = |source| original::unreadable(folder, source);
        let mut listing = Self { files: Vec::new(), others: Vec::new(), folders: Vec::new() };
        for entry in std::fs::read_dir(folder).map_err(error)? {
            let entry = entry.map_err(error)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if path.is_dir() {
                listing.folders.push(name);
            } else if is_one(end, ends) {
                listing.files.push(path);
            } else {
                listing.others.push(name);
            }
        }
        listing.files.sort();
        listing.others.sort();
        listing.folders.sort();
        Ok(listing)
    }

    /// What is not read, in words.
    fn left_out(&self) -> Vec<String> {
        let words = |kind: &str, names: &[String]| {
            let mut words: Vec<String> =
                names.iter().take(FEW).map(|name| format!("{kind} `{name}`")).collect();
            if names.len() > FEW {
                words.push(format!("{} {kind}s more", names.len() - FEW));
            }
            words
        };
        [words("file", &self.others), words("folder", &self.folders)].concat()
    }
}

/// The parquet files of a folder that has no pictures, by name, and what else lies there, in words.
pub(super) fn shards(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>), DataError> {
    if !Listing::of(folder, &EXTENSIONS)?.files.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let listing = Listing::of(folder, &["parquet"])?;
    let left_out = listing.left_out();
    Ok((listing.files, left_out))
}

/// All pictures of a folder, by name, each changed as `prepare` says; greyscale if all of them are, where it does not say.
pub(super) fn load_folder(folder: &Path, prepare: &Prepare) -> Result<Images, DataError> {
    let listing = Listing::of(folder, &EXTENSIONS)?;
    let (left_out, paths) = (listing.left_out(), &listing.files);
    let format =
        |path: &Path, problem: String| DataError::Format { path: path.to_path_buf(), problem };
    let picture = |path: &PathBuf| {
        let bytes = original::read(path)?;
        let picture = read(&bytes, &path.display().to_string())?;
        prepare.picture(picture).map_err(|problem| format(path, format!("it {problem}")))
    };
    let pictures = paths.par_iter().map(picture).collect::<Result<Vec<_>, _>>()?;
    let grey = pictures.iter().all(|p| p.color().channel_count() < 3);
    let channels = prepare.channels.unwrap_or(if grey { 1 } else { 3 });
    let name = folder.display().to_string();
    let mut pictures = pictures.into_iter().map(|picture| planes(picture, channels));
    let Some(Planes { shape, mut pixels }) = pictures.next() else {
        let few: Vec<&str> = listing.folders.iter().take(FEW).map(String::as_str).collect();
        let problem = match few[..] {
            [] => String::new(),
            [first, ..] => format!(
                ", but {} folders, which are not read: {}{}; name one of them, {}/{first}/, or put the files of all into one folder",
                listing.folders.len(),
                few.join(", "),
                if listing.folders.len() > FEW { ", …" } else { "" },
                name.trim_end_matches('/')
            ),
        };
        return Err(format(
            folder,
            format!("it has no .png, .jpg, .jpeg, .webp or .parquet files{problem}"),
        ));
    };
    for (path, next) in paths.iter().skip(1).zip(pictures) {
        if next.shape != shape {
            let ([_, h, w], [_, first_h, first_w]) = (next.shape, shape);
            let first = paths[0].display();
            return Err(format(
                path,
                format!(
                    "it is {h} x {w} (height x width), but {first} is {first_h} x {first_w}; bring them to one size, e.g. by {}/@size=28",
                    name.trim_end_matches('/')
                ),
            ));
        }
        pixels.extend(next.pixels);
    }
    let files = Some(paths.iter().map(|path| path.display().to_string()).collect());
    Ok(Images { files, left_out, ..Images::of_pixels(name, shape, pixels, None) })
}

/// Whether a file is a JPEG that ends before its picture does: the decoder fills up with grey what is missing, and says nothing.
pub(super) fn ends_early(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    // The last scan must be closed. A thumbnail within, which has an end of its own, comes before it.
    bytes.starts_with(&[0xff, 0xd8]) && last([0xff, 0xda]) >= last([0xff, 0xd9])
}

/// What is wrong with a header, if it announces no pixels, or more than are decoded.
pub(super) fn beyond(decoder: &impl ImageDecoder) -> Option<String> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    (pixels == 0 || pixels > MOST_PIXELS).then(|| {
        format!(
            "says that it is {height} x {width} (height x width), beyond {MOST_PIXELS} pixels: it is damaged, or to be scaled down"
        )
    })
}

fn read(bytes: &[u8], name: &str) -> Result<DynamicImage, DataError> {
    if ends_early(bytes) {
        return Err(DataError::Format {
            path: name.into(),
            problem: format!(
                "it is a JPEG picture that ends early, with its byte {}: it is truncated; fetch it again",
                bytes.len()
            ),
        });
    }
    let damaged = |e: ImageError| DataError::Format {
        path: name.into(),
        problem: format!(
            "its {} bytes are no PNG, JPEG or WebP picture, or damaged ({e}); fetch it again, or leave it out",
            bytes.len()
        ),
    };
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let decoder = reader.map_err(ImageError::IoError).and_then(ImageReader::into_decoder);
    let decoder = decoder.map_err(damaged)?;
    if let Some(problem) = beyond(&decoder) {
        return Err(DataError::Format { path: name.into(), problem: format!("it {problem}") });
    }
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

/// One picture, channels first.
pub(super) struct Planes {
    /// `[channels, height, width]`.
    pub(super) shape: [usize; 3],
    pub(super) pixels: Vec<u8>,
}

/// A picture as `channels` channels: 1 (its luma) or 3.
pub(super) fn planes(picture: DynamicImage, channels: usize) -> Planes {
    let channels = if channels == 1 { 1 } else { 3 };
    let shape = [channels, picture.height() as usize, picture.width() as usize];
    let mut pixels = vec![0; shape.iter().product()];
    fill(picture, channels, &mut pixels);
    Planes { shape, pixels }
}

/// [`planes`], into `out`.
pub(super) fn fill(picture: DynamicImage, channels: usize, out: &mut [u8]) {
    if channels == 1 {
        return out.copy_from_slice(&picture.into_luma8());
    }
    let interleaved = picture.into_rgb8();
    let positions = out.len() / 3;
    for (channel, plane) in out.chunks_exact_mut(positions.max(1)).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(interleaved.chunks_exact(3)) {
            *value = pixel[channel];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, RgbImage};

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn colours() -> DynamicImage {
        RgbImage::from_raw(2, 1, vec![1, 2, 3, 40, 50, 60]).unwrap().into()
    }

    #[test]
    fn pictures_come_back_channels_first() {
        let bytes = encoded(&colours(), ImageFormat::Png);
        let images = decode(&bytes, "a.png", 3).unwrap();
        assert_eq!((images.shape, images.pixels), ([3, 1, 2], vec![1, 40, 2, 50, 3, 60].into()));
        assert_eq!(decode(&bytes, "a.png", 1).unwrap().shape, [1, 1, 2]);
        let grey: DynamicImage = GrayImage::from_raw(3, 1, vec![9, 8, 7]).unwrap().into();
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let images = decode(&encoded(&grey, format), "g", 1).unwrap();
            assert_eq!((images.shape, images.pixels), ([1, 1, 3], vec![9, 8, 7].into()));
        }
        let jpeg = decode(&encoded(&colours(), ImageFormat::Jpeg), "c.jpg", 3).unwrap();
        assert_eq!(jpeg.shape, [3, 1, 2]);
    }

    #[test]
    fn a_jpeg_that_ends_early_is_not_filled_up_with_grey() {
        let grey = GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * 3 + y * 5) as u8]));
        let bytes = encoded(&grey.into(), ImageFormat::Jpeg);
        decode(&bytes, "a.jpg", 1).unwrap();
        for end in 0..bytes.len() - 1 {
            assert!(decode(&bytes[..end], "a.jpg", 1).is_err(), "{end} of {} bytes", bytes.len());
        }
        // What a camera writes behind the end is no harm.
        decode(&[bytes.as_slice(), b"more"].concat(), "a.jpg", 1).unwrap();
    }

    #[test]
    fn a_header_that_announces_an_absurd_size_is_refused() {
        // Grey all over, a few hundred bytes that would take seconds to become 336 million pixels.
        let mut bytes = encoded(&GrayImage::new(8, 8).into(), ImageFormat::Jpeg);
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..][..4].copy_from_slice(&[0x2e, 0x70, 0x6e, 0x67]);
        let message = decode(&bytes, "a.jpg", 1).unwrap_err().to_string();
        let expected = "a.jpg is not usable: it says that it is 11888 x 28263 (height x width), beyond 67108864";
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn damaged_pictures_and_mixed_folders_are_explained() {
        let bytes = encoded(&colours(), ImageFormat::Png);
        for end in 0..bytes.len() - 12 {
            let message = decode(&bytes[..end], "a.png", 3).unwrap_err().to_string();
            let expected = format!("a.png is not usable: its {end} bytes are no PNG");
            assert!(message.starts_with(&expected), "{message}");
        }
        let jpeg = encoded(&colours(), ImageFormat::Jpeg);
        let end = jpeg.len() - 2;
        let message = decode(&jpeg[..end], "a.jpg", 3).unwrap_err().to_string();
        let expected = format!(
            "a.jpg is not usable: it is a JPEG picture that ends early, with its byte {end}"
        );
        assert!(message.starts_with(&expected), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let load = |options: &Prepare| load_folder(folder.path(), options);
        let problem = || load(&Prepare::default()).unwrap_err().to_string();
        assert!(problem().ends_with("it has no .png, .jpg, .jpeg, .webp or .parquet files"));
        std::fs::create_dir(folder.path().join("cats")).unwrap();
        assert!(
            problem().contains(", but 1 folders, which are not read: cats; name one of them, ")
        );
        for class in ["ants", "bees", "dogs", "elks", "foxes"] {
            std::fs::create_dir(folder.path().join(class)).unwrap();
        }
        let expected = "6 folders, which are not read: ants, bees, cats, dogs, elks, …; name";
        assert!(problem().contains(expected) && problem().contains("/ants/, or"), "{}", problem());
        std::fs::write(folder.path().join("a.PNG"), &bytes).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        let images = load(&Prepare::default()).unwrap();
        assert_eq!(images.shape, [3, 1, 2]);
        assert!(images.files.unwrap()[0].ends_with("a.PNG"));
        assert_eq!(images.left_out[..2], ["file `notes.txt`", "folder `ants`"]);
        assert_eq!(images.left_out[6..], ["1 folders more"]);
        let other: DynamicImage = GrayImage::from_raw(3, 1, vec![9, 8, 7]).unwrap().into();
        std::fs::write(folder.path().join("b.png"), encoded(&other, ImageFormat::Png)).unwrap();
        assert!(problem().contains("b.png is not usable: it is 1 x 3"), "{}", problem());
        let same: Prepare = "size=4,rgb".parse().unwrap();
        assert_eq!((load(&same).unwrap().shape, load(&same).unwrap().len()), ([3, 4, 4], 2));
    }
}
