//! A whole flow: levels of steps, a split between them, a standard normal behind.

use super::{
    ActNorm, Bijection, Conv1x1, Coupling, Elementwise, FlowConfig, FlowError, Layer, Logit, Scale,
    Squeeze, Step, Whiten,
};
use crate::{DensityModel, Learn, Learned, Objective, init::Init, ops::FlowBackend};
use burn::{
    module::Module,
    tensor::{
        Distribution, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// Multiscale normalizing flow (Dinh et al. 2017, arXiv 1605.08803; Durkan et al. 2019, arXiv 1906.04032).
///
/// The steps of level `l` map `h_{l-1}` to a map whose first half of channels (the larger one, where they differ) leaves as
/// `z_l` and whose second half goes on as `h_l`; the last level keeps everything. The latent is `z = [z_1, z_2, …]`, each flattened.
///
/// Should be created with [`Flow::new`].
#[derive(Module, Debug)]
pub struct Flow<B: Backend> {
    /// The levels from data to latent.
    pub levels: Vec<Level<B>>,
    shape: [usize; 3],
}

/// The steps between two splits.
#[derive(Module, Debug)]
pub struct Level<B: Backend> {
    /// The steps from data to latent.
    pub steps: Vec<Layer<B>>,
    /// Shape of this level's output before the split, `[channels, height, width]`.
    output: [usize; 3],
}

/// Channels that leave at a split and channels that go on.
fn halves(channels: usize) -> (usize, usize) {
    (channels.div_ceil(2), channels / 2)
}

/// What the data-dependent initialisation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initialization {
    /// Channels, over all ActNorms, that were constant over the batch and kept scale 1.
    pub constant_channels: usize,
}

impl<B: Backend> Level<B> {
    /// Shape of this level's output before the split, `[channels, height, width]`.
    pub fn output_shape(&self) -> [usize; 3] {
        self.output
    }
}

impl<B: Backend> Flow<B> {
    /// Build a flow with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// The first step that cannot be, with its number.
    pub fn new(config: &FlowConfig, seed: u64, device: &B::Device) -> Result<Self, FlowError> {
        if config.shape.contains(&0) {
            return Err(FlowError::EmptyShape(config.shape));
        }
        let mut builder = Builder {
            shape: config.shape,
            count: 0,
            place: String::new(),
            parameters: 0.0,
            init: Init::new(seed),
            levels: Vec::new(),
            steps: Vec::new(),
            device,
        };
        builder.extend(&config.transform, "transform")?;
        let mut levels = builder.levels;
        levels.push(Level { steps: builder.steps, output: builder.shape });
        Ok(Self { levels, shape: config.shape })
    }

    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether there is a step with weights that are learned.
    pub fn learns(&self) -> bool {
        self.levels.iter().flat_map(|level| &level.steps).any(Layer::learns)
    }

    /// The same flow with dropout off, for Jacobians on an autodiff backend (where dropout is otherwise active).
    pub fn without_dropout(mut self) -> Self {
        for level in &mut self.levels {
            level.steps = level.steps.drain(..).map(Layer::without_dropout).collect();
        }
        self
    }
}

impl<B: FlowBackend> Flow<B> {
    /// Whether there is a whitening step.
    pub fn whitens(&self) -> bool {
        let mut steps = self.levels.iter().flat_map(|level| &level.steps);
        steps.any(|step| matches!(step, Layer::Whiten(_)))
    }

    /// Whether the first step that changes values is a logit, which is defined on [0, 1] alone.
    pub fn begins_with_logit(&self) -> bool {
        let mut steps = self.levels.iter().flat_map(|level| &level.steps);
        let first = steps.find(|step| !matches!(step, Layer::Squeeze(_)));
        matches!(first, Some(Layer::Logit(_)))
    }

    /// Inputs as the whitening step sees them, where there is one.
    ///
    /// # Shapes
    /// - x, output: `[batch, D]`
    pub fn before_whitening(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let steps = self.levels.iter().flat_map(|level| &level.steps);
        let before = steps.take_while(|step| !matches!(step, Layer::Whiten(_)));
        let [batch, dimension] = x.dims();
        let [c, h, w] = self.shape;
        let x = x.reshape([batch, c, h, w]);
        before.fold(x, |x, step| step.forward(x).0).reshape([batch, dimension])
    }

    /// Whiten by these means and standard deviations, `D` each, of what [`before_whitening`](Self::before_whitening) gives of the training data; does
    /// nothing without such a step.
    pub fn whiten(&mut self, standards: [Vec<f32>; 2]) {
        let mut steps = self.levels.iter_mut().flat_map(|level| &mut level.steps);
        if let Some(Layer::Whiten(whiten)) = steps.find(|step| matches!(step, Layer::Whiten(_))) {
            whiten.set(standards);
        }
    }

    /// Data-dependent initialisation of every ActNorm, in order, from one batch; dropout is off.
    ///
    /// # Shapes
    /// - x: `[batch, D]`, at least two samples
    pub fn initialize(&mut self, x: Tensor<B, 2>) -> Initialization {
        let mut constant_channels = 0;
        let batch = x.dims()[0];
        let [c, h, w] = self.shape;
        let mut x = x.reshape([batch, c, h, w]);
        let last = self.levels.len() - 1;
        for (l, level) in self.levels.iter_mut().enumerate() {
            for step in &mut level.steps {
                if let Layer::ActNorm(norm) = step {
                    constant_channels += norm.initialize(x.clone());
                }
                // Dropout would make the start depend on the state of the backend's random generator, and nobody asks for gradients.
                x = step.clone().without_dropout().no_grad().forward(x).0;
            }
            if l < last {
                let (out, on) = halves(level.output[0]);
                x = x.narrow(1, out, on);
            }
        }
        Initialization { constant_channels }
    }

    /// Data to latent: `z` and `log |det dz/dx|` in nats.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - z: `[batch, D]`, log-determinant: `[batch]`
    pub fn encode(&self, x: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 1>) {
        let batch = x.dims()[0];
        let [c, h, w] = self.shape;
        let mut x = x.reshape([batch, c, h, w]);
        let mut log_det = Tensor::zeros([batch], &x.device());
        let mut latents = Vec::with_capacity(self.levels.len());
        let last = self.levels.len() - 1;
        for (l, level) in self.levels.iter().enumerate() {
            for step in &level.steps {
                let (y, d) = step.forward(x);
                (x, log_det) = (y, log_det + d);
            }
            if l < last {
                let (out, on) = halves(level.output[0]);
                latents.push(x.clone().narrow(1, 0, out).flatten(1, 3));
                x = x.narrow(1, out, on);
            }
        }
        latents.push(x.flatten(1, 3));
        (Tensor::cat(latents, 1), log_det)
    }

    /// Latent to data: `x` and `log |det dx/dz|` in nats.
    ///
    /// # Shapes
    /// - z: `[batch, D]`
    /// - x: `[batch, D]`, log-determinant: `[batch]`
    pub fn decode(&self, z: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 1>) {
        let [batch, dimension] = z.dims();
        let mut log_det = Tensor::zeros([batch], &z.device());
        let mut end = dimension;
        let mut x: Option<Tensor<B, 4>> = None;
        for level in self.levels.iter().rev() {
            let [c, h, w] = level.output;
            let coarser = x.as_ref().map_or(0, |x| x.dims()[1]);
            let own = c - coarser;
            let start = end - own * h * w;
            let latent = z.clone().narrow(1, start, end - start).reshape([batch, own, h, w]);
            let mut y = match x {
                Some(x) => Tensor::cat(vec![latent, x], 1),
                None => latent,
            };
            for step in level.steps.iter().rev() {
                let (next, d) = step.inverse(y);
                (y, log_det) = (next, log_det + d);
            }
            (x, end) = (Some(y), start);
        }
        let x = x.expect("a flow has at least one level");
        (x.reshape([batch, dimension]), log_det)
    }
}

impl<B: FlowBackend> DensityModel<B> for Flow<B> {
    fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let batch = x.dims()[0];
        let (z, log_det) = self.encode(x);
        let normaliser = 0.5 * self.dimension() as f64 * (2.0 * std::f64::consts::PI).ln();
        z.powi_scalar(2).sum_dim(1).reshape([batch]) * -0.5 - normaliser + log_det
    }

    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let normal = Distribution::Normal(0.0, 1.0);
        self.decode(Tensor::random([n, self.dimension()], normal, device)).0
    }
}

impl<B: FlowBackend> Objective<B> for Flow<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        -self.log_prob(x)
    }
}

impl<B> Learn<B> for Flow<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        Learned::Loss(-self.log_prob(x).mean())
    }
}

/// Most parameters of one flow, some ten times the largest in the literature: 4 GiB of weights, 16 in training.
const MAX_PARAMETERS: f64 = 1e9;
/// Most steps of one flow.
const MAX_STEPS: usize = 10_000;

/// Weights of a coupling on `channels` channels, in f64 so that no size overflows.
fn coupling_size(
    channels: usize,
    transform: &Elementwise,
    config: &super::Conditioner,
    kernel: usize,
) -> f64 {
    let [half, hidden, blocks] =
        [channels.div_ceil(2), config.hidden, config.blocks].map(|n| n as f64);
    let ends = hidden * half * (1.0 + transform.parameters() as f64);
    ends + 2.0 * blocks * (hidden * kernel as f64).powi(2)
}

/// Walks the description and keeps track of shapes.
struct Builder<'a, B: Backend> {
    shape: [usize; 3],
    /// Steps so far.
    count: usize,
    /// Where the step stands in the description.
    place: String,
    parameters: f64,
    init: Init,
    levels: Vec<Level<B>>,
    steps: Vec<Layer<B>>,
    device: &'a B::Device,
}

impl<B: Backend> Builder<'_, B> {
    /// Add steps that stand in a list of the description.
    fn extend(&mut self, steps: &[Step], list: &str) -> Result<(), FlowError> {
        for (number, step) in steps.iter().enumerate() {
            let place = format!("{list}.{number}");
            if let Step::Repeat { times, steps } = step {
                // Nothing repeated is nothing, however often.
                let times = if steps.is_empty() { 0 } else { *times };
                for _ in 0..times {
                    self.extend(steps, &format!("{place}.steps"))?;
                }
            } else {
                if self.count == MAX_STEPS {
                    return Err(FlowError::TooManySteps(MAX_STEPS));
                }
                self.place = place;
                self.push(step)?;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Count parameters before they are made.
    fn add(&mut self, parameters: f64) -> Result<(), FlowError> {
        self.parameters += parameters;
        if self.parameters <= MAX_PARAMETERS {
            return Ok(());
        }
        Err(FlowError::TooLarge { step: self.place.clone(), parameters: self.parameters })
    }

    fn push(&mut self, step: &Step) -> Result<(), FlowError> {
        let [c, h, w] = self.shape;
        let place = self.place.clone();
        let check = |key, value: f64, ok: bool, range| {
            if ok {
                Ok(())
            } else {
                Err(FlowError::OutOfRange { step: place.clone(), key, value, range })
            }
        };
        let two_channels = |what| {
            if c >= 2 {
                Ok(())
            } else {
                Err(FlowError::TooFewChannels { step: place.clone(), what, channels: c })
            }
        };
        let layer = match step {
            Step::Logit { alpha, form } => {
                check("alpha", *alpha, *alpha > 0.0 && *alpha < 0.5, "in (0, 0.5)")?;
                Layer::Logit(Logit::new(*alpha, *form))
            }
            Step::Scale { scale, shift } => {
                let ok = *scale != 0.0 && scale.is_finite();
                check("scale", *scale, ok, "finite and not 0")?;
                check("shift", *shift, shift.is_finite(), "finite")?;
                Layer::Scale(Scale { scale: *scale, shift: *shift })
            }
            Step::Whiten {} => {
                let late = |step: &Layer<B>| step.learns() || matches!(step, Layer::Whiten(_));
                if !self.levels.is_empty() || self.steps.iter().any(late) {
                    return Err(FlowError::Whiten { step: place });
                }
                Layer::Whiten(Whiten::new(self.shape, self.device))
            }
            Step::Flatten {} => {
                self.shape = [c * h * w, 1, 1];
                Layer::Squeeze(Squeeze { block: [h, w] })
            }
            Step::Squeeze { factor } => {
                let f = *factor;
                check("factor", f as f64, f >= 1, "at least 1")?;
                if h % f != 0 || w % f != 0 {
                    return Err(FlowError::Squeeze { step: place, factor: f, height: h, width: w });
                }
                self.shape = [c * f * f, h / f, w / f];
                Layer::Squeeze(Squeeze { block: [f, f] })
            }
            Step::ActNorm {} => Layer::ActNorm(ActNorm::new(c, self.device)),
            Step::Conv1x1 {} => {
                self.add(2.0 * (c as f64).powi(2))?;
                Layer::Conv1x1(Conv1x1::new(c, &mut self.init, self.device))
            }
            Step::Coupling { transform, mask, conditioner } => {
                two_channels("coupling")?;
                if let Elementwise::RqSpline { bins, tail } = transform {
                    let ok = (2..=crate::ops::MAX_BINS).contains(bins);
                    check("bins", *bins as f64, ok, "from 2 to 64")?;
                    check("tail", *tail, *tail > 0.0 && tail.is_finite(), "positive")?;
                }
                let super::Conditioner { hidden, dropout, kernel, .. } = conditioner;
                check("hidden", *hidden as f64, *hidden >= 1, "at least 1")?;
                check("dropout", *dropout, (0.0..1.0).contains(dropout), "in [0, 1)")?;
                check("kernel", *kernel as f64, kernel % 2 == 1, "odd")?;
                // Only the centre tap of a larger kernel would ever meet data on a 1x1 map.
                let kernel = if h * w == 1 { 1 } else { *kernel };
                self.add(coupling_size(c, transform, conditioner, kernel))?;
                Layer::Coupling(Coupling::new(
                    c,
                    transform,
                    *mask,
                    conditioner,
                    kernel,
                    &mut self.init,
                    self.device,
                ))
            }
            Step::Split {} => {
                two_channels("split")?;
                let steps = std::mem::take(&mut self.steps);
                self.levels.push(Level { steps, output: self.shape });
                self.shape = [halves(c).1, h, w];
                return Ok(());
            }
            Step::Repeat { .. } => unreachable!("repeats are unrolled before"),
        };
        self.steps.push(layer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    fn built(transform: Vec<Step>) -> Result<Flow<Flex>, FlowError> {
        Flow::new(&FlowConfig { shape: [2, 1, 2], transform }, 0, &Default::default())
    }

    #[test]
    fn whitening_comes_once_before_what_learns() {
        let scale = || Step::Scale { scale: 2.0, shift: -1.0 };
        let flow = built(vec![scale(), Step::Flatten {}, Step::Whiten {}]).unwrap();
        assert!(!flow.learns());
        assert!(built(vec![Step::Whiten {}, Step::ActNorm {}]).unwrap().learns());
        for before in [Step::ActNorm {}, Step::Conv1x1 {}, Step::Split {}, Step::Whiten {}] {
            let error = built(vec![scale(), before, Step::Whiten {}]).unwrap_err();
            assert_eq!(error, FlowError::Whiten { step: "transform.2".into() });
        }
        let steps = vec![scale(), Step::Whiten {}];
        let error = built(vec![scale(), Step::Repeat { times: 2, steps }]).unwrap_err();
        assert_eq!(error, FlowError::Whiten { step: "transform.1.steps.1".into() });
        assert!(built(vec![Step::Scale { scale: 0.0, shift: 0.0 }]).is_err());
    }
}
