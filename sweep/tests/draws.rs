//! Random and Sobol search.

use atypical_sweep::space::{Expansion, SweepFile, expand};
use std::{collections::BTreeMap, path::Path};

fn expansion(method: &str, rest: &str) -> Expansion {
    let yaml = format!("command: train\nmethod: {method}\n{rest}");
    expand(&SweepFile::read(&yaml, Path::new("sweep.yaml")).unwrap()).unwrap()
}

fn numbers(expansion: &Expansion, key: &str) -> Vec<f64> {
    let sets = expansion.points.iter().flat_map(|point| &point.sets);
    sets.filter(|(k, _)| k == key).map(|(_, value)| value.as_f64().unwrap()).collect()
}

const MIXED: &str = "
axes:
  optimizer.lr: {log_uniform: [1e-6, 1e-2]}
  dropout: {uniform: [-1, 3]}
  seed: {range: [0, 4]}
  width: {int_uniform: [8, 15]}
  model:
    group:
      flow: {axes: {model.bins: [4, 8], model.tail: {uniform: [1, 2]}}}
      glow: {}
exclude:
  - {model: glow, seed: [0, 1]}
  - {width: 9}
";

#[test]
fn more_trials_begin_with_the_same_ones() {
    for method in ["random", "sobol"] {
        let of = |trials: usize, seed: u32| {
            expansion(&format!("{{{method}: {{trials: {trials}, seed: {seed}}}}}"), MIXED).points
        };
        let all = of(200, 7);
        for trials in [1, 16, 32, 199] {
            assert_eq!(of(trials, 7), all[..trials], "{method}");
        }
        assert_ne!(of(200, 8), all);
        for point in &all {
            let choice: BTreeMap<&str, &str> =
                point.choices.iter().map(|(a, l)| (a.as_str(), l.as_str())).collect();
            let flow = choice["model"] == "flow";
            assert!(flow || ["2", "3"].contains(&choice["seed"]));
            assert_ne!(choice["width"], "9");
            assert_eq!(
                [choice.contains_key("model.bins"), choice.contains_key("model.tail")],
                [flow; 2]
            );
            assert_eq!(point.sets.len(), if flow { 6 } else { 4 });
        }
    }
}

/// The i-th smallest of n points that meet each n-th part of an interval once lies in the i-th part, measured by the closed distribution
/// function.
#[test]
fn sobol_draws_are_distributed_as_written() {
    let sobol = expansion(
        "{sobol: {trials: 256, seed: 3}}",
        "axes: {lr: {log_uniform: [1e-6, 1e-2]}, dropout: {uniform: [-1, 3]}, width: {int_uniform: [8, 15]}, seed: {range: [0, 4]}}",
    );
    let within = |key: &str, distribution: &dyn Fn(f64) -> f64| {
        let mut shares: Vec<f64> = numbers(&sobol, key).into_iter().map(distribution).collect();
        shares.sort_by(f64::total_cmp);
        for (i, share) in shares.into_iter().enumerate() {
            let place = share * 256.0 - i as f64;
            assert!((-1e-3..=1.001).contains(&place), "{key}: {place}");
        }
    };
    within("lr", &|lr| (lr.log10() + 6.0) / 4.0);
    within("dropout", &|dropout| (dropout + 1.0) / 4.0);
    for (key, least, count) in [("width", 8, 8), ("seed", 0, 4)] {
        for value in least..least + count {
            let of = numbers(&sobol, key).into_iter().filter(|v| *v == f64::from(value)).count();
            assert_eq!(of, 256 / count as usize, "{key} {value}");
        }
    }
}

/// The greatest distance of the empirical from the true distribution exceeds 1.95 / sqrt(n) once in a thousand times (Kolmogorov).
#[test]
fn random_draws_are_distributed_as_written() {
    let random = expansion(
        "{random: {trials: 1000, seed: 1}}",
        "axes: {lr: {log_uniform: [1e-6, 1e-2]}, dropout: {uniform: [-1, 3]}}",
    );
    for (key, distribution) in [
        ("lr", (|lr: f64| (lr.log10() + 6.0) / 4.0) as fn(f64) -> f64),
        ("dropout", |dropout| (dropout + 1.0) / 4.0),
    ] {
        let mut shares: Vec<f64> = numbers(&random, key).into_iter().map(distribution).collect();
        shares.sort_by(f64::total_cmp);
        let distance = shares
            .iter()
            .enumerate()
            .map(|(i, share)| (share - i as f64 / 1000.0).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1.95 / 1000f64.sqrt(), "{key}: {distance}");
    }
}

#[test]
fn bounds_hold_and_labels_are_short() {
    for interval in [
        "uniform: [0.1, 0.30000000000000004]",
        "log_uniform: [1e-300, 1e300]",
        "uniform: [-1e300, 1e300]",
        "uniform: [1000000, 1000001]",
    ] {
        let drawn = expansion("{random: {trials: 300}}", &format!("axes: {{x: {{{interval}}}}}"));
        let bounds: Vec<f64> = serde_json::from_str(interval.split_once(": ").unwrap().1).unwrap();
        let values = numbers(&drawn, "x");
        assert!(values.iter().all(|x| (bounds[0]..=bounds[1]).contains(x)), "{interval}");
        let mut labels: Vec<&str> =
            drawn.points.iter().map(|point| point.choices[0].1.as_str()).collect();
        for (label, value) in labels.iter().zip(&values) {
            assert_eq!(label.parse::<f64>().unwrap(), *value);
            assert!(label.len() <= 20, "{label}");
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 300);
    }
    let whole = expansion(
        "{random: {trials: 100}}",
        &format!("axes: {{x: {{int_uniform: [{}, {}]}}}}", i64::MIN, i64::MAX),
    );
    assert_eq!(whole.points.len(), 100);
}

/// A discrete space is drawn without repeating, to its last point.
#[test]
fn draws_do_not_repeat() {
    for method in ["random", "sobol"] {
        let all = expansion(
            &format!("{{{method}: {{trials: 12}}}}"),
            "axes: {a: [1, 2, 3], b: [x, y, z, w]}",
        );
        let mut labels: Vec<String> = all.points.iter().map(|point| point.label()).collect();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), 12);
        assert!(all.duplicates > 0 || method == "sobol");
    }
}

#[test]
fn every_axis_has_a_dimension_of_its_own() {
    let axes = "axes: {a: {uniform: [0, 1]}, g: {group: {x: {axes: {b: {uniform: [0, 1]}, c: {uniform: [0, 1]}}}, y: {axes: {d: {uniform: [0, 1]}}}}},
        e: {uniform: [0, 1]}, f: {uniform: [0, 1]}, h: {uniform: [0, 1]}}";
    for method in ["random", "sobol"] {
        for point in expansion(&format!("{{{method}: {{trials: 16}}}}"), axes).points {
            let mut labels: Vec<&String> = point.choices.iter().map(|(_, label)| label).collect();
            labels.sort();
            labels.dedup();
            assert_eq!(labels.len(), point.choices.len(), "{}", point.label());
        }
    }
    // The first two dimensions of the sequence are a (0, m, 2)-net: 256 points meet each of 16 x 16 cells once.
    let net = expansion(
        "{sobol: {trials: 256, seed: 5}}",
        "axes: {a: {range: [0, 16]}, b: {range: [0, 16]}}",
    );
    assert_eq!((net.points.len(), net.duplicates), (256, 0));
}
