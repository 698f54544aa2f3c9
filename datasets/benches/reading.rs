//! Reading sets of the usual sizes from the usual forms, and making of them what a model sees.
//!
//! The pictures are the demo's, again and again, with some noise in the last bits, so that they are compressed as photographs are.

use atypical_data::{Images, Noise, Spec, to_npz};
use criterion::{Criterion, criterion_group, criterion_main};
use flate2::{Compression, write::GzEncoder};
use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use std::{fs::File, io::Write, path::Path};

/// Samples of which a batch is made at a time.
const BATCH: usize = 128;

/// So many pictures of `side` pixels a side, `channels` 1 or 3.
fn pictures(count: usize, side: usize, channels: &str) -> Images {
    let spec: Spec = format!("demo:train@size={side},{channels}").parse().unwrap();
    let some = spec.load(Path::new("")).unwrap();
    let index: Vec<usize> = (0..count).map(|i| i % some.len()).collect();
    let all = some.select(&index);
    let noise = Images::random(count, all.shape, 0);
    let (plain, noise) = (all.bytes().unwrap(), noise.bytes().unwrap());
    let noisy = plain.iter().zip(noise.iter()).map(|(pixel, noise)| pixel ^ (noise & 3));
    let pixels: Vec<u8> = noisy.collect();
    Images { pixels: pixels.into(), ..all }
}

/// As MNIST is published.
fn idx(images: &Images, path: &Path) {
    let [_, height, width] = images.shape;
    let mut gz = GzEncoder::new(File::create(path).unwrap(), Compression::default());
    gz.write_all(&[0, 0, 8, 3]).unwrap();
    for side in [images.len(), height, width] {
        gz.write_all(&(side as u32).to_be_bytes()).unwrap();
    }
    gz.write_all(&images.bytes().unwrap()).unwrap();
    gz.finish().unwrap();
}

/// As the Hugging Face hub has them: one PNG a row.
fn parquet(images: &Images, path: &Path) {
    let schema =
        "message schema { required group image { required binary bytes; } required int64 label; }";
    let schema = parse_message_type(schema).unwrap().into();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let [channels, height, width] = images.shape;
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let png = |i: usize| {
        let sample = images.sample(i).unwrap();
        let positions = height * width;
        let pixels: Vec<u8> =
            (0..sample.len()).map(|i| sample[i % channels * positions + i / channels]).collect();
        let mut png = Vec::new();
        // As Pillow makes them, in whole blocks of zlib.
        let (zlib, filters) = (CompressionType::Best, FilterType::Adaptive);
        let encoder = PngEncoder::new_with_quality(&mut png, zlib, filters);
        encoder.write_image(&pixels, width as u32, height as u32, color).unwrap();
        ByteArray::from(png)
    };
    let all: Vec<usize> = (0..images.len()).collect();
    for rows in all.chunks(1000) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let pngs: Vec<ByteArray> = rows.iter().map(|&i| png(i)).collect();
        column.typed::<ByteArrayType>().write_batch(&pngs, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let labels: Vec<i64> = rows.iter().map(|&i| i as i64 % 10).collect();
        column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn reading(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("reading");
    group.sample_size(10);
    for (name, count, side, channels) in
        [("60000_28x28", 60_000, 28, "grey"), ("50000_3x32x32", 50_000, 32, "rgb")]
    {
        let images = pictures(count, side, channels);
        let npz = dir.path().join("pictures.npz");
        std::fs::write(&npz, to_npz(&images.bytes().unwrap(), images.shape).unwrap()).unwrap();
        let pngs = dir.path().join("pictures.parquet");
        parquet(&images, &pngs);
        let mut files = vec![("npz", npz), ("parquet_of_png", pngs)];
        if channels == "grey" {
            let gz = dir.path().join("pictures-idx3-ubyte.gz");
            idx(&images, &gz);
            files.push(("idx_gz", gz));
        }
        let resized: Spec = format!("{}@size={}", files[0].1.display(), 60 - side).parse().unwrap();
        group.bench_function(format!("{name}/resized"), |b| {
            b.iter(|| resized.prepared(images.clone()).unwrap());
        });
        for (form, path) in files {
            let spec: Spec = path.display().to_string().parse().unwrap();
            group.bench_function(format!("{name}/{form}"), |b| {
                b.iter(|| spec.load(Path::new("")).unwrap());
            });
        }
        let order: Vec<usize> = (0..count).collect();
        let noise = Noise::Training { seed: 0, epoch: 0 };
        group.bench_function(format!("{name}/an epoch of batches"), |b| {
            b.iter(|| {
                for index in order.chunks(BATCH) {
                    std::hint::black_box(images.unit(index, noise).unwrap());
                }
            });
        });
    }
}

criterion_group!(benches, reading);
criterion_main!(benches);
