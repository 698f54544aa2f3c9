//! Combinations that are left out.

use super::{
    Method, Problem, SweepFile,
    error::did_you_mean,
    expand::Step,
    interval::Interval,
    tree::{Dimension, Scope, label},
};
use indexmap::IndexMap;
use serde_json::Value;

/// An exclusion, and how many points it met.
#[derive(Debug)]
pub(super) struct Exclusion {
    pub text: String,
    pub met: usize,
    /// Axes with the labels that are meant.
    terms: Vec<(String, Vec<String>)>,
}

impl Exclusion {
    /// Those of a sweep, if all that they name is there.
    pub fn all(sweep: &SweepFile, space: &Scope) -> Result<Vec<Self>, Problem> {
        let draws = sweep.method != Method::Grid;
        let exclusion = |(index, choices): (usize, &IndexMap<String, Value>)| {
            let text = text(choices);
            let wrong = |problem| Problem::Exclusion { index, exclusion: text.clone(), problem };
            if choices.is_empty() {
                return Err(wrong("it names no choice, and would leave nothing".into()));
            }
            let term =
                |(axis, value)| Ok((String::clone(axis), labels(space, axis, value, draws)?));
            let terms = choices.iter().map(term).collect::<Result<_, String>>().map_err(wrong)?;
            Ok(Self { text, met: 0, terms })
        };
        sweep.exclude.iter().enumerate().map(exclusion).collect()
    }

    /// Does a point make all these choices?
    pub fn meets(&self, path: &[Step]) -> bool {
        self.terms.iter().all(|(axis, labels)| {
            path.iter().any(|step| step.axis == axis && labels.contains(&step.choice.label))
        })
    }
}

fn text(choices: &IndexMap<String, Value>) -> String {
    let choices: Vec<String> =
        choices.iter().map(|(axis, value)| format!("{axis}: {}", label(value))).collect();
    format!("{{{}}}", choices.join(", "))
}

/// The labels that a value, or a list of them, means on the axes of a name.
fn labels(space: &Scope, name: &str, value: &Value, draws: bool) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    below(space, &mut all);
    let axes: Vec<&Dimension> = all.iter().copied().filter(|axis| axis.name == name).collect();
    if axes.is_empty() {
        let guess = did_you_mean(name, all.iter().map(|axis| axis.name.as_str()));
        return Err(format!("there is no axis `{name}`; {guess}see `axes`"));
    }
    let known = |value: &Value| axes.iter().any(|axis| has(axis, value, draws));
    // A list may itself be a value of the axis.
    let meant = match value {
        Value::Array(values) if !known(value) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    if meant.is_empty() {
        return Err(format!("it names no value of `{name}`"));
    }
    match meant.iter().find(|value| !known(value)) {
        None => Ok(meant.iter().map(label).collect()),
        Some(_)
            if draws
                && axes.iter().any(|axis| {
                    matches!(axis.interval, Some(Interval::Uniform(_) | Interval::LogUniform(_)))
                }) =>
        {
            Err(format!("a value of `{name}` is never drawn twice: narrow its interval instead"))
        }
        Some(value) => {
            let labels =
                axes.iter().flat_map(|axis| &axis.choices).map(|choice| choice.label.as_str());
            Err(format!(
                "`{name}` has no value `{}`; {}see `axes`",
                label(value),
                did_you_mean(&label(value), labels)
            ))
        }
    }
}

/// All axes of a scope, nested ones too.
fn below<'a>(scope: &'a Scope, all: &mut Vec<&'a Dimension>) {
    for axis in &scope.axes {
        all.push(axis);
        axis.choices.iter().for_each(|choice| below(&choice.scope, all));
    }
}

fn has(axis: &Dimension, value: &Value, draws: bool) -> bool {
    match axis.interval {
        Some(Interval::IntUniform([low, high])) if draws => {
            label(value).parse().is_ok_and(|value: i64| (low..=high).contains(&value))
        }
        Some(_) if draws => false,
        _ => axis.choices.iter().any(|choice| choice.label == label(value)),
    }
}
