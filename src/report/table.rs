//! The results as a table: for the terminal, for Markdown, for LaTeX.

use super::{Frame, ScoreError, Values, matrix_latex, matrix_markdown};
use crate::{
    eval::{CONVENTION, Interval, MetricIntervals, Metrics},
    run::write_atomic,
};
use serde::Serialize;
use std::path::Path;

/// One method on one pair of sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The run whose scores they are; empty where that is not known.
    pub run: String,
    /// SPEC of the in-distribution set.
    pub inside: String,
    /// SPEC of the OOD set.
    pub outside: String,
    /// Name of the method.
    pub method: String,
    /// AUROC with its interval.
    pub auroc: Interval,
    /// The other metrics; cross-fitted thresholds have none.
    pub metrics: Option<Metrics>,
    /// Their intervals.
    pub intervals: Option<MetricIntervals>,
    /// Its AUROC less that of the best single score of the pair, on the same samples; only single scores and the cross-fitted dual have it.
    pub behind_best: Option<Interval>,
}

/// Whether the rows are of more than one run, so that each must say which.
pub(super) fn of_several_runs(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.run != rows[0].run)
}

/// Header and rows; `wide` with the intervals of all numbers.
fn lines(rows: &[Row], wide: bool) -> Vec<Vec<String>> {
    let coverage = rows.first().map_or(String::new(), |row| row.auroc.coverage());
    let interval = format!("{coverage} interval");
    let header = ["in", "out", "method", "AUROC", &interval, "AUPR in", "AUPR out", "FPR95", "n"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| cells(row, wide)));
    if of_several_runs(rows) {
        let runs = rows.iter().map(|row| row.run.clone());
        let names = std::iter::once("run".to_owned()).chain(runs);
        lines.iter_mut().zip(names).for_each(|(line, name)| line.insert(0, name));
    }
    lines
}

fn cells(row: &Row, wide: bool) -> Vec<String> {
    let number = |value: Option<f64>, interval: Option<Interval>| match (value, interval) {
        (None, _) => "-".into(),
        (Some(v), Some(i)) if wide => format!("{v:.3} ({:.3} to {:.3})", i.low, i.high),
        (Some(v), _) => format!("{v:.3}"),
    };
    vec![
        row.inside.clone(),
        row.outside.clone(),
        row.method.clone(),
        number(Some(row.auroc.value), None),
        format!("{:.3} to {:.3}", row.auroc.low, row.auroc.high),
        number(row.metrics.map(|m| m.aupr_in), row.intervals.map(|i| i.aupr_in)),
        number(row.metrics.map(|m| m.aupr_out), row.intervals.map(|i| i.aupr_out)),
        number(row.metrics.map(|m| m.fpr95), row.intervals.map(|i| i.fpr95)),
        row.auroc.n.to_string(),
    ]
}

/// Columns aligned by spaces, and the label convention.
pub fn text(rows: &[Row]) -> String {
    aligned(&lines(rows, false)) + &format!("({CONVENTION})\n")
}

/// Lines of cells as columns aligned by spaces.
pub fn aligned<L: AsRef<[String]>>(lines: &[L]) -> String {
    let columns = lines.iter().map(|line| line.as_ref().len()).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let cells = line.as_ref().iter().zip(&widths);
        let padded: Vec<String> = cells.map(|(cell, &width)| format!("{cell:width$}")).collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Lines of cells as a Markdown table; the first is the header.
pub(super) fn markdown_table<L: AsRef<[String]>>(lines: &[L]) -> String {
    let line = |cells: &L| {
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let cells: Vec<String> = cells.as_ref().iter().map(escape).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let Some((header, rest)) = lines.split_first() else { return String::new() };
    let rule = format!("|{}\n", " --- |".repeat(header.as_ref().len()));
    line(header) + &rule + &rest.iter().map(line).collect::<String>()
}

/// Lines of cells as a LaTeX table (booktabs); the first is the header, `columns` their alignment.
pub(super) fn latex_table<L: AsRef<[String]>>(comment: &str, columns: &str, lines: &[L]) -> String {
    let line = |cells: &L| {
        let escape = |cell: &String| -> String {
            let each = cell.chars().map(|c| match c {
                '%' | '_' | '&' | '#' | '$' => format!("\\{c}"),
                '~' => "\\textasciitilde{}".into(),
                '^' => "\\textasciicircum{}".into(),
                c => c.to_string(),
            });
            each.collect()
        };
        let cells: Vec<String> = cells.as_ref().iter().map(escape).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let Some((header, rest)) = lines.split_first() else { return String::new() };
    let (header, body) = (line(header), rest.iter().map(line).collect::<String>());
    format!(
        "% {comment}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{header}\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )
}

/// A Markdown table, and the label convention.
pub fn markdown(rows: &[Row]) -> String {
    markdown_table(&lines(rows, true)) + &format!("\n{CONVENTION}\n")
}

/// A LaTeX table (booktabs), with the label convention as a comment.
pub fn latex(rows: &[Row]) -> String {
    let names = if of_several_runs(rows) { "llll" } else { "lll" };
    latex_table(CONVENTION, &format!("{names}rrrrrr"), &lines(rows, true))
}

/// Every number of the rows, by column; NaN where there is none.
fn frame(rows: &[Row]) -> Frame<'static> {
    let text = |of: fn(&Row) -> &String| Values::Text(rows.iter().map(|r| of(r).clone()).collect());
    let number = |of: &dyn Fn(&Row) -> Option<f64>| {
        Values::Number(rows.iter().map(|row| of(row).unwrap_or(f64::NAN)).collect())
    };
    let mut columns = vec![
        ("run", text(|r| &r.run)),
        ("in", text(|r| &r.inside)),
        ("out", text(|r| &r.outside)),
        ("method", text(|r| &r.method)),
    ];
    type Of = fn(&Row) -> Option<Interval>;
    let intervals: [([&'static str; 3], Of); 5] = [
        (["auroc", "auroc_low", "auroc_high"], |r| Some(r.auroc)),
        (["aupr_in", "aupr_in_low", "aupr_in_high"], |r| r.intervals.map(|i| i.aupr_in)),
        (["aupr_out", "aupr_out_low", "aupr_out_high"], |r| r.intervals.map(|i| i.aupr_out)),
        (["fpr95", "fpr95_low", "fpr95_high"], |r| r.intervals.map(|i| i.fpr95)),
        (["behind_best", "behind_best_low", "behind_best_high"], |r| r.behind_best),
    ];
    for ([value, low, high], of) in intervals {
        columns.push((value, number(&|row| of(row).map(|i| i.value))));
        columns.push((low, number(&|row| of(row).map(|i| i.low))));
        columns.push((high, number(&|row| of(row).map(|i| i.high))));
    }
    columns.push(("level", number(&|row| Some(row.auroc.level))));
    columns.push(("n", Values::Integer(rows.iter().map(|row| row.auroc.n as i64).collect())));
    Frame { columns, note: CONVENTION }
}

/// Write `table.md`, `.tex`, `.csv` and `.parquet`, `matrix.md` and `matrix.tex` into a folder.
///
/// # Errors
/// Files that cannot be written.
pub fn write_tables(folder: &Path, rows: &[Row]) -> Result<(), ScoreError> {
    for (name, text) in [
        ("table.md", markdown(rows)),
        ("table.tex", latex(rows)),
        ("matrix.md", matrix_markdown(rows)),
        ("matrix.tex", matrix_latex(rows)),
    ] {
        write_atomic(&folder.join(name), text.as_bytes())?;
    }
    let frame = frame(rows);
    ["table.csv", "table.parquet"].iter().try_for_each(|name| frame.write(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let auroc = Interval { value: 0.25, low: 0.2, high: 0.3125, level: 0.9, n: 10 };
        let metrics =
            Metrics { auroc: 0.25, aupr_in: 0.5, aupr_out: 0.75, fpr95: 1.0, n_in: 5, n_out: 5 };
        let row = |method: &str, metrics| Row {
            run: "r".into(),
            inside: "fashion-mnist:test".into(),
            outside: "my_set".into(),
            method: method.into(),
            auroc,
            metrics,
            intervals: None,
            behind_best: None,
        };
        vec![row("likelihood", Some(metrics)), row("dual (oracle)", None)]
    }

    #[test]
    fn every_form_holds_the_numbers() {
        for table in [text(&rows()), markdown(&rows()), latex(&rows())] {
            for part in
                ["0.250", "0.200 to 0.312", "0.500", "dual (oracle)", "1.000", "10", CONVENTION]
            {
                assert!(table.contains(part), "{part} in\n{table}");
            }
        }
        assert!(latex(&rows()).contains("my\\_set") && latex(&rows()).contains("90 \\% interval"));
        assert_eq!(text(&rows()).lines().count(), 4);
    }

    #[test]
    fn several_runs_are_told_apart() {
        assert!(!text(&rows()).contains("run"));
        let mut two = rows();
        two[1].run = "s".into();
        let text = text(&two);
        let runs: Vec<&str> =
            text.lines().take(3).map(|l| l.split_whitespace().next().unwrap()).collect();
        assert_eq!(runs, ["run", "r", "s"]);
        assert!(latex(&two).contains("{llllrrrrrr}"));
    }

    #[test]
    fn every_number_is_in_the_columns() {
        let mut rows = rows();
        let fpr95 = Interval { value: 1.0, low: 0.5, ..rows[0].auroc };
        rows[0].intervals = Some(MetricIntervals { aupr_in: fpr95, aupr_out: fpr95, fpr95 });
        let dir = tempfile::tempdir().unwrap();
        write_tables(dir.path(), &rows).unwrap();
        let read = |name: &str| crate::report::Columns::read(&dir.path().join(name)).unwrap();
        for table in [read("table.csv"), read("table.parquet")] {
            assert_eq!(table.get("out").unwrap(), ["my_set", "my_set"]);
            let numbers = |name: &str| -> Vec<f64> {
                table.get(name).unwrap().iter().map(|t| t.parse().unwrap()).collect()
            };
            assert_eq!(numbers("auroc_low"), [0.2, 0.2]);
            assert_eq!(numbers("fpr95_low")[0], 0.5);
            assert!(numbers("fpr95_low")[1].is_nan() && numbers("behind_best")[0].is_nan());
        }
        assert!(markdown(&rows).contains("1.000 (0.500 to 0.312)"));
    }
}
