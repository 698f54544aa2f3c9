//! Quantized tensors carry no tangents; quantizing is piecewise constant, which no one wants the derivative of.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::ops::{Device, FloatTensor, IntTensor, QTensorOps, QuantizedTensor};
use burn::tensor::quantization::{QuantScheme, QuantizationParametersPrimitive};
use burn::tensor::{FloatDType, IntDType, Shape, Slice, TensorData};

use crate::backend::Forward;
use crate::dual::Dual;
use crate::error::no_rule;
use crate::ops::to_inner;

// The arithmetic of quantized tensors is left to its default: dequantize, compute, and quantize again if so asked.
impl<B: Backend> QTensorOps<Self> for Forward<B> {
    fn quantize(
        tensor: FloatTensor<Self>,
        scheme: &QuantScheme,
        qparams: QuantizationParametersPrimitive<Self>,
    ) -> QuantizedTensor<Self> {
        no_rule("quantize", [&tensor, &qparams.scales]);
        let qparams = QuantizationParametersPrimitive { scales: qparams.scales.primal };
        B::quantize(tensor.primal, scheme, qparams)
    }

    fn quantize_dynamic(tensor: FloatTensor<Self>, scheme: &QuantScheme) -> QuantizedTensor<Self> {
        no_rule("quantize_dynamic", [&tensor]);
        B::quantize_dynamic(tensor.primal, scheme)
    }

    fn dequantize(tensor: QuantizedTensor<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        Dual::constant(B::dequantize(tensor, dtype))
    }

    async fn q_into_data(tensor: QuantizedTensor<Self>) -> Result<TensorData, ExecutionError> {
        B::q_into_data(tensor).await
    }

    to_inner! {
        q_from_data(data: TensorData, device: &Device<Self>) -> QuantizedTensor<Self>;
        q_device(tensor: &QuantizedTensor<Self>) -> Device<Self>;
        q_to_device(tensor: QuantizedTensor<Self>, device: &Device<Self>) -> QuantizedTensor<Self>;
        q_reshape(tensor: QuantizedTensor<Self>, shape: Shape) -> QuantizedTensor<Self>;
        q_expand(tensor: QuantizedTensor<Self>, shape: Shape) -> QuantizedTensor<Self>;
        q_swap_dims(tensor: QuantizedTensor<Self>, dim1: usize, dim2: usize) -> QuantizedTensor<Self>;
        q_permute(tensor: QuantizedTensor<Self>, axes: &[usize]) -> QuantizedTensor<Self>;
        q_flip(tensor: QuantizedTensor<Self>, axes: &[usize]) -> QuantizedTensor<Self>;
        q_select(tensor: QuantizedTensor<Self>, dim: usize, indices: IntTensor<Self>) -> QuantizedTensor<Self>;
        q_slice(tensor: QuantizedTensor<Self>, slices: &[Slice]) -> QuantizedTensor<Self>;
        q_gather(dim: usize, tensor: QuantizedTensor<Self>, indices: IntTensor<Self>) -> QuantizedTensor<Self>;
        q_argmax(tensor: QuantizedTensor<Self>, dim: usize, out_dtype: IntDType) -> IntTensor<Self>;
        q_argmin(tensor: QuantizedTensor<Self>, dim: usize, out_dtype: IntDType) -> IntTensor<Self>;
    }
}
