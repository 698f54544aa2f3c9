//! What all targets share: a file is read as a user would read it, and must end in images or in an error.

use atypical_data::mutations;
use flate2::{
    Compression, CrcReader,
    read::{DeflateDecoder, GzDecoder},
    write::GzEncoder,
};
use std::{
    borrow::Cow,
    fs,
    io::{self, Cursor, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// A target that reads files whose names end so.
#[macro_export]
macro_rules! target {
    ($suffix:literal) => {
        libfuzzer_sys::fuzz_target!(init: $crate::start($suffix), |bytes: &[u8]| $crate::read($suffix, bytes));
    };
}

/// Of archives with a checksum over the whole of what they hold, which would refuse nearly every change, it is that which is fuzzed.
const PACKED: &str = ".tar.gz";

/// Of archives with a checksum for each entry, what is fuzzed has the right ones.
const CHECKED: [&str; 2] = [".zip", ".npz"];

/// Bytes of an entry whose checksum is mended.
const MENDED: u64 = 1 << 24;

/// Where the file to read is put: in the folder `INPUTS`, where that is set.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = std::env::var_os("INPUTS").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(folder).expect("a temporary folder")
});

/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Begin: the files of the corpus that end so go into the folder `SEEDS`, where that is set.
///
/// # Panics
/// Where they cannot be written.
pub fn start(suffix: &str) {
    if let Some(folder) = std::env::var_os("SEEDS") {
        seed(suffix, folder.as_ref()).expect("a folder for the seeds");
    }
    // libFuzzer's own hook ends the process at every panic, also at those of the parquet crate that its reader takes for damage.
    std::panic::set_hook(Box::new(|panic| *said() = panic.to_string()));
}

fn seed(suffix: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, mut bytes) in mutations::corpus() {
        if !name.ends_with(suffix) {
            continue;
        }
        if suffix.ends_with(PACKED) {
            let mut unpacked = Vec::new();
            GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked)?;
            bytes = unpacked;
        }
        if is_checked(suffix) {
            fs::write(folder.join(format!("stored-{name}")), stored(&bytes)?)?;
        }
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn is_checked(suffix: &str) -> bool {
    CHECKED.iter().any(|end| suffix.ends_with(end))
}

/// A zip archive without compression, which would make one change of a file many.
fn stored(archive: &[u8]) -> io::Result<Vec<u8>> {
    let mut from = ZipArchive::new(Cursor::new(archive))?;
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for i in 0..from.len() {
        let mut entry = from.by_index(i)?;
        to.start_file(entry.name(), options)?;
        io::copy(&mut entry, &mut to)?;
    }
    Ok(to.finish()?.into_inner())
}

/// Read a file of that end; a panic that comes out of it ends the process, for libFuzzer to see.
pub fn read(suffix: &str, bytes: &[u8]) {
    let file: Cow<[u8]> = if suffix.ends_with(PACKED) {
        packed(bytes).into()
    } else if is_checked(suffix) {
        mended(bytes.to_vec()).into()
    } else {
        bytes.into()
    };
    let attempt = catch_unwind(AssertUnwindSafe(|| mutations::read(suffix, &file, FOLDER.path())));
    if attempt.is_err() {
        eprintln!("{}", said());
        std::process::abort();
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all")
}

/// A zip archive with its entries' checksums in its list.
fn mended(mut archive: Vec<u8>) -> Vec<u8> {
    for at in 0..archive.len() {
        if archive[at..].starts_with(b"PK\x01\x02")
            && let Some(sum) = checksum(&archive, at)
        {
            archive[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
        }
    }
    archive
}

/// That of the entry which the list has at `at`.
fn checksum(archive: &[u8], at: usize) -> Option<u32> {
    let number = |at: usize, size: usize| {
        let bytes = archive.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let header = number(at + 42, 4)?;
    let start = header + 30 + number(header + 26, 2)? + number(header + 28, 2)?;
    let packed = archive.get(start..)?.take(number(at + 20, 4)? as u64);
    let unpacked: Box<dyn Read> = match number(at + 10, 2)? {
        0 => Box::new(packed),
        _ => Box::new(DeflateDecoder::new(packed)),
    };
    let mut unpacked = CrcReader::new(unpacked.take(MENDED));
    io::copy(&mut unpacked, &mut io::sink()).ok()?;
    Some(unpacked.crc().sum())
}

fn said() -> std::sync::MutexGuard<'static, String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}
