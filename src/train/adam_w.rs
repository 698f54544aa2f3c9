//! AdamW, in one pass over memory where the backend has it.

use crate::config::Optimizer;
use atypical_models::{
    FlowBackend,
    ops::{AdamWStep, is_fused_inner},
};
use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, SimpleOptimizer},
    tensor::{Tensor, TensorPrimitive, ops::Device},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// What gradients are multiplied by in the steps to come, 1 at first. Its clones are one: burn's adaptor keeps its optimizer to itself, and clipping the gradients beforehand would be a pass
/// over all of them.
#[derive(Clone)]
pub(super) struct GradientScale(Arc<AtomicU32>);

impl GradientScale {
    pub(super) fn set(&self, scale: f32) {
        self.0.store(scale.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// burn's [`AdamW`] with its state, by the backend's fused operation where it has one.
#[derive(Clone)]
pub struct FusedAdamW {
    plain: AdamW,
    weight_decay: f32,
    betas: [f32; 2],
    epsilon: f32,
    scale: GradientScale,
}

impl FusedAdamW {
    /// With weight decay, the decays of both moments, and epsilon.
    pub fn new(weight_decay: f32, betas: [f32; 2], epsilon: f32) -> Self {
        let plain = AdamWConfig::new()
            .with_weight_decay(weight_decay)
            .with_beta_1(betas[0])
            .with_beta_2(betas[1])
            .with_epsilon(epsilon)
            .build();
        let scale = GradientScale(Arc::new(AtomicU32::new(1f32.to_bits())));
        Self { plain, weight_decay, betas, epsilon, scale }
    }

    /// What it multiplies gradients by.
    pub(super) fn scale(&self) -> GradientScale {
        self.scale.clone()
    }

    /// That of a configuration.
    pub fn of(config: &Optimizer) -> Self {
        let Optimizer::AdamW { lr: _, weight_decay, beta_1, beta_2, epsilon } = *config;
        Self::new(weight_decay as f32, [beta_1 as f32, beta_2 as f32], epsilon as f32)
    }
}

impl<B: FlowBackend> SimpleOptimizer<B> for FusedAdamW {
    type State<const D: usize> = AdamWState<B, D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<B, D>,
        grad: Tensor<B, D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<B, D>, Option<Self::State<D>>) {
        let scale = self.scale.get();
        if !is_fused_inner(&tensor) {
            return self.plain.step(lr, tensor, grad * scale, state);
        }
        let momentum = state.map_or_else(
            || {
                let zeros = || Tensor::zeros(tensor.dims(), &tensor.device());
                AdaptiveMomentumState::new(0, zeros(), zeros())
            },
            |state| state.momentum,
        );
        let time = momentum.time + 1;
        let step = AdamWStep {
            lr: lr as f32,
            weight_decay: self.weight_decay,
            betas: self.betas,
            epsilon: self.epsilon,
            time: i32::try_from(time).unwrap_or(i32::MAX),
            scale,
        };
        let primitive = |t: Tensor<B, D>| t.into_primitive().tensor();
        let moments = [momentum.moment_1, momentum.moment_2].map(primitive);
        let after = B::adam_w(primitive(tensor), primitive(grad), moments, step);
        let [tensor, first, second] =
            after.map(|t| Tensor::from_primitive(TensorPrimitive::Float(t)));
        (tensor, Some(AdamWState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device<B>) -> Self::State<D> {
        <AdamW as SimpleOptimizer<B>>::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{backend::Flex, tensor::Distribution};

    #[test]
    fn steps_are_those_of_burn() {
        let device = Default::default();
        let fused = FusedAdamW::new(0.05, [0.9, 0.99], 1e-8);
        let random = |d| Tensor::<Flex, 2>::random([300, 170], d, &device);
        let start = random(Distribution::Normal(0.0, 1.0));
        let (mut ours, mut theirs) = (start.clone(), start.clone());
        let (mut our_state, mut their_state) = (None, None);
        for step in 0..5 {
            let gradient = random(Distribution::Normal(0.1, 0.01 + f64::from(step)));
            let lr = 1e-2 / f64::from(step + 1);
            let scale = 1.0 / (step + 1) as f32;
            fused.scale().set(scale);
            (ours, our_state) = fused.clone().step(lr, ours, gradient.clone(), our_state);
            (theirs, their_state) = fused.plain.step(lr, theirs, gradient * scale, their_state);
        }
        let close = |a: &Tensor<Flex, 2>, b: &Tensor<Flex, 2>| {
            let scale = b.clone().abs().max().into_scalar();
            let error = (a.clone() - b.clone()).abs().max().into_scalar() / scale;
            assert!(error < 1e-6, "{error}");
        };
        close(&ours, &theirs);
        let (ours, theirs) = (our_state.unwrap().momentum, their_state.unwrap().momentum);
        assert_eq!(ours.time, theirs.time);
        close(&ours.moment_1, &theirs.moment_1);
        close(&ours.moment_2, &theirs.moment_2);
        assert!((start - ours.moment_1).abs().max().into_scalar() > 0.1, "something moved");
    }
}
