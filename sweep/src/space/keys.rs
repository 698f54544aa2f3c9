//! Which axes stand in each other's way.

use super::{
    Asha, Problem, Stop, SweepFile,
    tree::{Dimension, Scope},
};
use std::collections::BTreeSet;

/// Every key is well formed, no two axes that can be active together have one name or set one key, and none sets the budget that trials are
/// stopped by.
pub(super) fn check(root: &Scope, sweep: &SweepFile) -> Result<(), Problem> {
    names(root, BTreeSet::new())?;
    let writes = writes(root)?;
    let mut keys = root.set.keys().map(String::as_str).chain(writes.iter().map(|write| write.key));
    if let Some(key) =
        keys.find(|key| key.split('.').any(|part| part.is_empty() || part.trim() != part))
    {
        let problem = "is no key of a configuration: those are names with dots between them";
        return Err(Problem::Value { key: key.to_owned(), problem: problem.into() });
    }
    if let Some(Stop::Asha(Asha { budget, .. })) = &sweep.stop
        && let Some(write) = writes.iter().find(|write| overlap(write.key, budget).is_some())
    {
        return Err(Problem::Conflict {
            first: "stop.asha".into(),
            second: write.by.clone(),
            key: budget.clone(),
        });
    }
    Ok(())
}

/// The names of all axes that can be active together with those of `scope`, these included.
fn names<'a>(scope: &'a Scope, mut taken: BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>, Problem> {
    for axis in &scope.axes {
        if !taken.insert(&axis.name) {
            return Err(Problem::SameName(axis.name.clone()));
        }
    }
    for axis in &scope.axes {
        // Only one option is chosen: two of them may have axes of one name.
        let nested = axis.choices.iter().filter(|choice| !choice.scope.axes.is_empty());
        let options = nested.map(|choice| names(&choice.scope, taken.clone()));
        taken =
            options.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().chain(taken).collect();
    }
    Ok(taken)
}

/// A key, and the axis or the option that sets it.
struct Write<'a> {
    key: &'a str,
    by: String,
}

/// What the axes of a scope set, those of their options included.
fn writes(scope: &Scope) -> Result<Vec<Write<'_>>, Problem> {
    let mut all: Vec<Write> = Vec::new();
    for axis in &scope.axes {
        let its = writes_of(axis)?;
        for (other, write) in
            all.iter().flat_map(|other| its.iter().map(move |write| (other, write)))
        {
            if let Some(key) = overlap(other.key, write.key) {
                return Err(Problem::Conflict {
                    first: other.by.clone(),
                    second: write.by.clone(),
                    key: key.to_owned(),
                });
            }
        }
        all.extend(its);
    }
    Ok(all)
}

/// Each key once: options of one axis do not meet.
fn writes_of(axis: &Dimension) -> Result<Vec<Write<'_>>, Problem> {
    let mut seen = BTreeSet::new();
    let mut its = Vec::new();
    if axis.interval.is_some() {
        its.push(Write { key: &axis.name, by: axis.name.clone() });
    }
    for choice in &axis.choices {
        let by = |key: &str| {
            if key == axis.name {
                key.to_owned()
            } else {
                format!("{}={}", axis.name, choice.label)
            }
        };
        let own = choice.scope.set.keys().map(|key| Write { key, by: by(key) });
        its.extend(own.chain(writes(&choice.scope)?).filter(|write| seen.insert(write.key)));
    }
    Ok(its)
}

/// The narrower of two keys if one is the other, or lies in it.
fn overlap<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    let (wide, narrow) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let rest = narrow.strip_prefix(wide)?;
    (rest.is_empty() || rest.starts_with('.')).then_some(narrow)
}
