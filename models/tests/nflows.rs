//! Values of the real `nflows` 0.14, made by `scripts/reference/flow_goldens.py`: splines, every step, whole flows and the
//! Jacobian of their decoders. Agreement to 1e-5 relative in f32 (1e-4 where a decoder amplifies rounding by its own large
//! Jacobian), on every CPU backend.

#[allow(dead_code)]
mod common;

use atypical_models::{
    DensityModel, FlowBackend,
    flow::{Conditioner, ConvResidualNet, Flow, FlowConfig, Init, Layer, SameConv},
    ops::{Direction, SplineShape, rq_spline},
};
use burn::{
    backend::Autodiff,
    module::{Param, ParamId},
    tensor::{Int, Tensor, TensorData},
};
use common::values;
use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// One golden file.
struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        Self { name: name.to_owned(), bytes }
    }

    /// Values and shape of a tensor; weights and inputs are f32, outputs f64, permutations i64.
    fn get(&self, key: &str) -> (Vec<f64>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(key).unwrap_or_else(|_| panic!("{} has no {key}", self.name));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => {
                data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            Dtype::F64 => {
                data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
            }
            Dtype::I64 => {
                data.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
            }
            other => panic!("{other:?}"),
        };
        (values, view.shape().to_vec())
    }

    fn tensor<B: FlowBackend, const D: usize>(&self, key: &str, dims: [usize; D]) -> Tensor<B, D> {
        let values: Vec<f32> = self.get(key).0.into_iter().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(values, dims), &Default::default())
    }

    /// The tensor flattened to `[batch, D]`.
    fn batch<B: FlowBackend>(&self, key: &str) -> Tensor<B, 2> {
        let (values, shape) = self.get(key);
        self.tensor(key, [shape[0], values.len() / shape[0]])
    }

    fn load<B: FlowBackend, const D: usize>(&self, param: &mut Param<Tensor<B, D>>, key: &str) {
        let dims = param.val().dims();
        assert_eq!(self.get(key).1, dims, "{}: {key}", self.name);
        *param = Param::initialized(ParamId::new(), self.tensor(key, dims));
    }

    fn load_conv<B: FlowBackend>(&self, conv: &mut SameConv<B>, key: &str) {
        self.load(&mut conv.weight, &format!("{key}.weight"));
        self.load(&mut conv.bias, &format!("{key}.bias"));
    }

    fn load_net<B: FlowBackend>(&self, net: &mut ConvResidualNet<B>, key: &str) {
        self.load_conv(&mut net.initial, &format!("{key}.initial"));
        for (i, block) in net.blocks.iter_mut().enumerate() {
            self.load_conv(&mut block.first, &format!("{key}.blocks.{i}.first"));
            self.load_conv(&mut block.second, &format!("{key}.blocks.{i}.second"));
        }
        self.load_conv(&mut net.output, &format!("{key}.output"));
    }

    fn metadata(&self) -> serde_json::Value {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        serde_json::from_str(&metadata["config"]).unwrap()
    }

    /// The flow that the metadata describes, with the file's weights.
    fn flow<B: FlowBackend>(&self) -> Flow<B> {
        let config: FlowConfig = serde_json::from_value(self.metadata()).unwrap();
        let mut flow = Flow::<B>::new(&config, 0, &Default::default()).unwrap();
        let mut i = 0;
        for level in &mut flow.levels {
            for step in &mut level.steps {
                let key = |name: &str| format!("steps.{i}.{name}");
                match step {
                    Layer::ActNorm(norm) => {
                        self.load(&mut norm.log_scale, &key("log_scale"));
                        self.load(&mut norm.shift, &key("shift"));
                    }
                    Layer::Conv1x1(conv) => {
                        self.load(&mut conv.lower, &key("lower"));
                        self.load(&mut conv.upper, &key("upper"));
                        self.load(&mut conv.diagonal, &key("diagonal_raw"));
                        self.load(&mut conv.bias, &key("bias"));
                        let order: Vec<i64> =
                            self.get(&key("permutation")).0.into_iter().map(|v| v as i64).collect();
                        let n = order.len();
                        let order = Tensor::<B, 1, Int>::from_data(
                            TensorData::new(order, [n]),
                            &Default::default(),
                        );
                        conv.permutation = Param::initialized(ParamId::new(), order);
                    }
                    Layer::Coupling(coupling) => {
                        self.load_net(&mut coupling.conditioner, &key("conditioner"));
                    }
                    Layer::Logit(_) | Layer::Squeeze(_) => {}
                }
                i += 1;
            }
            // The split after this level is a step of the list too.
            i += 1;
        }
        flow
    }

    /// Compare, relative to the largest value of the golden tensor (at least 1).
    fn close<B: FlowBackend, const D: usize>(&self, got: Tensor<B, D>, key: &str, tolerance: f64) {
        let (expected, _) = self.get(key);
        let got = values(got);
        assert_eq!(got.len(), expected.len(), "{}: {key}", self.name);
        let size = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
            let error = (g - e).abs() / size;
            assert!(
                error <= tolerance,
                "{}: {key}[{i}] is {g}, not {e}: off by {error:.1e}",
                self.name
            );
        }
    }
}

fn spline<B: FlowBackend>() {
    for (name, bins, tail) in [("rq_spline_8", 8, 3.0), ("rq_spline_2", 2, 1.0)] {
        let golden = Golden::open(name);
        let n = golden.get("x").0.len();
        let shape = SplineShape { bins, tail, logit_scale: 1.0 };
        let logits = golden.tensor::<B, 3>("params", [n, shape.parameters(), 1]);
        for (from, to, log, direction) in [
            ("x", "z", "logabsdet", Direction::Forward),
            ("z_decode", "x_decode", "logabsdet_decode", Direction::Inverse),
        ] {
            let x = golden.tensor::<B, 3>(from, [n, 1, 1]);
            let (y, log_derivative) = rq_spline(x, logits.clone(), shape, direction);
            // A flat stretch of the spline (slopes down to 1e-6 among the extreme rows) amplifies rounding in its inverse
            // by 1/slope: measure the inverse where it came from, and its log-slope where the spline is not flat.
            let (log_slopes, expected) = (golden.get(log).0, golden.get(to).0);
            let stretch = |i: usize| match direction {
                Direction::Forward => 1.0,
                Direction::Inverse => log_slopes[i].exp().max(1.0),
            };
            for (i, (got, expected)) in values(y).into_iter().zip(expected).enumerate() {
                let error = (got - expected).abs() / stretch(i) / (1.0 + expected.abs());
                assert!(error < 1e-5, "{name} {to}[{i}] is {got}, not {expected}");
            }
            for (i, got) in values(log_derivative).into_iter().enumerate() {
                let error = (got - log_slopes[i]).abs() / (1.0 + log_slopes[i].abs());
                assert!(
                    error < 2e-5 || stretch(i) > 10.0,
                    "{name} {log}[{i}] is {got}, not {}",
                    log_slopes[i]
                );
            }
        }
    }
}

fn networks<B: FlowBackend>() {
    for (name, dims) in [("conv_residual_net", [2, 3, 5, 6]), ("residual_net", [4, 5, 1, 1])] {
        let golden = Golden::open(name);
        let metadata = golden.metadata();
        let conditioner: Conditioner =
            serde_json::from_value(metadata["conditioner"].clone()).unwrap();
        let channels = [0, 1].map(|i| metadata["channels"][i].as_u64().unwrap() as usize);
        let kernel = conditioner.kernel;
        let mut net = ConvResidualNet::<B>::new(
            channels,
            &conditioner,
            kernel,
            &mut Init::new(0),
            &Default::default(),
        );
        golden.load_net(&mut net, "conditioner");
        golden.close(net.forward(golden.tensor("x", dims)), "y", 1e-5);
    }
}

fn steps_and_flows<B: FlowBackend>() {
    for name in [
        "logit_symmetric",
        "logit_reference",
        "squeeze_2",
        "squeeze_7",
        "act_norm_image",
        "act_norm_vector",
        "conv1x1",
        "coupling_rq_even",
        "coupling_rq_odd",
        "coupling_rq_vector_even",
        "coupling_rq_vector_odd",
        "coupling_affine_even",
        "coupling_affine_odd",
        "flow_vector_rq",
        "flow_image_rq",
        "flow_image_glow",
    ] {
        let golden = Golden::open(name);
        let flow = golden.flow::<B>();
        let x = golden.batch::<B>("x");
        let (z, log_det) = flow.encode(x.clone());
        golden.close(z, "z", 1e-5);
        golden.close(log_det, "logabsdet", 1e-5);
        if !name.starts_with("logit") {
            golden.close(flow.log_prob(x), "log_prob", 1e-5);
        }
        let (x, log_det) = flow.decode(golden.batch("z_decode"));
        // The golden image flows stretch some directions by more than 100: decoding amplifies the rounding of f32 by that.
        let tolerance = if name.starts_with("flow_image") { 1e-4 } else { 1e-5 };
        golden.close(x, "x_decode", tolerance);
        golden.close(log_det, "logabsdet_decode", tolerance);
    }
}

fn data_dependent_initialisation<B: FlowBackend>() {
    for name in ["act_norm_image", "act_norm_vector"] {
        let golden = Golden::open(name);
        let mut flow = golden.flow::<B>();
        assert_eq!(flow.initialize(golden.batch("x")).constant_channels, 0);
        let Layer::ActNorm(norm) = &flow.levels[0].steps[0] else { panic!("{name}") };
        golden.close(norm.log_scale.val(), "init.log_scale", 1e-5);
        golden.close(norm.shift.val(), "init.shift", 1e-5);
    }
}

fn jacobians<B: FlowBackend>() {
    for name in ["flow_vector_rq", "flow_image_rq", "flow_image_glow"] {
        let golden = Golden::open(name);
        let flow = golden.flow::<Autodiff<B>>();
        let z = golden.batch::<B>("z");
        let dimension = z.dims()[1];
        for sample in 0..2 {
            let expected: Vec<f64> = golden.get("jacobian").0[sample * dimension * dimension..]
                [..dimension * dimension]
                .to_vec();
            let size = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for row in 0..dimension {
                let z = Tensor::<Autodiff<B>, 2>::from_inner(z.clone().narrow(0, sample, 1));
                let z = z.require_grad();
                let gradients = flow.decode(z.clone()).0.narrow(1, row, 1).sum().backward();
                let gradient = values(z.grad(&gradients).unwrap());
                for (g, e) in gradient.iter().zip(&expected[row * dimension..]) {
                    // Of the largest entry. The image flows' Jacobians are themselves steep in z: rounding z to f32 alone moves
                    // them by some 1e-4 of their size.
                    let tolerance = if name == "flow_vector_rq" { 1e-5 } else { 2e-3 };
                    assert!((g - e).abs() / size < tolerance, "{name}, row {row}: {g}, not {e}");
                }
            }
        }
    }
}

macro_rules! suite {
    ($($backend:ident: $type:ty),*) => {$(
        mod $backend {
            #[test]
            fn spline() {
                super::spline::<$type>();
            }

            #[test]
            fn networks() {
                super::networks::<$type>();
            }

            #[test]
            fn steps_and_flows() {
                super::steps_and_flows::<$type>();
            }

            #[test]
            fn data_dependent_initialisation() {
                super::data_dependent_initialisation::<$type>();
            }

            #[test]
            fn jacobians() {
                super::jacobians::<$type>();
            }
        }
    )*};
}

suite!(flex: burn::backend::Flex, ndarray: burn::backend::NdArray<f32>);
