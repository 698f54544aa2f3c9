//! `eval`.

use super::{CliError, Common, print, print_json};
use crate::{
    config::{Loaded, OodConfig},
    eval::{CONVENTION, bootstrap::Bootstrap},
    ood::{DUAL_ORACLE, LabelError, Labelled, NamedScore, Reading},
    report::{self, Columns, Curve, Figure, Group, Row},
    run::write_atomic,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Evaluate a file of scores.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atypical eval runs/ood-fmnist                                an experiment's own scores.parquet again
  atypical eval theirs.csv --label is_ood --inside 0           anyone's, with a column that tells the sides apart
  atypical eval theirs.csv --score msp,energy --negate energy  these scores, the second higher for OOD rows
  atypical eval scores.csv --out table --resamples 10000       table.* and matrix.* (md, tex; csv, parquet), metrics.json, figures

A row is a sample. `label` says in (id, inlier, 1, true) or out (ood, outlier, 0, false); of another column's 1 and 0, --inside says which. A column `dataset`, if there is one, tells
several sets apart: every in-distribution set is compared with every OOD set. Where there are columns `log_likelihood` and
`lid`, both are also taken together by two thresholds. Where there is a column `run`, sets of different runs are not mixed. Scores of batches (batch_typicality) are in no file, and
what they are measured by, the mean log-likelihood of training images, is not there either.")]
pub struct Eval {
    /// The file: .parquet, .csv with a header, or .jsonl; or the folder of an experiment
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
    /// Resamples behind every interval [default: 1000; of an experiment, its own, as is the seed]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    resamples: Option<u32>,
    /// Coverage of the intervals, in (0, 1) [default: 0.95; of an experiment, its own]
    #[arg(long, value_parser = super::share, allow_negative_numbers = true)]
    level: Option<f64>,
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
        // An experiment stands for its file of scores.
        let inside = self.file.join("scores.parquet");
        let file = if inside.exists() { &inside } else { &self.file };
        if !file.is_file() {
            let hint =
                "it is no file of scores, and no folder of an experiment with scores.parquet in it";
            return Err(CliError::Other(format!("{}: {hint}", file.display())));
        }
        let labels = |problem: LabelError| CliError::Labels {
            path: file.display().to_string(),
            problem: Box::new(problem),
        };
        let labelled = Labelled::new(&Columns::read(file)?, &reading).map_err(labels)?;
        let bootstrap = self.bootstrap(common)?;
        let rows = labelled.rows(&bootstrap).map_err(|e| labels(e.into()))?;
        let result = serde_json::json!({
            "convention": CONVENTION, "rows": rows, "dropped": labelled.dropped,
            "constant": labelled.constant.iter().map(|(name, of)| format!("{name}{of}")).collect::<Vec<_>>(),
            "resamples": bootstrap.resamples, "level": bootstrap.level, "seed": bootstrap.seed,
        });
        if let Some(folder) = &self.out {
            write(folder, &rows, figures(&labelled, &bootstrap), &result)?;
        }
        if common.json {
            return print_json(&result);
        }
        for (name, of) in &labelled.constant {
            eprintln!(
                "warning: `{name}` is the same in all rows{of}: it ranks nothing and is left out"
            );
        }
        if labelled.dropped > 0 {
            eprintln!(
                "warning: {} rows with a score that is no number are left out",
                labelled.dropped
            );
        }
        print(report::text(&rows).trim_end())
    }

    /// What intervals are made by: as the experiment was, where one is given, so that its numbers come again.
    fn bootstrap(&self, common: &Common) -> Result<Bootstrap, CliError> {
        let config = self.file.join("config.yaml");
        let own = match config.exists() {
            true => {
                let OodConfig { bootstrap, seed, .. } = Loaded::<OodConfig>::file(&config)?.config;
                Bootstrap { resamples: bootstrap.resamples, level: bootstrap.level, seed }
            }
            false => Bootstrap::default(),
        };
        Ok(Bootstrap {
            resamples: self.resamples.map_or(own.resamples, |resamples| resamples as usize),
            level: self.level.unwrap_or(own.level),
            seed: common.seed.unwrap_or(own.seed),
        })
    }
}

fn write(
    folder: &Path,
    rows: &[Row],
    figures: Vec<Figure>,
    result: &serde_json::Value,
) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(result).unwrap_or_default();
    write_atomic(&folder.join("metrics.json"), json.as_bytes())?;
    report::write_tables(folder, rows)?;
    for figure in figures {
        figure.write(&folder.join("figures"))?;
    }
    Ok(())
}

/// Of each run a histogram of every score, and the ROC curves of every pair.
fn figures(labelled: &Labelled, bootstrap: &Bootstrap) -> Vec<Figure> {
    let runs = labelled.runs();
    let of = |run: &str| if runs.len() > 1 { format!("{run}: ") } else { String::new() };
    let named = |run: &str, name: &str| match runs.len() {
        1 => name.to_owned(),
        _ => format!("{run}_{name}"),
    };
    let mut figures = Vec::new();
    for run in &runs {
        let sets = labelled.sets(run);
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in sets.iter().flat_map(|(_, scores)| scores) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        for name in names {
            let groups: Vec<Group> = sets
                .iter()
                .flat_map(|(set, scores)| scores.iter().map(move |score| (*set, score)))
                .filter(|(_, (own, _))| *own == name)
                .map(|(name, (_, values))| Group { name, values })
                .collect();
            let caption = format!("{}{name} of each row, by set.", of(run));
            figures.push(report::histogram(&named(run, name), name, caption, &groups));
        }
        let sets = labelled.likelihood_and_lid(run);
        if !sets.is_empty() {
            let points: Vec<(&str, &[f64], &[f64])> =
                sets.iter().map(|(set, p)| (*set, p.likelihood, p.lid)).collect();
            let caption = format!("{}likelihood and LID together, one dot a row.", of(run));
            figures.push(report::scatter(&named(run, "likelihood_lid"), caption, &points));
        }
    }
    let pairs = labelled.pairs().zip(labelled.dual_pairs());
    for ((run, [(inside, a), (outside, b)]), dual) in pairs {
        let curve = |((name, a), (_, b)): (&NamedScore, &NamedScore)| {
            Curve::new(name, a, b, bootstrap).ok()
        };
        let mut curves: Vec<Curve> = a.iter().zip(&b).filter_map(curve).collect();
        curves.extend(dual.and_then(|[a, b]| Curve::dual(DUAL_ORACLE, a, b).ok()));
        let caption = format!("{}ROC of {inside} against {outside}, AUROC in the legend.", of(run));
        let name = named(run, &format!("roc_{inside}_{outside}"));
        figures.push(report::roc(&name, caption, &curves));
    }
    figures
}
