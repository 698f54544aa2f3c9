//! Reverse mode for the fused operations, and the backends that use the tensor operations.

use super::{CouplingMap, Direction, FlowBackend, Fused};
use burn::{
    backend::{
        Autodiff,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
    },
    tensor::{FloatDType, TensorMetadata, ops::FloatTensor},
};
use std::fmt::Debug;

#[derive(Debug)]
struct ElementwiseBackward;

/// What the backward pass of an elementwise map keeps.
#[derive(Clone, Debug)]
struct ElementwiseState<T> {
    x: T,
    parameters: T,
    output: T,
    map: CouplingMap,
    direction: Direction,
}

impl<B: FlowBackend> Backward<B, 2> for ElementwiseBackward {
    type State = ElementwiseState<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let ElementwiseState { x, parameters, output, map, direction } = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let (dx, d_parameters) =
            B::elementwise_gradient(x, parameters, output, gradient, map, direction);
        let [node_x, node_parameters] = ops.parents;
        if let Some(node) = node_x {
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = node_parameters {
            grads.register::<B>(node.id, d_parameters);
        }
    }
}

#[derive(Debug)]
struct ChannelAffineBackward;

impl<B: FlowBackend> Backward<B, 3> for ChannelAffineBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (x, scale) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let [node_x, node_scale, node_shift] = ops.parents;
        if node_scale.is_some() || node_shift.is_some() {
            let [d_scale, d_shift] = B::channel_affine_gradient(x, gradient.clone());
            if let Some(node) = node_scale {
                grads.register::<B>(node.id, d_scale);
            }
            if let Some(node) = node_shift {
                grads.register::<B>(node.id, d_shift);
            }
        }
        if let Some(node) = node_x {
            let zero = B::float_zeros(scale.shape(), &B::float_device(&scale), FloatDType::F32);
            grads.register::<B>(node.id, B::channel_affine(gradient, scale, zero));
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

/// What the backward pass of a convolution keeps.
#[derive(Clone, Debug)]
struct ConvState<T> {
    x: T,
    weight: T,
    rectify: bool,
}

/// By x, weight and bias, and the skip connection where there is one.
impl<B: FlowBackend, const N: usize> Backward<B, N> for ConvBackward {
    type State = ConvState<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let ConvState { x, weight, rectify } = ops.state;
        let kernel = weight.shape()[2];
        let gradient = grads.consume::<B>(&ops.node);
        let mut parents = ops.parents.into_iter();
        let [node_x, node_weight, node_bias, node_skip] =
            [(); 4].map(|()| parents.next().flatten());
        if let Some(node) = node_x {
            let rectified = rectify.then(|| x.clone());
            let dx = B::conv_adjoint(gradient.clone(), weight, rectified);
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = node_skip {
            grads.register::<B>(node.id, gradient.clone());
        }
        if node_weight.is_some() || node_bias.is_some() {
            let (dw, db) = B::conv_weight_gradient(x, gradient, kernel, rectify);
            if let Some(node) = node_weight {
                grads.register::<B>(node.id, dw);
            }
            if let Some(node) = node_bias {
                grads.register::<B>(node.id, db);
            }
        }
    }
}

impl<B: FlowBackend, C: CheckpointStrategy> FlowBackend for Autodiff<B, C> {
    const ELEMENTWISE: Fused = B::ELEMENTWISE.differentiated();
    const LAYERS: Fused = B::LAYERS.differentiated();

    fn elementwise(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        map: CouplingMap,
        direction: Direction,
    ) -> FloatTensor<Self> {
        let output =
            B::elementwise(x.primitive.clone(), parameters.primitive.clone(), map, direction);
        let kind =
            ElementwiseBackward.prepare::<C>([x.node, parameters.node]).compute_bound().stateful();
        let state = ElementwiseState {
            x: x.primitive,
            parameters: parameters.primitive,
            output: output.clone(),
            map,
            direction,
        };
        finish(kind, state, output)
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let output =
            B::channel_affine(x.primitive.clone(), scale.primitive.clone(), shift.primitive);
        let kind = ChannelAffineBackward
            .prepare::<C>([x.node, scale.node, shift.node])
            .compute_bound()
            .stateful();
        finish(kind, (x.primitive, scale.primitive), output)
    }

    fn conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        skip: Option<FloatTensor<Self>>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node, weight.node, bias.node];
        let (skip_node, skip) = skip.map(|t| (t.node, t.primitive)).unzip();
        let state = ConvState { x: x.primitive, weight: weight.primitive, rectify };
        let output = B::conv(state.x.clone(), state.weight.clone(), bias.primitive, skip, rectify);
        match skip_node {
            None => {
                let prep = Backward::<B, 3>::prepare::<C>(ConvBackward, nodes);
                finish(prep.compute_bound().stateful(), state, output)
            }
            Some(skip) => {
                let [x, weight, bias] = nodes;
                let nodes = [x, weight, bias, skip];
                let prep = Backward::<B, 4>::prepare::<C>(ConvBackward, nodes);
                finish(prep.compute_bound().stateful(), state, output)
            }
        }
    }
}

/// The output, with what its backward pass keeps where it is tracked.
fn finish<B, C, O, S, const N: usize>(
    kind: OpsKind<O, B, S, C, N>,
    state: S,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: FlowBackend,
    C: CheckpointStrategy,
    O: Backward<B, N, State = S>,
    S: Clone + Send + Debug + 'static,
{
    match kind {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
