//! `runs show`.

use super::{
    super::{CliError, Common, print, print_json},
    list::ago,
    print_table, shown,
};
use crate::{
    config::Environment,
    report::extent,
    run::RunDir,
    track::{History, Settings, Summary, number, sparkline},
};
use clap::Args;
use std::path::Path;

/// Bars of a curve.
const WIDTH: usize = 32;

#[derive(Debug, Args)]
pub struct Show {
    /// The run: a name under MODEL_DIR or a path
    run: String,
}

impl Show {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let run = RunDir::open(&environment.model_dir, &self.run)?;
        let (settings, history) = (Settings::read(&run)?, History::read(&run)?);
        let summary = Summary::read(&run, &settings, &history);
        if common.json {
            let series = |name: &&str| {
                let points: Vec<(u64, f64)> =
                    history.series(name).iter().map(|p| (p.epoch, p.value)).collect();
                ((*name).to_owned(), points)
            };
            let measures: std::collections::BTreeMap<String, _> =
                history.names().iter().map(series).collect();
            return print_json(&serde_json::json!({
                "run": summary, "settings": settings.0, "measures": measures,
            }));
        }
        print(format_args!("{}  ({})", summary.name, run.root().display()))?;
        let changed = summary.age.map_or(String::new(), |age| format!(", changed {}", ago(age)));
        print(format_args!("{}: {}, {}{changed}", summary.of, summary.state, summary.result()))?;
        if history.damaged > 0 {
            eprintln!("warning: {} lines of its log are damaged", history.damaged);
        }
        if !history.is_empty() {
            print("")?;
            print_table(&measures(&history))?;
        }
        print("")?;
        let setting = |(key, value): (&String, _)| vec![key.clone(), shown(Some(value))];
        print_table(&settings.0.iter().map(setting).collect::<Vec<_>>())?;
        print("")?;
        print_table(&files(run.root()))
    }
}

/// Each measure: its first, lowest, highest and last value and its curve.
fn measures(history: &History) -> Vec<Vec<String>> {
    let header = ["measure", "first", "lowest", "highest", "last", "curve"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for name in history.names().into_iter().filter(|name| *name != "step") {
        let values: Vec<f64> = history.series(name).iter().map(|p| p.value).collect();
        let [first, last] = [values.first(), values.last()].map(|v| v.copied().unwrap_or(f64::NAN));
        let (low, high) = extent(values.iter().copied());
        let mut line = vec![name.to_owned()];
        line.extend([first, low, high, last].map(number));
        line.push(sparkline(&values, WIDTH));
        lines.push(line);
    }
    lines
}

/// What lies in the folder, with sizes; folders with what is in them.
fn files(root: &Path) -> Vec<Vec<String>> {
    let mut entries: Vec<_> = std::fs::read_dir(root).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let visible = entries.iter().filter(|e| !e.file_name().to_string_lossy().starts_with('.'));
    let line = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (count, bytes) = size(&entry.path());
        let name = if entry.path().is_dir() { format!("{name}/") } else { name };
        let count = if name.ends_with('/') { format!("{count} files") } else { String::new() };
        vec![name, format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)), count]
    };
    visible.map(line).collect()
}

/// Files and bytes.
fn size(path: &Path) -> (usize, u64) {
    if !path.is_dir() {
        return (1, std::fs::metadata(path).map_or(0, |m| m.len()));
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|e| size(&e.path())).fold((0, 0), |(n, b), (m, c)| (n + m, b + c))
}
