//! What figment's errors mean to the person who wrote the file: which key, where, and in plain words.

use super::{
    ConfigError,
    tree::{Node, Value},
};
use figment::{
    Figment,
    error::{Actual, Kind},
    providers::Serialized,
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// "; did you mean `x`?" for the most similar name, if one is similar.
pub(super) fn guess(word: &str, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(similarity, name)| {
            *similarity > 0.7 || word.contains(**name) || name.contains(word)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"))
}

/// Give figment's error its key, its place and plain words.
///
/// Inside tagged sections serde forgets the path. It is found again by trial: the key to blame is the one without which (for a
/// missing key: with which) the error would be another.
pub(super) fn type_error<T: DeserializeOwned>(tree: &Node, error: figment::Error) -> ConfigError {
    let known: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let mut path = culprit::<T>(tree, &known, &error.kind)
        .unwrap_or_else(|| error.path.iter().map(String::as_str).collect());
    let mut node = tree.nearest(path.iter().copied());
    let mut problem = words(&error.kind);
    if let Kind::MissingField(field) = &error.kind {
        if let Value::Map(entries) = &node.value {
            let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
            if let Some(similar) = guess(field, &keys).split('`').nth(1) {
                problem.push_str(&format!("; did you mean it by `{similar}`?"));
                node = node.get(similar).unwrap_or(node);
            }
        }
        path.push(field);
    }
    ConfigError::Type { origin: node.origin.clone(), path: path.join("."), problem }
}

/// Path of the node to blame, at or below `known`; for a missing key, of the mapping that lacks it.
fn culprit<'a, T: DeserializeOwned>(
    tree: &'a Node,
    known: &[&'a str],
    kind: &Kind,
) -> Option<Vec<&'a str>> {
    let mut paths = Vec::new();
    paths_below(tree.nearest(known.iter().copied()), &mut known.to_vec(), &mut paths);
    paths.retain(|path| could_be(tree.nearest(path.iter().copied()), kind));
    let said = kind.to_string();
    let decides = |path: &&Vec<&str>| {
        let mut json = tree.json();
        let changed = match kind {
            Kind::MissingField(field) => add(&mut json, path, field),
            _ => remove(&mut json, path),
        };
        let outcome = Figment::from(Serialized::defaults(json)).extract::<T>();
        changed.is_some() && outcome.map_or(true, |_| true) && {
            let again = Figment::from(Serialized::defaults(json_with(tree, path, kind)));
            again.extract::<T>().map_or_else(|e| e.kind.to_string() != said, |_| true)
        }
    };
    // Two equal mistakes hide each other: then the first of them.
    paths.iter().find(decides).or(paths.first()).cloned()
}
