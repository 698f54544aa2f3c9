//! A sweep of the reference as its library, dysweep, reads it: a tree that is laid over a configuration, with choices in it.
//!
//! A mapping with `sweep` is an axis, and one of its `values` takes its place. `dy__upsert` lists trees that are laid over the node it stands in, one after the other.
//! `dy__eval` is Python, which is never run; what [`python`](super::python) knows is done here.

use super::{
    ImportError,
    python::{self, Known},
    reader::Reader,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, path::PathBuf};

const AXIS: &str = "sweep";
const UPSERT: &str = "dy__upsert";
const EVAL: &str = "dy__eval";

/// Keys of dysweep for which there was no need: groups, and operations on lists.
const UNKNOWN: [&str; 5] =
    ["sweep_group", "dy__list__operations", "dy__insert", "dy__remove", "dy__overwrite"];

/// A sweep of the reference.
pub(super) struct Dysweep {
    path: PathBuf,
    base: Value,
    tree: Value,
    /// Its axes, by name, as W&B goes through them.
    pub axes: Vec<OldAxis>,
}

/// An axis of it.
#[derive(Debug)]
pub(super) struct OldAxis {
    /// Where it stands in the tree, as a JSON pointer.
    pointer: String,
    /// Its name.
    pub name: String,
    /// Whether its name, or the names of its values, were given.
    pub named: bool,
    /// Names of its values.
    pub labels: Vec<String>,
    values: Vec<Value>,
}

impl Dysweep {
    /// Take the sweep out of a file. Returns what stands beside its tree, too.
    ///
    /// # Errors
    /// An axis without a list of values, with names that are not one a value, or inside a value of another.
    pub(super) fn read(old: &mut Reader) -> Result<(Self, Reader), ImportError> {
        let base = Value::Object(old.need("base_config")?);
        let mut beside = old.section("sweep_configuration")?;
        let mut place = "sweep_configuration";
        let tree = if beside.has("parameters") {
            // An earlier dysweep had it so, with the settings of W&B.
            place = "sweep_configuration.parameters";
            beside.section("parameters")?.into_map()
        } else {
            std::mem::replace(&mut beside, Reader::new(old.path(), Map::new())).into_map()
        };
        let tree = Value::Object(tree);
        let mut sweep = Self { path: old.path().to_path_buf(), base, tree, axes: Vec::new() };
        let mut found = Vec::new();
        find(&sweep.tree, String::new(), &mut found);
        for pointer in found {
            let node = sweep.tree.pointer(&pointer).and_then(Value::as_object);
            let node = node.cloned().unwrap_or_default();
            let at = format!("{place}{}", dotted(&pointer));
            sweep.axes.push(axis(pointer, node).map_err(|problem| sweep.error(&at, problem))?);
        }
        if sweep.axes.is_empty() {
            return Err(sweep.error(place, "has no axis, a mapping with `sweep: True`"));
        }
        name(&mut sweep.axes);
        Ok((sweep, beside))
    }

    /// The configuration of a trial, by the number of its value on each axis.
    ///
    /// # Errors
    /// Python that is not known, and what else of dysweep is not translated.
    pub(super) fn resolve(&self, choices: &[usize]) -> Result<Map<String, Value>, ImportError> {
        let (mut tree, mut config) = (self.tree.clone(), self.base.clone());
        for (axis, choice) in self.axes.iter().zip(choices) {
            if let Some(node) = tree.pointer_mut(&axis.pointer) {
                *node = axis.values[*choice].clone();
            }
        }
        self.upsert(&mut config, "", &tree)?;
        match config {
            Value::Object(map) => Ok(map),
            other => {
                Err(self.error("sweep_configuration", format!("makes the configuration {other}")))
            }
        }
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> ImportError {
        ImportError::Key { path: self.path.clone(), key: key.to_owned(), problem: problem.into() }
    }

    /// Lay a tree over the node of a configuration at a JSON pointer.
    fn upsert(&self, root: &mut Value, at: &str, tree: &Value) -> Result<(), ImportError> {
        let wrong = |problem: String| {
            let place = dotted(at);
            Err(self.error(place.strip_prefix('.').unwrap_or("sweep_configuration"), problem))
        };
        match tree {
            Value::Object(map) => {
                if let Some(code) = map.get(EVAL) {
                    if map.len() > 1 {
                        return wrong(
                            "has `dy__eval` beside other keys, which dysweep refuses".into(),
                        );
                    }
                    let Some(value) = python::known(code).and_then(|known| value(&known, root))
                    else {
                        return wrong(format!(
                            "is Python, which is never run: {code}; write what it comes to into the file, as a mapping"
                        ));
                    };
                    return self.upsert(root, at, &value);
                }
                if let Some(key) = map.keys().find(|key| UNKNOWN.iter().any(|k| key.starts_with(k)))
                {
                    return wrong(format!(
                        "has `{key}`, which is not translated; write the whole value out under `values`"
                    ));
                }
                if let Some(node) = root.pointer_mut(at).filter(|node| !node.is_object()) {
                    *node = json!({});
                }
                for (key, value) in map.iter().filter(|(key, _)| *key != UPSERT) {
                    if let Some(Value::Object(node)) = root.pointer_mut(at) {
                        node.entry(key).or_insert(Value::Null);
                    }
                    self.upsert(root, &child(at, key), value)?;
                }
                match map.get(UPSERT) {
                    Some(Value::Array(trees)) => {
                        trees.iter().try_for_each(|tree| self.upsert(root, at, tree))
                    }
                    Some(tree) => self.upsert(root, at, tree),
                    None => Ok(()),
                }
            }
            Value::Array(items) => {
                let length = root.pointer(at).and_then(Value::as_array).map(Vec::len);
                match length {
                    Some(length) if length != items.len() => {
                        return wrong(format!(
                            "is a list of {} laid over one of {length}, which dysweep refuses",
                            items.len()
                        ));
                    }
                    Some(_) => {}
                    None => {
                        if let Some(node) = root.pointer_mut(at) {
                            *node = vec![Value::Null; items.len()].into();
                        }
                    }
                }
                let mut items = items.iter().enumerate();
                items.try_for_each(|(i, item)| self.upsert(root, &format!("{at}/{i}"), item))
            }
            Value::String(text) if text.contains(EVAL) => wrong(format!(
                "is Python, which is never run: {text}; write its value in its place"
            )),
            value => {
                if let Some(node) = root.pointer_mut(at) {
                    *node = value.clone();
                }
                Ok(())
            }
        }
    }
}

/// What known Python comes to.
fn value(known: &Known, config: &Value) -> Option<Value> {
    Some(match known {
        Known::Generated => json!({
            "dataset": "dgm-generated",
            "dgm_args": {"model_loading_config": config.get("base_model")?, "seed": 10, "length": 1000},
        }),
        Known::Couplings { class, arguments } => {
            let mut config = config.clone();
            couplings(&mut config, class, arguments);
            config
        }
        Known::Value(keys) => keys.iter().try_fold(config, |node, key| node.get(key))?.clone(),
    })
}

/// Another class for every coupling.
fn couplings(node: &mut Value, class: &str, arguments: &Map<String, Value>) {
    match node {
        Value::Object(map) if map.contains_key("coupling_transform_cls") => {
            map.insert(
                "coupling_transform_cls".into(),
                format!("nflows.transforms.{class}").into(),
            );
            map.extend(arguments.clone());
        }
        Value::Object(map) => map.values_mut().for_each(|node| couplings(node, class, arguments)),
        Value::Array(items) => items.iter_mut().for_each(|node| couplings(node, class, arguments)),
        _ => {}
    }
}

/// Where axes stand.
fn find(node: &Value, at: String, found: &mut Vec<String>) {
    match node {
        Value::Object(map) if map.contains_key(AXIS) => found.push(at),
        Value::Object(map) => {
            map.iter().for_each(|(key, node)| find(node, child(&at, key), found));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, node)| find(node, format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

/// One axis; or what is wrong with it.
fn axis(pointer: String, mut node: Map<String, Value>) -> Result<OldAxis, String> {
    node.remove(AXIS);
    let name = node.remove("sweep_identifier").filter(|name| !name.is_null()).map(text);
    let alias = node.remove("sweep_alias").filter(|alias| !alias.is_null());
    let values = match node.remove("values") {
        Some(Value::Array(values)) if !values.is_empty() => values,
        _ => return Err("is an axis without `values`, a list".into()),
    };
    if let Some(key) = node.keys().next() {
        return Err(format!("is an axis with `{key}`, but only lists of `values` are translated"));
    }
    let mut inner = Vec::new();
    values.iter().for_each(|value| find(value, String::new(), &mut inner));
    if !inner.is_empty() {
        return Err("has an axis inside one of its `values`, where dysweep does not see it".into());
    }
    let named = name.is_some() || alias.is_some();
    let labels: Vec<String> = match alias {
        Some(Value::Array(alias)) if alias.len() == values.len() => {
            alias.into_iter().map(text).collect()
        }
        Some(alias) => {
            return Err(format!(
                "has {} `values`, and the names {alias} in `sweep_alias`; give each one",
                values.len()
            ));
        }
        None => values.iter().enumerate().map(|(i, value)| label(i, value)).collect(),
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = labels.iter().find(|label| !seen.insert(*label)) {
        return Err(format!("has the value `{twice}` twice"));
    }
    let name = name.unwrap_or_default();
    Ok(OldAxis { pointer, name, named, labels, values })
}

/// Name axes that have no name by the key that they stand at, or by the whole way there; and sort them.
fn name(axes: &mut [OldAxis]) {
    let last = |axis: &OldAxis| axis.pointer.rsplit('/').next().unwrap_or_default().to_owned();
    let short: Vec<String> =
        axes.iter().map(|a| if a.name.is_empty() { last(a) } else { a.name.clone() }).collect();
    for (axis, name) in axes.iter_mut().zip(&short) {
        let unclear = short.iter().filter(|other| *other == name).count() > 1;
        let number = name.parse::<usize>().is_ok();
        axis.name = if axis.name.is_empty() && (unclear || number) {
            dotted(&axis.pointer).trim_start_matches('.').to_owned()
        } else {
            name.clone()
        };
    }
    axes.sort_by(|a, b| a.name.cmp(&b.name));
}

/// A value for people; by its number where it is more than a word.
fn label(i: usize, value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => i.to_string(),
        value => text(value.clone()),
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn child(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A JSON pointer as people write it.
fn dotted(pointer: &str) -> String {
    pointer.replace('/', ".").replace("~1", "/").replace("~0", "~")
}
