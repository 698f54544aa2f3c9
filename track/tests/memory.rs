//! Trackers that all fail cost disk, not memory.

mod common;

use atypical_track::{Mlflow, TensorBoard, Trackers, Wandb};
use common::{Warnings, run, values};
use peak_alloc::PeakAlloc;
use std::{net::TcpListener, time::Instant};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn a_hundred_thousand_calls_do_not_grow_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    // A port of this machine that nobody listens on any longer.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let warnings = Warnings::default();
    let trackers = Trackers::start(
        run(dir.path()),
        vec![
            Box::new(Wandb::new(&file)),
            Box::new(TensorBoard::new(&file)),
            Box::new(Mlflow::new(&format!("http://{closed}")).unwrap()),
        ],
        warnings.hear(),
    )
    .unwrap();
    let metrics = values([("train/bpd", 3.25), ("train/grad_norm", 0.125)]);
    MEMORY.reset_peak_usage();
    let (before, start) = (MEMORY.current_usage_as_mb(), Instant::now());
    (0..100_000).for_each(|step| trackers.log(step, metrics.clone()));
    eprintln!("100000 calls for three trackers: {:.2} s", start.elapsed().as_secs_f64());
    let grown = MEMORY.peak_usage_as_mb() - before;
    assert!(grown < 4.0, "{grown} MB");
    for name in ["wandb", "tensorboard", "mlflow"] {
        let spool = dir.path().join(format!("track/{name}.spool.jsonl"));
        let lines = std::fs::read_to_string(spool).unwrap().lines().count();
        assert_eq!(lines, 100_000, "{name}");
        let said = warnings.all().iter().filter(|text| text.starts_with(name)).count();
        assert_eq!(said, 1, "{:?}", warnings.all());
    }
    // Its end would wait for them in vain.
    std::mem::forget(trackers);
}
