//! Where the bytes of samples are: in memory, or in a temporary file where memory is too small for them.

use super::DataError;
use std::{
    borrow::Cow,
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

/// Bytes of decoded pictures that stay in memory where `DATA_MEMORY` says nothing.
const MEMORY: u64 = 2 << 30;

/// Bytes of samples, one sample after the other.
#[derive(Clone, Debug)]
pub struct Pixels(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Vec<u8>),
    /// Samples of `bytes` each, by their places in the file: a part of a set on disk shares its file.
    Disk {
        scratch: Arc<Scratch>,
        bytes: usize,
        places: Vec<usize>,
    },
}

/// A file without a name, which is gone when it is closed.
#[derive(Debug)]
struct Scratch {
    file: File,
    folder: PathBuf,
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Place::Memory(bytes))
    }
}

impl Pixels {
    /// How many bytes they are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Memory(all) => all.len(),
            Place::Disk { bytes, places, .. } => bytes * places.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they are in a file, from which every sample is read when it is asked for.
    pub fn on_disk(&self) -> bool {
        matches!(self.0, Place::Disk { .. })
    }

    /// All of them, in memory.
    ///
    /// # Errors
    /// A temporary file that cannot be read back.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, DataError> {
        match &self.0 {
            Place::Memory(all) => Ok(Cow::Borrowed(all)),
            Place::Disk { scratch, bytes, places } => {
                let mut all = vec![0; bytes * places.len()];
                for (out, &place) in all.chunks_exact_mut(*bytes).zip(places) {
                    scratch.read(place, out)?;
                }
                Ok(Cow::Owned(all))
            }
        }
    }

    /// [`bytes`](Self::bytes), without a copy of those that are in memory.
    ///
    /// # Errors
    /// A temporary file that cannot be read back.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, DataError> {
        match self.0 {
            Place::Memory(all) => Ok(all),
            Place::Disk { .. } => Ok(self.bytes()?.into_owned()),
        }
    }

    /// Sample `index`, of `bytes` bytes as all of them.
    pub(super) fn sample(&self, index: usize, bytes: usize) -> Result<Cow<'_, [u8]>, DataError> {
        match &self.0 {
            Place::Memory(all) => Ok(Cow::Borrowed(&all[index * bytes..][..bytes])),
            Place::Disk { scratch, places, .. } => {
                let mut out = vec![0; bytes];
                scratch.read(places[index], &mut out)?;
                Ok(Cow::Owned(out))
            }
        }
    }

    /// The samples at `index`, of `bytes` bytes each.
    pub(super) fn select(&self, index: &[usize], bytes: usize) -> Self {
        Self(match &self.0 {
            Place::Memory(all) => {
                let samples: Vec<&[u8]> =
                    index.iter().map(|i| &all[i * bytes..][..bytes]).collect();
                Place::Memory(samples.concat())
            }
            Place::Disk { scratch, places, .. } => Place::Disk {
                scratch: scratch.clone(),
                bytes,
                places: index.iter().map(|&i| places[i]).collect(),
            },
        })
    }
}

impl Scratch {
    /// A sample by its place, of as many bytes as `out` has.
    fn read(&self, place: usize, out: &mut [u8]) -> Result<(), DataError> {
        let from = place as u64 * out.len() as u64;
        read_at(&self.file, out, from)
            .map_err(|source| DataError::ReadBack { folder: self.folder.clone(), source })
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], from: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, from)
}

/// One reader after the other, as they share the position in the file.
#[cfg(not(unix))]
fn read_at(mut file: &File, out: &mut [u8], from: u64) -> io::Result<()> {
    use std::{
        io::{Read, Seek, SeekFrom},
        sync::{Mutex, PoisonError},
    };
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(out)
}

/// Takes samples in their order, to memory or to disk.
pub(super) struct Writer {
    /// Bytes of a sample.
    bytes: usize,
    samples: usize,
    to: To,
}

enum To {
    Memory(Vec<u8>),
    Disk(Scratch),
}

impl Writer {
    /// Room for so many samples: where they are more than `memory` bytes, a file in the system's folder for temporary ones.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub(super) fn new(samples: usize, bytes: usize, memory: u64) -> Result<Self, DataError> {
        let needed = needed(samples, bytes);
        let mut all = Vec::new();
        // What memory does not have, though it is allowed, is on disk too.
        let fits = needed <= memory
            && usize::try_from(needed).is_ok_and(|needed| all.try_reserve_exact(needed).is_ok());
        if fits {
            return Ok(Self { bytes, samples, to: To::Memory(all) });
        }
        let folder = std::env::temp_dir();
        match tempfile::tempfile_in(&folder) {
            Ok(file) => Ok(Self { bytes, samples, to: To::Disk(Scratch { file, folder }) }),
            Err(source) => Err(DataError::Scratch { folder, needed, source }),
        }
    }

    /// Whole samples.
    ///
    /// # Errors
    /// A disk that is full or fails.
    pub(super) fn write(&mut self, samples: &[u8]) -> Result<(), DataError> {
        match &mut self.to {
            To::Memory(all) => all.extend(samples),
            To::Disk(Scratch { file, folder }) => {
                file.write_all(samples).map_err(|source| DataError::Scratch {
                    folder: folder.clone(),
                    needed: needed(self.samples, self.bytes),
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// All samples, which must have been written.
    pub(super) fn finish(self) -> Pixels {
        Pixels(match self.to {
            To::Memory(all) => Place::Memory(all),
            To::Disk(scratch) => Place::Disk {
                scratch: scratch.into(),
                bytes: self.bytes,
                places: (0..self.samples).collect(),
            },
        })
    }
}

/// Bytes that samples take; as many as there can be where that is no number.
fn needed(samples: usize, bytes: usize) -> u64 {
    (samples as u64).saturating_mul(bytes as u64)
}

/// The bytes that `DATA_MEMORY` allows for decoded pictures.
///
/// # Errors
/// A value that is no number of bytes.
pub(super) fn memory(variable: Option<&OsStr>) -> Result<u64, DataError> {
    let Some(value) = variable.filter(|value| !value.is_empty()) else {
        return Ok(MEMORY);
    };
    let value = value.to_string_lossy();
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let split = units.iter().find_map(|(unit, shift)| Some((value.strip_suffix(unit)?, shift)));
    split
        .and_then(|(number, shift)| number.trim_end().parse::<u64>().ok()?.checked_mul(1 << shift))
        .ok_or_else(|| DataError::Memory { value: value.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl PartialEq for Pixels {
        fn eq(&self, other: &Self) -> bool {
            self.bytes().unwrap() == other.bytes().unwrap()
        }
    }

    impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Pixels {
        fn eq(&self, other: &T) -> bool {
            *self.bytes().unwrap() == *other.as_ref()
        }
    }

    fn written(samples: &[[u8; 3]], memory: u64) -> Pixels {
        let mut writer = Writer::new(samples.len(), 3, memory).unwrap();
        for some in samples.chunks(2) {
            writer.write(&some.concat()).unwrap();
        }
        writer.finish()
    }

    #[test]
    fn what_is_on_disk_is_what_was_in_memory() {
        let samples: Vec<[u8; 3]> = (0..7).map(|i| [i, 2 * i, 255 - i]).collect();
        // 21 bytes are as many as may stay.
        let [memory, disk] = [21, 20].map(|bound| written(&samples, bound));
        assert!(!memory.on_disk() && disk.on_disk());
        assert_eq!((disk.len(), disk.is_empty()), (21, false));
        assert_eq!(disk, memory);
        assert_eq!(disk, samples.concat());
        for index in [&[6, 0, 0, 3][..], &[]] {
            let [memory, disk] = [&memory, &disk].map(|pixels| pixels.select(index, 3));
            assert!(disk.on_disk());
            assert_eq!((disk.len(), disk.is_empty()), (memory.len(), memory.is_empty()));
            assert_eq!(disk, memory);
        }
        // A part of a part is by the places of the part.
        let part = disk.select(&[5, 4, 3], 3).select(&[2, 0], 3);
        assert_eq!(*part.sample(0, 3).unwrap(), samples[3]);
        assert_eq!(part, [samples[3], samples[5]].concat());
        assert_eq!(part.into_bytes().unwrap(), [samples[3], samples[5]].concat());
    }

    #[test]
    fn samples_are_read_by_many_at_once() {
        let samples: Vec<[u8; 3]> = (0..250).map(|i| [i, i / 2, i / 3]).collect();
        let pixels = written(&samples, 0);
        std::thread::scope(|scope| {
            for turn in 0..4 {
                let (pixels, samples) = (&pixels, &samples);
                scope.spawn(move || {
                    for i in 0..250 {
                        let i = (i * 7 + turn * 31) % 250;
                        assert_eq!(*pixels.sample(i, 3).unwrap(), samples[i]);
                    }
                });
            }
        });
    }

    #[test]
    fn a_file_that_lost_its_end_is_an_error() {
        let pixels = written(&[[1, 2, 3], [4, 5, 6]], 0);
        let Place::Disk { scratch, .. } = &pixels.0 else { unreachable!() };
        scratch.file.set_len(5).unwrap();
        assert_eq!(*pixels.sample(0, 3).unwrap(), [1, 2, 3]);
        let message = pixels.sample(1, 3).unwrap_err().to_string();
        assert!(message.contains("cannot be read back") && message.contains("TMPDIR"), "{message}");
        assert!(pixels.bytes().is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_with_its_folder_and_the_room_that_is_needed() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let scratch = Scratch { file, folder: "some/folder".into() };
        let mut writer = Writer { bytes: 3, samples: 5, to: To::Disk(scratch) };
        let message = writer.write(&[1, 2, 3]).unwrap_err().to_string();
        for part in ["15 bytes", "some/folder", "TMPDIR", "No space left"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn bounds_are_bytes_with_or_without_a_unit() {
        let of = |text: &str| memory(Some(OsStr::new(text))).map_err(|error| error.to_string());
        assert_eq!(memory(None).unwrap(), 2 << 30);
        assert_eq!(of(""), Ok(2 << 30));
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("3KiB", 3 << 10),
            ("512MiB", 512 << 20),
            ("4 GiB", 4 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(of(text), Ok(bytes), "{text}");
        }
        for text in ["x", "GiB", "-1", "1.5GiB", "4GB", "99999999999GiB", "512mib"] {
            let message = of(text).unwrap_err();
            assert!(message.contains(&format!("DATA_MEMORY is `{text}`")), "{message}");
            assert!(message.contains("512MiB"), "{message}");
        }
    }
}
