//! TensorBoard's own reader reads what is logged.

mod common;

use atypical_track::{Outcome, TensorBoard, Trackers};
use base64::{Engine, prelude::BASE64_STANDARD};
use common::{PNG, Warnings, python, run, table, values};
use serde_json::json;

const READ: &str = r#"
import base64, json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
read = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
hparams = []
for tag in ("_hparams_/session_start_info", "_hparams_/session_end_info"):
    data = plugin_data_pb2.HParamsPluginData.FromString(read.SummaryMetadata(tag).plugin_data.content)
    start = data.session_start_info.hparams
    hparams.append({key: start[key].number_value or start[key].string_value for key in start} or data.session_end_info.status)
print(json.dumps({
    "scalars": {tag: [[e.step, str(e.value)] for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]},
    "images": {tag: [[e.step, e.width, e.height, base64.b64encode(e.encoded_image_string).decode()] for e in read.Images(tag)] for tag in read.Tags()["images"]},
    "texts": {tag: [e.tensor_proto.string_val[0].decode() for e in read.Tensors(tag)] for tag in read.Tags()["tensors"] if not tag.startswith("_")},
    "plugins": sorted(read.PluginTagToContent("text")),
    "hparams": hparams,
}))
"#;

#[test]
fn tensorboard_reads_what_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("tensorboard");
    let warnings = Warnings::default();
    for (from, outcome) in [(0, Outcome::Preempted), (2, Outcome::Done)] {
        let trackers: Vec<_> = vec![Box::new(TensorBoard::new(&events)) as _];
        let trackers = Trackers::start(run(dir.path()), trackers, warnings.hear()).unwrap();
        for step in from..from + 2 {
            trackers.log(step, values([("train/bpd", 3.0 + step as f64 / 8.0), ("bad", f64::NAN)]));
            trackers.image(step, "samples", PNG.to_vec());
        }
        if outcome == Outcome::Done {
            trackers.table(3, "ood", table());
            trackers.summary(3, values([("auroc", 0.5), ("worst", f64::NEG_INFINITY)]));
        }
        trackers.finish(outcome);
    }
    warnings.none();
    let Some(read) = python(READ, &[events.to_str().unwrap()]) else { return };
    let bpd = json!([[0, "3.0"], [1, "3.125"], [2, "3.25"], [3, "3.375"]]);
    let bad = json!([[0, "nan"], [1, "nan"], [2, "nan"], [3, "nan"]]);
    let scalars =
        json!({ "train/bpd": bpd, "bad": bad, "auroc": [[3, "0.5"]], "worst": [[3, "-inf"]] });
    assert_eq!(read["scalars"], scalars);
    let png = BASE64_STANDARD.encode(PNG);
    let image = |step| json!([step, 2, 3, png]);
    assert_eq!(read["images"], json!({ "samples": [image(0), image(1), image(2), image(3)] }));
    let ood = "| set | auroc |\n| --- | --- |\n| svhn | 0.95 |\n| a \"quote\" | NaN |\n";
    let texts = &read["texts"];
    assert_eq!(texts["ood"], json!([ood]));
    assert!(texts["config"][0].as_str().unwrap().contains("| model.bins | 8 |\n"), "{texts}");
    assert_eq!(read["plugins"], json!(["config", "ood"]));
    let hparams =
        json!({ "model.name": "rq_nsf", "model.bins": 8.0, "lr": 5e-4, "shape": "[3,32]" });
    assert_eq!(read["hparams"], json!([hparams, 1]));
}
