//! A PyTorch checkpoint as the archive that it is. Its reader takes storages that are missing, short or damaged for zeros: they are looked at before.

use std::{fs::File, io, path::Path};
use zip::{CompressionMethod, ZipArchive};

/// Bytes of all storages of a checkpoint, of which each byte was read and its checksum compared.
///
/// # Errors
/// No archive as PyTorch writes them, or a damaged one, in words.
pub(super) fn storages(path: &Path) -> Result<u64, String> {
    const ANEW: &str = "write it again: torch.save(torch.load(old, map_location=\"cpu\"), new)";
    let file = File::open(path).map_err(|error| format!("cannot be read ({error})"))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| {
        format!(
            "is no whole zip archive, as PyTorch writes since version 1.6 ({error}); copy it again, or {ANEW}"
        )
    })?;
    let mut bytes = 0;
    let mut numbers = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive
            .by_index(i)
            .map_err(|error| format!("is damaged in its entry {i} ({error}); copy it again"))?;
        let name = entry.name().to_owned();
        // A file that unpacks to more than memory is none of PyTorch's.
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("has a compressed entry, `{name}`, as no checkpoint has; {ANEW}"));
        }
        io::copy(&mut entry, &mut io::sink())
            .map_err(|error| format!("is damaged in `{name}` ({error}); copy it again"))?;
        if let Some((_, number)) = name.rsplit_once("/data/") {
            bytes += entry.size();
            numbers.extend(number.parse::<usize>());
        }
    }
    numbers.sort_unstable();
    match numbers.iter().enumerate().find(|(i, number)| i != *number) {
        Some((i, _)) => Err(format!("lacks its storage `data/{i}`; copy it again")),
        None => Ok(bytes),
    }
}
