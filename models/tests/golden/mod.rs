//! Golden values of the real nflows: weights, inputs and outputs of one flow or step a file.

use atypical_models::{
    FlowBackend,
    flow::{ConvResidualNet, Flow, FlowConfig, Layer, SameConv},
};
use burn::{
    module::{Param, ParamId},
    tensor::{Int, Tensor, TensorData},
};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// One golden file.
pub struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    pub fn open(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The package at the workspace's root reads them too.
        let folders = [root.join("goldens"), root.join("models/tests/goldens")];
        let file = format!("{name}.safetensors");
        let folder =
            folders.iter().find(|f| f.join(&file).exists()).expect("the goldens are committed");
        let bytes = std::fs::read(folder.join(file)).unwrap();
        Self { name: name.to_owned(), bytes }
    }

    /// Values and shape of a tensor; weights and inputs are f32, outputs f64, permutations i64.
    pub fn get(&self, key: &str) -> (Vec<f64>, Vec<usize>) {
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

    pub fn tensor<B: FlowBackend, const D: usize>(
        &self,
        key: &str,
        dims: [usize; D],
    ) -> Tensor<B, D> {
        let values: Vec<f32> = self.get(key).0.into_iter().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(values, dims), &Default::default())
    }

    /// The tensor flattened to `[batch, D]`.
    pub fn batch<B: FlowBackend>(&self, key: &str) -> Tensor<B, 2> {
        let (values, shape) = self.get(key);
        self.tensor(key, [shape[0], values.len() / shape[0]])
    }

    pub fn load<B: FlowBackend, const D: usize>(&self, param: &mut Param<Tensor<B, D>>, key: &str) {
        let dims = param.val().dims();
        assert_eq!(self.get(key).1, dims, "{}: {key}", self.name);
        *param = Param::initialized(ParamId::new(), self.tensor(key, dims));
    }

    pub fn load_conv<B: FlowBackend>(&self, conv: &mut SameConv<B>, key: &str) {
        self.load(&mut conv.weight, &format!("{key}.weight"));
        self.load(&mut conv.bias, &format!("{key}.bias"));
    }

    pub fn load_net<B: FlowBackend>(&self, net: &mut ConvResidualNet<B>, key: &str) {
        self.load_conv(&mut net.initial, &format!("{key}.initial"));
        for (i, block) in net.blocks.iter_mut().enumerate() {
            self.load_conv(&mut block.first, &format!("{key}.blocks.{i}.first"));
            self.load_conv(&mut block.second, &format!("{key}.blocks.{i}.second"));
        }
        self.load_conv(&mut net.output, &format!("{key}.output"));
    }

    pub fn metadata(&self) -> serde_json::Value {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        serde_json::from_str(&metadata["config"]).unwrap()
    }

    /// The flow that the metadata describes, with the file's weights.
    pub fn flow<B: FlowBackend>(&self) -> Flow<B> {
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
                    Layer::Scale(_) | Layer::Whiten(_) => unreachable!("no golden has them"),
                }
                i += 1;
            }
            // The split after this level is a step of the list too.
            i += 1;
        }
        flow
    }

    /// Compare, relative to the largest value of the golden tensor (at least 1).
    pub fn close<B: FlowBackend, const D: usize>(
        &self,
        got: Tensor<B, D>,
        key: &str,
        tolerance: f64,
    ) {
        let (expected, _) = self.get(key);
        let got = got.into_data().iter::<f64>().collect::<Vec<f64>>();
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

    /// Relative Frobenius error of a sample's Jacobian, and what is allowed: `tolerance`, in f32 at least twice what nflows itself
    /// is off by.
    pub fn jacobian_error(&self, sample: usize, jacobian: &[f64], tolerance: f64) -> (f64, f64) {
        let expected = &self.get("jacobian").0[sample * jacobian.len()..][..jacobian.len()];
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let error = norm(&mut jacobian.iter().zip(expected).map(|(a, b)| a - b));
        let f32_error =
            if tolerance < 1e-5 { 0.0 } else { self.get("jacobian_f32_error").0[sample] };
        (error / norm(&mut expected.iter().copied()), tolerance.max(2.0 * f32_error))
    }
}
