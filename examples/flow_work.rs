//! Times one piece of work on a flow of the reference's size and prints the seconds as JSON; `scripts/bench_flow.py` pairs it with
//! PyTorch.
//!
//! `cargo run --release --example flow_work -- --model rq_nsf --shape 1 28 28 --work train --batch 64 --seconds 6`

use atypical::{config::Optimizer, train::Descent};
use atypical_models::{
    DensityModel,
    flow::{Elementwise, Flow, ImagePreset},
};
use burn::{
    backend::{Autodiff, Flex},
    module::AutodiffModule,
    tensor::{Distribution, Tensor},
};
use clap::{Parser, ValueEnum};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
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
    let Arguments { model, shape, work, batch, seconds } = Arguments::parse();
    let device = Default::default();
    let preset =
        ImagePreset { shape: [shape[0], shape[1], shape[2]], dropout: 0.0, ..Default::default() };
    let elementwise = match model {
        Model::RqNsf => Elementwise::RqSpline { bins: 8, tail: 3.0 },
        Model::Glow => Elementwise::Affine {},
    };
    let config = preset.expand(&elementwise);
    // Parameters are tracked only on the backend that differentiates.
    let mut flow = Flow::<Autodiff<Flex>>::new(&config, 0, &device).expect("a flow");
    let range = Distribution::Uniform(0.02, 0.98);
    let draw = |n| Tensor::<Flex, 2>::random([n, shape.iter().product()], range, &device);
    flow.initialize(Tensor::from_inner(draw(64)));
    // As in PyTorch's process: the peak counts from here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let x = draw(batch);
    let budget = Duration::from_secs_f64(seconds);
    let inner = flow.valid();
    let median = match work {
        Work::LogProb => repeated(budget, || {
            inner.log_prob(x.clone()).into_data();
        }),
        Work::Sample => repeated(budget, || {
            inner.sample(batch, &device).into_data();
        }),
        Work::Train => {
            drop(inner);
            let mut descent = Descent::new(flow, &Optimizer::default(), Some(1.0));
            let x = Tensor::from_inner(x);
            repeated(budget, || {
                descent.step(x.clone(), 1e-3);
            })
        }
    };
    println!("{{\"seconds\": {median}}}");
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
