//! The backend decorator.

use std::marker::PhantomData;

use burn::tensor::backend::{
    AutodiffBackend, Backend, BackendTypes, DTypeUsageSet, ExecutionError,
};
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor, QuantizedTensor};
use burn::tensor::{DType, TensorData};

use crate::dual::Dual;

/// A backend that carries tangents along with every float tensor of the backend `B`.
///
/// The sibling of burn's reverse-mode `Autodiff<B>`. It implements [`AutodiffBackend`] only for the passage between
/// `B` and `Forward<B>`: `Tensor::from_inner`, `inner` and the same on modules, see [`on_forward`](crate::on_forward).
/// There are no gradients: `backward` panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward<B> {
    inner: PhantomData<B>,
}

impl<B: Backend> BackendTypes for Forward<B> {
    type Device = B::Device;

    type FloatTensorPrimitive = Dual<B>;
    type FloatElem = B::FloatElem;

    type IntTensorPrimitive = B::IntTensorPrimitive;
    type IntElem = B::IntElem;

    type BoolTensorPrimitive = B::BoolTensorPrimitive;
    type BoolElem = B::BoolElem;

    type QuantizedTensorPrimitive = B::QuantizedTensorPrimitive;
}

impl<B: Backend> Backend for Forward<B> {
    // Modules take this for "training": dropout and the statistics of batch normalisation are to stay as in inference,
    // also over a backend with reverse mode, for the function to be differentiated is the one that is deployed.
    fn ad_enabled(_device: &Self::Device) -> bool {
        false
    }

    fn name(device: &Self::Device) -> String {
        format!("forward<{}>", B::name(device))
    }

    fn seed(device: &Self::Device, seed: u64) {
        B::seed(device, seed);
    }

    fn sync(device: &Self::Device) -> Result<(), ExecutionError> {
        B::sync(device)
    }

    fn memory_persistent_allocations<
        Output: Send,
        Input: Send,
        Func: Fn(Input) -> Output + Send,
    >(
        device: &Self::Device,
        input: Input,
        func: Func,
    ) -> Output {
        B::memory_persistent_allocations(device, input, func)
    }

    fn memory_cleanup(device: &Self::Device) {
        B::memory_cleanup(device);
    }

    fn staging<'a, Iter>(data: Iter, device: &Self::Device)
    where
        Iter: Iterator<Item = &'a mut TensorData>,
    {
        B::staging(data, device);
    }

    fn supports_dtype(device: &Self::Device, dtype: DType) -> bool {
        B::supports_dtype(device, dtype)
    }

    fn dtype_usage(device: &Self::Device, dtype: DType) -> DTypeUsageSet {
        B::dtype_usage(device, dtype)
    }

    fn device_count(type_id: u16) -> usize {
        B::device_count(type_id)
    }
}

/// The gradients of a forward-mode backend: there are none, so there is no value of this type.
#[derive(Debug)]
pub enum NoGradients {}

impl<B: Backend> AutodiffBackend for Forward<B> {
    type InnerBackend = B;
    type Gradients = NoGradients;

    fn backward(_tensor: FloatTensor<Self>) -> NoGradients {
        panic!(
            "`backward` was called on a tensor of a forward-mode backend, which has tangents and no gradients: take \
             its `parts`, or use `Autodiff` for gradients"
        );
    }

    fn grad(_tensor: &FloatTensor<Self>, grads: &NoGradients) -> Option<FloatTensor<B>> {
        match *grads {}
    }

    fn grad_remove(_tensor: &FloatTensor<Self>, grads: &mut NoGradients) -> Option<FloatTensor<B>> {
        match *grads {}
    }

    fn grad_replace(_tensor: &FloatTensor<Self>, grads: &mut NoGradients, _grad: FloatTensor<B>) {
        match *grads {}
    }

    fn inner(tensor: FloatTensor<Self>) -> FloatTensor<B> {
        tensor.primal
    }

    fn from_inner(tensor: FloatTensor<B>) -> FloatTensor<Self> {
        Dual::constant(tensor)
    }

    fn int_inner(tensor: IntTensor<Self>) -> IntTensor<B> {
        tensor
    }

    fn int_from_inner(tensor: IntTensor<B>) -> IntTensor<Self> {
        tensor
    }

    fn bool_inner(tensor: BoolTensor<Self>) -> BoolTensor<B> {
        tensor
    }

    fn bool_from_inner(tensor: BoolTensor<B>) -> BoolTensor<Self> {
        tensor
    }

    fn q_inner(tensor: QuantizedTensor<Self>) -> QuantizedTensor<B> {
        tensor
    }

    fn q_from_inner(tensor: QuantizedTensor<B>) -> QuantizedTensor<Self> {
        tensor
    }
}
