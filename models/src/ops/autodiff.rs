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

impl<B: FlowBackend> Backward<B, 3> for ConvBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (x, weight, kernel) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let [node_x, node_weight, node_bias] = ops.parents;
        if let Some(node) = node_x {
            grads.register::<B>(node.id, B::conv_product(gradient.clone(), weight, true));
        }
        if node_weight.is_some() || node_bias.is_some() {
            let (dw, db) = B::conv_weight_gradient(x, gradient, kernel);
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
    ) -> FloatTensor<Self> {
        let output = B::conv(x.primitive.clone(), weight.primitive.clone(), bias.primitive.clone());
        let kernel = weight.primitive.shape()[2];
        match ConvBackward
            .prepare::<C>([x.node.clone(), weight.node.clone(), bias.node.clone()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, weight.primitive, kernel), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
