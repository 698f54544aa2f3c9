//! `runs diff`.

use super::{
    super::{CliError, Common, print, print_json},
    print_table, shown,
};
use crate::{
    config::Environment,
    run::RunDir,
    track::{Settings, differences},
};
use clap::Args;

#[derive(Debug, Args)]
pub struct Diff {
    /// One run: a name under MODEL_DIR or a path
    one: String,
    /// The other
    other: String,
}

impl Diff {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        let names = [&self.one, &self.other];
        let mut settings = Vec::new();
        for name in names {
            settings.push(Settings::read(&RunDir::open(&environment.model_dir, name)?)?);
        }
        let differences = differences(&settings);
        if common.json {
            return print_json(&serde_json::json!({ "differences": differences }));
        }
        if differences.is_empty() {
            return print("no setting differs");
        }
        let mut lines = vec![vec!["setting".to_owned(), self.one.clone(), self.other.clone()]];
        lines.extend(differences.iter().map(|d| {
            let values = d.values.iter().map(|value| shown(value.as_ref()));
            std::iter::once(d.key.clone()).chain(values).collect()
        }));
        print_table(&lines)
    }
}
