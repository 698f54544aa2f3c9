//! An axis as it is written.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
        value::SeqAccessDeserializer,
    },
};
use serde_json::Value;
use std::fmt;

/// The values of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(deny_unknown_fields)]
pub enum Axis {
    /// These values.
    List(Vec<Value>),
    /// Whole numbers from the first up to, not including, the second, as Python's `range`: `[0, 5]` is 0, 1, 2, 3, 4.
    Range {
        /// Where it begins, and where it ends.
        range: [i64; 2],
        /// From one to the next. Default: 1.
        #[schemars(default = "one")]
        step: i64,
    },
    /// Any number between two, all equally likely.
    Uniform {
        /// The least and the greatest.
        uniform: [f64; 2],
        /// How many of them a grid takes, evenly spaced, both bounds included; random and Sobol search draw from them all.
        #[serde(skip_serializing_if = "Option::is_none")]
        points: Option<usize>,
    },
    /// Any number between two positive ones, all orders of magnitude equally likely.
    LogUniform {
        /// The least and the greatest.
        log_uniform: [f64; 2],
        /// How many of them a grid takes, evenly spaced in the logarithm, both bounds included; random and Sobol search draw from them all.
        #[serde(skip_serializing_if = "Option::is_none")]
        points: Option<usize>,
    },
    /// Any whole number between two, both included, all equally likely.
    IntUniform {
        /// The least and the greatest.
        int_uniform: [i64; 2],
        /// How many of them a grid takes, about evenly spaced, both bounds included; random and Sobol search draw from them all.
        #[serde(skip_serializing_if = "Option::is_none")]
        points: Option<usize>,
    },
    /// Options by name, each of which sets several keys; the axis' own name is then no key of the configuration.
    Group {
        /// The options.
        group: IndexMap<String, Setting>,
    },
}

/// An option of a group: keys that it sets, written directly or under `set`, and axes that exist only where it is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Setting {
    /// Keys with their values. Those beside `set` and `axes` are read into it.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(default)]
    pub set: IndexMap<String, Value>,
    /// Axes under this option; they win over its own keys.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(default)]
    pub axes: IndexMap<String, Axis>,
}

fn one() -> i64 {
    1
}

/// All keys of an axis that is a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    range: Option<[i64; 2]>,
    step: Option<i64>,
    uniform: Option<[f64; 2]>,
    log_uniform: Option<[f64; 2]>,
    int_uniform: Option<[i64; 2]>,
    points: Option<usize>,
    group: Option<IndexMap<String, Setting>>,
}

impl TryFrom<Keys> for Axis {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { range, step, uniform, log_uniform, int_uniform, points, group } = keys;
        match (range, step, uniform, log_uniform, int_uniform, points, group) {
            (Some(range), step, None, None, None, None, None) => {
                Ok(Self::Range { range, step: step.unwrap_or_else(one) })
            }
            (None, None, Some(uniform), None, None, points, None) => {
                Ok(Self::Uniform { uniform, points })
            }
            (None, None, None, Some(log_uniform), None, points, None) => {
                Ok(Self::LogUniform { log_uniform, points })
            }
            (None, None, None, None, Some(int_uniform), points, None) => {
                Ok(Self::IntUniform { int_uniform, points })
            }
            (None, None, None, None, None, None, Some(group)) => Ok(Self::Group { group }),
            _ => Err(
                "an axis is one of `range` (perhaps with `step`), `uniform`, `log_uniform`, `int_uniform` (perhaps with `points`) and `group`",
            ),
        }
    }
}

/// Not as an untagged enum: those forget what was wrong, and where.
impl<'de> Deserialize<'de> for Axis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AxisVisitor;

        impl<'de> Visitor<'de> for AxisVisitor {
            type Value = Axis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or a mapping with `range`, `uniform`, `log_uniform`, `int_uniform` or `group`")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, values: S) -> Result<Axis, S::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(values)).map(Axis::List)
            }

            fn visit_map<M: MapAccess<'de>>(self, keys: M) -> Result<Axis, M::Error> {
                Keys::deserialize(MapAccessDeserializer::new(keys))?
                    .try_into()
                    .map_err(M::Error::custom)
            }
        }

        deserializer.deserialize_any(AxisVisitor)
    }
}

/// Not flattened: that guesses the types of keys, and takes one named `y` for a boolean.
impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;

        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of keys to values, or one with `set` and `axes`")
            }

            fn visit_unit<E>(self) -> Result<Setting, E> {
                Ok(Setting::default())
            }

            fn visit_map<M: MapAccess<'de>>(self, mut keys: M) -> Result<Setting, M::Error> {
                let (mut setting, mut beside) = (Setting::default(), IndexMap::new());
                while let Some(key) = keys.next_key::<String>()? {
                    match key.as_str() {
                        "set" => setting.set = keys.next_value()?,
                        "axes" => setting.axes = keys.next_value()?,
                        _ => {
                            beside.insert(key, keys.next_value()?);
                        }
                    }
                }
                for (key, value) in beside {
                    if setting.set.contains_key(&key) {
                        return Err(M::Error::custom(format!(
                            "`{key}` is there twice, under `set` and beside it"
                        )));
                    }
                    setting.set.insert(key, value);
                }
                Ok(setting)
            }
        }

        deserializer.deserialize_any(SettingVisitor)
    }
}
