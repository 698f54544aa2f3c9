//! `eval`.

use super::{CliError, Common, print, print_json};
use crate::{
    eval::{CONVENTION, Roc, bootstrap::Bootstrap},
    ood::{LabelError, Labelled, Reading},
    report::{self, Columns, Figure, Group, Row},
    run::write_atomic,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Evaluate a file of scores.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical eval runs/ood-fmnist/scores.parquet                 an experiment's own scores again
  atypical eval theirs.csv --label is_ood --inside 0           anyone's, with a column that tells the sides apart
  atypical eval theirs.csv --score msp,energy --negate energy  these scores, the second higher for OOD rows
  atypical eval scores.csv --out table --resamples 10000       table.md, table.tex, matrix.*, metrics.json and figures

A row is a sample. `label` says in (id, inlier, 1, true) or out (ood, outlier, 0, false); of another column's 1 and 0, --inside says which. A column `dataset`, if there is one, tells
several sets apart: every in-distribution set is compared with every OOD set. Where there are columns `log_likelihood` and
`lid`, both are also taken together by two thresholds.")]
pub struct Eval {
    /// The file: .parquet, .csv with a header, or .jsonl
    file: PathBuf,
    /// Column that tells in- and out-of-distribution rows apart
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    label: String,
    /// What that column says of in-distribution rows [default: in, id or inlier; in a column `label` also 1 or true]
    #[arg(long, value_name = "VALUE")]
    inside: Option<String>,
    /// Scores to evaluate, separated by commas [default: the columns score_…, else all of numbers]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    score: Vec<String>,
    /// Scores that are higher for OOD rows, separated by commas
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    negate: Vec<String>,
    /// Leave out rows with a score that is no number, and say how many
    #[arg(long)]
    drop_missing: bool,
    /// Resamples behind every interval
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    resamples: u32,
    /// Folder to write tables, metrics and figures into
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Eval {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let reading = Reading {
            label: self.label.clone(),
            inside: self.inside.clone(),
            scores: self.score.clone(),
            negated: self.negate.clone(),
            drop_missing: self.drop_missing,
        };
        let labels = |problem: LabelError| CliError::Labels {
            path: self.file.display().to_string(),
            problem: Box::new(problem),
        };
        let labelled = Labelled::new(&Columns::read(&self.file)?, &reading).map_err(labels)?;
        let seed = common.seed.unwrap_or_default();
        let bootstrap =
            Bootstrap { resamples: self.resamples as usize, seed, ..Bootstrap::default() };
        let rows = labelled.rows(&bootstrap).map_err(|e| labels(e.into()))?;
        let result = serde_json::json!({
            "convention": CONVENTION, "rows": rows, "dropped": labelled.dropped,
            "resamples": self.resamples, "seed": seed,
        });
        if let Some(folder) = &self.out {
            write(folder, &rows, &labelled, &result)?;
        }
        if common.json {
            return print_json(&result);
        }
        if labelled.dropped > 0 {
            eprintln!(
                "warning: {} rows with a score that is no number are left out",
                labelled.dropped
            );
        }
        print(report::text(&rows).trim_end())
    }
}

fn write(
    folder: &Path,
    rows: &[Row],
    labelled: &Labelled,
    result: &serde_json::Value,
) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(result).unwrap_or_default();
    write_atomic(&folder.join("metrics.json"), json.as_bytes())?;
    report::write_tables(folder, rows)?;
    for figure in figures(labelled) {
        figure.write(&folder.join("figures"))?;
    }
    Ok(())
}

/// A histogram of every score, and the ROC curves of every pair.
fn figures(labelled: &Labelled) -> Vec<Figure> {
    let sets: Vec<_> = labelled.sets().collect();
    let names: Vec<&str> = sets[0].2.iter().map(|(name, _)| name.as_str()).collect();
    // A column may be named by what no file can.
    let file = |name: &str| name.replace(|c: char| !c.is_alphanumeric(), "_");
    let histogram = |(i, name): (usize, &&str)| {
        let groups: Vec<Group> =
            sets.iter().map(|(set, _, scores)| Group { name: set, values: &scores[i].1 }).collect();
        report::histogram(&file(name), name, format!("`{name}` of each row, by set."), &groups)
    };
    let mut figures: Vec<Figure> = names.iter().enumerate().map(histogram).collect();
    let of = |wanted| sets.iter().filter(move |(_, inside, _)| *inside == wanted);
    for (number, ((inside, _, a), (outside, _, b))) in
        of(true).flat_map(|a| of(false).map(move |b| (a, b))).enumerate()
    {
        let curves: Vec<(String, Vec<(f64, f64)>)> = a
            .iter()
            .zip(*b)
            .filter_map(|((name, a), (_, b))| {
                let roc = Roc::new(a, b).ok()?;
                Some((format!("{name} {:.3}", roc.auroc()), roc.points()))
            })
            .collect();
        let caption = format!("ROC of {inside} against {outside}, AUROC in the legend.");
        figures.push(report::roc(&format!("roc_{}", number + 1), caption, &curves));
    }
    figures
}
