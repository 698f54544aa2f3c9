//! Coupling layers.

use super::{Bijection, ConvResidualNet, Elementwise, Mask, sum_per_sample};
use crate::{
    init::Init,
    ops::{CouplingMap, Direction, FlowBackend, SplineShape, elementwise},
};
use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend, s},
};

/// Coupling layer (Dinh et al. 2017, arXiv 1605.08803): the channels of one parity are copied, and the conditioner turns
/// them into the parameters of an elementwise map of the other channels:
/// `z_A = x_A`, `z_B = g(x_B; θ(x_A))`, `log |det| = Σ log |g'(x_B)|`.
#[derive(Module, Debug)]
pub struct Coupling<B: Backend> {
    /// θ, from the copied channels to the parameters.
    pub conditioner: ConvResidualNet<B>,
    #[module(skip)]
    map: CouplingMap,
    #[module(skip)]
    mask: Mask,
}

impl CouplingMap {
    /// Elementwise map of `b` with the conditioner's output `parameters`: the mapped values and their log-derivatives,
    /// both like `b`.
    ///
    /// # Shapes
    /// - parameters: `[batch, channels of b · parameters of one element, height, width]`, one element's parameters
    ///   following each other for the spline, all shifts before all scales for the affine map
    /// - b: `[batch, channels of b, height, width]`
    pub fn apply<B: FlowBackend>(
        self,
        parameters: Tensor<B, 4>,
        b: Tensor<B, 4>,
        direction: Direction,
    ) -> [Tensor<B, 4>; 2] {
        let dims = b.dims();
        let [n, c, h, w] = dims;
        let parameters = parameters.reshape([n, c * self.parameters(), h * w]);
        let (y, log_derivative) =
            elementwise(b.reshape([n, c, h * w]), parameters, self, direction);
        [y.reshape(dims), log_derivative.reshape(dims)]
    }

    /// Rows of the conditioner's output channels, grouped by the channel of b that they set.
    ///
    /// # Shapes
    /// - rows: `[conditioner's output channels, n]`
    /// - output: `[channels of b, parameters of one element, n]`
    pub fn by_channel<B: Backend>(self, rows: Tensor<B, 2>) -> Tensor<B, 3> {
        let [outputs, n] = rows.dims();
        match self {
            CouplingMap::RqSpline(shape) => {
                let q = shape.parameters();
                rows.reshape([outputs / q, q, n])
            }
            CouplingMap::Affine => rows.reshape([2, outputs / 2, n]).swap_dims(0, 1),
        }
    }

    /// `Σ_q ∂x_q θ_q` for every element: directions of the parameters, weighted by an element's derivatives by its own
    /// parameters and summed over them.
    ///
    /// # Shapes
    /// - weighted: `[count, channels of b · parameters of one element, height, width]`
    /// - output: `[count, channels of b, height, width]`
    pub fn sum_parameters<B: Backend>(self, weighted: Tensor<B, 4>) -> Tensor<B, 4> {
        let [n, outputs, h, w] = weighted.dims();
        match self {
            CouplingMap::RqSpline(shape) => {
                let q = shape.parameters();
                let c = outputs / q;
                weighted.reshape([n * c, q, h * w]).sum_dim(1).reshape([n, c, h, w])
            }
            CouplingMap::Affine => {
                let c = outputs / 2;
                weighted.clone().narrow(1, 0, c) + weighted.narrow(1, c, c)
            }
        }
    }

    /// The transpose of [`sum_parameters`](Self::sum_parameters): each element's value at each of its parameters.
    pub fn spread_elements<B: Backend>(self, elements: Tensor<B, 4>) -> Tensor<B, 4> {
        let [n, c, h, w] = elements.dims();
        match self {
            CouplingMap::RqSpline(shape) => {
                let q = shape.parameters();
                let spread = elements.reshape([n * c, 1, h * w]).repeat_dim(1, q);
                spread.reshape([n, c * q, h, w])
            }
            CouplingMap::Affine => Tensor::cat(vec![elements.clone(), elements], 1),
        }
    }
}

impl<B: Backend> Coupling<B> {
    /// A coupling on `channels` channels; `kernel` is the conditioner's.
    pub fn new(
        channels: usize,
        map: &Elementwise,
        mask: Mask,
        conditioner: &super::Conditioner,
        kernel: usize,
        init: &mut Init,
        device: &B::Device,
    ) -> Self {
        let even = channels.div_ceil(2);
        let [copied, transformed] = match mask {
            Mask::Even => [channels - even, even],
            Mask::Odd => [even, channels - even],
        };
        let parameters = map.parameters();
        let map = match *map {
            Elementwise::RqSpline { bins, tail } => {
                // nflows divides the width and height logits by the root of the hidden units.
                let logit_scale = 1.0 / (conditioner.hidden as f64).sqrt();
                CouplingMap::RqSpline(SplineShape { bins, tail, logit_scale })
            }
            Elementwise::Affine {} => CouplingMap::Affine,
        };
        Self {
            conditioner: ConvResidualNet::new(
                [copied, transformed * parameters],
                conditioner,
                kernel,
                init,
                device,
            ),
            map,
            mask,
        }
    }

    /// The elementwise map.
    pub fn map(&self) -> CouplingMap {
        self.map
    }

    /// Which channels are transformed.
    pub fn mask(&self) -> Mask {
        self.mask
    }

    /// Split into (copied, transformed) channels.
    ///
    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    pub fn part(&self, x: Tensor<B, 4>) -> [Tensor<B, 4>; 2] {
        let [n, c, h, w] = x.dims();
        let [even, odd] = if c % 2 == 0 {
            // Rows of two channels: a view in two dimensions, which is copied fastest.
            let pairs = x.reshape([n * c / 2, 2 * h * w]);
            [0, h * w].map(|from| pairs.clone().narrow(1, from, h * w).reshape([n, c / 2, h, w]))
        } else {
            [x.clone().slice(s![.., 0..;2, .., ..]), x.slice(s![.., 1..;2, .., ..])]
        };
        match self.mask {
            Mask::Even => [odd, even],
            Mask::Odd => [even, odd],
        }
    }

    /// The inverse of [`part`](Self::part).
    pub fn join(&self, copied: Tensor<B, 4>, transformed: Tensor<B, 4>) -> Tensor<B, 4> {
        let (even, mut odd) = match self.mask {
            Mask::Even => (transformed, copied),
            Mask::Odd => (copied, transformed),
        };
        let [n, evens, h, w] = even.dims();
        let odds = odd.dims()[1];
        if odds < evens {
            odd = Tensor::cat(vec![odd, Tensor::zeros([n, 1, h, w], &even.device())], 1);
        }
        let joined = Tensor::stack::<5>(vec![even, odd], 2).reshape([n, 2 * evens, h, w]);
        if odds < evens { joined.narrow(1, 0, evens + odds) } else { joined }
    }

    /// The same coupling with dropout off.
    pub fn without_dropout(self) -> Self {
        Self { conditioner: self.conditioner.without_dropout(), ..self }
    }
}

impl<B: FlowBackend> Coupling<B> {
    fn run(&self, x: Tensor<B, 4>, direction: Direction) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [copied, transformed] = self.part(x);
        let parameters = self.conditioner.forward(copied.clone());
        let [transformed, log_derivative] = self.map.apply(parameters, transformed, direction);
        (self.join(copied, transformed), sum_per_sample(log_derivative))
    }
}

impl<B: FlowBackend> Bijection<B> for Coupling<B> {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        self.run(x, Direction::Forward)
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        self.run(z, Direction::Inverse)
    }
}
