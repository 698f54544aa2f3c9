//! What all targets share: a file is read as a user would read it, and must end in images or in an error.

use atypical_data::mutations;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    fs,
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

/// A target that reads files whose names end so.
#[macro_export]
macro_rules! target {
    ($suffix:literal) => {
        libfuzzer_sys::fuzz_target!(init: $crate::start($suffix), |bytes: &[u8]| $crate::read($suffix, bytes));
    };
}

/// Of archives with a checksum over the whole of what they hold, which would refuse nearly every change, it is that which is fuzzed.
const PACKED: &str = ".tar.gz";

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

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
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// Read a file of that end; a panic that comes out of it ends the process, for libFuzzer to see.
pub fn read(suffix: &str, bytes: &[u8]) {
    let attempt = catch_unwind(AssertUnwindSafe(|| match suffix.ends_with(PACKED) {
        true => mutations::read(suffix, &packed(bytes), FOLDER.path()),
        false => mutations::read(suffix, bytes, FOLDER.path()),
    }));
    if attempt.is_err() {
        eprintln!("{}", said());
        std::process::abort();
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all")
}

fn said() -> std::sync::MutexGuard<'static, String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}
