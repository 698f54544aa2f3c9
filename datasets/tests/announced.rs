//! What a file announces bounds what it unpacks to, and takes no memory by itself.

use atypical_data::Spec;
use flate2::{Compression as Level, write::GzEncoder};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};
use peak_alloc::PeakAlloc;
use std::{
    fs::File,
    io::{Cursor, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Why a file is refused, and the memory that it took to find out.
fn refused(path: &Path) -> (String, usize) {
    let spec: Spec = path.display().to_string().parse().unwrap();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let message = spec.load_within(path, 0).unwrap_err().to_string();
    (message, HEAP.peak_usage() - before)
}

#[test]
fn gzip_unpacks_to_no_more_than_is_announced() {
    const BYTES: usize = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.parquet");
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // A number as the footer has it, in four bytes whatever it is.
    let number = |number: usize| -> [u8; 4] {
        std::array::from_fn(|i| {
            ((2 * number) >> (7 * i)) as u8 & 0x7f | if i < 3 { 0x80 } else { 0 }
        })
    };
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(Default::default()))
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .build();
        let schema = parse_message_type("message schema { required binary image; }").unwrap();
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema.into(), properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let picture = ByteArray::from(vec![0; BYTES]);
        column.typed::<ByteArrayType>().write_batch(&[picture], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        let footer = writer.close().unwrap();
        let announced = footer.row_group(0).column(0).uncompressed_size() as usize;
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() < 1 << 20);
        // As it is, it is read, and is no picture.
        let (message, peak) = refused(&path);
        assert!(message.contains("is no PNG") && peak >= BYTES, "{message}");
        let places: Vec<usize> =
            (0..bytes.len() - 4).filter(|&i| bytes[i..i + 4] == number(announced)).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|&i| bytes[i..i + 4].copy_from_slice(&number(1 << 20)));
        std::fs::write(&path, bytes).unwrap();
        let (message, peak) = refused(&path);
        for part in [
            "bomb.parquet is not usable: column `image` is damaged in row group 0",
            "a page of gzip: it holds more than the 1048576 bytes that it may",
            "fetch the file again",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(peak < 4 << 20, "{peak} bytes");
    }
}

#[test]
fn what_is_announced_and_missing_takes_no_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    // A terabyte, of which three bytes follow.
    let mut idx = vec![0, 0, 8, 3];
    [1u32 << 20, 1 << 10, 1 << 10].iter().for_each(|side| idx.extend(side.to_be_bytes()));
    idx.extend([1, 2, 3]);
    let mut gz = GzEncoder::new(Vec::new(), Level::fast());
    gz.write_all(&idx).unwrap();
    let gz = gz.finish().unwrap();
    // As many bytes as an array may have.
    let header =
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 1, 65536), }\n".as_bytes();
    let begin = *b"\x93NUMPY\x01\x00";
    let npy = [&begin, [header.len() as u8, 0].as_slice(), header, &[1, 2, 3]].concat();
    let archive = |method| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file("images.npy", options).unwrap();
        zip.write_all(&npy).unwrap();
        zip.finish().unwrap().into_inner()
    };
    for (name, bytes, all) in [
        ("x-ubyte", idx, "1099511627776"),
        ("x-ubyte.gz", gz, "1099511627776"),
        ("stored.npz", archive(zip::CompressionMethod::Stored), "68719476736"),
        ("deflated.npz", archive(zip::CompressionMethod::Deflated), "68719476736"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (message, peak) = refused(&path);
        for part in [name, all, "but 3 follow", "truncated or damaged; fetch it again"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(peak < 1 << 20, "{peak} bytes");
    }
}
