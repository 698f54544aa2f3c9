//! A flow's decoder, linearised: everything about its derivative at a batch of latents that does not depend on the direction.

use super::{Differential, JacobianError, check_rows};
use atypical_models::{
    FlowBackend,
    flow::{Bijection, Coupling, CouplingMap, Flow, Layer, Pattern, Squeeze, rows},
    ops::{Direction, conv_product, product, tiled},
};
use burn::{backend::Autodiff, tensor::Tensor};

/// The derivative `J = dx/dz` of a flow's decoder at a batch of latents, as a linear map that can be applied, and applied
/// transposed, any number of times.
///
/// One pass through the decoder keeps what the products need: activation patterns of the conditioners (which are piecewise
/// linear), slopes of the elementwise maps and their derivatives by the parameters, matrices of the affine steps. A product then
/// costs one pass through the convolutions, without the splines.
#[derive(Clone, Debug)]
pub struct Linearized<'a, B: FlowBackend> {
    x: Tensor<B, 2>,
    shape: [usize; 3],
    /// The levels from the latent to the data.
    pub(super) levels: Vec<LevelAt<'a, B>>,
    batch: usize,
}

/// One level at the point.
#[derive(Clone, Debug)]
pub(super) struct LevelAt<'a, B: FlowBackend> {
    /// The steps from the latent to the data.
    pub steps: Vec<StepAt<'a, B>>,
    /// Shape of the level's map at its latent's side.
    pub shape: [usize; 3],
    /// Channels that enter here; the others come from the coarser levels.
    pub own: usize,
}

/// The derivative of one step.
#[derive(Clone, Debug)]
pub(super) enum StepAt<'a, B: FlowBackend> {
    /// Space to depth.
    Squeeze(&'a Squeeze),
    /// The same matrix over channels at every position, `[channels, channels, 1, 1]`.
    Mix(Tensor<B, 4>),
    /// Elementwise slopes, `[batch, channels, height, width]`.
    Scale(Tensor<B, 4>),
    /// A coupling.
    Coupling(CouplingAt<'a, B>),
}

/// The derivative of a coupling's inverse `x_B = g⁻¹(z_B; θ(z_A))`.
#[derive(Clone, Debug)]
pub(super) struct CouplingAt<'a, B: FlowBackend> {
    pub coupling: &'a Coupling<B>,
    /// Derivative of the conditioner.
    pub pattern: Pattern<B>,
    /// Each element's derivatives by its own parameters, like the conditioner's output.
    pub by_parameters: Tensor<B, 4>,
    /// `∂x_B/∂z_B`, `[batch, channels of b, height, width]`.
    pub slope: Tensor<B, 4>,
}

impl<'a, B: FlowBackend> Linearized<'a, B> {
    /// Decode the latents and keep the derivative there.
    ///
    /// # Shapes
    /// - z: `[batch, D]`
    pub fn new(flow: &'a Flow<B>, z: Tensor<B, 2>) -> Self {
        let [batch, dimension] = z.dims();
        let mut end = dimension;
        let mut x: Option<Tensor<B, 4>> = None;
        let mut levels = Vec::with_capacity(flow.levels.len());
        for level in flow.levels.iter().rev() {
            let [c, h, w] = level.output_shape();
            let own = c - x.as_ref().map_or(0, |x| x.dims()[1]);
            let start = end - own * h * w;
            let latent = z.clone().narrow(1, start, end - start).reshape([batch, own, h, w]);
            let mut y = match x {
                Some(x) => Tensor::cat(vec![latent, x], 1),
                None => latent,
            };
            let mut steps: Vec<StepAt<'a, B>> = Vec::with_capacity(level.steps.len());
            for step in level.steps.iter().rev() {
                let at;
                (y, at) = linearize(step, y);
                match (steps.last_mut(), at) {
                    // Affine steps that follow each other are one matrix.
                    (Some(StepAt::Mix(before)), StepAt::Mix(after)) => {
                        let [c, ..] = after.dims();
                        let [a, b] = [after, before.clone()].map(|m| m.reshape([1, c, c]));
                        *before = product(a, b).reshape([c, c, 1, 1]);
                    }
                    (_, at) => steps.push(at),
                }
            }
            levels.push(LevelAt { steps, shape: [c, h, w], own });
            (x, end) = (Some(y), start);
        }
        let x = x.expect("a flow has at least one level").reshape([batch, dimension]);
        Self { x, shape: flow.shape(), levels, batch }
    }

    /// Bytes that it holds, over all points.
    pub fn bytes(&self) -> usize {
        let steps = self.levels.iter().flat_map(|level| &level.steps).map(StepAt::numbers);
        4 * (self.x.shape().num_elements() + steps.sum::<usize>())
    }

    /// The decoded points, `[batch, D]`.
    pub fn decoded(&self) -> Tensor<B, 2> {
        self.x.clone()
    }
}

impl<'a, B: FlowBackend> Differential<B> for Linearized<'a, B> {
    fn points(&self) -> usize {
        self.batch
    }

    fn dimension(&self) -> usize {
        self.x.dims()[1]
    }

    fn select(&self, points: &[usize]) -> Self {
        let level = |level: &LevelAt<'a, B>| {
            let steps = level.steps.iter().map(|step| step.select(points)).collect();
            LevelAt { steps, ..*level }
        };
        Self {
            x: rows(&self.x, points),
            shape: self.shape,
            levels: self.levels.iter().map(level).collect(),
            batch: points.len(),
        }
    }

    fn bytes_per_direction(&self) -> usize {
        let widest = self.levels.iter().flat_map(|level| &level.steps).map(StepAt::floats).max();
        self.batch * 4 * widest.unwrap_or(0)
    }

    fn jvp(&self, tangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        let [rows, dimension] = check_rows(self, tangents.dims())?;
        let mut end = dimension;
        let mut state: Option<Tensor<B, 4>> = None;
        for level in &self.levels {
            let [_, h, w] = level.shape;
            let start = end - level.own * h * w;
            let own = tangents.clone().narrow(1, start, end - start);
            let own = own.reshape([rows, level.own, h, w]);
            let t = match state {
                Some(carried) => Tensor::cat(vec![own, carried], 1),
                None => own,
            };
            (state, end) = (Some(level.steps.iter().fold(t, |t, step| step.push(t))), start);
        }
        Ok(state.expect("a flow has at least one level").reshape([rows, dimension]))
    }

    fn vjp(&self, cotangents: Tensor<B, 2>) -> Result<Tensor<B, 2>, JacobianError> {
        let [rows, _] = check_rows(self, cotangents.dims())?;
        let [c, h, w] = self.shape;
        let mut g = cotangents.reshape([rows, c, h, w]);
        let mut latents = Vec::with_capacity(self.levels.len());
        for level in self.levels.iter().rev() {
            g = level.steps.iter().rev().fold(g, |g, step| step.pull(g));
            let carried = g.dims()[1] - level.own;
            latents.push(g.clone().narrow(1, 0, level.own).flatten::<2>(1, 3));
            if carried > 0 {
                g = g.narrow(1, level.own, carried);
            }
        }
        Ok(Tensor::cat(latents, 1))
    }
}

/// One step of the decoder and its derivative at `z`.
fn linearize<B: FlowBackend>(step: &Layer<B>, z: Tensor<B, 4>) -> (Tensor<B, 4>, StepAt<'_, B>) {
    match step {
        Layer::Coupling(coupling) => {
            let (x, at) = CouplingAt::new(coupling, z);
            (x, StepAt::Coupling(at))
        }
        Layer::Squeeze(squeeze) => (step.inverse(z).0, StepAt::Squeeze(squeeze)),
        Layer::ActNorm(_) | Layer::Conv1x1(_) => {
            let matrix = step.inverse_matrix().expect("these steps are affine");
            let [c, _] = matrix.dims();
            (step.inverse(z).0, StepAt::Mix(matrix.reshape([c, c, 1, 1])))
        }
        Layer::Scale(scale) => {
            (step.inverse(z.clone()).0, StepAt::Scale(z.full_like(1.0 / scale.scale)))
        }
        Layer::Whiten(whiten) => {
            let slope = whiten.inverse_slope(z.dims()[0]);
            (step.inverse(z).0, StepAt::Scale(slope))
        }
        Layer::Logit(logit) => {
            // Elementwise: one backward pass of the sum gives every slope.
            let z = Tensor::<Autodiff<B>, 4>::from_inner(z).require_grad();
            let x = Bijection::<Autodiff<B>>::inverse(logit, z.clone()).0;
            let gradients = x.clone().sum().backward();
            let slope = z.grad(&gradients).expect("the output depends on the tracked input");
            (x.inner(), StepAt::Scale(slope))
        }
    }
}

impl<'a, B: FlowBackend> StepAt<'a, B> {
    fn select(&self, points: &[usize]) -> StepAt<'a, B> {
        match self {
            StepAt::Squeeze(squeeze) => StepAt::Squeeze(squeeze),
            StepAt::Mix(matrix) => StepAt::Mix(matrix.clone()),
            StepAt::Scale(slope) => StepAt::Scale(rows(slope, points)),
            StepAt::Coupling(at) => StepAt::Coupling(CouplingAt {
                coupling: at.coupling,
                pattern: at.pattern.select(points),
                by_parameters: rows(&at.by_parameters, points),
                slope: rows(&at.slope, points),
            }),
        }
    }

    /// Tangents through the step, `[count · batch, channels, height, width]`.
    pub fn push(&self, t: Tensor<B, 4>) -> Tensor<B, 4> {
        match self {
            StepAt::Squeeze(squeeze) => Bijection::<B>::inverse(*squeeze, t).0,
            StepAt::Mix(matrix) => conv_product(t, matrix.clone(), false),
            StepAt::Scale(slope) => tiled(t, slope),
            StepAt::Coupling(at) => at.push(t),
        }
    }

    /// Cotangents back through the step.
    fn pull(&self, g: Tensor<B, 4>) -> Tensor<B, 4> {
        match self {
            StepAt::Squeeze(squeeze) => Bijection::<B>::forward(*squeeze, g).0,
            StepAt::Mix(matrix) => conv_product(g, matrix.clone(), true),
            StepAt::Scale(slope) => tiled(g, slope),
            StepAt::Coupling(at) => at.pull(g),
        }
    }

    /// Numbers that it holds of all points.
    fn numbers(&self) -> usize {
        match self {
            StepAt::Squeeze(_) | StepAt::Mix(_) => 0,
            StepAt::Scale(slope) => slope.shape().num_elements(),
            StepAt::Coupling(at) => {
                let maps = [&at.by_parameters, &at.slope].map(|map| map.shape().num_elements());
                at.pattern.numbers() + maps.iter().sum::<usize>()
            }
        }
    }

    /// Floats that live at once while one direction passes, for one point.
    fn floats(&self) -> usize {
        match self {
            StepAt::Squeeze(_) | StepAt::Mix(_) => 0,
            // Two maps at a time.
            StepAt::Scale(slope) => 2 * per_point(slope),
            // The state and its halves; four hidden maps in a residual block, or the parameters of the elementwise map twice.
            StepAt::Coupling(at) => {
                let [_, _, h, w] = at.slope.dims();
                let hidden = at.coupling.conditioner.hidden() * h * w;
                4 * per_point(&at.slope)
                    + (4 * hidden).max(hidden + 2 * per_point(&at.by_parameters))
            }
        }
    }
}

fn per_point<B: FlowBackend>(x: &Tensor<B, 4>) -> usize {
    x.dims()[1..].iter().product()
}

impl<'a, B: FlowBackend> CouplingAt<'a, B> {
    fn new(coupling: &'a Coupling<B>, z: Tensor<B, 4>) -> (Tensor<B, 4>, Self) {
        let lift = |t: Tensor<B, 4>| Tensor::<Autodiff<B>, 4>::from_inner(t);
        let [a, b] = coupling.part(z);
        let (parameters, pattern) = coupling.conditioner.linearize(a.clone());
        // The map is elementwise: one backward pass of its sum gives every element's derivatives by its own parameters.
        let parameters = lift(parameters).require_grad();
        let [x_b, log_slope] =
            coupling.map().apply(parameters.clone(), lift(b), Direction::Inverse);
        let gradients = x_b.clone().sum().backward();
        let by_parameters =
            parameters.grad(&gradients).expect("the output depends on the tracked parameters");
        let slope = log_slope.inner().exp();
        (coupling.join(a, x_b.inner()), Self { coupling, pattern, by_parameters, slope })
    }

    fn map(&self) -> CouplingMap {
        self.coupling.map()
    }

    /// `dx_B = ∂x_B/∂z_B dz_B + ∂x_B/∂θ (dθ/dz_A dz_A)`.
    fn push(&self, t: Tensor<B, 4>) -> Tensor<B, 4> {
        let [a, b] = self.coupling.part(t);
        let parameters = self.coupling.conditioner.push(&self.pattern, a.clone());
        let by_a = self.map().sum_parameters(tiled(parameters, &self.by_parameters));
        self.coupling.join(a, tiled(b, &self.slope) + by_a)
    }

    fn pull(&self, g: Tensor<B, 4>) -> Tensor<B, 4> {
        let [a, b] = self.coupling.part(g);
        let parameters = tiled(self.map().spread_elements(b.clone()), &self.by_parameters);
        let by_a = self.coupling.conditioner.pull(&self.pattern, parameters);
        self.coupling.join(a + by_a, tiled(b, &self.slope))
    }
}
