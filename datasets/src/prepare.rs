//! What is done to pictures before a model sees them, as a SPEC says it.

use super::{DataError, Images, Kind, picture::planes};
use image::{DynamicImage, GrayImage, RgbImage, imageops::FilterType};
use rayon::prelude::*;
use std::{fmt, str::FromStr};

/// Changes of every picture, and a choice among them; in this order whatever the order in the SPEC: `crop`, `size`, `grey` or `rgb`, `invert`, then `first` or
/// `rest`.
///
/// ```
/// use atypical_data::Prepare;
/// let prepare: Prepare = "crop=148,size=32,grey".parse().unwrap();
/// assert_eq!(prepare.to_string(), "crop=148,size=32,grey");
/// assert!("sise=32".parse::<Prepare>().unwrap_err().contains("did you mean `size`"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepare {
    /// Height and width of a piece from the middle; a picture that is smaller is an error.
    pub crop: Option<[usize; 2]>,
    /// Height and width to resize to, smoothly: each new pixel is a weighted mean of the old ones under it.
    pub size: Option<[usize; 2]>,
    /// Channels: 1 (the luma) or 3.
    pub channels: Option<usize>,
    /// Black to white and white to black.
    pub invert: bool,
    /// A part of the set.
    pub part: Option<Part>,
}

/// A part of a set, by seed: the same images whatever else is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// A share of the images, in (0, 1).
    pub share: f64,
    /// That share, or all others.
    pub first: bool,
    /// The seed.
    pub seed: u64,
}

/// The options, for messages and guesses.
const OPTIONS: [&str; 8] = ["crop", "size", "grey", "rgb", "invert", "first", "rest", "seed"];

impl FromStr for Prepare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut prepare, mut seed) = (Self::default(), None);
        let mut seen = Vec::new();
        for option in text.split(',') {
            let (key, value) = option.split_once('=').map_or((option, None), |(k, v)| (k, Some(v)));
            let plain = |given: Option<&str>| match given {
                None => Ok(()),
                Some(value) => Err(format!("`{key}` takes no value, but has `{value}`")),
            };
            if seen.contains(&key) {
                return Err(format!("`{key}` is there twice"));
            }
            seen.push(key);
            match key {
                "crop" => prepare.crop = Some(sides(key, value)?),
                "size" => prepare.size = Some(sides(key, value)?),
                "grey" | "rgb" => {
                    plain(value)?;
                    if prepare.channels.is_some() {
                        return Err("pictures become `grey` or `rgb`, not both".into());
                    }
                    prepare.channels = Some(if key == "grey" { 1 } else { 3 });
                }
                "invert" => {
                    plain(value)?;
                    prepare.invert = true;
                }
                "first" | "rest" => {
                    let share = value.and_then(|v| v.parse().ok()).filter(|s| *s > 0.0 && *s < 1.0);
                    let share = share.ok_or_else(|| {
                        format!("`{option}` is no share; write a number between 0 and 1: {key}=0.8")
                    })?;
                    if prepare.part.is_some() {
                        return Err("a part is `first` or `rest`, not both".into());
                    }
                    prepare.part = Some(Part { share, first: key == "first", seed: 0 });
                }
                "seed" => {
                    let number = value.and_then(|v| v.parse().ok());
                    seed =
                        Some(number.ok_or_else(|| format!("`{option}` is no seed; write seed=1"))?);
                }
                other => {
                    return Err(format!(
                        "there is no option `{other}`; {}there are crop=H or HxW, size=H or HxW, grey, rgb, invert, first=SHARE, rest=SHARE and seed=N",
                        super::did_you_mean(other, &OPTIONS)
                    ));
                }
            }
        }
        match (&mut prepare.part, seed) {
            (Some(part), Some(seed)) => part.seed = seed,
            (None, Some(_)) => {
                return Err("`seed` goes with `first` or `rest`, whose images it draws".into());
            }
            (_, None) => {}
        }
        Ok(prepare)
    }
}

/// `28` or `28x32`, height first.
fn sides(key: &str, value: Option<&str>) -> Result<[usize; 2], String> {
    let value = value.unwrap_or_default();
    let (height, width) = value.split_once('x').unwrap_or((value, value));
    match (height.parse(), width.parse()) {
        (Ok(height @ 1..=4096), Ok(width @ 1..=4096)) => Ok([height, width]),
        _ => Err(format!(
            "`{key}={value}` is no size; write {key}=28 or {key}=28x32 (height x width), at most 4096"
        )),
    }
}

impl fmt::Display for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |[h, w]: [usize; 2]| if h == w { h.to_string() } else { format!("{h}x{w}") };
        let mut options = Vec::new();
        options.extend(self.crop.map(|crop| format!("crop={}", size(crop))));
        options.extend(self.size.map(|sides| format!("size={}", size(sides))));
        options.extend(self.channels.map(|c| if c == 1 { "grey".into() } else { "rgb".into() }));
        options.extend(self.invert.then(|| "invert".into()));
        if let Some(Part { share, first, seed }) = self.part {
            options.push(format!("{}={share}", if first { "first" } else { "rest" }));
            options.extend((seed != 0).then(|| format!("seed={seed}")));
        }
        f.write_str(&options.join(","))
    }
}

impl Prepare {
    /// Whether pictures themselves change, not only which of them are taken.
    pub(super) fn changes(&self) -> bool {
        self.crop.is_some() || self.size.is_some() || self.channels.is_some() || self.invert
    }

    /// One picture, changed; the channels are left to what makes planes of it.
    ///
    /// # Errors
    /// A picture that is smaller than the crop, in words.
    pub(super) fn picture(&self, mut picture: DynamicImage) -> Result<DynamicImage, String> {
        if let Some([height, width]) = self.crop {
            let [h, w] = [picture.height() as usize, picture.width() as usize];
            if h < height || w < width {
                return Err(format!(
                    "it is {h} x {w} (height x width), smaller than the crop of {height} x {width}"
                ));
            }
            let [top, left] = [(h - height) / 2, (w - width) / 2].map(|side| side as u32);
            picture = picture.crop_imm(left, top, width as u32, height as u32);
        }
        if let Some([height, width]) = self.size
            && [picture.height(), picture.width()] != [height as u32, width as u32]
        {
            picture = picture.resize_exact(width as u32, height as u32, FilterType::Triangle);
        }
        if self.channels == Some(1) {
            picture = picture.to_luma8().into();
        }
        if self.invert {
            picture.invert();
        }
        Ok(picture)
    }

    /// A set as a whole.
    ///
    /// # Errors
    /// Pictures that are smaller than the crop.
    pub(super) fn images(&self, images: Images) -> Result<Images, DataError> {
        if self.changes() && images.kind == Kind::Vectors {
            return Err(DataError::Spec {
                spec: images.name,
                problem:
                    "it holds vectors, which are not cropped, resized, turned grey or inverted"
                        .into(),
            });
        }
        Ok(self.part(if self.changes() { self.changed(images)? } else { images }))
    }

    /// The part of a set.
    pub(super) fn part(&self, images: Images) -> Images {
        match self.part {
            None => images,
            Some(Part { share, first, seed }) => {
                // `split` names the share second.
                let (rest, part) = images.split(share, seed);
                if first { part } else { rest }
            }
        }
    }

    fn changed(&self, images: Images) -> Result<Images, DataError> {
        let changed = self.pixels(&images.bytes()?, images.shape);
        let changed =
            changed.map_err(|problem| DataError::Spec { spec: images.name.clone(), problem })?;
        Ok(Images { shape: self.shape(images.shape), pixels: changed.into(), ..images })
    }

    /// The shape of pictures of this shape, changed.
    pub(super) fn shape(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        let [height, width] = self.size.or(self.crop).unwrap_or([height, width]);
        [self.channels.unwrap_or(channels), height, width]
    }

    /// Pictures of one shape, changed one by one.
    ///
    /// # Errors
    /// Pictures that are smaller than the crop, in words.
    pub(super) fn pixels(&self, pixels: &[u8], shape: [usize; 3]) -> Result<Vec<u8>, String> {
        let [c, h, w] = shape;
        let [channels, ..] = self.shape(shape);
        let one = |pixels: &[u8]| {
            let picture = match c {
                1 => {
                    GrayImage::from_raw(w as u32, h as u32, pixels.to_vec()).map(DynamicImage::from)
                }
                _ => {
                    let positions = h * w;
                    let interleaved =
                        (0..3 * positions).map(|i| pixels[i % 3 * positions + i / 3]).collect();
                    RgbImage::from_raw(w as u32, h as u32, interleaved).map(DynamicImage::from)
                }
            };
            let picture = picture.ok_or("it is too large for a picture")?;
            Ok(planes(&self.picture(picture)?, channels).pixels)
        };
        let changed: Result<Vec<Vec<u8>>, String> = pixels.par_chunks(c * h * w).map(one).collect();
        Ok(changed?.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(options: &str, images: &Images) -> Result<Images, String> {
        let prepare: Prepare = options.parse()?;
        prepare.images(images.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn options_round_trip_and_mistakes_are_explained() {
        for text in
            ["size=28", "crop=20x18,size=28,grey,invert", "rgb", "first=0.8", "rest=0.8,seed=3"]
        {
            assert_eq!(text.parse::<Prepare>().unwrap().to_string(), text);
        }
        for (text, said) in [
            ("sise=28", "did you mean `size`?"),
            ("size=0", "`size=0` is no size"),
            ("size=1x99999", "at most 4096"),
            ("size", "`size=` is no size"),
            ("grey,rgb", "not both"),
            ("grey=1", "takes no value"),
            ("first=80", "`first=80` is no share"),
            ("first=0.5,rest=0.5", "not both"),
            ("size=3,size=4", "`size` is there twice"),
            ("seed=3", "goes with `first` or `rest`"),
            ("", "no option ``"),
        ] {
            let error = text.parse::<Prepare>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn pictures_are_cropped_from_the_middle_turned_grey_and_inverted() {
        let images = Images::of_pixels("a".into(), [3, 4, 4], (0..48).collect(), None);
        let cropped = prepared("crop=2", &images).unwrap();
        assert_eq!(cropped.shape, [3, 2, 2]);
        assert_eq!(cropped.bytes().unwrap()[..4], [5, 6, 9, 10]);
        let inverted = prepared("crop=2,invert", &images).unwrap();
        assert_eq!(inverted.bytes().unwrap()[..4], [250, 249, 246, 245]);
        let grey = prepared("grey", &images).unwrap();
        assert_eq!(grey.shape, [1, 4, 4]);
        let back = prepared("rgb", &grey).unwrap();
        let (grey, back) = (grey.bytes().unwrap(), back.bytes().unwrap());
        assert_eq!((&back[..16], &back[32..]), (&*grey, &*grey));
        assert!(
            prepared("crop=5", &images).unwrap_err().contains("smaller than the crop of 5 x 5")
        );
    }

    #[test]
    fn resizing_down_takes_means_not_samples() {
        // A chequerboard of single pixels is grey from afar.
        let pixels =
            (0..32 * 32).map(|i| if (i / 32 + i % 32) % 2 == 0 { 255 } else { 0 }).collect();
        let images = Images::of_pixels("a".into(), [1, 32, 32], pixels, None);
        let small = prepared("size=8", &images).unwrap();
        assert_eq!(small.shape, [1, 8, 8]);
        let pixels = small.bytes().unwrap();
        assert!(pixels.iter().all(|p| (124..=131).contains(p)), "{pixels:?}");
        let wide = prepared("size=8x16", &images).unwrap();
        assert_eq!(wide.shape, [1, 8, 16]);
    }

    #[test]
    fn both_parts_together_are_the_whole() {
        let images = Images::of_pixels("a".into(), [1, 1, 1], (0..50).collect(), None);
        let part = |options: &str| prepared(options, &images).unwrap().pixels.into_bytes().unwrap();
        let mut all = [part("first=0.8,seed=4"), part("rest=0.8,seed=4")].concat();
        assert_eq!(part("first=0.8,seed=4").len(), 40);
        assert_ne!(part("first=0.8,seed=4"), part("first=0.8"));
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
