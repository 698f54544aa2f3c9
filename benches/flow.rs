//! The small greyscale RQ-NSF of the demo on the CPU: training step, log-density, sampling, decoder Jacobian with its
//! spectrum. `cargo bench --bench flow`.

use atypical::{
    config,
    data::{Images, Noise},
    jacobian::{self, Differential, Linearized, Map, Memory, Mode},
    lid::Spectrum,
    train::Descent,
};
use atypical_forward::on_forward;
use atypical_models::{
    DensityModel,
    flow::{Elementwise, Flow, ImagePreset},
};
use burn::{
    backend::{Autodiff, Flex},
    module::AutodiffModule,
    tensor::{Tensor, TensorData},
};
use criterion::{Criterion, criterion_group, criterion_main};

const BATCH: usize = 64;

fn flow() -> Flow<Autodiff<Flex>> {
    let preset = ImagePreset {
        hidden: [16, 24, 64],
        repeats: [2, 2, 2],
        dropout: 0.0,
        ..Default::default()
    };
    let config = preset.expand(&Elementwise::RqSpline { bins: 8, tail: 3.0 });
    let mut flow = Flow::new(&config, 0, &Default::default()).expect("the preset is valid");
    flow.initialize(Tensor::from_inner(batch()));
    flow
}

fn batch() -> Tensor<Flex, 2> {
    let images = Images::random(BATCH, [1, 28, 28], 0);
    let index: Vec<usize> = (0..BATCH).collect();
    let data = images.unit(&index, Noise::Evaluation { seed: 0 }).expect("they are in memory");
    Tensor::from_data(TensorData::new(data, [BATCH, 784]), &Default::default())
}

fn benches(c: &mut Criterion) {
    // Parameters are tracked only on the backend that differentiates.
    let mut descent = Descent::new(flow().into(), &config::Optimizer::default(), None);
    let (flow, x) = (flow().valid(), batch());
    let mut group = c.benchmark_group("rq_nsf_small");
    group.sample_size(10);

    group.bench_function("training_step/64", |b| {
        b.iter(|| descent.step(Tensor::from_inner(x.clone()), 1e-4));
    });
    group.bench_function("log_prob/64", |b| b.iter(|| flow.log_prob(x.clone()).into_data()));
    group.bench_function("sample/64", |b| {
        b.iter(|| flow.sample(BATCH, &Default::default()).into_data());
    });

    let one = x.clone().narrow(0, 0, 1);
    let z = flow.encode(one).0;
    let memory = Memory::mib(512);
    let exact = || jacobian::decoder(&Linearized::new(&flow, z.clone()), memory).expect("finite");
    let jacobian = exact();
    let z0: Vec<f32> = z.clone().into_data().iter::<f32>().collect();
    group.bench_function("jacobian/784", |b| b.iter(exact));
    let reverse = Flow::<Autodiff<Flex>>::from_inner(flow.clone());
    let forward: Flow<_> = on_forward(flow.clone());
    // 2 MiB a direction: chunks of 255.
    let map = Map::new(|z| forward.decode(z).0, |z| reverse.decode(z).0, z.clone(), 2 << 20);
    for (name, mode) in [("forward", Mode::Forward), ("reverse", Mode::Reverse)] {
        group.bench_function(format!("jacobian_whole_{name}/784"), |b| {
            b.iter(|| jacobian::jacobian(&map, mode, memory, &Default::default()));
        });
    }
    let points = flow.encode(x).0;
    group.bench_function("linearize/64", |b| {
        b.iter(|| Linearized::new(&flow, points.clone()).decoded().into_data());
    });
    let at = Linearized::new(&flow, points.clone());
    group.bench_function("jvp/64", |b| b.iter(|| at.jvp(points.clone()).map(Tensor::into_data)));
    group.bench_function("vjp/64", |b| b.iter(|| at.vjp(points.clone()).map(Tensor::into_data)));
    group.bench_function("spectrum/784", |b| b.iter(|| Spectrum::new(&jacobian, &z0)));
}

criterion_group!(flows, benches);
criterion_main!(flows);
