//! Grids against a brute-force enumeration.

use atypical_sweep::space::{SweepFile, expand};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};

/// A list of values, or options each with axes of its own.
#[derive(Clone, Debug)]
enum Shape {
    List(Vec<u8>),
    Group(Vec<Vec<Shape>>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let list = prop::collection::vec(0..4u8, 1..4).prop_map(Shape::List);
    list.prop_recursive(2, 8, 2, |inner| {
        prop::collection::vec(prop::collection::vec(inner, 0..3), 1..3).prop_map(Shape::Group)
    })
}

/// An axis with its choices and what they set, and the choice under which it exists.
struct Flat {
    name: String,
    choices: Vec<(String, Vec<(String, Value)>)>,
    under: Option<(usize, usize)>,
}

/// The YAML of the axes, whose names sort as they stand, and all of them in a row.
fn written(
    shapes: &[Shape],
    under: Option<(usize, usize)>,
    flat: &mut Vec<Flat>,
) -> Map<String, Value> {
    let mut axes = Map::new();
    for shape in shapes {
        let index = flat.len();
        let name = format!("axis.a{index:03}");
        flat.push(Flat { name: name.clone(), choices: Vec::new(), under });
        let (value, choices) = match shape {
            Shape::List(values) => (
                json!(values),
                values.iter().map(|v| (v.to_string(), vec![(name.clone(), json!(v))])).collect(),
            ),
            Shape::Group(options) => {
                let (mut group, mut choices) = (Map::new(), Vec::new());
                for (i, inner) in options.iter().enumerate() {
                    let key = format!("key.k{index}");
                    let mut set = vec![(key, json!(i))];
                    // What an inner list sets too, and wins.
                    if let Some(Shape::List(_)) = inner.first() {
                        set.push((format!("axis.a{:03}", flat.len()), json!("beaten")));
                    }
                    let axes = written(inner, Some((index, i)), flat);
                    let keys: Map<String, Value> = set.iter().cloned().collect();
                    // Both ways to write an option.
                    let mut option = if i == 0 { json!({ "set": keys }) } else { json!(keys) };
                    if !axes.is_empty() {
                        option["axes"] = axes.into();
                    }
                    group.insert(format!("o{i}"), option);
                    choices.push((format!("o{i}"), set));
                }
                (json!({ "group": group }), choices)
            }
        };
        flat[index].choices = choices;
        axes.insert(name, value);
    }
    axes
}

type Choices = Vec<(String, String)>;

/// Every combination of all axes, active or not, counted like an odometer; of each the active part; no two that set the same.
fn brute_force(
    flat: &[Flat],
    excluded: impl Fn(&Choices) -> bool,
) -> Vec<(Choices, BTreeMap<String, Value>)> {
    let total: usize = flat.iter().map(|axis| axis.choices.len()).product();
    let mut all: Vec<(Choices, BTreeMap<String, Value>)> = Vec::new();
    for number in 0..total {
        let (mut digits, mut rest) = (vec![0; flat.len()], number);
        for (digit, axis) in digits.iter_mut().zip(flat).rev() {
            *digit = rest % axis.choices.len();
            rest /= axis.choices.len();
        }
        let mut active = vec![true; flat.len()];
        let (mut choices, mut sets) = (Vec::new(), BTreeMap::new());
        for (i, axis) in flat.iter().enumerate() {
            active[i] =
                axis.under.is_none_or(|(above, choice)| active[above] && digits[above] == choice);
            if active[i] {
                let (label, set) = &axis.choices[digits[i]];
                choices.push((axis.name.clone(), label.clone()));
                sets.extend(set.iter().cloned());
            }
        }
        if !excluded(&choices) && !all.iter().any(|(_, other)| *other == sets) {
            all.push((choices, sets));
        }
    }
    all
}

/// An exclusion: axes with the labels that are meant.
type Terms = BTreeMap<String, Vec<String>>;

/// Label of a list is a number, that of an option a word.
fn value_of(label: &String) -> Value {
    serde_json::from_str(label).unwrap_or_else(|_| json!(label))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_grid_is_every_combination_in_order(
        shapes in prop::collection::vec(shape(), 1..4),
        terms in prop::collection::vec(prop::collection::btree_map(0..20usize, prop::collection::vec(0..4usize, 1..3), 1..3), 0..3),
    ) {
        let mut flat = Vec::new();
        let axes = written(&shapes, None, &mut flat);
        prop_assume!(flat.iter().map(|axis| axis.choices.len()).product::<usize>() <= 600);
        let term = |(axis, labels): (&usize, &Vec<usize>)| {
            let Flat { name, choices, .. } = &flat[axis % flat.len()];
            (name.clone(), labels.iter().map(|i| choices[i % choices.len()].0.clone()).collect())
        };
        let exclude: Vec<Terms> = terms.iter().map(|terms| terms.iter().map(term).collect()).collect();
        let excluded = |choices: &Choices| {
            let made = |(axis, labels): (&String, &Vec<String>)| choices.iter().any(|(a, label)| a == axis && labels.contains(label));
            exclude.iter().any(|terms| terms.iter().all(made))
        };
        // One value stands alone or in a list.
        let value = |labels: &Vec<String>| match labels.as_slice() {
            [label] => value_of(label),
            labels => labels.iter().map(value_of).collect(),
        };
        let exclude: Vec<Map<String, Value>> =
            exclude.iter().map(|terms| terms.iter().map(|(axis, labels)| (axis.clone(), value(labels))).collect()).collect();

        let yaml = json!({ "command": "train", "axes": axes, "exclude": exclude }).to_string();
        let sweep = SweepFile::read(&yaml, Path::new("sweep.yaml")).unwrap();
        let expected = brute_force(&flat, excluded);
        match expand(&sweep) {
            Ok(expansion) => {
                let points: Vec<_> = expansion.points.into_iter().map(|p| (p.choices, p.sets.into_iter().collect())).collect();
                prop_assert_eq!(points, expected);
            }
            Err(error) => {
                prop_assert!(expected.is_empty(), "{}", error);
                prop_assert!(error.to_string().contains("leave none of the"), "{}", error);
            }
        }
    }
}

fn sweep(yaml: &str) -> SweepFile {
    SweepFile::read(yaml, Path::new("sweep.yaml")).unwrap()
}

#[test]
fn values_and_labels_are_as_written() {
    let expansion = expand(&sweep(
        "
command: ood
set: {epochs: 27, model.bins: 4}
axes:
  seed: {range: [5, 0], step: -2}
  optimizer.lr: {log_uniform: [1e-6, 1e-2], points: 3}
  dropout: {uniform: [0, 1], points: 4}
  width: {int_uniform: [1, 10], points: 4}
  model:
    group:
      rq_nsf: {model.name: rq_nsf, model.bins: 8}
      none:
  model.tail: [null, 'wide', {a: 1.0}]
",
    ))
    .unwrap();
    assert_eq!(expansion.points.len(), 3 * 3 * 4 * 4 * 2 * 3);
    let column = |axis: &str| {
        let mut labels: Vec<&str> = Vec::new();
        for (name, label) in expansion.points.iter().flat_map(|point| &point.choices) {
            if name == axis && !labels.contains(&label.as_str()) {
                labels.push(label);
            }
        }
        labels
    };
    assert_eq!(column("seed"), ["5", "3", "1"]);
    assert_eq!(column("optimizer.lr"), ["1e-6", "0.0001", "0.01"]);
    assert_eq!(column("dropout"), ["0", "0.333333", "0.666667", "1"]);
    assert_eq!(column("width"), ["1", "4", "7", "10"]);
    assert_eq!(column("model.tail"), ["null", "wide", r#"{"a":1}"#]);
    let first = &expansion.points[0];
    assert_eq!(
        first.label(),
        "seed=5 optimizer.lr=1e-6 dropout=0 width=1 model=rq_nsf model.tail=null"
    );
    let sets = json!([
        ["epochs", 27],
        ["model.bins", 4],
        ["seed", 5],
        ["optimizer.lr", 1e-6],
        ["dropout", 0.0],
        ["width", 1],
        ["model.name", "rq_nsf"],
        ["model.bins", 8],
        ["model.tail", null]
    ]);
    assert_eq!(json!(first.sets), sets);
}

#[test]
fn what_repeats_and_what_is_excluded_is_counted() {
    let expansion = expand(&sweep(
        "
command: train
axes:
  lr: [1e-3, 0.001, 1]
  model: {group: {a: {x: 1.0, y: 2}, b: {y: 2, x: 1}, c: {x: 3}}}
  shape: [[1, 2], [3, 4]]
exclude:
  - {shape: [3, 4], model: [a, b]}
  - {shape: [[1, 2], [3, 4]], model: c, lr: 1}
  - {shape: [1, 2], lr: 1.0, model: c}
  - {model: b, lr: 0.001}
",
    ))
    .unwrap();
    let labels: Vec<String> = expansion.points.iter().map(|point| point.label()).collect();
    assert_eq!(
        labels,
        [
            "lr=0.001 model=a shape=[1,2]",
            "lr=0.001 model=c shape=[1,2]",
            "lr=0.001 model=c shape=[3,4]",
            "lr=1 model=a shape=[1,2]"
        ]
    );
    // Of 18: `b` with 1 repeats `a`, and the second 0.001 the first.
    assert_eq!((expansion.excluded, expansion.duplicates), (6 + 2 + 2, 4));
    assert_eq!(expansion.warnings, Vec::<String>::new());
    let idle = "command: train\naxes: {m: {group: {a: {axes: {x: [1, 2]}}, b: {}}}}\nexclude: [{m: b, x: 1}]";
    let warnings = expand(&sweep(idle)).unwrap().warnings;
    assert_eq!(warnings, ["the exclusion {m: b, x: 1} excluded nothing"]);
}

#[test]
fn a_sweep_reads_back_what_it_writes() {
    let yaml = "
command: train
base: a.yaml
method: {sobol: {trials: 4}}
axes:
  a: [1, x]
  b: {range: [0, 4]}
  c: {uniform: [0, 1]}
  d: {int_uniform: [0, 9], points: 2}
  e: {group: {f: {g: 1, axes: {h: [1]}}}}
";
    let first = sweep(yaml);
    assert_eq!(first.name, "sweep");
    assert_eq!(sweep(&serde_json::to_string(&first).unwrap()), first);
}

#[test]
fn names_in_braces_are_the_choices() {
    let text = "
command: ood
axes:
  data: {group: {mnist: {}, omniglot: {}}}
  seed: [1, 2]
set: {in_distribution: '{data}:test', sets: ['{data}_{seed}', {deep: '{seed}'}], other: '{nothing}'}
";
    let expansion = expand(&SweepFile::read(text, Path::new("s.yaml")).unwrap()).unwrap();
    // What differs by its names alone is no repetition.
    assert_eq!((expansion.points.len(), expansion.duplicates), (4, 0));
    let sets: BTreeMap<String, Value> = expansion.points[3].sets.iter().cloned().collect();
    assert_eq!(sets["in_distribution"], json!("omniglot:test"));
    assert_eq!(sets["sets"], json!(["omniglot_2", { "deep": "2" }]));
    assert_eq!(sets["other"], json!("{nothing}"));
    assert_eq!(expansion.points[0].filled("{data}/{seed}"), "mnist/1");
}
