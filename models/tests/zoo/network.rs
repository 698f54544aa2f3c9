//! Tests of `atypical_models::network` against `torch.nn`: values, gradients of inputs and of every parameter, by
//! `scripts/reference/network_goldens.py`.

use crate::golden::Golden;
use atypical_forward::{Forward, jacobian, on_forward};
use atypical_models::{
    FlowBackend, Init,
    network::{Activation, Decoder, Encoder, NetworkConfig, NetworkError},
};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, backend::AutodiffBackend},
};

/// The names of a module's parameters: its fields', without the variants of enums.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn new(prefix: &str) -> Self {
        Self(prefix.split_terminator('.').map(str::to_owned).collect())
    }

    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum") {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum") {
            self.0.pop();
        }
    }
}

/// The module with the weights of a golden file that begin with a prefix.
pub fn loaded<B: FlowBackend, M: Module<B>>(module: M, golden: &Golden, prefix: &str) -> M {
    struct Loader<'a>(&'a Golden, Path);

    impl<B: FlowBackend> ModuleMapper<B> for Loader<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.1.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.1.exit(container);
        }

        fn map_float<const D: usize>(
            &mut self,
            mut param: Param<Tensor<B, D>>,
        ) -> Param<Tensor<B, D>> {
            self.0.load(&mut param, &self.1.0.join("."));
            Param::from_tensor(param.val())
        }
    }

    module.map(&mut Loader(golden, Path::new(prefix)))
}

/// Compare the gradient of every parameter with a golden file; how many there are.
pub fn gradients_are_close<B: AutodiffBackend, M: Module<B>>(
    module: &M,
    gradients: &B::Gradients,
    golden: &Golden,
    prefix: &str,
    tolerance: f64,
) -> usize
where
    B::InnerBackend: FlowBackend,
{
    struct Comparison<'a, B: AutodiffBackend> {
        golden: &'a Golden,
        gradients: &'a B::Gradients,
        path: Path,
        tolerance: f64,
        parameters: usize,
    }

    impl<B: AutodiffBackend> ModuleVisitor<B> for Comparison<'_, B>
    where
        B::InnerBackend: FlowBackend,
    {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let key = format!("{}.grad", self.path.0.join("."));
            let gradient = param.val().grad(self.gradients).unwrap_or_else(|| panic!("no {key}"));
            self.golden.close(gradient, &key, self.tolerance);
            self.parameters += 1;
        }
    }

    let path = Path::new(prefix);
    let mut comparison = Comparison::<B> { golden, gradients, path, tolerance, parameters: 0 };
    module.visit(&mut comparison);
    comparison.parameters
}

const GOLDENS: [&str; 8] = [
    "network_mlp_relu",
    "network_mlp_silu",
    "network_mlp_tanh",
    "network_mlp_linear",
    "network_conv_relu",
    "network_conv_stride_2_silu",
    "network_conv_mixed_tanh",
    "network_conv_kernel_1",
];

/// Both networks of a golden file, with its weights.
fn networks<B: FlowBackend>(golden: &Golden) -> (Encoder<B>, Decoder<B>) {
    let metadata = golden.metadata();
    let config: NetworkConfig = serde_json::from_value(metadata["network"].clone()).unwrap();
    let shape: [usize; 3] = serde_json::from_value(metadata["shape"].clone()).unwrap();
    let vector = metadata["vector"].as_u64().unwrap() as usize;
    let (init, device) = (&mut Init::new(0), Default::default());
    let encoder = Encoder::new(&config, shape, vector, init, &device).unwrap();
    let decoder = Decoder::new(&config, vector, shape, init, &device).unwrap();
    (loaded(encoder, golden, "encoder"), loaded(decoder, golden, "decoder"))
}

/// Values and gradients of one network.
fn agrees<B: FlowBackend, M: Module<Autodiff<B>>>(
    net: &M,
    forward: impl Fn(&M, Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 2>,
    golden: &Golden,
    prefix: &str,
) {
    let key = |name: &str| format!("{prefix}.{name}");
    let x = golden.batch::<Autodiff<B>>(&key("x")).require_grad();
    let y = forward(net, x.clone());
    golden.close(y.clone(), &key("y"), 1e-6);
    let gradients = (y * golden.batch(&key("cotangent"))).sum().backward();
    golden.close(x.grad(&gradients).unwrap(), &key("x.grad"), 2e-6);
    let compared = gradients_are_close::<Autodiff<B>, M>(net, &gradients, golden, prefix, 2e-6);
    assert!(compared >= 2 && compared.is_multiple_of(2), "weights and biases, not {compared}");
}

fn networks_agree<B: FlowBackend>() {
    for name in GOLDENS {
        let golden = Golden::open(name);
        let (encoder, decoder) = networks::<Autodiff<B>>(&golden);
        agrees::<B, _>(&encoder, |net, x| net.forward(x), &golden, "encoder");
        agrees::<B, _>(&decoder, |net, z| net.forward(z), &golden, "decoder");
    }
}

/// The first sample's gradient again, from the whole Jacobian.
fn forward_mode_agrees<B: FlowBackend>() {
    for name in GOLDENS {
        let golden = Golden::open(name);
        let (encoder, decoder) = networks::<Autodiff<B>>(&golden);
        let encoder: Encoder<Forward<B>> = on_forward(encoder.valid());
        let decoder: Decoder<Forward<B>> = on_forward(decoder.valid());
        for prefix in ["encoder", "decoder"] {
            let first = |key: &str| golden.batch::<B>(&format!("{prefix}.{key}")).narrow(0, 0, 1);
            let net = |x| match prefix {
                "encoder" => encoder.forward(x),
                _ => decoder.forward(x),
            };
            let jacobian = jacobian(net, first("x"), 4).unwrap();
            let gradient = first("cotangent").matmul(jacobian);
            let error =
                (gradient - first("x.grad")).abs().max().into_data().iter::<f64>().sum::<f64>();
            assert!(error < 1e-5, "{name}: {prefix} is off by {error:.1e}");
        }
    }
}

#[test]
fn networks_agree_on_flex() {
    networks_agree::<Flex>();
}

#[test]
fn networks_agree_on_ndarray() {
    networks_agree::<NdArray<f32>>();
}

#[test]
fn forward_mode_agrees_on_flex() {
    forward_mode_agrees::<Flex>();
}

#[test]
fn forward_mode_agrees_on_ndarray() {
    forward_mode_agrees::<NdArray<f32>>();
}

#[test]
fn no_activation_hides_a_nan() {
    for activation in [Activation::Relu, Activation::Silu, Activation::Tanh] {
        let x = Tensor::<Flex, 1>::from_floats([f32::NAN, -1.0, 2.0], &Default::default());
        let y: Vec<f32> = activation.apply(x).into_data().to_vec().unwrap();
        assert!(y[0].is_nan() && !y[1].is_nan() && y[2] > 0.9, "{activation:?}: {y:?}");
    }
}

#[test]
fn what_cannot_be_built_is_refused() {
    let shape = [1, 8, 12];
    let conv = |channels: &[usize], strides: &[usize], kernel| NetworkConfig::Conv {
        channels: channels.to_vec(),
        strides: strides.to_vec(),
        kernel,
        activation: Activation::Relu,
    };
    let mlp = |hidden: &[usize]| NetworkConfig::Mlp {
        hidden: hidden.to_vec(),
        activation: Activation::Relu,
    };
    for (config, error) in [
        (mlp(&[3, 0]), NetworkError::EmptyLayer(1)),
        (conv(&[0], &[], 3), NetworkError::EmptyLayer(0)),
        (conv(&[2, 2], &[2], 3), NetworkError::Strides { strides: 1, channels: 2 }),
        (conv(&[2], &[], 4), NetworkError::EvenKernel(4)),
        (conv(&[2], &[], 0), NetworkError::EvenKernel(0)),
        (conv(&[2, 2], &[2, 4], 3), NetworkError::Sides { product: 8, height: 8, width: 12 }),
        (conv(&[2], &[0], 3), NetworkError::Sides { product: 0, height: 8, width: 12 }),
        (
            conv(&[2, 2], &[usize::MAX, 3], 3),
            NetworkError::Sides { product: usize::MAX, height: 8, width: 12 },
        ),
    ] {
        assert_eq!(config.check(shape).unwrap_err(), error);
    }
    assert_eq!(mlp(&[]).check(shape), Ok(()));
    assert_eq!(conv(&[], &[], 3).check(shape), Ok(()));
    for config in [mlp(&[1 << 40]), conv(&[1 << 40], &[2], 3), conv(&[4], &[], 1 << 30 | 1)] {
        let device = Default::default();
        let encoder = Encoder::<Flex>::new(&config, shape, 2, &mut Init::new(0), &device);
        assert!(matches!(encoder.unwrap_err(), NetworkError::TooLarge(_)));
        let decoder = Decoder::<Flex>::new(&config, 2, shape, &mut Init::new(0), &device);
        assert!(matches!(decoder.unwrap_err(), NetworkError::TooLarge(_)));
    }
}
