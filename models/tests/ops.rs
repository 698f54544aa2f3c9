//! The fused operations against their versions in tensor operations, values and gradients.

#[allow(dead_code)]
mod common;

use atypical_models::{
    FlowBackend,
    ops::{
        AdamWStep, CouplingMap, Direction, Fused, SplineShape, channel_affine,
        channel_affine_reference, conv_product, elementwise, elementwise_reference, product,
        rectified_conv, rectified_conv_reference, same_conv, same_conv_reference, sum_of_squares,
        tiled,
    },
};
use burn::{
    backend::{Autodiff, Flex},
    tensor::{Tensor, TensorPrimitive},
};
use common::{deviation, uniform, values};

/// The tensor operations of this backend are the oracle for all: burn's ndarray backend rounds some functions to three digits, and CUDA's matrix products have
/// eleven bits.
type Oracle = Flex;

fn maps<B: FlowBackend>() {
    assert!(Autodiff::<B>::ELEMENTWISE != Fused::No, "nothing to compare");
    let spline = |bins, tail| CouplingMap::RqSpline(SplineShape { bins, tail, logit_scale: 0.4 });
    // Positions that fill vectors, that leave a rest, and single ones.
    for (map, dims) in [
        (spline(8, 3.0), [3, 4, 7]),
        (spline(2, 1.0), [3, 4, 7]),
        (spline(16, 2.0), [2, 3, 37]),
        (spline(8, 3.0), [2, 35, 1]),
        (spline(4, 3.0), [1, 1, 3]),
        (CouplingMap::Affine, [3, 4, 7]),
        (CouplingMap::Affine, [2, 3, 37]),
        (CouplingMap::Affine, [2, 5, 1]),
    ] {
        for direction in [Direction::Forward, Direction::Inverse] {
            let fused = map_and_gradients::<B>(map, dims, direction, true);
            let reference = map_and_gradients::<Oracle>(map, dims, direction, false);
            let names = ["value", "log-derivative", "gradient of x", "gradient of the parameters"];
            for ((name, fused), reference) in names.iter().zip(fused).zip(reference) {
                let error = deviation(&fused, &reference);
                // nflows' own gradients in f32 are up to 4e-3 from those in f64 on parameters like these.
                let allowed = if name.starts_with("gradient") { 5e-3 } else { 1e-3 };
                assert!(error < allowed, "{name}, {map:?}, {direction:?}: off by {error}");
            }
        }
    }
}

fn map_and_gradients<B: FlowBackend>(
    map: CouplingMap,
    dims: [usize; 3],
    direction: Direction,
    fused: bool,
) -> [Vec<f64>; 4] {
    type Ad<B> = Autodiff<B>;
    let device = Default::default();
    let [batch, channels, positions] = dims;
    let leaf = |seed, dims, range| uniform::<Ad<B>, 3>(dims, range, seed, &device).require_grad();
    let x = leaf(1, dims, -4.0..4.0);
    let parameters = leaf(2, [batch, channels * map.parameters(), positions], -6.0..6.0);
    // Different weights for values and log-derivatives keep the two gradients apart.
    let weight = uniform::<Ad<B>, 3>(dims, -1.0..1.0, 5, &device);
    let route = if fused { elementwise::<Ad<B>> } else { elementwise_reference };
    let (y, log_derivative) = route(x.clone(), parameters.clone(), map, direction);
    let objective =
        (y.clone() * weight.clone()).sum() + (log_derivative.clone() * weight.powi_scalar(2)).sum();
    let gradients = objective.backward();
    [
        values(y),
        values(log_derivative),
        values(x.grad(&gradients).unwrap()),
        values(parameters.grad(&gradients).unwrap()),
    ]
}

fn affine_channels<B: FlowBackend>() {
    for dims in [[3, 4, 5, 7], [5, 6, 1, 1], [2, 1, 3, 3]] {
        let fused = affine_channels_and_gradients::<B>(dims, true);
        let reference = affine_channels_and_gradients::<Oracle>(dims, false);
        for (i, (fused, reference)) in fused.iter().zip(&reference).enumerate() {
            let error = deviation(fused, reference);
            assert!(error < 1e-5, "part {i}, {dims:?}: off by {error}");
        }
    }
}

fn affine_channels_and_gradients<B: FlowBackend>(dims: [usize; 4], fused: bool) -> [Vec<f64>; 4] {
    type Ad<B> = Autodiff<B>;
    let device = Default::default();
    let x = uniform::<Ad<B>, 4>(dims, -1.0..1.0, 1, &device).require_grad();
    let [scale, shift] =
        [2, 3].map(|seed| uniform::<Ad<B>, 1>([dims[1]], -2.0..2.0, seed, &device).require_grad());
    let weight = uniform::<Ad<B>, 4>(dims, -1.0..1.0, 4, &device);
    let route = if fused { channel_affine::<Ad<B>> } else { channel_affine_reference };
    let y = route(x.clone(), scale.clone(), shift.clone());
    let gradients = (y.clone() * weight).sum().backward();
    [
        values(y),
        values(x.grad(&gradients).unwrap()),
        values(scale.grad(&gradients).unwrap()),
        values(shift.grad(&gradients).unwrap()),
    ]
}

/// Of a convolution.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    /// Channels of the input and of the output.
    channels: [usize; 2],
    map: [usize; 2],
    kernel: usize,
}

fn sizes((dims, map, kernel): ([usize; 3], [usize; 2], usize)) -> Sizes {
    Sizes { batch: dims[0], channels: [dims[1], dims[2]], map, kernel }
}

fn conv<B: FlowBackend>() {
    for case in [
        ([5, 3, 4], [6, 5], 3),
        ([3, 2, 3], [17, 19], 3),
        ([3, 9, 16], [14, 14], 3),
        ([9, 8, 19], [7, 6], 3),
        ([5, 8, 19], [7, 6], 3),
        ([2, 2, 5], [4, 4], 5),
        ([9, 4, 6], [3, 3], 1),
        ([7, 5, 2], [1, 1], 1),
        ([1, 3, 2], [2, 1], 3),
        // Sums that are long enough to be taken in parts.
        ([4, 32, 70], [9, 9], 3),
        ([9, 300, 70], [1, 1], 1),
        ([1, 300, 250], [1, 1], 1),
    ] {
        let sizes = sizes(case);
        for (rectify, skip) in [(false, false), (true, false), (true, true)] {
            let fused = conv_and_gradients::<B>(sizes, rectify, skip, true);
            let reference = conv_and_gradients::<Oracle>(sizes, rectify, skip, false);
            for (i, (fused, reference)) in fused.iter().zip(&reference).enumerate() {
                let error = deviation(fused, reference);
                // Gradients of weights are sums over up to 600 positions.
                assert!(
                    error < 3e-5,
                    "part {i}, {sizes:?}, rectified {rectify}, skip {skip}: off by {error}"
                );
            }
        }
    }
}

fn conv_and_gradients<B: FlowBackend>(
    sizes: Sizes,
    rectify: bool,
    skip: bool,
    fused: bool,
) -> Vec<Vec<f64>> {
    let device = Default::default();
    let Sizes { batch, channels: [input, output], map: [height, width], kernel } = sizes;
    let leaf =
        |seed, dims| uniform::<Autodiff<B>, 4>(dims, -1.0..1.0, seed, &device).require_grad();
    let x = leaf(1, [batch, input, height, width]);
    let w = leaf(2, [output, input, kernel, kernel]);
    let b = uniform::<Autodiff<B>, 1>([output], -1.0..1.0, 3, &device).require_grad();
    let weight = leaf(4, [batch, output, height, width]).detach();
    let s = skip.then(|| leaf(5, [batch, output, height, width]));
    let y = match (rectify, fused) {
        (false, true) => same_conv(x.clone(), w.clone(), b.clone()),
        (false, false) => same_conv_reference(x.clone(), w.clone(), b.clone()),
        (true, true) => rectified_conv(x.clone(), w.clone(), b.clone(), s.clone()),
        (true, false) => rectified_conv_reference(x.clone(), w.clone(), b.clone(), s.clone()),
    };
    let gradients = (y.clone() * weight).sum().backward();
    let mut all = vec![
        values(y),
        values(x.grad(&gradients).unwrap()),
        values(w.grad(&gradients).unwrap()),
        values(b.grad(&gradients).unwrap()),
    ];
    all.extend(s.map(|s| values(s.grad(&gradients).unwrap())));
    all
}

/// The bare convolution and its adjoint, by whichever algorithm the sizes choose, against the tensor operations.
fn conv_both_ways<B: FlowBackend>() {
    for case in [
        ([3, 9, 16], [14, 14], 3),
        ([7, 8, 11], [7, 7], 3),
        ([1, 12, 8], [5, 6], 3),
        ([4, 3, 5], [6, 5], 3),
        ([9, 4, 6], [3, 3], 1),
        ([7, 5, 2], [1, 1], 1),
        ([2, 2, 5], [4, 4], 5),
    ] {
        let sizes = sizes(case);
        for adjoint in [false, true] {
            let (x, w) = factors::<B>(sizes, adjoint);
            let got = values(conv_product(x, w, adjoint));
            let (x, w) = factors::<Oracle>(sizes, adjoint);
            let direct = if adjoint { w.swap_dims(0, 1).flip([2, 3]) } else { w };
            let zero = Tensor::zeros([direct.dims()[0]], &Default::default());
            let error = deviation(&got, &values(same_conv_reference(x, direct, zero)));
            assert!(error < 1e-5, "{sizes:?}, adjoint {adjoint}: off by {error}");
        }
    }
}

/// What a convolution or its adjoint multiplies.
fn factors<B: FlowBackend>(sizes: Sizes, adjoint: bool) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let Sizes { batch, channels: [input, output], map: [height, width], kernel } = sizes;
    let from = if adjoint { output } else { input };
    let device = Default::default();
    let x = uniform([batch, from, height, width], -1.0..1.0, 1, &device);
    (x, uniform([output, input, kernel, kernel], -1.0..1.0, 2, &device))
}

/// A factor for each sample, over all directions; the tensor that is scaled may be held by others, or be a view.
fn tiled_factors<B: FlowBackend>() {
    let device = Default::default();
    let factor = uniform::<B, 4>([3, 2, 5, 4], -1.0..1.0, 1, &device);
    for count in [1, 4] {
        let wide = uniform::<B, 4>([3 * count, 4, 5, 4], -1.0..1.0, 2, &device);
        let x = wide.clone().narrow(1, 1, 2);
        let before = values(x.clone());
        let expected = values(x.clone() * factor.clone().repeat_dim(0, count));
        assert_eq!(values(tiled(x.clone(), &factor)), expected);
        assert_eq!(values(x), before, "what others hold is left alone");
    }
}

/// Products of matrices to the precision of f32, which those of CUDA's tensor cores do not have.
fn matrix_products<B: FlowBackend>() {
    let device = Default::default();
    for [count, rows, depth, columns] in [[3, 70, 200, 131], [1, 1, 5, 3], [40, 2, 23, 64]] {
        let a = uniform::<B, 3>([count, rows, depth], -1.0..1.0, 1, &device);
        // A view, as products with a transposed matrix have it.
        let b = uniform::<B, 3>([count, columns, depth], -1.0..1.0, 2, &device);
        let got = values(product(a.clone(), b.clone().swap_dims(1, 2)));
        let (a, b) = (values(a), values(b));
        let expected: Vec<f64> = (0..count * rows * columns)
            .map(|i| {
                let (layer, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
                let a = &a[(layer * rows + row) * depth..][..depth];
                let b = &b[(layer * columns + column) * depth..][..depth];
                a.iter().zip(b).map(|(a, b)| a * b).sum()
            })
            .collect();
        let error = deviation(&got, &expected);
        assert!(error < 1e-5, "{rows}x{depth}x{columns}: off by {error}");
    }
}

/// A step of AdamW against its formula in f64; what others hold is left alone.
fn adam_w_step<B: FlowBackend>() {
    let device = Default::default();
    let draw = |seed, range| uniform::<B, 2>([37, 29], range, seed, &device);
    let [parameter, gradient, first] = [1, 2, 3].map(|seed| draw(seed, -1.0..1.0));
    let second = draw(4, 0.0..1.0);
    let step = AdamWStep {
        lr: 0.01,
        weight_decay: 0.1,
        betas: [0.9, 0.99],
        epsilon: 1e-8,
        time: 3,
        scale: 0.25,
    };
    let before = [&parameter, &gradient, &first, &second].map(|t| values(t.clone()));
    let [p, g, m, s] =
        [&parameter, &gradient, &first, &second].map(|t| t.clone().into_primitive().tensor());
    let after = B::adam_w(p, g, [m, s], step)
        .map(|t| values(Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(t))));
    let held = [&parameter, &gradient, &first, &second].map(|t| values(t.clone()));
    assert_eq!(held, before);
    let [p, g, m, s] = before;
    let mut expected = [(); 3].map(|()| Vec::new());
    for i in 0..p.len() {
        let g = 0.25 * g[i];
        let m = 0.9 * m[i] + 0.1 * g;
        let s = 0.99 * s[i] + 0.01 * g * g;
        let (m_hat, s_hat) = (m / (1.0 - 0.9f64.powi(3)), s / (1.0 - 0.99f64.powi(3)));
        expected[0].push((1.0 - 0.01 * 0.1) * p[i] - 0.01 * m_hat / (s_hat.sqrt() + 1e-8));
        expected[1].push(m);
        expected[2].push(s);
    }
    for (after, expected) in after.iter().zip(&expected) {
        let error = deviation(after, expected);
        assert!(error < 1e-6, "off by {error}");
    }
}

/// Over tensors of one group and of several.
fn squares<B: FlowBackend>() {
    let device = Default::default();
    let tensors = [
        uniform::<B, 2>([3, 1], -1.0..1.0, 1, &device),
        uniform([170, 301], -1.0..1.0, 2, &device),
        uniform([1, 1], -1.0..1.0, 3, &device),
    ];
    let expected: f64 = tensors.iter().flat_map(|t| values(t.clone())).map(|v| v * v).sum();
    let got = sum_of_squares::<B>(tensors.map(|t| t.into_primitive().tensor()).into());
    assert!((got - expected).abs() < 1e-6 * expected, "{got} against {expected}");
    assert_eq!(sum_of_squares::<B>(Vec::new()), 0.0);
}

/// A NaN in the input stays a NaN in the output, on both routes.
fn nan_passes_through<B: FlowBackend>() {
    let device = Default::default();
    let spline = SplineShape { bins: 4, tail: 3.0, logit_scale: 1.0 };
    let x = Tensor::<B, 3>::full([1, 1, 2], f32::NAN, &device);
    for map in [CouplingMap::RqSpline(spline), CouplingMap::Affine] {
        let parameters = Tensor::<B, 3>::zeros([1, map.parameters(), 2], &device);
        for direction in [Direction::Forward, Direction::Inverse] {
            for route in [elementwise::<B>, elementwise_reference::<B>] {
                let (y, _) = route(x.clone(), parameters.clone(), map, direction);
                assert!(values(y).iter().all(|v| v.is_nan()));
            }
        }
    }
    for (side, kernel) in [(1, 1), (2, 3), (6, 3), (14, 3)] {
        let x = Tensor::<B, 4>::full([2, 8, side, side], f32::NAN, &device);
        let w = Tensor::ones([8, 8, kernel, kernel], &device);
        for map in [rectified_conv::<B>, rectified_conv_reference::<B>] {
            let y = map(x.clone(), w.clone(), Tensor::zeros([8], &device), None);
            assert!(values(y).iter().all(|v| v.is_nan()), "{side}x{side}");
        }
    }
}

macro_rules! suite {
    ($($backend:ident: $type:ty),*) => {$(
        mod $backend {
            #[test]
            fn fused_elementwise_maps_match_the_tensor_operations() {
                super::maps::<$type>();
            }

            #[test]
            fn fused_affine_channels_match_the_tensor_operations() {
                super::affine_channels::<$type>();
            }

            #[test]
            fn fused_convolution_matches_the_tensor_operations() {
                super::conv::<$type>();
            }

            #[test]
            fn bare_convolution_matches_both_ways() {
                super::conv_both_ways::<$type>();
            }

            #[test]
            fn factors_are_those_of_the_samples() {
                super::tiled_factors::<$type>();
            }

            #[test]
            fn matrix_products_have_full_precision() {
                super::matrix_products::<$type>();
            }

            #[test]
            fn adam_w_takes_the_step_of_its_formula() {
                super::adam_w_step::<$type>();
            }

            #[test]
            fn squares_are_summed_over_all_tensors() {
                super::squares::<$type>();
            }
        }
    )*};
}

// Not on WGPU, whose shading language lets an implementation assume that there are none.
#[test]
fn nan_passes_through_on_flex() {
    nan_passes_through::<burn::backend::Flex>();
}

#[test]
fn nan_passes_through_on_ndarray() {
    nan_passes_through::<burn::backend::NdArray<f32>>();
}

suite!(flex: burn::backend::Flex, ndarray: burn::backend::NdArray<f32>);
#[cfg(feature = "wgpu")]
suite!(wgpu: burn::backend::Wgpu);
#[cfg(feature = "cuda")]
suite!(cuda: burn::backend::Cuda);
