//! Images in a report: contact sheets, and the images at both ends of a score.

use super::grid_png;
use crate::data::{DataError, Images};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

/// Images of a contact sheet at most.
pub const SHEET: usize = 64;
/// Images at each end of a score.
pub const ENDS: usize = 8;

/// Many images as one.
#[derive(Clone, Debug, Serialize)]
pub struct Sheet {
    /// What they are.
    pub caption: String,
    /// As a `data:` address.
    pub src: String,
}

/// The images of a set at both ends of a score.
#[derive(Clone, Debug, Serialize)]
pub struct Ends {
    /// The set.
    pub set: String,
    /// Those with the highest scores, falling: image and score.
    pub most: Vec<(String, f64)>,
    /// Those with the lowest scores, rising.
    pub least: Vec<(String, f64)>,
}

/// A contact sheet of the first [`SHEET`] images.
///
/// # Shapes
/// - pixels: `[n, channels, height, width]`
pub fn sheet(caption: String, pixels: &[u8], shape: [usize; 3]) -> Sheet {
    let size: usize = shape.iter().product();
    let shown = pixels.len().min(SHEET * size);
    Sheet { caption, src: address(&grid_png(&pixels[..shown], shape)) }
}

/// The images with the highest and the lowest scores.
///
/// # Shapes
/// - scores: `[n]`
///
/// # Errors
/// Images on disk that cannot be read back.
pub fn ends(images: &Images, scores: &[f64]) -> Result<Ends, DataError> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let picture = |i: &usize| {
        let png = grid_png(&images.sample(*i)?, images.shape);
        Ok((address(&png), scores[*i]))
    };
    Ok(Ends {
        set: images.name.clone(),
        most: order.iter().take(ENDS).map(picture).collect::<Result<_, DataError>>()?,
        least: order.iter().rev().take(ENDS).map(picture).collect::<Result<_, DataError>>()?,
    })
}

/// A picture that is there already.
pub fn picture(caption: String, png: &[u8]) -> Sheet {
    Sheet { caption, src: address(png) }
}

fn address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_in_order() {
        let pixels: Vec<u8> = (0..20u8).flat_map(|i| [i; 4]).collect();
        let scores: Vec<f64> = (0..20).map(|i| f64::from((i * 7) % 20)).collect();
        let images = Images::of_pixels("a".into(), [1, 2, 2], pixels.clone(), None);
        let ends = ends(&images, &scores).unwrap();
        let values = |side: &[(String, f64)]| side.iter().map(|(_, s)| *s).collect::<Vec<_>>();
        assert_eq!(values(&ends.most), [19.0, 18.0, 17.0, 16.0, 15.0, 14.0, 13.0, 12.0]);
        assert_eq!(values(&ends.least), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let best = scores.iter().position(|s| *s == 19.0).unwrap();
        let own = grid_png(&pixels[best * 4..][..4], [1, 2, 2]);
        assert_eq!(ends.most[0].0, address(&own));
        assert!(ends.most[0].0.starts_with("data:image/png;base64,iVBOR"));
    }

    #[test]
    fn a_sheet_shows_the_first_images() {
        let pixels = vec![7; 100];
        let whole = sheet("a".into(), &pixels, [1, 1, 1]);
        assert_eq!(whole.src, sheet("a".into(), &pixels[..SHEET], [1, 1, 1]).src);
        assert_ne!(whole.src, sheet("a".into(), &pixels[..9], [1, 1, 1]).src);
    }
}
