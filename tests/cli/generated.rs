//! Samples of a run as data are drawn once.

use super::{Bench, texts};
use std::path::PathBuf;

/// Files of samples that are kept beside a run.
fn kept(bench: &Bench, run: &str) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(bench.path(&format!("runs/{run}/cache"))) else {
        return Vec::new();
    };
    let paths = folder.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.filter(|path| name(path).starts_with("generated-")).collect()
}

/// The scores of eight samples of a run, and what is said meanwhile.
fn scored(bench: &Bench, run: &str, data: &str, more: &str) -> (Vec<String>, String) {
    let command = format!(
        "score --run {run} --data {data} --method likelihood --out scores.csv --quiet {more}"
    );
    let output = bench.run(&command);
    let (_, error) = texts(&output);
    assert!(output.status.success(), "{error}");
    let text = std::fs::read_to_string(bench.path("scores.csv")).unwrap();
    let values = text.lines().skip(2).map(|line| line.split(',').nth(4).unwrap().to_owned());
    (values.collect(), error)
}

#[test]
fn samples_are_drawn_once() {
    let bench = Bench::trained();
    let samples = "generated:train[:8]";
    let (drawn, _) = scored(&bench, "train", samples, "");
    let [file] = &kept(&bench, "train")[..] else { panic!("one file of samples is kept") };
    let whole = std::fs::read(file).unwrap();

    // What is there is read: other images in its place are taken for the samples.
    std::fs::copy(bench.path("other.npz"), file).unwrap();
    let (others, _) = scored(&bench, "train", "other.npz", "");
    assert_ne!(drawn, others);
    let (read, said) = scored(&bench, "train", samples, "");
    assert_eq!((read, said.as_str()), (others, ""));

    // What is damaged, or of another number, is drawn again, and said.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 16;
    bench.npz("seven.npz", &[7, 8, 8], &[9u8; 7 * 64]);
    let seven = std::fs::read(bench.path("seven.npz")).unwrap();
    for damaged in [&whole[..whole.len() - 30], &flipped[..], &seven[..], &[]] {
        std::fs::write(file, damaged).unwrap();
        let (again, said) = scored(&bench, "train", samples, "");
        assert_eq!(again, drawn);
        assert!(said.contains("warning: samples are drawn anew"), "{said}");
        assert_eq!(std::fs::read(file).unwrap(), whole, "it is whole again");
    }

    // Another seed, another number and other weights are other samples.
    let (seeded, _) = scored(&bench, "train", samples, "--seed 9");
    assert_ne!(seeded, drawn);
    scored(&bench, "train", "generated:train[:4]", "");
    assert_eq!(kept(&bench, "train").len(), 3);
    bench.ok("train --config train.yaml --run other --seed 3 --quiet");
    std::fs::create_dir(bench.path("runs/other/cache")).unwrap();
    let name = file.file_name().unwrap();
    std::fs::copy(bench.path("other.npz"), bench.path("runs/other/cache").join(name)).unwrap();
    let (of_other, said) = scored(&bench, "other", "generated:other[:8]", "");
    assert_eq!((kept(&bench, "other").len(), said.as_str()), (2, ""));
    let others = scored(&bench, "other", "other.npz", "").0;
    assert!(of_other != others && of_other != drawn);
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be() {
    let bench = Bench::trained();
    let set = "--set out_of_distribution=['generated:train[:8]']";
    let scores = |more: &str| {
        bench.ok(&format!("ood --config ood.yaml --name o --quiet {set} {more}"));
        std::fs::read(bench.path("runs/o/scores.parquet")).unwrap()
    };
    let fresh = scores("--no-cache");
    assert!(kept(&bench, "train").is_empty());
    assert!(scores("") == fresh);
    let [file] = &kept(&bench, "train")[..] else { panic!("one file of samples is kept") };
    // Nor is it read.
    std::fs::copy(bench.path("other.npz"), file).unwrap();
    assert!(scores("--no-cache") == fresh);
    assert!(scores("") != fresh);
    // A folder that cannot be is no error.
    std::fs::remove_dir_all(bench.path("runs/train/cache")).unwrap();
    bench.file("runs/train/cache", "in the way");
    let (_, said) = scored(&bench, "train", "generated:train[:8]", "");
    assert!(said.contains("warning: the samples of train are not kept"), "{said}");
}

#[test]
fn samples_are_calibrated_by_samples() {
    let bench = Bench::trained();
    let said = |inside: &str| {
        let sets = format!(
            "--set in_distribution={inside} --set calibration='generated:train[8:40]' --set calibration_count=32"
        );
        let output = bench.run(&format!("ood --config ood.yaml --name o --quiet {sets}"));
        let (_, error) = texts(&output);
        assert!(output.status.success(), "{error}");
        error.contains("and `calibration` is generated:train[8:40]")
    };
    assert!(!said("['generated:train[:8]']"));
    assert!(said("train.npz[:8]"), "images are not what the model draws");
}
