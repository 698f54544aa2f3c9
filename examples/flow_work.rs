//! Times one piece of work on a flow of the reference's size and prints the seconds as JSON; `scripts/bench_flow.py` pairs it with
//! PyTorch.
//!
//! `cargo run --release --example flow_work -- --model rq_nsf --shape 1 28 28 --work train --batch 64 --seconds 6`
//!
//! Other backends are built in with `--features` and chosen by `--backend`.

use atypical::{backend::BackendName, config::Optimizer, train::Descent, with_backend};
use atypical_models::{
    DensityModel, FlowBackend,
    flow::{Elementwise, Flow, ImagePreset},
};
use burn::{
    backend::Autodiff,
    module::AutodiffModule,
    tensor::{Distribution, Tensor},
};
use clap::{Parser, ValueEnum};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = BackendName::Flex, value_enum)]
    backend: BackendName,
    #[arg(long)]
    model: Model,
    #[arg(long, num_args = 3)]
    shape: Vec<usize>,
    #[arg(long)]
    work: Work,
    #[arg(long)]
    batch: usize,
    /// Seconds to spend, about
    #[arg(long)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Model {
    RqNsf,
    Glow,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Work {
    Train,
    LogProb,
    Sample,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.backend.check(0) {
        eprintln!("{error}");
        std::process::exit(2);
    }
    let median = with_backend!(arguments.backend, 0, |B, device| seconds::<B>(arguments, &device));
    println!("{{\"seconds\": {median}}}");
}

fn seconds<B: FlowBackend>(arguments: Arguments, device: &B::Device) -> f64 {
    let Arguments { backend: _, model, shape, work, batch, seconds } = arguments;
    let preset =
        ImagePreset { shape: [shape[0], shape[1], shape[2]], dropout: 0.0, ..Default::default() };
    let elementwise = match model {
        Model::RqNsf => Elementwise::RqSpline { bins: 8, tail: 3.0 },
        Model::Glow => Elementwise::Affine {},
    };
    let config = preset.expand(&elementwise);
    // Parameters are tracked only on the backend that differentiates.
    let mut flow = Flow::<Autodiff<B>>::new(&config, 0, device).expect("a flow");
    let range = Distribution::Uniform(0.02, 0.98);
    let draw = |n| Tensor::<B, 2>::random([n, shape.iter().product()], range, device);
    flow.initialize(Tensor::from_inner(draw(64)));
    // As in PyTorch's process: the peak counts from here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let x = draw(batch);
    let budget = Duration::from_secs_f64(seconds);
    let inner = flow.valid();
    match work {
        Work::LogProb => repeated(budget, || {
            inner.log_prob(x.clone()).into_data();
        }),
        Work::Sample => repeated(budget, || {
            inner.sample(batch, device).into_data();
        }),
        Work::Train => {
            drop(inner);
            let mut descent = Descent::new(flow.into(), &Optimizer::default(), Some(1.0));
            let x = Tensor::from_inner(x);
            repeated(budget, || {
                descent.step(x.clone(), 1e-3);
                B::sync(device).expect("the device answers");
            })
        }
    }
}

/// Median seconds, after a repetition that is not counted.
fn repeated(budget: Duration, mut repetition: impl FnMut()) -> f64 {
    repetition();
    let (start, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < 3 || start.elapsed() < budget {
        let before = Instant::now();
        repetition();
        seconds.push(before.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
