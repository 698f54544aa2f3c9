//! PixelCNN++.

use super::{
    AutoregressiveError, CausalConv, LogisticMixture, PixelCnnConfig, Stream, causal::shifted,
    logistic::to_real,
};
use crate::{
    DensityModel, Learn, Learned, Objective,
    flow::SameConv,
    init::Init,
    ops::{FlowBackend, rectified_conv},
};
use burn::{
    module::{Module, Param},
    nn::{Dropout, DropoutConfig},
    tensor::{
        Bool, Tensor,
        activation::sigmoid,
        backend::{AutodiffBackend, Backend},
    },
};

/// PixelCNN++ (Salimans et al. 2017, arXiv 1701.05517) at one resolution: an image's pixels in raster order, each with a [`LogisticMixture`] over its 256
/// levels that depends on all pixels before.
///
/// Two streams of gated residual blocks run side by side: the vertical one has seen the rows above a pixel, the horizontal one also what is left of it. The
/// original has, besides, shortcuts over maps of lower resolution, concatenated ELUs where this has ReLUs, and weight normalisation.
///
/// Inputs are `(level + u) / 256` with u in [0, 1). The density is constant within a level, so `log p(x) = Σ log P(level) + D ln 256` is exact, and -∞ outside
/// the unit cube.
///
/// Should be created with [`PixelCnn::new`].
#[derive(Module, Debug)]
pub struct PixelCnn<B: Backend> {
    /// From the image above to the vertical stream.
    pub vertical: CausalConv<B>,
    /// From the image on the left to the horizontal stream.
    pub horizontal: CausalConv<B>,
    /// The blocks of both streams.
    pub layers: Vec<PixelCnnLayer<B>>,
    /// From the horizontal stream to the parameters of the mixtures.
    pub output: SameConv<B>,
    pub(super) shape: [usize; 3],
    pub(super) min_log_scale: f64,
}

/// `t` of the scales `σ(t)` before training: some 15 levels.
const START_SCALE: f64 = -2.0;

/// A block of each stream.
#[derive(Module, Debug)]
pub struct PixelCnnLayer<B: Backend> {
    /// The vertical stream's block.
    pub vertical: GatedBlock<B>,
    /// From the vertical stream into the horizontal one's block, 1x1.
    pub link: SameConv<B>,
    /// The horizontal stream's block.
    pub horizontal: GatedBlock<B>,
}

/// Gated residual block: `x + a ⊙ σ(b)` with `[a, b] = conv(relu(conv(relu(x)) + beside))`.
#[derive(Module, Debug)]
pub struct GatedBlock<B: Backend> {
    /// First convolution.
    pub first: CausalConv<B>,
    /// Second convolution, to twice the channels.
    pub second: CausalConv<B>,
    dropout: Dropout,
}

impl<B: Backend> GatedBlock<B> {
    fn new(stream: Stream, config: &PixelCnnConfig, init: &mut Init, device: &B::Device) -> Self {
        let PixelCnnConfig { hidden, kernel, .. } = *config;
        Self {
            first: CausalConv::new([hidden, hidden], stream, kernel, init, device),
            second: CausalConv::new([hidden, 2 * hidden], stream, kernel, init, device),
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }
}

impl<B: FlowBackend> GatedBlock<B> {
    fn forward(
        &self,
        x: Tensor<B, 4>,
        beside: Option<Tensor<B, 4>>,
        training: bool,
    ) -> Tensor<B, 4> {
        let mut h = self.first.forward_rectified(x.clone(), beside);
        if training {
            // Dropout scales by no less than zero: it may as well come before the activation.
            h = self.dropout.forward(h);
        }
        x + gate(self.second.forward_rectified(h, None))
    }
}

/// `a ⊙ σ(b)` of the first and the second half of the channels.
pub(super) fn gate<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let half = x.dims()[1] / 2;
    x.clone().narrow(1, 0, half) * sigmoid(x.narrow(1, half, half))
}

impl<B: Backend> PixelCnn<B> {
    /// A model with initial weights drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// A key outside its range.
    pub fn new(
        config: &PixelCnnConfig,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, AutoregressiveError> {
        config.check()?;
        let init = &mut Init::new(seed);
        let PixelCnnConfig { shape, hidden, blocks, kernel, mixtures, min_log_scale, .. } = *config;
        // The image, and ones that tell its grey from what is outside.
        let input = shape[0] + 1;
        let vertical = CausalConv::new([input, hidden], Stream::Vertical, kernel, init, device);
        let horizontal = CausalConv::new([input, hidden], Stream::Horizontal, kernel, init, device);
        let layers = (0..blocks)
            .map(|_| PixelCnnLayer {
                vertical: GatedBlock::new(Stream::Vertical, config, init, device),
                link: SameConv::new([hidden, hidden], 1, None, init, device),
                horizontal: GatedBlock::new(Stream::Horizontal, config, init, device),
            })
            .collect();
        let mut output = SameConv::new([hidden, config.outputs()], 1, None, init, device);
        // Every component starts at levels of its own: those that start alike would take long to part.
        let of_all = shape[0] * mixtures;
        let means = init.uniform([of_all], 1.0, device).val();
        let scales = Tensor::full([of_all], START_SCALE, device);
        let bias = output.bias.val().slice_assign(mixtures..mixtures + of_all, means);
        let bias = bias.slice_assign(mixtures + of_all..mixtures + 2 * of_all, scales);
        output.bias = Param::from_tensor(bias.detach());
        Ok(Self { vertical, horizontal, layers, output, shape, min_log_scale })
    }

    /// Shape of one image, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The levels of a batch of images, `[batch, channels, height, width]`, and for each image whether it is outside the unit cube.
    fn levels(&self, x: Tensor<B, 2>) -> (Tensor<B, 4>, Tensor<B, 1, Bool>) {
        let [batch, _] = x.dims();
        let [c, h, w] = self.shape;
        let x = x.detach();
        // A quotient just below 1 may have been rounded to it.
        let [below, above] = [x.clone().lower_elem(0.0), x.clone().greater_elem(1.0)];
        let outside = below.clone().float() + above.float();
        let outside = outside.sum_dim(1).reshape([batch]).greater_elem(0.0);
        let levels = (x.clone() * 256.0).floor();
        let levels = levels.mask_fill(below, 0.0).mask_fill(x.greater_equal_elem(1.0), 255.0);
        (levels.reshape([batch, c, h, w]), outside)
    }
}

impl<B: FlowBackend> PixelCnn<B> {
    /// The mixtures of all pixels; with dropout only in training.
    fn mixtures(&self, levels: Tensor<B, 4>, training: bool) -> LogisticMixture<B> {
        let [batch, _, h, w] = levels.dims();
        let inside = Tensor::ones([batch, 1, h, w], &levels.device());
        let image = Tensor::cat(vec![to_real(levels), inside], 1);
        let mut vertical = self.vertical.forward(shifted(image.clone(), 2));
        let mut horizontal = self.horizontal.forward(shifted(image, 3));
        for layer in &self.layers {
            vertical = layer.vertical.forward(vertical, None, training);
            let (weight, bias) = (layer.link.weight.val(), layer.link.bias.val());
            let beside = rectified_conv(vertical.clone(), weight, bias, None);
            horizontal = layer.horizontal.forward(horizontal, Some(beside), training);
        }
        let (weight, bias) = (self.output.weight.val(), self.output.bias.val());
        let parameters = rectified_conv(horizontal, weight, bias, None);
        LogisticMixture::new(parameters.flatten(2, 3), self.shape[0], self.min_log_scale)
    }

    fn log_density(&self, x: Tensor<B, 2>, training: bool) -> Tensor<B, 1> {
        let [batch, dimension] = x.dims();
        let (levels, outside) = self.levels(x);
        let log_prob = self.mixtures(levels.clone(), training).log_prob(levels.flatten(2, 3));
        let constant = dimension as f64 * 256f64.ln();
        (log_prob.sum_dim(1).reshape([batch]) + constant).mask_fill(outside, f32::NEG_INFINITY)
    }

    /// Logarithm of the probability of every level given those before, in nats: pixels in raster order, and the channels of a pixel in theirs. Their sum and
    /// `D ln 256` is [`log_prob`](DensityModel::log_prob). An input outside the unit cube is taken for the nearest inside.
    ///
    /// # Shapes
    /// - x, output: `[batch, D]`
    pub fn log_conditionals(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let dims = x.dims();
        let levels = self.levels(x).0;
        self.mixtures(levels.clone(), false).log_conditionals(levels.flatten(2, 3)).reshape(dims)
    }
}

impl<B: FlowBackend> DensityModel<B> for PixelCnn<B> {
    fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.log_density(x, false)
    }

    /// Pixel by pixel: as many multiplications as one evaluation of `n` images, in `height · width` steps that wait for each other. Not differentiable.
    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.clone().no_grad().generate(n, device)
    }
}

impl<B: FlowBackend> Objective<B> for PixelCnn<B> {
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        -self.log_prob(x)
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for PixelCnn<B>
where
    B::InnerBackend: FlowBackend,
{
    /// The mean of `-log p(x)`, in nats.
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        Learned::Loss(-self.log_density(x, true).mean())
    }
}
