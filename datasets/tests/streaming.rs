//! Pictures of a parquet file that stay on disk: what is seen of them is bit for bit what it is in memory, and memory stays small.

use atypical_data::{Corruption, DataError, Images, Noise, Spec};
use image::{ColorType, ImageEncoder, codecs::png::PngEncoder};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use peak_alloc::PeakAlloc;
use rand::RngCore;
use std::{fs::File, path::Path};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const SIDE: usize = 64;
const DIMENSION: usize = SIDE * SIDE;

fn pixels(row: usize) -> Vec<u8> {
    (0..DIMENSION).map(|i| (row + row / 256 + i / SIDE * (i % 7)) as u8).collect()
}

/// Grey pictures with labels, in row groups of `group`.
fn write(path: &Path, rows: usize, group: usize) {
    let schema = "message schema { required binary image; required int64 label; }";
    let schema = parse_message_type(schema).unwrap().into();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    for from in (0..rows).step_by(group) {
        let rows = from..(from + group).min(rows);
        let encoded = |row| {
            let mut png = Vec::new();
            let encoder = PngEncoder::new(&mut png);
            let side = SIDE as u32;
            encoder.write_image(&pixels(row), side, side, ColorType::L8.into()).unwrap();
            ByteArray::from(png)
        };
        let pictures: Vec<ByteArray> = rows.clone().map(encoded).collect();
        let labels: Vec<i64> = rows.map(|row| row as i64 % 10).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&pictures, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn load(spec: &str, memory: u64) -> Result<Images, DataError> {
    spec.parse::<Spec>()?.load_within(Path::new("nowhere"), memory)
}

/// Everything that can be asked of two sets gives the same.
fn expect_same(disk: &Images, memory: &Images) {
    assert!(disk.pixels.on_disk() && !memory.pixels.on_disk());
    let of = |images: &Images| {
        (
            images.name.clone(),
            images.shape,
            images.len(),
            images.is_empty(),
            images.labels.clone(),
            images.files.clone(),
            images.digest().unwrap(),
        )
    };
    assert_eq!(of(disk), of(memory));
    assert!(disk.bytes().unwrap() == memory.bytes().unwrap());
    assert!(disk.numbers().unwrap() == memory.numbers().unwrap());
    let order: Vec<usize> = (0..memory.len()).rev().chain([0, 0]).collect();
    for noise in [Noise::Off, Noise::Training { seed: 1, epoch: 2 }, Noise::Evaluation { seed: 3 }]
    {
        assert!(disk.unit(&order, noise).unwrap() == memory.unit(&order, noise).unwrap());
        let corruption = Corruption { noise: 0.1, mutation: 0.2 };
        let corrupted = |images: &Images| images.corrupted(&order, noise, corruption).unwrap();
        assert!(corrupted(disk) == corrupted(memory));
    }
    for i in order {
        assert_eq!(disk.sample(i).unwrap(), memory.sample(i).unwrap());
        let stream = |images: &Images| images.stream(i, 4).unwrap().next_u64();
        assert_eq!(stream(disk), stream(memory));
    }
}

#[test]
fn what_is_seen_of_pictures_on_disk_is_what_is_seen_of_those_in_memory() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet");
    for file in ["hf_grey", "hf_colour", "dictionary", "pixels_grid", "pixels_colour"] {
        let file = goldens.join(file).with_extension("parquet");
        for options in [
            "",
            "[2:5]",
            "[3:]",
            "@size=8x5",
            "@crop=3,rgb,invert[1:4]",
            "@grey,first=0.8,seed=3",
            "@size=6,rest=0.5[:2]",
        ] {
            let spec = format!("{}{options}", file.display());
            let [disk, memory] = [0, u64::MAX].map(|bound| load(&spec, bound).unwrap());
            expect_same(&disk, &memory);
            expect_same(&disk.take(2), &memory.take(2));
            expect_same(&disk.draw(2, 7), &memory.draw(2, 7));
            let (disk, memory) = (disk.split(0.4, 5), memory.split(0.4, 5));
            expect_same(&disk.0, &memory.0);
            expect_same(&disk.1, &memory.1);
        }
    }
}

#[test]
fn memory_stays_small_where_pictures_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.parquet");
    let rows = (64 << 20) / DIMENSION;
    write(&path, rows, 500);
    let path = path.display();
    let peak = |spec: &str| {
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        let images = load(spec, 4 << 20).unwrap();
        (images, HEAP.peak_usage() - before)
    };
    for options in ["", "@size=80,invert", "@first=0.5"] {
        let (images, peak) = peak(&format!("{path}{options}"));
        assert!(images.pixels.on_disk() && images.pixels.len() >= 32 << 20);
        assert!(peak < 16 << 20, "{peak} bytes at the peak of `{options}`");
    }
    let (images, _) = peak(&path.to_string());
    assert_eq!(images.len(), rows);
    for i in [0, 1, 499, 500, 9999, rows - 1] {
        assert!(*images.sample(i).unwrap() == pixels(i), "{i}");
        assert_eq!(images.labels.as_ref().unwrap()[i], i as i64 % 10);
    }
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    images.digest().unwrap();
    images.unit(&(0..100).collect::<Vec<_>>(), Noise::Evaluation { seed: 1 }).unwrap();
    drop(images.split(0.1, 2));
    let peak = HEAP.peak_usage() - before;
    assert!(peak < 4 << 20, "{peak} bytes");
    // What fits, by itself or as it is prepared, is in memory.
    for options in ["[:1000]", "@size=8"] {
        let images = load(&format!("{path}{options}"), 4 << 20).unwrap();
        assert!(!images.pixels.on_disk(), "{options}");
    }
}

#[test]
fn what_is_wrong_is_told_where_it_is_on_the_way_to_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("few.parquet");
    write(&path, 3, 2);
    let spec = format!("{}@crop={}", path.display(), SIDE + 1);
    for bound in [0, u64::MAX] {
        let message = load(&spec, bound).unwrap_err().to_string();
        assert!(
            message.contains("few.parquet") && message.contains("smaller than the crop"),
            "{message}"
        );
    }
    let damaged =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet/damaged_picture.parquet");
    let message = load(&damaged.display().to_string(), 0).unwrap_err().to_string();
    assert!(message.contains("row 4 (from 0)"), "{message}");
}
