//! Scores of sets to the rows of a table.

use crate::{
    eval::{
        EvalError, Metrics,
        bootstrap::{Bootstrap, Sides},
        dual::{self, Pairs},
    },
    report::Row,
};

/// Likelihood and LID, frontier chosen on the samples it is scored with.
pub const DUAL_ORACLE: &str = "dual (oracle)";
/// Likelihood and LID, frontier chosen on the other half.
pub const DUAL_CROSS_FITTED: &str = "dual (cross-fitted)";

/// One way to tell two sets apart.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A score, by its name.
    Score(&'a str, &'a [f64]),
    /// A score of batches of images, by its name.
    Batches(&'a str, &'a [f64]),
    /// Likelihood and LID by two thresholds.
    Dual(Pairs<'a>),
}

/// A set by its name, with what tells it from others: the same entries in every set.
#[derive(Clone, Debug)]
pub struct Scored<'a> {
    /// SPEC of the set.
    pub name: &'a str,
    /// The run that scored it; empty where that is not known.
    pub run: &'a str,
    /// The entries.
    pub entries: Vec<Entry<'a>>,
}

/// A score that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[error("{score} of {inside} against {outside}: {problem}")]
pub struct RowError {
    /// The score.
    pub score: String,
    /// The in-distribution set.
    pub inside: String,
    /// The OOD set.
    pub outside: String,
    /// What is wrong.
    pub problem: EvalError,
}

/// All rows of an in-distribution set against OOD sets.
///
/// # Errors
/// Scores that are empty or NaN, sides too small to be split in halves.
pub fn rows(
    inside: &Scored,
    outside: &[Scored],
    bootstrap: &Bootstrap,
) -> Result<Vec<Row>, RowError> {
    let mut rows = Vec::new();
    for outside in outside {
        let mut sides: Vec<(usize, Sides)> = Vec::new();
        let mut duals: Vec<(usize, [Pairs; 2])> = Vec::new();
        for (a, b) in inside.entries.iter().zip(&outside.entries) {
            let named = |score: &str, problem| RowError {
                score: score.to_owned(),
                inside: inside.name.to_owned(),
                outside: outside.name.to_owned(),
                problem,
            };
            let row = |method: &str, auroc, metrics, intervals| Row {
                run: inside.run.to_owned(),
                inside: inside.name.to_owned(),
                outside: outside.name.to_owned(),
                method: method.to_owned(),
                auroc,
                metrics,
                intervals,
                behind_best: None,
            };
            match (a, b) {
                (Entry::Score(name, x), Entry::Score(_, y))
                | (Entry::Batches(name, x), Entry::Batches(_, y)) => {
                    let error = |e| named(name, e);
                    let auroc = bootstrap.auroc(x, y).map_err(error)?;
                    let metrics = Metrics::new(x, y).map_err(error)?;
                    let intervals = bootstrap.metrics(x, y).map_err(error)?;
                    // Scores of single images only are scores of the same samples.
                    if matches!(a, Entry::Score(..)) {
                        sides.push((rows.len(), Sides { inside: x, outside: y }));
                    }
                    rows.push(row(name, auroc, Some(metrics), Some(intervals)));
                }
                (Entry::Dual(a), Entry::Dual(b)) => {
                    let error = |e| named("dual", e);
                    let (oracle, intervals) = bootstrap.dual_oracle(*a, *b).map_err(error)?;
                    let metrics = dual::oracle(*a, *b).map_err(error)?;
                    rows.push(row(DUAL_ORACLE, oracle, Some(metrics), Some(intervals)));
                    // Chosen on one half, no rule accepts a stated share of the other: only the area is defined.
                    let fair = bootstrap.dual_cross_fitted(*a, *b).map_err(error)?;
                    duals.push((rows.len(), [*a, *b]));
                    rows.push(row(DUAL_CROSS_FITTED, fair, None, None));
                }
                _ => unreachable!("all sets have the same entries"),
            }
        }
        let value = |place: &usize| -> f64 { rows[*place].auroc.value };
        let best = sides.iter().max_by(|a, b| value(&a.0).total_cmp(&value(&b.0))).copied();
        let Some((_, best)) = best else { continue };
        let scores =
            sides.iter().map(|&(place, score)| (place, bootstrap.auroc_difference(score, best)));
        let duals = duals.iter().map(|&(place, [inside, outside])| {
            (place, bootstrap.dual_difference(inside, outside, best))
        });
        for (place, difference) in scores.chain(duals) {
            let row: &mut Row = &mut rows[place];
            let difference = difference.map_err(|problem| RowError {
                score: row.method.clone(),
                inside: row.inside.clone(),
                outside: row.outside.clone(),
                problem,
            })?;
            row.behind_best = Some(difference);
        }
    }
    Ok(rows)
}
