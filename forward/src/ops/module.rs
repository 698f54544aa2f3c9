//! The operations of modules: convolutions, pooling, interpolation, attention, normalisation.

use burn::tensor::backend::Backend;
use burn::tensor::ops::attention::attention_fallback;
use burn::tensor::ops::ctc::ctc_loss_default;
use burn::tensor::ops::{
    AttentionModuleOptions, BoolTensor, ConvOptions, ConvTransposeOptions, DeformConv2dBackward,
    DeformConvOptions, FloatTensor, IntTensor, InterpolateOptions, MaxPool1dBackward,
    MaxPool1dWithIndices, MaxPool2dBackward, MaxPool2dWithIndices, ModuleOps, UnfoldOptions,
};
use burn::tensor::{Shape, TensorMetadata};

use crate::backend::Forward;
use crate::dual::{Dual, Lead, batched, broadcast, directions, fold, folded, lifted, scaled, sum};
use crate::error::no_rule;
use crate::ops::matmul::rows_times;

/// Convolutions, plain or transposed; `$outputs` is the dimension of the weights that holds the output channels.
macro_rules! convolutions {
    ($($op:ident($options:ty), $outputs:literal;)*) => {
        $(fn $op(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: Option<FloatTensor<Self>>,
            options: $options,
        ) -> FloatTensor<Self> {
            let groups = options.groups;
            convolution(x, weight, bias, groups, $outputs, |x, w, b| B::$op(x, w, b, options.clone()))
        })*
    };
}

// What is linear in the gradient and takes the operand for its shape alone, so that it can be empty.
macro_rules! adjoints {
    ($($op:ident($($arg:ident: $kind:ty),*);)*) => {
        $(fn $op(x: FloatTensor<Self>, grad: FloatTensor<Self>, $($arg: $kind),*) -> FloatTensor<Self> {
            let x = x.primal;
            batched(grad, |grad| {
                let shape = [&[grad.shape()[0]], &x.shape()[1..]].concat();
                let like = B::float_empty(Shape::from(shape), &B::float_device(&x), x.dtype().into());
                B::$op(like, grad, $($arg.clone()),*)
            })
        })*
    };
}

// The reverse-mode rules that burn composes of others are left to their defaults.
impl<B: Backend> ModuleOps<Self> for Forward<B> {
    convolutions! {
        conv1d(ConvOptions<1>), 0;
        conv2d(ConvOptions<2>), 0;
        conv3d(ConvOptions<3>), 0;
        conv_transpose1d(ConvTransposeOptions<1>), 1;
        conv_transpose2d(ConvTransposeOptions<2>), 1;
        conv_transpose3d(ConvTransposeOptions<3>), 1;
    }

    adjoints! {
        avg_pool1d_backward(
            kernel_size: usize, stride: usize, padding: usize, count_include_pad: bool, ceil_mode: bool
        );
        avg_pool2d_backward(
            kernel_size: [usize; 2], stride: [usize; 2], padding: [usize; 2], count_include_pad: bool, ceil_mode: bool
        );
        adaptive_avg_pool1d_backward();
        adaptive_avg_pool2d_backward();
        interpolate_backward(output_size: [usize; 2], options: InterpolateOptions);
    }

    fn embedding(weights: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        let shape = indices.shape();
        let tangents = weights.tangents.map(|t| {
            let lead = Lead::of::<B>(&t);
            let width = t.shape()[2];
            let flat = B::int_reshape(indices.clone(), Shape::new([shape.num_elements()]));
            B::float_reshape(B::float_select(t, 1, flat), lead.shape(&[shape[0], shape[1], width]))
        });
        Dual::new(B::embedding(weights.primal, indices), tangents)
    }

    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let (bias, bias_tangents) = split(bias);
        let terms = [
            x.tangents.map(|t| rows_times::<B>(t, &weight.primal)),
            weight.tangents.map(|t| {
                let (rank, shape) = (x.primal.rank(), t.shape());
                let ones = vec![1; rank - 2];
                let t =
                    B::float_reshape(t, Shape::from([&shape[..1], &ones, &shape[1..]].concat()));
                B::float_matmul(lifted::<B>(&x.primal), t)
            }),
            bias_tangents.map(|t| {
                let (rank, shape) = (x.primal.rank(), t.shape());
                let ones = vec![1; rank - 1];
                B::float_reshape(t, Shape::from([&shape[..1], &ones, &shape[1..]].concat()))
            }),
        ];
        let y = B::linear(x.primal, weight.primal, bias);
        let tangents = sum::<B, 3>(terms).map(|t| broadcast::<B>(t, &y.shape()));
        Dual::new(y, tangents)
    }

    fn deform_conv2d(
        x: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
        bias: Option<FloatTensor<Self>>,
        options: DeformConvOptions<2>,
    ) -> FloatTensor<Self> {
        no_rule("deform_conv2d", [&x, &offset, &weight].into_iter().chain(&mask).chain(&bias));
        let primal = |x: Option<Dual<B>>| x.map(|x| x.primal);
        Dual::constant(B::deform_conv2d(
            x.primal,
            offset.primal,
            weight.primal,
            primal(mask),
            primal(bias),
            options,
        ))
    }

    fn deform_conv2d_backward(
        x: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
        bias: Option<FloatTensor<Self>>,
        output_grad: FloatTensor<Self>,
        options: DeformConvOptions<2>,
    ) -> DeformConv2dBackward<Self> {
        let operands = [&x, &offset, &weight, &output_grad].into_iter().chain(&mask).chain(&bias);
        no_rule("deform_conv2d_backward", operands);
        let primal = |x: Option<Dual<B>>| x.map(|x| x.primal);
        let grads = B::deform_conv2d_backward(
            x.primal,
            offset.primal,
            weight.primal,
            primal(mask),
            primal(bias),
            output_grad.primal,
            options,
        );
        DeformConv2dBackward {
            x_grad: Dual::constant(grads.x_grad),
            offset_grad: Dual::constant(grads.offset_grad),
            weight_grad: Dual::constant(grads.weight_grad),
            mask_grad: grads.mask_grad.map(Dual::constant),
            bias_grad: grads.bias_grad.map(Dual::constant),
        }
    }

    fn unfold4d(
        x: FloatTensor<Self>,
        kernel_size: [usize; 2],
        options: UnfoldOptions,
    ) -> FloatTensor<Self> {
        batched(x, |x| B::unfold4d(x, kernel_size, options.clone()))
    }

    fn avg_pool1d(
        x: FloatTensor<Self>,
        kernel_size: usize,
        stride: usize,
        padding: usize,
        count_include_pad: bool,
        ceil_mode: bool,
    ) -> FloatTensor<Self> {
        batched(x, |x| B::avg_pool1d(x, kernel_size, stride, padding, count_include_pad, ceil_mode))
    }

    fn avg_pool2d(
        x: FloatTensor<Self>,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        count_include_pad: bool,
        ceil_mode: bool,
    ) -> FloatTensor<Self> {
        batched(x, |x| B::avg_pool2d(x, kernel_size, stride, padding, count_include_pad, ceil_mode))
    }

    fn adaptive_avg_pool1d(x: FloatTensor<Self>, output_size: usize) -> FloatTensor<Self> {
        batched(x, |x| B::adaptive_avg_pool1d(x, output_size))
    }

    fn adaptive_avg_pool2d(x: FloatTensor<Self>, output_size: [usize; 2]) -> FloatTensor<Self> {
        batched(x, |x| B::adaptive_avg_pool2d(x, output_size))
    }

    fn interpolate(
        x: FloatTensor<Self>,
        output_size: [usize; 2],
        options: InterpolateOptions,
    ) -> FloatTensor<Self> {
        batched(x, |x| B::interpolate(x, output_size, options.clone()))
    }

    fn max_pool1d(
        x: FloatTensor<Self>,
        kernel_size: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        ceil_mode: bool,
    ) -> FloatTensor<Self> {
        if x.tangents.is_none() {
            return Dual::constant(B::max_pool1d(
                x.primal,
                kernel_size,
                stride,
                padding,
                dilation,
                ceil_mode,
            ));
        }
        Self::max_pool1d_with_indices(x, kernel_size, stride, padding, dilation, ceil_mode).output
    }

    fn max_pool1d_with_indices(
        x: FloatTensor<Self>,
        kernel_size: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        ceil_mode: bool,
    ) -> MaxPool1dWithIndices<Self> {
        let pooled =
            B::max_pool1d_with_indices(x.primal, kernel_size, stride, padding, dilation, ceil_mode);
        let tangents = x.tangents.map(|t| pooled_tangents::<B>(t, pooled.indices.clone()));
        MaxPool1dWithIndices { output: Dual::new(pooled.output, tangents), indices: pooled.indices }
    }

    fn max_pool1d_with_indices_backward(
        x: FloatTensor<Self>,
        kernel_size: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        ceil_mode: bool,
        output_grad: FloatTensor<Self>,
        indices: IntTensor<Self>,
    ) -> MaxPool1dBackward<Self> {
        let f = |x, grad, indices| {
            let args = (kernel_size, stride, padding, dilation, ceil_mode);
            B::max_pool1d_with_indices_backward(
                x, args.0, args.1, args.2, args.3, args.4, grad, indices,
            )
            .x_grad
        };
        MaxPool1dBackward { x_grad: pooled_gradient(x, output_grad, indices, f) }
    }

    fn max_pool2d(
        x: FloatTensor<Self>,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        ceil_mode: bool,
    ) -> FloatTensor<Self> {
        if x.tangents.is_none() {
            return Dual::constant(B::max_pool2d(
                x.primal,
                kernel_size,
                stride,
                padding,
                dilation,
                ceil_mode,
            ));
        }
        Self::max_pool2d_with_indices(x, kernel_size, stride, padding, dilation, ceil_mode).output
    }

    fn max_pool2d_with_indices(
        x: FloatTensor<Self>,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        ceil_mode: bool,
    ) -> MaxPool2dWithIndices<Self> {
        let pooled =
            B::max_pool2d_with_indices(x.primal, kernel_size, stride, padding, dilation, ceil_mode);
        let tangents = x.tangents.map(|t| pooled_tangents::<B>(t, pooled.indices.clone()));
        MaxPool2dWithIndices { output: Dual::new(pooled.output, tangents), indices: pooled.indices }
    }

    fn max_pool2d_with_indices_backward(
        x: FloatTensor<Self>,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        ceil_mode: bool,
        output_grad: FloatTensor<Self>,
        indices: IntTensor<Self>,
    ) -> MaxPool2dBackward<Self> {
        let f = |x, grad, indices| {
            let args = (kernel_size, stride, padding, dilation, ceil_mode);
            B::max_pool2d_with_indices_backward(
                x, args.0, args.1, args.2, args.3, args.4, grad, indices,
            )
            .x_grad
        };
        MaxPool2dBackward { x_grad: pooled_gradient(x, output_grad, indices, f) }
    }

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Option<BoolTensor<Self>>,
        attn_bias: Option<FloatTensor<Self>>,
        options: AttentionModuleOptions,
    ) -> FloatTensor<Self> {
        if directions([&query, &key, &value].into_iter().chain(&attn_bias)).is_none() {
            let bias = attn_bias.map(|b| b.primal);
            return Dual::constant(B::attention(
                query.primal,
                key.primal,
                value.primal,
                mask,
                bias,
                options,
            ));
        }
        // A kernel that keeps the weights to itself is of no use here: burn's composition, of operations with rules.
        attention_fallback::<Self>(query, key, value, mask, attn_bias, options)
    }

    /// With `x̂` the normalised operand, `σ` its scale and means over the last dimension:
    /// `x̂̇ = (ẋ − ⟨ẋ⟩ − x̂ · ⟨x̂ · ẋ⟩) / σ`, `ẏ = γ · x̂̇ + γ̇ · x̂ + β̇`.
    fn layer_norm(
        tensor: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: Option<FloatTensor<Self>>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let (beta, beta_tangents) = split(beta);
        let x = tensor.primal;
        let y = B::layer_norm(x.clone(), gamma.primal.clone(), beta, epsilon);
        if tensor.tangents.is_none() && gamma.tangents.is_none() && beta_tangents.is_none() {
            return Dual::constant(y);
        }

        let (shape, last) = (x.shape(), x.rank() - 1);
        let centred = B::float_sub(x.clone(), B::float_mean_dim(x, last));
        let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), last);
        let scale = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, epsilon.into())));
        let normal = B::float_mul(centred, scale.clone());
        let mut line = vec![1; shape.len()];
        line[last] = shape[last];

        let terms = [
            tensor.tangents.map(|t| {
                let t = B::float_sub(t.clone(), B::float_mean_dim(t, last + 1));
                let along = B::float_mean_dim(scaled::<B>(t.clone(), &normal), last + 1);
                let t = B::float_sub(t, scaled::<B>(along, &normal));
                scaled::<B>(
                    t,
                    &B::float_mul(B::float_reshape(gamma.primal, Shape::from(line.clone())), scale),
                )
            }),
            gamma.tangents.map(|t| {
                let lead = Lead::of::<B>(&t);
                scaled::<B>(B::float_reshape(t, lead.shape(&line)), &normal)
            }),
            beta_tangents.map(|t| {
                let lead = Lead::of::<B>(&t);
                B::float_reshape(t, lead.shape(&line))
            }),
        ];
        let tangents = sum::<B, 3>(terms).map(|t| broadcast::<B>(t, &shape));
        Dual::new(y, tangents)
    }

    fn ctc_loss(
        log_probs: FloatTensor<Self>,
        targets: IntTensor<Self>,
        input_lengths: IntTensor<Self>,
        target_lengths: IntTensor<Self>,
        blank: usize,
    ) -> FloatTensor<Self> {
        if log_probs.tangents.is_none() {
            let loss = B::ctc_loss(log_probs.primal, targets, input_lengths, target_lengths, blank);
            return Dual::constant(loss);
        }
        ctc_loss_default::<Self>(log_probs, targets, input_lengths, target_lengths, blank)
    }

    fn rfft(
        signal: FloatTensor<Self>,
        dim: usize,
        n: Option<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (re, im) = B::rfft(signal.primal, dim, n);
        match signal.tangents.map(|t| B::rfft(t, dim + 1, n)) {
            Some((re_tangents, im_tangents)) => {
                (Dual::new(re, Some(re_tangents)), Dual::new(im, Some(im_tangents)))
            }
            None => (Dual::constant(re), Dual::constant(im)),
        }
    }

    fn irfft(
        spectrum_re: FloatTensor<Self>,
        spectrum_im: FloatTensor<Self>,
        dim: usize,
        n: Option<usize>,
    ) -> FloatTensor<Self> {
        super::indexing::placed(spectrum_re, spectrum_im, |re, im, lead| {
            B::irfft(re, im, lead.dim(dim), n)
        })
    }
}

fn split<B: Backend>(x: Option<Dual<B>>) -> (Option<FloatTensor<B>>, Option<FloatTensor<B>>) {
    x.map_or((None, None), |x| (Some(x.primal), x.tangents))
}

/// `y = w ∗ x + b`, `ẏ = w ∗ ẋ + ẇ ∗ x + ḃ`: each a single convolution, the directions of `ẋ` in the batch and those of
/// `ẇ` among the output channels of a group.
fn convolution<B: Backend>(
    x: Dual<B>,
    weight: Dual<B>,
    bias: Option<Dual<B>>,
    groups: usize,
    outputs: usize,
    f: impl Fn(FloatTensor<B>, FloatTensor<B>, Option<FloatTensor<B>>) -> FloatTensor<B>,
) -> Dual<B> {
    let (bias, bias_tangents) = split(bias);
    let x_term = x.tangents.map(|t| folded::<B>(t, |x| f(x, weight.primal.clone(), None)));
    let weight_term = weight.tangents.map(|t| {
        let k = t.shape()[0];
        let w = if outputs == 0 { among_outputs::<B>(t, groups) } else { among_inputs::<B>(t) };
        let y = f(x.primal.clone(), w, None);
        from_channels::<B>(y, k, groups)
    });
    let y = f(x.primal, weight.primal, bias);
    let bias_term = bias_tangents.map(|t| {
        let lead = Lead::of::<B>(&t);
        let mut line = vec![1; y.rank()];
        line[1] = y.shape()[1];
        B::float_reshape(t, lead.shape(&line))
    });
    let tangents =
        sum::<B, 3>([x_term, weight_term, bias_term]).map(|t| broadcast::<B>(t, &y.shape()));
    Dual::new(y, tangents)
}

/// Tangents `[K, O, I / g, ...]` of the weights of a convolution as weights `[g · K · O / g, I / g, ...]`.
fn among_outputs<B: Backend>(t: FloatTensor<B>, groups: usize) -> FloatTensor<B> {
    let shape = t.shape();
    let (k, out) = (shape[0], shape[1]);
    let rest = &shape[2..];
    let t =
        B::float_reshape(t, Shape::new([k, groups, out / groups * rest.iter().product::<usize>()]));
    B::float_reshape(B::float_swap_dims(t, 0, 1), Shape::from([&[k * out], rest].concat()))
}

/// Tangents `[K, I, O / g, ...]` of the weights of a transposed convolution as weights `[I, K · O / g, ...]`.
fn among_inputs<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    let shape = t.shape();
    let (k, inputs, out) = (shape[0], shape[1], shape[2]);
    let t = B::float_swap_dims(t, 0, 1);
    B::float_reshape(t, Shape::from([&[inputs, k * out], &shape[3..]].concat()))
}

/// `[N, g · K · O / g, ...]` as `[K, N, O, ...]`.
fn from_channels<B: Backend>(y: FloatTensor<B>, k: usize, groups: usize) -> FloatTensor<B> {
    let shape = y.shape();
    let (n, channels, rest) = (shape[0], shape[1], &shape[2..]);
    let block = channels / groups / k * rest.iter().product::<usize>();
    let y = B::float_permute(B::float_reshape(y, Shape::new([n, groups, k, block])), &[2, 0, 1, 3]);
    B::float_reshape(y, Shape::from([&[k, n, channels / k], rest].concat()))
}

/// The tangents at the positions of maxima, which count the elements of a channel's plane.
fn pooled_tangents<B: Backend>(t: FloatTensor<B>, indices: IntTensor<B>) -> FloatTensor<B> {
    let lead = Lead::of::<B>(&t);
    let flat = |shape: &[usize]| [shape[0], shape[1], shape[2..].iter().product()];
    let (from, to) = (t.shape(), indices.shape());
    let indices = lead.indices::<B>(B::int_reshape(indices, Shape::new(flat(&to))));
    let t = B::float_reshape(t, lead.shape(&flat(&from[1..])));
    B::float_reshape(B::float_gather(3, t, indices), lead.shape(&to))
}

/// The gradient of max pooling, linear in the output's.
fn pooled_gradient<B: Backend>(
    x: Dual<B>,
    grad: Dual<B>,
    indices: IntTensor<B>,
    f: impl Fn(FloatTensor<B>, FloatTensor<B>, IntTensor<B>) -> FloatTensor<B>,
) -> Dual<B> {
    let x = x.primal;
    let tangents = grad.tangents.map(|t| {
        let lead = Lead::of::<B>(&t);
        let (own, at) = (x.shape(), indices.shape());
        let copies = fold::<B>(B::float_expand(lifted::<B>(&x), lead.shape(&own)));
        let repeated = lead.indices::<B>(indices.clone());
        let n = lead.shape(&at)[0] * at[0];
        let repeated = B::int_reshape(repeated, Shape::from([&[n], &at[1..]].concat()));
        let y = f(copies, fold::<B>(t), repeated);
        B::float_reshape(y, lead.shape(&own))
    });
    Dual::new(f(x, grad.primal, indices), tangents)
}
