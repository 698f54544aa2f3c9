//! The trials of a sweep, each a whole configuration, as axes: what each choice sets.

use crate::sweep::space::{Axis, Setting};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// An axis of the old sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub name: &'a str,
    /// Whether it goes by its name; otherwise by the key that it sets, if that is one.
    pub named: bool,
    pub labels: &'a [String],
}

/// A trial: the number of its choice on each axis, and its configuration if it has one here.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub choices: Vec<usize>,
    pub config: Option<Value>,
}

/// The same as a sweep of ours has it.
#[derive(Debug)]
pub(super) struct Space {
    /// Keys that are the same in all trials.
    pub set: Map<String, Value>,
    /// Axes, by name.
    pub axes: Vec<(String, Axis)>,
    /// Choices that are not made together.
    pub exclude: Vec<Vec<(String, Value)>>,
    /// Names of all axes of which each trial has a choice, nested ones too.
    pub names: Vec<String>,
    /// Axes that change nothing.
    pub idle: Vec<String>,
    /// The axes that decide whether a trial has a configuration, of those without choices that are gone.
    pub decisive: Vec<usize>,
    /// Choices (axis, number) of which no trial has one.
    pub gone: BTreeSet<(usize, usize)>,
}

/// A key that differs between trials.
struct Key {
    key: String,
    /// The axes that decide its value, in their order.
    axes: Vec<usize>,
    /// Its value by the choices on them.
    values: HashMap<Vec<usize>, Value>,
}

impl Space {
    /// The axes of trials that are all combinations of choices. At least one has a configuration.
    pub(super) fn new(axes: &[Named], trials: &[Trial]) -> Self {
        let (there, configs): (Vec<&Trial>, Vec<&Value>) =
            trials.iter().filter_map(|trial| Some((trial, trial.config.as_ref()?))).unzip();
        let mut differing = Vec::new();
        let common = split(String::new(), &configs, &mut differing);
        let choices: Vec<&[usize]> = there.iter().map(|trial| &*trial.choices).collect();
        let keys = differing.into_iter().map(|(key, values)| {
            let axes = deciding(&choices, &numbered(&values));
            let at = choices.iter().map(|choices| of(choices, &axes));
            let values = at.zip(values.into_iter().cloned()).collect();
            Key { key, axes, values }
        });
        let keys: Vec<Key> = keys.collect();

        let made = |trial: &Trial| trial.choices.iter().copied().enumerate().collect::<Vec<_>>();
        let kept: BTreeSet<(usize, usize)> = there.iter().flat_map(|trial| made(trial)).collect();
        let mut gone: BTreeSet<(usize, usize)> = trials.iter().flat_map(made).collect();
        gone.retain(|choice| !kept.contains(choice));
        let builder = Builder { axes, keys: &keys, gone: &gone };
        let mut left: Vec<&Trial> = trials.iter().collect();
        left.retain(|trial| !made(trial).iter().any(|choice| gone.contains(choice)));
        let all: Vec<&[usize]> = left.iter().map(|trial| &*trial.choices).collect();
        let missing: Vec<usize> = left.iter().map(|t| usize::from(t.config.is_none())).collect();
        let decisive = deciding(&all, &missing);
        let lost: BTreeSet<Vec<usize>> = left
            .iter()
            .filter(|trial| trial.config.is_none())
            .map(|trial| of(&trial.choices, &decisive))
            .collect();
        let used = |axis: &usize| {
            keys.iter().any(|key| key.axes.contains(axis)) || decisive.contains(axis)
        };
        let (used, idle): (Vec<usize>, Vec<usize>) = (0..axes.len()).partition(used);
        let components = components(&used, &keys);
        let made = components.iter().map(|axes| builder.nested(axes, &mut Vec::new()));
        let exclusion = |choices: &Vec<usize>| {
            decisive
                .iter()
                .zip(choices)
                .map(|(axis, choice)| builder.choice(*axis, *choice))
                .collect()
        };
        Self {
            set: match common {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            },
            axes: made.collect(),
            exclude: lost.iter().map(exclusion).collect(),
            names: used.iter().map(|axis| builder.name(*axis)).collect(),
            idle: idle.iter().map(|axis| axes[*axis].name.to_owned()).collect(),
            decisive,
            gone,
        }
    }
}

/// The choices on some axes.
pub(super) fn of(choices: &[usize], axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| choices[*axis]).collect()
}

/// What configurations have in common; what differs is put into `differing`, by the longest key that does not cut through a change of kind.
fn split<'a>(
    key: String,
    values: &[&'a Value],
    differing: &mut Vec<(String, Vec<&'a Value>)>,
) -> Option<Value> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some(first.clone());
    }
    let at = |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
    if is_one_kind(values) {
        if let Value::Object(map) = first {
            let common = map.keys().filter_map(|inner| {
                let values: Vec<&Value> = values.iter().map(|value| &value[inner]).collect();
                Some((inner.clone(), split(at(inner), &values, differing)?))
            });
            return Some(Value::Object(common.collect()));
        }
        if let Value::Array(items) = first {
            let common = (0..items.len()).map(|i| {
                let values: Vec<&Value> = values.iter().map(|value| &value[i]).collect();
                split(at(&i.to_string()), &values, differing).unwrap_or(Value::Null)
            });
            return Some(Value::Array(common.collect()));
        }
    }
    differing.push((key, values.to_vec()));
    None
}

/// Mappings of the same keys and the same kind; or lists of such, of one length.
fn is_one_kind(values: &[&Value]) -> bool {
    let Some(first) = values.first() else { return false };
    values.iter().all(|value| match (first, value) {
        (Value::Object(a), Value::Object(b)) => {
            let tags = ["name", "kind"];
            a.keys().eq(b.keys()) && tags.iter().all(|tag| a.get(*tag) == b.get(*tag))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a == b || a.is_object() && is_one_kind(&[a, b]))
        }
        _ => false,
    })
}

/// The same number for the same value.
fn numbered(values: &[&Value]) -> Vec<usize> {
    let mut different: Vec<&Value> = Vec::new();
    let mut numbers = Vec::with_capacity(values.len());
    for value in values {
        let known = different.iter().position(|other| other == value);
        numbers.push(known.unwrap_or(different.len()));
        if known.is_none() {
            different.push(value);
        }
    }
    numbers
}

/// The fewest axes whose choices decide the numbers.
fn deciding(choices: &[&[usize]], numbers: &[usize]) -> Vec<usize> {
    let count = choices.first().map_or(0, |choices| choices.len());
    let moving: Vec<usize> =
        (0..count).filter(|axis| choices.iter().any(|c| c[*axis] != choices[0][*axis])).collect();
    let decide = |axes: &[usize]| {
        let mut seen = HashMap::new();
        let mut pairs = choices.iter().zip(numbers);
        pairs.all(|(choices, number)| *seen.entry(of(choices, axes)).or_insert(number) == number)
    };
    let mut sets = vec![Vec::new()];
    loop {
        if let Some(axes) = sets.iter().find(|axes| decide(axes)) {
            return axes.clone();
        }
        let larger = sets.iter().flat_map(|axes: &Vec<usize>| {
            let after = moving.iter().filter(|axis| axes.last().is_none_or(|last| last < axis));
            after.map(|axis| [axes.as_slice(), &[*axis]].concat())
        });
        sets = larger.collect();
        if sets.is_empty() {
            // Two trials of the same choices cannot differ.
            return moving;
        }
    }
}

/// Axes that decide a key together, with those that they are so bound to by others.
fn components(axes: &[usize], keys: &[Key]) -> Vec<Vec<usize>> {
    let mut components: Vec<Vec<usize>> = axes.iter().map(|axis| vec![*axis]).collect();
    for key in keys {
        let (mut bound, rest): (Vec<_>, Vec<_>) =
            components.into_iter().partition(|c| c.iter().any(|axis| key.axes.contains(axis)));
        let mut one = std::mem::take(&mut bound).concat();
        one.sort_unstable();
        components = rest;
        components.push(one);
    }
    components.retain(|axes| !axes.is_empty());
    components.sort_unstable();
    components
}

struct Builder<'a> {
    axes: &'a [Named<'a>],
    keys: &'a [Key],
    /// Choices (axis, number) of which no trial has a configuration.
    gone: &'a BTreeSet<(usize, usize)>,
}

impl Builder<'_> {
    /// The first of some axes, the others below its choices; the choices on axes above are `made`.
    fn nested(&self, axes: &[usize], made: &mut Vec<(usize, usize)>) -> (String, Axis) {
        let (axis, below) = (axes[0], &axes[1..]);
        let choices: Vec<usize> = (0..self.axes[axis].labels.len())
            .filter(|choice| !self.gone.contains(&(axis, *choice)))
            .collect();
        if let Some(key) = self.alone(axis) {
            let values = choices.iter().filter_map(|choice| key.values.get([*choice].as_slice()));
            return (key.key.clone(), Axis::List(values.cloned().collect()));
        }
        let group = choices.into_iter().map(|choice| {
            made.push((axis, choice));
            // What the last of its axes decides, the others being above.
            let decided = |key: &&Key| {
                key.axes.contains(&axis)
                    && key.axes.iter().all(|axis| made.iter().any(|(above, _)| above == axis))
            };
            let value = |key: &Key| {
                let at: Vec<usize> = key
                    .axes
                    .iter()
                    .filter_map(|axis| {
                        made.iter().find(|(above, _)| above == axis).map(|(_, choice)| *choice)
                    })
                    .collect();
                Some((key.key.clone(), key.values.get(&at)?.clone()))
            };
            let set = self.keys.iter().filter(decided).filter_map(value).collect();
            let axes = match below {
                [] => Vec::new(),
                below => vec![self.nested(below, made)],
            };
            made.pop();
            (
                self.axes[axis].labels[choice].clone(),
                Setting { set, axes: axes.into_iter().collect() },
            )
        });
        (self.name(axis), Axis::Group { group: group.collect() })
    }

    /// The key that an axis without a name sets, if it is one and no other axis has a say.
    fn alone(&self, axis: usize) -> Option<&Key> {
        let mut keys = self.keys.iter().filter(|key| key.axes.contains(&axis));
        match (keys.next(), keys.next()) {
            (Some(key), None) if !self.axes[axis].named && key.axes.len() == 1 => Some(key),
            _ => None,
        }
    }

    fn name(&self, axis: usize) -> String {
        self.alone(axis).map_or_else(|| self.axes[axis].name.to_owned(), |key| key.key.clone())
    }

    /// A choice as an exclusion names it.
    fn choice(&self, axis: usize, choice: usize) -> (String, Value) {
        let label = || self.axes[axis].labels[choice].clone().into();
        let value = self.alone(axis).and_then(|key| key.values.get([choice].as_slice()).cloned());
        (self.name(axis), value.unwrap_or_else(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// All combinations of two choices on each axis, as a function makes them.
    fn trials(axes: u32, config: impl Fn(&[usize]) -> Option<Value>) -> Vec<Trial> {
        let choices = |n: usize| (0..axes).map(|axis| (n >> axis) & 1).collect::<Vec<usize>>();
        let trial = |choices: Vec<usize>| Trial { config: config(&choices), choices };
        (0..2usize.pow(axes)).map(choices).map(trial).collect()
    }

    fn space(named: bool, trials: &[Trial]) -> (Space, Value) {
        let labels = ["x", "y"].map(String::from);
        let axes: Vec<Named> = ["a", "b", "c"][..trials[0].choices.len()]
            .iter()
            .map(|name| Named { name, named, labels: &labels })
            .collect();
        let space = Space::new(&axes, trials);
        let axes: Map<String, Value> =
            space.axes.iter().map(|(name, axis)| (name.clone(), json!(axis))).collect();
        (space, axes.into())
    }

    #[test]
    fn a_key_belongs_to_the_axis_that_decides_it() {
        let config = |c: &[usize]| {
            Some(json!({"same": 1, "one": {"left": c[0], "right": 7}, "two": [c[1], 0]}))
        };
        let (found, axes) = space(true, &trials(3, config));
        assert_eq!(Value::Object(found.set), json!({"same": 1, "one": {"right": 7}}));
        assert_eq!(
            axes,
            json!({
                "a": {"group": {"x": {"set": {"one.left": 0}}, "y": {"set": {"one.left": 1}}}},
                "b": {"group": {"x": {"set": {"two": [0, 0]}}, "y": {"set": {"two": [1, 0]}}}},
            })
        );
        assert_eq!((found.names, found.idle), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
        let (found, axes) = space(false, &trials(3, config));
        assert_eq!(axes, json!({"one.left": [0, 1], "two": [[0, 0], [1, 0]]}));
        assert_eq!(found.names, ["one.left", "two"]);
    }

    #[test]
    fn axes_that_decide_together_are_nested() {
        let config = |c: &[usize]| Some(json!({"p": c[0] * c[2], "b": c[1], "c": c[2]}));
        let (found, axes) = space(true, &trials(3, config));
        let below = |y: usize| json!({"c": {"group": {"x": {"set": {"c": 0, "p": 0}}, "y": {"set": {"c": 1, "p": y}}}}});
        assert_eq!(
            axes,
            json!({
                "a": {"group": {"x": {"axes": below(0)}, "y": {"axes": below(1)}}},
                "b": {"group": {"x": {"set": {"b": 0}}, "y": {"set": {"b": 1}}}},
            })
        );
        assert_eq!(found.names, ["a", "b", "c"]);
    }

    #[test]
    fn a_change_of_kind_is_one_key() {
        let kinds = [json!({"kind": "u", "v": 1}), json!({"kind": "w", "v": 2})];
        let config =
            |c: &[usize]| Some(json!({"steps": [{"kind": "s", "of": kinds[c[0]]}, {"kind": "t"}]}));
        let (found, axes) = space(false, &trials(1, config));
        assert_eq!(axes, json!({"steps.0.of": kinds}));
        assert_eq!(Value::Object(found.set), json!({"steps": [{"kind": "s"}, {"kind": "t"}]}));
    }

    #[test]
    fn trials_without_a_configuration_are_left_out() {
        let config = |c: &[usize]| Some(json!({"a": c[0], "b": c[1] + 5}));
        let both = |c: &[usize]| config(c).filter(|_| c != [1, 0]);
        let (found, _) = space(true, &trials(2, both));
        assert_eq!(found.exclude, [[("a".to_owned(), json!("y")), ("b".to_owned(), json!("x"))]]);
        let (found, _) = space(false, &trials(2, both));
        assert_eq!(found.exclude, [[("a".to_owned(), json!(1)), ("b".to_owned(), json!(5))]]);
        let one = |c: &[usize]| config(c).filter(|_| c[1] == 1);
        let (found, axes) = space(true, &trials(2, one));
        assert!(found.exclude.is_empty());
        // What is left of b changes nothing.
        assert_eq!(axes, json!({"a": {"group": {"x": {"set": {"a": 0}}, "y": {"set": {"a": 1}}}}}));
        assert_eq!((found.idle, found.decisive), (vec!["b".to_owned()], vec![]));
    }
}
