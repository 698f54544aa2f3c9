//! The fused operations as CubeCL kernels, for WGPU and CUDA, in f32: elementwise maps with one thread an element and no copy of the
//! parameters into another layout, convolutions as tiled products.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments)]

mod affine;
mod layers;
mod product;
mod spline;

use super::{AdamWStep, CouplingMap, Direction, FlowBackend, Fused};
use burn::tensor::{
    DType, Shape, Tensor, TensorPrimitive,
    backend::Backend,
    ops::{FloatTensor, FloatTensorOps},
};
use burn_cubecl::{
    BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement, kernel::into_contiguous,
    ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use product::Factors;

impl<R, F, I, BT> FlowBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    const ELEMENTWISE: Fused = Fused::Gradients;
    const LAYERS: Fused = Fused::Gradients;

    fn elementwise(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        map: CouplingMap,
        direction: Direction,
    ) -> FloatTensor<Self> {
        let [batch, channels, positions] = x.meta.shape().dims();
        let [x, parameters] = [x, parameters].map(into_contiguous);
        let output = empty(&x, [2, batch, channels, positions]);
        let (client, count, dim) = work(&x);
        let inverse = direction == Direction::Inverse;
        let [x, parameters, to] = [x, parameters, output.clone()].map(CubeTensor::into_array_arg);
        match map {
            CouplingMap::RqSpline(shape) => spline::evaluate::launch::<R>(
                &client,
                count,
                dim,
                x,
                parameters,
                to,
                positions,
                shape.tail as f32,
                shape.logit_scale as f32,
                shape.bins,
                inverse,
            ),
            CouplingMap::Affine => affine::evaluate::launch::<R>(
                &client,
                count,
                dim,
                x,
                parameters,
                to,
                channels * positions,
                inverse,
            ),
        }
        output
    }

    fn elementwise_gradient(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        map: CouplingMap,
        direction: Direction,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [_, channels, positions] = x.meta.shape().dims();
        let [x, parameters, output, gradient] =
            [x, parameters, output, gradient].map(into_contiguous);
        let dx = empty(&x, x.meta.shape().clone());
        let d_parameters = empty(&x, parameters.meta.shape().clone());
        let (client, count, dim) = work(&x);
        let inverse = direction == Direction::Inverse;
        let [x, parameters, output, gradient, to_x, to_parameters] =
            [x, parameters, output, gradient, dx.clone(), d_parameters.clone()]
                .map(CubeTensor::into_array_arg);
        match map {
            CouplingMap::RqSpline(shape) => spline::differentiate::launch::<R>(
                &client,
                count,
                dim,
                x,
                parameters,
                output,
                gradient,
                to_x,
                to_parameters,
                positions,
                shape.tail as f32,
                shape.logit_scale as f32,
                shape.bins,
                inverse,
            ),
            CouplingMap::Affine => affine::differentiate::launch::<R>(
                &client,
                count,
                dim,
                x,
                parameters,
                output,
                gradient,
                to_x,
                to_parameters,
                channels * positions,
                inverse,
            ),
        }
        (dx, d_parameters)
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        layers::channel_affine(x, scale, shift)
    }

    fn channel_affine_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        let shift = layers::channel_sums(gradient.clone(), None);
        [layers::channel_sums(x, Some(gradient)), shift]
    }

    fn conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        skip: Option<FloatTensor<Self>>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        let y = product::convolve(x, weight, Factors::Forward, rectify);
        let bias = tensor::<Self, 1>(bias).reshape([1, -1, 1, 1]);
        let y = tensor::<Self, 4>(y) + bias;
        let y = match skip {
            Some(skip) => y + tensor(skip),
            None => y,
        };
        y.into_primitive().tensor()
    }

    fn conv_product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        product::convolve(x, weight, Factors::Forward, false)
    }

    fn conv_adjoint(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        rectified: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let dx = product::convolve(gradient, weight, Factors::Adjoint, false);
        let Some(rectified) = rectified else { return dx };
        let stopped = tensor::<Self, 4>(rectified).lower_equal_elem(0.0);
        tensor::<Self, 4>(dx).mask_fill(stopped, 0.0).into_primitive().tensor()
    }

    fn conv_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: usize,
        rectify: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let bias = layers::channel_sums(gradient.clone(), None);
        (product::weight_gradient(x, gradient, kernel, rectify), bias)
    }

    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        if a.dtype == DType::F32 { product::matrices(a, b) } else { Self::float_matmul(a, b) }
    }

    fn tiled(x: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
        layers::tiled(x, factor)
    }

    fn adam_w(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        step: AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        layers::adam_w(parameter, gradient, moments, step)
    }

    fn sum_of_squares(tensors: Vec<FloatTensor<Self>>) -> f64 {
        layers::sum_of_squares(tensors)
    }
}

fn tensor<B: Backend, const D: usize>(x: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

/// A contiguous tensor beside `like`, its values unset.
fn empty<R: CubeRuntime>(like: &CubeTensor<R>, shape: impl Into<Shape>) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), like.dtype)
}

/// One thread for each element.
fn work<R: CubeRuntime>(x: &CubeTensor<R>) -> (ComputeClient<R>, CubeCount, CubeDim) {
    let elements = x.meta.num_elements();
    let dim = CubeDim::new(&x.client, elements);
    (x.client.clone(), calculate_cube_count_elemwise(&x.client, elements, dim), dim)
}

/// Where the first of element i's parameters is; the next one is `run` further on. `run` elements follow each other, then the next of their
/// parameters do.
#[cube]
fn first_parameter(i: usize, run: usize, #[comptime] parameters: usize) -> usize {
    i / run * parameters * run + i % run
}

#[cube]
fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + f32::exp(-x))
}
