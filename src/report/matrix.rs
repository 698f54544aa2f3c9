//! The matrix of an experiment: one line a method, one column a pair of sets, AUROC with its interval; of several runs, one for each.

use super::{
    Row,
    table::{latex_table, markdown_table, of_several_runs},
};
use crate::eval::Interval;
use serde::Serialize;

/// The rows of a run in another order: columns and lines.
struct Matrix<'a> {
    /// The run, where there are several.
    run: Option<&'a str>,
    /// The two sets.
    pairs: Vec<[&'a str; 2]>,
    lines: Vec<(&'a str, Vec<Option<&'a Row>>)>,
}

/// Whether nothing speaks for a single score that is better on these samples.
fn is_best(row: &Row) -> bool {
    row.behind_best.is_some_and(|difference| difference.high >= 0.0)
}

impl<'a> Matrix<'a> {
    /// One a run, in order.
    fn of_each_run(rows: &'a [Row]) -> Vec<Self> {
        let several = of_several_runs(rows);
        let mut runs: Vec<&str> = Vec::new();
        for row in rows {
            if !runs.contains(&row.run.as_str()) {
                runs.push(&row.run);
            }
        }
        runs.into_iter()
            .map(|run| {
                let own: Vec<&Row> = rows.iter().filter(|row| row.run == run).collect();
                Self::new(several.then_some(run), &own)
            })
            .collect()
    }

    fn new(run: Option<&'a str>, rows: &[&'a Row]) -> Self {
        let pair = |row: &'a Row| [&*row.inside, row.outside.as_str()];
        let mut pairs: Vec<[&str; 2]> = Vec::new();
        let mut methods: Vec<&str> = Vec::new();
        for &row in rows {
            if !pairs.contains(&pair(row)) {
                pairs.push(pair(row));
            }
            if !methods.contains(&row.method.as_str()) {
                methods.push(&row.method);
            }
        }
        let line = |method: &'a str| {
            let entries = pairs.iter().map(|own| {
                rows.iter().find(|row| row.method == method && pair(row) == *own).copied()
            });
            (method, entries.collect())
        };
        let lines = methods.into_iter().map(line).collect();
        Self { run, pairs, lines }
    }

    /// Cells of all lines, the first line the header; `strong` marks what [`is_best`].
    fn cells(&self, strong: impl Fn(String) -> String) -> Vec<Vec<String>> {
        let pairs =
            self.pairs.iter().map(|[inside, outside]| format!("{inside} against {outside}"));
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

/// The matrix of a run, for a page.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    /// The run, where there are several.
    run: Option<String>,
    pairs: Vec<[String; 2]>,
    lines: Vec<Line>,
}

/// A line of the matrix: a method, and its entry for every pair.
#[derive(Debug, Serialize)]
struct Line {
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

/// The matrix of each run, for a page.
pub(super) fn parts(rows: &[Row]) -> Vec<Part> {
    let entry = |row: &Row| {
        let Interval { value, low, high, .. } = row.auroc;
        Entry { value, low, high, best: is_best(row) }
    };
    let line = |(method, entries): (&str, Vec<Option<&Row>>)| Line {
        method: method.to_owned(),
        entries: entries.into_iter().map(|row| row.map(entry)).collect(),
    };
    let part = |matrix: Matrix| Part {
        run: matrix.run.map(str::to_owned),
        pairs: matrix.pairs.iter().map(|pair| pair.map(str::to_owned)).collect(),
        lines: matrix.lines.into_iter().map(line).collect(),
    };
    Matrix::of_each_run(rows).into_iter().map(part).collect()
}

pub(super) fn caption(rows: &[Row]) -> String {
    let coverage = rows.first().map_or(String::new(), |row| row.auroc.coverage());
    format!(
        "AUROC with its {coverage} interval; marked: the best single score of each column, and what a paired bootstrap does not find worse"
    )
}

/// A Markdown table, of several runs one for each under its name; the best in bold.
pub fn matrix_markdown(rows: &[Row]) -> String {
    let part = |matrix: &Matrix| {
        let title = matrix.run.map(|run| format!("### {run}\n\n")).unwrap_or_default();
        title + &markdown_table(&matrix.cells(|value| format!("**{value}**"))) + "\n"
    };
    let parts: String = Matrix::of_each_run(rows).iter().map(part).collect();
    parts + &format!("{}\n", caption(rows))
}

/// A LaTeX table (booktabs), of several runs one for each; the best in bold.
pub fn matrix_latex(rows: &[Row]) -> String {
    let part = |matrix: &Matrix| {
        let cells = matrix.cells(|value| format!("\\textbf{{{value}}}"));
        let columns = format!("l{}", "r".repeat(cells[0].len() - 1));
        let run = matrix.run.map(|run| format!("{run}: ")).unwrap_or_default();
        latex_table(&format!("{run}{}", caption(rows)), &columns, &cells)
    };
    Matrix::of_each_run(rows).iter().map(part).collect::<Vec<_>>().join("\n")
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
        let [first, second] = several.split("### s\n").collect::<Vec<_>>()[..] else { panic!() };
        assert!(first.starts_with("### r\n\n| AUROC | a_set against b |\n"), "{several}");
        assert!(second.contains("| AUROC | a_set against c |\n"), "{several}");
        assert!(first.contains("likelihood") && !second.contains("likelihood"));
        assert_eq!(matrix_latex(&two).matches("\\begin{tabular}{lr}").count(), 2);
        let latex = matrix_latex(&rows);
        assert!(latex.contains("\\begin{tabular}{lrr}") && latex.contains("a\\_set against b"));
        assert!(latex.contains("LID & \\textbf{0.750} (0.650 to 0.850) & \\textbf{0.500}"));
    }
}
