//! How many bits an image takes without loss.

use image::{
    ColorType, ImageEncoder, ImageError,
    codecs::{
        png::{CompressionType, FilterType, PngEncoder},
        webp::WebPEncoder,
    },
};
use oxideav_jpeg2000::encode::{EncodeOptions, encode_j2k};
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
    /// JPEG 2000, a bare codestream.
    Jpeg2000,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 4] = [Codec::Png, Codec::Webp, Codec::JpegXl, Codec::Jpeg2000];
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
    /// JPEG 2000.
    #[error("JPEG 2000: {0}")]
    Jpeg2000(#[from] oxideav_jpeg2000::Error),
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
    let planes = pixels;
    // Codecs but JPEG 2000 take the channels of a pixel together.
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
            Codec::Jpeg2000 => without_marks(&jpeg_2000(planes, shape)?),
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

/// A codestream with the end of every packet header marked, see [`without_marks`].
fn jpeg_2000(
    planes: &[u8],
    [channels, height, width]: [usize; 3],
) -> Result<Vec<u8>, oxideav_jpeg2000::Error> {
    // The usual five levels cost a small image more in packet headers than they gain.
    let levels = height.min(width).div_ceil(16).max(1).ilog2();
    let options = EncodeOptions::default()
        .with_decomposition_levels(levels as u8)
        .with_mct(channels == 3)
        .with_eph(true);
    let planes: Vec<&[u8]> = planes.chunks((height * width).max(1)).collect();
    encode_j2k(&planes, width as u32, height as u32, &options)
}

/// Bytes of a codestream if its packet headers had no mark (0xFF92) at their end.
///
/// The encoder leaves out the zero byte that a header which ends in 0xFF is to be followed by
/// (T.800, B.10.1), and other decoders lose their way there. Only the marks show which headers
/// these are, for nothing else in a packet puts 0xFFFF or 0xFF92.
fn without_marks(stream: &[u8]) -> usize {
    let packets = stream.windows(2).position(|w| w == [0xFF, 0x93]).unwrap_or(0);
    let count = |of: &[u8]| stream[packets..].windows(of.len()).filter(|&w| w == of).count();
    stream.len() - 2 * count(&[0xFF, 0x92]) + count(&[0xFF, 0xFF, 0x92])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    #[test]
    fn noise_takes_all_its_bits_and_a_plain_image_few() {
        for shape in [[1, 28, 28], [3, 32, 32]] {
            let noise = Images::random(1, shape, 0);
            let (dimension, noise) = (noise.dimension(), noise.bytes().unwrap());
            let all = 8.0 * dimension as f64;
            for codec in Codec::ALL {
                let of = |pixels: &[u8]| bits(pixels, shape, &[codec]).unwrap();
                let (noisy, plain) = (of(&noise), of(&vec![7; dimension]));
                assert!(noisy > 0.95 * all && noisy < 2.0 * all, "{codec:?}: {noisy} of {all}");
                assert!(plain < 0.3 * all, "{codec:?}: {plain} of {all}");
            }
            let best = bits(&noise, shape, &Codec::ALL).unwrap();
            assert!(Codec::ALL.iter().all(|&c| best <= bits(&noise, shape, &[c]).unwrap()));
        }
        assert!(matches!(bits(&[0; 8], [2, 2, 2], &Codec::ALL), Err(ComplexityError::Channels(2))));
    }

    #[test]
    fn nothing_is_lost() {
        let shape = [3, 16, 16];
        let images = Images::random(1, shape, 1);
        let pixels = images.bytes().unwrap();
        let interleaved: Vec<u8> = (0..768).map(|i| pixels[i % 3 * 256 + i / 3]).collect();
        let mut out = Vec::new();
        WebPEncoder::new_lossless(&mut out)
            .write_image(&interleaved, 16, 16, ColorType::Rgb8.into())
            .unwrap();
        assert_eq!(image::load_from_memory(&out).unwrap().to_rgb8().into_raw(), interleaved);
        let out = jpeg_2000(&pixels, shape).unwrap();
        assert_eq!(oxideav_jpeg2000::decode(&out).unwrap().as_bytes(), Some(&interleaved[..]));
    }

    /// Bytes of OpenJPEG 2.5.4 at as many levels, without its 39 bytes of comment.
    #[test]
    fn jpeg_2000_is_as_long_as_that_of_openjpeg() {
        for ([height, width], bytes) in [
            ([1, 1], 85),
            ([3, 5], 99),
            ([17, 1], 99),
            ([28, 28], 678),
            ([64, 48], 2477),
            ([130, 150], 15102),
            // A packet header of these ends in 0xFF.
            ([18, 66], 1096),
            ([24, 55], 1170),
        ] {
            let value = |i: usize| {
                let (y, x) = (i / width, i % width);
                ((3 * x * x + 5 * x * y + 7 * y) / 4 % 256) as u8
            };
            let pixels: Vec<u8> = (0..height * width).map(value).collect();
            let shape = [1, height, width];
            assert_eq!(bits(&pixels, shape, &[Codec::Jpeg2000]).unwrap(), 8.0 * bytes as f64);
            let out = jpeg_2000(&pixels, shape).unwrap();
            assert_eq!(oxideav_jpeg2000::decode(&out).unwrap().as_bytes(), Some(&pixels[..]));
        }
        assert_eq!(serde_json::to_string(&Codec::Jpeg2000).unwrap(), r#""jpeg2000""#);
        assert!(bits(&[], [1, 0, 0], &[Codec::Jpeg2000]).is_err());
    }
}
