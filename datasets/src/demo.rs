//! The images that the program carries, see `datasets/demo/README.md`.

use super::{DataError, Images, idx};
use std::path::Path;

/// Training images kept back for validation.
const VALID: usize = 500;

/// Splits of the pack.
pub(super) const SPLITS: &[&str] = &["train", "valid", "test", "ood"];

/// One split: `train` and `valid` (Fashion-MNIST, training images), `test` (Fashion-MNIST, test images), `ood` (MNIST).
pub(super) fn load(split: &str) -> Result<Images, DataError> {
    macro_rules! pack {
        ($name:literal) => {
            (
                include_bytes!(concat!("../demo/", $name, "-images-idx3-ubyte.gz")).as_slice(),
                include_bytes!(concat!("../demo/", $name, "-labels-idx1-ubyte.gz")).as_slice(),
            )
        };
    }
    let (images, labels) = match split {
        "test" => pack!("test"),
        "ood" => pack!("ood"),
        _ => pack!("train"),
    };
    let path = Path::new("the demo pack");
    let mut images = idx::decode(path, images, Some((path, labels)))?;
    let cut = images.len() - VALID;
    match split {
        "train" => images = images.take(cut),
        "valid" => images = images.select(&(cut..images.len()).collect::<Vec<_>>()),
        _ => {}
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_holds_what_its_readme_says() {
        for (split, count) in [("train", 7000), ("valid", 500), ("test", 500), ("ood", 500)] {
            let images = load(split).unwrap();
            assert_eq!((images.len(), images.shape), (count, [1, 28, 28]), "{split}");
            let labels = images.labels.unwrap();
            assert!((0..10).all(|c| labels.contains(&c)), "{split}: every class");
        }
    }
}
