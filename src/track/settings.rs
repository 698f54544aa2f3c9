//! Settings of runs, side by side.

use crate::{
    config::leaves,
    run::{RunDir, RunError},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A run's resolved settings by dotted key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(pub BTreeMap<String, serde_json::Value>);

impl Settings {
    /// Read a run's configuration, of whatever kind it is.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no YAML.
    pub fn read(run: &RunDir) -> Result<Self, RunError> {
        let path = run.config();
        let read = |source| RunError::Read { path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(read)?;
        let value: serde_json::Value = serde_saphyr::from_str(&text)
            .map_err(|e| read(std::io::Error::other(e.to_string())))?;
        let mut settings = BTreeMap::new();
        leaves(&value, &mut Vec::new(), &mut |path, value| {
            settings.insert(path.join("."), value.clone());
        });
        Ok(Self(settings))
    }

    /// A setting, where it is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }
}

/// A key on which runs do not agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The dotted key.
    pub key: String,
    /// What each run has, in their order; none where a run has no such key.
    pub values: Vec<Option<serde_json::Value>>,
}

/// The keys on which runs do not agree, by name. What a run is called is no setting.
pub fn differences(runs: &[Settings]) -> Vec<Difference> {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.0.keys()).collect();
    let of = |key: &String| Difference {
        key: key.clone(),
        values: runs.iter().map(|run| run.0.get(key).cloned()).collect(),
    };
    let apart = |difference: &Difference| {
        let values = &difference.values;
        values.iter().any(|value| *value != values[0])
    };
    let named =
        |key: &&String| runs.iter().any(|r| r.text("model.name").is_some()) && *key == "run";
    keys.into_iter().filter(|key| !named(key)).map(of).filter(apart).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        std::fs::write(run.config(), text).unwrap();
        Settings::read(&run).unwrap()
    }

    #[test]
    fn only_what_differs_is_said() {
        let a = settings("run: x\nmodel: {name: glow, levels: 3}\nhidden: [1, 2]\n");
        let b = settings("run: y\nmodel: {name: glow, bins: 8}\nhidden: [1, 3]\n");
        let found = differences(&[a, b]);
        let keys: Vec<&str> = found.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(keys, ["hidden", "model.bins", "model.levels"]);
        assert_eq!(
            found[0].values,
            [Some(serde_json::json!([1, 2])), Some(serde_json::json!([1, 3]))]
        );
        assert_eq!(found[2].values, [Some(3.into()), None]);
    }
}
