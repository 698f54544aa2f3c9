//! A flow as burn-train's learner sees it.

use super::metric::BatchLoss;
use atypical_models::{
    DensityModel, FlowBackend, bits_per_dimension,
    flow::Flow,
    ops::{is_fused_inner, sum_of_squares},
};
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
        ops::FloatTensor,
    },
    train::{InferenceStep, TrainOutput, TrainStep},
};

/// A flow that learns by maximum likelihood.
#[derive(Module, Debug)]
pub struct Trainee<B: Backend> {
    /// The flow.
    pub flow: Flow<B>,
}

impl<B: Backend> Trainee<B> {
    /// The flow's parameters are numbered in order: the optimizer's state, which is kept by these numbers, then belongs to
    /// the same parameters after a resume.
    pub fn new(flow: Flow<B>) -> Self {
        Self { flow: flow.map(&mut Number(0)) }
    }
}

/// Gives parameters the ids 1, 2, 3, …
struct Number(u64);

impl<B: Backend> ModuleMapper<B> for Number {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.0 += 1;
        let (_, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(self.0), value, mapper)
    }
}

fn batch_loss<B: Backend>(loss: Tensor<B, 1>, size: usize, shape: [usize; 3]) -> BatchLoss {
    let nats = loss.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
    BatchLoss { nats, bits: bits(-nats, shape), size }
}

/// Bits per dimension; vectors have no grey levels, whose 8 bits those of images contain.
pub(super) fn bits(log_prob: f64, shape: [usize; 3]) -> f64 {
    let of_images = bits_per_dimension(log_prob, shape.iter().product());
    if is_vector(shape) { of_images - 8.0 } else { of_images }
}

/// Whether a model of this shape is one of vectors.
pub(crate) fn is_vector([_, height, width]: [usize; 3]) -> bool {
    height * width == 1
}

impl<B: AutodiffBackend + FlowBackend> TrainStep for Trainee<B> {
    type Input = Tensor<B, 2>;
    type Output = BatchLoss;

    fn step(&self, x: Tensor<B, 2>) -> TrainOutput<BatchLoss> {
        let size = x.dims()[0];
        let loss = -self.flow.log_prob(x).mean();
        let item = batch_loss(loss.clone().inner(), size, self.flow.shape());
        TrainOutput::new(self, loss.backward(), item)
    }
}

impl<B: FlowBackend> InferenceStep for Trainee<B> {
    type Input = Tensor<B, 2>;
    type Output = BatchLoss;

    fn step(&self, x: Tensor<B, 2>) -> BatchLoss {
        let size = x.dims()[0];
        batch_loss(-self.flow.log_prob(x).mean(), size, self.flow.shape())
    }
}

/// Scale all gradients so that their joint L2 norm is at most `largest`; returns the norm before.
pub fn clip_norm<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    gradients: &mut GradientsParams,
    largest: f64,
) -> f64
where
    B::InnerBackend: FlowBackend,
{
    let mut squares = Squares { gradients, fused: Vec::new(), sum: 0.0 };
    trainee.visit(&mut squares);
    let norm = (squares.sum + sum_of_squares::<B::InnerBackend>(squares.fused)).sqrt();
    if norm > largest {
        trainee.visit(&mut Rescale { gradients, factor: largest / norm });
    }
    norm
}

/// Largest absolute value among the weights; NaN if one is NaN.
pub fn largest_weight<B: AutodiffBackend>(trainee: &Trainee<B>) -> f64 {
    let mut largest = Largest(0.0);
    trainee.visit(&mut largest);
    largest.0
}

struct Largest(f64);

impl<B: AutodiffBackend> ModuleVisitor<B> for Largest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        for value in param.val().inner().into_data().iter::<f64>() {
            // `max` would drop a NaN.
            if value.is_nan() || value.abs() > self.0 {
                self.0 = value.abs();
            }
            if self.0.is_nan() {
                return;
            }
        }
    }
}

struct Squares<'a, B: AutodiffBackend> {
    gradients: &'a GradientsParams,
    /// Those whose squares the backend sums up itself, together.
    fused: Vec<FloatTensor<B::InnerBackend>>,
    sum: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Squares<'_, B>
where
    B::InnerBackend: FlowBackend,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            if is_fused_inner(&gradient) {
                self.fused.push(gradient.into_primitive().tensor());
            } else {
                self.sum += gradient.square().sum().into_data().iter::<f64>().sum::<f64>();
            }
        }
    }
}

struct Rescale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Rescale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) {
            self.gradients.register::<B::InnerBackend, D>(param.id, gradient * self.factor);
        }
    }
}
