//! Values that remember where they were set.

use super::ConfigError;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::{fmt, rc::Rc};

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, `--set …` or the environment variable.
    pub layer: Rc<str>,
    /// Line in the file, from 1; none outside files.
    pub line: Option<u64>,
    /// Column in the line, from 1.
    pub column: u64,
}

impl Origin {
    /// A place that has no lines.
    pub fn named(layer: &str) -> Self {
        Self { layer: layer.into(), line: None, column: 0 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}:{}", self.layer, self.column),
            None => write!(f, "{}", self.layer),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it was set; for a map, where its last change came from.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

/// A YAML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Null, boolean, number or text.
    Leaf(serde_json::Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file.
    Map(Vec<(String, Node)>),
}

/// Keys whose value names the kind of the mapping that they stand in.
pub(super) const TAGS: [&str; 2] = ["name", "kind"];

impl Node {
    /// An empty mapping.
    pub fn empty(layer: &str) -> Self {
        Self { origin: Origin::named(layer), value: Value::Map(Vec::new()) }
    }

    /// Parse YAML; positions are those in `text`.
    ///
    /// # Errors
    /// Text that is no YAML.
    pub fn parse(text: &str, layer: &str, has_lines: bool) -> Result<Self, ConfigError> {
        if text.trim().is_empty() {
            return Ok(Self {
                origin: Origin::named(layer),
                value: Value::Leaf(serde_json::Value::Null),
            });
        }
        let raw: Spanned<Raw> =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax {
                origin: Origin {
                    line: error.location().filter(|_| has_lines).map(|l| l.line()),
                    column: error.location().map_or(0, |l| l.column()),
                    ..Origin::named(layer)
                },
                problem: error.without_snippet().to_string(),
            })?;
        Ok(raw_node(raw, &layer.into(), has_lines))
    }

    /// The child under `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            Value::List(items) => key.parse::<usize>().ok().and_then(|i| items.get(i)),
            Value::Leaf(_) => None,
        }
    }

    /// The children with their keys; of a list, with their indices.
    pub fn children(&self) -> Vec<(String, &Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().map(|(k, node)| (k.clone(), node)).collect(),
            Value::List(items) => {
                items.iter().enumerate().map(|(i, node)| (i.to_string(), node)).collect()
            }
            Value::Leaf(_) => Vec::new(),
        }
    }

    /// The node at a path, or the deepest one on the way.
    pub fn nearest<'a>(&'a self, path: impl IntoIterator<Item = &'a str>) -> &'a Node {
        let mut node = self;
        for key in path {
            match node.get(key) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Lay `other` over this node, the root of a configuration: mappings merge key by key, everything else is replaced. A mapping
    /// below the root whose tag (`name` or `kind`) changes is replaced whole: the keys of the earlier kind mean nothing to the
    /// later one. The root has no tag; a `name` there is only a name.
    pub fn merge(&mut self, other: Node) {
        self.overlay(other, false);
    }

    fn overlay(&mut self, other: Node, tagged: bool) {
        let switched = tagged
            && TAGS.iter().any(|tag| match (self.tag(tag), other.tag(tag)) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            });
        match (&mut self.value, other.value) {
            (Value::Map(entries), Value::Map(others)) if !switched => {
                for (key, node) in others {
                    match entries.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, mine)) => mine.overlay(node, true),
                        None => entries.push((key, node)),
                    }
                }
            }
            (value, other) => *value = other,
        }
        self.origin = other.origin;
    }

    fn tag(&self, tag: &str) -> Option<&serde_json::Value> {
        match &self.get(tag)?.value {
            Value::Leaf(value) => Some(value),
            _ => None,
        }
    }

    /// Put `node` at a dotted path below this node, the root of a configuration; list indices included. A mapping on the way is
    /// made where there is none.
    ///
    /// # Errors
    /// A path through a list by a key that is no index of it.
    pub fn set(&mut self, path: &[&str], node: Node) -> Result<(), String> {
        self.put(path, node, false)
    }

    fn put(&mut self, path: &[&str], node: Node, tagged: bool) -> Result<(), String> {
        let Some((key, rest)) = path.split_first() else {
            self.overlay(node, tagged);
            return Ok(());
        };
        match &mut self.value {
            Value::List(items) => {
                let len = items.len();
                let item =
                    key.parse::<usize>().ok().and_then(|i| items.get_mut(i)).ok_or_else(|| {
                        let range = len.checked_sub(1).map_or_else(
                            || "which is empty".to_owned(),
                            |last| format!("(0 to {last})"),
                        );
                        format!("`{key}` is no index of a list of {len} {range}")
                    })?;
                item.put(rest, node, true)
            }
            Value::Map(_) | Value::Leaf(_) => {
                let mut child = self.get(key).cloned().unwrap_or_else(|| Node {
                    origin: node.origin.clone(),
                    value: Value::Leaf(serde_json::Value::Null),
                });
                child.put(rest, node, true)?;
                self.replace(key, child, tagged);
                Ok(())
            }
        }
    }

    /// Put a child in place, of a leaf make a mapping; a new tag drops the other keys.
    fn replace(&mut self, key: &str, child: Node, tagged: bool) {
        let switched = tagged
            && TAGS.contains(&key)
            && self.tag(key).is_some_and(|old| match &child.value {
                Value::Leaf(new) => old != new,
                _ => false,
            });
        match &mut self.value {
            Value::Map(entries) if !switched => match entries.iter_mut().find(|(k, _)| k == key) {
                Some((_, mine)) => *mine = child,
                None => entries.push((key.to_owned(), child)),
            },
            value => *value = Value::Map(vec![(key.to_owned(), child)]),
        }
    }

    /// The bare value.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Leaf(value) => value.clone(),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => entries.iter().map(|(k, n)| (k.clone(), n.json())).collect(),
        }
    }
}

/// What serde-saphyr reads: a value whose children carry positions.
enum Raw {
    Leaf(serde_json::Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn raw_node(raw: Spanned<Raw>, layer: &Rc<str>, has_lines: bool) -> Node {
    let origin =
        |line, column| Origin { layer: layer.clone(), line: has_lines.then_some(line), column };
    let here = origin(raw.referenced.line(), raw.referenced.column());
    let value = match raw.value {
        Raw::Leaf(value) => Value::Leaf(value),
        Raw::List(items) => {
            Value::List(items.into_iter().map(|item| raw_node(item, layer, has_lines)).collect())
        }
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let mut node = raw_node(value, layer, has_lines);
                    // Point at the key: that is what people look for.
                    node.origin = origin(key.referenced.line(), key.referenced.column());
                    (key.value, node)
                })
                .collect(),
        ),
    };
    Node { origin: here, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }

            fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
                Ok(Raw::Leaf(v.into()))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
                Ok(Raw::Leaf(v.into()))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
                Ok(Raw::Leaf(v.into()))
            }

            fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
                Ok(Raw::Leaf(v.into()))
            }

            fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
                Ok(Raw::Leaf(v.into()))
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Leaf(serde_json::Value::Null))
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Leaf(serde_json::Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }

        deserializer.deserialize_any(RawVisitor)
    }
}
