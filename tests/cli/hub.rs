//! Runs on the hub, by the program: published with what an experiment found, and used from there.

use super::{Bench, texts};
use atypical_hub::loopback::{Loopback, TOKEN};

#[test]
fn a_run_goes_to_the_hub_and_is_used_from_there() {
    let (bench, server) = (Bench::trained(), Loopback::start());
    bench.ok("ood --config ood.yaml --name found --quiet");
    let on_hub = |arguments: &str| {
        let mut command = bench.command(arguments);
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_TOKEN", TOKEN);
        texts(&command.output().unwrap())
    };
    let (out, error) = on_hub("hub push train --repo me/run --ood found --private");
    assert!(out.contains("read it with: --run hf://me/run"), "{out}{error}");
    assert_eq!(server.is_private("me/run"), Some(true));
    server.serve_commit("me/run");

    let scored = |run: &str| {
        let (_, error) = on_hub(&format!(
            "score --run {run} --data other.npz --method likelihood --out scores.csv --quiet"
        ));
        assert_eq!(error, "");
        let text = std::fs::read_to_string(bench.path("scores.csv")).unwrap();
        // Without the run's name, which is that of its repository there.
        text.lines().filter_map(|line| Some(line.split_once(',')?.1.to_owned())).collect::<Vec<_>>()
    };
    let here = scored("train");
    std::fs::remove_dir_all(bench.path("runs/train")).unwrap();
    assert_eq!(scored("hf://me/run"), here);
    let commit = server.commit();
    let paths: Vec<&str> = commit.iter().filter_map(|l| l["value"]["path"].as_str()).collect();
    for file in ["README.md", "learning.png", "ood/found/roc.png", "ood/found/report.html"] {
        assert!(paths.contains(&file), "{file} of {paths:?}");
    }

    // Another experiment's run, a run that is none, and no token.
    bench.ok("train --config train.yaml --run second --quiet");
    let message = on_hub("hub push second --repo me/run --ood found").1;
    assert!(message.contains("is of train, not of second"), "{message}");
    let message = on_hub("hub push found --repo me/run").1;
    assert!(message.contains("is an experiment of `ood`, not a trained run"), "{message}");
    let mut without = bench.command("hub push second --repo me/other");
    let output = without.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", bench.path("home"));
    let message = texts(&output.env_remove("HF_TOKEN").output().unwrap()).1;
    assert!(message.contains("HF_TOKEN"), "{message}");
}
