//! The program as a user runs it: small trainings, kills, interruptions, and everything that can be wrong with the input.

use npyz::WriterBuilder;
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[path = "cli/generated.rs"]
mod generated;
#[path = "cli/hub.rs"]
mod hub;
#[path = "cli/pytorch.rs"]
mod pytorch;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/slurm.rs"]
mod slurm;
#[path = "cli/sweeps.rs"]
mod sweeps;
#[path = "cli/wandb_agent.rs"]
mod wandb_agent;

/// A working directory of its own, with a tiny data set.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        // Blurred noise in 8x8 pixels: enough to train on.
        let mut next = bytes(1);
        let pixels: Vec<u8> = (0..48 * 64).map(|_| (next() / 2 + 40) as u8).collect();
        bench.npz("train.npz", &[48, 8, 8], &pixels);
        bench.npz("other.npz", &[8, 8, 8], &[9; 8 * 64].map(|v: u8| v));
        bench.file("train.yaml", TRAIN);
        bench.file("ood.yaml", OOD);
        bench
    }

    /// With a trained run.
    fn trained() -> Self {
        let bench = Self::new();
        bench.ok("train --config train.yaml --quiet");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn npz<T: npyz::AutoSerialize + Copy>(&self, name: &str, shape: &[u64], values: &[T]) {
        let mut npz = npyz::npz::NpzWriter::create(self.path(name)).unwrap();
        let array = npz.array("images", Default::default()).unwrap();
        let mut writer = array.default_dtype().shape(shape).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atypical"));
        command.args(arguments.split_whitespace()).current_dir(self.dir.path());
        command.env_remove("DATA_DIR").env_remove("MODEL_DIR").stdin(Stdio::null());
        command.env("HF_HUB_CACHE", self.path("hub"));
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Run and expect success; standard output.
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{arguments}\n{out}\n{err}");
        out
    }

    /// Run and expect an error of exit code 1 without a panic; the message.
    fn error(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments}\n{err}");
        assert!(!err.contains("panicked"), "{err}");
        err
    }

    /// Run and expect exit code 2: wrong usage.
    fn usage(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}\n{err}");
        err
    }

    /// Begin a command, and kill it (SIGKILL: nothing can be cleaned up) once it has done so much, if it has not ended by then.
    fn kill(&self, arguments: &str, done: impl Fn() -> bool) {
        let mut child = self.command(arguments).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while !done() && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "nothing was done in two minutes: {arguments}");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Names of a run's checkpoints, in order.
    fn checkpoints(&self, run: &str) -> Vec<String> {
        let folder = std::fs::read_dir(self.path(&format!("runs/{run}/checkpoints"))).unwrap();
        let mut names: Vec<String> =
            folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn weights(&self, run: &str) -> Vec<u8> {
        std::fs::read(self.path(&format!("runs/{run}/model/latest.safetensors"))).unwrap()
    }
}

/// A generator of numbers below 256.
fn bytes(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const TRAIN: &str = "
data: {train: train.npz}
model:
  name: rq_nsf
  shape: [1, 8, 8]
  hidden: [4, 4, 8]
  repeats: [1, 1, 1]
  dropout: 0.2
epochs: 6
batch_size: 8
checkpoint_steps: 1
samples: {every: 3, count: 4}
";

const OOD: &str = "
run: train
in_distribution: train.npz[40:48]
out_of_distribution: [other.npz]
calibration: train.npz
calibration_count: 4
bootstrap: {resamples: 50}
lid: {scale: {kind: fixed, r: -2}}
";

#[test]
fn train_then_score_then_sample() {
    let bench = Bench::new();
    let out = bench.ok("train --config train.yaml --json");
    let outcome: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((outcome["steps"].as_u64(), outcome["epochs"].as_u64()), (Some(30), Some(6)));
    for file in ["config.yaml", "metrics.jsonl", "model/best.safetensors", "samples/epoch-0003.png"]
    {
        assert!(bench.path(&format!("runs/train/{file}")).exists(), "{file}");
    }
    let log = std::fs::read_to_string(bench.path("runs/train/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 6);

    let out = bench.ok("ood --config ood.yaml --json");
    let results: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(results["rows"].as_array().unwrap().len(), 4);
    assert!(results["convention"].as_str().unwrap().contains("higher"));
    for file in [
        "scores.parquet",
        "metrics.json",
        "report.html",
        "figures/roc.png",
        "figures/lid.svg",
        "table.tex",
    ] {
        assert!(bench.path(&format!("runs/ood-ood/{file}")).exists(), "{file}");
    }
    // Scoring is deterministic.
    assert_eq!(bench.ok("ood --config ood.yaml --json"), out);

    bench.ok("sample --run train --n 5 --out s.png");
    let said = bench.ok("sample --run train --n 300 --out s.npz --json");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((said["n"].as_u64(), said["not_finite"].as_u64()), (Some(300), Some(0)));
    bench.ok("ood --config ood.yaml --set out_of_distribution=[s.npz] --set limit=5 --quiet");
    assert!(bench.error("sample --run train --out s.jpg").contains(".png or .npz"));
    bench.ok("sample --run train --mode --out m.png");
    assert!(bench.path("s.png").exists() && bench.path("m.png").exists());
    assert!(bench.ok("runs").contains("train"));
    assert!(bench.ok("config schema").contains("\"batch_size\""));
    let listed = bench.ok("backends");
    assert!(
        listed.lines().any(|line| line.contains("flex") && line.contains("GFLOP/s")),
        "{listed}"
    );
    let message = bench.error("sample --run train --backend cuda");
    assert!(message.contains("--features cuda") && message.contains("it has flex"), "{message}");
    let message = bench.error("sample --run train --device 3");
    assert!(message.contains("no device 3") && message.contains("atypical backends"), "{message}");
    for command in ["runs", "backends", "config show --config train.yaml", "config schema"] {
        let out = bench.ok(&format!("{command} --json"));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(value.is_object(), "{command}");
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_weights() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --run whole --quiet");

    let mut child =
        bench.command("train --config train.yaml --run killed --quiet").spawn().unwrap();
    let start = Instant::now();
    let checkpoints = bench.path("runs/killed/checkpoints");
    let steps = || -> usize {
        std::fs::read_dir(&checkpoints)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
            .max()
            .unwrap_or(0)
    };
    while steps() < 7 {
        assert!(start.elapsed() < Duration::from_secs(120), "the run makes no steps");
        std::thread::sleep(Duration::from_millis(2));
    }
    // SIGKILL: nothing can be cleaned up.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(steps() < 30, "killed in the middle");
    bench.ok("train --resume --run killed --quiet");
    assert!(bench.weights("killed") == bench.weights("whole"), "the weights differ");
    let log = |run: &str| -> Vec<f64> {
        let text =
            std::fs::read_to_string(bench.path(&format!("runs/{run}/metrics.jsonl"))).unwrap();
        text.lines()
            .map(|l| {
                serde_json::from_str::<serde_json::Value>(l).unwrap()["valid_loss"]
                    .as_f64()
                    .unwrap()
            })
            .collect()
    };
    assert_eq!(log("killed"), log("whole"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint() {
    let bench = Bench::new();
    let mut command = bench.command(
        "train --config train.yaml --run stopped --set epochs=100000 --set checkpoint_steps=100000",
    );
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !bench.path("runs/stopped/metrics.jsonl").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "the run makes no epoch");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    let output = child.wait_with_output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{out}\n{err}");
    assert!(out.contains("atypical train --resume --run stopped"), "{out}\n{err}");
    let steps: usize =
        out.split("after step ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    bench.ok(&format!("train --resume --run stopped --set max_steps={}", steps + 3));
}

#[test]
fn wrong_usage_and_configuration() {
    let bench = Bench::new();
    bench.usage("trian");
    bench.usage("ood");
    assert!(bench.usage("train").contains("--config"));
    assert!(bench.usage("train --run x").contains("--config"));
    bench.usage("train --resume");
    assert!(bench.usage("train --config train.yaml --set epochs").contains("key=value"));
    bench.usage("sample --run train --n 0");
    bench.usage("sample --run train --n 1000000000000000000");
    assert!(bench.error("train --config no.yaml").contains("no.yaml"));
    let message = bench.error("train --config train.yaml --set optimizer.learning=1");
    assert!(message.contains("--set optimizer.learning=1: unknown key"), "{message}");
    assert!(
        bench.error("train --config train.yaml --set model.hidden=[0,4,4]").contains("hidden is 0")
    );
    for (set, says) in [
        ("model.hidden=[1000000000,4,4]", "more than 1e9"),
        ("model.blocks=1000000000000", "more than 1e9"),
        ("model.repeats=[1000000000000,1,1]", "more than 10000 steps"),
        ("samples.count=0", "from 1 to 4096"),
        ("early_stopping.patience=0", "at least 1"),
    ] {
        let message = bench.error(&format!("train --config train.yaml --set {set}"));
        assert!(message.contains(says), "{message}");
    }
    assert!(
        bench
            .error("train --config train.yaml --set batch_size=100")
            .contains("fewer than one batch")
    );
    assert!(bench.error("sample --run nothing").contains("no run `nothing`"));
    bench.file(
        "fixed.yaml",
        "data: {train: train.npz}\nbatch_size: 8\nmodel: {name: flow, shape: [1, 8, 8], transform: [{kind: logit}]}",
    );
    assert!(bench.error("train --config fixed.yaml").contains("no parameters to learn"));
    assert!(bench.error("train --config train.yaml --device 4").contains("no device 4"));
}

#[test]
fn one_environment_serves_all_commands() {
    let bench = Bench::new();
    let run = |arguments: &str| {
        let mut command = bench.command(arguments);
        command.env("ATYPICAL_OPTIMIZER__LR", "1e-4").env("ATYPICAL_LID__MEMORY_MIB", "99");
        command.output().unwrap()
    };
    for arguments in ["train --config train.yaml --quiet", "ood --config ood.yaml --quiet"] {
        let output = run(arguments);
        assert!(output.status.success(), "{}", texts(&output).1);
    }
    let config =
        |run: &str| std::fs::read_to_string(bench.path(&format!("runs/{run}/config.yaml")));
    assert!(config("train").unwrap().contains("lr: 0.0001"));
    assert!(config("ood-ood").unwrap().contains("memory_mib: 99"));
    let output = bench.command("runs").env("ATYPICAL_NONSENSE", "1").output().unwrap();
    assert!(output.status.success(), "a command without configuration reads none");
    let output =
        bench.command("train --config train.yaml").env("ATYPICAL_NONSENSE", "1").output().unwrap();
    assert!(texts(&output).1.contains("ATYPICAL_NONSENSE: unknown key `nonsense`"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::new();
    let script = format!("'{}' config schema | head -c 1", env!("CARGO_BIN_EXE_atypical"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(texts(&output), ("{".to_owned(), String::new()));
    drop(bench);
}

/// burn-train's full-screen view, in a pseudo-terminal: nothing else writes to the screen, and the result stands below it.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_the_learner_has_the_screen() {
    let bench = Bench::new();
    let train = format!("{} train --config train.yaml", env!("CARGO_BIN_EXE_atypical"));
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &train, "typescript"])
        .current_dir(bench.dir.path())
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    let (enter, leave) = ("\x1b[?1049h", "\x1b[?1049l");
    let screen = out.split(enter).nth(1).unwrap_or_else(|| panic!("no screen in {out:?}"));
    let (screen, after) = screen.split_once(leave).unwrap();
    assert!(!screen.contains("training  ") && !screen.contains("bits/dim on training"));
    assert!(after.contains("30 steps in"), "{after:?}");
}

#[test]
fn data_that_cannot_be_used() {
    let bench = Bench::new();
    let train =
        |spec: &str| bench.error(&format!("train --config train.yaml --set data.train={spec}"));
    bench.npz("wide.npz", &[40, 8, 10], &[1u8; 3200]);
    let message = train("wide.npz");
    assert!(message.contains("[1, 8, 10]") && message.contains("[1, 8, 8]"), "{message}");
    bench.npz::<u8>("empty.npz", &[0, 8, 8], &[]);
    assert!(train("empty.npz").contains("holds no images"));
    let mut nan = [1.0f32; 40 * 64];
    nan[7] = f32::NAN;
    bench.npz("nan.npz", &[40, 8, 8], &nan);
    assert!(
        train("nan.npz").contains("no whole numbers from 0 to 255, the first, NaN, in image 0")
    );
    let whole = std::fs::read(bench.path("train.npz")).unwrap();
    std::fs::write(bench.path("half.npz"), &whole[..whole.len() / 2]).unwrap();
    assert!(train("half.npz").contains("half.npz is not usable"));
    bench.file("text-images-idx3-ubyte.gz", "not gzip");
    assert!(train("text-images-idx3-ubyte.gz").contains("text-images-idx3-ubyte.gz is not usable"));
    let message = train("mnist:train");
    assert!(message.contains("data/mnist") && message.contains("DATA_DIR"), "{message}");
    // Images without their labels.
    std::fs::create_dir_all(bench.path("data/mnist")).unwrap();
    bench.file("data/mnist/train-images-idx3-ubyte", "x");
    assert!(train("mnist:train").contains("train-labels-idx1-ubyte"));
    assert!(!bench.path("runs/train").exists(), "no run is left by data that cannot be used");
}

#[test]
fn a_diverging_loss_keeps_what_was_there() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set max_steps=7 --quiet");
    let (before, names) = (bench.weights("train"), bench.checkpoints("train"));
    // The run's own configuration, with a learning rate after which no loss is finite.
    let config = std::fs::read_to_string(bench.path("runs/train/config.yaml")).unwrap();
    let config = config.replace("lr: 0.001", "lr: 1e30");
    assert!(config.contains("1e30"), "{config}");
    bench.file("runs/train/config.yaml", &config);
    let message = bench.error("train --resume --run train --set max_steps=20");
    assert!(message.contains(" became ") && message.contains("optimizer.lr"), "{message}");
    // The step that made the weights huge, but finite, is kept; what came of it is not.
    assert!(message.contains("The last checkpoint is of step 8"), "{message}");
    assert_eq!(bench.checkpoints("train"), [names[1].clone(), "step-00000008".into()]);
    assert!(bench.weights("train") != before);
    let file = std::fs::read(bench.path("runs/train/model/latest.safetensors")).unwrap();
    for (name, view) in safetensors::SafeTensors::deserialize(&file).unwrap().tensors() {
        if view.dtype() == safetensors::Dtype::F32 {
            let mut values =
                view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            assert!(values.all(f32::is_finite), "{name}");
        }
    }
}

#[test]
fn a_run_that_left_nothing_can_be_begun_anew() {
    let bench = Bench::new();
    bench.error("train --config train.yaml --set optimizer.lr=1e38 --set checkpoint_steps=100");
    assert!(bench.path("runs/train/config.yaml").exists());
    assert!(bench.error("train --resume --run train").contains("no usable checkpoint"));
    bench.ok("train --config train.yaml --quiet --set max_steps=1");
}

#[test]
fn a_run_has_one_writer() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --quiet --set max_steps=1");
    let file = std::fs::File::create(bench.path("runs/train/.lock")).unwrap();
    file.lock().unwrap();
    let refused = bench.run("train --resume --run train --set max_steps=2");
    let (_, message) = texts(&refused);
    assert!(message.contains("another process"), "{message}");
    assert_eq!(refused.status.code(), Some(75));
    drop(file);
    bench.ok("train --resume --run train --set max_steps=2 --quiet");
}

#[test]
fn a_resume_in_the_middle_of_an_epoch_logs_the_whole_epoch() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --run whole --quiet --set epochs=2");
    bench.ok("train --config train.yaml --run halves --quiet --set epochs=2 --set max_steps=7");
    bench.ok("train --resume --run halves --quiet --set max_steps=null");
    let last = |run: &str| -> serde_json::Value {
        let log =
            std::fs::read_to_string(bench.path(&format!("runs/{run}/metrics.jsonl"))).unwrap();
        assert_eq!(log.lines().count(), 2, "{log}");
        serde_json::from_str(log.lines().last().unwrap()).unwrap()
    };
    let (whole, halves) = (last("whole"), last("halves"));
    for key in ["epoch", "step", "lr", "train_loss", "valid_loss"] {
        assert_eq!(whole[key], halves[key], "{key}");
    }
}

#[test]
fn patience_can_be_raised_on_resume() {
    let bench = Bench::new();
    // A learning rate at which the validation loss soon rises.
    let steps = |arguments: &str| -> u64 {
        let out: serde_json::Value = serde_json::from_str(&bench.ok(arguments)).unwrap();
        out["epochs"].as_u64().unwrap()
    };
    let stopped = steps(
        "train --config train.yaml --json --set epochs=40 --set optimizer.lr=0.3 --set early_stopping.patience=1",
    );
    assert!(stopped < 40, "a learning rate of 0.3 improves {stopped} epochs in a row");
    assert_eq!(steps("train --resume --run train --json"), stopped, "it has stopped");
    let further = steps(&format!(
        "train --resume --run train --json --set early_stopping.patience=100 --set epochs={}",
        stopped + 2
    ));
    assert_eq!(further, stopped + 2);
}

/// Players against each other have no loss that ranks epochs, reconstructions do.
#[test]
fn a_training_may_be_ended_by_its_reconstructions() {
    let bench = Bench::new();
    bench.file(
        "bigan.yaml",
        "data: {train: train.npz, valid: other.npz, dequantize: false}\nmodel: {name: bigan, shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, critic_hidden: [16]}\nepochs: 9\nbatch_size: 8\nearly_stopping: {patience: 2, measure: reconstruction}",
    );
    // So small a step changes no weight: no epoch is better than the first.
    let train = "train --config bigan.yaml --json --set optimizer.lr=1e-12";
    let out: serde_json::Value = serde_json::from_str(&bench.ok(train)).unwrap();
    assert_eq!((&out["epochs"], &out["best_epoch"]), (&3.into(), &1.into()), "{out}");
    let said = texts(&bench.run(&format!("{} --run said", train.replace(" --json", "")))).1;
    assert!(said.contains("stopped early: epoch 1 is the best, and none of the 2 since"), "{said}");
    let loss = format!("{train} --run loss --set early_stopping.measure=loss");
    let output = bench.run(&loss);
    let (out, err) = texts(&output);
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["epochs"], 9, "{err}");
    assert!(err.contains("early_stopping.measure: reconstruction does"), "{err}");

    // The error is that of the method, which is a mean over the 64 pixels.
    bench.ok("score --run bigan --data other.npz --method reconstruction --out r.jsonl --quiet");
    let scores = std::fs::read_to_string(bench.path("r.jsonl")).unwrap();
    let value = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["reconstruction_mse"].as_f64().unwrap()
    };
    let scores: Vec<f64> = scores.lines().map(value).collect();
    let log = std::fs::read_to_string(bench.path("runs/bigan/metrics.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let error = line["valid_reconstruction_error"].as_f64().unwrap();
    let expected = 64.0 * scores.iter().map(|s| s.abs()).sum::<f64>() / 8.0;
    assert!((error / expected - 1.0).abs() < 1e-5, "{error}, not {expected}");
    let shown = bench.ok("runs");
    assert!(shown.contains("reconstruction error "), "{shown}");
    // Which weights are the best does not change on the way.
    let message = bench.error("train --resume --run bigan --set early_stopping.measure=loss");
    assert!(message.contains("`early_stopping.measure` was \"reconstruction\""), "{message}");

    // A step so long that the loss is at its best before the reconstructions are.
    bench.file(
        "vae.yaml",
        "data: {train: 'train.npz[:40]', valid: 'train.npz[40:]', dequantize: false}\nmodel: {name: vae, shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}}\nepochs: 5\nbatch_size: 8\noptimizer: {lr: 0.1}\nearly_stopping: {measure: reconstruction}",
    );
    let out: serde_json::Value =
        serde_json::from_str(&bench.ok("train --config vae.yaml --json")).unwrap();
    let log = std::fs::read_to_string(bench.path("runs/vae/metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let best = |name: &str| {
        let of = |line: &&serde_json::Value| line[name].as_f64().unwrap();
        let line = lines.iter().min_by(|a, b| of(a).total_cmp(&of(b))).unwrap();
        line["epoch"].clone()
    };
    let epochs = [best("valid_reconstruction_error"), best("valid_loss")];
    assert_ne!(epochs[0], epochs[1], "{log}");
    assert_eq!(out["best_epoch"], epochs[0], "{log}");
    // So are trials of a sweep told apart.
    bench.file("seeds.yaml", "command: train\nbase: vae.yaml\naxes: {seed: [1]}");
    bench.ok("sweep create seeds.yaml");
    bench.ok("sweep agent seeds --quiet");
    let ranked = bench.ok("sweep results seeds --json");
    assert!(ranked.contains("valid_reconstruction_error"), "{ranked}");

    let message = bench
        .error("train --config train.yaml --run flow --set early_stopping.measure=reconstruction");
    assert!(message.contains("early_stopping.measure"), "{message}");
    assert!(message.contains("makes nothing again from a latent"), "{message}");
}

/// Vectors have units of their own: what is far in them is not what is far between 0 and 1.
#[test]
fn vectors_of_any_size_have_a_healthy_flow() {
    let bench = Bench::new();
    let mut next = bytes(2);
    let rows: Vec<String> =
        (0..64).map(|_| format!("{},{}", 1e5 + 3e4 * f64::from(next()), next())).collect();
    bench.file("far.csv", &format!("a,b\n{}\n", rows.join("\n")));
    bench.file(
        "far.yaml",
        "data: {train: far.csv}\nmodel: {name: flow, shape: [2, 1, 1], transform: [{kind: whiten}, {kind: act_norm}, {kind: conv1x1}]}\nepochs: 2\nbatch_size: 16\n",
    );
    bench.ok("train --config far.yaml --quiet");
    let text = bench.ok("doctor --run far");
    assert!(text.starts_with("far: healthy") && text.contains("whiten"), "{text}");
    let text =
        bench.ok("lid --run far --data far.csv[:4] --estimator threshold --scale -2 --out l.csv");
    assert!(!text.contains("does not invert"), "{text}");
    let logit = "--set model.transform.0.kind=logit --set model.transform.0.alpha=0.01";
    let message = bench.error(&format!("train --config far.yaml --run logit {logit}"));
    assert!(message.contains("has values outside of [0, 1], in column 0"), "{message}");
    // Nor are such vectors scored by a flow of others.
    let rows: Vec<String> = (0..64).map(|i| format!("0.{},0.{}", 10 + i, 90 - i)).collect();
    bench.file("near.csv", &format!("a,b\n{}\n", rows.join("\n")));
    let near = format!("--run near --set data.train=near.csv {logit}");
    bench.ok(&format!("train --config far.yaml --quiet {near}"));
    let score = "score --run near --method likelihood --out s.csv --data";
    bench.ok(&format!("{score} near.csv"));
    let message = bench.error(&format!("{score} far.csv"));
    assert!(message.contains("`far.csv` has values outside of [0, 1], in column 0"), "{message}");
    // Nothing is left of a run that did not begin.
    assert!(!bench.path("runs/logit").exists());
}

#[test]
fn weights_that_do_not_fit() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set max_steps=2 --quiet");
    bench.ok("train --config train.yaml --run other --set max_steps=2 --set model.hidden=[5,5,8] --quiet");
    let best = bench.path("runs/train/model/best.safetensors");
    let good = std::fs::read(&best).unwrap();
    std::fs::copy(bench.path("runs/other/model/best.safetensors"), &best).unwrap();
    let message = bench.error("sample --run train");
    assert!(message.contains("does not fit this model"), "{message}");
    std::fs::write(&best, &good[..good.len() - 100]).unwrap();
    let message = bench.error("sample --run train");
    assert!(message.contains("best.safetensors is damaged"), "{message}");

    // A whole checkpoint of another architecture.
    let (mine, foreign) =
        ("runs/train/checkpoints/step-00000002", "runs/other/checkpoints/step-00000002");
    for entry in std::fs::read_dir(bench.path(foreign)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), bench.path(mine).join(entry.file_name())).unwrap();
    }
    let message = bench.error("train --resume --run train --set max_steps=4");
    assert!(message.contains("does not fit this model"), "{message}");

    // A damaged checkpoint is passed over for the one before; two are an error.
    let mut steps: Vec<PathBuf> = std::fs::read_dir(bench.path("runs/other/checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    steps.sort();
    let damage = |path: &Path| {
        let file = path.join("optimizer.bin");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    };
    damage(&steps[1]);
    let output = bench.run("train --resume --run other --set max_steps=4");
    assert!(
        output.status.success() && texts(&output).1.contains("it is truncated"),
        "{}",
        texts(&output).1
    );
    for entry in std::fs::read_dir(bench.path("runs/other/checkpoints")).unwrap() {
        damage(&entry.unwrap().path());
    }
    assert!(
        bench
            .error("train --resume --run other --set max_steps=6")
            .contains("no usable checkpoint")
    );
}

#[test]
fn runs_are_not_overwritten_or_resumed_as_something_else() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set max_steps=2 --quiet");
    assert!(bench.error("train --config train.yaml").contains("--resume"));
    let message = bench.error("train --resume --run train --set optimizer.lr=5");
    assert!(message.contains("`optimizer.lr` was 0.001 and is now 5.0"), "{message}");
    assert!(bench.error("train --resume --run trian").contains("did you mean `train`?"));
    // An experiment does not write over a training.
    let before = std::fs::read(bench.path("runs/train/config.yaml")).unwrap();
    let message = bench.error("ood --config ood.yaml --name train");
    assert!(message.contains("not an experiment") && message.contains("--name"), "{message}");
    assert_eq!(std::fs::read(bench.path("runs/train/config.yaml")).unwrap(), before);
    let message = bench.error("train --config train.yaml --run ../train");
    assert!(message.contains("`../train`") && message.contains("MODEL_DIR"), "{message}");
    // The schedule one_cycle has fixed its end.
    bench.ok("train --config train.yaml --run cycle --set max_steps=2 --set scheduler.kind=one_cycle --quiet");
    let message = bench.error("train --resume --run cycle --set max_steps=4");
    assert!(message.contains("one_cycle"), "{message}");
    bench.file("blocked", "");
    let output =
        bench.command("train --config train.yaml").env("MODEL_DIR", "blocked").output().unwrap();
    let message = texts(&output).1;
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("blocked/train") && message.contains("MODEL_DIR"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_keeps_what_was_there() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set max_steps=2 --quiet");
    let before = bench.weights("train");
    // No file may grow past some blocks: writing a checkpoint fails in the middle, as on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' train --resume --run train --set max_steps=9 --quiet",
        env!("CARGO_BIN_EXE_atypical")
    );
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(bench.dir.path()).output().unwrap();
    let message = texts(&output).1;
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write") && message.contains("bytes were needed"), "{message}");
    assert!(bench.weights("train") == before, "the weights changed");
    bench.ok("train --resume --run train --set max_steps=4 --quiet");
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_earlier_experiment() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set max_steps=2 --quiet");
    bench.ok("ood --config ood.yaml --quiet");
    let files = ["config.yaml", "scores.parquet", "metrics.json", "report.html", "figures/roc.png"];
    let read =
        || files.map(|file| std::fs::read(bench.path(&format!("runs/ood-ood/{file}"))).unwrap());
    let before = read();
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' ood --config ood.yaml --quiet --seed 5",
        env!("CARGO_BIN_EXE_atypical")
    );
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(bench.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", texts(&output).1);
    assert!(read() == before, "the earlier experiment changed");
    assert_eq!(std::fs::read_dir(bench.path("runs")).unwrap().count(), 2, "nothing half is left");
}

#[test]
fn lid_of_every_image_goes_into_one_table() {
    let bench = Bench::trained();
    let out = bench.ok(
        "lid --run train --data train.npz[:30] --estimator threshold,spectral,gap,matrix_free,mle --calibration-count 6 \
         --dimension 20 --out lids/a.csv --json --quiet",
    );
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    let estimators = &summary["estimators"];
    assert_eq!(estimators["threshold"]["calibrated_to"], 20.0);
    assert!(estimators["gap"]["scale"].is_null() && estimators["mle"]["scale"].is_null());
    assert!(estimators["matrix_free"]["mean_standard_error"].as_f64().unwrap() <= 7.0);
    assert_eq!(summary["images_not_finite"], 0);
    assert!(summary["largest_inverse_error"].as_f64().unwrap() < 1e-2);
    let text = std::fs::read_to_string(bench.path("lids/a.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 32, "a convention, a header, 30 images");
    for column in ["threshold", "matrix_free_standard_error", "mle", "not_finite_entries"] {
        assert!(lines[1].split(',').any(|c| c == column), "{column} in {}", lines[1]);
    }
    assert!(bench.path("lids/a_scale.svg").exists() && bench.path("lids/a_scale.png").exists());
    for name in ["b.parquet", "b.jsonl"] {
        bench.ok(&format!("lid --run train --data other.npz --scale -2 --out {name} --quiet"));
        assert!(bench.path(name).exists());
    }
}

/// The journals of an output.
fn journals(bench: &Bench, out: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(bench.dir.path()).unwrap();
    let paths = folder.map(|e| e.unwrap().path());
    let ours = |p: &PathBuf| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(out) && name.ends_with(".journal")
    };
    paths.filter(ours).collect()
}

#[test]
fn a_killed_lid_goes_on_to_the_same_table() {
    let bench = Bench::trained();
    let command = |out: &str| {
        format!(
            "lid --run train --data train.npz --estimator threshold,matrix_free --calibration-count 20 --dimension 20 --out {out} --quiet"
        )
    };
    bench.ok(&command("whole.csv"));
    assert!(journals(&bench, "whole.csv").is_empty(), "nothing is left of the journal");
    // Killed once a part of the images is done.
    let kill = |out: &str| {
        let text = || -> String {
            let read = |p: &PathBuf| std::fs::read_to_string(p).unwrap_or_default();
            journals(&bench, out).first().map(read).unwrap_or_default()
        };
        // A whole line: one that the kill cuts short is left out.
        let done = || {
            text().split_inclusive('\n').any(|l| l.contains("images Krylov") && l.ends_with('\n'))
        };
        bench.kill(&command(out), done);
    };
    kill("cut.csv");
    bench.ok(&command("cut.csv"));
    let [whole, cut] =
        ["whole.csv", "cut.csv"].map(|f| std::fs::read_to_string(bench.path(f)).unwrap());
    assert_eq!(whole, cut);

    // A value that was written over is found, and computed again.
    kill("damaged.csv");
    let [journal] = journals(&bench, "damaged.csv").try_into().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let at = text.find("[\"images Krylov 0\"").unwrap();
    let value = text[at..].find("\"lids\":[").unwrap() + at + 8;
    let end = text[value..].find(']').unwrap() + value;
    std::fs::write(&journal, format!("{}12345.0{}", &text[..value], &text[end..])).unwrap();
    let output = bench.run(&command("damaged.csv"));
    let (_, error) = texts(&output);
    assert!(output.status.success() && error.contains("are damaged: what they held"), "{error}");
    assert_eq!(std::fs::read_to_string(bench.path("damaged.csv")).unwrap(), whole);
    assert!(journals(&bench, "damaged.csv").is_empty());
}

#[test]
fn what_cannot_be_written_is_said_before_the_work() {
    let bench = Bench::trained();
    std::fs::create_dir(bench.path("stuck.csv")).unwrap();
    let error = bench.error("lid --run train --data train.npz --scale -2 --out stuck.csv");
    assert!(error.contains("stuck.csv is a folder"), "{error}");
    bench.error("lid --data other.npz --estimator mle --k 400 --out few.csv");
    assert!(journals(&bench, "few.csv").is_empty(), "nothing was done: nothing is left");
}

#[test]
fn a_broken_image_has_a_row_of_its_own() {
    let bench = Bench::trained();
    // Weights so large that the decoder overflows somewhere.
    let path = bench.path("runs/train/model/best.safetensors");
    let path = if path.exists() { path } else { bench.path("runs/train/model/latest.safetensors") };
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let changed: Vec<(String, Vec<usize>, Vec<u8>, safetensors::Dtype)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let mut data = view.data().to_vec();
            if name.ends_with("log_scale") {
                data.chunks_mut(4).for_each(|v| v.copy_from_slice(&(-60.0f32).to_le_bytes()));
            }
            (name, view.shape().to_vec(), data, view.dtype())
        })
        .collect();
    let views = changed.iter().map(|(name, shape, data, dtype)| {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap();
        (name.clone(), view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(&path, bytes).unwrap();
    for estimator in ["threshold", "matrix_free"] {
        let out = bench.ok(&format!(
            "lid --run train --data train.npz[:3] --estimator {estimator} --scale -2 --out a.csv --json --quiet"
        ));
        let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(summary["images_not_finite"], 3, "{out}");
        assert_eq!(summary["estimators"][estimator]["mean"], serde_json::Value::Null);
        let text = std::fs::read_to_string(bench.path("a.csv")).unwrap();
        assert_eq!(
            text.matches("NaN").count() / 3,
            text.lines().nth(2).unwrap().matches("NaN").count()
        );
        assert!(text.lines().skip(2).all(|line| line.contains(",NaN,")), "{text}");
    }
}

#[test]
fn lid_says_what_is_missing() {
    let bench = Bench::trained();
    let error = bench.error("lid --data train.npz --estimator spectral");
    assert!(error.contains("--run NAME") && error.contains("mle"), "{error}");
    let error = bench.error("lid --run train --data train.npz --scale 21");
    assert!(error.contains("--scale is 21, but it must be in [-20, 20]"), "{error}");
    let error = bench.usage("lid --run train --data train.npz --scale calibrat");
    assert!(error.contains("a number such as -3, `calibrate` or `plateau`"), "{error}");
    let error = bench.error("lid --run train --data train.npz --out lid.txt");
    assert!(error.contains("lid.txt") && error.contains("parquet"), "{error}");
    let error = bench.error("lid --data other.npz --estimator mle");
    assert!(error.contains("points are too few") || error.contains("neighbours"), "{error}");
    let error = bench.error("lid --run train --data train.npz --memory 0");
    assert!(error.contains("--memory is 0"), "{error}");
    let error = bench.error("lid --run train --data train.npz --estimator matrix_free --probes 1");
    assert!(error.contains("--probes is 1, but it must be at least 2"), "{error}");
    let error = bench.usage("lid --run train");
    assert!(error.contains("--data"), "{error}");
    for (flag, when) in [
        (
            "--scale -2 --dimension 20",
            "--dimension would do nothing here: it is for --scale calibrate",
        ),
        ("--scale plateau --dimension 20", "--dimension would do nothing"),
        ("--scale -2 --calibration other.npz", "--calibration would do nothing"),
        ("--estimator gap --calibration-count 9", "--calibration-count would do nothing"),
        ("--tolerance 3", "--tolerance would do nothing here: it is for --estimator matrix_free"),
        ("--estimator mle", "--run would do nothing"),
        ("--estimator gap --scale -2", "--scale would do nothing"),
        ("--k 5", "--k would do nothing"),
    ] {
        let error = bench.error(&format!("lid --run train --data train.npz {flag}"));
        assert!(error.contains(when), "{error}");
    }
    let error = bench.error("lid --run train --data train.npz --dimension 64");
    assert!(error.contains("LID lies below 64"), "{error}");
    bench.npz("wide.npz", &[2, 9, 9], &[1u8; 162]);
    let error = bench.error("lid --run train --data train.npz --calibration wide.npz");
    assert!(error.contains("wide.npz"), "{error}");
    let error = bench.error("lid --run train --data wide.npz --scale -2");
    assert!(error.contains("wide.npz"), "{error}");
}

#[test]
fn experiments_take_every_estimator_that_reads_the_model() {
    let bench = Bench::trained();
    for estimator in ["spectral", "gap", "matrix_free"] {
        let out = bench.ok(&format!(
            "ood --config ood.yaml --set lid.estimator={estimator} --name ood-{estimator} --json --quiet"
        ));
        let results: serde_json::Value = serde_json::from_str(&out).unwrap();
        let run = &results["runs"][0];
        assert_eq!(run["scale"].is_null(), estimator == "gap");
        assert_eq!(run["lid_standard_error"].is_number(), estimator == "matrix_free");
    }
    let plateau = "lid --run train --data other.npz --estimator spectral --scale plateau --calibration-count 4 --quiet";
    let output = bench.run(plateau);
    // An untrained flow may have no plateau; then the message says so.
    assert!(output.status.success() || texts(&output).1.contains("no plateau"));
}

#[test]
fn lidl_reads_an_ensemble_of_noised_runs() {
    let bench = Bench::new();
    for (run, noise) in [("d1", "0.01"), ("d2", "0.02"), ("d3", "0.04")] {
        bench.ok(&format!(
            "train --config train.yaml --set data.noise={noise} --set model.alpha=0.3 --run {run} --quiet"
        ));
    }
    let out = bench
        .ok("lid --data other.npz --estimator lidl --ensemble d1,d2,d3 --out a.csv --json --quiet");
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(summary["estimators"]["lidl"]["mean"].as_f64().unwrap().is_finite());
    assert!(bench.path("a.csv").exists());

    let error = bench.error("lid --data other.npz --estimator lidl");
    assert!(error.contains("--ensemble A,B"), "{error}");
    let error = bench.error("lid --data other.npz --estimator lidl --ensemble d1,d1");
    assert!(error.contains("one level of noise, 0.01"), "{error}");
    bench.ok("train --config train.yaml --quiet");
    let error = bench.error("lid --data other.npz --estimator lidl --ensemble d1,train");
    assert!(error.contains("`train` was trained without noise"), "{error}");
    let error = bench.error("train --config train.yaml --set data.noise=0.1 --run d4");
    assert!(error.contains("data.noise") && error.contains("set model.alpha=0.27"), "{error}");
}

/// Slopes of random steepness: codecs shorten them by more or less.
fn slopes(bench: &Bench) {
    let mut next = bytes(7);
    let mut pixels = Vec::new();
    for _ in 0..48 {
        let (across, down) = (next() % 12, next() % 12);
        let grain = 1 + next() % 20;
        pixels.extend(
            (0..64).map(|i| (40 + across * (i % 8) + down * (i / 8) + next() % grain) as u8),
        );
    }
    bench.npz("slopes.npz", &[48, 8, 8], &pixels);
}

#[test]
fn a_gate_accepts_and_rejects_pictures() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set data.valid=train.npz --quiet");
    let png = |name: &str, pixels: Vec<u8>| {
        let picture = image::GrayImage::from_raw(8, 8, pixels).unwrap();
        picture.save(bench.path(name)).unwrap();
        std::fs::read(bench.path(name)).unwrap()
    };
    let mut next = bytes(1);
    let inside = png("inside.png", (0..64).map(|_| (next() / 2 + 40) as u8).collect());
    let outside = png("outside.png", (0..64).map(|i| if i % 2 == 0 { 255 } else { 0 }).collect());

    let gate = "gate --run train --method likelihood --held-out 20";
    let text = bench.ok(&format!("{gate} --false-alarms 0.2 inside.png"));
    assert!(text.starts_with("accept  p = ") && text.contains("inside.png"), "{text}");
    let out = bench.run(&format!("{gate} --json inside.png outside.png"));
    assert_eq!(out.status.code(), Some(3));
    let answers: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(answers["images"][0]["accept"], true);
    assert_eq!(answers["images"][1]["accept"], false);

    // The calibration is kept: a second call reads it.
    let gates = || std::fs::read_dir(bench.path("runs/train/gates")).unwrap().count();
    assert_eq!(gates(), 1, "one for all rates");
    let other = "gate --run train --method likelihood --held-out 19";
    bench.ok(&format!("{other} --false-alarms 0.1 inside.png"));
    assert_eq!(gates(), 2);

    // What cannot be read is rejected, and said.
    std::fs::write(bench.path("broken.png"), &inside[..40]).unwrap();
    let out = bench.run(&format!("{gate} broken.png missing.png"));
    let (text, error) = texts(&out);
    assert!(text.contains("reject  broken.png is not usable"), "{text}");
    assert!(text.contains("reject  cannot read missing.png"), "{text}");
    assert!(error.contains("2 of 2 images could not be judged"), "{error}");
    assert_eq!(out.status.code(), Some(1));
    let error = bench.error(&format!("{gate} --false-alarms 0.001 inside.png"));
    assert!(error.contains("needs at least 999 held-out images"), "{error}");

    // A stream: an image, nothing that is one, another image, an end in the middle.
    let mut input = Vec::new();
    for image in [&inside[..], b"no picture", &outside] {
        input.extend((image.len() as u32).to_le_bytes());
        input.extend(image);
    }
    input.extend([9, 0, 0, 0, 1]);
    let mut command = bench.command(&format!("{gate} --stream"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let (out, error) = texts(&child.wait_with_output().unwrap());
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let accepted: Vec<bool> = lines.iter().map(|l| l["accept"].as_bool().unwrap()).collect();
    assert_eq!(accepted, [true, false, false]);
    assert!(lines[1]["error"].as_str().unwrap().contains("no PNG, JPEG or WebP"));
    assert!(error.contains("image 3 (counted from 0): it ends"), "{error}");
}

#[test]
fn samples_of_a_run_are_data() {
    let bench = Bench::trained();
    let set = "--set out_of_distribution=['generated:train[4:12]','generated:train[:8]']";
    let out = bench.ok(&format!("ood --config ood.yaml --json {set}"));
    let results: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(results["rows"][0]["outside"], "generated:train[4:12]");
    let again: serde_json::Value =
        serde_json::from_str(&bench.ok(&format!("ood --config ood.yaml --json {set}"))).unwrap();
    assert_eq!(again["rows"], results["rows"]);
    // A slice is a part of the whole.
    bench.ok("score --run train --data generated:train[4:8] --method likelihood --out a.csv");
    bench.ok("score --run train --data generated:train[:8] --method likelihood --out b.csv");
    let column = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(bench.path(file)).unwrap();
        text.lines().skip(2).map(|l| l.split(',').nth(4).unwrap().to_owned()).collect()
    };
    assert_eq!(column("a.csv"), column("b.csv")[4..]);
    let error = bench.error("score --run train --data generated:tain[:8] --method likelihood");
    assert!(error.contains("did you mean `train`?"), "{error}");
    let error = bench.error("train --config train.yaml --set data.train=generated:train --run b");
    assert!(error.contains("atypical sample --run"), "{error}");
}

#[test]
fn samples_are_compared_with_data() {
    let bench = Bench::trained();
    let command = "quality --run train --data train.npz --n 40";
    let out = bench.ok(&format!("{command} --json --quiet"));
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    let quality = &said["quality"];
    assert_eq!((quality["n_generated"].as_u64(), quality["n_real"].as_u64()), (Some(40), Some(40)));
    for space in ["pixels", "features"] {
        let distance = &quality["kernel_distance"][space];
        assert!(distance["value"].is_f64(), "{out}");
        assert!(distance["standard_error"].as_f64().unwrap() > 0.0, "{out}");
    }
    for share in ["precision", "recall", "coverage"] {
        assert!((0.0..=1.0).contains(&quality[share].as_f64().unwrap()), "{share}: {out}");
    }
    assert!(quality["density"].as_f64().unwrap() >= 0.0, "{out}");
    // The pixels are 7 random bits each, which a training of seconds nearly finds.
    assert!((6.9..8.0).contains(&said["bits_per_dimension"].as_f64().unwrap()), "{out}");
    // The same seed, the same samples; another one, others.
    assert_eq!(bench.ok(&format!("{command} --json --quiet")), out);
    assert_ne!(bench.ok(&format!("{command} --json --quiet --seed 9")), out);

    // All data there are, and as many samples.
    let output = bench.run("quality --run train --data train.npz");
    let (text, error) = texts(&output);
    assert!(text.starts_with("48 samples of train against 48 of train.npz"), "{text}");
    for line in ["kernel distance, features", "precision", "coverage", "bits per dimension"] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}: {text}");
    }
    assert!(error.contains("note: train.npz has only 48"), "{error}");

    let message = bench.error("quality --run train --data other.npz");
    assert!(message.contains("`other.npz` has 8 samples") && message.contains("20"), "{message}");
    bench.npz("nine.npz", &[30, 9, 9], &[9; 30 * 81].map(|v: u8| v));
    let message = bench.error("quality --run train --data nine.npz");
    assert!(message.contains("[1, 9, 9]") && message.contains("[1, 8, 8]"), "{message}");
    bench.usage(&format!("{command}0000"));
    bench.usage("quality --run train --data train.npz --n 19");

    // A weight that is NaN, in a file without a checksum.
    let weights = bench.path("runs/train/model/best.safetensors");
    let mut contents = std::fs::read(&weights).unwrap();
    let (header, tensors) = safetensors::SafeTensors::read_metadata(&contents).unwrap();
    let all = tensors.tensors();
    let (_, tensor) = all.iter().find(|(name, _)| name.ends_with("log_scale")).unwrap();
    let at = header + 8 + tensor.data_offsets.0;
    contents[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let tensors = safetensors::SafeTensors::deserialize(&contents).unwrap();
    std::fs::write(&weights, safetensors::serialize(tensors.tensors(), None).unwrap()).unwrap();
    let message = bench.error(command);
    assert!(
        message.contains("NaN or infinite") && message.contains("atypical doctor"),
        "{message}"
    );
}

#[test]
fn samples_of_vectors_are_compared_by_their_numbers() {
    let bench = Bench::new();
    bench.file("moons.yaml", MOONS);
    bench.ok("train --config moons.yaml --quiet");
    let out = bench.ok("quality --run moons --data toy:two-moons[512:812] --n 300 --json --quiet");
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(said["quality"]["kernel_distance"]["features"].is_null(), "{out}");
    assert!(said["quality"]["kernel_distance"]["pixels"]["value"].is_f64(), "{out}");
    assert!(said["quality"]["coverage"].as_f64().unwrap() > 0.2, "{out}");
    let text = bench.ok("quality --run moons --data toy:two-moons[512:812] --n 100");
    assert!(text.lines().any(|line| line.starts_with("kernel distance   ")), "{text}");
}

/// In headless Chromium, where there is one: at a desktop's and a phone's width, nothing is wider than the page and every image is shown; light ink on dark paper where that is preferred.
#[test]
fn the_report_fits_a_desktop_and_a_phone() {
    let Some(chromium) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
        })
    else {
        eprintln!("SKIPPED: the_report_fits_a_desktop_and_a_phone, there is no Chromium");
        return;
    };
    let bench = Bench::trained();
    bench.ok(
        "train --config train.yaml --set max_steps=2 --run a_run_of_a_rather_long_name --quiet",
    );
    bench.file("two.yaml", &format!("{OOD}more_runs: [{{run: a_run_of_a_rather_long_name}}]\n"));
    bench.ok("ood --config two.yaml --quiet --name page");
    let report = std::fs::read_to_string(bench.path("runs/page/report.html")).unwrap();
    assert!(report.contains("prefers-color-scheme: dark") && !report.contains("<script"));
    // A copy measures itself: how far to the right anything reaches that does not scroll by itself.
    let script = "<script>const shown = [...document.images], reach = [...document.querySelectorAll('body *')]
        .filter(e => !e.closest('.wide, pre, svg')).map(e => e.getBoundingClientRect().right);
        document.body.dataset.seen = [Math.floor(Math.max(...reach)), Math.ceil(document.documentElement.getBoundingClientRect().width),
            shown.length, shown.filter(i => !i.naturalWidth).length,
            ...[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('.finding')).backgroundColor]
                .map(rgb => rgb.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))].join(' ');
        </script></body>";
    for (width, dark) in [(1280, false), (390, true)] {
        // A window of headless Chromium is not as narrow as a phone: the page is made so.
        let page = format!("<html style=\"width: {width}px\"");
        bench.file("measured.html", &report.replace("</body>", script).replace("<html", &page));
        let profile = bench.path("profile");
        let output = Command::new(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={},900", width + 100))
            // Of Blink's two, the first is dark.
            .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
            .arg(format!("file://{}", bench.path("measured.html").display()))
            .output()
            .unwrap();
        let (page, error) = texts(&output);
        let seen = page.split("data-seen=\"").nth(1).unwrap_or_else(|| panic!("{error}"));
        let seen: Vec<usize> =
            seen.split('"').next().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
        let &[content, window, images, broken, ink, paper] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        assert!(content <= window, "{content} pixels in a window of {window}");
        assert!(window == width && images > 8 && broken == 0, "{seen:?}");
        // Sums of red, green and blue.
        let [darker, lighter] = if dark { [paper, ink] } else { [ink, paper] };
        assert!(darker < 200 && lighter > 600, "{seen:?}");
    }
}

#[test]
fn a_doctor_tells_healthy_from_broken() {
    let bench = Bench::trained();
    let text = bench.ok("doctor --run train");
    assert!(text.contains("checkpoints       whole, of step"), "{text}");
    assert!(text.contains("weights checksum  ok"), "{text}");
    assert!(text.contains("coupling") && text.contains("act_norm"), "{text}");
    let out = bench.ok("doctor --run train --json --images 2 --quiet");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["healthy"], &report["weights_checksum"]), (&true.into(), &"ok".into()));
    let health = &report["health"];
    assert!(health["round_trip"].as_f64().unwrap() < 1e-3, "{health}");
    assert!(health["log_det_error"].as_f64().unwrap() < 1e-3, "{health}");
    for step in health["steps"].as_array().unwrap() {
        assert!(step["log_det_error"].as_f64().unwrap() < 1e-2, "{step}");
        assert!(step["round_trip"].as_f64().unwrap() < 1e-4, "{step}");
        assert!(step["condition"].as_f64().unwrap() >= 0.999, "{step}");
    }

    // A byte of a checkpoint.
    let checkpoints = bench.path("runs/train/checkpoints");
    let step = std::fs::read_dir(checkpoints).unwrap().next().unwrap().unwrap().path();
    let file = step.join("optimizer.bin");
    let mut contents = std::fs::read(&file).unwrap();
    contents[7] ^= 1;
    std::fs::write(&file, contents).unwrap();
    let error = bench.error("doctor --run train --quiet");
    assert!(error.contains("is not healthy") && error.contains("checksum"), "{error}");

    // A weight that is NaN, then a permutation that is none; and weights without a checksum, as earlier versions wrote them.
    let weights = bench.path("runs/train/model/best.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    let damaged = |end: &str, value: &[u8]| {
        let (header, tensors) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
        let all = tensors.tensors();
        let (_, tensor) = all.iter().find(|(name, _)| name.ends_with(end)).unwrap();
        let at = header + 8 + tensor.data_offsets.0;
        let mut contents = whole.clone();
        contents[at..at + value.len()].copy_from_slice(value);
        std::fs::write(&weights, contents).unwrap();
        bench.error("doctor --run train --quiet")
    };
    let error = damaged("log_scale", &f32::NAN.to_le_bytes());
    assert!(error.contains("; 1 of ") && error.contains("weights are NaN or infinite"), "{error}");
    assert!(error.contains("best.safetensors is damaged"), "{error}");
    let report = texts(&bench.run("doctor --run train")).0;
    assert!(report.contains("weights checksum  DAMAGED"), "{report}");
    let error = bench.error("sample --run train");
    assert!(error.contains("best.safetensors is damaged"), "{error}");
    let error = damaged("permutation", &[9, 9, 9, 9]);
    assert!(error.contains("permutation` is no permutation of the channels"), "{error}");
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    std::fs::write(&weights, safetensors::serialize(tensors.tensors(), None).unwrap()).unwrap();
    let text = texts(&bench.run("doctor --run train")).0;
    assert!(text.contains("weights checksum  none recorded"), "{text}");
}

const METHODS: &str = "likelihood,dual_calibrated,likelihood_ratio,complexity,complexity_mixture,gradient_norm,typicality,batch_typicality,waic,\
                       latent_norm,shells,local_optimum,laplace,hessian_spectrum,latent_box,local_mass,gaussian_convolution,data_ball,latent_ball,invertibility,goodness_of_fit,lid,dual,dose,combined";

#[test]
fn every_method_has_a_row_and_a_column() {
    let bench = Bench::trained();
    slopes(&bench);
    bench.ok("train --config train.yaml --set data.mutation=0.1 --run background --quiet");
    bench.ok("train --config train.yaml --seed 1 --run second --quiet");
    let out = bench.ok(&format!(
        "ood --config ood.yaml --name all --json --set methods=[{METHODS}] --set background=background \
         --set ensemble=[second] --set calibration=slopes.npz --set calibration_count=40 --set batch=2"
    ));
    let results: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rows = results["rows"].as_array().unwrap();
    // The dual thresholds have two rows.
    assert_eq!(rows.len(), METHODS.split(',').count() + 1);
    for row in rows {
        assert!((0.0..=1.0).contains(&row["auroc"]["value"].as_f64().unwrap()), "{row}");
    }
    for file in [
        "matrix.md",
        "matrix.tex",
        "table.md",
        "table.csv",
        "table.parquet",
        "timings.json",
        "report.html",
        "figures/roc.svg",
    ] {
        assert!(bench.path(&format!("runs/all/{file}")).exists(), "{file}");
    }
    let batches = rows.iter().find(|r| r["method"] == "typicality of batches").unwrap();
    assert_eq!(batches["auroc"]["n"], 8, "4 batches of 2 a side: {batches}");

    // From the file of scores alone come the same numbers.
    let out = bench.ok("eval runs/all --json --out again");
    let again: serde_json::Value = serde_json::from_str(&out).unwrap();
    let numbers = |results: &serde_json::Value| -> BTreeMap<String, serde_json::Value> {
        let rows = results["rows"].as_array().unwrap().iter();
        let keys = ["auroc", "metrics", "intervals"];
        let row = |row: &serde_json::Value| {
            (row["method"].as_str().unwrap().to_owned(), keys.map(|key| row[key].clone()).into())
        };
        rows.map(row).collect()
    };
    let mut expected = numbers(&results);
    // But those of batches, which have no column.
    expected.remove("typicality of batches").unwrap();
    assert_eq!(numbers(&again), expected);
    let figures = std::fs::read_dir(bench.path("again/figures")).unwrap();
    let mut figures = figures.map(|file| file.unwrap().path());
    let is_roc = |path: &PathBuf| {
        path.to_string_lossy().contains("roc_") && path.extension().unwrap() == "svg"
    };
    let roc = std::fs::read_to_string(figures.find(is_roc).unwrap()).unwrap();
    assert!(roc.contains("dual (oracle)") && bench.path("again/matrix.md").exists());

    // And one set alone gets the same statistics.
    bench.ok("score --run train --data other.npz --method likelihood,lid,typicality --set lid.scale.kind=fixed --set lid.scale.r=-2 --out s.csv");
    let text = std::fs::read_to_string(bench.path("s.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        "run,dataset,label,index,log_likelihood,lid,score_likelihood,score_lid,score_typicality"
    );
    assert_eq!(lines.len(), 2 + 8);
    let table = atypical::report::Columns::read(&bench.path("runs/all/scores.parquet")).unwrap();
    let of_experiment: f64 = table.get("log_likelihood").unwrap()[8].parse().unwrap();
    let first: f64 = lines[2].split(',').nth(4).unwrap().parse().unwrap();
    assert_eq!(first, of_experiment);
}

/// How many images an experiment measured, and how many it knew: of each measurement.
fn timings(bench: &Bench, name: &str) -> Vec<(String, u64, u64)> {
    let text = std::fs::read_to_string(bench.path(&format!("runs/{name}/timings.json"))).unwrap();
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let number = |t: &serde_json::Value, key: &str| t[key].as_u64().unwrap();
    all.iter()
        .map(|t| {
            let what = t["what"].as_str().unwrap().to_owned();
            (what, number(t, "computed"), number(t, "kept"))
        })
        .collect()
}

#[test]
fn a_killed_experiment_goes_on_where_it_was() {
    let bench = Bench::trained();
    let command = |more: &str| {
        format!(
            "ood --config ood.yaml --set methods=[likelihood,shells,lid,dual,typicality] --quiet {more}"
        )
    };
    bench.ok(&command("--name whole --no-cache"));
    let cache = bench.path("runs/train/cache/measured.jsonl");
    assert!(!cache.exists());
    // Its lines: the header, the likelihoods of both sets, then one an image for shells.
    let lines = || std::fs::read_to_string(&cache).unwrap_or_default().matches('\n').count();
    bench.kill(&command("--name cut"), || lines() >= 6);
    assert!(!bench.path("runs/cut/report.html").exists(), "killed in the middle");
    bench.ok(&command("--name cut"));
    let of =
        |name: &str, file: &str| std::fs::read(bench.path(&format!("runs/{name}/{file}"))).unwrap();
    for file in ["scores.parquet", "metrics.json", "table.csv"] {
        assert!(of("cut", file) == of("whole", file), "{file} is another");
    }
    let known = timings(&bench, "cut");
    assert!(known.iter().any(|(what, _, kept)| what == "shells" && *kept > 0), "{known:?}");

    // Other methods, another bootstrap, more images: only what is new is measured.
    bench.ok(&command(
        "--name more --set bootstrap.resamples=9 --set methods=[likelihood,lid,latent_norm]",
    ));
    for (what, computed, kept) in timings(&bench, "more") {
        assert_eq!(computed > 0, what == "latent", "{what}: {computed} and {kept}");
    }
    // Another seed is another noise.
    bench.ok(&command("--name seed --seed 9"));
    assert!(timings(&bench, "seed").iter().all(|(_, computed, _)| *computed > 0));
    // A value that was written over is found, and measured again; all others are there.
    let text = std::fs::read_to_string(&cache).unwrap();
    let line = text.lines().nth(1).unwrap();
    let value = line[line.find(",[").unwrap() + 2..].split(',').next().unwrap();
    std::fs::write(&cache, text.replacen(value, "-12345.5", 1)).unwrap();
    let output = bench.run(&command("--name damaged"));
    let (_, error) = texts(&output);
    assert!(output.status.success() && error.contains("warning: 1 of "), "{error}");
    assert!(of("damaged", "scores.parquet") == of("whole", "scores.parquet"));
    let measured = timings(&bench, "damaged").into_iter().filter(|(_, computed, _)| *computed > 0);
    assert_eq!(measured.map(|(what, ..)| what).collect::<Vec<_>>(), ["likelihood"]);
    let output = bench.run(&command("--name damaged"));
    assert!(!texts(&output).1.contains("damaged: what"), "said once");
    // A model of other weights begins anew.
    bench.ok("train --config train.yaml --run other --seed 3 --quiet");
    std::fs::rename(bench.path("runs/train/cache"), bench.path("runs/other/cache")).unwrap();
    bench.ok(&command("--name other-ood --set run=other"));
    assert!(timings(&bench, "other-ood").iter().all(|(_, computed, _)| *computed > 0));
}

#[test]
fn several_runs_and_sets_make_one_matrix() {
    let bench = Bench::trained();
    slopes(&bench);
    bench.ok("train --config train.yaml --set data.train=slopes.npz --run sloped --quiet");
    bench.file(
        "many.yaml",
        "run: train
in_distribution: ['train.npz[40:48]', 'train.npz[32:40]']
out_of_distribution: [other.npz, 'slopes.npz[40:48]']
calibration: train.npz[:32]
calibration_count: 4
methods: [likelihood, typicality]
bootstrap: {resamples: 50}
more_runs:
  - run: sloped
    in_distribution: slopes.npz[40:48]
    out_of_distribution: ['slopes.npz[40:48]', 'train.npz[40:44]']
    calibration: slopes.npz[:32]
    methods: [likelihood, gradient_norm]
",
    );
    let (out, said) = texts(&bench.run("ood --config many.yaml --json"));
    for line in ["train: likelihood: 8 in ", "sloped: likelihood: 8 in "] {
        assert!(said.lines().any(|l| l.starts_with(line)), "{said}");
    }
    let results: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rows = results["rows"].as_array().unwrap();
    let pair = |row: &serde_json::Value| {
        ["run", "inside", "outside"].map(|key| row[key].as_str().unwrap().to_owned())
    };
    let mut pairs: Vec<[String; 3]> = rows.iter().map(pair).collect();
    pairs.dedup();
    let expected = [
        ["train", "train.npz[40:48]", "other.npz"],
        ["train", "train.npz[40:48]", "slopes.npz[40:48]"],
        ["train", "train.npz[32:40]", "other.npz"],
        ["train", "train.npz[32:40]", "slopes.npz[40:48]"],
        // What is in-distribution for a run is no OOD set of it.
        ["sloped", "slopes.npz[40:48]", "train.npz[40:44]"],
    ];
    assert_eq!(pairs, expected);
    let read =
        |file: &str| std::fs::read_to_string(bench.path(&format!("runs/ood-many/{file}"))).unwrap();
    let matrix = read("matrix.md");
    let [first, second] = matrix.split("### sloped\n").collect::<Vec<_>>()[..] else {
        panic!("{matrix}");
    };
    assert!(first.starts_with("### train\n") && !first.contains("[40:44]"), "{matrix}");
    assert!(second.contains("| slopes.npz[40:48] against train.npz[40:44] |"), "{matrix}");
    assert!(second.contains("| gradient norm |") && !second.contains("typicality"), "{matrix}");
    assert!(first.contains("| typicality |") && !first.contains("gradient norm"), "{matrix}");
    assert!(read("table.csv").contains("\nsloped,slopes.npz[40:48],train.npz[40:44],likelihood,"));
    let report = read("report.html");
    assert!(report.contains("sloped: samples of the model") && report.contains("<th>run</th>"));
    for figure in [
        "train_roc_train.npz_32_40__slopes.npz_40_48_.png",
        "sloped_roc.png",
        "sloped_likelihood.svg",
    ] {
        assert!(bench.path(&format!("runs/ood-many/figures/{figure}")).exists(), "{figure}");
    }
    // The file of scores says which run a row is of.
    let again = bench.ok("eval runs/ood-many/scores.parquet --json --resamples 50");
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    let values = |rows: &serde_json::Value| -> Vec<(String, serde_json::Value)> {
        let rows = rows["rows"].as_array().unwrap().iter();
        rows.map(|r| (pair(r).join(" "), r["auroc"].clone())).collect()
    };
    assert_eq!(values(&again), values(&results));

    let error = |set: &str| bench.error(&format!("ood --config many.yaml --set {set}"));
    let message = error("more_runs=[{run:");
    assert!(message.contains("more_runs"), "{message}");
    let message = error("more_runs.0.in_distributoin=a.npz");
    assert!(message.contains("did you mean") && message.contains("in_distribution"), "{message}");
    let message = error("more_runs.0.in_distribution=['train.npz[40:44]','slopes.npz[40:48]']");
    assert!(message.contains("one set at least must be another"), "{message}");
    let message = error("methods=[waic]");
    assert!(message.contains("`ensemble`"), "{message}");
    let message = error("batch=9 --set methods=[batch_typicality]");
    assert!(message.contains("judges 9 images together") && message.contains("has 8"), "{message}");
    // What a later run cannot is said before the first is measured.
    let message = error(
        "more_runs.0.methods=[likelihood,lid] --set more_runs.0.lid.scale.kind=calibrated --set more_runs.0.lid.scale.dimension=64 --no-cache",
    );
    assert!(message.contains("the run `sloped`: the scale cannot be calibrated"), "{message}");
    assert!(!message.contains("8 in "), "{message}");

    // One run may stand twice, with other methods.
    bench.file(
        "twice.yaml",
        &format!(
            "{OOD}methods: [likelihood]\nmore_runs: [{{run: train, methods: [gradient_norm]}}]"
        ),
    );
    let said = texts(&bench.run("ood --config twice.yaml --quiet")).1;
    assert_eq!(said, "", "the second finds what the first has measured");
    let table = std::fs::read_to_string(bench.path("runs/ood-twice/table.csv")).unwrap();
    assert!(table.contains("train (2),train.npz[40:48],other.npz,gradient norm,"), "{table}");
    let message = bench.error("ood --config twice.yaml --set more_runs.0.methods=[likelihood]");
    assert!(message.contains("another than those before it"), "{message}");
}

#[test]
fn methods_say_what_they_need() {
    let bench = Bench::trained();
    bench.ok("train --config train.yaml --run twin --quiet");
    bench.ok("train --config train.yaml --set data.train=train.npz[:40] --set data.mutation=0.1 --run foreign --quiet");
    let error = |sets: &str| bench.error(&format!("ood --config ood.yaml {sets}"));
    let message = error("--set methods=[likelihood_ratio]");
    assert!(
        message.contains("`methods.0` is likelihood_ratio") && message.contains("`background`"),
        "{message}"
    );
    assert!(error("--set methods=[waic]").contains("`ensemble`"));
    assert!(error("--set methods=[likelihood,likelihood]").contains("named once"));
    assert!(
        error("--set methods=[local_mass] --set lid.estimator=gap")
            .contains("threshold or spectral")
    );
    let message = error("--set methods=[likelihood_ratio] --set background=twin");
    assert!(message.contains("without `data.mutation`"), "{message}");
    let message = error("--set methods=[likelihood_ratio] --set background=foreign");
    assert!(message.contains("train.npz[:40]"), "{message}");
    let message = error("--set methods=[dose] --set calibration_count=1");
    assert!(message.contains("`calibration_count` is 1, but it must be at least 2"), "{message}");
    // As many are asked for, but there are not so many.
    let message = error(
        "--set methods=[likelihood,dual_calibrated] --set calibration=train.npz[:9] --set calibration_count=40",
    );
    assert!(
        message.contains("dual_calibrated") && message.contains("at least 20, not 9"),
        "{message}"
    );
    let message = error("--set methods=[likelihoods]");
    assert!(message.contains("likelihood"), "{message}");
    assert!(
        bench.error("score --run train --data other.npz --method dual").contains("likelihood,lid")
    );
    let message =
        bench.error("score --run train --data other.npz --method lid --set methods=[dose]");
    assert!(message.contains("--method"), "{message}");
    let message = bench.usage("score --run train --data other.npz --method likelyhood");
    assert!(message.contains("likelyhood") && message.contains("likelihood_ratio"), "{message}");
    assert!(
        bench
            .error("train --config train.yaml --set data.mutation=1 --run x")
            .contains("data.mutation")
    );
}

#[test]
fn data_sets_are_listed_described_and_looked_at() {
    let bench = Bench::new();
    let list = bench.ok("data list");
    for part in ["fashion-mnist", "train 60000, test 10000", "organsmnist", "on the hub"] {
        assert!(list.contains(part), "{list}");
    }
    let message = bench.error("data fetch omniglot");
    assert!(message.contains("original files, ") && message.contains("omniglot/"), "{message}");
    let info = bench.ok("data info cifar10");
    for part in ["Krizhevsky 2009", "cifar-10-binary.tar.gz", "atypical data fetch cifar10"] {
        assert!(info.contains(part), "{info}");
    }
    let one: serde_json::Value = serde_json::from_str(&bench.ok("data info mnist --json")).unwrap();
    assert_eq!(one["splits"]["train"]["here"], false);
    let info = bench.ok("data info train.npz@first=0.5,size=16[:20] --sheet sheet.png");
    assert!(info.contains("20 images of 1 x 16 x 16"), "{info}");
    assert!(std::fs::read(bench.path("sheet.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(bench.error("data info nmist").contains("did you mean `mnist`"));
    assert!(bench.error("data info train.npz@sise=16").contains("did you mean `size`"));
    let missing = bench.error("data fetch mnist --offline");
    assert!(missing.contains("mnist/train-00000-of-00001.parquet"), "{missing}");
    assert!(missing.contains("without HF_HUB_OFFLINE"), "{missing}");
}

#[test]
fn a_flow_of_the_reference_goes_on_here() {
    let bench = Bench::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/import/image_rq");
    let golden = golden.display();
    let import = format!("import nflows --checkpoint {golden}.pt --config {golden}.yaml");
    let out = bench.run(&format!("{import} --data train.npz --out old"));
    let (_, notes) = texts(&out);
    assert!(
        out.status.success() && notes.contains("`trainer.writer` has no counterpart"),
        "{notes}"
    );
    bench.ok("score --run old --data other.npz --method likelihood --out scores.csv");
    bench.ok("sample --run old --n 4 --out samples.png");
    // Its training images are not here: a likelihood is that of the model alone.
    bench.ok(&format!("{import} --out without --quiet"));
    bench.ok("score --run without --data other.npz --method likelihood --out alone.csv");
    let config = bench.ok(&format!("config import {golden}.yaml"));
    assert!(
        config.contains("train: fashion-mnist:train") && config.contains("epochs: 400"),
        "{config}"
    );
    let sweep = golden.to_string().replace("image_rq", "sweep_flows.yaml");
    let out = bench.run(&format!("config import {sweep} --out small.yaml"));
    assert!(texts(&out).1.contains("note: dataset=celeba-small is left out"), "{out:?}");
    assert_eq!(texts(&out).0, "written: small.yaml\n");
    // A sweep is for none of the other commands.
    let message = bench.error("train --config small.yaml");
    assert!(
        message.contains("small.yaml:") && message.contains("`atypical sweep plan FILE`"),
        "{message}"
    );
    let message = bench.error(&format!("sweep plan {sweep}"));
    assert!(
        message.contains("`base_config`") && message.contains("atypical config import"),
        "{message}"
    );
    let plan = bench.ok("sweep plan small.yaml");
    assert!(plan.contains("couplings=splines data.train=mnist:train"), "{plan}");
    bench.file("not.yaml", "a: 1\n");
    assert!(
        bench.error("config import not.yaml").contains("neither a training nor an OOD experiment")
    );
    let message = bench.error(&format!("{import} --data train.npz --out old"));
    assert!(message.contains("exists already"), "{message}");
}

const MOONS: &str = "
data: {train: 'toy:two-moons[:512]'}
model: {name: rq_nsf_vector, dimension: 2, layers: 1, hidden: 8, whiten: true}
epochs: 2
batch_size: 64
";

#[test]
fn vectors_are_data_like_others() {
    let bench = Bench::new();
    bench.file("moons.yaml", MOONS);
    bench.ok("train --config moons.yaml --quiet");
    // The density in the plane, as it is learned.
    assert!(bench.path("runs/moons/samples/epoch-0002.png").exists());
    let lines: String = (0..12).map(|i| format!("{},0.{i},{}\n", i % 3, -i)).collect();
    bench.file("points.csv", &format!("label,a,b\n{lines}"));
    bench.ok(
        "score --run moons --data points.csv --method likelihood,lid,data_ball --set lid.scale.kind=fixed --set lid.scale.r=-1 --out scores.csv",
    );
    let scores = std::fs::read_to_string(bench.path("scores.csv")).unwrap();
    assert_eq!(scores.lines().filter(|l| l.contains("points.csv")).count(), 12, "{scores}");
    bench.ok("sample --run moons --n 30 --out points.npz");
    let info = bench.ok("data info points.npz");
    assert!(info.contains("30 vectors of 2 numbers"), "{info}");
    // Points in the plane fill it: no scale gives them all of its dimensions.
    let message = bench.error("score --run moons --data points.csv --method lid --out scores.csv");
    assert!(message.contains("or a scale, lid.scale="), "{message}");
    bench.ok("lid --data toy:two-moons[:200] --estimator mle,lpca --out lids.csv");
    let lids = std::fs::read_to_string(bench.path("lids.csv")).unwrap();
    let rows = lids.lines().filter(|line| line.starts_with("toy:two-moons"));
    assert_eq!(rows.count(), 200, "{lids}");
    assert!(bench.error("gate --run moons sheet.png").contains("a gate reads pictures"));
    let drawn = bench.ok("data info generated:moons[:20]");
    assert!(drawn.contains("20 vectors of 2 numbers"), "{drawn}");
    let part = bench.ok("data info generated:moons@first=0.5[:20]");
    assert!(
        part.contains("20 vectors") && !part.ends_with(&drawn[drawn.len() - 17..]),
        "{part}{drawn}"
    );
    assert!(bench.error("data info generated:moons@grey").contains("holds vectors"));
    bench.file(
        "toys.yaml",
        "{run: moons, in_distribution: 'toy:two-moons[512:560]', out_of_distribution: ['toy:circles[:48]'], calibration: 'toy:two-moons[:64]', calibration_count: 32, lid: {scale: {kind: fixed, r: -1}}}",
    );
    bench.ok("ood --config toys.yaml --quiet");
    let report = std::fs::read_to_string(bench.path("runs/ood-toys/report.html")).unwrap();
    assert!(report.contains("48 vectors, SHA-256 of their numbers"));

    let set = "score --run moons --data points.csv --out s.csv --method";
    assert!(bench.error(&format!("{set} complexity")).contains("`points.csv` holds vectors"));
    assert!(bench.error("sample --run moons --n 3 --out s.png").contains("write them to an .npz"));
    assert!(bench.error("data info points.csv@size=3").contains("holds vectors"));
    // What is no dimension is said.
    bench.file("named.csv", "ID,a,b,Label\n7,0.5,1,3\n8,-2,3,4\n");
    let info = bench.ok("data info named.csv");
    assert!(info.contains("2 vectors of 2 numbers") && info.contains("2 classes"), "{info}");
    assert!(info.contains("left out: column `ID`"), "{info}");
    assert!(
        bench.error("score --run moons --data other.npz --method likelihood").contains("[1, 8, 8]")
    );
    bench.file("bad.csv", "a,b\n1,NaN\n");
    assert!(bench.error("data info bad.csv").contains("NaN"));
}

/// The models beside the flows, tiny: a name, and the `model` section.
const ZOO: [(&str, &str); 12] = [
    ("autoencoder", "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}"),
    (
        "vae",
        "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, importance_samples: 4",
    ),
    (
        "vae",
        "shape: [1, 8, 8], latent: 3, likelihood: {kind: discretized_logistic}, network: {kind: conv, channels: [4, 4], strides: [2, 1]}",
    ),
    (
        "avb",
        "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, noise_dimension: 4, critic_hidden: [16], samples: 2",
    ),
    (
        "wae",
        "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, penalty: {kind: mmd}",
    ),
    (
        "bigan",
        "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, critic_hidden: [16]",
    ),
    (
        "energy",
        "shape: [1, 8, 8], network: {kind: mlp, hidden: [16], activation: silu}, buffer: 32, langevin: {steps: 3}",
    ),
    ("pixel_cnn", "shape: [1, 8, 8], hidden: 4, blocks: 1, mixtures: 2"),
    ("lstm_mixture", "shape: [1, 8, 8], hidden: 8, mixtures: 2"),
    ("gaussian_mixture", "shape: [1, 8, 8], components: 2, covariance: diagonal, floor: 1e-3"),
    (
        "two_step",
        "first: {name: autoencoder, shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}}, second: {name: rq_nsf_vector, dimension: 3, layers: 1, hidden: 8}",
    ),
    (
        "wae",
        "shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, penalty: {kind: adversarial}",
    ),
];

fn zoo(bench: &Bench) -> Vec<String> {
    let configurations = ZOO.iter().enumerate().map(|(i, (name, keys))| {
        let run = format!("zoo{i}");
        let text = format!(
            "run: {run}\ndata: {{train: train.npz}}\nmodel: {{name: {name}, {keys}}}\nepochs: 3\nbatch_size: 8\nsamples: {{count: 4}}\ncheckpoint_steps: 3\n"
        );
        bench.file(&format!("{run}.yaml"), &text);
        run
    });
    configurations.collect()
}

#[test]
fn every_model_trains_scores_and_samples() {
    let bench = Bench::new();
    for (run, (name, _)) in zoo(&bench).iter().zip(ZOO) {
        bench.ok(&format!("train --config {run}.yaml --quiet"));
        let samples = format!("sample --run {run} --n 3 --out {run}.npz");
        if name == "autoencoder" {
            let message = bench.error(&samples);
            assert!(message.contains("an autoencoder has no samples"), "{message}");
        } else {
            bench.ok(&samples);
        }
        let latent = ["autoencoder", "vae", "avb", "wae", "bigan", "two_step"].contains(&name);
        let pictures = [
            format!("sample --run {run} --reconstruct other.npz --out {run}.png"),
            format!("sample --run {run} --walk --reconstruct other.npz --out {run}-walk.png"),
        ];
        for picture in &pictures {
            if latent {
                bench.ok(picture);
            } else {
                let message = bench.error(picture);
                assert!(message.contains("has no latents"), "{message}");
            }
        }
        let density = !["autoencoder", "wae", "bigan"].contains(&name);
        let score = |method: &str| {
            format!(
                "score --run {run} --data other.npz --method {method} --set lid.scale.kind=fixed --set lid.scale.r=-3 --out {run}-{method}.csv --quiet"
            )
        };
        for (method, defined) in [
            ("likelihood", density),
            ("reconstruction", latent),
            ("latent_norm", latent && name != "autoencoder"),
            ("latent_likelihood", name == "two_step"),
            ("lid", latent),
            ("likelihood_regret", name == "vae"),
            ("typicality", density),
            ("gradient_norm", density && name != "pixel_cnn" && run != "zoo2"),
            ("complexity", density && !["energy", "two_step"].contains(&name)),
            ("invertibility", false),
        ] {
            if defined {
                bench.ok(&score(method));
            } else {
                let message = bench.error(&score(method));
                let expected = format!("the method {method} cannot judge by this run: a");
                assert!(message.contains(&expected), "{name}: {message}");
            }
        }
    }
    // Smooth LID needs latents that are normal.
    for (run, (name, _)) in (0..).map(|i| format!("zoo{i}")).zip(ZOO).take(6) {
        let output = bench.run(&format!("score --run {run} --data other.npz --method lid --set lid.estimator=spectral --set lid.scale.kind=fixed --set lid.scale.r=-3 --out {run}.csv"));
        let refused = ["autoencoder", "bigan"].contains(&name);
        assert_eq!(output.status.success(), !refused, "{name}: {}", texts(&output).1);
    }
    // A background model may be of any family.
    bench.ok("train --config zoo1.yaml --run background --set data.mutation=0.1 --quiet");
    bench.ok("score --run zoo1 --data other.npz --method likelihood_ratio --set background=background --out r.csv --quiet");
    // A model beside the one in question needs a density, too; and a step that is done does not go on.
    let message = bench.error("score --run zoo1 --data other.npz --method likelihood_ratio --set background=zoo0 --out r.csv");
    assert!(
        message.contains("the run `zoo0` cannot do that: an autoencoder has no log-density"),
        "{message}"
    );
    // More importance samples, a tighter bound: of the same model, beside what is kept of it.
    let bound = |samples: &str| {
        bench.ok(&format!(
            "score --run zoo1 --data other.npz --method likelihood --out b.csv --quiet {samples}"
        ));
        let text = std::fs::read_to_string(bench.path("b.csv")).unwrap();
        let values =
            text.lines().skip(2).map(|l| l.rsplit(',').next().unwrap().parse::<f64>().unwrap());
        values.sum::<f64>()
    };
    let [one, own, many] =
        ["--set importance_samples=1", "", "--set importance_samples=500"].map(bound);
    assert!(one <= own && own <= many && one < many, "{one}, {own}, {many}");
    // Nats of an energy have another origin for each, those on a surface another unit.
    let waic = "--data other.npz --out r.csv --method waic --set";
    let message = bench.error(&format!("score --run zoo6 {waic} ensemble=[zoo1]"));
    assert!(message.contains("an energy-based model has no normalised log-density"), "{message}");
    let message = bench.error(&format!("score --run zoo1 {waic} ensemble=[zoo6]"));
    assert!(message.contains("the run `zoo6` cannot do that"), "{message}");
    let message = bench.error(&format!("score --run zoo1 {waic} ensemble=[zoo10]"));
    assert!(message.contains("over 3 dimensions, the model one over 64"), "{message}");
    let message = bench.error("score --run zoo5 --data other.npz --method dose --out r.csv");
    assert!(message.contains("reads what the other methods read; name some"), "{message}");
    // A gate judges by what a model has.
    let picture = image::GrayImage::from_raw(8, 8, vec![90; 64]).unwrap();
    picture.save(bench.path("grey.png")).unwrap();
    for run in ["zoo0", "zoo6", "zoo10"] {
        bench.ok(&format!(
            "train --config {run}.yaml --run gated-{run} --set data.valid=train.npz --quiet"
        ));
        let out = bench.run(&format!(
            "gate --run gated-{run} --false-alarms 0.1 --set calibration_count=40 --json grey.png"
        ));
        let answer: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        assert_eq!(answer["method"], "combined", "{}", texts(&out).1);
        assert!(answer["images"][0]["p_value"].is_f64(), "{answer}");
    }
    let message = bench.error("train --resume --run zoo10 --set epochs=5");
    assert!(message.contains("the first step is done, after 3 epochs"), "{message}");
    // Refused, it changed nothing.
    bench.ok("train --resume --run zoo10 --quiet");
    let reconstructions = bench.path("runs/zoo0/reconstructions/epoch-0003.png");
    assert!(reconstructions.exists());
    // Any model has weights and results to look at; what only a flow promises is left out.
    let text = bench.ok("doctor --run zoo1");
    assert!(
        text.starts_with("zoo1: healthy") && text.contains("results           0 values"),
        "{text}"
    );
    assert!(!text.contains("round trip"), "{text}");
}

/// What a trained model is not worth is said whether or not progress is shown, and stands in the log.
#[test]
fn a_model_that_learned_nothing_says_so() {
    let bench = Bench::new();
    let vae =
        "name: vae, shape: [1, 8, 8], latent: 3, network: {kind: mlp, hidden: [16]}, beta: 1e4";
    let energy = "name: energy, shape: [1, 8, 8], network: {kind: mlp, hidden: [16], activation: silu}, buffer: 32, langevin: {steps: 3}, spectral_norm: false, alpha: 0.1";
    for (run, model, rate, epochs, complaint) in [
        ("vae", vae, "1e-2", 20, "the posterior has collapsed: none of the 3 latents"),
        ("energy", energy, "30", 1, "the energies are exploding"),
    ] {
        bench.file(
            &format!("{run}.yaml"),
            &format!("data: {{train: train.npz}}\nmodel: {{{model}}}\noptimizer: {{lr: {rate}}}\nepochs: {epochs}\nbatch_size: 8\nsamples: {{every: 0}}\n"),
        );
        for quiet in ["", " --quiet"] {
            let name = format!("{run}{}", quiet.len());
            let output = bench.run(&format!("train --config {run}.yaml --run {name}{quiet}"));
            let said = texts(&output).1;
            assert!(output.status.success(), "{said}");
            assert!(said.contains(&format!("warning: {complaint}")), "{name}: {said}");
            let log = std::fs::read_to_string(bench.path(&format!("runs/{name}/metrics.jsonl")));
            let last: serde_json::Value =
                serde_json::from_str(log.unwrap().lines().last().unwrap()).unwrap();
            assert!(last["warning"].as_str().unwrap().starts_with(complaint), "{last}");
        }
    }
}

/// The second step of a two-step model stands behind the first.
#[test]
fn a_second_step_that_fails_costs_the_first_nothing() {
    let bench = Bench::new();
    let model = |first: &str| {
        format!(
            "data: {{train: train.npz}}\nmodel: {{name: two_step, first: {{{first}, shape: [1, 8, 8], latent: 3, network: {{kind: mlp, hidden: [16]}}}}, second: {{name: rq_nsf_vector, dimension: 3, layers: 1, hidden: 8}}, second_training: {{optimizer: {{kind: adam_w, lr: 1e30}}}}}}\nepochs: 20\nbatch_size: 8\noptimizer: {{lr: 1e-2}}\nscheduler: {{kind: one_cycle}}\nsamples: {{every: 0}}\n"
        )
    };
    bench.file("two.yaml", &model("name: autoencoder"));
    let message = bench.error("train --config two.yaml --quiet");
    assert!(
        message.contains("of the second step") && message.contains("--resume goes on behind it"),
        "{message}"
    );
    assert!(message.contains("--set model.second_training.optimizer.lr="), "{message}");
    let first = std::fs::read(bench.path("runs/two/first/model/best.safetensors")).unwrap();
    let message =
        bench.error("train --resume --run two --set model.first.network.hidden=[8] --quiet");
    assert!(message.contains("`model.first.network.hidden` was [16] and is now [8]"), "{message}");
    bench.ok("train --resume --run two --set model.second_training.optimizer.lr=1e-3 --set model.second.hidden=4 --set model.second_training.epochs=3 --quiet");
    assert!(first == std::fs::read(bench.path("runs/two/first/model/best.safetensors")).unwrap());
    bench.ok("score --run two --data other.npz --method likelihood --out s.csv --quiet");
    // Now that it has begun, it stays what it is.
    let message = bench.error("train --resume --run two --set model.second.hidden=8 --quiet");
    assert!(message.contains("`model.second.hidden` was 4 and is now 8"), "{message}");

    // A density of latents that say nothing is none.
    bench.file("collapsed.yaml", &model("name: vae, beta: 1e4"));
    let message = bench.error("train --config collapsed.yaml --quiet");
    assert!(message.contains("the first step: the posterior has collapsed"), "{message}");
    assert!(message.contains("lower model.first.beta"), "{message}");
    assert!(!bench.path("runs/collapsed/second/model").exists());
}

/// A model of grey levels' middles is not shown noise that it has never seen.
#[test]
fn images_are_prepared_for_scoring_as_for_training() {
    let bench = Bench::new();
    bench.ok("train --config train.yaml --set data.dequantize=false --set data.valid=train.npz --set samples.quality=20 --run middle --quiet");
    let likelihoods = |set: &str| {
        bench.ok(&format!(
            "score --run middle --data other.npz --method likelihood --out s.csv --quiet {set}"
        ));
        std::fs::read_to_string(bench.path("s.csv")).unwrap()
    };
    let own = likelihoods("");
    assert_eq!(own, likelihoods("--set dequantize=false"));
    assert_ne!(own, likelihoods("--set dequantize=true"));
    // And what was asked of the training besides: how much its samples are like the data.
    let log = std::fs::read_to_string(bench.path("runs/middle/metrics.jsonl")).unwrap();
    let third: serde_json::Value = serde_json::from_str(log.lines().nth(2).unwrap()).unwrap();
    assert!(third["quality"]["coverage"].is_f64(), "{third}");
}

/// Killed wherever it stands, in either step, every model resumes to the same weights.
#[test]
fn every_killed_model_resumes_to_the_same_weights() {
    let bench = Bench::new();
    for run in zoo(&bench) {
        bench.ok(&format!("train --config {run}.yaml --quiet --run whole-{run}"));
        let two_step = bench.path(&format!("runs/whole-{run}/second")).exists();
        let parts: &[&str] = if two_step { &["/first", "/second"] } else { &[""] };
        for part in parts {
            let name = format!("cut-{run}{}", part.replace('/', "-"));
            let checkpoints = bench.path(&format!("runs/{name}{part}/checkpoints"));
            // Not what is still being written.
            let is_whole =
                |e: std::fs::DirEntry| e.file_name().to_string_lossy().starts_with("step-");
            let begun = || {
                std::fs::read_dir(&checkpoints).is_ok_and(|mut d| d.any(|e| e.is_ok_and(is_whole)))
            };
            bench.kill(&format!("train --config {run}.yaml --quiet --run {name}"), begun);
            bench.ok(&format!("train --resume --run {name} --quiet"));
            let weights = |run: &str| {
                std::fs::read(bench.path(&format!("runs/{run}/model/best.safetensors"))).unwrap()
            };
            assert!(weights(&name) == weights(&format!("whole-{run}")), "{run}{part}");
        }
    }
}

#[test]
fn halves_that_do_not_fit_are_named() {
    let bench = Bench::new();
    let two_step = |first: &str, second: &str| {
        let text = format!(
            "data: {{train: train.npz}}\nmodel: {{name: two_step, first: {{{first}}}, second: {{{second}}}}}\n"
        );
        bench.file("two.yaml", &text);
        bench.error("train --config two.yaml")
    };
    let first = "name: vae, shape: [1, 8, 8], latent: 3";
    let second = "name: rq_nsf_vector, dimension: 3";
    for (first, second, expected) in [
        (
            first,
            "name: rq_nsf_vector, dimension: 4",
            "`model.second.dimension` makes the second step a density of inputs of shape [4, 1, 1], but the latents of the first are vectors of dimension 3",
        ),
        (first, "name: energy, shape: [1, 2, 2]", "`model.second.shape`"),
        (
            first,
            "name: vae, shape: [3, 1, 1], latent: 2",
            "`model.second.name` is no density estimator",
        ),
        (second, second, "`model.first.name` is no autoencoder"),
        (
            "name: vae, shape: [1, 8, 8], latent: 65",
            second,
            "`model.first.latent` is 65, but it must be at most the data's dimension, 64",
        ),
        ("name: vae, shape: [1, 8, 8], latent: 3, beta: 0", second, "`model.first.beta` is 0"),
    ] {
        let message = two_step(first, second);
        assert!(message.contains(expected), "{message}");
    }
    for (model, expected) in [
        (
            "name: pixel_cnn, shape: [5, 1, 1]",
            "`model.shape` is [5, 1, 1], but it must be that of images",
        ),
        (
            "name: vae, shape: [5, 1, 1], latent: 2, likelihood: {kind: discretized_logistic}",
            "`model.likelihood.kind` is discretized_logistic",
        ),
    ] {
        bench.file("two.yaml", &format!("data: {{train: train.npz}}\nmodel: {{{model}}}\n"));
        let message = bench.error("train --config two.yaml");
        assert!(message.contains(expected), "{message}");
    }
    let message = two_step(&format!("{first}, latnt: 4"), second);
    assert!(message.contains("latnt") && message.contains("did you mean `latent`"), "{message}");
}
