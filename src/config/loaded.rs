//! From layers to a typed section.

use super::{
    ConfigError, OodConfig, TrainConfig,
    blame::{guess, type_error},
    kind::other_than,
    tree::{Node, Origin, TAGS, Value},
};
use figment::{
    Figment,
    providers::{Env, Serialized},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// A kind of configuration file.
pub trait Section: Serialize + DeserializeOwned + JsonSchema {
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
        Self::layers(&layers, &variables::<T>(), sets)
    }

    /// One layer of text that the program carries, and `sets`; no environment, so that it is the same everywhere.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn text(text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let layer = ("the built-in configuration".to_owned(), text.to_owned());
        Self::layers(&[layer], &[], sets)
    }

    /// `layers` are (name, text), `environment` is (dotted key, value).
    fn layers(
        layers: &[(String, String)],
        environment: &[(String, String)],
        sets: &[String],
    ) -> Result<Self, ConfigError> {
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
        let mut variables = Vec::new();
        for (key, value) in environment {
            let name = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
            variables.push(Override::new(key, value, name)?);
        }
        // The environment has no order of its own.
        variables.sort_by(|a, b| a.path.cmp(&b.path));
        let mut arguments = Vec::new();
        for argument in sets {
            let name = format!("--set {argument}");
            let Some((key, value)) = argument.split_once('=') else {
                let problem = "write it as key=value, e.g. optimizer.lr=1e-4".into();
                return Err(ConfigError::Set { argument: name, problem });
            };
            arguments.push(Override::new(key, value, name)?);
        }
        for mut layer in [variables, arguments] {
            tags_first(&mut layer);
            for Override { name, path, node } in layer {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                tree.set(&path, node)
                    .map_err(|problem| ConfigError::Set { argument: name, problem })?;
            }
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
        if let Some(error) = other_than::<T>(&tree) {
            return Err(error);
        }
        let figment = Figment::from(Serialized::defaults(tree.json()));
        let config: T = figment.extract().map_err(|error| type_error::<T>(&tree, error))?;
        // What does not come back out was not read: this finds unknown keys inside tagged sections too.
        let read = serde_json::to_value(&config).map_err(|e| ConfigError::Write(e.to_string()))?;
        unknown_key(&tree, &read, &mut Vec::new())?;
        config.validate().map_err(|(path, problem)| ConfigError::Value {
            origin: tree.nearest(path.split('.')).origin.clone(),
            path,
            problem,
        })?;
        Ok(Self { config, tree })
    }

    /// The resolved configuration as YAML; reading it back gives the same configuration.
    ///
    /// # Errors
    /// Values that YAML cannot hold.
    pub fn yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(&self.config).map_err(|e| ConfigError::Write(e.to_string()))
    }

    /// Each value with where it came from: (key, value, origin).
    ///
    /// # Errors
    /// Values that cannot be written.
    pub fn origins(&self) -> Result<Vec<(String, serde_json::Value, String)>, ConfigError> {
        let resolved =
            serde_json::to_value(&self.config).map_err(|e| ConfigError::Write(e.to_string()))?;
        let mut lines = Vec::new();
        leaves(&resolved, &mut Vec::new(), &mut |path, value| {
            let node = self.tree.nearest(path.iter().map(String::as_str));
            let set = path.iter().try_fold(&self.tree, |node, key| node.get(key)).is_some();
            let origin = if set { node.origin.clone() } else { Origin::named("default") };
            lines.push((path.join("."), value.clone(), origin.to_string()));
        });
        Ok(lines)
    }

    /// [`origins`](Self::origins) as text, one line each: `key = value  # origin`.
    ///
    /// # Errors
    /// Values that cannot be written.
    pub fn provenance(&self) -> Result<String, ConfigError> {
        let lines: Vec<(String, String)> = self
            .origins()?
            .into_iter()
            .map(|(key, value, origin)| (format!("{key} = {value}"), origin))
            .collect();
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0).min(60);
        Ok(lines.iter().map(|(line, origin)| format!("{line:width$}  # {origin}\n")).collect())
    }
}

/// What the names of environment variables start with.
const PREFIX: &str = "ATYPICAL_";

/// The environment's layer for a section: (dotted key, value).
fn variables<T: Section>() -> Vec<(String, String)> {
    let environment = Env::prefixed(PREFIX).split("__");
    own::<T>(environment.iter().map(|(key, value)| (key.to_string(), value)))
}

/// Without the variables that only another section has a key for: one environment serves all commands.
fn own<T: Section>(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let (own, train, ood) = (keys::<T>(), keys::<TrainConfig>(), keys::<OodConfig>());
    variables
        .filter(|(key, _)| {
            let root = key.split('.').next().unwrap_or(key);
            let has = |keys: &[String]| keys.iter().any(|k| k == root);
            has(&own) || !(has(&train) || has(&ood))
        })
        .collect()
}

/// Keys at the root of a section.
pub(super) fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T);
    let properties = schema.get("properties").and_then(|p| p.as_object());
    properties.map_or(Vec::new(), |p| p.keys().cloned().collect())
}

/// One key set outside files.
struct Override {
    /// `--set …`, or the variable.
    name: String,
    path: Vec<String>,
    node: Node,
}

impl Override {
    fn new(key: &str, value: &str, name: String) -> Result<Self, ConfigError> {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            let problem = "the key has an empty part".into();
            return Err(ConfigError::Set { argument: name, problem });
        }
        let node = Node::parse(value, &name, false)?;
        Ok(Self { name, path, node })
    }
}

/// Move each tag before the other keys of its section, within one layer: a new tag drops what earlier *layers* said about the
/// section, not what this one says.
fn tags_first(layer: &mut [Override]) {
    for i in 0..layer.len() {
        let path = &layer[i].path;
        let Some((tag, section)) = path.split_last() else { continue };
        if section.is_empty() || !TAGS.contains(&tag.as_str()) {
            continue;
        }
        // Not before something that sets the tag, too: there the later one wins.
        let from =
            layer[..i].iter().rposition(|o| path.starts_with(&o.path)).map_or(0, |at| at + 1);
        if let Some(first) = (from..i).find(|&j| layer[j].path.starts_with(section)) {
            layer[first..=i].rotate_right(1);
        }
    }
}

/// Visit the leaves of a JSON value; lists of numbers count as one.
pub(crate) fn leaves(
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

#[cfg(test)]
mod tests {
    use super::super::{ModelConfig, OodConfig, TrainConfig};
    use super::*;
    use atypical_models::flow::Step;
    use burn::backend::Flex;

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
        let provenance = loaded.provenance().unwrap();
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

    const OOD: &str = "name: a\nrun: r\nin_distribution: demo:test\nout_of_distribution: [demo:ood]\ncalibration: demo:train\n";

    #[test]
    fn a_name_at_the_root_is_no_tag() {
        let layers = [("a".into(), OOD.into()), ("b".into(), "name: b\n".into())];
        let loaded = Loaded::<OodConfig>::layers(&layers, &[], &[]).unwrap();
        assert_eq!((loaded.config.name.as_deref(), &*loaded.config.run), (Some("b"), "r"));
        let loaded = Loaded::<OodConfig>::text(OOD, &["name=c".into()]).unwrap();
        assert_eq!((loaded.config.name.as_deref(), &*loaded.config.run), (Some("c"), "r"));
    }

    #[test]
    fn the_environment_lies_between_files_and_sets() {
        let layers = [("a.yaml".into(), format!("{BASE}optimizer: {{lr: 1}}\nseed: 1\n"))];
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let load = |environment: &[_], sets: &[String]| {
            Loaded::<TrainConfig>::layers(&layers, environment, sets)
        };
        let environment = [pair("optimizer.lr", "2e-4"), pair("seed", "2")];
        let loaded = load(&environment, &["seed=3".into()]).unwrap();
        assert_eq!((loaded.config.optimizer.lr(), loaded.config.seed), (2e-4, 3));
        assert!(loaded.provenance().unwrap().contains("# ATYPICAL_OPTIMIZER__LR"));
        let message = |key, value| load(&[pair(key, value)], &[]).unwrap_err().to_string();
        assert_eq!(
            message("optimizer.lr", "fast"),
            "ATYPICAL_OPTIMIZER__LR: `optimizer.lr` is the text \"fast\", but it must be a number"
        );
        assert!(
            message("epoch", "3")
                .starts_with("ATYPICAL_EPOCH: unknown key `epoch`; did you mean `epochs`?")
        );
        assert!(
            message("optimizer..lr", "3")
                .contains("ATYPICAL_OPTIMIZER____LR: the key has an empty part")
        );
    }

    #[test]
    fn within_a_layer_a_tag_drops_nothing() {
        let base = BASE.replace("rq_nsf\n  bins: 4", "glow\n  dropout: 0.5");
        let layers = [("a.yaml".into(), base)];
        let sixteen = |loaded: Loaded<TrainConfig>| {
            let ModelConfig::RqNsf { bins, preset, .. } = loaded.config.model else { panic!() };
            // The earlier layer's key is gone.
            assert_eq!((bins, preset.dropout), (16, 0.2));
        };
        let pairs = [("model.bins", "16"), ("model.name", "rq_nsf")];
        let environment = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        sixteen(Loaded::layers(&layers, &environment, &[]).unwrap());
        let sets = pairs.map(|(key, value)| format!("{key}={value}"));
        sixteen(Loaded::layers(&layers, &[], &sets).unwrap());
        // Of two tags the later one counts; a section that is set whole comes before its keys.
        let sets = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
            Loaded::<TrainConfig>::layers(&layers, &[], &sets)
        };
        sixteen(sets(&["model.name=glow", "model.bins=16", "model.name=rq_nsf"]).unwrap());
        sixteen(sets(&["model={name: glow}", "model.bins=16", "model.name=rq_nsf"]).unwrap());
        let flow = sets(&[
            "model={name: flow, shape: [2, 1, 1], transform: [{kind: squeeze, factor: 1}]}",
            "model.transform.0.kind=split",
        ]);
        assert_eq!(flow.unwrap().config.model.flow().unwrap().transform, [Step::Split {}]);
    }

    #[test]
    fn the_schema_refuses_unknown_keys_too() {
        let schema = serde_json::to_value(schemars::schema_for!(TrainConfig)).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["DataConfig"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["epochs"]["default"], 400);
    }

    #[test]
    fn the_resolved_file_reads_back_the_same() {
        let loaded = load(&[BASE], &["clip_grad_norm=null", "early_stopping.patience=3"]).unwrap();
        let again = load(&[&loaded.yaml().unwrap()], &[]).unwrap();
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
            let loaded = Loaded::<TrainConfig>::new(std::slice::from_ref(&path), &[])
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let shape = loaded.config.model.shape();
            assert_eq!(shape[1], shape[2], "{}", path.display());
            if path.to_string_lossy().ends_with("_small.yaml") {
                let model = loaded.config.model.build::<Flex>(0, &Default::default());
                assert_eq!(model.unwrap().shape(), shape, "{}", path.display());
            }
        }
        for path in ood {
            Loaded::<OodConfig>::new(std::slice::from_ref(&path), &[])
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}
