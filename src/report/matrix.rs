//! The matrix of an experiment: one line a method, one column a pair of sets, AUROC with its interval.

use super::{
    Row,
    table::{latex_table, markdown_table, of_several_runs},
};
use crate::eval::Interval;
use serde::Serialize;

/// The rows in another order: columns and lines.
struct Matrix<'a> {
    /// The run, where there are several, and the two sets.
    pairs: Vec<(Option<&'a str>, [&'a str; 2])>,
    lines: Vec<(&'a str, Vec<Option<&'a Row>>)>,
}

/// Whether nothing speaks for a better single score on these samples.
fn is_best(row: &Row) -> bool {
    row.behind_best.is_some_and(|difference| difference.high >= 0.0)
}

impl<'a> Matrix<'a> {
    fn new(rows: &'a [Row]) -> Self {
        let several = of_several_runs(rows);
        let pair =
            |row: &'a Row| (several.then_some(&*row.run), [&*row.inside, row.outside.as_str()]);
        let mut pairs: Vec<(Option<&str>, [&str; 2])> = Vec::new();
        let mut methods: Vec<&str> = Vec::new();
        for row in rows {
            if !pairs.contains(&pair(row)) {
                pairs.push(pair(row));
            }
            if !methods.contains(&row.method.as_str()) {
                methods.push(&row.method);
            }
        }
        let line = |method: &'a str| {
            let entries = pairs
                .iter()
                .map(|own| rows.iter().find(|row| row.method == method && pair(row) == *own));
            (method, entries.collect())
        };
        let lines = methods.into_iter().map(line).collect();
        Self { pairs, lines }
    }

    /// Cells of all lines, the first line the header; `strong` marks what [`is_best`].
    fn cells(&self, strong: impl Fn(String) -> String) -> Vec<Vec<String>> {
        let pairs = self.pairs.iter().map(|(run, [inside, outside])| match run {
            Some(run) => format!("{run}: {inside} against {outside}"),
            None => format!("{inside} against {outside}"),
        });
        let header = std::iter::once("AUROC".to_owned()).chain(pairs).collect();
        let entry = |entry: &Option<&Row>| match entry {
            None => "-".to_owned(),
            Some(row) => {
                let value = format!("{:.3}", row.auroc.value);
                let value = if is_best(row) { strong(value) } else { value };
                format!("{value} ({:.3} to {:.3})", row.auroc.low, row.auroc.high)
            }
        };
        let line = |(method, entries): &(&str, Vec<_>)| {
            std::iter::once((*method).to_owned()).chain(entries.iter().map(entry)).collect()
        };
        std::iter::once(header).chain(self.lines.iter().map(line)).collect()
    }
}

/// A line of the matrix: a method, and its entry for every pair.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    method: String,
    entries: Vec<Option<Entry>>,
}

#[derive(Debug, Serialize)]
struct Entry {
    value: f64,
    low: f64,
    high: f64,
    best: bool,
}

/// The pairs (the run where there are several, and the two sets) and the lines, for a page.
pub(super) fn lines(rows: &[Row]) -> (Vec<[String; 3]>, Vec<Line>) {
    let matrix = Matrix::new(rows);
    let entry = |row: &Row| {
        let Interval { value, low, high, .. } = row.auroc;
        Entry { value, low, high, best: is_best(row) }
    };
    let line = |(method, entries): (&str, Vec<Option<&Row>>)| Line {
        method: method.to_owned(),
        entries: entries.into_iter().map(|row| row.map(entry)).collect(),
    };
    let pair = |(run, [inside, outside]): &(Option<&str>, [&str; 2])| {
        [run.unwrap_or_default(), inside, outside].map(str::to_owned)
    };
    let pairs = matrix.pairs.iter().map(pair).collect();
    (pairs, matrix.lines.into_iter().map(line).collect())
}

pub(super) fn caption(rows: &[Row]) -> String {
    let coverage = rows.first().map_or(String::new(), |row| row.auroc.coverage());
    format!(
        "AUROC with its {coverage} interval; marked: the best single score of each column, and those whose paired difference to it has an interval with 0 in it"
    )
}

/// A Markdown table, the best single scores in bold.
pub fn matrix_markdown(rows: &[Row]) -> String {
    let cells = Matrix::new(rows).cells(|value| format!("**{value}**"));
    markdown_table(&cells) + &format!("\n{}\n", caption(rows))
}

/// A LaTeX table (booktabs), the best single scores in bold.
pub fn matrix_latex(rows: &[Row]) -> String {
    let cells = Matrix::new(rows).cells(|value| format!("\\textbf{{{value}}}"));
    let columns = format!("l{}", "r".repeat(cells[0].len() - 1));
    latex_table(&caption(rows), &columns, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Interval;

    fn row(outside: &str, method: &str, value: f64, behind: Option<f64>) -> Row {
        let around =
            |value| Interval { value, low: value - 0.1, high: value + 0.1, level: 0.95, n: 10 };
        Row {
            run: "r".into(),
            inside: "a_set".into(),
            outside: outside.into(),
            method: method.into(),
            auroc: around(value),
            metrics: None,
            intervals: None,
            behind_best: behind.map(around),
        }
    }

    #[test]
    fn methods_are_lines_and_pairs_columns() {
        let rows = [
            row("b", "likelihood", 0.25, Some(-0.5)),
            row("b", "LID", 0.75, Some(0.0)),
            row("b", "DoSE", 0.6875, Some(-0.0625)),
            row("b", "dual (oracle)", 0.875, None),
            row("c", "LID", 0.5, Some(0.0)),
        ];
        let markdown = matrix_markdown(&rows);
        assert!(
            markdown.contains("| LID | **0.750** (0.650 to 0.850) | **0.500** (0.400 to 0.600) |")
        );
        assert!(markdown.contains("| dual (oracle) | 0.875 (0.775 to 0.975) | - |"));
        assert!(markdown.contains("| AUROC | a_set against b | a_set against c |"));
        assert!(markdown.contains("| likelihood | 0.250 (0.150 to 0.350) | - |"));
        assert!(markdown.contains("| DoSE | **0.688** (0.588 to 0.787) | - |"));
        let mut two = rows.clone();
        two[4].run = "s".into();
        let several = matrix_markdown(&two);
        assert!(several.contains("| AUROC | r: a_set against b | s: a_set against c |"));
        let latex = matrix_latex(&rows);
        assert!(latex.contains("\\begin{tabular}{lrr}") && latex.contains("a\\_set against b"));
        assert!(latex.contains("LID & \\textbf{0.750} (0.650 to 0.850) & \\textbf{0.500}"));
    }
}
