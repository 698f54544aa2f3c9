//! The data sets known by name: what they are, where their files lie under `DATA_DIR`, and what the Hugging Face hub has of them.

use super::{
    DataError, Images,
    cifar::{CIFAR10, CIFAR100},
    emnist, idx, mat, npz, parquet, zipped,
};
use atypical_hub::{Hub, HubError};
use image::{DynamicImage, imageops::FilterType};
use std::path::{Path, PathBuf};

/// A data set known by name.
#[derive(Debug)]
pub struct Dataset {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Its splits.
    pub splits: &'static [Split],
    /// Shape of an image, `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Classes that its labels number; 0 where it has no labels.
    pub classes: usize,
    /// Its licence, as far as it has one.
    pub licence: &'static str,
    /// The paper to cite.
    pub citation: &'static str,
    /// Files that it is read from, the first there is, in words.
    pub files: &'static str,
    layout: &'static [Layout],
    /// What the hub has of it.
    pub hub: &'static [HubFile],
}

/// A split of a data set.
#[derive(Debug)]
pub struct Split {
    /// Its name.
    pub name: &'static str,
    /// Images of it, as published; none where that is up to who makes the files.
    pub images: Option<usize>,
}

/// A split as one parquet file on the Hugging Face hub.
#[derive(Debug)]
pub struct HubFile {
    /// The split.
    pub split: &'static str,
    /// The data set's repository.
    pub repository: &'static str,
    /// A commit, so that it is the same tomorrow; `main` where none is known.
    pub revision: &'static str,
    /// The file in the repository.
    pub file: &'static str,
    /// Its SHA-256, where it is known.
    pub sha256: Option<&'static str>,
}

/// How files are laid out.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// MNIST's four idx files.
    Idx,
    /// One npz a split.
    Npz,
    /// One npz for all splits, of this name.
    OneNpz(&'static str),
    /// EMNIST's archive or its files; a variant, and whether its digits are left out.
    Emnist(&'static str, bool),
    /// The archives of CIFAR-10 or CIFAR-100, packed or not.
    Cifar(&'static super::cifar::Cifar),
    /// SVHN's `<split>_32x32.mat`.
    Svhn,
    /// Omniglot's archive for each split, made 28 x 28.
    Omniglot,
    /// `tiny-imagenet-200.zip`, made 32 x 32.
    TinyImageNet,
    /// `img_align_celeba.zip`: the middle 148 x 148, made this size.
    CelebA(u32),
}

const fn split(name: &'static str, images: usize) -> Split {
    Split { name, images: Some(images) }
}

/// A split whose size is up to who makes its file.
const fn some(name: &'static str) -> Split {
    Split { name, images: None }
}

const fn hub(
    repository: &'static str,
    revision: &'static str,
    split: &'static str,
    file: &'static str,
    sha256: Option<&'static str>,
) -> HubFile {
    HubFile { split, repository, revision, file, sha256 }
}

const IDX_FILES: &str = "{train,t10k}-{images-idx3,labels-idx1}-ubyte, .gz or not";
const EMNIST: &str = "Cohen, Afshar, Tapson & van Schaik 2017, arXiv 1702.05373";
const EMNIST_FILES: &str = "gzip.zip, or the files in it";
const CELEBA: &str = "Liu, Luo, Wang & Tang, ICCV 2015";
const CELEBA_FILES: &str = "img_align_celeba.zip and list_eval_partition.txt; the middle 148 x 148 of each picture is resized";
const CELEBA_SPLITS: &[Split] =
    &[split("train", 162_770), split("valid", 19_867), split("test", 19_962)];
const MEDMNIST: &str = "Yang et al. 2023, MedMNIST v2, Scientific Data 10:41";
const TEN: &[Split] = &[split("train", 60_000), split("test", 10_000)];
const COLOUR: [usize; 3] = [3, 32, 32];
const GREY: [usize; 3] = [1, 28, 28];

macro_rules! medmnist {
    ($name:literal, $title:literal, $channels:literal, $classes:literal, $train:literal, $val:literal, $test:literal) => {
        Dataset {
            name: $name,
            title: concat!($title, " (MedMNIST)"),
            splits: &[split("train", $train), split("val", $val), split("test", $test)],
            shape: [$channels, 28, 28],
            classes: $classes,
            licence: "CC BY 4.0 (dermamnist: CC BY-NC 4.0)",
            citation: MEDMNIST,
            files: concat!($name, ".npz"),
            layout: &[Layout::OneNpz(concat!($name, ".npz"))],
            hub: &[],
        }
    };
}

/// All data sets known by name. `demo` is not among them: it is compiled in.
pub const DATASETS: &[Dataset] = &[
    Dataset {
        name: "fashion-mnist",
        title: "articles of clothing",
        splits: TEN,
        shape: GREY,
        classes: 10,
        licence: "MIT",
        citation: "Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747",
        files: IDX_FILES,
        layout: &[Layout::Idx],
        hub: &[
            hub(
                "zalando-datasets/fashion_mnist",
                "main",
                "train",
                "fashion_mnist/train-00000-of-00001.parquet",
                None,
            ),
            hub(
                "zalando-datasets/fashion_mnist",
                "main",
                "test",
                "fashion_mnist/test-00000-of-00001.parquet",
                None,
            ),
        ],
    },
    Dataset {
        name: "mnist",
        title: "handwritten digits",
        splits: TEN,
        shape: GREY,
        classes: 10,
        licence: "no formal one; freely used",
        citation: "LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86",
        files: IDX_FILES,
        layout: &[Layout::Idx],
        hub: &[
            hub(
                "ylecun/mnist",
                "77f3279092a1c1579b2250db8eafed0ad422088c",
                "train",
                "mnist/train-00000-of-00001.parquet",
                Some("f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf"),
            ),
            hub(
                "ylecun/mnist",
                "77f3279092a1c1579b2250db8eafed0ad422088c",
                "test",
                "mnist/test-00000-of-00001.parquet",
                Some("d49fcf556ce25b002b302e318ce4a11098bbfe5d4499c3f35d7c72297c52374b"),
            ),
        ],
    },
    Dataset {
        name: "kmnist",
        title: "cursive Japanese characters",
        splits: TEN,
        shape: GREY,
        classes: 10,
        licence: "CC BY-SA 4.0",
        citation: "Clanuwat et al. 2018, arXiv 1812.01718",
        files: IDX_FILES,
        layout: &[Layout::Idx],
        hub: &[],
    },
    Dataset {
        name: "emnist",
        title: "handwritten digits and letters, by class",
        splits: &[split("train", 697_932), split("test", 116_323)],
        shape: GREY,
        classes: 62,
        licence: "no formal one; freely used",
        citation: EMNIST,
        files: EMNIST_FILES,
        layout: &[Layout::Emnist("byclass", false)],
        hub: &[],
    },
    Dataset {
        name: "emnist-letters",
        title: "handwritten letters, upper and lower case together",
        splits: &[split("train", 124_800), split("test", 20_800)],
        shape: GREY,
        classes: 26,
        licence: "no formal one; freely used",
        citation: EMNIST,
        files: EMNIST_FILES,
        layout: &[Layout::Emnist("letters", false)],
        hub: &[],
    },
    Dataset {
        name: "emnist-minus-mnist",
        title: "EMNIST by class without its digits, which MNIST has too",
        splits: &[some("train"), some("test")],
        shape: GREY,
        classes: 52,
        licence: "no formal one; freely used",
        citation: EMNIST,
        files: EMNIST_FILES,
        layout: &[Layout::Emnist("byclass", true)],
        hub: &[],
    },
    Dataset {
        name: "omniglot",
        title: "handwritten characters of 50 alphabets, ink bright, reduced to 28 x 28",
        splits: &[some("train"), some("test")],
        shape: GREY,
        classes: 964,
        licence: "MIT",
        citation: "Lake, Salakhutdinov & Tenenbaum 2015, Science 350",
        files: "train.npz and test.npz; images_background.zip (train) and images_evaluation.zip (test)",
        layout: &[Layout::Npz, Layout::Omniglot],
        hub: &[],
    },
    Dataset {
        name: "cifar10",
        title: "photographs of animals and vehicles",
        splits: &[split("train", 50_000), split("test", 10_000)],
        shape: COLOUR,
        classes: 10,
        licence: "none formal",
        citation: "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        files: "cifar-10-binary.tar.gz or cifar-10-python.tar.gz, packed or not; train.npz and test.npz",
        layout: &[Layout::Npz, Layout::Cifar(&CIFAR10)],
        hub: &[
            hub(
                "uoft-cs/cifar10",
                "0b2714987fa478483af9968de7c934580d0bb9a2",
                "train",
                "plain_text/train-00000-of-00001.parquet",
                Some("8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883"),
            ),
            hub(
                "uoft-cs/cifar10",
                "0b2714987fa478483af9968de7c934580d0bb9a2",
                "test",
                "plain_text/test-00000-of-00001.parquet",
                Some("841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de"),
            ),
        ],
    },
    Dataset {
        name: "cifar100",
        title: "photographs, a hundred fine classes",
        splits: &[split("train", 50_000), split("test", 10_000)],
        shape: COLOUR,
        classes: 100,
        licence: "none formal",
        citation: "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        files: "cifar-100-binary.tar.gz or cifar-100-python.tar.gz, packed or not; train.npz and test.npz",
        layout: &[Layout::Npz, Layout::Cifar(&CIFAR100)],
        hub: &[
            hub(
                "uoft-cs/cifar100",
                "aadb3af77e9048adbea6b47c21a81e47dd092ae5",
                "train",
                "cifar100/train-00000-of-00001.parquet",
                None,
            ),
            hub(
                "uoft-cs/cifar100",
                "aadb3af77e9048adbea6b47c21a81e47dd092ae5",
                "test",
                "cifar100/test-00000-of-00001.parquet",
                Some("98776c529bb146a9c791229df74a5cf076be9b43d82dbbd334b6a7788d73dc68"),
            ),
        ],
    },
    Dataset {
        name: "svhn",
        title: "house numbers, cropped digits",
        splits: &[split("train", 73_257), split("test", 26_032), split("extra", 531_131)],
        shape: COLOUR,
        classes: 10,
        licence: "non-commercial research",
        citation: "Netzer et al. 2011, NIPS Workshop on Deep Learning and Unsupervised Feature Learning",
        files: "train_32x32.mat, test_32x32.mat, extra_32x32.mat; train.npz, test.npz",
        layout: &[Layout::Npz, Layout::Svhn],
        hub: &[
            hub(
                "ufldl-stanford/svhn",
                "main",
                "train",
                "cropped_digits/train-00000-of-00001.parquet",
                None,
            ),
            hub(
                "ufldl-stanford/svhn",
                "main",
                "test",
                "cropped_digits/test-00000-of-00001.parquet",
                None,
            ),
        ],
    },
    Dataset {
        name: "celeba",
        title: "faces of celebrities, 64 x 64",
        splits: CELEBA_SPLITS,
        shape: [3, 64, 64],
        classes: 0,
        licence: "non-commercial research",
        citation: CELEBA,
        files: CELEBA_FILES,
        layout: &[Layout::CelebA(64)],
        hub: &[],
    },
    Dataset {
        name: "celeba-32",
        title: "faces of celebrities, 32 x 32",
        splits: CELEBA_SPLITS,
        shape: COLOUR,
        classes: 0,
        licence: "non-commercial research",
        citation: CELEBA,
        files: CELEBA_FILES,
        layout: &[Layout::CelebA(32)],
        hub: &[],
    },
    Dataset {
        name: "tiny-imagenet",
        title: "photographs of 200 classes, reduced to 32 x 32",
        splits: &[split("train", 100_000), split("val", 10_000), split("test", 10_000)],
        shape: COLOUR,
        classes: 200,
        licence: "ImageNet terms: non-commercial research",
        citation: "Le & Yang 2015, Tiny ImageNet Visual Recognition Challenge",
        files: "tiny-imagenet-200.zip (its test has no labels); train.npz, val.npz, test.npz",
        layout: &[Layout::Npz, Layout::TinyImageNet],
        hub: &[],
    },
    medmnist!("pathmnist", "colon pathology", 3, 9, 89_996, 10_004, 7_180),
    medmnist!(
        "chestmnist",
        "chest X-rays, several findings an image: no labels here",
        1,
        0,
        78_468,
        11_219,
        22_433
    ),
    medmnist!("dermamnist", "skin lesions", 3, 7, 7_007, 1_003, 2_005),
    medmnist!("octmnist", "retinal OCT", 1, 4, 97_477, 10_832, 1_000),
    medmnist!("pneumoniamnist", "chest X-rays", 1, 2, 4_708, 524, 624),
    medmnist!("retinamnist", "fundus photographs", 3, 5, 1_080, 120, 400),
    medmnist!("breastmnist", "breast ultrasound", 1, 2, 546, 78, 156),
    medmnist!("bloodmnist", "blood cells", 3, 8, 11_959, 1_712, 3_421),
    medmnist!("tissuemnist", "kidney cortex cells", 1, 8, 165_466, 23_640, 47_280),
    medmnist!("organamnist", "abdominal CT, axial", 1, 11, 34_561, 6_491, 17_778),
    medmnist!("organcmnist", "abdominal CT, coronal", 1, 11, 12_975, 2_392, 8_216),
    medmnist!("organsmnist", "abdominal CT, sagittal", 1, 11, 13_932, 2_452, 8_827),
];

impl Dataset {
    /// Read one split: from the files under `data_dir`, or from what was fetched of the hub.
    ///
    /// # Errors
    /// Files that are missing, with those looked for, or damaged; another number of images than the set has.
    pub(super) fn load(&self, split: &str, data_dir: &Path) -> Result<Images, DataError> {
        let folder = data_dir.join(self.folder());
        for layout in self.layout {
            if layout.is_there(&folder, split) {
                return layout.load(&folder, split);
            }
        }
        match self.fetched(split, true)? {
            Some(path) => {
                let images = parquet::load(&path, (None, None))?;
                let published = self.splits.iter().find(|s| s.name == split).and_then(|s| s.images);
                match published {
                    Some(published) if published != images.len() => Err(DataError::Format {
                        path,
                        problem: format!(
                            "it has {} images, but {}:{split} has {published}; fetch it again",
                            images.len(),
                            self.name
                        ),
                    }),
                    _ => Ok(images),
                }
            }
            None => Err(self.missing(split, &folder)),
        }
    }

    /// Whether a split can be read: there are files of it under `data_dir`, or it was fetched of the hub.
    pub fn is_there(&self, split: &str, data_dir: &Path) -> bool {
        let folder = data_dir.join(self.folder());
        self.layout.iter().any(|layout| layout.is_there(&folder, split))
            || self.fetched(split, false).is_ok_and(|path| path.is_some())
    }

    /// Its folder under `DATA_DIR`: sets that are read from one archive share it.
    pub fn folder(&self) -> &'static str {
        match self.layout {
            [Layout::Emnist(..)] => "emnist",
            [Layout::CelebA(_)] => "celeba",
            _ => self.name,
        }
    }

    /// What the hub has of a split.
    pub fn on_hub(&self, split: &str) -> Option<&HubFile> {
        self.hub.iter().find(|file| file.split == split)
    }

    /// Download a split from the hub into its cache, or find it there; `progress` is told the bytes there are and those of the file.
    ///
    /// # Errors
    /// As [`Hub::dataset_file`].
    pub fn fetch(
        &self,
        file: &HubFile,
        hub: &Hub,
        progress: &dyn Fn(u64, u64),
    ) -> Result<PathBuf, HubError> {
        hub.dataset_file(file.repository, file.revision, file.file, file.sha256, progress)
    }

    /// What was fetched before of a split, its checksum compared where that is asked for; nothing is downloaded.
    fn fetched(&self, split: &str, verified: bool) -> Result<Option<PathBuf>, DataError> {
        let Some(HubFile { repository, revision, file, sha256, .. }) = self.on_hub(split) else {
            return Ok(None);
        };
        let sha256 = sha256.filter(|_| verified);
        let found = Hub::from_environment(true)
            .and_then(|hub| hub.dataset_file(repository, revision, file, sha256, &|_, _| {}));
        match found {
            Ok(path) => Ok(Some(path)),
            Err(HubError::Offline { .. }) => Ok(None),
            Err(error) => Err(DataError::Hub(error.into())),
        }
    }

    fn missing(&self, split: &str, folder: &Path) -> DataError {
        let Self { name, files, .. } = self;
        let fetch = match self.on_hub(split) {
            Some(_) => {
                format!("; or download it from the Hugging Face hub: atypical data fetch {name}")
            }
            None => String::new(),
        };
        let path = match self.layout.iter().find_map(|layout| layout.file(folder, split)) {
            Some(path) => path,
            None => folder.to_path_buf(),
        };
        let hint = format!(
            "\n`{name}` is read from its original files: {files}. Put them there, or set DATA_DIR (environment or .env) to the folder that holds `{}/`{fetch}.",
            self.folder()
        );
        DataError::Read { path, source: std::io::ErrorKind::NotFound.into(), hint }
    }
}

impl Layout {
    /// The file that a split is in, where it is one of one name.
    fn file(self, folder: &Path, split: &str) -> Option<PathBuf> {
        let name = match self {
            Self::Idx => return Some(idx_file(folder, split, "images-idx3")),
            Self::Npz => format!("{split}.npz"),
            Self::OneNpz(name) => name.to_owned(),
            Self::Svhn => format!("{split}_32x32.mat"),
            Self::Omniglot if split == "train" => "images_background.zip".to_owned(),
            Self::Omniglot => "images_evaluation.zip".to_owned(),
            Self::TinyImageNet => "tiny-imagenet-200.zip".to_owned(),
            Self::CelebA(_) => "img_align_celeba.zip".to_owned(),
            Self::Emnist(..) | Self::Cifar(_) => return None,
        };
        Some(folder.join(name))
    }

    /// Whether files of this layout are there: what is there is read, and its faults told, whatever else there is.
    fn is_there(self, folder: &Path, split: &str) -> bool {
        match self.file(folder, split) {
            Some(file) => file.exists(),
            None => match self {
                Self::Emnist(variant, _) => emnist::is_there(folder, variant, split),
                Self::Cifar(cifar) => cifar.is_there(folder, split),
                _ => false,
            },
        }
    }

    fn load(self, folder: &Path, split: &str) -> Result<Images, DataError> {
        let file = self.file(folder, split).unwrap_or_default();
        match self {
            Self::Idx => idx::load(&file, Some(&idx_file(folder, split, "labels-idx1"))),
            Self::Npz => npz::load(&file, None),
            Self::OneNpz(_) => npz::load(&file, Some(split)),
            Self::Emnist(variant, letters) => {
                let images = emnist::load(folder, variant, split)?;
                Ok(if letters { emnist::without_digits(&images) } else { images })
            }
            Self::Cifar(cifar) => cifar.load(folder, split),
            Self::Svhn => mat::load(&file),
            Self::Omniglot => zipped::omniglot(&file, &|p| resized(&p, 28)),
            Self::TinyImageNet => zipped::tiny_imagenet(&file, split, &|p| resized(&p, 32)),
            Self::CelebA(side) => {
                const MIDDLE: u32 = 148;
                let middle = |p: DynamicImage| {
                    let [left, top] =
                        [p.width(), p.height()].map(|side| side.saturating_sub(MIDDLE) / 2);
                    p.crop_imm(left, top, MIDDLE, MIDDLE)
                };
                zipped::celeba(&file, split, &|p| resized(&middle(p), side))
            }
        }
    }
}

/// One of MNIST's files, with or without `.gz`.
fn idx_file(folder: &Path, split: &str, kind: &str) -> PathBuf {
    let prefix = if split == "test" { "t10k" } else { split };
    let plain = folder.join(format!("{prefix}-{kind}-ubyte"));
    if plain.exists() { plain } else { folder.join(format!("{prefix}-{kind}-ubyte.gz")) }
}

/// A square picture, smoothed as it shrinks.
fn resized(picture: &DynamicImage, side: u32) -> DynamicImage {
    picture.resize_exact(side, side, FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_splits_and_files_are_told_once() {
        for (i, dataset) in DATASETS.iter().enumerate() {
            assert!(
                DATASETS[..i].iter().all(|other| other.name != dataset.name),
                "{}",
                dataset.name
            );
            assert!(!dataset.layout.is_empty() && !dataset.files.is_empty(), "{}", dataset.name);
            for file in dataset.hub {
                assert!(
                    dataset.splits.iter().any(|split| split.name == file.split),
                    "{}",
                    dataset.name
                );
                assert!(file.revision == "main" || file.revision.len() == 40, "{}", dataset.name);
                assert!(file.sha256.is_none_or(|digest| digest.len() == 64), "{}", dataset.name);
            }
        }
    }

    #[test]
    fn a_set_is_read_from_whichever_of_its_files_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let cifar = DATASETS.iter().find(|d| d.name == "cifar10").unwrap();
        let load = |split: &str| cifar.load(split, dir.path()).map_err(|e| e.to_string());
        let folder = dir.path().join("cifar10");
        let message = cifar.missing("test", &folder).to_string();
        for part in [
            "cifar10/test.npz",
            "cifar-10-binary.tar.gz",
            "DATA_DIR",
            "atypical data fetch cifar10",
        ] {
            assert!(message.contains(part), "{message}");
        }
        std::fs::create_dir(&folder).unwrap();
        let images = Images::random(3, [3, 32, 32], 0);
        std::fs::write(folder.join("test.npz"), npz::to_npz(&images.pixels, images.shape).unwrap())
            .unwrap();
        assert_eq!(load("test").unwrap().pixels, images.pixels);
        // A file of one split is none of another.
        assert!(cifar.is_there("test", dir.path()) && !cifar.is_there("train", dir.path()));
        assert!(load("train").unwrap_err().contains("atypical data fetch cifar10"));
        // What is there is told of, not what else could be.
        std::fs::write(folder.join("train.npz"), b"damaged").unwrap();
        assert!(load("train").unwrap_err().contains("train.npz is not usable"));
    }

    #[test]
    #[ignore = "reads the full data sets: set DATA_DIR to the folder that holds them"]
    fn the_original_files_load() {
        let data_dir = PathBuf::from(std::env::var_os("DATA_DIR").expect("DATA_DIR is set"));
        for dataset in DATASETS {
            if !data_dir.join(dataset.name).exists() {
                continue;
            }
            for split in dataset.splits {
                let images = match dataset.load(split.name, &data_dir) {
                    Ok(images) => images,
                    // Not all splits lie there.
                    Err(DataError::Read { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let shape = dataset.shape;
                images.expect_shape(shape).unwrap();
                assert_eq!(images.labels.as_ref().map(Vec::len), Some(images.len()));
                // Subsets of the others: their size is the user's choice.
                if ["mnist", "fashion-mnist", "pneumoniamnist"].contains(&dataset.name) {
                    assert_eq!(Some(images.len()), split.images, "{}:{}", dataset.name, split.name);
                }
            }
        }
    }
}
