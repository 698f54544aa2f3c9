//! What is done to pictures before a model sees them, as a SPEC says it.

use super::{DataError, Images, Kind, picture::fill};
use image::{DynamicImage, RgbImage, imageops::FilterType};
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
            let sides = [picture.height() as usize, picture.width() as usize];
            let [top, left] = self.corner(sides)?.map(|side| side as u32);
            picture = picture.crop_imm(left, top, width as u32, height as u32);
        }
        if let Some([height, width]) = self.size
            && [picture.height(), picture.width()] != [height as u32, width as u32]
        {
            picture = picture.resize_exact(width as u32, height as u32, FilterType::Triangle);
        }
        if self.channels == Some(1) {
            picture = picture.into_luma8().into();
        }
        if self.invert {
            picture.invert();
        }
        Ok(picture)
    }

    /// Where the crop of a picture of these sides begins.
    ///
    /// # Errors
    /// A picture that is smaller, in words.
    fn corner(&self, [h, w]: [usize; 2]) -> Result<[usize; 2], String> {
        let [height, width] = self.crop.unwrap_or([h, w]);
        if h < height || w < width {
            return Err(format!(
                "is {h} x {w} (height x width), smaller than the crop of {height} x {width}"
            ));
        }
        Ok([(h - height) / 2, (w - width) / 2])
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
        let changed = changed.map_err(|problem| DataError::Spec {
            spec: images.name.clone(),
            problem: format!("each picture {problem}"),
        })?;
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
        let [channels, height, width] = self.shape(shape);
        let ([top, left], inner) = (self.corner([h, w])?, self.crop.unwrap_or([h, w]));
        let resize = Resize::new(inner, [height, width]);
        let positions = height * width;
        let mut changed = vec![0; pixels.len() / (c * h * w).max(1) * channels * positions];
        let pictures = pixels.par_chunks(c * h * w);
        changed.par_chunks_mut(channels * positions).zip(pictures).try_for_each_init(
            || (vec![0; c * positions], Vec::new()),
            |(resized, columns), (out, picture)| {
                let planes = picture.chunks_exact(h * w);
                for (plane, resized) in planes.zip(resized.chunks_exact_mut(positions)) {
                    let rows = plane.chunks_exact(w).skip(top).map(|row| &row[left..][..inner[1]]);
                    resize.plane(&rows.take(inner[0]).collect::<Vec<_>>(), columns, resized);
                }
                if channels < c {
                    // The luma is that of pictures of files.
                    let pixel = |i: usize| resized[i % 3 * positions + i / 3];
                    let interleaved = (0..3 * positions).map(pixel).collect();
                    let picture = RgbImage::from_raw(width as u32, height as u32, interleaved);
                    fill(picture.ok_or("is too large for a picture")?.into(), channels, out);
                } else {
                    // Grey planes become three equal ones.
                    for (out, plane) in
                        out.chunks_exact_mut(positions).zip(resized.chunks_exact(positions).cycle())
                    {
                        out.copy_from_slice(plane);
                    }
                }
                if self.invert {
                    out.iter_mut().for_each(|pixel| *pixel = !*pixel);
                }
                Ok::<_, String>(())
            },
        )?;
        Ok(changed)
    }
}

/// A resize of planes of one size, to the last bit the one that `image` does by [`FilterType::Triangle`], whose weights are computed once for all pictures.
struct Resize {
    /// For each new row, the first old one and the weights from there on; none where the size stays.
    rows: Vec<(usize, Vec<f32>)>,
    /// The same for columns.
    columns: Vec<(usize, Vec<f32>)>,
}

impl Resize {
    fn new(old: [usize; 2], new: [usize; 2]) -> Self {
        if old == new {
            return Self { rows: Vec::new(), columns: Vec::new() };
        }
        Self { rows: weights(old[0], new[0]), columns: weights(old[1], new[1]) }
    }

    /// The rows of a plane, resized into `out`; `mean` is for one row of weighted means.
    fn plane(&self, rows: &[&[u8]], mean: &mut Vec<f32>, out: &mut [u8]) {
        if self.rows.is_empty() {
            let new = out.chunks_exact_mut(rows.first().map_or(1, |row| row.len()));
            return new.zip(rows).for_each(|(new, row)| new.copy_from_slice(row));
        }
        for (new, (first, weights)) in out.chunks_exact_mut(self.columns.len()).zip(&self.rows) {
            mean.clear();
            mean.resize(rows[0].len(), 0.0);
            for (row, weight) in rows[*first..].iter().zip(weights) {
                for (mean, &pixel) in mean.iter_mut().zip(*row) {
                    *mean += f32::from(pixel) * weight;
                }
            }
            for (pixel, (first, weights)) in new.iter_mut().zip(&self.columns) {
                let mut sum = 0.0;
                for (mean, weight) in mean[*first..].iter().zip(weights) {
                    sum += mean * weight;
                }
                // Rounded half up, without a call.
                let below = sum as u8;
                *pixel = below.saturating_add(u8::from(sum - f32::from(below) >= 0.5));
            }
        }
    }
}

/// For each new place along a side, the first old one that it takes a share of, and the shares from there on: a triangle, as wide as two places, old or new, whichever
/// are wider.
fn weights(old: usize, new: usize) -> Vec<(usize, Vec<f32>)> {
    let ratio = old as f32 / new as f32;
    let support = ratio.max(1.0);
    let at = |place: usize| {
        let centre = (place as f32 + 0.5) * ratio;
        let first = ((centre - support).floor().max(0.0) as usize).min(old - 1);
        let end = ((centre + support).ceil() as usize).clamp(first + 1, old);
        let share = |i: usize| (1.0 - ((i as f32 - (centre - 0.5)) / support).abs()).max(0.0);
        let mut shares: Vec<f32> = (first..end).map(share).collect();
        let sum: f32 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        (first, shares)
    };
    (0..new).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::picture::planes, *};
    use image::GrayImage;

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
    fn sets_are_changed_to_the_last_bit_as_pictures_of_files_are() {
        for shape @ [c, h, w] in [[1, 28, 28], [3, 32, 32], [3, 9, 17], [1, 1, 5]] {
            let images = Images::random(4, shape, 1);
            for options in [
                "size=32",
                "size=5x40,invert",
                "size=64,rgb",
                "size=7,grey",
                "size=28",
                "rgb",
                "grey",
            ] {
                let prepare: Prepare = options.parse().unwrap();
                let all = images.bytes().unwrap();
                let changed = prepare.pixels(&all, shape).unwrap();
                let expected = all.chunks_exact(c * h * w).flat_map(|sample| {
                    let picture: DynamicImage = match c {
                        1 => {
                            GrayImage::from_raw(w as u32, h as u32, sample.to_vec()).unwrap().into()
                        }
                        _ => {
                            let pixel = |i: usize| sample[i % 3 * h * w + i / 3];
                            let interleaved = (0..3 * h * w).map(pixel).collect();
                            RgbImage::from_raw(w as u32, h as u32, interleaved).unwrap().into()
                        }
                    };
                    planes(prepare.picture(picture).unwrap(), prepare.shape(shape)[0]).pixels
                });
                assert!(changed == expected.collect::<Vec<_>>(), "{shape:?}@{options}");
            }
        }
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
