//! A model as burn-train's learner sees it.

use super::metric::{BatchLoss, Told};
use atypical_models::{
    FlowBackend, Model, Objective,
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

/// A model that learns.
#[derive(Module, Debug)]
pub struct Trainee<B: Backend> {
    /// The model.
    pub model: Model<B>,
}

impl<B: Backend> Trainee<B> {
    /// The model's parameters are numbered in order: the optimizer's state, which is kept by these numbers, then belongs to
    /// the same parameters after a resume.
    pub fn new(model: Model<B>) -> Self {
        Self { model: model.map(&mut Number(0)) }
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

/// Whether a model of this shape is one of vectors.
pub(crate) fn is_vector([_, height, width]: [usize; 3]) -> bool {
    height * width == 1
}

/// The number in a tensor of one.
pub(super) fn number<B: Backend>(loss: Tensor<B, 1>) -> f64 {
    loss.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

/// A step down the objective: what burn-train's own strategies would run. [`Descent`](super::Descent) takes the model's turns.
impl<B: AutodiffBackend + FlowBackend> TrainStep for Trainee<B> {
    type Input = Tensor<B, 2>;
    type Output = BatchLoss;

    fn step(&self, x: Tensor<B, 2>) -> TrainOutput<BatchLoss> {
        let size = x.dims()[0];
        let loss = self.model.objective(x).mean();
        let told = Told::of(&self.model);
        let item = BatchLoss { loss: number(loss.clone().inner()), size, told, quality: None };
        TrainOutput::new(self, loss.backward(), item)
    }
}

impl<B: FlowBackend> InferenceStep for Trainee<B> {
    type Input = Tensor<B, 2>;
    type Output = BatchLoss;

    fn step(&self, x: Tensor<B, 2>) -> BatchLoss {
        let size = x.dims()[0];
        let loss = number(self.model.objective(x).mean());
        BatchLoss { loss, size, told: Told::of(&self.model), quality: None }
    }
}

/// The joint L2 norm of all gradients.
pub fn gradient_norm<B: AutodiffBackend>(trainee: &Trainee<B>, gradients: &GradientsParams) -> f64
where
    B::InnerBackend: FlowBackend,
{
    let mut squares = Squares { gradients, fused: Vec::new(), sum: 0.0 };
    trainee.visit(&mut squares);
    (squares.sum + sum_of_squares::<B::InnerBackend>(squares.fused)).sqrt()
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
