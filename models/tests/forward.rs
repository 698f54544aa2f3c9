//! Forward mode through whole flows, against reverse mode.

#[allow(dead_code)]
mod common;

use atypical_forward::{Forward, jvp, on_forward};
use atypical_models::{FlowBackend, flow::*, ops::*};
use burn::{
    backend::Autodiff,
    module::AutodiffModule,
    tensor::{Tensor, backend::AutodiffBackend},
};
use common::{deviation, perturbed, uniform, values};

/// `J v` for each direction v, from the dense Jacobian by one backward pass an output.
fn by_reverse<B: AutodiffBackend>(
    f: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>,
    x: Tensor<B::InnerBackend, 2>,
    directions: &[Vec<f64>],
) -> Vec<f64> {
    let dimension = x.dims()[1];
    let rows: Vec<Vec<f64>> = (0..dimension)
        .map(|i| {
            let x = Tensor::<B, 2>::from_inner(x.clone()).require_grad();
            let gradients = f(x.clone()).narrow(1, i, 1).sum().backward();
            values(x.grad(&gradients).unwrap())
        })
        .collect();
    let product = |row: &[f64], v: &[f64]| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
    directions
        .iter()
        .flat_map(|v| rows.iter().map(|row| product(row, v)).collect::<Vec<_>>())
        .collect()
}

/// `allowed` is the largest deviation.
fn flows<B: FlowBackend>(allowed: f64) {
    let device = Default::default();
    assert_eq!(Forward::<B>::ELEMENTWISE, Fused::Values);
    assert_eq!(Forward::<Autodiff<B>>::ELEMENTWISE, Fused::No);
    let image = ImagePreset {
        shape: [1, 8, 8],
        hidden: [6, 6, 8],
        repeats: [1, 1, 1],
        dropout: 0.5,
        ..Default::default()
    };
    let vector = VectorPreset { dimension: 5, layers: 2, hidden: 8, ..Default::default() };
    for transform in [Elementwise::RqSpline { bins: 8, tail: 3.0 }, Elementwise::Affine {}] {
        for (config, range) in
            [(image.expand(&transform), 0.05..0.95), (vector.expand(&transform), -2.0..2.0)]
        {
            let dimension = config.shape.iter().product();
            let flow = perturbed::<Autodiff<B>>(&config, 0.2, &device).without_dropout();
            let twin: Flow<Forward<B>> = on_forward(flow.valid());
            let x = uniform::<B, 2>([1, dimension], range, 1, &device);
            let z = flow.valid().encode(x.clone()).0;
            let v = uniform::<B, 3>([3, 1, dimension], -1.0..1.0, 2, &device);
            let directions: Vec<Vec<f64>> =
                values(v.clone()).chunks(dimension).map(<[f64]>::to_vec).collect();

            let (_, forward): (_, Tensor<B, 3>) =
                jvp(|x| twin.encode(x).0, x.clone(), v.clone()).unwrap();
            let reverse = by_reverse::<Autodiff<B>>(|x| flow.encode(x).0, x, &directions);
            let error = deviation(&values(forward), &reverse);
            assert!(error < allowed, "encode, {transform:?}: off by {error}");

            let (_, forward): (_, Tensor<B, 3>) = jvp(|z| twin.decode(z).0, z.clone(), v).unwrap();
            let reverse = by_reverse::<Autodiff<B>>(|z| flow.decode(z).0, z, &directions);
            let error = deviation(&values(forward), &reverse);
            assert!(error < allowed, "decode, {transform:?}: off by {error}");
        }
    }
}

/// Tangents of every operand, together and apart: fused against the tensor operations, which have burn's own rules.
fn operations<B: FlowBackend>() {
    let device = Default::default();
    let at = |dims: [usize; 3], seed| uniform::<B, 3>(dims, -2.5..2.5, seed, &device);
    let along = |dims: [usize; 4], seed| uniform::<B, 4>(dims, -1.0..1.0, seed, &device);
    let lifted = |with: bool, x: Tensor<B, 3>, t: Tensor<B, 4>| match with {
        true => atypical_forward::lift(x, t).unwrap(),
        false => atypical_forward::constant(x),
    };
    let spline = SplineShape { bins: 4, tail: 2.0, logit_scale: 0.7 };
    for map in [CouplingMap::RqSpline(spline), CouplingMap::Affine] {
        let q = map.parameters();
        let (x, parameters) = (at([2, 3, 5], 1), at([2, 3 * q, 5], 2));
        for direction in [Direction::Forward, Direction::Inverse] {
            for (first, second) in [(true, false), (false, true), (true, true)] {
                let x = lifted(first, x.clone(), along([2, 2, 3, 5], 3));
                let parameters = lifted(second, parameters.clone(), along([2, 2, 3 * q, 5], 4));
                let [fused, reference] = [elementwise::<Forward<B>>, elementwise_reference]
                    .map(|route| route(x.clone(), parameters.clone(), map, direction));
                for (fused, reference) in [(fused.0, reference.0), (fused.1, reference.1)] {
                    let tangents = |y| {
                        let tangents = atypical_forward::parts::<B, 3, 4>(y).unwrap().1;
                        // The affine map's log-derivative does not depend on x.
                        tangents.map_or(vec![0.0; 2 * 2 * 3 * 5], values)
                    };
                    let error = deviation(&tangents(fused), &tangents(reference));
                    assert!(error < 1e-3, "{map:?}, {direction:?}: off by {error}");
                }
            }
        }
    }
    let x = uniform::<B, 4>([2, 3, 4, 5], -1.0..1.0, 5, &device);
    let weight = uniform::<B, 4>([2, 3, 3, 3], -1.0..1.0, 6, &device);
    let bias = uniform::<B, 1>([2], -1.0..1.0, 7, &device);
    let tx = uniform::<B, 5>([2, 2, 3, 4, 5], -1.0..1.0, 8, &device);
    let tw = uniform::<B, 5>([2, 2, 3, 3, 3], -1.0..1.0, 9, &device);
    let tb = uniform::<B, 2>([2, 2], -1.0..1.0, 10, &device);
    let y = uniform::<B, 4>([2, 2, 4, 5], -1.0..1.0, 11, &device);
    let ty = uniform::<B, 5>([2, 2, 2, 4, 5], -1.0..1.0, 12, &device);
    for with in [[true, false, false], [false, true, false], [false, false, true], [true; 3]] {
        use atypical_forward::{constant, lift, parts};
        let x = if with[0] { lift(x.clone(), tx.clone()).unwrap() } else { constant(x.clone()) };
        let w = if with[1] {
            lift(weight.clone(), tw.clone()).unwrap()
        } else {
            constant(weight.clone())
        };
        let b =
            if with[2] { lift(bias.clone(), tb.clone()).unwrap() } else { constant(bias.clone()) };
        let [fused, reference] = [same_conv::<Forward<B>>, same_conv_reference].map(|map| {
            values(parts::<B, 4, 5>(map(x.clone(), w.clone(), b.clone())).unwrap().1.unwrap())
        });
        let error = deviation(&fused, &reference);
        assert!(error < 1e-5, "convolution, {with:?}: off by {error}");
        let skip = lift(y.clone(), ty.clone()).unwrap();
        for skip in [None, Some(skip)] {
            let [fused, reference] =
                [rectified_conv::<Forward<B>>, rectified_conv_reference].map(|map| {
                    let y = map(x.clone(), w.clone(), b.clone(), skip.clone());
                    values(parts::<B, 4, 5>(y).unwrap().1.unwrap())
                });
            let error = deviation(&fused, &reference);
            assert!(error < 1e-5, "rectified convolution, {with:?}: off by {error}");
        }
    }
}

macro_rules! suite {
    ($($backend:ident: $type:ty, $allowed:expr);*) => {$(
        mod $backend {
            #[test]
            fn products_through_flows_are_those_of_reverse_mode() {
                super::flows::<$type>($allowed);
            }

            #[test]
            fn fused_rules_match_the_tensor_operations() {
                super::operations::<$type>();
            }
        }
    )*};
}

// burn's ndarray backend rounds exponentials and logarithms, by how much depends on the processor: 2.4e-4 was seen without AVX-512.
suite!(flex: burn::backend::Flex, 2e-4; ndarray: burn::backend::NdArray<f32>, 1e-3);
#[cfg(feature = "wgpu")]
suite!(wgpu: burn::backend::Wgpu, 2e-4);
#[cfg(feature = "cuda")]
suite!(cuda: burn::backend::Cuda, 2e-4);
