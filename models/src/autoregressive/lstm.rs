//! An LSTM over coordinates with mixtures of Gaussians.

use super::{AutoregressiveError, LstmMixtureConfig, choose, log_sum_exp};
use crate::{DensityModel, Learn, Learned, Objective, init::Init, network::Linear};
use burn::{
    module::{Module, Param},
    tensor::{
        Distribution, Tensor,
        activation::{log_sigmoid, sigmoid},
        backend::{AutodiffBackend, Backend},
    },
};

/// One layer of an LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), as PyTorch has it but with one bias:
///
/// `[i, f, g, o] = W x + U h + b`, `c' = σ(f) c + σ(i) tanh(g)`, `h' = σ(o) tanh(c')`.
#[derive(Module, Debug)]
pub struct LstmCell<B: Backend> {
    /// W, `[4 hidden, in]`.
    pub input: Param<Tensor<B, 2>>,
    /// U, `[4 hidden, hidden]`.
    pub recurrent: Param<Tensor<B, 2>>,
    /// b, `[4 hidden]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> LstmCell<B> {
    /// Weights uniform on `±1/sqrt(hidden)`, PyTorch's default.
    pub fn new([input, hidden]: [usize; 2], init: &mut Init, device: &B::Device) -> Self {
        let bound = 1.0 / (hidden as f32).sqrt();
        Self {
            input: init.uniform([4 * hidden, input], bound, device),
            recurrent: init.uniform([4 * hidden, hidden], bound, device),
            bias: init.uniform([4 * hidden], bound, device),
        }
    }

    /// The state `[h, c]` after an input.
    ///
    /// # Shapes
    /// - x: `[batch, in]`
    /// - state, output: `[batch, hidden]` each
    pub fn step(&self, x: Tensor<B, 2>, [h, c]: [Tensor<B, 2>; 2]) -> [Tensor<B, 2>; 2] {
        let [_, hidden] = c.dims();
        let gates = x.matmul(self.input.val().transpose())
            + h.matmul(self.recurrent.val().transpose())
            + self.bias.val().unsqueeze();
        let gate = |number| gates.clone().narrow(1, number * hidden, hidden);
        let c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * gate(2).tanh();
        [sigmoid(gate(3)) * c.clone().tanh(), c]
    }
}

/// Autoregressive model of real vectors: an LSTM reads the coordinates one by one, and from its output comes a mixture of Gaussians of the next,
/// `log p(x) = Σ_i log Σ_k π_k N(x_i; μ_k, σ_k²)` with `σ = softplus(s) + min_sigma`.
///
/// The coordinates of a vector come in order; those of an image pixel by pixel, the channels of a pixel after each other. A dimension of `D` takes `D` steps that wait for
/// each other: it is meant for vectors and latents, and slow on images.
///
/// Should be created with [`LstmMixture::new`].
#[derive(Module, Debug)]
pub struct LstmMixture<B: Backend> {
    /// The layers, the first one at the input.
    pub cells: Vec<LstmCell<B>>,
    /// From the last layer's h to the logits, the means and s of the mixture: `3 · mixtures` numbers.
    pub output: Linear<B>,
    shape: [usize; 3],
    min_sigma: f64,
}

/// A state `[h, c]` a layer.
type State<B> = Vec<[Tensor<B, 2>; 2]>;

impl<B: Backend> LstmMixture<B> {
    /// A model with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// A key outside its range.
    pub fn new(
        config: &LstmMixtureConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoregressiveError> {
        config.check()?;
        let init = &mut Init::new(seed);
        let LstmMixtureConfig { shape, hidden, layers, mixtures, min_sigma } = *config;
        let cells = (0..layers)
            .map(|layer| LstmCell::new([if layer == 0 { 1 } else { hidden }, hidden], init, device))
            .collect();
        let output = Linear::new([hidden, 3 * mixtures], init, device);
        Ok(Self { cells, output, shape, min_sigma })
    }

    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn start(&self, batch: usize, device: &B::Device) -> State<B> {
        let hidden = self.output.weight.dims()[1];
        self.cells
            .iter()
            .map(|_| [(); 2].map(|()| Tensor::zeros([batch, hidden], device)))
            .collect()
    }

    /// Reads a coordinate, `[batch, 1]`; gives the last layer's h, `[batch, hidden]`.
    fn read(&self, mut x: Tensor<B, 2>, state: &mut State<B>) -> Tensor<B, 2> {
        for (cell, state) in self.cells.iter().zip(state) {
            *state = cell.step(x, state.clone());
            x = state[0].clone();
        }
        x
    }

    /// The mixtures that the last layer's h stands for: logits, means and standard deviations, each `[rows, mixtures]`.
    fn mixture(&self, h: Tensor<B, 2>) -> [Tensor<B, 2>; 3] {
        let parameters = self.output.forward(h);
        let mixtures = parameters.dims()[1] / 3;
        let [logits, means, s] =
            [0, 1, 2].map(|i| parameters.clone().narrow(1, i * mixtures, mixtures));
        // burn's softplus overflows.
        let softplus = log_sigmoid(-s).neg();
        [logits, means, softplus + self.min_sigma]
    }

    /// Log-density of every coordinate given those before it, in nats; their sum is [`log_prob`](DensityModel::log_prob).
    ///
    /// # Shapes
    /// - x, output: `[batch, D]`
    pub fn log_conditionals(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [batch, dimension] = x.dims();
        let [channels, height, width] = self.shape;
        let device = x.device();
        // Pixel by pixel.
        let x = x
            .reshape([batch, channels, height * width])
            .swap_dims(1, 2)
            .reshape([batch, dimension]);
        let mut state = self.start(batch, &device);
        let mut last = Tensor::zeros([batch, 1], &device);
        let mut outputs = Vec::with_capacity(dimension);
        for i in 0..dimension {
            outputs.push(self.read(last, &mut state));
            last = x.clone().narrow(1, i, 1);
        }
        let hidden = outputs[0].dims()[1];
        let outputs = Tensor::stack::<3>(outputs, 1).reshape([batch * dimension, hidden]);
        let [logits, means, sigmas] = self.mixture(outputs);
        let deviations = (x.reshape([batch * dimension, 1]) - means) / sigmas.clone();
        let normaliser = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let components = deviations.clone() * deviations * -0.5 - sigmas.log() - normaliser;
        let conditionals = log_sum_exp(logits.clone() + components, 1) - log_sum_exp(logits, 1);
        let conditionals = conditionals.reshape([batch, height * width, channels]);
        conditionals.swap_dims(1, 2).reshape([batch, dimension])
    }

    /// Draws, `[n, D]`.
    fn generate(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let [channels, height, width] = self.shape;
        let mut state = self.start(n, device);
        let mut last = Tensor::zeros([n, 1], device);
        let mut drawn = Vec::with_capacity(channels * height * width);
        for _ in 0..channels * height * width {
            let [logits, means, sigmas] = self.mixture(self.read(last, &mut state));
            let component = choose(logits);
            let noise = Tensor::random([n, 1], Distribution::Normal(0.0, 1.0), device);
            last = means.gather(1, component.clone()) + sigmas.gather(1, component) * noise;
            drawn.push(last.clone());
        }
        let drawn = Tensor::cat(drawn, 1).reshape([n, height * width, channels]);
        drawn.swap_dims(1, 2).reshape([n, channels * height * width])
    }
}

impl<B: Backend> DensityModel<B> for LstmMixture<B> {
    fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        let [batch, _] = x.dims();
        self.log_conditionals(x).sum_dim(1).reshape([batch])
    }

    /// Coordinate by coordinate: as many multiplications as one evaluation of `n` inputs. Not differentiable.
    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.clone().no_grad().generate(n, device)
    }
}

impl<B: Backend> Objective<B> for LstmMixture<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        -self.log_prob(x)
    }
}

impl<B: AutodiffBackend> Learn<B> for LstmMixture<B> {
    /// The mean of `-log p(x)`, in nats.
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        Learned::Loss(-self.log_prob(x).mean())
    }
}
