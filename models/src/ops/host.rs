//! The fused operations on host memory, in parallel over samples, for the CPU backends.

use super::{
    AdamWStep, CouplingMap, Direction, FlowBackend, Fused, affine,
    conv::{self as convolution, Geometry, PIECE, each_channel, zeros},
    kernel,
};
use burn::tensor::{Tensor, TensorData, TensorMetadata, backend::Backend, ops::FloatTensor};
use rayon::prelude::*;
use std::borrow::Cow;

macro_rules! host_backend {
    ($backend:ty) => {
        impl FlowBackend for $backend {
            const ELEMENTWISE: Fused = Fused::Gradients;
            const LAYERS: Fused = Fused::Gradients;

            fn elementwise(
                x: FloatTensor<Self>,
                parameters: FloatTensor<Self>,
                map: CouplingMap,
                direction: Direction,
            ) -> FloatTensor<Self> {
                elementwise::<Self>(x, parameters, map, direction)
            }

            fn elementwise_gradient(
                x: FloatTensor<Self>,
                parameters: FloatTensor<Self>,
                output: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                map: CouplingMap,
                direction: Direction,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                elementwise_gradient::<Self>(x, parameters, output, gradient, map, direction)
            }

            fn channel_affine(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                shift: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                channel_affine::<Self>(x, scale, shift)
            }

            fn channel_affine_gradient(
                x: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 2] {
                channel_affine_gradient::<Self>(x, gradient)
            }

            fn conv(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                skip: Option<FloatTensor<Self>>,
                rectify: bool,
            ) -> FloatTensor<Self> {
                conv::<Self>(x, weight, Some(bias), skip, rectify)
            }

            fn conv_product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
                conv::<Self>(x, weight, None, None, false)
            }

            fn conv_adjoint(
                gradient: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                rectified: Option<FloatTensor<Self>>,
            ) -> FloatTensor<Self> {
                conv_adjoint::<Self>(gradient, weight, rectified)
            }

            fn tiled(x: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
                tiled::<Self>(x, factor)
            }

            fn adam_w(
                parameter: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                moments: [FloatTensor<Self>; 2],
                step: AdamWStep,
            ) -> [FloatTensor<Self>; 3] {
                adam_w::<Self>(parameter, gradient, moments, step)
            }

            fn sum_of_squares(tensors: Vec<FloatTensor<Self>>) -> f64 {
                tensors.into_iter().map(sum_of_squares::<Self>).sum()
            }

            fn conv_weight_gradient(
                x: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                kernel: usize,
                rectify: bool,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                conv_weight_gradient::<Self>(x, gradient, kernel, rectify)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_backend!(burn_flex::Flex);
#[cfg(feature = "ndarray")]
host_backend!(burn_ndarray::NdArray<f32>);

/// Double precision, by the tensor operations: to see what is rounding and what is not.
#[cfg(feature = "ndarray")]
impl FlowBackend for burn_ndarray::NdArray<f64> {}

/// A backend whose tensors lie in host memory.
trait Host: Backend {
    /// The tensor's values, row-major; lent where they lie so, copied where they do not.
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]>;

    /// The tensor's values, row-major: its own where nothing else holds them.
    fn owned(tensor: FloatTensor<Self>) -> Vec<f32> {
        let data = burn::tensor::read_sync(Self::float_into_data(tensor));
        data.ok().and_then(|data| data.into_vec::<f32>().ok()).expect("the caller checked for f32")
    }
}

#[cfg(feature = "flex")]
impl Host for burn_flex::Flex {
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        match tensor.as_slice::<f32>() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(Self::owned(tensor.clone())),
        }
    }

    fn owned(tensor: FloatTensor<Self>) -> Vec<f32> {
        match tensor.as_slice::<f32>() {
            // Copied by all threads.
            Some(values) if !tensor.is_unique() => {
                values.par_iter().with_min_len(PIECE).copied().collect()
            }
            _ => tensor.into_data().into_vec().expect("the caller checked for f32"),
        }
    }
}

#[cfg(feature = "ndarray")]
impl Host for burn_ndarray::NdArray<f32> {
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        Cow::Owned(Self::owned(tensor.clone()))
    }
}

fn dims<const D: usize>(tensor: &impl TensorMetadata) -> [usize; D] {
    tensor.shape().dims()
}

fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    dims: [usize; D],
    device: &B::Device,
) -> FloatTensor<B> {
    Tensor::<B, D>::from_data(TensorData::new(values, dims), device).into_primitive().tensor()
}

fn elementwise<B: Host>(
    x: FloatTensor<B>,
    parameters: FloatTensor<B>,
    map: CouplingMap,
    direction: Direction,
) -> FloatTensor<B> {
    let device = B::float_device(&x);
    let [batch, channels, positions] = dims(&x);
    let (x, parameters) = (B::values(&x), B::values(&parameters));
    let size = channels * positions;
    let mut out = zeros(2 * x.len());
    let (value, log_derivative) = out.split_at_mut(x.len());
    let arch = pulp::Arch::new();
    value
        .par_chunks_mut(size)
        .zip(log_derivative.par_chunks_mut(size))
        .zip(x.par_chunks(size).zip(parameters.par_chunks(size * map.parameters())))
        .for_each(|((value, log_derivative), (x, parameters))| match map {
            CouplingMap::RqSpline(shape) => {
                let sample =
                    kernel::Sample { x, logits: parameters, positions, shape: &shape, direction };
                arch.dispatch(kernel::Evaluate { sample, value, log_derivative });
            }
            CouplingMap::Affine => {
                arch.dispatch(affine::Evaluate { x, parameters, direction, value, log_derivative })
            }
        });
    tensor::<B, 4>(out, [2, batch, channels, positions], &device)
}

fn elementwise_gradient<B: Host>(
    x: FloatTensor<B>,
    parameters: FloatTensor<B>,
    output: FloatTensor<B>,
    gradient: FloatTensor<B>,
    map: CouplingMap,
    direction: Direction,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let device = B::float_device(&x);
    let (x_dims, parameter_dims) = (dims(&x), dims(&parameters));
    let [_, channels, positions] = x_dims;
    let (x, parameters) = (B::values(&x), B::values(&parameters));
    let (output, gradient) = (B::values(&output), B::values(&gradient));
    let size = channels * positions;
    let parameter_size = size * map.parameters();
    let (g_value, g_log) = gradient.split_at(x.len());
    let mut dx = zeros(x.len());
    let mut d_parameters = zeros(parameters.len());
    let arch = pulp::Arch::new();
    dx.par_chunks_mut(size).zip(d_parameters.par_chunks_mut(parameter_size)).enumerate().for_each(
        |(i, (dx, d_parameters))| {
            let [x, output, g_value, g_log] =
                [&*x, &*output, g_value, g_log].map(|t| &t[i * size..][..size]);
            let parameters = &parameters[i * parameter_size..][..parameter_size];
            let gradients = [g_value, g_log];
            match map {
                CouplingMap::RqSpline(shape) => {
                    let logits = parameters;
                    let sample = kernel::Sample { x, logits, positions, shape: &shape, direction };
                    let d_logits = d_parameters;
                    arch.dispatch(kernel::Differentiate {
                        sample,
                        output,
                        gradients,
                        dx,
                        d_logits,
                    });
                }
                CouplingMap::Affine => arch.dispatch(affine::Differentiate {
                    x,
                    parameters,
                    direction,
                    output,
                    gradients,
                    dx,
                    d_parameters,
                }),
            }
        },
    );
    (tensor::<B, 3>(dx, x_dims, &device), tensor::<B, 3>(d_parameters, parameter_dims, &device))
}

fn channel_affine<B: Host>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let (device, dims) = (B::float_device(&x), dims::<4>(&x));
    let (mut x, scale, shift) = (B::owned(x), B::values(&scale), B::values(&shift));
    let size = dims[1] * dims[2] * dims[3];
    x.par_chunks_mut(size).for_each(|x| {
        each_channel(x, scale.iter().zip(&*shift), |x, (scale, shift)| *x = *x * scale + shift);
    });
    tensor::<B, 4>(x, dims, &device)
}

fn channel_affine_gradient<B: Host>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> [FloatTensor<B>; 2] {
    let device = B::float_device(&x);
    let [_, channels, height, width] = dims(&x);
    let (x, gradient) = (B::values(&x), B::values(&gradient));
    let products: Vec<f32> =
        x.par_iter().zip(gradient.par_iter()).with_min_len(PIECE).map(|(x, g)| x * g).collect();
    [&products, &*gradient].map(|values| {
        let sums = convolution::sum_maps(values, channels, height * width);
        tensor::<B, 1>(sums, [channels], &device)
    })
}

fn conv<B: Host>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    skip: Option<FloatTensor<B>>,
    rectify: bool,
) -> FloatTensor<B> {
    let device = B::float_device(&x);
    let [batch, input, height, width] = dims(&x);
    let [output, _, kernel, _] = dims(&weight);
    let (x, weight) = (B::values(&x), B::values(&weight));
    let [bias, skip] = [&bias, &skip].map(|t| t.as_ref().map(B::values));
    let geometry = Geometry { batch, input, output, height, width, kernel };
    let y = convolution::forward(geometry, &x, &weight, bias.as_deref(), skip.as_deref(), rectify);
    tensor::<B, 4>(y, [batch, output, height, width], &device)
}

fn conv_adjoint<B: Host>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    rectified: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let device = B::float_device(&gradient);
    let [batch, _, height, width] = dims(&gradient);
    let [output, input, kernel, _] = dims(&weight);
    let (gradient, weight) = (B::values(&gradient), B::values(&weight));
    let rectified = rectified.as_ref().map(B::values);
    let geometry = Geometry { batch, input, output, height, width, kernel };
    let dx = convolution::input_gradient(geometry, &weight, &gradient, rectified.as_deref());
    tensor::<B, 4>(dx, [batch, input, height, width], &device)
}

fn tiled<B: Host>(x: FloatTensor<B>, factor: FloatTensor<B>) -> FloatTensor<B> {
    let (device, dims) = (B::float_device(&x), dims::<4>(&x));
    let (mut x, factor) = (B::owned(x), B::values(&factor));
    for x in x.chunks_mut(factor.len().max(1)) {
        x.par_chunks_mut(PIECE).zip(factor.par_chunks(PIECE)).for_each(|(x, factor)| {
            x.iter_mut().zip(factor).for_each(|(x, factor)| *x *= factor);
        });
    }
    tensor::<B, 4>(x, dims, &device)
}

fn adam_w<B: Host>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    moments: [FloatTensor<B>; 2],
    step: AdamWStep,
) -> [FloatTensor<B>; 3] {
    let (device, shape) = (B::float_device(&parameter), parameter.shape());
    let gradient = B::values(&gradient);
    let mut parameter = B::owned(parameter);
    let [mut first, mut second] = moments.map(B::owned);
    parameter
        .par_chunks_mut(PIECE)
        .zip(first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE)))
        .zip(gradient.par_chunks(PIECE))
        .for_each(|((parameter, (first, second)), gradient)| {
            step.apply(parameter, gradient, first, second);
        });
    [parameter, first, second]
        .map(|values| B::float_from_data(TensorData::new(values, shape.clone()), &device))
}

fn sum_of_squares<B: Host>(x: FloatTensor<B>) -> f64 {
    let piece = |x: &[f32]| x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
    let pieces: Vec<f64> = B::values(&x).par_chunks(PIECE).map(piece).collect();
    pieces.iter().sum()
}

fn conv_weight_gradient<B: Host>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    kernel: usize,
    rectify: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let device = B::float_device(&x);
    let [batch, input, height, width] = dims(&x);
    let [_, output, _, _] = dims(&gradient);
    let (x, gradient) = (B::values(&x), B::values(&gradient));
    let geometry = Geometry { batch, input, output, height, width, kernel };
    let (dw, db) = convolution::weight_gradient(geometry, &x, &gradient, rectify);
    let dw = tensor::<B, 4>(dw, [output, input, kernel, kernel], &device);
    (dw, tensor::<B, 1>(db, [output], &device))
}
