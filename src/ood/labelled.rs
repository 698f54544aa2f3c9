//! A table with a label column as in- and out-of-distribution sets.

use super::{Entry, RowError, Scored, Statistic, method, rows};
use crate::{
    config::Method,
    data::did_you_mean,
    eval::{bootstrap::Bootstrap, dual::Pairs},
    report::{Columns, Row},
};
use clap::ValueEnum;
use thiserror::Error;

/// How a table is to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The column that says which side a row is on.
    pub label: String,
    /// What it says of in-distribution rows; the usual words where not given.
    pub inside: Option<String>,
    /// The scores; all that there are where empty.
    pub scores: Vec<String>,
    /// Those that are higher for OOD rows.
    pub negated: Vec<String>,
    /// Leave out rows with a score that is no number, and count them.
    pub drop_missing: bool,
}

/// Words for in-distribution rows.
const INSIDE: [&str; 3] = ["in", "id", "inlier"];
/// Words for OOD rows.
const OUTSIDE: [&str; 3] = ["out", "ood", "outlier"];
/// The column of labels in our own files; elsewhere a 1 may as well mean OOD.
const LABEL: &str = "label";
/// Columns that are no scores.
const KEYS: [&str; 4] = ["run", "dataset", "index", "file"];
/// What the columns of scores in our own files begin with.
const PREFIX: &str = "score_";

/// A table that is no table of labelled scores.
#[derive(Debug, Error)]
pub enum LabelError {
    /// A column that is not there.
    #[error("there is no column `{name}`; {hint}the columns are {columns}")]
    Column {
        /// Its name.
        name: String,
        /// One that may be meant.
        hint: String,
        /// All columns.
        columns: String,
    },
    /// A row without a label.
    #[error("row {row}: the {column} `{value}` is no label; leave such rows out of the file")]
    Unlabelled {
        /// The row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// What is there.
        value: String,
    },
    /// A label that says nothing.
    #[error(
        "row {row}: the {column} `{value}` is neither in nor out; say with --inside which value is in-distribution"
    )]
    Label {
        /// The row, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// What it says.
        value: String,
    },
    /// A side without rows.
    #[error("no row{of} is {what}; both sides need at least one")]
    Side {
        /// Which rows: all, or those of a run.
        of: String,
        /// The side.
        what: &'static str,
    },
    /// No column of numbers.
    #[error("no column holds numbers besides the label; name the scores with --score")]
    NoScores,
    /// A score that is no number.
    #[error(
        "row {row}: `{column}` is `{value}`, no number ({count} such rows in all); leave them out with --drop-missing"
    )]
    Missing {
        /// The first such row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// What is there.
        value: String,
        /// How many.
        count: usize,
    },
    /// The label among the scores.
    #[error("`{0}` is the label; it is no score")]
    LabelAsScore(String),
    /// A score that is negated, but not evaluated.
    #[error("`{0}` is to be negated but is not among the scores")]
    NotEvaluated(String),
    /// A score that ranks nothing.
    #[error("`{name}` is the same in all rows{of}: it ranks nothing")]
    Constant {
        /// The score.
        name: String,
        /// The run, if there are runs.
        of: String,
    },
    /// A row of the result.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// What a table came to.
#[derive(Clone, Debug)]
pub struct Labelled {
    sets: Vec<Set>,
    /// Rows left out, where that was asked for.
    pub dropped: usize,
    /// Scores that are left out because they are the same of all images of a run, with the words for the run.
    pub constant: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Set {
    /// What the table says of the run; empty where it says nothing.
    run: String,
    name: String,
    inside: bool,
    scores: Vec<(String, Vec<f64>)>,
}

impl Labelled {
    /// Read a table.
    ///
    /// # Errors
    /// Columns that are not there, labels that say nothing, scores that are no numbers or all the same.
    pub fn new(table: &Columns, reading: &Reading) -> Result<Self, LabelError> {
        let column = |name: &str| {
            let names: Vec<&str> = table.names.iter().map(String::as_str).collect();
            table.get(name).ok_or_else(|| LabelError::Column {
                name: name.to_owned(),
                hint: did_you_mean(name, &names),
                columns: names.join(", "),
            })
        };
        let labels = column(&reading.label)?;
        let names = match reading.scores.as_slice() {
            [] => numeric(table, &reading.label),
            asked => asked.to_vec(),
        };
        if names.is_empty() {
            return Err(LabelError::NoScores);
        }
        if names.contains(&reading.label) {
            return Err(LabelError::LabelAsScore(reading.label.clone()));
        }
        if let Some(name) = reading.negated.iter().find(|name| !names.contains(name)) {
            column(name)?;
            return Err(LabelError::NotEvaluated(name.clone()));
        }
        let texts: Vec<&[String]> =
            names.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
        let numbers = |(name, texts): (&String, &&[String])| -> Vec<f64> {
            let sign = if reading.negated.contains(name) { -1.0 } else { 1.0 };
            texts.iter().map(|text| text.parse::<f64>().map_or(f64::NAN, |v| sign * v)).collect()
        };
        let scores: Vec<Vec<f64>> = names.iter().zip(&texts).map(numbers).collect();
        let runs = table.get("run");
        let run_of = |row: usize| runs.map_or("", |runs| &runs[row]);
        // A column that is empty in all rows of a run, but not of all runs, is one that it was not asked for.
        let lacks = |run: &str, place: usize| {
            let empty = |own: bool| {
                let mut rows = (0..table.rows()).filter(|&row| (run_of(row) == run) == own);
                rows.all(|row| texts[place][row].is_empty())
            };
            empty(true) && !empty(false)
        };
        let mut asked: Vec<(&str, Vec<usize>)> = Vec::new();
        for row in 0..table.rows() {
            let run = run_of(row);
            if asked.iter().all(|(known, _)| *known != run) {
                asked.push((run, (0..names.len()).filter(|&place| !lacks(run, place)).collect()));
            }
        }
        // The places of the scores that a row has.
        let places = |row: usize| -> &[usize] {
            let own = asked.iter().find(|(run, _)| *run == run_of(row));
            own.map_or(&[], |(_, places)| places)
        };
        let missing: Vec<(usize, usize)> = (0..table.rows())
            .filter_map(|row| {
                Some((row, *places(row).iter().find(|&&place| scores[place][row].is_nan())?))
            })
            .collect();
        if let (Some(&(row, place)), false) = (missing.first(), reading.drop_missing) {
            let (column, value) = (names[place].clone(), texts[place][row].clone());
            return Err(LabelError::Missing { row: row + 1, column, value, count: missing.len() });
        }
        let mut sets: Vec<Set> = Vec::new();
        let is_whole = |row: &usize| missing.binary_search_by_key(row, |(row, _)| *row).is_err();
        for row in (0..table.rows()).filter(is_whole) {
            let inside = side(&labels[row], reading).ok_or_else(|| {
                let (row, column, value) = (row + 1, reading.label.clone(), labels[row].clone());
                match reading.inside {
                    Some(_) => LabelError::Unlabelled { row, column, value },
                    None => LabelError::Label { row, column, value },
                }
            })?;
            let unnamed = if inside { "in" } else { "out" };
            let name = table.get("dataset").map_or(unnamed, |names| &names[row]);
            let run = run_of(row);
            let is_it = |s: &Set| s.inside == inside && s.name == name && s.run == run;
            let place = sets.iter().position(is_it);
            let place = place.unwrap_or_else(|| {
                let scores = places(row).iter().map(|&place| (names[place].clone(), Vec::new()));
                let scores = scores.collect();
                let [run, name] = [run, name].map(str::to_owned);
                sets.push(Set { run, name, inside, scores });
                sets.len() - 1
            });
            for ((_, values), &place) in sets[place].scores.iter_mut().zip(places(row)) {
                values.push(scores[place][row]);
            }
        }
        let of = |run: &str| match run {
            "" => String::new(),
            run => format!(" of run `{run}`"),
        };
        for (inside, what) in [(true, "in-distribution"), (false, "out-of-distribution")] {
            for Set { run, .. } in &sets {
                if !sets.iter().any(|set| set.inside == inside && set.run == *run) {
                    return Err(LabelError::Side { of: of(run), what });
                }
            }
        }
        // A score that is the same of all images of a run ranks none of them.
        let mut constant = Vec::new();
        for name in &names {
            for run in asked.iter().map(|(run, _)| *run) {
                let own = sets.iter_mut().filter(|set| set.run == run);
                let mut scores: Vec<_> = own.map(|set| &mut set.scores).collect();
                let values = scores.iter().flat_map(|scores| scores.iter());
                let mut values = values.filter(|(own, _)| own == name).flat_map(|(_, v)| v);
                let Some(first) = values.next() else { continue };
                if values.all(|value| value == first) {
                    scores.iter_mut().for_each(|scores| scores.retain(|(own, _)| own != name));
                    constant.push((name.clone(), of(run)));
                }
            }
        }
        if let Some(Set { run, .. }) = sets.iter().find(|set| set.scores.is_empty())
            && let Some((name, of)) = constant.iter().find(|(_, own)| *own == of(run))
        {
            return Err(LabelError::Constant { name: name.clone(), of: of.clone() });
        }
        Ok(Self { sets, dropped: missing.len(), constant })
    }

    /// One row a pair of sets of the same run and score; where there are likelihood and LID, also both together by two thresholds.
    ///
    /// # Errors
    /// Sides too small to be split in halves.
    pub fn rows(&self, bootstrap: &Bootstrap) -> Result<Vec<Row>, RowError> {
        let mut all = Vec::new();
        for (inside, outside) in self.against() {
            let outside: Vec<Scored> = outside.into_iter().map(Set::entries).collect();
            all.extend(rows(&inside.entries(), &outside, bootstrap)?);
        }
        Ok(all)
    }

    /// Every in-distribution set with the OOD sets of its run.
    fn against(&self) -> impl Iterator<Item = (&Set, Vec<&Set>)> {
        self.sets.iter().filter(|set| set.inside).map(|set| {
            let is_other = |other: &&Set| !other.inside && other.run == set.run;
            (set, self.sets.iter().filter(is_other).collect())
        })
    }

    /// Pairs of sets of the same run, the in-distribution one first, each with its scores, behind the run's name: for figures.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, [NamedScores<'_>; 2])> {
        self.against().flat_map(|(inside, outside)| {
            let pair = move |outside| (&*inside.run, [inside, outside].map(Set::named));
            outside.into_iter().map(pair)
        })
    }

    /// Likelihood and LID of each of the [`pairs`](Self::pairs), where the table has both among the scores.
    pub fn dual_pairs(&self) -> impl Iterator<Item = Option<[Pairs<'_>; 2]>> {
        self.against().flat_map(|(inside, outside)| {
            outside.into_iter().map(move |outside| Some([inside.pairs()?, outside.pairs()?]))
        })
    }

    /// The runs that the table names, in its order; one without a name where it names none.
    pub fn runs(&self) -> Vec<&str> {
        let mut runs: Vec<&str> = Vec::new();
        for Set { run, .. } in &self.sets {
            if !runs.contains(&run.as_str()) {
                runs.push(run);
            }
        }
        runs
    }

    /// Likelihood and LID of every set of a run that has both among its scores, for figures.
    pub fn likelihood_and_lid(&self, run: &str) -> Vec<(&str, Pairs<'_>)> {
        self.of(run).filter_map(|set| Some((set.name.as_str(), set.pairs()?))).collect()
    }

    /// The sets of a run with their scores, for figures.
    pub fn sets(&self, run: &str) -> Vec<NamedScores<'_>> {
        self.of(run).map(Set::named).collect()
    }

    fn of(&self, run: &str) -> impl Iterator<Item = &Set> {
        self.sets.iter().filter(move |set| set.run == run)
    }
}

/// A score as tables call it, one value a row.
pub type NamedScore<'a> = (&'a str, &'a [f64]);

/// A set by its name, with its scores.
pub type NamedScores<'a> = (&'a str, Vec<NamedScore<'a>>);

impl Set {
    /// Likelihood and LID, where both are there.
    fn pairs(&self) -> Option<Pairs<'_>> {
        let get = |names: [&str; 2]| {
            self.scores.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, v)| v)
        };
        let likelihood = get([Statistic::LogLikelihood.name(), "score_likelihood"])?;
        Some(Pairs { likelihood, lid: get([Statistic::Lid.name(), "score_lid"])? })
    }

    fn named(&self) -> NamedScores<'_> {
        let scores = self.scores.iter().map(|(name, values)| (self.title(name), &**values));
        (&self.name, scores.collect())
    }

    /// What a score is called: a method of ours as in the tables of an experiment.
    fn title<'a>(&self, name: &'a str) -> &'a str {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        let taken = self.scores.iter().any(|(other, _)| other == short);
        let method = (short != name).then(|| Method::from_str(short, false).ok()).flatten();
        let title = method.and_then(method::spec).map(|spec| spec.title);
        title.unwrap_or(if taken { name } else { short })
    }

    fn entries(&self) -> Scored<'_> {
        let (name, scores) = self.named();
        let mut entries: Vec<Entry> =
            scores.into_iter().map(|(title, values)| Entry::Score(title, values)).collect();
        entries.extend(self.pairs().map(Entry::Dual));
        Scored { name, run: &self.run, entries }
    }
}

fn side(label: &str, reading: &Reading) -> Option<bool> {
    if let Some(inside) = &reading.inside {
        // A row without a label is on no side.
        let missing = ["", "nan", "null"].iter().any(|none| label.eq_ignore_ascii_case(none));
        return (!missing).then_some(label == inside);
    }
    let label = label.to_ascii_lowercase();
    let plain = reading.label == LABEL;
    match label.as_str() {
        "1" | "true" if plain => Some(true),
        "0" | "false" if plain => Some(false),
        word if INSIDE.contains(&word) => Some(true),
        word if OUTSIDE.contains(&word) => Some(false),
        _ => None,
    }
}

/// Columns of numbers: the scores of our own files where there are such, else all but the keys.
fn numeric(table: &Columns, label: &str) -> Vec<String> {
    let is_number = |values: &[String]| values.iter().any(|v| v.parse::<f64>().is_ok());
    let mut names: Vec<String> = table
        .names
        .iter()
        .zip(&table.values)
        .filter(|(name, values)| {
            // A score of ours without a single number is to be complained of, not left out.
            let is_score = is_number(values) || name.starts_with(PREFIX);
            *name != label && !KEYS.contains(&name.as_str()) && is_score
        })
        .map(|(name, _)| name.clone())
        .collect();
    if names.iter().any(|name| name.starts_with(PREFIX)) {
        names.retain(|name| name.starts_with(PREFIX));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Columns {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        std::fs::write(&path, text).unwrap();
        Columns::read(&path).unwrap()
    }

    fn reading() -> Reading {
        Reading {
            label: "label".into(),
            inside: None,
            scores: Vec::new(),
            negated: Vec::new(),
            drop_missing: false,
        }
    }

    const TEXT: &str = "dataset,label,index,msp,energy\n\
        a,in,0,0.9,-5\na,in,1,0.8,-6\nb,out,0,0.1,-1\nb,out,1,0.85,-2\nc,out,0,0.2,-3\n";

    #[test]
    fn every_pair_and_score_is_a_row() {
        let reading = Reading { negated: vec!["energy".into()], ..reading() };
        let labelled = Labelled::new(&table(TEXT), &reading).unwrap();
        let bootstrap = Bootstrap { resamples: 10, ..Bootstrap::default() };
        let rows = labelled.rows(&bootstrap).unwrap();
        let found: Vec<_> =
            rows.iter().map(|r| (r.outside.as_str(), r.method.as_str(), r.auroc.value)).collect();
        // Of the 4 pairs of a and b, msp has one the wrong way round.
        let expected =
            [("b", "msp", 0.75), ("b", "energy", 1.0), ("c", "msp", 1.0), ("c", "energy", 1.0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn runs_are_judged_apart() {
        let text = "run,dataset,label,s\nx,a,in,1\nx,b,out,0\ny,a,out,1\ny,b,in,0\n";
        let labelled = Labelled::new(&table(text), &reading()).unwrap();
        let rows = labelled.rows(&Bootstrap::default()).unwrap();
        let found: Vec<_> =
            rows.iter().map(|r| (r.run.as_str(), r.inside.as_str(), r.auroc.value)).collect();
        assert_eq!(found, [("x", "a", 1.0), ("y", "b", 0.0)]);
        let names: Vec<_> =
            labelled.pairs().map(|(run, pair)| (run, pair.map(|(name, _)| name))).collect();
        assert_eq!(names, [("x", ["a", "b"]), ("y", ["b", "a"])]);
        assert_eq!(labelled.runs(), ["x", "y"]);
        assert_eq!(
            labelled.sets("y"),
            [("a", vec![("s", [1.0].as_slice())]), ("b", vec![("s", [0.0].as_slice())])]
        );
    }

    #[test]
    fn what_a_run_was_not_asked_for_is_none_of_its_scores() {
        let text =
            "run,dataset,label,s,t\nx,a,in,1,\nx,b,out,0,\ny,a,in,,4\ny,b,out,2,3\ny,b,out,5,3\n";
        let message = Labelled::new(&table(text), &reading()).unwrap_err().to_string();
        assert!(message.contains("row 3: `s` is ``, no number (1 such"), "{message}");
        let text = text.replace("in,,4", "in,7,4");
        let labelled = Labelled::new(&table(&text), &reading()).unwrap();
        let rows = labelled.rows(&Bootstrap::default()).unwrap();
        let found: Vec<_> = rows.iter().map(|r| (r.run.as_str(), r.method.as_str())).collect();
        assert_eq!(found, [("x", "s"), ("y", "s"), ("y", "t")]);
    }

    #[test]
    fn likelihood_and_lid_are_taken_together() {
        let text = "label,log_likelihood,lid\nin,1,5\nin,2,6\nout,3,1\nout,4,2\n";
        let rows =
            Labelled::new(&table(text), &reading()).unwrap().rows(&Bootstrap::default()).unwrap();
        let methods: Vec<_> = rows.iter().map(|r| r.method.as_str()).collect();
        assert_eq!(methods, ["log_likelihood", "lid", "dual (oracle)", "dual (cross-fitted)"]);
        assert_eq!(
            [rows[0].auroc.value, rows[1].auroc.value, rows[2].auroc.value],
            [0.0, 1.0, 1.0]
        );
    }

    #[test]
    fn pairs_of_sets_have_their_likelihood_and_lid() {
        let text = "dataset,label,log_likelihood,lid\na,in,1,5\nb,out,3,1\nc,out,4,2\n";
        let labelled = Labelled::new(&table(text), &reading()).unwrap();
        let lids: Vec<[f64; 2]> =
            labelled.dual_pairs().map(|pair| pair.unwrap().map(|p| p.lid[0])).collect();
        assert_eq!(lids, [[5.0, 1.0], [5.0, 2.0]]);
        assert_eq!(labelled.pairs().count(), 2);
        let reading = Reading { scores: vec!["lid".into()], ..reading() };
        let labelled = Labelled::new(&table(text), &reading).unwrap();
        assert!(labelled.dual_pairs().all(|pair| pair.is_none()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str, reading: &Reading| {
            Labelled::new(&table(text), reading).unwrap_err().to_string()
        };
        let with = |label: &str| Reading { label: label.into(), ..reading() };
        assert!(refused(TEXT, &with("labels")).contains("did you mean `label`?"));
        assert!(refused("label,s\nyes,1\n", &reading()).contains("row 1: the label `yes`"));
        assert!(refused("label,s\nin,1\n", &reading()).contains("no row is out-of-distribution"));
        assert!(refused("label,s\nin,1\nout,1\n", &reading()).contains("`s` is the same"));
        assert!(refused("label,s\nin,a\nout,b\n", &reading()).contains("no column holds numbers"));
        let missing = "label,s\nin,1\nin,NaN\nout,\nout,3\n";
        let message = refused(missing, &reading());
        assert!(
            message.contains("row 2: `s` is `NaN`") && message.contains("2 such rows"),
            "{message}"
        );
        let dropped = Reading { drop_missing: true, ..reading() };
        assert_eq!(Labelled::new(&table(missing), &dropped).unwrap().dropped, 2);
        let score = |name: &str| Reading { scores: vec![name.into()], ..reading() };
        assert!(refused(TEXT, &score("label")).contains("is the label"));
        let negated = Reading { negated: vec!["energy".into()], ..score("msp") };
        assert!(refused(TEXT, &negated).contains("`energy` is to be negated"));
        // In a column of another name, 1 may mean either.
        let is_ood = Reading { label: "is_ood".into(), ..reading() };
        assert!(refused("is_ood,s\n1,1\n0,2\n", &is_ood).contains("--inside"));
        assert!(Labelled::new(&table("label,s\n1,1\n0,2\n"), &reading()).is_ok());
        let yes = Reading { inside: Some("yes".into()), ..reading() };
        assert!(refused("label,s\nyes,1\n,2\n", &yes).contains("row 2: the label ``"));
        let empty = "label,score_a,score_b\nin,1,\nout,2,\n";
        assert!(refused(empty, &reading()).contains("row 1: `score_b` is ``, no number (2 such"));
        let unknown = "label,s\nyes,1\nno,2\nNaN,3\n";
        assert!(refused(unknown, &yes).contains("row 3: the label `NaN` is no label"));
        let by_run = "run,label,s\nx,in,1\nx,out,1\ny,in,2\ny,out,3\n";
        assert!(refused(by_run, &reading()).contains("`s` is the same in all rows of run `x`"));
        // Of the run that has no other score, not of the first.
        let left = "run,label,s,t\nx,in,1,1\nx,out,1,2\ny,in,,3\ny,out,,3\n";
        assert!(refused(left, &reading()).contains("`t` is the same in all rows of run `y`"));
        // Beside another score it is left out, of that run alone.
        let beside = "run,label,s,t\nx,in,1,1\nx,out,1,2\ny,in,2,1\ny,out,3,2\n";
        let labelled = Labelled::new(&table(beside), &reading()).unwrap();
        assert_eq!(labelled.constant, [("s".to_owned(), " of run `x`".to_owned())]);
        let rows = labelled.rows(&Bootstrap::default()).unwrap();
        let found: Vec<_> = rows.iter().map(|r| (r.run.as_str(), r.method.as_str())).collect();
        assert_eq!(found, [("x", "t"), ("y", "s"), ("y", "t")]);
        assert!(Labelled::new(&table("label,s\nyes,1\nno,2\n"), &yes).is_ok());
    }
}
