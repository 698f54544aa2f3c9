//! How many bits an image takes without loss.

use image::{
    ColorType, ImageEncoder, ImageError,
    codecs::{
        png::{CompressionType, FilterType, PngEncoder},
        webp::WebPEncoder,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zune_core::{bit_depth::BitDepth, colorspace::ColorSpace, options::EncoderOptions};
use zune_jpegxl::{JxlEncodeErrors, JxlSimpleEncoder};

/// A lossless image codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// PNG at its highest level, the better of no filter and one chosen row by row.
    Png,
    /// WebP.
    Webp,
    /// JPEG XL.
    JpegXl,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 3] = [Codec::Png, Codec::Webp, Codec::JpegXl];
}

/// An image that a codec refuses.
#[derive(Debug, Error)]
pub enum ComplexityError {
    /// Neither greyscale nor RGB.
    #[error("complexity is of images with 1 or 3 channels, not {0}")]
    Channels(usize),
    /// PNG or WebP.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// JPEG XL.
    #[error("JPEG XL: {0}")]
    JpegXl(String),
}

/// Bits of an image by the best of some codecs, headers included.
///
/// # Shapes
/// - pixels: `[channels, height, width]`, row-major
///
/// # Errors
/// An image that is neither greyscale nor RGB, or larger than a codec takes.
pub fn bits(pixels: &[u8], shape: [usize; 3], codecs: &[Codec]) -> Result<f64, ComplexityError> {
    let [channels, height, width] = shape;
    let positions = height * width;
    // Codecs take the channels of a pixel together.
    let pixels: Vec<u8> = match channels {
        1 => pixels.to_vec(),
        3 => (0..pixels.len()).map(|i| pixels[i % 3 * positions + i / 3]).collect(),
        channels => return Err(ComplexityError::Channels(channels)),
    };
    let size = |codec| -> Result<usize, ComplexityError> {
        Ok(match codec {
            Codec::Png => png(&pixels, channels, [height, width])?,
            Codec::Webp => {
                let mut out = Vec::new();
                let encoder = WebPEncoder::new_lossless(&mut out);
                encoder.write_image(
                    &pixels,
                    width as u32,
                    height as u32,
                    color(channels).into(),
                )?;
                out.len()
            }
            Codec::JpegXl => jpeg_xl(&pixels, channels, [height, width])?,
        })
    };
    let sizes = codecs.iter().map(|&codec| size(codec)).collect::<Result<Vec<_>, _>>()?;
    Ok(8.0 * sizes.into_iter().min().unwrap_or(0) as f64)
}

fn color(channels: usize) -> ColorType {
    if channels == 1 { ColorType::L8 } else { ColorType::Rgb8 }
}

fn png(pixels: &[u8], channels: usize, [height, width]: [usize; 2]) -> Result<usize, ImageError> {
    let size = |filter| {
        let mut out = Vec::new();
        PngEncoder::new_with_quality(&mut out, CompressionType::Best, filter)
            .write_image(pixels, width as u32, height as u32, color(channels).into())
            .map(|()| out.len())
    };
    Ok(size(FilterType::NoFilter)?.min(size(FilterType::Adaptive)?))
}

fn jpeg_xl(
    pixels: &[u8],
    channels: usize,
    [height, width]: [usize; 2],
) -> Result<usize, ComplexityError> {
    let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = EncoderOptions::new(width, height, space, BitDepth::Eight);
    let mut out = Vec::new();
    let written = JxlSimpleEncoder::new(pixels, options).encode(&mut out);
    written.map_err(|e: JxlEncodeErrors| ComplexityError::JpegXl(format!("{e:?}")))?;
    Ok(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    #[test]
    fn noise_takes_all_its_bits_and_a_plain_image_few() {
        for shape in [[1, 28, 28], [3, 32, 32]] {
            let noise = Images::random(1, shape, 0);
            let all = 8.0 * noise.dimension() as f64;
            for codec in Codec::ALL {
                let of = |pixels: &[u8]| bits(pixels, shape, &[codec]).unwrap();
                let (noisy, plain) = (of(&noise.pixels), of(&vec![7; noise.dimension()]));
                assert!(noisy > 0.95 * all && noisy < 2.0 * all, "{codec:?}: {noisy} of {all}");
                assert!(plain < 0.3 * all, "{codec:?}: {plain} of {all}");
            }
            let best = bits(&noise.pixels, shape, &Codec::ALL).unwrap();
            assert!(Codec::ALL.iter().all(|&c| best <= bits(&noise.pixels, shape, &[c]).unwrap()));
        }
        assert!(matches!(bits(&[0; 8], [2, 2, 2], &Codec::ALL), Err(ComplexityError::Channels(2))));
    }

    #[test]
    fn nothing_is_lost() {
        let shape = [3, 16, 16];
        let images = Images::random(1, shape, 1);
        let interleaved: Vec<u8> = (0..768).map(|i| images.pixels[i % 3 * 256 + i / 3]).collect();
        let mut out = Vec::new();
        WebPEncoder::new_lossless(&mut out)
            .write_image(&interleaved, 16, 16, ColorType::Rgb8.into())
            .unwrap();
        assert_eq!(image::load_from_memory(&out).unwrap().to_rgb8().into_raw(), interleaved);
    }
}
