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
    let path = culprit::<T>(tree, &error).unwrap_or_else(|| error.path.clone());
    let mut node = tree.nearest(path.iter().map(String::as_str));
    let mut key = path.join(".");
    let mut problem = words(&error.kind);
    if let Kind::InvalidType(_, expected) = &error.kind
        && expected.starts_with("enum ")
    {
        let names = names::<T>(tree, &path).unwrap_or_default();
        problem = problem.replace(expected, &format!("one of {}", names.join(", ")));
    }
    if let Kind::MissingField(field) = &error.kind {
        if let Value::Map(entries) = &node.value {
            let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
            if let Some(similar) = guess(field, &keys).split('`').nth(1) {
                problem.push_str(&format!("; did you mean it by `{similar}`?"));
                node = node.get(similar).unwrap_or(node);
            }
        }
        key = [path.as_slice(), &[field.to_string()]].concat().join(".");
    }
    ConfigError::Type { origin: node.origin.clone(), path: key, problem }
}

/// Path of the node to blame, at or below the error's own; for a missing key, of the mapping that lacks it.
fn culprit<T: DeserializeOwned>(tree: &Node, error: &figment::Error) -> Option<Vec<String>> {
    let kind = &error.kind;
    let from = tree.nearest(error.path.iter().map(String::as_str));
    let mut paths = Vec::new();
    candidates(from, kind, &mut error.path.clone(), &mut paths);
    let said = kind.to_string();
    let decides = |path: &&Vec<String>| {
        changed(tree.json(), path, kind).is_some_and(|json| {
            let again = Figment::from(Serialized::defaults(json)).extract::<T>();
            again.map_or_else(|error| error.kind.to_string() != said, |_| true)
        })
    };
    // Two equal mistakes hide each other: then the first of them.
    paths.iter().find(decides).or(paths.first()).cloned()
}

/// Paths of all nodes at and below `node` that the error can be about, children first.
fn candidates(node: &Node, kind: &Kind, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for (key, child) in node.children() {
        path.push(key);
        candidates(child, kind, path, paths);
        path.pop();
    }
    if could_be(node, kind) {
        paths.push(path.clone());
    }
}

/// Whether the error can be about this node, by its value alone.
fn could_be(node: &Node, kind: &Kind) -> bool {
    match (kind, &node.value) {
        (Kind::MissingField(field), Value::Map(_)) => node.get(field).is_none(),
        (Kind::InvalidType(actual, _) | Kind::InvalidValue(actual, _), value) => {
            match (actual, value) {
                (Actual::Map, Value::Map(_)) | (Actual::Seq, Value::List(_)) => true,
                (Actual::Unit | Actual::Option, Value::Leaf(leaf)) => leaf.is_null(),
                (Actual::Bool(v), Value::Leaf(leaf)) => leaf.as_bool() == Some(*v),
                (Actual::Unsigned(v), Value::Leaf(leaf)) => {
                    leaf.as_u64().map(u128::from) == Some(*v)
                }
                (Actual::Signed(v), Value::Leaf(leaf)) => leaf.as_i64().map(i128::from) == Some(*v),
                (Actual::Float(v), Value::Leaf(leaf)) => leaf.is_f64() && leaf.as_f64() == Some(*v),
                (Actual::Str(v), Value::Leaf(leaf)) => leaf.as_str() == Some(v),
                _ => false,
            }
        }
        (Kind::InvalidLength(length, _), Value::List(items)) => items.len() == *length,
        (Kind::UnknownVariant(variant, _), Value::Leaf(leaf)) => leaf.as_str() == Some(variant),
        _ => false,
    }
}

/// The names that an enum has, whose value at `path` is no text: what is said of a name that it has not.
fn names<T: DeserializeOwned>(tree: &Node, path: &[String]) -> Option<&'static [&'static str]> {
    let mut json = tree.json();
    *at(&mut json, path)? = "?".into();
    match Figment::from(Serialized::defaults(json)).extract::<T>().err()?.kind {
        Kind::UnknownVariant(_, names) => Some(names),
        _ => None,
    }
}

/// The value at a path.
fn at<'a>(root: &'a mut Json, path: &[String]) -> Option<&'a mut Json> {
    path.iter().try_fold(root, |json, key| match json {
        Json::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        json => json.get_mut(key),
    })
}

/// The values with the missing key put into the mapping at `path`, or without the node there.
fn changed(mut root: Json, path: &[String], kind: &Kind) -> Option<Json> {
    if let Kind::MissingField(field) = kind {
        at(&mut root, path)?.as_object_mut()?.insert(field.to_string(), Json::Null);
    } else {
        let (key, parent) = path.split_last()?;
        match at(&mut root, parent)? {
            Json::Object(map) => drop(map.remove(key)),
            Json::Array(items) => drop(items.remove(key.parse().ok()?)),
            _ => return None,
        }
    }
    Some(root)
}

/// What is wrong, to follow the key.
fn words(kind: &Kind) -> String {
    match kind {
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let found = match actual {
                Actual::Bool(v) => v.to_string(),
                Actual::Unsigned(v) => v.to_string(),
                Actual::Signed(v) => v.to_string(),
                // With its point: a whole number written as 3.0 is refused for being written so.
                Actual::Float(v) => format!("{v:?}"),
                Actual::Str(v) => format!("the text {v:?}"),
                Actual::Unit | Actual::Option => "empty".to_owned(),
                Actual::Seq => "a list".to_owned(),
                Actual::Map => "a mapping of keys to values".to_owned(),
                other => other.to_string(),
            };
            let expected = match expected.as_str() {
                "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0",
                "f32" | "f64" => "a number",
                "a string" => "a text (in quotes, if it looks like something else)",
                "a boolean" => "true or false",
                "a sequence" => "a list",
                e if e.starts_with("struct ") || e.starts_with("internally tagged enum ") => {
                    "a mapping of keys to values"
                }
                other => other,
            };
            format!("is {found}, but it must be {expected}")
        }
        Kind::InvalidLength(length, expected) => {
            format!("has {length} items, but it must be {expected}")
        }
        Kind::UnknownVariant(variant, names) => {
            let guess = guess(variant, names);
            format!("is `{variant}`, but it must be one of {}{guess}", names.join(", "))
        }
        other => format!("cannot be read: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, OodConfig, TrainConfig};

    /// The message about a `model` section, flow style from line 2 of a file.
    fn model(text: &str) -> String {
        let text = format!("data: {{train: demo:train}}\nmodel: {text}\n");
        Loaded::<TrainConfig>::text(&text, &[]).unwrap_err().to_string()
    }

    /// ... about a coupling, the second step of a repeat.
    fn coupling(text: &str) -> String {
        model(&format!(
            "{{name: flow, shape: [2, 1, 1], transform: [{{kind: repeat, times: 2, steps: [{{kind: act_norm}}, {{kind: coupling, {text}}}]}}]}}"
        ))
    }

    #[track_caller]
    fn says(message: &str, what: &str) {
        assert!(message.contains(what), "{message}\nlacks\n{what}");
    }

    #[test]
    fn equal_values_do_not_mislead() {
        // `tail` takes the number that `bins` refuses.
        let message = model("{name: rq_nsf, tail: 2.0, alpha: 0.05, bins: 2.0}");
        says(
            &message,
            "configuration:2:47: `model.bins` is 2.0, but it must be a whole number, at least 0",
        );
        // Two equal mistakes hide each other: the first is named.
        says(&model("{name: rq_nsf, bins: x, blocks: x}"), "configuration:2:23: `model.bins` is");
    }

    #[test]
    fn an_enum_names_its_values() {
        let text =
            "data: {train: demo:train}\nmodel: {name: glow}\nearly_stopping: {measure: null}\n";
        let message = Loaded::<TrainConfig>::text(text, &[]).unwrap_err().to_string();
        says(
            &message,
            "`early_stopping.measure` is empty, but it must be one of loss, reconstruction",
        );
    }

    #[test]
    fn list_items_and_lengths_are_placed() {
        says(
            &model("{name: glow, hidden: [8, x, 8]}"),
            "configuration:2:33: `model.hidden.1` is the text \"x\"",
        );
        says(
            &model("{name: glow, hidden: [8, 8]}"),
            "`model.hidden` has 2 items, but it must be an array of length 3",
        );
        says(&model("{name: glow, repeats: [8, 8, -1]}"), "`model.repeats.2` is -1, but");
    }

    #[test]
    fn steps_deep_in_a_flow_are_placed() {
        let affine = "transform: {kind: affine}";
        let message = coupling(&format!("mask: evn, {affine}, conditioner: {{hidden: 4}}"));
        says(
            &message,
            "`model.transform.0.steps.1.mask` is `evn`, but it must be one of even, odd; did you mean `even`?",
        );
        let message = coupling(&format!("mask: even, {affine}, conditioner: {{hiden: 4}}"));
        says(
            &message,
            "`model.transform.0.steps.1.conditioner.hidden` is missing; did you mean it by `hiden`?",
        );
        let message = coupling("mask: even, transform: {kind: afine}, conditioner: {hidden: 4}");
        says(&message, "`model.transform.0.steps.1.transform.kind` is `afine`");
        let message = coupling("mask: even, conditioner: {hidden: 4}");
        says(&message, "`model.transform.0.steps.1.transform` is missing");
    }

    #[test]
    fn whole_sections_are_explained_without_rust() {
        let text = |text: &str| Loaded::<TrainConfig>::text(text, &[]).unwrap_err().to_string();
        says(&text("data: {train: demo:train}"), ": `model` is missing");
        says(&text(""), "`data` is missing");
        let base = "data: {train: demo:train}\nmodel: {name: glow}\n";
        says(
            &text(&format!("{base}optimizer:\n")),
            "configuration:3:1: `optimizer` is empty, but it must be a mapping of keys to values",
        );
        says(
            &text(&format!("{base}optimizer: adam_w\n")),
            "`optimizer` is the text \"adam_w\", but",
        );
        says(&text(&format!("{base}run: 7\n")), "`run` is 7, but it must be a text");
        let ood = "run: r\nin_distribution: demo:test\nout_of_distribution: [demo:ood]\ncalibration: demo:train\n";
        let text =
            |set: &str| Loaded::<OodConfig>::text(ood, &[set.to_owned()]).unwrap_err().to_string();
        says(
            &text("methods=lid"),
            "--set methods=lid: `methods` is the text \"lid\", but it must be a list",
        );
        says(
            &text("methods=[lid, dul]"),
            "`methods.1` is `dul`, but it must be one of likelihood, lid, dual",
        );
        says(&text("lid.scale={kind: fixed}"), "`lid.scale.r` is missing");
    }
}
