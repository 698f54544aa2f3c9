//! Images in a grid, as PNG.

use image::{ImageBuffer, ImageFormat, Rgb};
use std::io::Cursor;

/// Pixels of model outputs: `floor(256 x)`, kept within 0..=255 (a sample of a flow may lie just outside the unit cube); and
/// how many outputs are NaN or infinite, which become 0.
pub fn to_pixels(x: &[f32]) -> (Vec<u8>, usize) {
    let broken = x.iter().filter(|v| !v.is_finite()).count();
    let pixel =
        |v: f32| if v.is_finite() { (v * 256.0).floor().clamp(0.0, 255.0) as u8 } else { 0 };
    (x.iter().map(|&v| pixel(v)).collect(), broken)
}

/// PNG of a near-square grid of images with one pixel between them.
///
/// # Shapes
/// - pixels: `[n, channels, height, width]`; one channel is grey, three are RGB
pub fn grid_png(pixels: &[u8], shape: [usize; 3]) -> Vec<u8> {
    let n = pixels.len() / shape.iter().product::<usize>().max(1);
    rows_png(pixels, shape, (n as f64).sqrt().ceil() as usize)
}

/// The same with so many images in a row.
pub fn rows_png(pixels: &[u8], [channels, height, width]: [usize; 3], columns: usize) -> Vec<u8> {
    let size = channels * height * width;
    let (n, columns) = (pixels.len() / size.max(1), columns.max(1));
    let rows = n.div_ceil(columns).max(1);
    let side = |cells: usize, length: usize| (cells * (length + 1) + 1) as u32;
    let mut canvas =
        ImageBuffer::from_pixel(side(columns, width), side(rows, height), Rgb([255u8, 255, 255]));
    for (i, sample) in pixels.chunks_exact(size).enumerate() {
        let (row, column) = (i / columns, i % columns);
        for y in 0..height {
            for x in 0..width {
                let value = |c: usize| sample[(c.min(channels - 1) * height + y) * width + x];
                let (px, py) = (column * (width + 1) + 1 + x, row * (height + 1) + 1 + y);
                canvas.put_pixel(px as u32, py as u32, Rgb([value(0), value(1), value(2)]));
            }
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    // Writing to memory cannot fail but for a zero size, which the grid never has.
    let _ = canvas.write_to(&mut bytes, ImageFormat::Png);
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_land_in_their_cells() {
        let pixels: Vec<u8> = (0..3).flat_map(|i| vec![i * 10; 4]).collect();
        let png = grid_png(&pixels, [1, 2, 2]);
        let image = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (7, 7));
        assert_eq!(image.get_pixel(1, 1).0, [0; 3]);
        assert_eq!(image.get_pixel(5, 2).0, [10; 3]);
        assert_eq!(image.get_pixel(2, 5).0, [20; 3]);
        assert_eq!(image.get_pixel(5, 5).0, [255; 3]);
    }

    #[test]
    fn outputs_become_grey_levels() {
        let (pixels, broken) = to_pixels(&[0.0, 0.5, 0.999, 1.2, -0.1, f32::NAN, f32::INFINITY]);
        assert_eq!((pixels, broken), (vec![0, 128, 255, 255, 0, 0, 0], 2));
    }
}
