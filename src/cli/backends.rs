//! `backends`.

use super::{CliError, Common, print, print_json};
use crate::backend::BackendName;

pub fn run(common: &Common) -> Result<(), CliError> {
    let rows = BackendName::ALL.map(|b| (b.name(), b.is_built(), b.device_count()));
    if common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, built, devices)| {
                serde_json::json!({ "name": name, "built": built, "devices": devices })
            })
            .collect();
        return print_json(&serde_json::json!({ "backends": rows }));
    }
    for (name, built, devices) in rows {
        let state = match built {
            true if devices == 1 => "in this build, 1 device".to_owned(),
            true => format!("in this build, {devices} devices"),
            false => format!("not in this build: cargo build --release --features {name}"),
        };
        print(format_args!("{name:8} {state}"))?;
    }
    Ok(())
}
