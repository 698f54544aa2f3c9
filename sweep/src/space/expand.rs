//! The points of a space.

use super::{
    Draws, MOST, Method, Problem, SpaceError, SweepFile, canonical,
    draw::Source,
    exclusion::Exclusion,
    tree::{Choice, Dimension, Scope},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::HashSet, rc::Rc};

/// What a sweep file comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    /// The trials. A grid's in the order of the file, the last axis moving fastest; draws in the order in which they were drawn.
    pub points: Vec<Point>,
    /// How many points were left out by an exclusion.
    pub excluded: usize,
    /// How many points were left out because they set the same as an earlier one.
    pub duplicates: usize,
    /// What is no error, and yet hardly meant.
    pub warnings: Vec<String>,
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Every active axis with the label of its choice, in the order of the file; an axis of an option follows the option.
    pub choices: Vec<(String, String)>,
    /// The keys to set, one after the other: a later one wins, and may be an earlier one again, or lie inside it.
    pub sets: Vec<(String, Value)>,
}

impl Point {
    /// The choices in a line, as `dataset=mnist optimizer.lr=0.001`.
    pub fn label(&self) -> String {
        let choices: Vec<String> =
            self.choices.iter().map(|(axis, label)| format!("{axis}={label}")).collect();
        choices.join(" ")
    }

    /// A text with every `{axis}` replaced by the choice on that axis.
    pub fn filled(&self, text: &str) -> String {
        let fill = |text: String, (axis, label): &(String, String)| {
            text.replace(&format!("{{{axis}}}"), label)
        };
        self.choices.iter().fold(text.to_owned(), fill)
    }

    /// The same in every text of a value.
    fn filled_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.filled(text)),
            Value::Array(values) => values.iter().map(|value| self.filled_value(value)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| (key.clone(), self.filled_value(value))).collect()
            }
            value => value.clone(),
        }
    }
}

/// A choice on the way to a point.
#[derive(Clone, Debug)]
pub(super) struct Step<'a> {
    pub axis: &'a str,
    pub choice: Rc<Choice>,
}

/// Draws in a row without a new trial after which there are hardly any left.
const PATIENCE: u32 = 10_000;

/// The trials of a sweep. The same file gives the same ones; more of `trials` begin with the same ones.
///
/// # Errors
/// Axes that are empty or in each other's way, exclusions of what is not there or of everything, a grid of more than [`MOST`] points, draws
/// that do not find enough trials.
pub fn expand(sweep: &SweepFile) -> Result<Expansion, SpaceError> {
    points(sweep).map_err(|problem| sweep.error(problem))
}

fn points(sweep: &SweepFile) -> Result<Expansion, Problem> {
    let space = Scope::of(sweep)?;
    let mut sieve = Sieve::new(&space, Exclusion::all(sweep, &space)?);
    match sweep.method {
        Method::Grid => {
            let size = space.grid_size();
            if size > MOST as u64 {
                return Err(Problem::TooLarge { points: size });
            }
            for path in grid(&space) {
                sieve.take(&path);
            }
            if sieve.points.is_empty() {
                return Err(Problem::NothingLeft { points: sieve.excluded });
            }
        }
        Method::Random(Draws { trials, seed }) => sieve.draw(Source::Random { seed }, trials)?,
        Method::Sobol(Draws { trials, seed }) => sieve.draw(Source::Sobol { seed }, trials)?,
    }
    Ok(sieve.expansion())
}

/// All ways through a scope.
fn grid(scope: &Scope) -> Vec<Vec<Step<'_>>> {
    scope.axes.iter().fold(vec![Vec::new()], |paths, axis| {
        let ends: Vec<Vec<Step>> = axis
            .choices
            .iter()
            .flat_map(|choice| {
                let step = Step { axis: &axis.name, choice: choice.clone() };
                grid(&choice.scope).into_iter().map(move |rest| [vec![step.clone()], rest].concat())
            })
            .collect();
        paths
            .iter()
            .flat_map(|path| ends.iter().map(|end| [path.as_slice(), end].concat()))
            .collect()
    })
}

/// One way through a scope. Every axis has a dimension of its own, active or not, so that what one axis draws does not depend on what is
/// chosen elsewhere.
fn draw<'a>(scope: &'a Scope, source: Source, index: u32, path: &mut Vec<Step<'a>>) {
    for Dimension { name, number, choices, interval } in &scope.axes {
        let u = source.coordinate(index, *number);
        match interval {
            Some(interval) => {
                let choice = Rc::new(Choice::of(name, interval.quantile(u)));
                path.push(Step { axis: name, choice });
            }
            None => {
                let choice = &choices[(u * choices.len() as f64) as usize];
                path.push(Step { axis: name, choice: choice.clone() });
                draw(&choice.scope, source, index, path);
            }
        }
    }
}

/// Keeps what is not excluded, and not there yet.
struct Sieve<'a> {
    space: &'a Scope,
    exclusions: Vec<Exclusion>,
    seen: HashSet<String>,
    points: Vec<Point>,
    excluded: usize,
    duplicates: usize,
}

impl<'a> Sieve<'a> {
    fn new(space: &'a Scope, exclusions: Vec<Exclusion>) -> Self {
        Self {
            space,
            exclusions,
            seen: HashSet::new(),
            points: Vec::new(),
            excluded: 0,
            duplicates: 0,
        }
    }

    /// Whether the point is kept.
    fn take(&mut self, path: &[Step]) -> bool {
        let mut excluded = false;
        for exclusion in self.exclusions.iter_mut().filter(|exclusion| exclusion.meets(path)) {
            exclusion.met += 1;
            excluded = true;
        }
        if excluded {
            self.excluded += 1;
            return false;
        }
        let point = point(self.space, path);
        if !self.seen.insert(meaning(&point)) {
            self.duplicates += 1;
            return false;
        }
        self.points.push(point);
        true
    }

    fn draw(&mut self, source: Source, trials: u32) -> Result<(), Problem> {
        let mut refused = 0;
        for index in 0..source.draws() {
            let found = self.points.len();
            if found == trials as usize {
                return Ok(());
            }
            if refused == PATIENCE {
                return Err(Problem::Exhausted { found, trials, draws: index });
            }
            let mut path = Vec::new();
            draw(self.space, source, index, &mut path);
            refused = if self.take(&path) { 0 } else { refused + 1 };
        }
        match self.points.len() {
            found if found == trials as usize => Ok(()),
            found => Err(Problem::Exhausted { found, trials, draws: source.draws() }),
        }
    }

    fn expansion(self) -> Expansion {
        let idle = self.exclusions.iter().filter(|exclusion| exclusion.met == 0);
        Expansion {
            warnings: idle
                .map(|exclusion| format!("the exclusion {} excluded nothing", exclusion.text))
                .collect(),
            points: self.points,
            excluded: self.excluded,
            duplicates: self.duplicates,
        }
    }
}

/// What a way through the space sets: what is deeper comes later, and wins.
fn point(space: &Scope, path: &[Step]) -> Point {
    let scopes = std::iter::once(space).chain(path.iter().map(|step| &step.choice.scope));
    let choices = path.iter().map(|step| (step.axis.to_owned(), step.choice.label.clone()));
    let point = Point { choices: choices.collect(), sets: Vec::new() };
    let filled = scopes
        .flat_map(|scope| &scope.set)
        .map(|(key, value)| (key.clone(), point.filled_value(value)));
    Point { sets: filled.collect(), ..point }
}

/// The same for points that set the same. The order counts inside a section of the configuration, where one key may change what another
/// means.
fn meaning(point: &Point) -> String {
    let mut sets: Vec<_> = point.sets.iter().collect();
    sets.sort_by_key(|(key, _)| key.split('.').next());
    canonical::text(&json!(sets))
}
