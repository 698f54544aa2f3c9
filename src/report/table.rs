//! The results as a table: for the terminal, for Markdown, for LaTeX.

use super::{matrix_latex, matrix_markdown};
use crate::{
    eval::{CONVENTION, Interval, Metrics},
    run::{RunError, write_atomic},
};
use serde::Serialize;
use std::path::Path;

/// One method on one pair of sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// SPEC of the in-distribution set.
    pub inside: String,
    /// SPEC of the OOD set.
    pub outside: String,
    /// Name of the method.
    pub method: String,
    /// AUROC with its interval.
    pub auroc: Interval,
    /// The other metrics; only single scores have them.
    pub metrics: Option<Metrics>,
    /// Its AUROC less that of the best single score of the pair, on the same samples; only single scores have it.
    pub behind_best: Option<Interval>,
}

/// Cells of one line.
type Cells = [String; 9];

/// The first line; all rows have intervals of one coverage.
fn header(rows: &[Row]) -> Cells {
    let coverage = rows.first().map_or(String::new(), |row| row.auroc.coverage());
    let interval = format!("{coverage} interval");
    ["in", "out", "method", "AUROC", &interval, "AUPR in", "AUPR out", "FPR95", "n"].map(Into::into)
}

fn cells(row: &Row) -> Cells {
    let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.3}"));
    [
        row.inside.clone(),
        row.outside.clone(),
        row.method.clone(),
        number(Some(row.auroc.value)),
        format!("{:.3} to {:.3}", row.auroc.low, row.auroc.high),
        number(row.metrics.map(|m| m.aupr_in)),
        number(row.metrics.map(|m| m.aupr_out)),
        number(row.metrics.map(|m| m.fpr95)),
        row.auroc.n.to_string(),
    ]
}

/// Header and rows.
fn lines(rows: &[Row]) -> Vec<Cells> {
    std::iter::once(header(rows)).chain(rows.iter().map(cells)).collect()
}

/// Columns aligned by spaces, and the label convention.
pub fn text(rows: &[Row]) -> String {
    aligned(&lines(rows)) + &format!("({CONVENTION})\n")
}

/// Lines of cells as columns aligned by spaces.
pub(super) fn aligned<L: AsRef<[String]>>(lines: &[L]) -> String {
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
        let escape =
            |cell: &String| cell.replace('%', "\\%").replace('_', "\\_").replace('&', "\\&");
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
    markdown_table(&lines(rows)) + &format!("\n{CONVENTION}\n")
}

/// A LaTeX table (booktabs), with the label convention as a comment.
pub fn latex(rows: &[Row]) -> String {
    latex_table(CONVENTION, "lllrrrrrr", &lines(rows))
}

/// Write `table.md`, `table.tex`, `matrix.md` and `matrix.tex` into a folder.
///
/// # Errors
/// Files that cannot be written.
pub fn write_tables(folder: &Path, rows: &[Row]) -> Result<(), RunError> {
    for (name, text) in [
        ("table.md", markdown(rows)),
        ("table.tex", latex(rows)),
        ("matrix.md", matrix_markdown(rows)),
        ("matrix.tex", matrix_latex(rows)),
    ] {
        write_atomic(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let auroc = Interval { value: 0.25, low: 0.2, high: 0.3125, level: 0.9, n: 10 };
        let metrics =
            Metrics { auroc: 0.25, aupr_in: 0.5, aupr_out: 0.75, fpr95: 1.0, n_in: 5, n_out: 5 };
        let row = |method: &str, metrics| Row {
            inside: "fashion-mnist:test".into(),
            outside: "my_set".into(),
            method: method.into(),
            auroc,
            metrics,
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
}
