//! Modules as a user has them, against reverse mode, on Flex and on NdArray in f32.

use atypical_forward::{Forward, jvp, on_forward};
use burn::backend::{Autodiff, Flex, NdArray};
use burn::module::{AutodiffModule, Module};
use burn::nn;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::interpolate::{Interpolate2dConfig, InterpolateMode};
use burn::nn::pool::AvgPool2dConfig;
use burn::nn::{
    GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor, activation};

/// Relative to the larger of one and the reference.
const TOLERANCE: f32 = 1e-4;

/// Compares the products of three directions with those of the Jacobian by backward passes.
fn agree<B: Backend, const D: usize, const E: usize, const O: usize, const P: usize>(
    shape: [usize; D],
    forward: impl Fn(Tensor<Forward<B>, D>) -> Tensor<Forward<B>, O>,
    reverse: impl Fn(Tensor<Autodiff<B>, D>) -> Tensor<Autodiff<B>, O>,
) {
    const K: usize = 3;
    let device = Default::default();
    let normal = Distribution::Normal(0.0, 1.0);
    let x = Tensor::<B, D>::random(shape, normal, &device);
    let mut wide = [K; E];
    wide[1..].copy_from_slice(&shape);
    let directions = Tensor::<B, E>::random(wide, normal, &device);

    let (value, products): (_, Tensor<B, P>) = jvp(forward, x.clone(), directions.clone()).unwrap();
    let flat = |x: Tensor<Autodiff<B>, D>| {
        let y = reverse(x);
        let n = y.shape().num_elements();
        y.reshape([n])
    };
    // Burn 0.21 loses gradients of a concatenation while another thread has a backward pass of its own.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock();
    let outputs = value.shape().num_elements();
    let mut expected = Vec::new();
    for o in 0..outputs {
        let x = Tensor::<Autodiff<B>, D>::from_inner(x.clone()).require_grad();
        let grads = flat(x.clone()).slice(o..o + 1).backward();
        let row = x.grad(&grads).unwrap().reshape([1, -1]);
        let directions = directions.clone().reshape([K as i32, -1]);
        expected.push(directions.matmul(row.transpose()));
    }
    let expected = Tensor::cat(expected, 1);
    let deviation =
        (products.reshape([K, outputs]) - expected.clone()).abs() / expected.abs().clamp_min(1.0);
    let deviation = deviation.max().into_scalar();
    let deviation: f32 = burn::tensor::ElementConversion::elem(deviation);
    assert!(deviation <= TOLERANCE, "deviation {deviation:e}");
}

/// A module on both backends, and one function for both.
macro_rules! agrees {
    ($test:ident, $backend:ty, $module:expr, $kind:ident, $shape:expr, [$d:literal, $e:literal, $o:literal, $p:literal], |$m:ident, $x:ident| $f:expr) => {
        #[test]
        fn $test() {
            <$backend as Backend>::seed(&Default::default(), 7);
            let module: $kind<$backend> = $module;
            // Parameters come to be when first used: before that, each copy of a module would draw its own.
            assert!(module.num_params() > 0);
            let (ours, theirs): ($kind<Forward<$backend>>, $kind<Autodiff<$backend>>) =
                (on_forward(module.clone()), AutodiffModule::from_inner(module));
            agree::<$backend, $d, $e, $o, $p>(
                $shape,
                |$x| {
                    let $m = &ours;
                    $f
                },
                |$x| {
                    let $m = &theirs;
                    $f
                },
            );
        }
    };
}

/// Every case on both backends.
macro_rules! modules {
    ($($test:ident: $kind:ident = $module:expr, $shape:expr, $ranks:tt, |$m:ident, $x:ident| $f:expr;)*) => {
        mod flex {
            use super::*;
            $(agrees!($test, Flex, $module, $kind, $shape, $ranks, |$m, $x| $f);)*
        }
        mod ndarray {
            use super::*;
            $(agrees!($test, NdArray, $module, $kind, $shape, $ranks, |$m, $x| $f);)*
        }
    };
}

modules! {
    linear: Linear = LinearConfig::new(4, 3).init(&Default::default()), [2, 4], [2, 3, 2, 3], |m, x| m.forward(x);
    conv2d: Conv2d = Conv2dConfig::new([4, 4], [3, 3]).with_groups(2).init(&Default::default()),
        [2, 4, 4, 4], [4, 5, 4, 5], |m, x| m.forward(x);
    transposed_conv2d: ConvTranspose2d =
        ConvTranspose2dConfig::new([2, 3], [2, 2]).with_stride([2, 2]).init(&Default::default()),
        [1, 2, 3, 3], [4, 5, 4, 5], |m, x| m.forward(x);
    group_norm: GroupNorm = GroupNormConfig::new(2, 4).init(&Default::default()),
        [2, 4, 3, 3], [4, 5, 4, 5], |m, x| m.forward(x);
    layer_norm: LayerNorm = LayerNormConfig::new(5).init(&Default::default()),
        [2, 3, 5], [3, 4, 3, 4], |m, x| m.forward(x);
    silu_of_linear: Linear = LinearConfig::new(4, 3).init(&Default::default()),
        [2, 4], [2, 3, 2, 3], |m, x| activation::silu(m.forward(x));
    softmax_of_linear: Linear = LinearConfig::new(4, 3).init(&Default::default()),
        [2, 4], [2, 3, 2, 3], |m, x| activation::softmax(m.forward(x), 1);
    self_attention: MultiHeadAttention = MultiHeadAttentionConfig::new(4, 2).with_dropout(0.0).init(&Default::default()),
        [2, 3, 4], [3, 4, 3, 4], |m, x| m.forward(MhaInput::self_attn(x)).context;
    up_and_down: Conv2d = Conv2dConfig::new([1, 2], [1, 1]).init(&Default::default()),
        [1, 1, 4, 4], [4, 5, 4, 5], |m, x| {
            let nearest = Interpolate2dConfig::new().with_mode(InterpolateMode::Nearest);
            let up = nearest.clone().with_scale_factor(Some([2.0, 2.0])).init().forward(m.forward(x));
            nearest.with_output_size(Some([4, 4])).init().forward(up)
        };
    average_pool: Conv2d = Conv2dConfig::new([1, 2], [1, 1]).init(&Default::default()),
        [1, 1, 4, 4], [4, 5, 4, 5], |m, x| AvgPool2dConfig::new([2, 2]).init().forward(m.forward(x));
    residual_mlp: ResidualMlp = ResidualMlp::new(), [2, 4], [2, 3, 2, 3], |m, x| m.forward(x);
    u_net_block: Block = Block::new(), [1, 2, 4, 4], [4, 5, 4, 5], |m, x| m.forward(x);
}

#[derive(Module, Debug)]
struct ResidualMlp<B: Backend> {
    layers: Vec<Linear<B>>,
    norm: LayerNorm<B>,
    dropout: nn::Dropout,
}

impl<B: Backend> ResidualMlp<B> {
    fn new() -> Self {
        let device = Default::default();
        Self {
            layers: (0..3).map(|_| LinearConfig::new(4, 4).init(&device)).collect(),
            norm: LayerNormConfig::new(4).init(&device),
            // Nothing at random is comparable; that it is off is another test.
            dropout: nn::DropoutConfig::new(0.0).init(),
        }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let x = self.layers.iter().fold(x, |x, layer| {
            x.clone() + self.dropout.forward(layer.forward(self.norm.forward(x).tanh()))
        });
        activation::silu(x)
    }
}

/// Down, attention over the positions, up, and the skip connection.
#[derive(Module, Debug)]
struct Block<B: Backend> {
    enter: Conv2d<B>,
    norm: GroupNorm<B>,
    down: Conv2d<B>,
    attention: MultiHeadAttention<B>,
    up: ConvTranspose2d<B>,
    leave: Conv2d<B>,
}

impl<B: Backend> Block<B> {
    fn new() -> Self {
        let device = Default::default();
        let same = |i, o| {
            Conv2dConfig::new([i, o], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        };
        Self {
            enter: same(2, 4).init(&device),
            norm: GroupNormConfig::new(2, 4).init(&device),
            down: same(4, 4).with_stride([2, 2]).init(&device),
            attention: MultiHeadAttentionConfig::new(4, 2).with_dropout(0.0).init(&device),
            up: ConvTranspose2dConfig::new([4, 4], [2, 2]).with_stride([2, 2]).init(&device),
            leave: same(8, 2).init(&device),
        }
    }

    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let skip = activation::silu(self.norm.forward(self.enter.forward(x)));
        let low = self.down.forward(skip.clone());
        let [n, c, h, w] = low.dims();
        let tokens = low.clone().reshape([n, c, h * w]).swap_dims(1, 2);
        let mixed = self.attention.forward(MhaInput::self_attn(tokens)).context;
        let low = low + mixed.swap_dims(1, 2).reshape([n, c, h, w]);
        self.leave.forward(Tensor::cat(vec![skip, self.up.forward(low)], 1))
    }
}

#[test]
fn dropout_is_off() {
    let dropout = nn::DropoutConfig::new(0.9).init();
    let x = Tensor::<Flex, 2>::ones([4, 16], &Default::default());
    let (value, products): (_, Tensor<Flex, 3>) = jvp(
        |x| dropout.forward(x),
        x.clone(),
        Tensor::<Flex, 3>::ones([1, 4, 16], &Default::default()),
    )
    .unwrap();
    value.into_data().assert_eq(&x.clone().into_data(), true);
    products.reshape([4, 16]).into_data().assert_eq(&x.into_data(), true);
}
