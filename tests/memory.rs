//! Jacobians and products with them stay within the memory that they are given; training takes no more from step to step.

use atypical::{
    config,
    jacobian::{self, Differential, JacobianError, Linearized, Memory},
    lid::{MatrixFree, StopAt},
    train::Descent,
};
use atypical_models::{
    DensityModel,
    flow::{Elementwise, Flow, ImagePreset},
};
use burn::{
    backend::{Autodiff, Flex},
    tensor::{Distribution, Tensor, backend::Backend},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What the work takes at its peak beside what is there before it, in bytes.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = work();
    (result, HEAP.peak_usage() - before)
}

fn flow<B: Backend>() -> Flow<B> {
    let preset = ImagePreset { shape: [1, 16, 16], hidden: [32, 32, 64], ..Default::default() };
    let spline = Elementwise::RqSpline { bins: 8, tail: 3.0 };
    Flow::new(&preset.expand(&spline), 0, &Default::default()).unwrap()
}

/// The matrix kernels keep buffers, as large as the machine's caches, once a process, whatever multiplies first.
fn warm(flow: &Flow<Flex>) {
    flow.log_prob(Tensor::random([64, 256], Distribution::Default, &Default::default()));
}

#[test]
fn the_budget_bounds_the_peak() {
    let flow = flow::<Flex>();
    warm(&flow);
    let z = Tensor::random([1, 256], Distribution::Normal(0.0, 1.0), &Default::default());
    let at = Linearized::new(&flow, z);
    let mut peaks = Vec::new();
    for mib in [3, 4, 64] {
        let (made, peak) = peak(|| jacobian::decoder(&at, Memory::mib(mib)));
        made.unwrap();
        assert!(peak <= (mib << 20), "{peak} bytes of {mib} MiB");
        peaks.push(peak);
    }
    assert!(peaks[0] < peaks[2], "more memory is used where it is there: {peaks:?}");
    let error = jacobian::decoder(&at, Memory(1 << 17)).unwrap_err();
    assert!(matches!(error, JacobianError::Memory { .. }), "{error}");
}

#[test]
fn products_are_made_for_as_many_points_as_fit() {
    let flow = flow::<Flex>();
    warm(&flow);
    let settings = MatrixFree { max_steps: 12, ..Default::default() };
    let all = Tensor::random([64, 256], Distribution::Normal(0.0, 1.0), &Default::default());
    for mib in [4usize, 16] {
        let one = Linearized::new(&flow, all.clone().narrow(0, 0, 1));
        let points =
            settings.points(Memory::mib(mib), 256, one.bytes(), one.bytes_per_direction()).unwrap();
        assert!((1..64).contains(&points), "{points} points in {mib} MiB");
        let z = all.clone().narrow(0, 0, points);
        let (_, peak) = peak(|| {
            let at = Linearized::new(&flow, z.clone());
            settings.prepare(&at, z, StopAt::Everywhere, 0).unwrap()
        });
        assert!(peak <= (mib << 20), "{peak} bytes of {mib} MiB, {points} points");
    }
}

#[test]
fn training_takes_no_more_from_step_to_step() {
    let mut descent = Descent::new(flow().into(), &config::Optimizer::default(), Some(1.0));
    let x =
        Tensor::<Autodiff<Flex>, 2>::random([8, 256], Distribution::Default, &Default::default());
    let mut steps = |count| {
        for _ in 0..count {
            descent.step(x.clone(), 1e-4);
        }
        HEAP.current_usage()
    };
    let before = steps(10);
    let after = steps(40);
    // The maps of one convolution alone are 128 KiB a step; burn's own bookkeeping grows by half a KiB.
    assert!(after < before + (256 << 10), "{before} bytes after 10 steps, {after} after 50");
}
