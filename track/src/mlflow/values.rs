//! What a run is in MLflow's terms.

use crate::{Cell, RunInfo, Table};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Characters of a parameter's value.
pub const PARAM: usize = 6000;
/// Characters of a tag's value.
const TAG: usize = 8000;
/// Characters of a name.
pub const NAME: usize = 250;

pub fn known_params(run: &Value) -> BTreeMap<&str, &str> {
    let params = run["data"]["params"].as_array().into_iter().flatten();
    params.filter_map(|param| Some((param["key"].as_str()?, param["value"].as_str()?))).collect()
}

pub fn tags(run: &RunInfo) -> Vec<Value> {
    let words = (!run.tags.is_empty()).then(|| run.tags.join(","));
    let all = [
        ("mlflow.note.content", run.notes.clone()),
        ("group", run.group.clone()),
        ("sweep", run.sweep.clone()),
        ("tags", words),
    ];
    let tag = |(key, value): (&str, Option<String>)| {
        Some(json!({ "key": key, "value": cut(&value?, TAG) }))
    };
    all.into_iter().filter_map(tag).collect()
}

/// The first characters of a text.
pub fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A name as MLflow takes it: letters, digits, `_-./: ` and a path without detours.
pub fn cleaned(name: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || "_-. :/".contains(c) { c } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let name = cut(&Vec::from_iter(parts).join("/"), NAME);
    // What was cut may end in the middle of a path.
    let name = name.trim_end_matches('/');
    if name.is_empty() { "_".into() } else { name.to_owned() }
}

/// A number as protocol buffers write it in JSON.
pub fn number(number: f64) -> Value {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        number.into()
    }
}

/// A table as MLflow's own client writes it: that of pandas, `orient="split"`.
pub fn split(table: &Table) -> Value {
    let cell = |cell: &Cell| match cell {
        Cell::Number(number) => Value::from(*number),
        Cell::Text(text) => Value::from(text.as_str()),
    };
    let rows = table.rows.iter().map(|row| Vec::from_iter(row.iter().map(cell)));
    json!({ "columns": table.columns, "data": Vec::from_iter(rows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `mlflow.utils.validation`: its regex, and `posixpath.normpath(name) == name`.
    #[test]
    fn names_are_those_that_mlflow_takes() {
        let names = [
            ("train/bpd", "train/bpd"),
            ("ood auroc (svhn)", "ood auroc _svhn_"),
            ("größe", "größe"),
            ("/a//b/../c/", "a/b/c"),
            ("..", "_"),
            ("", "_"),
        ];
        for (name, expected) in names {
            assert_eq!(cleaned(name), expected);
        }
        assert_eq!(cleaned(&format!("{}/b", "a".repeat(249))), "a".repeat(249));
    }
}
