//! Reverse mode for the fused operations, and the backends that use the tensor operations.

use super::{
    FlowBackend,
    spline::{Direction, SplineShape},
};
use burn::{
    backend::{
        Autodiff,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
    },
    tensor::{TensorMetadata, ops::FloatTensor},
};

#[derive(Debug)]
struct SplineBackward;

/// What the backward pass of the spline keeps.
#[derive(Clone, Debug)]
struct SplineState<T> {
    x: T,
    logits: T,
    output: T,
    shape: SplineShape,
    direction: Direction,
}

impl<B: FlowBackend> Backward<B, 2> for SplineBackward {
    type State = SplineState<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let SplineState { x, logits, output, shape, direction } = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let (dx, d_logits) = B::spline_gradient(x, logits, output, gradient, shape, direction);
        let [node_x, node_logits] = ops.parents;
        if let Some(node) = node_x {
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = node_logits {
            grads.register::<B>(node.id, d_logits);
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
    const FUSED: bool = B::FUSED_GRADIENTS;

    fn spline(
        x: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        shape: SplineShape,
        direction: Direction,
    ) -> FloatTensor<Self> {
        let output = B::spline(x.primitive.clone(), logits.primitive.clone(), shape, direction);
        match SplineBackward
            .prepare::<C>([x.node.clone(), logits.node.clone()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = SplineState {
                    x: x.primitive,
                    logits: logits.primitive,
                    output: output.clone(),
                    shape,
                    direction,
                };
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
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

fn finish<B: FlowBackend, C: CheckpointStrategy, const N: usize>(
    kind: OpsKind<ConvBackward, B, ConvState<FloatTensor<B>>, C, N>,
    state: ConvState<FloatTensor<B>>,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match kind {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
