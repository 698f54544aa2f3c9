//! The data sets known by name, and where their files lie under `DATA_DIR`.

use super::{DataError, Images, idx, npz};
use std::path::{Path, PathBuf};

/// A data set known by name.
#[derive(Debug)]
pub struct Dataset {
    /// Its name, and that of its folder under `DATA_DIR`.
    pub name: &'static str,
    /// Its splits.
    pub splits: &'static [&'static str],
    files: Files,
    /// Where it comes from.
    pub source: &'static str,
}

/// How a set's files are laid out.
#[derive(Debug)]
enum Files {
    /// MNIST's four idx files.
    Idx,
    /// One npz a split.
    Npz,
    /// One npz for all splits, of this name.
    OneNpz(&'static str),
}

/// All data sets known by name. `demo` is not among them: it is compiled in.
pub const DATASETS: &[Dataset] = &[
    Dataset {
        name: "fashion-mnist",
        splits: &["train", "test"],
        files: Files::Idx,
        source: "github.com/zalandoresearch/fashion-mnist (MIT)",
    },
    Dataset {
        name: "mnist",
        splits: &["train", "test"],
        files: Files::Idx,
        source: "LeCun, Cortes & Burges, the MNIST database",
    },
    Dataset {
        name: "omniglot",
        splits: &["train", "test"],
        files: Files::Npz,
        source: "github.com/brendenlake/omniglot (MIT), reduced to 28x28",
    },
    Dataset {
        name: "pneumoniamnist",
        splits: &["train", "val", "test"],
        files: Files::OneNpz("pneumoniamnist.npz"),
        source: "medmnist.com (CC BY 4.0)",
    },
    Dataset {
        name: "cifar10",
        splits: &["train", "test"],
        files: Files::Npz,
        source: "Krizhevsky 2009, as npz",
    },
    Dataset {
        name: "cifar100",
        splits: &["train", "test"],
        files: Files::Npz,
        source: "Krizhevsky 2009, as npz",
    },
    Dataset {
        name: "svhn",
        splits: &["test"],
        files: Files::Npz,
        source: "Netzer et al. 2011, cropped digits as npz",
    },
    Dataset {
        name: "tiny-imagenet",
        splits: &["test"],
        files: Files::Npz,
        source: "ImageNet, reduced to 32x32, as npz",
    },
];

impl Dataset {
    /// Read one split.
    ///
    /// # Errors
    /// A folder or file that is missing or damaged, with the path looked at.
    pub(super) fn load(&self, split: &str, data_dir: &Path) -> Result<Images, DataError> {
        let folder = data_dir.join(self.name);
        match self.files {
            Files::Idx => {
                let prefix = if split == "test" { "t10k" } else { split };
                let images = self.find(&folder, &format!("{prefix}-images-idx3-ubyte"))?;
                let labels = self.find(&folder, &format!("{prefix}-labels-idx1-ubyte"))?;
                idx::load(&images, Some(&labels))
            }
            Files::Npz => npz::load(&self.exists(folder.join(format!("{split}.npz")))?, None),
            Files::OneNpz(name) => npz::load(&self.exists(folder.join(name))?, Some(split)),
        }
    }

    /// The file with or without `.gz`.
    fn find(&self, folder: &Path, name: &str) -> Result<PathBuf, DataError> {
        let plain = folder.join(name);
        if plain.exists() { Ok(plain) } else { self.exists(folder.join(format!("{name}.gz"))) }
    }

    fn exists(&self, path: PathBuf) -> Result<PathBuf, DataError> {
        if path.exists() {
            return Ok(path);
        }
        let hint = format!(
            "\n`{}` is read from its original files ({}). Put them there, or set DATA_DIR (environment or .env) to the folder that holds `{}/`.",
            self.name, self.source, self.name
        );
        Err(DataError::Read { path, source: std::io::ErrorKind::NotFound.into(), hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "reads the full data sets: set DATA_DIR to the folder that holds them"]
    fn the_original_files_load() {
        let data_dir = PathBuf::from(std::env::var_os("DATA_DIR").expect("DATA_DIR is set"));
        for dataset in DATASETS {
            for split in dataset.splits {
                let images = dataset.load(split, &data_dir).unwrap();
                let colour = ["cifar10", "cifar100", "svhn", "tiny-imagenet"];
                let shape = if colour.contains(&dataset.name) { [3, 32, 32] } else { [1, 28, 28] };
                images.expect_shape(shape).unwrap();
                assert_eq!(images.labels.as_ref().map(Vec::len), Some(images.len()));
                let published = match (dataset.name, *split) {
                    ("mnist" | "fashion-mnist", "train") => 60_000,
                    ("mnist" | "fashion-mnist", "test") => 10_000,
                    ("pneumoniamnist", "train") => 4_708,
                    ("pneumoniamnist", "val") => 524,
                    ("pneumoniamnist", "test") => 624,
                    // Subsets: their size is the user's choice.
                    _ => continue,
                };
                assert_eq!(images.len(), published, "{}:{split}", dataset.name);
            }
        }
    }
}
