//! What a file is for, by the keys at its root.

use super::{ConfigError, loaded::keys, tree::Node};
use schemars::JsonSchema;
use std::path::Path;

/// Keys at the root that one kind of file has, and how such a file is used.
const KINDS: [(&str, &str); 6] = [
    ("axes", "makes this a sweep: see its trials with `atypical sweep plan FILE`"),
    (
        "base_config",
        "makes this a sweep of the Python reference: translate it with `atypical config import FILE --out NEW`",
    ),
    (
        "trainer",
        "makes this a training of the Python reference: translate it with `atypical config import FILE --out NEW`",
    ),
    (
        "base_model",
        "makes this an experiment of the Python reference: translate it with `atypical config import FILE --out NEW`",
    ),
    ("in_distribution", "makes this an experiment: it is for `atypical ood --config FILE`"),
    ("model", "makes this a training: it is for `atypical train --config FILE`"),
];

/// What is wrong with a file of another kind than T: it has a key at its root that T has not and others have.
pub(super) fn other_than<T: JsonSchema>(file: &Node) -> Option<ConfigError> {
    let known = keys::<T>();
    let mut others = KINDS.iter().filter(|(key, _)| known.iter().all(|k| k != key));
    let (key, problem, node) =
        others.find_map(|(key, problem)| Some((key, problem, file.get(key)?)))?;
    Some(ConfigError::Value {
        origin: node.origin.clone(),
        path: (*key).to_owned(),
        problem: (*problem).to_owned(),
    })
}

/// What is wrong with the text of a file that is of another kind than T; nothing where it is not known to be.
pub fn of_another_kind<T: JsonSchema>(text: &str, path: &Path) -> Option<ConfigError> {
    other_than::<T>(&Node::parse(text, &path.display().to_string(), true).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{super::OodConfig, *};

    #[test]
    fn a_file_of_another_kind_is_named() {
        let message = |text: &str| {
            let error = of_another_kind::<OodConfig>(text, Path::new("a.yaml"))?;
            Some(error.to_string())
        };
        assert_eq!(
            message("name: x\naxes: {seed: [1, 2]}\n").unwrap(),
            "a.yaml:2:1: `axes` makes this a sweep: see its trials with `atypical sweep plan FILE`"
        );
        assert!(message("model: {name: glow}").unwrap().contains("`atypical train --config FILE`"));
        assert!(message("base_config: a").unwrap().contains("`atypical config import FILE"));
        assert_eq!(message("run: r\nin_distribution: demo:test\nmodle: 3"), None);
        assert_eq!(message("[1, 2]"), None);
        assert_eq!(message("a: [1"), None);
    }
}
