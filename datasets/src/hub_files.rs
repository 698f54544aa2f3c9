//! What the Hugging Face hub has of the data sets known by name.

/// A file of a split on the hub: a parquet file of pictures, of which a split may have several in this order, or one of the set's original files.
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

/// Files of a repository at a revision: split, name, SHA-256.
macro_rules! files {
    ($repository:literal at $revision:literal: $($split:literal, $file:expr, $sha256:expr;)+) => {
        &[$(crate::HubFile { split: $split, repository: $repository, revision: $revision, file: $file, sha256: $sha256 }),+]
    };
}
pub(super) use files;

pub(super) const FASHION_MNIST: &[HubFile] = files!["zalando-datasets/fashion_mnist" at "531be5e2ccc9dba0c201ad3ae567a4f3d16ecdd2":
    "train", "fashion_mnist/train-00000-of-00001.parquet", None;
    "test", "fashion_mnist/test-00000-of-00001.parquet", None;
];

pub(super) const MNIST: &[HubFile] = files!["ylecun/mnist" at "77f3279092a1c1579b2250db8eafed0ad422088c":
    "train", "mnist/train-00000-of-00001.parquet", Some("f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf");
    "test", "mnist/test-00000-of-00001.parquet", Some("d49fcf556ce25b002b302e318ce4a11098bbfe5d4499c3f35d7c72297c52374b");
];

pub(super) const KMNIST: &[HubFile] = files!["tanganke/kmnist" at "main":
    "train", "kmnist/train-00000-of-00001.parquet", None;
    "test", "kmnist/test-00000-of-00001.parquet", None;
];

/// By class, digits too: the original files.
pub(super) const EMNIST: &[HubFile] = files!["Royc30ne/emnist-byclass" at "main":
    "train", "emnist-byclass-train-images-idx3-ubyte.gz", None;
    "train", "emnist-byclass-train-labels-idx1-ubyte.gz", None;
    "test", "emnist-byclass-test-images-idx3-ubyte.gz", None;
    "test", "emnist-byclass-test-labels-idx1-ubyte.gz", None;
];

/// The original files: those in parquet on the hub (tanganke/emnist_letters) number the letters from 0, and lie on their sides.
pub(super) const EMNIST_LETTERS: &[HubFile] = files!["Royc30ne/emnist-letters" at "main":
    "train", "emnist-letters-train-images-idx3-ubyte.gz", None;
    "train", "emnist-letters-train-labels-idx1-ubyte.gz", None;
    "test", "emnist-letters-test-images-idx3-ubyte.gz", None;
    "test", "emnist-letters-test-labels-idx1-ubyte.gz", None;
];

pub(super) const CIFAR10: &[HubFile] = files!["uoft-cs/cifar10" at "0b2714987fa478483af9968de7c934580d0bb9a2":
    "train", "plain_text/train-00000-of-00001.parquet", Some("8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883");
    "test", "plain_text/test-00000-of-00001.parquet", Some("841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de");
];

pub(super) const CIFAR100: &[HubFile] = files!["uoft-cs/cifar100" at "aadb3af77e9048adbea6b47c21a81e47dd092ae5":
    "train", "cifar100/train-00000-of-00001.parquet", Some("694865d6b990e234804f01268586c41e88bcbbb75e20858432c05ad4081aca23");
    "test", "cifar100/test-00000-of-00001.parquet", Some("98776c529bb146a9c791229df74a5cf076be9b43d82dbbd334b6a7788d73dc68");
];

pub(super) const SVHN: &[HubFile] = files!["ufldl-stanford/svhn" at "f9e1717d73324ebbc1ece84267ccd80d0aca0690":
    "train", "cropped_digits/train-00000-of-00001.parquet", None;
    "test", "cropped_digits/test-00000-of-00001.parquet", None;
];

/// Without the test split.
pub(super) const TINY_IMAGENET: &[HubFile] = files!["zh-plus/tiny-imagenet" at "5a77092c28e51558c5586e9c5eb71a7e17a5e43f":
    "train", "data/train-00000-of-00001-1359597a978bc4fa.parquet", None;
    "val", "data/valid-00000-of-00001-70d52db3c749a935.parquet", None;
];

/// Pictures of 218 x 178, 11.7 GB in all.
pub(super) const CELEBA: &[HubFile] = files!["flwrlabs/celeba" at "2d738f56e0e7f925ea36ae7c808ea925264aacec":
    "train", "img_align+identity+attr/train-00000-of-00019.parquet", Some("9f349da30bb755c3af41929270d6c5560121dd09121616980f05cb4e7b00b988");
    "train", "img_align+identity+attr/train-00001-of-00019.parquet", Some("5e6f2800d1ba6653072340daea433a9eb09b1c25d6a60d16158396e45f9f67ee");
    "train", "img_align+identity+attr/train-00002-of-00019.parquet", Some("57728860cfa53a153f90d5ef9e0af96d946209c3add1e484ace6560922d92551");
    "train", "img_align+identity+attr/train-00003-of-00019.parquet", Some("c676ff8b9290037f8228a58e69276bd5886cf5d5ca22926cdc7d39fdbbc3fac4");
    "train", "img_align+identity+attr/train-00004-of-00019.parquet", Some("94fdfb5f8f95011680eac2c454a18035411678a9e143ef476160e68771cf32bb");
    "train", "img_align+identity+attr/train-00005-of-00019.parquet", Some("0d83c60365c00cf466f2f55a8d36092c7982526218bf6884dd9334f41f96100c");
    "train", "img_align+identity+attr/train-00006-of-00019.parquet", Some("0c80fe536cb1d4239c2f7ada134da9858968c66023bc6a2976a8bc05b04fcf36");
    "train", "img_align+identity+attr/train-00007-of-00019.parquet", Some("8d0761963dfa3040d79daa2f7f30268da922e0d6fb5c1aed82d796ed0f718f2e");
    "train", "img_align+identity+attr/train-00008-of-00019.parquet", Some("265747c6c3cf8a87f18fba27c00dd7ae7e6c39287e7fffc885918d1a714ab592");
    "train", "img_align+identity+attr/train-00009-of-00019.parquet", Some("9f675cc97f7227e5ecba5b999b4599a46460d77cf0a9c3f9f3949213093ef3e5");
    "train", "img_align+identity+attr/train-00010-of-00019.parquet", Some("64974dcedcba2b76b521af639d9b6d5dba4df8e36ff9aa7a11853f82ecc6be8f");
    "train", "img_align+identity+attr/train-00011-of-00019.parquet", Some("011dca62f5569645a12d80d4ea49f01660de32a0d650bafe3fb3e4f9db272bbf");
    "train", "img_align+identity+attr/train-00012-of-00019.parquet", Some("20ede3eda874dfe3ef42d553bd4b395d3197a07c7651f2ed9f741084e7498985");
    "train", "img_align+identity+attr/train-00013-of-00019.parquet", Some("d73541045d8db00ff48593c81c76e915d3adf7e9ae3048b66d4c02ca01a6488e");
    "train", "img_align+identity+attr/train-00014-of-00019.parquet", Some("01dc8362d841d325ae9543c83eea4eb508c2a3f17122167baf0c04d242fd68af");
    "train", "img_align+identity+attr/train-00015-of-00019.parquet", Some("0611aba2a5381a728407fbc5368aab63b53d319155d9c867fe99b234219b9efc");
    "train", "img_align+identity+attr/train-00016-of-00019.parquet", Some("b0fb099f260d4b6cb582880cddbc92ff11dc68cb4ca72870e24542810961b157");
    "train", "img_align+identity+attr/train-00017-of-00019.parquet", Some("cb4fd9c4121c3b5e807562005786ae486ddc7e1cc9a91619736e4359533cb811");
    "train", "img_align+identity+attr/train-00018-of-00019.parquet", Some("feb6cf9d6a28e836f113098670a8b26d4c31d4f683a3e1a21a58371f68cfb6bb");
    "valid", "img_align+identity+attr/valid-00000-of-00003.parquet", Some("d4bbce4bdd8c2bff49a3546cbe2e18bd2bd7312d2ebd95efd29aed6ba5df05db");
    "valid", "img_align+identity+attr/valid-00001-of-00003.parquet", Some("76ddf9a3d15728dd00172f365eb76d0f852038fa08bfdc6b72e732e671c2daca");
    "valid", "img_align+identity+attr/valid-00002-of-00003.parquet", Some("94da82da5405e159594a61b6fa6477aa7b5103d442d89dd9428841192c187b05");
    "test", "img_align+identity+attr/test-00000-of-00003.parquet", Some("c22a47cdec9e5b36b004c6af906ab6d49066e52a27e74440b55eae3dd9c8d44a");
    "test", "img_align+identity+attr/test-00001-of-00003.parquet", Some("205df6b286ccbdf9b2e67205cc86380fcdbe7673bf87c796a629bd7fafeda1b3");
    "test", "img_align+identity+attr/test-00002-of-00003.parquet", Some("db9c0833ab64e6a156530f87b54b1da931ce5d10731ecb9789238503b009ef97");
];
