//! Every mistake gets a message that names the file, the key, the value and the way out.

use atypical_sweep::space::{SweepFile, expand};
use proptest::prelude::*;
use std::{fmt::Write, path::Path};

fn message(yaml: &str) -> String {
    let read = SweepFile::read(yaml, Path::new("sweeps/s.yaml"));
    match read.and_then(|sweep| expand(&sweep)) {
        Ok(expansion) => panic!("no error, {} points: {yaml}", expansion.points.len()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn says(yaml: &str, parts: &[&str]) {
    let message = message(yaml);
    for part in parts {
        assert!(message.contains(part), "`{message}` does not contain `{part}`");
    }
}

/// A sweep with these axes, and what comes after.
#[track_caller]
fn axes_say(axes: &str, parts: &[&str]) {
    says(&format!("command: train\naxes: {axes}"), parts);
}

#[test]
fn reading_says_where() {
    says(
        "command: train\nmetod: grid\naxes: {}",
        &[
            "sweeps/s.yaml:2:1: unknown key `metod`; did you mean `method`? known here: name, command",
        ],
    );
    says(
        "command: train\nmethod: gird\naxes: {}",
        &["s.yaml:2:9", "`gird`; did you mean `grid`? known here: grid, random, sobol"],
    );
    says(
        "command: train\nmethod: {random: {trials: 3, sed: 1}}\naxes: {}",
        &["s.yaml:2:30", "`sed`; did you mean `seed`?"],
    );
    says(
        "command: train\nmetric: {name: x, goal: minimise}\naxes: {}",
        &["s.yaml:2:25", "did you mean `minimize`?"],
    );
    says(
        "command: train\nmethod: {random: {trials: many}}\naxes: {}",
        &["s.yaml:2:27: ", "in `method: {random: {trials: many}}`"],
    );
    says(
        "command: train\nstop: {asha: {budget: epochs, min: 1, max: 27, facto: 3}}\naxes: {}",
        &["did you mean `factor`?"],
    );
    axes_say("\n  lr: {log_uniforn: [1, 2]}", &["s.yaml:3:8", "did you mean `log_uniform`?"]);
    axes_say("\n  lr: 3", &["s.yaml:3:3", "expected a list of values", "in `lr: 3`"]);
    axes_say("\n  lr: {points: 3}", &["s.yaml:3:", "an axis is one of `range`"]);
    axes_say("\n  lr: {range: [0, 3], points: 3}", &["s.yaml:3:", "an axis is one of `range`"]);
    axes_say("\n  lr: {range: [0, 3, 1]}", &["s.yaml:3:8", "invalid length 3"]);
    axes_say("\n  lr: {range: [0, 0.5]}", &["s.yaml:3:19", "in `lr: {range: [0, 0.5]}`"]);
    axes_say("\n  lr: [1, .nan]", &["s.yaml:3:11", "`.nan`"]);
    axes_say("\n  lr: [1]\n  lr: [2]", &["s.yaml:4:3", "duplicate", "lr"]);
    axes_say(
        "\n  m: {group: {a: {axes: {x: {rang: [0, 1]}}}}}",
        &["s.yaml:3:30", "did you mean `range`?"],
    );
    axes_say(
        "\n  m: {group: {a: 3}}",
        &["s.yaml:3:", "expected a mapping of keys to values", "in `m: {group: {a: 3}}`"],
    );
    says("axes: {a: [1]}", &["s.yaml:1:", "missing field `command`"]);
    says("command: train", &["s.yaml:1:", "missing field `axes`"]);
    says("", &["sweeps/s.yaml:1:1: unexpected end of file"]);
    says("command: [", &["s.yaml:1:"]);
    says("command: train\nbase: {a: 1}\naxes: {}", &["s.yaml:2:", "a file or a list of files"]);
}

#[test]
fn values_outside_their_range() {
    says("command: train\nattempts: 0\naxes: {a: [1]}", &["s.yaml: `attempts` is 0"]);
    says(
        "command: train\nmethod: {sobol: {trials: 0}}\naxes: {a: [1]}",
        &["`trials` is 0; with this method it lies between 1 and 65536"],
    );
    says(
        "command: train\nmethod: {random: {trials: 1000001}}\naxes: {a: [1]}",
        &["`trials` is 1000001"],
    );
    let asha = |values: &str| {
        format!(
            "command: train\nmetric: {{name: x, goal: minimize}}\nstop: {{asha: {{budget: epochs, {values}}}}}\naxes: {{a: [1], epochs: [1]}}"
        )
    };
    says(&asha("min: 0, max: 2, factor: 2"), &["`stop.asha` has min 0"]);
    says(&asha("min: 3, max: 2, factor: 2"), &["min 3 and max 2"]);
    says(&asha("min: 1, max: 2, factor: 1"), &["`stop.asha.factor` is 1"]);
    says(&asha("min: 1, max: 2, factor: 2"), &["`stop.asha` and `epochs` both set `epochs`"]);
    says(
        "command: train\nstop: {asha: {budget: epochs, min: 1, max: 9, factor: 3}}\naxes: {a: [1]}",
        &["`stop` compares trials, which needs a `metric"],
    );
}

#[test]
fn axes_that_have_no_values() {
    axes_say("{}", &["s.yaml: `axes` is empty"]);
    axes_say("{lr: []}", &["s.yaml: the axis `lr`: it has no values"]);
    axes_say("{m: {group: {}}}", &["the axis `m`: it has no values"]);
    axes_say("{m: {group: {a: {axes: {lr: []}}}}}", &["the axis `lr`: it has no values"]);
    axes_say("{s: {range: [0, 3], step: 0}}", &["the axis `s`: `step: 0`"]);
    axes_say("{s: {range: [3, 3]}}", &["the axis `s`: `range: [3, 3]` with step 1 is empty"]);
    axes_say("{s: {range: [0, 3], step: -1}}", &["`range: [0, 3]` with step -1 is empty"]);
    axes_say("{s: {range: [0, 10000000]}}", &["`range: [0, 10000000]` has 10000000 values"]);
    axes_say(
        "{s: {range: [-9223372036854775808, 9223372036854775807]}}",
        &["18446744073709551615 values"],
    );
    axes_say(
        "{lr: {log_uniform: [0, 1], points: 2}}",
        &["the axis `lr`: `log_uniform: [0.0, 1.0]` begins at 0", "take `uniform`"],
    );
    axes_say(
        "{lr: {uniform: [2, 1], points: 2}}",
        &["`uniform: [2.0, 1.0]` is empty", "the lower bound comes first"],
    );
    axes_say(
        "{lr: {uniform: [.nan, 1], points: 2}}",
        &["`uniform: [NaN, 1.0]` has a bound, or a width, that is not a finite number"],
    );
    axes_say("{lr: {uniform: [0, .inf], points: 2}}", &["`uniform: [0.0, inf]` has a bound"]);
    axes_say(
        "{lr: {int_uniform: [5, 5], points: 2}}",
        &["`int_uniform: [5, 5]` is empty or a single value"],
    );
    axes_say("{lr: {uniform: [0, 1]}}", &["the axis `lr`", "add `points: 5`"]);
    axes_say("{lr: {uniform: [0, 1], points: 1}}", &["`points: 1` is none of 2 to 1000000"]);
    axes_say(
        "{lr: {int_uniform: [0, 1], points: 3}}",
        &["`points: 3` are more than the 2 whole numbers from 0 to 1"],
    );
}

#[test]
fn axes_in_each_others_way() {
    axes_say(
        "{lr: [1], m: {group: {a: {lr: 2}, b: {}}}}",
        &["s.yaml: `lr` and `m=a` both set `lr`"],
    );
    axes_say(
        "{m: {group: {a: {x.y: 2}}}, n: {group: {b: {x: {y: 1}}}}}",
        &["`m=a` and `n=b` both set `x.y`"],
    );
    axes_say("{x: [1], x.y: [1]}", &["`x` and `x.y` both set `x.y`"]);
    axes_say(
        "{m: {group: {a: {axes: {lr: [1]}}}}, n: {group: {b: {axes: {k: {group: {c: {lr: 1}}}}}}}}",
        &["`lr` and `k=c` both set `lr`"],
    );
    axes_say("{m: {group: {a: {axes: {m: [1]}}}}}", &["two axes named `m`"]);
    axes_say(
        "{m: {group: {a: {axes: {g: {group: {c: {}}}}}}}, n: {group: {b: {axes: {g: {group: {d: {}}}}}}}}",
        &["two axes named `g`"],
    );
    axes_say(
        "{m: {group: {a: {set: {x: 1}, x: 2}}}}",
        &["s.yaml:2:", "`x` is there twice, under `set` and beside it"],
    );
    axes_say("{a..b: [1]}", &["`a..b` is no key of a configuration"]);
    axes_say("{a: [1]}\nset: {' b': 1}", &["` b` is no key of a configuration"]);
    // Neither is an error: one option is chosen, and what is deeper wins.
    let fine = "command: train\nset: {x: 0}\naxes: {m: {group: {a: {x: 1, axes: {x: [2, 3]}}, b: {x: 1}}}}";
    let points = expand(&SweepFile::read(fine, Path::new("s.yaml")).unwrap()).unwrap().points;
    let x: Vec<i64> =
        points.iter().map(|point| point.sets.last().unwrap().1.as_i64().unwrap()).collect();
    assert_eq!(x, [2, 3, 1]);
}

#[test]
fn exclusions_of_what_is_not_there() {
    let say = |exclude: &str, parts: &[&str]| {
        axes_say(
            &format!(
                "{{dataset: [mnist, emnist], lr: [1e-3], w: {{int_uniform: [1, 9], points: 2}}}}\nexclude: [{exclude}]"
            ),
            parts,
        )
    };
    say(
        "{datset: mnist}",
        &[
            "s.yaml: exclude[0], {datset: mnist}: there is no axis `datset`; did you mean `dataset`?",
        ],
    );
    say(
        "{lr: 0.001, dataset: mnit}",
        &[
            "exclude[0], {lr: 0.001, dataset: mnit}: `dataset` has no value `mnit`; did you mean `mnist`?",
        ],
    );
    say("{lr: 0.001, dataset: mnist}, {lr: 2}", &["exclude[1], {lr: 2}: `lr` has no value `2`"]);
    say("{dataset: [mnist, fmnist]}", &["`dataset` has no value `fmnist`"]);
    say("{dataset: []}", &["it names no value of `dataset`"]);
    say("{}", &["exclude[0], {}: it names no choice"]);
    say("{w: 5}", &["`w` has no value `5`"]);
    say("{dataset: [mnist, emnist]}", &["the exclusions leave none of the 4 points"]);
    let drawn = "command: train\nmethod: {random: {trials: 3}}\naxes: {lr: {uniform: [0, 1], points: 2}, w: {int_uniform: [1, 9]}}\nexclude: ";
    says(
        &format!("{drawn}[{{lr: 1}}]"),
        &["a value of `lr` is never drawn twice: narrow its interval"],
    );
    says(&format!("{drawn}[{{w: 10}}]"), &["`w` has no value `10`"]);
}

#[test]
fn too_much_and_too_little() {
    let axes: String = (0..7).fold(String::new(), |mut text, i| {
        write!(text, "a{i}: {{range: [0, 10]}}, ").unwrap();
        text
    });
    axes_say(&format!("{{{axes}}}"), &["s.yaml: the grid has 10000000 points", "random"]);
    let drawn = |method: &str, rest: &str| {
        format!("command: train\nmethod: {{{method}}}\naxes: {{{rest}}}")
    };
    let many: String = (0..257).fold(String::new(), |mut text, i| {
        write!(text, "a{i}: [0], ").unwrap();
        text
    });
    says(
        &drawn("sobol: {trials: 2}", &many),
        &["the sweep has 257 axes", "256 dimensions", "random"],
    );
    says(
        &drawn("random: {trials: 7}", "a: [1, 2], b: [1, 2, 3]"),
        &["only 6 of 7 trials could be drawn", "method: grid"],
    );
    says(
        &drawn("sobol: {trials: 7}", "a: [1, 2], b: [1, 2, 3]"),
        &["only 6 of 7 trials could be drawn"],
    );
    says(
        &(drawn("random: {trials: 1}", "a: [1, 2]") + "\nexclude: [{a: [1, 2]}]"),
        &["only 0 of 1 trials"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Whatever is typed into a sweep comes to trials or to a message.
    #[test]
    fn damaged_files_are_refused_or_read(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..2usize, "[]\\[{}:,.~&*!'\" \n-]{0,2}"), 1..4),
    ) {
        let mut text = include_str!("sweeps/whole_format.yaml").to_owned();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len());
            text.replace_range(at..(at + removed).min(text.len()), &inserted);
        }
        let file = Path::new("sweeps/s.yaml");
        match SweepFile::read(&text, file).and_then(|sweep| expand(&sweep)) {
            Ok(expansion) => prop_assert!(!expansion.points.is_empty()),
            Err(error) => prop_assert!(error.to_string().starts_with("sweeps/s.yaml"), "{}", error),
        }
    }
}
