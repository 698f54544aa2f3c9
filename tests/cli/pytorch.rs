//! Exported flows in PyTorch itself.

use super::{Bench, MOONS, texts};
use std::{ffi::OsString, io::Write, process::Command};

/// A Python that has what the script of an export needs, or why there is none: `PYTHON_WITH_TORCH`, else `python3`.
fn python() -> Result<OsString, String> {
    let python = std::env::var_os("PYTHON_WITH_TORCH").unwrap_or_else(|| "python3".into());
    let name = python.display().to_string();
    match Command::new(&python).args(["-c", "import torch, safetensors, numpy"]).output() {
        Ok(output) if output.status.success() => Ok(python),
        Ok(output) => {
            let said = texts(&output).1;
            Err(format!("{name} says: {}", said.lines().last().unwrap_or_default()))
        }
        Err(error) => Err(format!("{name} does not start ({error})")),
    }
}

#[test]
fn pytorch_agrees_with_exported_flows() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            let way = "PYTHON_WITH_TORCH may name a Python with torch, safetensors and numpy";
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "SKIPPED: pytorch_agrees_with_exported_flows, {why}; {way}");
            return;
        }
    };
    let bench = Bench::trained();
    bench.file(
        "glow.yaml",
        "data: {train: train.npz}
model: {name: glow, shape: [1, 8, 8], hidden: [4, 4, 4], repeats: [1, 1, 1]}
epochs: 1
batch_size: 8
",
    );
    bench.ok("train --config glow.yaml --quiet");
    bench.file("moons.yaml", MOONS);
    bench.ok("train --config moons.yaml --quiet");
    let script = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg("load_flow.py").args(arguments).current_dir(bench.path("train-torch"));
        command.output().unwrap()
    };
    for run in ["train", "glow", "moons"] {
        bench.ok(&format!("export --run {run} --out {run}-torch"));
        let output = script(&[bench.path(&format!("{run}-torch")).to_str().unwrap(), "--check"]);
        let (out, err) = texts(&output);
        assert!(output.status.success() && out.contains(" agrees with "), "{run}: {out}{err}");
    }

    // Densities of a file of images are those of `score`, and another density is no agreement.
    let score = "score --run train --data other.npz --method likelihood --set dequantize=false";
    bench.ok(&format!("{score} --out scores.csv"));
    let text = std::fs::read_to_string(bench.path("scores.csv")).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut columns = lines.next().unwrap().split(',');
    let column = columns.position(|name| name == "log_likelihood").unwrap();
    let ours: Vec<f64> =
        lines.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    let (out, err) = texts(&script(&[".", bench.path("other.npz").to_str().unwrap()]));
    let theirs: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((ours.len(), theirs.len()), (8, 8), "{err}");
    for (a, b) in ours.iter().zip(&theirs) {
        assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{a} here, {b} there");
    }
    let reference = bench.path("train-torch/reference.json");
    let text = std::fs::read_to_string(&reference).unwrap();
    let mut values: serde_json::Value = serde_json::from_str(&text).unwrap();
    values["log_prob"][0] = (values["log_prob"][0].as_f64().unwrap() * 1.01 + 0.1).into();
    std::fs::write(&reference, values.to_string()).unwrap();
    let output = script(&[".", "--check"]);
    assert_eq!(output.status.code(), Some(1), "{}", texts(&output).0);
}
