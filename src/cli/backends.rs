//! `backends`.

use super::{CliError, Common, print_json};
use crate::backend::BackendName;

pub fn run(common: &Common) -> Result<(), CliError> {
    let rows: Vec<(&str, bool)> = BackendName::ALL.map(|b| (b.name(), b.is_built())).to_vec();
    if common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, built)| serde_json::json!({ "name": name, "built": built }))
            .collect();
        return print_json(&rows);
    }
    for (name, built) in rows {
        let state = match built {
            true => "in this build".to_owned(),
            false => format!("not in this build: cargo build --release --features {name}"),
        };
        println!("{name:8} {state}");
    }
    Ok(())
}
