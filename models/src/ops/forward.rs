//! Forward mode for the fused operations.

use super::{CouplingMap, Direction, FlowBackend, Fused, channel_affine_reference};
use atypical_forward::{Dual, Forward};
use burn::tensor::{Tensor, TensorMetadata, TensorPrimitive, ops::FloatTensor};

fn tensor<B: FlowBackend, const D: usize>(x: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

fn primitive<B: FlowBackend, const D: usize>(x: Tensor<B, D>) -> FloatTensor<B> {
    x.into_primitive().tensor()
}

impl<B: FlowBackend> FlowBackend for Forward<B> {
    const ELEMENTWISE: Fused = B::ELEMENTWISE.differentiated();
    const LAYERS: Fused = B::LAYERS.differentiated();

    /// The map is elementwise, so the gradient of the sum of its outputs holds the derivative of each by its own input and
    /// parameters; these are computed once for all directions.
    fn elementwise(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        map: CouplingMap,
        direction: Direction,
    ) -> FloatTensor<Self> {
        let [(x, x_tangents), (parameters, parameters_tangents)] =
            [x, parameters].map(Dual::into_parts);
        let output = B::elementwise(x.clone(), parameters.clone(), map, direction);
        if x_tangents.is_none() && parameters_tangents.is_none() {
            return Dual::new(output, None);
        }
        let [_, n, c, p] = [0, 1, 2, 3].map(|d| output.shape()[d]);
        // An element's parameters follow each other, or those of a kind do.
        let grouped = match map {
            CouplingMap::RqSpline(_) => [n * c, map.parameters(), 1, p],
            CouplingMap::Affine => [n, map.parameters(), c, p],
        };
        let tangents = [0, 1].map(|part| {
            let zero = Tensor::<B, 4>::zeros([2, n, c, p], &B::float_device(&output));
            let ones = Tensor::ones([1, n, c, p], &zero.device());
            let gradient = zero.slice_assign([part..part + 1, 0..n, 0..c, 0..p], ones);
            let (dx, d_parameters) = B::elementwise_gradient(
                x.clone(),
                parameters.clone(),
                output.clone(),
                primitive(gradient),
                map,
                direction,
            );
            let by_x = x_tangents.clone().map(|t| {
                let dx = tensor::<B, 3>(dx).reshape([1, 1, n, c, p]);
                tensor::<B, 4>(t).unsqueeze_dim::<5>(1) * dx
            });
            let by_parameters = parameters_tangents.clone().map(|t| {
                let k = t.shape()[0];
                let [a, q, b, p] = grouped;
                let by_parameters = tensor::<B, 3>(d_parameters).reshape([1, a, q, b, p]);
                let t = tensor::<B, 4>(t).reshape([k, a, q, b, p]);
                (t * by_parameters).sum_dim(2).reshape([k, 1, n, c, p])
            });
            match (by_x, by_parameters) {
                (Some(a), Some(b)) => a + b,
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => unreachable!("one of them has tangents"),
            }
        });
        Dual::new(output, Some(primitive(Tensor::cat(tangents.into(), 1))))
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        primitive(channel_affine_reference::<Self>(tensor(x), tensor(scale), tensor(shift)))
    }

    /// `ẏ = w ∗ ẋ + ẇ ∗ x + ḃ`, plus the tangents of the skip connection: the directions of ẋ join the batch, those of the weights (which only who differentiates by
    /// weights has) are taken one after the other.
    fn conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        skip: Option<FloatTensor<Self>>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        let [(x, x_tangents), (weight, weight_tangents), (bias, bias_tangents)] =
            [x, weight, bias].map(Dual::into_parts);
        let (skip, skip_tangents) = skip.map(Dual::into_parts).unzip();
        let zero = || primitive::<B, 1>(tensor::<B, 1>(bias.clone()).zeros_like());
        let by_x = x_tangents.map(|t| {
            let [k, n, c, h, w] = tensor::<B, 5>(t.clone()).dims();
            let mut t = tensor::<B, 5>(t);
            if rectify {
                let passes = tensor::<B, 4>(x.clone()).lower_equal_elem(0.0);
                t = t.mask_fill(passes.unsqueeze_dim::<5>(0).expand([k, n, c, h, w]), 0.0);
            }
            let folded = primitive(t.reshape([k * n, c, h, w]));
            let y = tensor::<B, 4>(B::conv(folded, weight.clone(), zero(), None, false));
            let output = y.dims()[1];
            y.reshape([k, n, output, h, w])
        });
        let by_weight = weight_tangents.map(|t| {
            let each = tensor::<B, 5>(t).iter_dim(0).map(|t| {
                let weight = primitive(t.squeeze_dim::<4>(0));
                tensor::<B, 4>(B::conv(x.clone(), weight, zero(), None, rectify))
            });
            Tensor::stack::<5>(each.collect(), 0)
        });
        let y = B::conv(x, weight, bias.clone(), skip, rectify);
        let by_bias = bias_tangents.map(|t| {
            let t = tensor::<B, 2>(t);
            let [k, output] = t.dims();
            let [n, _, h, w] = tensor::<B, 4>(y.clone()).dims();
            t.reshape([k, 1, output, 1, 1]).expand([k, n, output, h, w])
        });
        let by_skip = skip_tangents.flatten().map(tensor::<B, 5>);
        let tangents =
            [by_x, by_weight, by_bias, by_skip].into_iter().flatten().reduce(|a, b| a + b);
        Dual::new(y, tangents.map(primitive))
    }
}
