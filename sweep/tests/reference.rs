//! Grids of the reference, by their number of trials as counted from its files, and the example of the format.

use atypical_sweep::space::{
    Command, Goal, Method, Stop, SweepFile, asha, content_address, expand,
};
use std::{collections::HashSet, path::Path};

fn read(name: &str) -> SweepFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sweeps")
        .join(name)
        .with_extension("yaml");
    SweepFile::read(&std::fs::read_to_string(&path).unwrap(), &path).unwrap()
}

#[test]
fn the_references_grids_have_their_number_of_trials() {
    for (name, trials) in [
        ("grayscale_flows", 10),
        ("colorful_flows", 12),
        ("grayscale_complexity", 20),
        ("grayscale_complexity_without_itself", 16),
        ("rgb_ratios", 16),
        ("grayscale_diffusion_ratio", 300),
        ("grayscale_lid_vs_likelihood", 360),
        ("grayscale_id_vs_likelihood", 440),
    ] {
        let sweep = read(name);
        let expansion = expand(&sweep).unwrap();
        let addresses: HashSet<String> = expansion
            .points
            .iter()
            .map(|point| content_address(&point.sets.iter().cloned().collect()))
            .collect();
        assert_eq!(
            (sweep.name.as_str(), expansion.points.len(), addresses.len()),
            (name, trials, trials)
        );
        assert_eq!((expansion.duplicates, expansion.warnings), (0, vec![]), "{name}");
    }
}

#[test]
fn a_model_never_meets_its_own_data() {
    let points = expand(&read("grayscale_complexity_without_itself")).unwrap().points;
    assert!(points.iter().all(|point| point.choices[0].1 != point.choices[1].1));
    assert_eq!(points[0].label(), "model=fashion-mnist ood=mnist");
}

#[test]
fn the_whole_format() {
    let sweep = read("whole_format");
    assert_eq!(
        (sweep.name.as_str(), sweep.command, sweep.method),
        ("greyscale-flows", Command::Train, Method::Grid)
    );
    assert_eq!(sweep.base, [Path::new("../train/rq_nsf_fmnist.yaml")]);
    assert_eq!(sweep.metric.as_ref().unwrap().goal, Goal::Minimize);
    let Some(Stop::Asha(halving)) = &sweep.stop else { panic!("no asha") };
    assert_eq!(asha::rungs(halving.min, halving.max, halving.factor), [1, 3, 9, 27]);
    let expansion = expand(&sweep).unwrap();
    // Of 3 models with fashion-mnist and 3 with mnist, two are excluded.
    assert_eq!(expansion.points.len(), 2 * 5 * 5 * (3 + 3 - 2));
    assert_eq!(expansion.excluded, 2 * 5 * 5 * 2);
    let label = "optimizer.lr=0.0003 seed=4 optimizer.weight_decay=0.01 dataset=mnist model=rq_nsf";
    assert_eq!(expansion.points.last().unwrap().label(), label);
}

#[test]
fn editors_get_a_schema() {
    let schema = schemars::schema_for!(SweepFile).to_value();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["command", "axes"]));
    let axis = schema["$defs"]["Axis"]["anyOf"].as_array().unwrap();
    assert_eq!(axis.len(), 6);
    assert_eq!(axis[1]["required"], serde_json::json!(["range"]));
    assert_eq!(axis[1]["properties"]["step"]["default"], 1);
    assert!(
        axis.iter().all(|shape| shape["type"] == "array" || shape["additionalProperties"] == false)
    );
}
