//! The space as a tree of choices, every value checked.

use super::{
    Axis, MOST, Method, Problem, Setting, SweepFile, canonical, draw::SOBOL_DIMENSIONS,
    interval::Interval, keys,
};
use indexmap::IndexMap;
use serde_json::Value;
use std::rc::Rc;

/// The root of the space, or an option of a group: what it sets, and what is to be chosen under it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub set: IndexMap<String, Value>,
    pub axes: Vec<Dimension>,
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub name: String,
    /// Its number among all axes of the tree, in the order of the file.
    pub number: u32,
    /// What a grid takes; draws, too, if there is no interval.
    pub choices: Vec<Rc<Choice>>,
    /// What draws are from.
    pub interval: Option<Interval>,
}

/// A value of an axis. One of a list is an option that sets one key.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub label: String,
    pub scope: Scope,
}

impl Choice {
    /// The value of an axis that is a key.
    pub fn of(key: &str, value: Value) -> Self {
        let label = label(&value);
        let set = IndexMap::from([(key.to_owned(), value)]);
        Self { label, scope: Scope { set, axes: Vec::new() } }
    }
}

/// A value for people: text bare, everything else as JSON.
pub(super) fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => canonical::text(other),
    }
}

impl Scope {
    /// The space of a sweep.
    pub fn of(sweep: &SweepFile) -> Result<Self, Problem> {
        let mut builder = Builder { method: sweep.method, axes: 0 };
        let root = builder.scope(sweep.set.clone(), &sweep.axes)?;
        if root.axes.is_empty() {
            return Err(Problem::Value {
                key: "axes".into(),
                problem: "is empty: there is nothing to sweep over".into(),
            });
        }
        if matches!(sweep.method, Method::Sobol(_)) && builder.axes > SOBOL_DIMENSIONS {
            return Err(Problem::Dimensions { axes: builder.axes, most: SOBOL_DIMENSIONS });
        }
        keys::check(&root, sweep)?;
        Ok(root)
    }

    /// How many points its grid has; at the most what fits.
    pub fn grid_size(&self) -> u64 {
        let of = |axis: &Dimension| {
            axis.choices.iter().map(|choice| choice.scope.grid_size()).fold(0, u64::saturating_add)
        };
        self.axes.iter().map(of).fold(1, u64::saturating_mul)
    }
}

struct Builder {
    method: Method,
    axes: u32,
}

impl Builder {
    fn scope(
        &mut self,
        set: IndexMap<String, Value>,
        axes: &IndexMap<String, Axis>,
    ) -> Result<Scope, Problem> {
        let axes = axes.iter().map(|(name, axis)| self.dimension(name, axis));
        Ok(Scope { set, axes: axes.collect::<Result<_, _>>()? })
    }

    fn dimension(&mut self, name: &str, axis: &Axis) -> Result<Dimension, Problem> {
        let number = self.axes;
        self.axes += 1;
        let wrong = |problem| Problem::Axis { axis: name.to_owned(), problem };
        let (choices, interval) = match axis {
            Axis::List(values) => (of_values(name, values.clone()), None),
            Axis::Range { range, step } => {
                (of_values(name, range_values(*range, *step).map_err(wrong)?), None)
            }
            Axis::Uniform { uniform, points } => {
                self.interval(name, Interval::Uniform(*uniform), *points).map_err(wrong)?
            }
            Axis::LogUniform { log_uniform, points } => {
                self.interval(name, Interval::LogUniform(*log_uniform), *points).map_err(wrong)?
            }
            Axis::IntUniform { int_uniform, points } => {
                self.interval(name, Interval::IntUniform(*int_uniform), *points).map_err(wrong)?
            }
            Axis::Group { group } => {
                let option = |(label, setting): (&String, &Setting)| {
                    let scope = self.scope(setting.set.clone(), &setting.axes)?;
                    Ok(Rc::new(Choice { label: label.clone(), scope }))
                };
                (group.iter().map(option).collect::<Result<_, _>>()?, None)
            }
        };
        if choices.is_empty() && interval.is_none() {
            return Err(wrong("it has no values: give it some, or leave the axis out".into()));
        }
        Ok(Dimension { name: name.to_owned(), number, choices, interval })
    }

    fn interval(
        &self,
        axis: &str,
        interval: Interval,
        points: Option<usize>,
    ) -> Result<(Vec<Rc<Choice>>, Option<Interval>), String> {
        let interval = interval.checked()?;
        let values = match points {
            Some(count) => interval.points(count)?,
            None if self.method == Method::Grid => {
                return Err("a grid takes a number of values from an interval: add `points: 5`, or take `method: {random: {trials: …}}`".into());
            }
            None => Vec::new(),
        };
        Ok((of_values(axis, values), Some(interval)))
    }
}

fn of_values(key: &str, values: Vec<Value>) -> Vec<Rc<Choice>> {
    values.into_iter().map(|value| Rc::new(Choice::of(key, value))).collect()
}

fn range_values([start, end]: [i64; 2], step: i64) -> Result<Vec<Value>, String> {
    let (first, width, step_) =
        (i128::from(start), i128::from(end) - i128::from(start), i128::from(step));
    if step == 0 {
        return Err("`step: 0` leads nowhere".into());
    }
    // How many steps end before `end`, rounded up.
    let count = (width + step_ - step_.signum()) / step_;
    if count <= 0 {
        return Err(format!(
            "`range: [{start}, {end}]` with step {step} is empty: it runs from {start} up to, not including, {end}"
        ));
    }
    if count > MOST as i128 {
        return Err(format!(
            "`range: [{start}, {end}]` has {count} values, and more than {MOST} can only be a mistake"
        ));
    }
    Ok((0..count).filter_map(|i| i64::try_from(first + i * step_).ok()).map(Value::from).collect())
}
