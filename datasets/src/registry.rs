//! The data sets known by name: what they are, where their files lie under `DATA_DIR`, and what the Hugging Face hub has of them.

use super::{
    DataError, HubFile, Images, Kind, Prepare,
    cifar::{CIFAR10, CIFAR100},
    emnist, hub_files, idx, mat, npz,
    original::{self, format},
    parquet, zipped,
};
use atypical_hub::{Hub, HubError};
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
    CelebA(usize),
}

const fn split(name: &'static str, images: usize) -> Split {
    Split { name, images: Some(images) }
}

/// A split whose size is up to who makes its file.
const fn some(name: &'static str) -> Split {
    Split { name, images: None }
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

const CC_BY: &str = "CC BY 4.0";

/// The splits of a set of MedMNIST.
const fn parts(train: usize, val: usize, test: usize) -> [Split; 3] {
    [split("train", train), split("val", val), split("test", test)]
}

/// Of MedMNIST's organs there are two versions: the later one is without some blank pictures.
const ORGANS: &[Split] = &[some("train"), some("val"), some("test")];

macro_rules! medmnist {
    ($name:literal, $title:literal, $channels:literal, $classes:literal, $splits:expr) => {
        medmnist!($name, $title, $channels, $classes, $splits, CC_BY, None)
    };
    ($name:literal, $title:literal, $channels:literal, $classes:literal, $splits:expr, $licence:expr, $sha256:expr) => {
        Dataset {
            name: $name,
            title: concat!($title, " (MedMNIST)"),
            splits: $splits,
            shape: [$channels, 28, 28],
            classes: $classes,
            licence: $licence,
            citation: MEDMNIST,
            files: concat!($name, ".npz"),
            layout: &[Layout::OneNpz(concat!($name, ".npz"))],
            // The original file has all splits.
            hub: hub_files::files!["albertvillanova/medmnist-v2" at "f6dd981c7400b3e3738bde12ff948b7cc8f0d623":
                "train", concat!("data/", $name, ".npz"), $sha256;
                "val", concat!("data/", $name, ".npz"), $sha256;
                "test", concat!("data/", $name, ".npz"), $sha256;
            ],
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
        hub: hub_files::FASHION_MNIST,
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
        hub: hub_files::MNIST,
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
        hub: hub_files::KMNIST,
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
        hub: hub_files::EMNIST,
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
        hub: hub_files::EMNIST_LETTERS,
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
        hub: hub_files::EMNIST,
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
        hub: hub_files::CIFAR10,
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
        hub: hub_files::CIFAR100,
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
        hub: hub_files::SVHN,
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
        hub: hub_files::CELEBA,
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
        hub: hub_files::CELEBA,
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
        hub: hub_files::TINY_IMAGENET,
    },
    medmnist!("pathmnist", "colon pathology", 3, 9, &parts(89_996, 10_004, 7_180)),
    medmnist!(
        "chestmnist",
        "chest X-rays, several findings an image: no labels here",
        1,
        0,
        &parts(78_468, 11_219, 22_433)
    ),
    medmnist!(
        "dermamnist",
        "skin lesions",
        3,
        7,
        &parts(7_007, 1_003, 2_005),
        "CC BY-NC 4.0",
        None
    ),
    medmnist!("octmnist", "retinal OCT", 1, 4, &parts(97_477, 10_832, 1_000)),
    medmnist!(
        "pneumoniamnist",
        "chest X-rays",
        1,
        2,
        &parts(4_708, 524, 624),
        CC_BY,
        Some("e1792d3f03751cb101e99f19a63b3c1941436c988665f47853417b05be250cd8")
    ),
    medmnist!("retinamnist", "fundus photographs", 3, 5, &parts(1_080, 120, 400)),
    medmnist!("breastmnist", "breast ultrasound", 1, 2, &parts(546, 78, 156)),
    medmnist!("bloodmnist", "blood cells", 3, 8, &parts(11_959, 1_712, 3_421)),
    medmnist!("tissuemnist", "kidney cortex cells", 1, 8, &parts(165_466, 23_640, 47_280)),
    medmnist!("organamnist", "abdominal CT, axial", 1, 11, ORGANS),
    medmnist!("organcmnist", "abdominal CT, coronal", 1, 11, ORGANS),
    medmnist!("organsmnist", "abdominal CT, sagittal", 1, 11, ORGANS),
];

impl Dataset {
    /// Read one split: from the files under `data_dir`, or from what was fetched of the hub; in parquet, pictures of more than `memory` bytes stay on disk.
    ///
    /// # Errors
    /// Files that are missing, with those looked for, or damaged; images of another shape than the set's. Of what was fetched of the hub, another number of them
    /// than the set has; files under `data_dir` may be a part of it.
    pub(super) fn load(
        &self,
        split: &str,
        data_dir: &Path,
        memory: u64,
    ) -> Result<Images, DataError> {
        let folder = data_dir.join(self.folder());
        if let Some(layout) = self.layout_of(split, &folder) {
            let images = layout.load(&folder, split)?;
            let file = layout.file(&folder, split).unwrap_or(folder);
            let way_out = "put the files of that set there, or name this one by its path";
            self.expect_pictures(&images, split, &file, way_out)?;
            return Ok(images);
        }
        match self.fetched(split, true)? {
            Some(files) => self.read(split, &files, memory),
            None => Err(self.missing(split, &folder)),
        }
    }

    /// Refuse what is not of the set's shape.
    fn expect_pictures(
        &self,
        images: &Images,
        split: &str,
        file: &Path,
        way_out: &str,
    ) -> Result<(), DataError> {
        if images.kind == Kind::Pixels && images.shape == self.shape {
            return Ok(());
        }
        let kind = if images.kind == Kind::Vectors { "vectors" } else { "pictures" };
        let problem = format!(
            "it has {kind} of shape {:?} (channels, height, width), but {}:{split} has pictures of {:?}; {way_out}",
            images.shape, self.name, self.shape
        );
        Err(format(file, problem))
    }

    /// How many images a split that is there has, by the headers of its files, of which no more is read. None where they do not say: CIFAR's pickles, and
    /// what of EMNIST is no digit.
    ///
    /// # Errors
    /// As for reading the split, as far as its headers tell.
    pub fn count(&self, split: &str, data_dir: &Path) -> Result<Option<usize>, DataError> {
        let folder = data_dir.join(self.folder());
        if let Some(layout) = self.layout_of(split, &folder) {
            return layout.count(&folder, split);
        }
        match self.fetched(split, false)? {
            Some(files) => self.announced(split, &files),
            None => Err(self.missing(split, &folder)),
        }
    }

    /// [`count`](Self::count) of the files that the hub has of a split.
    fn announced(&self, split: &str, files: &[PathBuf]) -> Result<Option<usize>, DataError> {
        if files.iter().all(|file| is_parquet(file)) {
            return files
                .iter()
                .map(|file| parquet::rows(file))
                .sum::<Result<usize, _>>()
                .map(Some);
        }
        let (layout, folder) = self.original(split, &files[0])?;
        layout.count(folder, split)
    }

    /// How the files of a split that are in a folder are laid out: what is there first is read.
    fn layout_of(&self, split: &str, folder: &Path) -> Option<&Layout> {
        self.layout.iter().find(|layout| layout.is_there(folder, split))
    }

    /// Original files lie in the hub's cache under their names, so that they are read as from any folder: how, and from which.
    fn original<'a>(&self, split: &str, file: &'a Path) -> Result<(&Layout, &'a Path), DataError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let layout = self.layout_of(split, folder).ok_or_else(|| self.missing(split, folder))?;
        Ok((layout, folder))
    }

    /// One split from the files that the hub has of it.
    fn read(&self, split: &str, files: &[PathBuf], memory: u64) -> Result<Images, DataError> {
        let [first, others @ ..] = files else { return Err(self.missing(split, Path::new(""))) };
        let images = if is_parquet(first) {
            // As the pictures of the original files are prepared.
            let prepare = self.layout.last().map(|layout| layout.prepare()).unwrap_or_default();
            let prepare = Prepare { channels: Some(self.shape[0]), ..prepare };
            parquet::load(files, (None, None), &prepare, memory)?
        } else {
            let (layout, folder) = self.original(split, first)?;
            layout.load(folder, split)?
        };
        let anew = format!("fetch it again: atypical data fetch {}", self.name);
        self.expect_pictures(&images, split, first, &anew)?;
        let published = self.splits.iter().find(|s| s.name == split).and_then(|s| s.images);
        match published {
            Some(published) if published != images.len() => {
                let has = if others.is_empty() { "has" } else { "and the files behind it have" };
                let problem = format!(
                    "it {has} {} images of {}:{split}, which has {published}; {anew}",
                    images.len(),
                    self.name
                );
                Err(format(first, problem))
            }
            _ => Ok(images),
        }
    }

    /// Whether a split can be read: there are files of it under `data_dir`, or it was fetched of the hub.
    pub fn is_there(&self, split: &str, data_dir: &Path) -> bool {
        let folder = data_dir.join(self.folder());
        self.layout_of(split, &folder).is_some()
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

    /// The files that the hub has of a split.
    pub fn on_hub(&self, split: &str) -> impl Iterator<Item = &HubFile> {
        self.hub.iter().filter(move |file| file.split == split)
    }

    /// Download a file of a split from the hub into its cache, or find it there; `progress` is told the bytes there are and those of the file. A split can be
    /// read when all files of it were fetched.
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

    /// The files fetched before of a split, their checksums compared where that is asked for; none where one is missing. Nothing is downloaded.
    fn fetched(&self, split: &str, verified: bool) -> Result<Option<Vec<PathBuf>>, DataError> {
        if self.on_hub(split).next().is_none() {
            return Ok(None);
        }
        let cached = |hub: Hub| self.cached(split, &hub, verified);
        match Hub::from_environment(true).and_then(cached) {
            Ok(files) => Ok(Some(files)),
            Err(HubError::Offline { .. }) => Ok(None),
            Err(error) => Err(DataError::Hub(error.into())),
        }
    }

    /// The files of a split in the cache of a hub.
    fn cached(&self, split: &str, hub: &Hub, verified: bool) -> Result<Vec<PathBuf>, HubError> {
        self.on_hub(split)
            .map(|&HubFile { repository, revision, file, sha256, .. }| {
                let sha256 = sha256.filter(|_| verified);
                hub.dataset_file(repository, revision, file, sha256, &|_, _| {})
            })
            .collect()
    }

    fn missing(&self, split: &str, folder: &Path) -> DataError {
        let Self { name, files, .. } = self;
        let fetch = match self.on_hub(split).next() {
            Some(_) => {
                format!("; or download it from the Hugging Face hub: atypical data fetch {name}")
            }
            None => String::new(),
        };
        // The original is the last layout.
        let path = self.layout.iter().rev().find_map(|layout| layout.file(folder, split));
        let path = path.unwrap_or_else(|| folder.to_path_buf());
        let hint = format!(
            "\n`{name}` is read from its original files: {files}. Put them there, or set DATA_DIR (environment or .env) to the folder that holds `{}/`{fetch}.",
            self.folder()
        );
        DataError::Read { path, source: original::missing(), hint }
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
            Self::Omniglot => zipped::omniglot(&file, &self.prepare()),
            Self::TinyImageNet => zipped::tiny_imagenet(&file, split, &self.prepare()),
            Self::CelebA(_) => zipped::celeba(&file, split, &self.prepare()),
        }
    }

    fn count(self, folder: &Path, split: &str) -> Result<Option<usize>, DataError> {
        let file = self.file(folder, split).unwrap_or_default();
        match self {
            Self::Idx => {
                let labels = idx_file(folder, split, "labels-idx1");
                idx::count_labelled(&file, &labels).map(Some)
            }
            Self::Npz => npz::count(&file, None).map(Some),
            Self::OneNpz(_) => npz::count(&file, Some(split)).map(Some),
            Self::Emnist(_, true) => Ok(None),
            Self::Emnist(variant, false) => emnist::count(folder, variant, split).map(Some),
            Self::Cifar(cifar) => cifar.count(folder, split),
            Self::Svhn => mat::count(&file).map(Some),
            Self::Omniglot => zipped::count_omniglot(&file).map(Some),
            Self::TinyImageNet => zipped::count_tiny_imagenet(&file, split).map(Some),
            Self::CelebA(_) => zipped::count_celeba(&file, split).map(Some),
        }
    }

    /// What is done to each picture, as the original files have it and as the hub has.
    fn prepare(self) -> Prepare {
        let (crop, side) = match self {
            Self::Omniglot => (None, 28),
            Self::TinyImageNet => (None, 32),
            Self::CelebA(side) => (Some([148; 2]), side),
            _ => return Prepare::default(),
        };
        Prepare { crop, size: Some([side; 2]), ..Prepare::default() }
    }
}

fn is_parquet(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "parquet")
}

/// One of MNIST's files, with or without `.gz`.
fn idx_file(folder: &Path, split: &str, kind: &str) -> PathBuf {
    let prefix = if split == "test" { "t10k" } else { split };
    let plain = folder.join(format!("{prefix}-{kind}-ubyte"));
    if plain.exists() { plain } else { folder.join(format!("{prefix}-{kind}-ubyte.gz")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations;
    use atypical_hub::loopback::Loopback;

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

    /// What the layout does not know would be fetched in vain.
    #[test]
    fn original_files_of_the_hub_have_the_names_that_are_read() {
        for dataset in DATASETS {
            for split in dataset.splits {
                let files = dataset.on_hub(split.name).map(|file| Path::new(file.file));
                let originals: Vec<&Path> = files.filter(|file| !is_parquet(file)).collect();
                let Some(first) = originals.first() else { continue };
                let dir = tempfile::tempdir().unwrap();
                let folder = dir.path().join(first).parent().unwrap().to_path_buf();
                std::fs::create_dir_all(&folder).unwrap();
                let is_there = || dataset.layout_of(split.name, &folder).is_some();
                assert!(!is_there(), "{}", dataset.name);
                for file in originals {
                    std::fs::write(dir.path().join(file), b"").unwrap();
                }
                assert!(is_there(), "{}:{}", dataset.name, split.name);
            }
        }
    }

    const BASE: Dataset = Dataset {
        name: "base",
        title: "",
        splits: &[],
        shape: COLOUR,
        classes: 0,
        licence: "",
        citation: "",
        files: "",
        layout: &[Layout::TinyImageNet],
        hub: &[],
    };

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet").join(name)
    }

    /// The pictures of a fixture as they are.
    fn raw(name: &str) -> Images {
        parquet::load(&[fixture(name)], (None, None), &Prepare::default(), u64::MAX).unwrap()
    }

    /// What is on the hub of a set: fetched, and read from the cache.
    fn fetched(dataset: &Dataset, server: &Loopback, split: &str) -> Result<Images, String> {
        let cache = tempfile::tempdir().unwrap();
        let online = server.hub(cache.path(), None, false);
        let offline = server.hub(cache.path(), None, true);
        for file in dataset.on_hub(split) {
            // A part of the files is not the split.
            let missing = dataset.cached(split, &offline, true).unwrap_err();
            assert!(matches!(missing, HubError::Offline { .. }), "{missing}");
            dataset.fetch(file, &online, &|_, _| {}).unwrap();
        }
        let files = dataset.cached(split, &offline, true).unwrap();
        let read = |memory| dataset.read(split, &files, memory).map_err(|error| error.to_string());
        let images = read(u64::MAX)?;
        if is_parquet(&files[0]) {
            let on_disk = read(0)?;
            assert!(on_disk.pixels.on_disk() && on_disk.pixels == images.pixels);
        }
        assert_eq!(dataset.announced(split, &files).unwrap(), Some(images.len()));
        Ok(images)
    }

    #[test]
    fn a_split_of_several_files_is_read_in_their_order_each_picture_prepared() {
        let server = Loopback::start();
        let names = ["plain_mixed", "hf_grey", "two_sizes", "dictionary"];
        let names = names.map(|name| format!("{name}.parquet"));
        for name in &names {
            let path = format!("datasets/owner/shards/data/{name}");
            server.large(&path, &std::fs::read(fixture(name)).unwrap());
        }
        const SET: Dataset = Dataset {
            splits: &[split("train", 19), some("val"), split("mixed", 9), split("few", 20)],
            hub: hub_files::files!["owner/shards" at "main":
                "train", "data/plain_mixed.parquet", None;
                "train", "data/hf_grey.parquet", None;
                "val", "data/two_sizes.parquet", None;
                "val", "data/dictionary.parquet", None;
                "mixed", "data/hf_grey.parquet", None;
                "mixed", "data/two_sizes.parquet", None;
                "few", "data/hf_grey.parquet", None;
            ],
            ..BASE
        };
        // Grey and colour, of one size; then grey of another.
        let train = fetched(&SET, &server, "train").unwrap();
        assert_eq!((train.len(), train.shape), (19, COLOUR));
        let labels = (249..256).chain((0..12).map(|i| i % 10));
        assert_eq!(train.labels, Some(labels.collect()));
        let prepared = |name: &str| {
            let images = raw(name);
            "size=32,rgb".parse::<Prepare>().unwrap().images(images).unwrap()
        };
        assert!(
            train.bytes().unwrap()[7 * 3072..] == *prepared("hf_grey.parquet").bytes().unwrap()
        );
        // Two sizes in one file.
        let val = fetched(&SET, &server, "val").unwrap();
        assert_eq!((val.len(), &val.labels), (46, &None));
        assert!(
            val.bytes().unwrap()[6 * 3072..] == *prepared("dictionary.parquet").bytes().unwrap()
        );
        let message = fetched(&SET, &server, "mixed").unwrap_err();
        assert!(
            message.contains("two_sizes.parquet is not usable: its pictures are")
                && message.contains("without labels, but")
                && message.contains("do not belong together"),
            "{message}"
        );
        let message = fetched(&SET, &server, "few").unwrap_err();
        assert!(message.contains("it has 12 images of base:few, which has 20"), "{message}");
        const GREY_IN_COLOUR: Dataset =
            Dataset { layout: &[Layout::Idx], splits: &[some("few")], ..SET };
        let message = fetched(&GREY_IN_COLOUR, &server, "few").unwrap_err();
        assert!(
            message.contains("shape [3, 28, 28]") && message.contains("[3, 32, 32]"),
            "{message}"
        );
        let grey = Dataset { shape: GREY, ..GREY_IN_COLOUR };
        let raw = raw("hf_grey.parquet");
        assert!(fetched(&grey, &server, "few").unwrap().pixels == raw.pixels);
    }

    #[test]
    fn original_files_of_the_hub_are_read_as_such() {
        let server = Loopback::start();
        let pixels: Vec<u8> = (0..24).collect();
        // One archive for all splits.
        let arrays: [(&str, &[u64], &[u8]); 2] = [
            ("train_images", &[3, 2, 3], &pixels[..18]),
            ("val_images", &[1, 2, 3], &pixels[18..]),
        ];
        let archive = mutations::npz_of(npyz::Order::C, &arrays);
        server.large("datasets/owner/med/data/med.npz", &archive);
        const MED: Dataset = Dataset {
            splits: &[split("train", 3), split("val", 1)],
            shape: [1, 2, 3],
            layout: &[Layout::OneNpz("med.npz")],
            hub: hub_files::files!["owner/med" at "0123456789abcdef0123456789abcdef01234567":
                "train", "data/med.npz", None;
                "val", "data/med.npz", None;
            ],
            ..BASE
        };
        assert_eq!(fetched(&MED, &server, "train").unwrap().pixels, pixels[..18]);
        assert_eq!(fetched(&MED, &server, "val").unwrap().pixels, pixels[18..]);
        // Two files for each split, upright when they are read.
        let idx = |rank: u8, dims: &[u32], bytes: &[u8]| {
            let dims: Vec<u8> = dims.iter().flat_map(|d| d.to_be_bytes()).collect();
            [&[0, 0, 8, rank], dims.as_slice(), bytes].concat()
        };
        let images = idx(3, &[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
        server.small("datasets/owner/letters/emnist-letters-test-images-idx3-ubyte.gz", &images);
        let labels = idx(1, &[2], &[1, 26]);
        server.small("datasets/owner/letters/emnist-letters-test-labels-idx1-ubyte.gz", &labels);
        const LETTERS: Dataset = Dataset {
            splits: &[some("test")],
            shape: [1, 2, 2],
            layout: &[Layout::Emnist("letters", false)],
            hub: hub_files::files!["owner/letters" at "main":
                "test", "emnist-letters-test-images-idx3-ubyte.gz", None;
                "test", "emnist-letters-test-labels-idx1-ubyte.gz", None;
            ],
            ..BASE
        };
        let test = fetched(&LETTERS, &server, "test").unwrap();
        assert_eq!(test.pixels, [1, 3, 2, 4, 5, 7, 6, 8]);
        assert_eq!(test.labels, Some(vec![1, 26]));
    }

    #[test]
    fn a_set_is_read_from_whichever_of_its_files_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let cifar = DATASETS.iter().find(|d| d.name == "cifar10").unwrap();
        let load = |split: &str| cifar.load(split, dir.path(), u64::MAX).map_err(|e| e.to_string());
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
        let svhn = DATASETS.iter().find(|d| d.name == "svhn").unwrap();
        let message = svhn.missing("train", Path::new("svhn")).to_string();
        let file = Path::new("svhn").join("train_32x32.mat");
        assert!(message.starts_with(&format!("cannot read {}: ", file.display())), "{message}");
        assert!(message.contains("; train.npz, test.npz. Put them there"), "{message}");
        std::fs::create_dir(&folder).unwrap();
        let images = Images::random(3, [3, 32, 32], 0);
        let written = npz::to_npz(&images.bytes().unwrap(), images.shape).unwrap();
        std::fs::write(folder.join("test.npz"), written).unwrap();
        assert_eq!(load("test").unwrap().pixels, images.pixels);
        let other = Images::random(3, [1, 28, 28], 0);
        let vectors = npz::vectors_to_npz(&[0.5; 6], 3).unwrap();
        let grey = npz::to_npz(&other.bytes().unwrap(), other.shape).unwrap();
        for (bytes, found) in
            [(grey, "pictures of shape [1, 28, 28]"), (vectors, "vectors of shape [3, 1, 1]")]
        {
            std::fs::write(folder.join("test.npz"), bytes).unwrap();
            let message = load("test").unwrap_err();
            for part in
                ["test.npz is not usable", found, "cifar10:test has pictures of [3, 32, 32]"]
            {
                assert!(message.contains(part), "{message}");
            }
        }
        // A file of one split is none of another.
        assert!(cifar.is_there("test", dir.path()) && !cifar.is_there("train", dir.path()));
        assert!(load("train").unwrap_err().contains("atypical data fetch cifar10"));
        // What is there is told of, not what else could be.
        std::fs::write(folder.join("train.npz"), b"damaged").unwrap();
        assert!(load("train").unwrap_err().contains("train.npz is not usable"));
    }

    #[test]
    fn images_are_counted_by_headers() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let corpus = mutations::corpus();
        let file = |name: &str| &corpus.iter().find(|file| file.0 == name).unwrap().1;
        put("omniglot/images_background.zip", file("images_background.zip"));
        put("tiny-imagenet/tiny-imagenet-200.zip", file("tiny-imagenet-200.zip"));
        put("emnist/gzip.zip", file("gzip.zip"));
        put("svhn/train_32x32.mat", file("train_32x32.mat"));
        put("cifar100/test.npz", file("grey.npz"));
        let labels = [0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2];
        put("mnist/train-images-idx3-ubyte.gz", file("images-ubyte.gz"));
        put("mnist/train-labels-idx1-ubyte", &labels);
        put("kmnist/t10k-images-idx3-ubyte", file("images-ubyte"));
        put("kmnist/t10k-labels-idx1-ubyte", &labels);
        for name in ["img_align_celeba.zip", "list_eval_partition.txt"] {
            put(&format!("celeba/{name}"), file(name));
        }
        let arrays: [(&str, &[u64], &[u8]); 2] =
            [("train_images", &[4, 1, 1], &[0; 4]), ("val_images", &[2, 1, 1], &[0; 2])];
        put("bloodmnist/bloodmnist.npz", &mutations::npz_of(npyz::Order::C, &arrays));

        let set = |name: &str| DATASETS.iter().find(|set| set.name == name).unwrap();
        for (name, split, count) in [
            ("omniglot", "train", 2),
            ("tiny-imagenet", "train", 1),
            ("emnist-letters", "test", 1),
            ("svhn", "train", 3),
            ("cifar100", "test", 3),
            ("mnist", "train", 3),
            ("kmnist", "test", 3),
            ("celeba", "train", 2),
            ("celeba-32", "train", 2),
            ("bloodmnist", "train", 4),
            ("bloodmnist", "val", 2),
        ] {
            assert_eq!(set(name).count(split, dir.path()).unwrap(), Some(count), "{name}:{split}");
            // Whatever their shape: most pictures here are small.
            let folder = dir.path().join(set(name).folder());
            let layout = set(name).layout_of(split, &folder).unwrap();
            assert_eq!(layout.load(&folder, split).unwrap().len(), count, "{name}:{split}");
        }
        // Which of them are letters is in the labels.
        assert_eq!(set("emnist-minus-mnist").count("test", dir.path()).unwrap(), None);
        let problem =
            |name: &str, split: &str| set(name).count(split, dir.path()).unwrap_err().to_string();
        assert!(problem("emnist", "test").contains("it has no file `gzip/emnist-byclass-test-"));
        assert!(problem("bloodmnist", "test").contains("it has no array `test_images`"));
        put("svhn/test_32x32.mat", b"damaged");
        assert!(problem("svhn", "test").contains("its header is truncated or damaged at byte 7"));
        put("kmnist/train-images-idx3-ubyte.gz", b"");
        assert!(problem("kmnist", "train").contains("it ends at byte 0, within the idx header"));
        put("omniglot/images_evaluation.zip", b"PK");
        assert!(problem("omniglot", "test").contains("its 2 bytes are no readable zip archive"));
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
                let images = match dataset.load(split.name, &data_dir, u64::MAX) {
                    Ok(images) => images,
                    // Not all splits lie there.
                    Err(DataError::Read { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let shape = dataset.shape;
                assert_eq!(dataset.count(split.name, &data_dir).unwrap(), Some(images.len()));
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
