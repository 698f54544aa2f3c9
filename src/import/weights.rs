//! Weights of a PyTorch state dict into a flow.

use super::{
    ImportError, archive,
    flow::{Plan, Source},
};
use atypical_models::flow::{ActNorm, Conv1x1, Coupling, Flow, Layer, Mask, SameConv};
use burn::{
    module::{Param, ParamId},
    tensor::{Int, Tensor, TensorData, backend::Backend},
};
use burn_store::{TensorSnapshot, pytorch::PytorchReader};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// Keys under which a checkpoint holds the state dict; the reference's comes first.
const TOP: [&str; 4] = ["module_state_dict", "state_dict", "model_state_dict", "model"];
/// What the flow's transform is called in it: the reference has it twice.
const ROOTS: [&str; 4] =
    ["_nflow._transform.", "module._nflow._transform.", "transform.", "_transform."];
/// Grey levels, less one.
const WHITE: f32 = 255.0;

/// A state dict, below the flow's transform.
struct StateDict<'a> {
    path: &'a Path,
    root: &'static str,
    tensors: HashMap<String, TensorSnapshot>,
    taken: RefCell<BTreeSet<String>>,
}

/// Put the weights of a checkpoint into `flow`; returns what is to be said about it.
///
/// # Errors
/// No PyTorch file, a tensor that is missing, left over or of another shape, values that are not finite.
pub(super) fn load<B: Backend>(
    flow: &mut Flow<B>,
    plan: &Plan,
    path: &Path,
    device: &B::Device,
) -> Result<Vec<String>, ImportError> {
    let dict = StateDict::open(path)?;
    if plan.scaled {
        dict.range()?;
    }
    let (mut notes, mut untrained) = (Vec::new(), 0);
    for (level, sources) in flow.levels.iter_mut().zip(&plan.sources) {
        for (step, source) in level.steps.iter_mut().zip(sources) {
            match (step, source) {
                (Layer::ActNorm(step), Source::One(module)) => {
                    untrained += usize::from(!dict.act_norm(step, module, device)?);
                }
                (Layer::Conv1x1(step), Source::Linear(permutation, module)) => {
                    dict.conv1x1(step, permutation.as_deref(), module, device)?;
                }
                (Layer::Coupling(step), Source::One(module)) => {
                    dict.coupling(step, module, device)?
                }
                (Layer::Logit(_) | Layer::Squeeze(_), Source::None) => {}
                (step, source) => unreachable!("{source:?} was planned for {step:?}"),
            }
        }
    }
    if untrained > 0 {
        notes.push(format!(
            "{untrained} ActNorms of the checkpoint were never initialised: it was saved before the first training step"
        ));
    }
    let left = dict.left();
    match left.first() {
        Some(first) => Err(dict.error(format!(
            "has `{first}`, which the configuration does not speak of ({} such tensors): it is of another model",
            left.len()
        ))),
        None => Ok(notes),
    }
}

impl<'a> StateDict<'a> {
    fn open(path: &'a Path) -> Result<Self, ImportError> {
        let error = |problem: String| ImportError::Checkpoint { path: path.to_path_buf(), problem };
        let stored = archive::storages(path).map_err(error)?;
        let whole = PytorchReader::new(path).map_err(|e| {
            error(format!("is no PyTorch checkpoint that can be read ({e}); it may be truncated: copy it again"))
        })?;
        let of_flow = |tensors: &HashMap<String, TensorSnapshot>| {
            ROOTS.into_iter().find(|root| tensors.keys().any(|key| key.starts_with(root)))
        };
        let mut tensors = whole.into_tensors();
        // What lies under a key of its own has that key before its name.
        for top in TOP {
            let prefix = format!("{top}.");
            if tensors.keys().any(|key| key.starts_with(&prefix)) {
                tensors = tensors
                    .into_iter()
                    .filter_map(|(key, tensor)| {
                        Some((key.strip_prefix(&prefix)?.to_owned(), tensor))
                    })
                    .collect();
                break;
            }
        }
        let Some(root) = of_flow(&tensors) else {
            let mut keys: Vec<&str> = tensors.keys().map(String::as_str).collect();
            keys.sort_unstable();
            let some = keys.into_iter().take(3).collect::<Vec<_>>().join("`, `");
            return Err(error(format!(
                "holds no flow of the reference: none of its {} tensors begins with `{}` (it has `{some}`, …)",
                tensors.len(),
                ROOTS[0]
            )));
        };
        // The reference keeps its flow under several names, which share their storages.
        let once =
            |key: &str| key.starts_with(root) || !ROOTS.iter().any(|other| key.starts_with(other));
        let all = tensors.iter().filter(|(key, _)| once(key));
        let needed: u64 = all.map(|(_, t)| (t.shape.num_elements() * t.dtype.size()) as u64).sum();
        if stored < needed {
            return Err(error(format!(
                "has {stored} bytes of numbers, but its tensors need {needed}: copy it again"
            )));
        }
        Ok(Self { path, root, tensors, taken: RefCell::default() })
    }

    fn error(&self, problem: String) -> ImportError {
        ImportError::Checkpoint { path: self.path.to_path_buf(), problem }
    }

    /// The reference divides pixels by the largest that it saw, and one where it dequantises.
    fn range(&self) -> Result<(), ImportError> {
        let buffer =
            self.tensors.get("data_max").and_then(|t| t.to_data().ok()?.iter::<f32>().next());
        match buffer {
            Some(max) if max != WHITE => Err(self.error(format!(
                "was trained on pixels up to {max}, but pixels here go up to {WHITE}: its densities would be of other images"
            ))),
            _ => Ok(()),
        }
    }

    /// Tensors of the transform that nothing took, but for buffers that say nothing.
    fn left(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        let left: BTreeSet<String> = self
            .tensors
            .keys()
            .filter(|key| key.starts_with(self.root) && !taken.contains(*key))
            .cloned()
            .collect();
        left.into_iter().collect()
    }

    /// The numbers of a tensor.
    fn data(&self, name: &str, dims: &[usize]) -> Result<TensorData, ImportError> {
        let key = format!("{}{name}", self.root);
        let Some(snapshot) = self.tensors.get(&key) else {
            return Err(self.error(format!(
                "lacks `{key}`, which the configuration asks for: it is of another model"
            )));
        };
        let shape = snapshot.shape.to_vec();
        if shape != dims {
            return Err(self.error(format!(
                "has `{key}` of shape {shape:?}, but the configuration asks for {dims:?}"
            )));
        }
        let data = snapshot.to_data().map_err(|e| {
            self.error(format!("has a `{key}` that cannot be read ({e:?}); it may be truncated"))
        })?;
        self.taken.borrow_mut().insert(key);
        Ok(data)
    }

    /// A tensor of weights.
    fn values(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, ImportError> {
        let data = self.data(name, dims)?;
        let values: Vec<f32> = data.iter::<f32>().collect();
        let broken = values.iter().filter(|v| !v.is_finite()).count();
        if broken > 0 {
            let key = format!("{}{name}", self.root);
            return Err(self.error(format!(
                "has {broken} values in `{key}` that are NaN or infinite: its training diverged"
            )));
        }
        Ok(values)
    }

    fn put<B: Backend, const D: usize>(
        &self,
        param: &mut Param<Tensor<B, D>>,
        name: &str,
        device: &B::Device,
    ) -> Result<(), ImportError> {
        let dims = param.val().dims();
        let values = self.values(name, &dims)?;
        set(param, values, dims, device);
        Ok(())
    }

    /// Returns whether it was initialised.
    fn act_norm<B: Backend>(
        &self,
        step: &mut ActNorm<B>,
        module: &str,
        device: &B::Device,
    ) -> Result<bool, ImportError> {
        self.put(&mut step.log_scale, &format!("{module}.log_scale"), device)?;
        self.put(&mut step.shift, &format!("{module}.shift"), device)?;
        let initialised = self.data(&format!("{module}.initialized"), &[])?;
        Ok(initialised.iter::<f32>().next() == Some(1.0))
    }

    fn conv1x1<B: Backend>(
        &self,
        step: &mut Conv1x1<B>,
        permutation: Option<&str>,
        module: &str,
        device: &B::Device,
    ) -> Result<(), ImportError> {
        let [c] = step.bias.dims();
        // Both triangles row by row, without the diagonal.
        let entries = c * c.saturating_sub(1) / 2;
        for (param, name, below) in
            [(&mut step.lower, "lower_entries", true), (&mut step.upper, "upper_entries", false)]
        {
            let mut entries = self.values(&format!("{module}.{name}"), &[entries])?.into_iter();
            let mut matrix = vec![0.0; c * c];
            for row in 0..c {
                let columns = if below { 0..row } else { row + 1..c };
                for (column, entry) in columns.zip(entries.by_ref()) {
                    matrix[row * c + column] = entry;
                }
            }
            set(param, matrix, [c, c], device);
        }
        self.put(&mut step.diagonal, &format!("{module}.unconstrained_upper_diag"), device)?;
        self.put(&mut step.bias, &format!("{module}.bias"), device)?;
        let order: Vec<i64> = match permutation {
            Some(module) => {
                self.data(&format!("{module}._permutation"), &[c])?.iter::<i64>().collect()
            }
            None => (0..c as i64).collect(),
        };
        let order = Tensor::<B, 1, Int>::from_data(TensorData::new(order, [c]), device);
        step.permutation = Param::initialized(ParamId::new(), order);
        if step.is_permuted() {
            return Ok(());
        }
        Err(self
            .error(format!("has a `{module}._permutation` that is no permutation of {c} channels")))
    }

    fn coupling<B: Backend>(
        &self,
        step: &mut Coupling<B>,
        module: &str,
        device: &B::Device,
    ) -> Result<(), ImportError> {
        // The reference wraps a coupling that it configures.
        let module = format!("{module}._value");
        self.mask(step.mask(), &module)?;
        let net = format!("{module}.transform_net");
        self.conv(&mut step.conditioner.initial, &format!("{net}.initial_layer"), device)?;
        for (i, block) in step.conditioner.blocks.iter_mut().enumerate() {
            // ConvResidualNet and ResidualNet call their layers differently.
            let vector = format!("{net}.blocks.{i}.linear_layers");
            let on_vectors = self.tensors.contains_key(&format!("{}{vector}.0.weight", self.root));
            let layers = if on_vectors { vector } else { format!("{net}.blocks.{i}.conv_layers") };
            self.conv(&mut block.first, &format!("{layers}.0"), device)?;
            self.conv(&mut block.second, &format!("{layers}.1"), device)?;
        }
        self.conv(&mut step.conditioner.output, &format!("{net}.final_layer"), device)
    }

    /// The channels that the checkpoint transforms must be those that the configuration says.
    fn mask(&self, mask: Mask, module: &str) -> Result<(), ImportError> {
        let channels = |name: &str| {
            let key = format!("{}{module}.{name}", self.root);
            let count = self.tensors.get(&key).map_or(0, |t| t.shape.num_elements());
            Ok::<_, ImportError>(
                self.data(&format!("{module}.{name}"), &[count])?.iter::<i64>().collect::<Vec<_>>(),
            )
        };
        let (copied, transformed) =
            (channels("identity_features")?, channels("transform_features")?);
        let total = (copied.len() + transformed.len()) as i64;
        let (even, odd) = match mask {
            Mask::Even => (transformed, copied),
            Mask::Odd => (copied, transformed),
        };
        if even.into_iter().eq((0..total).step_by(2)) && odd.into_iter().eq((1..total).step_by(2)) {
            return Ok(());
        }
        Err(self.error(format!(
            "has in `{}{module}` another mask than `mask.flip` says: it is of another model",
            self.root
        )))
    }

    /// A convolution, of which only the centre is taken on maps of one pixel: the rest never meets data. A linear layer is one of kernel 1.
    fn conv<B: Backend>(
        &self,
        conv: &mut SameConv<B>,
        module: &str,
        device: &B::Device,
    ) -> Result<(), ImportError> {
        let name = format!("{module}.weight");
        let dims @ [output, input, side, _] = conv.weight.dims();
        let key = format!("{}{name}", self.root);
        let found = self.tensors.get(&key).map_or(Vec::new(), |t| t.shape.to_vec());
        let weight = match found[..] {
            [_, _] if side == 1 => self.values(&name, &[output, input])?,
            [_, _, height, width] if side == 1 && height == width && width % 2 == 1 => {
                let all = self.values(&name, &[output, input, width, width])?;
                let taps = width * width;
                all.into_iter().skip(taps / 2).step_by(taps).collect()
            }
            _ => self.values(&name, &dims)?,
        };
        set(&mut conv.weight, weight, dims, device);
        self.put(&mut conv.bias, &format!("{module}.bias"), device)
    }
}

fn set<B: Backend, const D: usize>(
    param: &mut Param<Tensor<B, D>>,
    values: Vec<f32>,
    dims: [usize; D],
    device: &B::Device,
) {
    *param = Param::initialized(
        ParamId::new(),
        Tensor::from_data(TensorData::new(values, dims), device),
    );
}
