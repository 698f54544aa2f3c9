//! Estimates of LID against known ones: the table and its figure.

use super::{Figure, band, figures::truth, table};
use crate::{
    eval::LidMetrics,
    lid::bench::{Score, Told},
};
use serde::{Serialize, Serializer};

/// One estimator on one manifold.
#[derive(Clone, Debug, Serialize)]
pub struct LidRow {
    /// Name of the manifold.
    pub manifold: &'static str,
    /// Dimension of its ambient space.
    pub dimension: usize,
    /// Name of the estimator.
    pub estimator: &'static str,
    /// What the estimator was told.
    #[serde(flatten)]
    pub told: Told,
    /// Time taken; the spectra of a manifold are on the account of the first estimator that reads them.
    pub seconds: f64,
    /// How well it did, or why it has no estimate.
    #[serde(flatten, serialize_with = "score")]
    pub score: Result<Score, String>,
}

fn score<S: Serializer>(score: &Result<Score, String>, s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Outcome<'a> {
        Score {
            #[serde(flatten)]
            metrics: &'a LidMetrics,
            components: &'a [(f64, f64)],
        },
        Problem {
            problem: &'a str,
        },
    }
    match score {
        Ok(Score { metrics, components }) => Outcome::Score { metrics, components },
        Err(problem) => Outcome::Problem { problem },
    }
    .serialize(s)
}

/// Columns aligned by spaces; the rows of estimators without an estimate say why.
pub fn lid_text(rows: &[LidRow]) -> String {
    let header = ["manifold", "D", "estimator", "told", "MAE", "bias", "concordance", "seconds"];
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let lines = rows.iter().map(|row| {
        let metrics = row.score.as_ref().ok().map(|score| score.metrics);
        vec![
            row.manifold.to_owned(),
            row.dimension.to_string(),
            row.estimator.to_owned(),
            match row.told {
                Told::K(k) => format!("k = {k}"),
                Told::R(r) => format!("r = {r:.2}"),
                Told::Nothing {} => String::new(),
            },
            number(metrics.map(|m| m.mae)),
            number(metrics.and_then(|m| m.relative_bias)),
            number(metrics.and_then(|m| m.concordance)),
            format!("{:.2}", row.seconds),
        ]
    });
    let lines: Vec<Vec<String>> =
        std::iter::once(header.map(String::from).to_vec()).chain(lines).collect();
    let mut text = table::aligned(&lines);
    for row in rows {
        if let Err(problem) = &row.score {
            text.push_str(&format!("{}, {}: {problem}\n", row.manifold, row.estimator));
        }
    }
    text
}

/// One estimator on a set of images.
#[derive(Clone, Copy, Debug)]
pub struct LidSummary<'a> {
    /// Its name.
    pub estimator: &'static str,
    /// Its scale, where it has one.
    pub scale: Option<f64>,
    /// One value an image, NaN where there is none.
    pub lid: &'a [f64],
    /// Root mean square of the standard errors, where it has any.
    pub standard_error: Option<f64>,
    /// Time taken, where anything was computed.
    pub seconds_per_image: Option<f64>,
}

/// The estimators of a set of images, one a line.
pub fn lid_summary(rows: &[LidSummary]) -> String {
    let header = ["estimator", "scale r", "mean", "10 %", "90 %", "standard error", "s/image"];
    let lines = rows.iter().map(|row| {
        let [low, mean, high] = band(row.lid.to_vec());
        let number =
            |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
        vec![
            row.estimator.to_owned(),
            number(row.scale, 3),
            number(Some(mean), 1),
            number(Some(low), 1),
            number(Some(high), 1),
            number(row.standard_error, 1),
            number(row.seconds_per_image, 3),
        ]
    });
    let lines: Vec<Vec<String>> =
        std::iter::once(header.map(String::from).to_vec()).chain(lines).collect();
    table::aligned(&lines)
}

/// Mean estimate of every component of every manifold against its true LID.
pub fn lid_truth(rows: &[LidRow]) -> Figure {
    let mut groups: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for row in rows {
        let points = row.score.iter().flat_map(|score| &score.components).copied();
        match groups.iter_mut().find(|(name, _)| *name == row.estimator) {
            Some((_, group)) => group.extend(points),
            None => groups.push((row.estimator, points.collect())),
        }
    }
    truth(
        "lid_bench",
        "Mean estimate against the true local intrinsic dimension, one dot a component of a manifold; on the dashed line an \
         estimator is right, below it reads too little."
            .into(),
        &groups,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_and_without_an_estimate_are_written() {
        let metrics = LidMetrics { mae: 0.25, relative_bias: Some(-0.5), concordance: None, n: 2 };
        let row = |score| LidRow {
            manifold: "lollipop",
            dimension: 2,
            estimator: "mle",
            told: Told::K(20),
            seconds: 0.1,
            score,
        };
        let rows = [
            row(Ok(Score { metrics, components: vec![(2.0, 1.9)] })),
            row(Err("no estimate at 3 points".into())),
        ];
        let text = lid_text(&rows);
        assert!(text.contains("0.250  -0.500  -"), "{text}");
        assert!(text.ends_with("lollipop, mle: no estimate at 3 points\n"), "{text}");
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!((&json[0]["mae"], &json[0]["k"]), (&0.25.into(), &20.into()));
        assert_eq!(json[1]["problem"], "no estimate at 3 points");
        assert!(lid_truth(&rows).svg.contains("mle"));
    }
}
