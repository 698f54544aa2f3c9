//! `backends`.

use super::{CliError, Common, print, print_json};
use crate::{
    backend::{BackendName, quietly, speed},
    with_backend,
};

pub fn run(common: &Common) -> Result<(), CliError> {
    let rows = BackendName::ALL.map(|backend| {
        let devices = backend.device_count();
        // A driver that is there and does not work makes a panic of it.
        let speed = (devices > 0)
            .then(|| quietly(|| with_backend!(backend, 0, |B, device| speed::<B>(&device))))
            .flatten();
        (backend, devices, speed)
    });
    if common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(backend, devices, speed)| {
                serde_json::json!({
                    "name": backend.name(), "built": backend.is_built(), "devices": devices, "flops": speed,
                })
            })
            .collect();
        return print_json(&serde_json::json!({ "backends": rows }));
    }
    for (backend, devices, speed) in rows {
        let name = backend.name();
        let state = match (backend.is_built(), devices) {
            (false, _) => format!("not in this build: cargo build --release --features {name}"),
            (true, 0) => {
                "in this build, but this machine has no device for it: is its driver installed?"
                    .into()
            }
            (true, devices) => {
                let plural = if devices == 1 { "" } else { "s" };
                let speed = match speed {
                    Some(speed) => format!("{:.0} GFLOP/s in matrix products", speed / 1e9),
                    None => "matrix products fail on it".into(),
                };
                format!("in this build, {devices} device{plural}; {speed}")
            }
        };
        print(format_args!("{name:8} {state}"))?;
    }
    Ok(())
}
