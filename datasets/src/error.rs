//! What can be wrong with data.

use std::path::PathBuf;
use thiserror::Error;

/// Data that cannot be used. Every message names the file or the SPEC and the way out.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file that cannot be opened or read.
    #[error("cannot read {path}: {source}{hint}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// A file whose contents are not what they should be.
    #[error("{path} is not usable: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// What was fetched of the hub.
    #[error(transparent)]
    Hub(Box<atypical_hub::HubError>),
    /// A temporary file that cannot take the pixels of a set.
    #[error(
        "the pixels of this set, {needed} bytes, are more than stay in memory (DATA_MEMORY) and cannot be written to a temporary file in {folder}: {source}; make that much room \
         there, set TMPDIR to a folder on a disk that has it, or read a slice of the set, [a:b]"
    )]
    Scratch {
        /// Its folder.
        folder: PathBuf,
        /// Bytes of all pixels.
        needed: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// A temporary file that does not give back what was written to it.
    #[error(
        "pixels cannot be read back from their temporary file in {folder}: {source}; set TMPDIR to a folder on another disk"
    )]
    ReadBack {
        /// Its folder.
        folder: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A bound on memory that is none.
    #[error(
        "DATA_MEMORY is `{value}`, which is no number of bytes; write it plainly or in KiB, MiB, GiB or TiB: 512MiB"
    )]
    Memory {
        /// What it is.
        value: String,
    },
    /// A SPEC that does not parse.
    #[error("cannot understand the data SPEC `{spec}`: {problem}")]
    Spec {
        /// The SPEC.
        spec: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// A synthetic manifold that there is not.
    #[error("no manifold is called `{name}`; {guess}There are {known}")]
    Manifold {
        /// The name asked for.
        name: String,
        /// The most similar one, in words.
        guess: String,
        /// Those there are.
        known: String,
    },
    /// A slice that takes nothing.
    #[error("`{spec}` asks for no sample: the slice [a:b] runs from a up to, but without, b")]
    EmptySlice {
        /// The SPEC.
        spec: String,
    },
    /// A slice outside the set.
    #[error("`{spec}` asks for samples {from}..{to}, but the set has {len}")]
    Slice {
        /// The SPEC.
        spec: String,
        /// First sample.
        from: usize,
        /// One past the last sample.
        to: usize,
        /// Samples there are.
        len: usize,
    },
    /// Pictures where vectors are meant.
    #[error(
        "`{name}` holds pictures of single pixels, but the model takes vectors; use a file of numbers: .csv, .parquet, or .npz with `features`"
    )]
    Pixels {
        /// The set.
        name: String,
    },
    /// Images of another shape than the model's.
    #[error(
        "`{name}` holds samples of shape {found:?} (channels, height, width; a vector is [D, 1, 1]), but the model takes {expected:?}; \
         use a model configured for that shape (`model.shape`, of vectors `model.dimension`) or other data"
    )]
    Shape {
        /// The set.
        name: String,
        /// Its shape.
        found: [usize; 3],
        /// The model's.
        expected: [usize; 3],
    },
}
