//! The elementwise maps as CubeCL kernels, for WGPU and CUDA: one thread an element, in f32, no copy of the parameters into another
//! layout.

// A kernel's buffers and numbers are its arguments.
#![allow(clippy::too_many_arguments)]

mod affine;
mod spline;

use super::{CouplingMap, Direction, FlowBackend, Fused};
use burn::tensor::{Shape, ops::FloatTensor};
use burn_cubecl::{
    BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement, kernel::into_contiguous,
    ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

impl<R, F, I, BT> FlowBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    const ELEMENTWISE: Fused = Fused::Gradients;

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
