//! From layers to a typed section.

use super::{
    ConfigError,
    tree::{Node, Origin, Value},
};
use figment::{
    Figment,
    error::Kind,
    providers::{Env, Serialized},
};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// A kind of configuration file.
pub trait Section: Serialize + DeserializeOwned {
    /// Tagged mappings that have a default kind: `(key path of the tag, kind)`. They let a layer set one key of the mapping
    /// without naming its kind.
    const DEFAULT_TAGS: &'static [(&'static str, &'static str)];

    /// Check values that types cannot: `(key path, what is wrong and what is allowed)`.
    ///
    /// # Errors
    /// The first value out of its range.
    fn validate(&self) -> Result<(), (String, String)>;
}

/// A configuration and where its values came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The typed values.
    pub config: T,
    tree: Node,
}

impl<T: Section> Loaded<T> {
    /// Merge the layers and read them.
    ///
    /// `files` later over earlier, then `ATYPICAL_*` variables (`ATYPICAL_OPTIMIZER__LR=1e-4`), then `sets`
    /// (`optimizer.lr=1e-4`, `transform.0.alpha=0.1`; the value is YAML).
    ///
    /// # Errors
    /// Files that cannot be read, unknown keys, wrong types, bad values; each with its place.
    pub fn new(files: &[PathBuf], sets: &[String]) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        for path in files {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            layers.push((path.display().to_string(), text));
        }
        Self::layers(&layers, sets)
    }

    /// [`new`](Self::new) with one layer of text that the program carries, instead of files.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn text(text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        Self::layers(&[("the built-in configuration".to_owned(), text.to_owned())], sets)
    }

    fn layers(layers: &[(String, String)], sets: &[String]) -> Result<Self, ConfigError> {
        let mut tree = Node::empty("default");
        for (path, kind) in T::DEFAULT_TAGS {
            let path: Vec<&str> = path.split('.').collect();
            let problem = |problem| ConfigError::Set { argument: (*kind).to_owned(), problem };
            tree.set(&path, Node::parse(kind, "default", false)?).map_err(problem)?;
        }
        for (name, text) in layers {
            let node = Node::parse(text, name, true)?;
            match node.value {
                Value::Map(_) => tree.merge(node),
                Value::Leaf(serde_json::Value::Null) => {}
                _ => {
                    let problem = "a configuration is a mapping of keys to values".into();
                    return Err(ConfigError::Syntax { origin: node.origin, problem });
                }
            }
        }
        let environment = Env::prefixed("ATYPICAL_").split("__");
        let mut variables: Vec<(String, String)> =
            environment.iter().map(|(key, value)| (key.to_string(), value)).collect();
        variables.sort();
        for (key, value) in variables {
            let name = format!("ATYPICAL_{}", key.replace('.', "__").to_uppercase());
            let node = Node::parse(&value, &name, false)?;
            let path: Vec<&str> = key.split('.').collect();
            tree.set(&path, node)
                .map_err(|problem| ConfigError::Set { argument: name, problem })?;
        }
        for argument in sets {
            let error = |problem: String| ConfigError::Set { argument: argument.clone(), problem };
            let (key, value) = argument
                .split_once('=')
                .ok_or_else(|| error("write it as key=value, e.g. optimizer.lr=1e-4".into()))?;
            let node = Node::parse(value, &format!("--set {argument}"), false)?;
            let path: Vec<&str> = key.split('.').collect();
            if path.iter().any(|key| key.is_empty()) {
                return Err(error("the key has an empty part".into()));
            }
            tree.set(&path, node).map_err(error)?;
        }
        Self::read(tree)
    }

    /// Read one resolved file, without environment and overrides: what a run was started with.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::read(Node::parse(&text, &path.display().to_string(), true)?)
    }

    fn read(tree: Node) -> Result<Self, ConfigError> {
        let figment = Figment::from(Serialized::defaults(tree.json()));
        let config: T = figment.extract().map_err(|error| type_error(&tree, error))?;
        // What does not come back out was not read: this finds unknown keys inside tagged sections too.
        let read = serde_json::to_value(&config).unwrap_or_default();
        unknown_key(&tree, &read, &mut Vec::new())?;
        config.validate().map_err(|(path, problem)| ConfigError::Value {
            origin: tree.nearest(path.split('.')).origin.clone(),
            path,
            problem,
        })?;
        Ok(Self { config, tree })
    }

    /// The resolved configuration as YAML; reading it back gives the same configuration.
    pub fn yaml(&self) -> String {
        to_yaml(&self.config)
    }

    /// Each value with where it came from, one line each: `key = value  # origin`.
    pub fn provenance(&self) -> String {
        let resolved = serde_json::to_value(&self.config).unwrap_or_default();
        let mut lines = Vec::new();
        leaves(&resolved, &mut Vec::new(), &mut |path, value| {
            let node = self.tree.nearest(path.iter().map(String::as_str));
            let set = path.iter().try_fold(&self.tree, |node, key| node.get(key)).is_some();
            let origin = if set { node.origin.clone() } else { Origin::named("default") };
            lines.push((format!("{} = {value}", path.join(".")), origin.to_string()));
        });
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0).min(60);
        lines.iter().map(|(line, origin)| format!("{line:width$}  # {origin}\n")).collect()
    }
}

/// YAML of a section.
pub(super) fn to_yaml<T: Serialize>(config: &T) -> String {
    serde_saphyr::to_string(config)
        .unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
}

/// Visit the leaves of a JSON value; lists of numbers count as one.
fn leaves(
    value: &serde_json::Value,
    path: &mut Vec<String>,
    visit: &mut impl FnMut(&[String], &serde_json::Value),
) {
    use serde_json::Value as Json;
    let mut descend = |key: String, child: &Json, path: &mut Vec<String>| {
        path.push(key);
        leaves(child, path, visit);
        path.pop();
    };
    match value {
        Json::Object(map) => map.iter().for_each(|(key, child)| descend(key.clone(), child, path)),
        Json::Array(items) if items.iter().any(Json::is_object) => {
            items.iter().enumerate().for_each(|(i, child)| descend(i.to_string(), child, path));
        }
        leaf => visit(path, leaf),
    }
}

/// The first key of the tree that the section did not read.
fn unknown_key(
    node: &Node,
    read: &serde_json::Value,
    path: &mut Vec<String>,
) -> Result<(), ConfigError> {
    match (&node.value, read) {
        (Value::Map(entries), serde_json::Value::Object(known)) => {
            for (key, child) in entries {
                path.push(key.clone());
                let Some(read) = known.get(key) else {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    return Err(ConfigError::Unknown {
                        origin: child.origin.clone(),
                        path: path.join("."),
                        guess: guess(key, &names),
                        known: names.join(", "),
                    });
                };
                unknown_key(child, read, path)?;
                path.pop();
            }
        }
        (Value::List(items), serde_json::Value::Array(read)) => {
            for (i, (item, read)) in items.iter().zip(read).enumerate() {
                path.push(i.to_string());
                unknown_key(item, read, path)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// "; did you mean `x`?" for the most similar name, if one is similar.
fn guess(word: &str, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(similarity, name)| {
            *similarity > 0.7 || word.contains(**name) || name.contains(word)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"))
}

/// Give figment's error its place.
fn type_error(tree: &Node, error: figment::Error) -> ConfigError {
    let mut path: Vec<String> = error.path.clone();
    let mut problem = error.kind.to_string();
    let node = tree.nearest(path.iter().map(String::as_str));
    let mut origin = node.origin.clone();
    // Inside a tagged section serde forgets the path: look for what the message names.
    match &error.kind {
        Kind::UnknownVariant(variant, names) => problem.push_str(&guess(variant, names)),
        Kind::MissingField(field) => {
            if let Value::Map(entries) = &node.value {
                let keys: Vec<&str> = entries.iter().map(|(k, _)| k.as_str()).collect();
                if let Some(similar) = guess(field, &keys).split('`').nth(1) {
                    problem.push_str(&format!("; did you mean it by `{similar}`?"));
                    if let Some(child) = node.get(similar) {
                        origin = child.origin.clone();
                    }
                }
            }
        }
        Kind::InvalidType(actual, _) | Kind::InvalidValue(actual, _) => {
            if let Some((found, at)) = find(node, &actual.to_string(), &mut Vec::new()) {
                (origin, path) = (at, [path, found].concat());
            }
        }
        Kind::Message(message) => {
            let named = message.split('`').nth(1).unwrap_or_default();
            let names: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            problem.push_str(&guess(named, &names));
            if let Some((found, at)) = find(node, named, &mut Vec::new()) {
                (origin, path) = (at, [path, found].concat());
            } else if let Some((found, at)) = message
                .split_once("invalid type: ")
                .and_then(|(_, rest)| find(node, rest.split(", expected").next()?, &mut Vec::new()))
            {
                (origin, path) = (at, [path, found].concat());
            }
        }
        _ => {}
    }
    ConfigError::Type { origin, path: path.join("."), problem }
}

/// The first leaf whose value, as serde names it in messages, is `what`.
fn find(node: &Node, what: &str, path: &mut Vec<String>) -> Option<(Vec<String>, Origin)> {
    match &node.value {
        Value::Leaf(value) => {
            let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let said = [
                plain.clone(),
                format!("string {plain:?}"),
                format!("integer `{plain}`"),
                format!("unsigned int `{plain}`"),
                format!("signed int `{plain}`"),
                format!("floating point `{plain}`"),
                format!("float `{plain}`"),
                format!("boolean `{plain}`"),
                format!("bool {plain}"),
            ];
            (!plain.is_empty() && said.iter().any(|s| s == what))
                .then(|| (path.clone(), node.origin.clone()))
        }
        Value::List(items) => items.iter().enumerate().find_map(|(i, item)| {
            path.push(i.to_string());
            let found = find(item, what, path);
            path.pop();
            found
        }),
        Value::Map(entries) => entries.iter().find_map(|(key, child)| {
            path.push(key.clone());
            let found = find(child, what, path);
            path.pop();
            found
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ModelConfig, OodConfig, TrainConfig};
    use super::*;

    fn load(files: &[&str], sets: &[&str]) -> Result<Loaded<TrainConfig>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let path = dir.path().join(format!("{i}.yaml"));
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        Loaded::new(&paths, &sets.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    fn message(files: &[&str], sets: &[&str]) -> String {
        load(files, sets).unwrap_err().to_string()
    }

    const BASE: &str = "data:\n  train: demo:train\nmodel:\n  name: rq_nsf\n  bins: 4\n";

    #[test]
    fn later_layers_win() {
        let loaded =
            load(&[BASE, "optimizer:\n  lr: 5e-4\nmodel:\n  tail: 2\n"], &["optimizer.lr=1e-4"])
                .unwrap();
        assert_eq!(loaded.config.optimizer.lr(), 1e-4);
        let ModelConfig::RqNsf { bins, tail, .. } = &loaded.config.model else { panic!() };
        assert_eq!((*bins, *tail), (4, 2.0));
        let provenance = loaded.provenance();
        assert!(provenance.contains("--set optimizer.lr=1e-4"), "{provenance}");
        assert!(
            provenance
                .lines()
                .any(|l| l.starts_with("model.bins = 4") && l.ends_with("0.yaml:5:3"))
        );
        assert!(provenance.lines().any(|l| l.starts_with("epochs") && l.ends_with("# default")));
    }

    #[test]
    fn a_new_tag_drops_the_old_ones_keys() {
        let loaded = load(&[BASE, "model:\n  name: glow\n  hidden: [8, 8, 8]\n"], &[]).unwrap();
        assert!(matches!(&loaded.config.model, ModelConfig::Glow(p) if p.hidden == [8, 8, 8]));
        let loaded = load(&[BASE], &["model.name=glow"]).unwrap();
        assert!(matches!(loaded.config.model, ModelConfig::Glow(_)));
        // The same tag again keeps them.
        let loaded = load(&[BASE, "model:\n  name: rq_nsf\n"], &[]).unwrap();
        assert!(matches!(loaded.config.model, ModelConfig::RqNsf { bins: 4, .. }));
    }

    #[test]
    fn unknown_keys_are_named_with_line_and_guess() {
        let text = message(&[BASE, "optimizer:\n  learning_rate: 1\n  rl: 1\n"], &[]);
        assert!(text.contains("1.yaml:2:3: unknown key `optimizer.learning_rate`"), "{text}");
        let text = message(&[&BASE.replace("bins", "bin")], &[]);
        assert!(
            text.contains("0.yaml:5:3: unknown key `model.bin`; did you mean `bins`?"),
            "{text}"
        );
        let text = message(&[BASE], &["epoch=3"]);
        assert!(
            text.contains("--set epoch=3: unknown key `epoch`; did you mean `epochs`?"),
            "{text}"
        );
    }

    #[test]
    fn wrong_types_and_tags_are_placed() {
        let text = message(&[&BASE.replace("bins: 4", "bins: many")], &[]);
        assert!(text.contains("0.yaml:5:3: `model.bins`"), "{text}");
        let text = message(&[&BASE.replace("rq_nsf", "rqnsf")], &[]);
        assert!(text.contains("0.yaml:4") && text.contains("did you mean `rq_nsf`?"), "{text}");
        let text = message(&[BASE], &["batch_size=big"]);
        assert!(text.contains("--set batch_size=big: `batch_size`"), "{text}");
        let text = message(&["data:\n  trian: demo:train\nmodel:\n  name: glow\n"], &[]);
        assert!(
            text.contains("0.yaml:2:3") && text.contains("did you mean it by `trian`?"),
            "{text}"
        );
    }

    #[test]
    fn bad_values_and_bad_overrides_are_explained() {
        let text = message(&[BASE], &["optimizer.lr=-1"]);
        assert!(text.contains("`optimizer.lr` is -1"), "{text}");
        let text = message(&[BASE], &["data.train=mnits:train"]);
        assert!(text.contains("`data.train`") && text.contains("did you mean `mnist`"), "{text}");
        assert!(message(&[BASE], &["epochs"]).contains("write it as key=value"));
        assert!(message(&["a: [1\n"], &[]).contains("this is no YAML"));
        let listed = "data:\n  train: demo:train\nmodel:\n  name: flow\n  shape: [2, 1, 1]\n  transform: [{kind: act_norm}]\n";
        assert!(
            message(&[listed], &["model.transform.3.kind=split"])
                .contains("`3` is no index of a list of 1")
        );
        assert!(load(&[listed], &["model.transform.0.kind=conv1x1"]).is_ok());
    }

    #[test]
    fn the_resolved_file_reads_back_the_same() {
        let loaded = load(&[BASE], &["clip_grad_norm=null", "early_stopping.patience=3"]).unwrap();
        let again = load(&[&loaded.yaml()], &[]).unwrap();
        assert_eq!(loaded.config, again.config);
    }

    #[test]
    fn every_shipped_configuration_is_valid() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let files = |kind: &str| -> Vec<PathBuf> {
            std::fs::read_dir(root.join(kind)).unwrap().map(|e| e.unwrap().path()).collect()
        };
        let (train, ood) = (files("train"), files("ood"));
        assert!(train.len() >= 8 && ood.len() >= 2);
        for path in train {
            let loaded = Loaded::<TrainConfig>::new(&[path.clone()], &[])
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let flow = loaded.config.model.flow();
            assert_eq!(flow.shape[1], flow.shape[2], "{}", path.display());
        }
        for path in ood {
            Loaded::<OodConfig>::new(&[path.clone()], &[])
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}
