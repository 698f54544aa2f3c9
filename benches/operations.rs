//! The extension operations on the CPU, fused and as tensor operations: values, and values with gradients. Sizes are those of the
//! greyscale flows at batch 64. `cargo bench --bench operations`, or `cargo bench --bench operations -- spline` for some.

use atypical_models::{
    flow::CouplingMap,
    ops::{
        Direction, FlowBackend, SplineShape, channel_affine, channel_affine_reference, elementwise,
        elementwise_reference, rectified_conv, rectified_conv_reference,
    },
};
use burn::{
    backend::{Autodiff, Flex},
    tensor::{Distribution, Tensor, backend::Backend},
};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

type Differentiable = Autodiff<Flex>;

const BATCH: usize = 64;

fn random<B: Backend, const D: usize>(dims: [usize; D]) -> Tensor<B, D> {
    Tensor::random(dims, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// Time `operation`, which sums what it makes, on tracked inputs and with its backward pass.
fn gradients<const D: usize>(
    inputs: [Tensor<Differentiable, D>; 2],
    operation: impl Fn([Tensor<Differentiable, D>; 2]) -> Tensor<Differentiable, 1>,
) {
    let inputs = inputs.map(Tensor::require_grad);
    let gradients = operation(inputs.clone()).backward();
    black_box(inputs.map(|x| x.grad(&gradients)));
}

fn couplings(c: &mut Criterion) {
    let spline = SplineShape { bins: 8, tail: 3.0, logit_scale: 0.125 };
    let maps = [("rq_spline", CouplingMap::RqSpline(spline)), ("affine", CouplingMap::Affine)];
    // Half of the 4 channels of the first level.
    let (channels, positions) = (2, 14 * 14);
    for (name, map) in maps {
        let dims = [BATCH, channels * map.parameters(), positions];
        let mut group = c.benchmark_group(name);
        let (x, parameters) = (random::<Flex, 3>([BATCH, channels, positions]), random(dims));
        for direction in [Direction::Forward, Direction::Inverse] {
            let run = |f: fn(_, _, _, _) -> (Tensor<Flex, 3>, _)| {
                black_box(f(x.clone(), parameters.clone(), map, direction));
            };
            group.bench_function(format!("{direction:?}/fused"), |b| {
                b.iter(|| run(elementwise::<Flex>));
            });
            group.bench_function(format!("{direction:?}/tensors"), |b| {
                b.iter(|| run(elementwise_reference::<Flex>));
            });
        }
        let (x, parameters) = (Tensor::from_inner(x), Tensor::from_inner(parameters));
        let run = |f: fn(_, _, _, _) -> (Tensor<Differentiable, 3>, Tensor<Differentiable, 3>)| {
            gradients([x.clone(), parameters.clone()], |[x, parameters]| {
                let (y, log_derivative) = f(x, parameters, map, Direction::Forward);
                y.sum() + log_derivative.sum()
            });
        };
        group.bench_function("Gradients/fused", |b| b.iter(|| run(elementwise)));
        group.bench_function("Gradients/tensors", |b| b.iter(|| run(elementwise_reference)));
    }
}

/// One of the conditioners' convolutions.
struct Convolution {
    name: &'static str,
    /// Channels in and out.
    channels: [usize; 2],
    side: usize,
    kernel: usize,
}

const CONVOLUTIONS: [Convolution; 4] = [
    Convolution { name: "conv 3x3 on 14x14", channels: [64, 64], side: 14, kernel: 3 },
    Convolution { name: "conv 3x3 on 7x7", channels: [64, 64], side: 7, kernel: 3 },
    Convolution { name: "conv 1x1 on 14x14", channels: [64, 46], side: 14, kernel: 1 },
    Convolution { name: "conv 1x1 on 1x1", channels: [1024, 1024], side: 1, kernel: 1 },
];

fn inputs<B: FlowBackend>(of: &Convolution) -> ([Tensor<B, 4>; 2], Tensor<B, 1>) {
    let Convolution { channels: [input, output], side, kernel, .. } = *of;
    let x = random([BATCH, input, side, side]);
    ([x, random([output, input, kernel, kernel])], random([output]))
}

fn convolutions(c: &mut Criterion) {
    for of in CONVOLUTIONS {
        let mut group = c.benchmark_group(of.name);
        let ([x, weight], bias) = inputs::<Flex>(&of);
        let run = |f: fn(_, _, _, _) -> Tensor<Flex, 4>| {
            black_box(f(x.clone(), weight.clone(), bias.clone(), None));
        };
        group.bench_function("Forward/fused", |b| b.iter(|| run(rectified_conv)));
        group.bench_function("Forward/tensors", |b| b.iter(|| run(rectified_conv_reference)));
        let (tracked, bias) = inputs::<Differentiable>(&of);
        let run = |f: fn(_, _, _, _) -> Tensor<Differentiable, 4>| {
            gradients(tracked.clone(), |[x, weight]| f(x, weight, bias.clone(), None).sum());
        };
        group.bench_function("Gradients/fused", |b| b.iter(|| run(rectified_conv)));
        group.bench_function("Gradients/tensors", |b| b.iter(|| run(rectified_conv_reference)));
    }
}

fn channels(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel_affine on 14x14");
    let (x, scale, shift) =
        (random::<Flex, 4>([BATCH, 4, 14, 14]), random::<Flex, 1>([4]), random::<Flex, 1>([4]));
    group.bench_function("Forward/fused", |b| {
        b.iter(|| black_box(channel_affine(x.clone(), scale.clone(), shift.clone())));
    });
    group.bench_function("Forward/tensors", |b| {
        b.iter(|| black_box(channel_affine_reference(x.clone(), scale.clone(), shift.clone())));
    });
}

fn short() -> Criterion {
    Criterion::default().sample_size(20)
}

criterion_group!(name = operations; config = short(); targets = couplings, convolutions, channels);
criterion_main!(operations);
