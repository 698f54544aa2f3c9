//! All operations with a rule, on operands away from the points where they have no derivative.
//!
//! Without a reference in reverse mode are those for which burn has no rule there, an approximate one (`gelu`,
//! interpolation), or one that finite differences contradict (`repeat_dim`).

use burn::tensor::backend::Backend;
use burn::tensor::ops::{
    AttentionModuleOptions, ConvOptions, ConvTransposeOptions, FloatTensor, GridSampleOptions,
    InterpolateMode, InterpolateOptions, UnfoldOptions,
};
use burn::tensor::{
    Bool, IndexingUpdateOp, Int, Tensor, TensorData, TensorPrimitive, activation, module, signal,
};

use super::check::{Case, case};

/// The operand `i` in its shape.
fn at<B: Backend, const D: usize>(x: &[Tensor<B, 1>], i: usize, shape: [usize; D]) -> Tensor<B, D> {
    x[i].clone().reshape(shape)
}

fn ints<B: Backend, const D: usize>(
    like: &Tensor<B, 1>,
    data: impl Into<TensorData>,
) -> Tensor<B, D, Int> {
    Tensor::from_data(data, &like.device())
}

fn mask<B: Backend>(like: &Tensor<B, 1>) -> Tensor<B, 2, Bool> {
    Tensor::from_data([[true, false, true], [false, false, true]], &like.device())
}

fn float<B: Backend, const D: usize>(x: Tensor<B, D>) -> FloatTensor<B> {
    x.into_primitive().tensor()
}

/// For what burn offers on primitives alone.
fn raw<B: Backend>(x: FloatTensor<B>) -> Tensor<B, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

/// Ones, but for a zero.
fn zero_at<B: Backend>(like: &Tensor<B, 1>, i: usize) -> Tensor<B, 1> {
    like.ones_like().slice_fill(i..i + 1, 0.0)
}

pub fn registry<B: Backend>() -> Vec<Case<B>> {
    vec![
        case!("neg", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).neg()),
        case!("exp", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).exp()),
        case!("log", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).log()),
        case!("log1p", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).log1p()),
        case!("sqrt", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sqrt()),
        case!("abs", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).abs()),
        case!("cos", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cos()),
        case!("sin", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sin()),
        case!("tan", [(-0.9, 0.9, [2, 3])], |x| at(&x, 0, [2, 3]).tan()),
        case!("cosh", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cosh()),
        case!("sinh", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sinh()),
        case!("tanh", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).tanh()),
        case!("acos", [(-0.9, 0.9, [2, 3])], |x| at(&x, 0, [2, 3]).acos()),
        case!("asin", [(-0.9, 0.9, [2, 3])], |x| at(&x, 0, [2, 3]).asin()),
        case!("atan", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).atan()),
        case!("asinh", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).asinh()),
        case!("atanh", [(-0.9, 0.9, [2, 3])], |x| at(&x, 0, [2, 3]).atanh()),
        case!("erf", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).erf()),
        case!("round", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).round()),
        case!("floor", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).floor()),
        case!("ceil", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).ceil()),
        case!("trunc", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).trunc()),
        case!("sign", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sign()),
        case!("transpose", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).transpose()),
        case!("sum", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sum()),
        case!("mean", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).mean()),
        case!("square", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).square()),
        case!("max_abs", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).max_abs()),
        case!("max", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).max()),
        case!("min", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).min()),
        case!("recip", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).recip()),
        case!("acosh", [(1.2, 3.0, [2, 3])], |x| at(&x, 0, [2, 3]).acosh()),
        case!("prod", [(-2.0, 2.0, [2, 3])], no_reverse | x | at(&x, 0, [2, 3]).prod()),
        case!("prod_dim", [(-2.0, 2.0, [2, 3])], no_reverse | x | at(&x, 0, [2, 3]).prod_dim(1)),
        case!("cumprod", [(-2.0, 2.0, [2, 3])], no_reverse | x | at(&x, 0, [2, 3]).cumprod(1)),
        case!(
            "prod with zeros",
            [(-2.0, 2.0, [5])],
            no_reverse | x | (x[0].clone() * zero_at(&x[0], 2)).prod()
        ),
        case!(
            "prod_dim with a zero",
            [(-2.0, 2.0, [5])],
            no_reverse | x | (x[0].clone() * zero_at(&x[0], 2)).prod_dim(0)
        ),
        case!(
            "cumprod with a zero",
            [(-2.0, 2.0, [5])],
            no_reverse | x | (x[0].clone() * zero_at(&x[0], 2)).cumprod(0)
        ),
        case!("sum_dim(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sum_dim(1)),
        case!("mean_dim(0)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).mean_dim(0)),
        case!("cumsum(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cumsum(1)),
        case!("cummin(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cummin(1)),
        case!("cummax(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cummax(1)),
        case!("max_dim(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).max_dim(1)),
        case!("min_dim(0)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).min_dim(0)),
        case!("max_abs_dim(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).max_abs_dim(1)),
        case!("sort(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sort(1)),
        case!("sort_descending(0)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .sort_descending(0)),
        case!("add_scalar(1.5)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).add_scalar(1.5)),
        case!("sub_scalar(1.5)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).sub_scalar(1.5)),
        case!("mul_scalar(-1.5)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).mul_scalar(-1.5)),
        case!("div_scalar(1.5)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).div_scalar(1.5)),
        case!("remainder_scalar(0.7)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .remainder_scalar(0.7)),
        case!("clamp(-0.8, 0.9)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).clamp(-0.8, 0.9)),
        case!("clamp_min(0.2)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).clamp_min(0.2)),
        case!("clamp_max(0.3)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).clamp_max(0.3)),
        case!("flip([0, 1])", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).flip([0, 1])),
        case!("swap_dims(0, 1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).swap_dims(0, 1)),
        case!("permute([1, 0])", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).permute([1, 0])),
        case!("reshape([3, 2])", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).reshape([3, 2])),
        case!("expand([4, 2, 3])", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).expand([4, 2, 3])),
        case!("slice([0..2, 1..3])", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .slice([0..2, 1..3])),
        case!("unfold::<3, _>(1, 2, 1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .unfold::<3, _>(1, 2, 1)),
        case!("var(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).var(1)),
        case!("powi_scalar(3)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(3)),
        case!("powi_scalar(2)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(2)),
        case!("powi_scalar(0)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(0)),
        case!("powi_scalar(1)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(1)),
        case!("powf_scalar(3.0)", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powf_scalar(3.0)),
        case!("max_dim_with_indices", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .max_dim_with_indices(1)
            .0),
        case!("min_dim_with_indices", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .min_dim_with_indices(1)
            .0),
        case!("sort_with_indices", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .sort_with_indices(1)
            .0),
        case!("topk", [(-2.0, 2.0, [2, 3])], no_reverse | x | at(&x, 0, [2, 3]).topk(2, 1)),
        case!("topk_with_indices", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .topk_with_indices(2, 1)
            .0),
        case!("powi_scalar(-1)", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(-1)),
        case!("powi_scalar(-2)", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(-2)),
        case!("powi_scalar(-3)", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powi_scalar(-3)),
        case!("powf_scalar(2.5)", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powf_scalar(2.5)),
        case!("powf_scalar(-0.5)", [(0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powf_scalar(-0.5)),
        case!(
            "powi",
            [(-2.0, 2.0, [2, 3])],
            no_reverse
                | x
                | raw(B::float_powi(
                    float(at(&x, 0, [2, 3])),
                    ints::<B, 2>(&x[0], [[0, 1, 2], [3, 4, 1]]).into_primitive()
                ))
        ),
        case!(
            "powi by tensor",
            [(-2.0, 2.0, [2, 3])],
            no_reverse | x | at(&x, 0, [2, 3]).powi(at(&x, 0, [2, 3]).ones_like() * 3.0)
        ),
        case!("mask_fill", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .mask_fill(mask(&x[0]), 3.0)),
        case!(
            "mask_fill, broadcast",
            [(-2.0, 2.0, [2, 3])],
            no_reverse | x | at(&x, 0, [2, 3]).mask_fill(mask(&x[0]).slice([0..1, 0..3]), 3.0)
        ),
        case!("select", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .select(1, ints(&x[0], [2, 0, 2, 1]))),
        case!("gather", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .gather(1, ints(&x[0], [[2, 0], [1, 1]]))),
        case!("gather_nd", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .gather_nd::<2, 1>(ints(&x[0], [[1, 2], [0, 0], [1, 2]]))),
        case!("gather_nd of slices", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .gather_nd::<2, 2>(ints(&x[0], [[1], [0], [1]]))),
        case!(
            "repeat_dim",
            [(-2.0, 2.0, [2, 3])],
            no_reverse | x | at(&x, 0, [2, 3]).repeat_dim(1, 3)
        ),
        case!("repeat", [(-2.0, 2.0, [2, 3])], no_reverse | x | at(&x, 0, [2, 3]).repeat(&[2, 2])),
        case!(
            "repeat_dim, first",
            [(-2.0, 2.0, [2, 3])],
            no_reverse | x | at(&x, 0, [2, 3]).repeat_dim(0, 3)
        ),
        case!("detach", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]) * 0.0
            + at(&x, 0, [2, 3]).detach() * 0.0),
        case!("cast", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).cast(burn::tensor::DType::F64)),
        case!("triu", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).triu(0)),
        case!("narrow", [(-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).narrow(1, 1, 2)),
        case!("add", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            + at(&x, 1, [2, 3])),
        case!("add, rows by columns", [(-2.0, 2.0, [2]), (-2.0, 2.0, [3])], |x| at(&x, 0, [2, 1])
            + at(&x, 1, [1, 3])),
        case!("add, right broadcast", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [3])], |x| at(
            &x,
            0,
            [2, 3]
        ) + at(
            &x,
            1,
            [1, 3]
        )),
        case!("add, left broadcast", [(-2.0, 2.0, [2]), (-2.0, 2.0, [2, 3])], |x| at(
            &x,
            0,
            [2, 1]
        ) + at(
            &x,
            1,
            [2, 3]
        )),
        case!("sub", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            - at(&x, 1, [2, 3])),
        case!("sub, rows by columns", [(-2.0, 2.0, [2]), (-2.0, 2.0, [3])], |x| at(&x, 0, [2, 1])
            - at(&x, 1, [1, 3])),
        case!("sub, right broadcast", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [3])], |x| at(
            &x,
            0,
            [2, 3]
        ) - at(
            &x,
            1,
            [1, 3]
        )),
        case!("sub, left broadcast", [(-2.0, 2.0, [2]), (-2.0, 2.0, [2, 3])], |x| at(
            &x,
            0,
            [2, 1]
        ) - at(
            &x,
            1,
            [2, 3]
        )),
        case!("mul", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            * at(&x, 1, [2, 3])),
        case!("mul, rows by columns", [(-2.0, 2.0, [2]), (-2.0, 2.0, [3])], |x| at(&x, 0, [2, 1])
            * at(&x, 1, [1, 3])),
        case!("mul, right broadcast", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [3])], |x| at(
            &x,
            0,
            [2, 3]
        ) * at(
            &x,
            1,
            [1, 3]
        )),
        case!("mul, left broadcast", [(-2.0, 2.0, [2]), (-2.0, 2.0, [2, 3])], |x| at(
            &x,
            0,
            [2, 1]
        ) * at(
            &x,
            1,
            [2, 3]
        )),
        case!("div", [(-2.0, 2.0, [2, 3]), (0.4, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            / at(&x, 1, [2, 3])),
        case!("div, rows by columns", [(-2.0, 2.0, [2]), (0.4, 2.0, [3])], |x| at(&x, 0, [2, 1])
            / at(&x, 1, [1, 3])),
        case!("div, right broadcast", [(-2.0, 2.0, [2, 3]), (0.4, 2.0, [3])], |x| at(
            &x,
            0,
            [2, 3]
        ) / at(
            &x,
            1,
            [1, 3]
        )),
        case!("div, left broadcast", [(-2.0, 2.0, [2]), (0.4, 2.0, [2, 3])], |x| at(&x, 0, [2, 1])
            / at(&x, 1, [2, 3])),
        case!("powf", [(0.3, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).powf(at(
            &x,
            1,
            [2, 3]
        ))),
        case!(
            "powf, broadcast",
            [(0.3, 2.0, [2]), (-2.0, 2.0, [3])],
            no_reverse | x | at(&x, 0, [2, 1]).powf(at(&x, 1, [1, 3]))
        ),
        case!("atan2", [(0.3, 2.0, [2, 3]), (0.3, 2.0, [2, 3])], |x| at(&x, 0, [2, 3]).atan2(at(
            &x,
            1,
            [2, 3]
        ))),
        case!(
            "atan2, broadcast",
            [(0.3, 2.0, [2]), (0.3, 2.0, [3])],
            no_reverse | x | at(&x, 0, [2, 1]).atan2(at(&x, 1, [1, 3]))
        ),
        case!(
            "remainder",
            [(0.5, 2.0, [2, 3]), (0.6, 0.9, [2, 3])],
            no_reverse | x | at(&x, 0, [2, 3]).remainder(at(&x, 1, [2, 3]))
        ),
        case!(
            "remainder, broadcast",
            [(0.5, 2.0, [2]), (0.6, 0.9, [3])],
            no_reverse | x | at(&x, 0, [2, 1]).remainder(at(&x, 1, [1, 3]))
        ),
        case!("max_pair", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .max_pair(at(&x, 1, [2, 3]))),
        case!("min_pair", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .min_pair(at(&x, 1, [2, 3]))),
        case!("mask_where", [(-2.0, 2.0, [2, 3]), (-2.0, 2.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .mask_where(mask(&x[0]), at(&x, 1, [2, 3]))),
        case!("cat", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2, 2])], |x| Tensor::cat(
            vec![at(&x, 0, [2, 3]), at(&x, 1, [2, 2])],
            1
        )),
        case!("slice_assign", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2, 2])], |x| at(&x, 0, [2, 3])
            .slice_assign([0..2, 1..3], at(&x, 1, [2, 2]))),
        case!("scatter_add", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2, 2])], |x| at(&x, 0, [2, 3])
            .scatter(1, ints(&x[0], [[2, 2], [0, 1]]), at(&x, 1, [2, 2]), IndexingUpdateOp::Add)),
        case!("select_add", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2, 4])], |x| at(&x, 0, [2, 3])
            .select_assign(1, ints(&x[0], [2, 0, 2, 1]), at(&x, 1, [2, 4]), IndexingUpdateOp::Add)),
        case!("scatter_nd, Add", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2])], |x| at(&x, 0, [2, 3])
            .scatter_nd::<2, 1>(
                ints(&x[0], [[1, 2], [0, 0]]),
                x[1].clone(),
                IndexingUpdateOp::Add
            )),
        case!("scatter_nd of slices, Add", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [1, 3])], |x| at(
            &x,
            0,
            [2, 3]
        )
        .scatter_nd::<2, 2>(ints(&x[0], [[1]]), at(&x, 1, [1, 3]), IndexingUpdateOp::Add)),
        case!("scatter_nd, Assign", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [2])], |x| at(&x, 0, [2, 3])
            .scatter_nd::<2, 1>(
                ints(&x[0], [[1, 2], [0, 0]]),
                x[1].clone(),
                IndexingUpdateOp::Assign
            )),
        case!("scatter_nd of slices, Assign", [(-2.0, 2.0, [2, 3]), (-1.0, 1.0, [1, 3])], |x| at(
            &x,
            0,
            [2, 3]
        )
        .scatter_nd::<2, 2>(ints(&x[0], [[1]]), at(&x, 1, [1, 3]), IndexingUpdateOp::Assign)),
        case!("matmul", [(-1.0, 1.0, [2, 3]), (-1.0, 1.0, [3, 4])], |x| at(&x, 0, [2, 3])
            .matmul(at(&x, 1, [3, 4]))),
        case!("matmul, batched", [(-1.0, 1.0, [2, 2, 3]), (-1.0, 1.0, [2, 3, 2])], |x| at(
            &x,
            0,
            [2, 2, 3]
        )
        .matmul(at(&x, 1, [2, 3, 2]))),
        case!("matmul, by a weight", [(-1.0, 1.0, [2, 2, 3]), (-1.0, 1.0, [1, 3, 2])], |x| at(
            &x,
            0,
            [2, 2, 3]
        )
        .matmul(at(&x, 1, [1, 3, 2]))),
        case!("matmul, left broadcast", [(-1.0, 1.0, [1, 2, 3]), (-1.0, 1.0, [2, 3, 2])], |x| at(
            &x,
            0,
            [1, 2, 3]
        )
        .matmul(at(&x, 1, [2, 3, 2]))),
        case!("matmul, crossed", [(-1.0, 1.0, [2, 1, 2, 3]), (-1.0, 1.0, [1, 2, 3, 2])], |x| at(
            &x,
            0,
            [2, 1, 2, 3]
        )
        .matmul(at(&x, 1, [1, 2, 3, 2]))),
        case!("cross", [(-1.0, 1.0, [2, 3]), (-1.0, 1.0, [2, 3])], |x| at(&x, 0, [2, 3])
            .cross(at(&x, 1, [2, 3]), 1)),
        case!("relu", [(-3.0, 3.0, [2, 3])], |x| activation::relu(at(&x, 0, [2, 3]))),
        case!("sigmoid", [(-3.0, 3.0, [2, 3])], |x| activation::sigmoid(at(&x, 0, [2, 3]))),
        case!("log_sigmoid", [(-3.0, 3.0, [2, 3])], |x| activation::log_sigmoid(at(&x, 0, [2, 3]))),
        case!("silu", [(-3.0, 3.0, [2, 3])], |x| activation::silu(at(&x, 0, [2, 3]))),
        case!("mish", [(-3.0, 3.0, [2, 3])], |x| activation::mish(at(&x, 0, [2, 3]))),
        case!("tanh", [(-3.0, 3.0, [2, 3])], |x| activation::tanh(at(&x, 0, [2, 3]))),
        case!("gelu_approximate", [(-3.0, 3.0, [2, 3])], |x| activation::gelu_approximate(at(
            &x,
            0,
            [2, 3]
        ))),
        case!("softsign", [(-3.0, 3.0, [2, 3])], |x| activation::softsign(at(&x, 0, [2, 3]))),
        case!("gelu", [(-3.0, 3.0, [2, 3])], no_reverse | x | activation::gelu(at(&x, 0, [2, 3]))),
        case!("leaky_relu (0.1)", [(-3.0, 3.0, [2, 3])], |x| activation::leaky_relu(
            at(&x, 0, [2, 3]),
            0.1
        )),
        case!("softplus (1.5)", [(-3.0, 3.0, [2, 3])], |x| activation::softplus(
            at(&x, 0, [2, 3]),
            1.5
        )),
        case!("hard_sigmoid (0.2, 0.5)", [(-3.0, 3.0, [2, 3])], |x| activation::hard_sigmoid(
            at(&x, 0, [2, 3]),
            0.2,
            0.5
        )),
        case!("softmax (1)", [(-3.0, 3.0, [2, 3])], |x| activation::softmax(at(&x, 0, [2, 3]), 1)),
        case!("softmax (0)", [(-3.0, 3.0, [2, 3])], |x| activation::softmax(at(&x, 0, [2, 3]), 0)),
        case!("log_softmax (1)", [(-3.0, 3.0, [2, 3])], |x| activation::log_softmax(
            at(&x, 0, [2, 3]),
            1
        )),
        case!("softmin (1)", [(-3.0, 3.0, [2, 3])], |x| activation::softmin(at(&x, 0, [2, 3]), 1)),
        case!("quiet_softmax (1)", [(-3.0, 3.0, [2, 3])], |x| activation::quiet_softmax(
            at(&x, 0, [2, 3]),
            1
        )),
        case!("hard_swish", [(-3.0, 3.0, [2, 3])], |x| activation::hard_swish(at(&x, 0, [2, 3]))),
        case!("elu (0.7)", [(-3.0, 3.0, [2, 3])], |x| activation::elu(at(&x, 0, [2, 3]), 0.7)),
        case!(
            "prelu",
            [(-3.0, 3.0, [1, 2, 3]), (0.1, 0.4, [2])],
            no_reverse | x | activation::prelu(at(&x, 0, [1, 2, 3]), x[1].clone())
        ),
        case!("linear", [(-1.0, 1.0, [2, 2, 3]), (-1.0, 1.0, [3, 4]), (-1.0, 1.0, [4])], |x| {
            module::linear(at(&x, 0, [2, 2, 3]), at(&x, 1, [3, 4]), Some(x[2].clone()))
        }),
        case!("conv1d", [(-1.0, 1.0, [2, 2, 5]), (-1.0, 1.0, [3, 2, 3]), (-1.0, 1.0, [3])], |x| {
            module::conv1d(
                at(&x, 0, [2, 2, 5]),
                at(&x, 1, [3, 2, 3]),
                Some(x[2].clone()),
                ConvOptions::new([1], [1], [1], 1),
            )
        }),
        case!(
            "conv1d, grouped",
            [(-1.0, 1.0, [1, 4, 4]), (-1.0, 1.0, [4, 2, 2]), (-1.0, 1.0, [4])],
            |x| module::conv1d(
                at(&x, 0, [1, 4, 4]),
                at(&x, 1, [4, 2, 2]),
                Some(x[2].clone()),
                ConvOptions::new([1], [0], [1], 2)
            )
        ),
        case!(
            "conv2d",
            [(-1.0, 1.0, [2, 2, 3, 4]), (-1.0, 1.0, [3, 2, 2, 2]), (-1.0, 1.0, [3])],
            |x| module::conv2d(
                at(&x, 0, [2, 2, 3, 4]),
                at(&x, 1, [3, 2, 2, 2]),
                Some(x[2].clone()),
                ConvOptions::new([2, 1], [1, 0], [1, 1], 1)
            )
        ),
        case!(
            "conv2d, grouped",
            [(-1.0, 1.0, [2, 4, 3, 3]), (-1.0, 1.0, [6, 2, 2, 2]), (-1.0, 1.0, [6])],
            |x| module::conv2d(
                at(&x, 0, [2, 4, 3, 3]),
                at(&x, 1, [6, 2, 2, 2]),
                Some(x[2].clone()),
                ConvOptions::new([1, 1], [0, 0], [1, 1], 2)
            )
        ),
        case!(
            "conv3d",
            [(-1.0, 1.0, [1, 2, 2, 3, 2]), (-1.0, 1.0, [2, 2, 2, 2, 1]), (-1.0, 1.0, [2])],
            |x| module::conv3d(
                at(&x, 0, [1, 2, 2, 3, 2]),
                at(&x, 1, [2, 2, 2, 2, 1]),
                Some(x[2].clone()),
                ConvOptions::new([1, 1, 1], [0, 0, 0], [1, 1, 1], 1)
            )
        ),
        case!(
            "conv_transpose1d",
            [(-1.0, 1.0, [2, 2, 4]), (-1.0, 1.0, [2, 3, 2]), (-1.0, 1.0, [3])],
            |x| module::conv_transpose1d(
                at(&x, 0, [2, 2, 4]),
                at(&x, 1, [2, 3, 2]),
                Some(x[2].clone()),
                ConvTransposeOptions::new([2], [0], [0], [1], 1)
            )
        ),
        case!(
            "conv_transpose2d",
            [(-1.0, 1.0, [2, 2, 2, 2]), (-1.0, 1.0, [2, 3, 2, 2]), (-1.0, 1.0, [3])],
            |x| module::conv_transpose2d(
                at(&x, 0, [2, 2, 2, 2]),
                at(&x, 1, [2, 3, 2, 2]),
                Some(x[2].clone()),
                ConvTransposeOptions::new([2, 2], [1, 0], [0, 0], [1, 1], 1)
            )
        ),
        case!(
            "conv_transpose2d, grouped",
            [(-1.0, 1.0, [1, 4, 2, 2]), (-1.0, 1.0, [4, 2, 2, 2]), (-1.0, 1.0, [4])],
            |x| module::conv_transpose2d(
                at(&x, 0, [1, 4, 2, 2]),
                at(&x, 1, [4, 2, 2, 2]),
                Some(x[2].clone()),
                ConvTransposeOptions::new([1, 1], [0, 0], [0, 0], [1, 1], 2)
            )
        ),
        case!(
            "conv_transpose3d",
            [(-1.0, 1.0, [1, 2, 2, 2, 2]), (-1.0, 1.0, [2, 2, 2, 1, 2]), (-1.0, 1.0, [2])],
            |x| module::conv_transpose3d(
                at(&x, 0, [1, 2, 2, 2, 2]),
                at(&x, 1, [2, 2, 2, 1, 2]),
                Some(x[2].clone()),
                ConvTransposeOptions::new([1, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1], 1)
            )
        ),
        case!("avg_pool1d", [(-1.0, 1.0, [2, 2, 6])], |x| module::avg_pool1d(
            at(&x, 0, [2, 2, 6]),
            2,
            2,
            1,
            true,
            false
        )),
        case!("avg_pool2d", [(-1.0, 1.0, [2, 2, 4, 4])], |x| module::avg_pool2d(
            at(&x, 0, [2, 2, 4, 4]),
            [2, 2],
            [2, 1],
            [1, 0],
            false,
            false
        )),
        case!("adaptive_avg_pool1d", [(-1.0, 1.0, [2, 2, 6])], |x| module::adaptive_avg_pool1d(
            at(&x, 0, [2, 2, 6]),
            4
        )),
        case!("adaptive_avg_pool2d", [(-1.0, 1.0, [2, 2, 4, 4])], |x| module::adaptive_avg_pool2d(
            at(&x, 0, [2, 2, 4, 4]),
            [2, 3]
        )),
        case!("max_pool1d", [(-1.0, 1.0, [2, 2, 6])], |x| module::max_pool1d(
            at(&x, 0, [2, 2, 6]),
            2,
            2,
            0,
            1,
            false
        )),
        case!("max_pool2d", [(-1.0, 1.0, [2, 2, 4, 4])], |x| module::max_pool2d(
            at(&x, 0, [2, 2, 4, 4]),
            [2, 3],
            [2, 1],
            [1, 1],
            [1, 1],
            false
        )),
        case!("max_pool1d_with_indices", [(-1.0, 1.0, [2, 2, 6])], |x| {
            module::max_pool1d_with_indices(at(&x, 0, [2, 2, 6]), 3, 1, 1, 1, false).0
        }),
        case!("max_pool2d_with_indices", [(-1.0, 1.0, [2, 2, 4, 4])], |x| {
            module::max_pool2d_with_indices(
                at(&x, 0, [2, 2, 4, 4]),
                [2, 2],
                [2, 2],
                [0, 0],
                [1, 1],
                false,
            )
            .0
        }),
        case!("interpolate, Nearest to [7, 5]", [(-1.0, 1.0, [2, 2, 4, 4])], |x| {
            module::interpolate(
                at(&x, 0, [2, 2, 4, 4]),
                [7, 5],
                InterpolateOptions::new(InterpolateMode::Nearest),
            )
        }),
        case!("interpolate, Nearest to [2, 3]", [(-1.0, 1.0, [2, 2, 4, 4])], |x| {
            module::interpolate(
                at(&x, 0, [2, 2, 4, 4]),
                [2, 3],
                InterpolateOptions::new(InterpolateMode::Nearest),
            )
        }),
        case!(
            "interpolate, Bilinear to [7, 5]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [7, 5],
                    InterpolateOptions::new(InterpolateMode::Bilinear)
                )
        ),
        case!(
            "interpolate, Bilinear to [2, 3]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [2, 3],
                    InterpolateOptions::new(InterpolateMode::Bilinear)
                )
        ),
        case!(
            "interpolate, Bicubic to [7, 5]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [7, 5],
                    InterpolateOptions::new(InterpolateMode::Bicubic)
                )
        ),
        case!(
            "interpolate, Bicubic to [2, 3]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [2, 3],
                    InterpolateOptions::new(InterpolateMode::Bicubic)
                )
        ),
        case!(
            "interpolate, Lanczos3 to [7, 5]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [7, 5],
                    InterpolateOptions::new(InterpolateMode::Lanczos3)
                )
        ),
        case!(
            "interpolate, Lanczos3 to [2, 3]",
            [(-1.0, 1.0, [2, 2, 4, 4])],
            no_reverse
                | x
                | module::interpolate(
                    at(&x, 0, [2, 2, 4, 4]),
                    [2, 3],
                    InterpolateOptions::new(InterpolateMode::Lanczos3)
                )
        ),
        case!("unfold4d", [(-1.0, 1.0, [2, 2, 4, 4])], |x| module::unfold4d(
            at(&x, 0, [2, 2, 4, 4]),
            [2, 2],
            UnfoldOptions::new([1, 1], [0, 0], [1, 1])
        )),
        case!("unfold4d, padded", [(-1.0, 1.0, [2, 2, 4, 4])], |x| module::unfold4d(
            at(&x, 0, [2, 2, 4, 4]),
            [2, 2],
            UnfoldOptions::new([1, 2], [1, 0], [1, 1])
        )),
        case!("embedding", [(-1.0, 1.0, [4, 2])], |x| module::embedding(
            at(&x, 0, [4, 2]),
            ints(&x[0], [[0, 3], [3, 1]])
        )),
        case!("layer_norm", [(-1.0, 1.0, [2, 4]), (-1.0, 1.0, [4]), (-1.0, 1.0, [4])], |x| raw(
            B::layer_norm(
                float(at(&x, 0, [2, 4])),
                float(x[1].clone()),
                Some(float(x[2].clone())),
                1e-5
            )
        )),
        case!(
            "attention",
            [(-1.0, 1.0, [1, 2, 3, 2]), (-1.0, 1.0, [1, 2, 3, 2]), (-1.0, 1.0, [1, 2, 3, 2])],
            |x| module::attention(
                at(&x, 0, [1, 2, 3, 2]),
                at(&x, 1, [1, 2, 3, 2]),
                at(&x, 2, [1, 2, 3, 2]),
                None,
                None,
                Default::default()
            )
        ),
        case!(
            "attention, causal, capped and biased",
            [
                (-1.0, 1.0, [1, 2, 3, 2]),
                (-1.0, 1.0, [1, 2, 3, 2]),
                (-1.0, 1.0, [1, 2, 3, 2]),
                (-1.0, 1.0, [1, 2, 3, 3])
            ],
            |x| module::attention(
                at(&x, 0, [1, 2, 3, 2]),
                at(&x, 1, [1, 2, 3, 2]),
                at(&x, 2, [1, 2, 3, 2]),
                None,
                Some(at(&x, 3, [1, 2, 3, 3])),
                AttentionModuleOptions { scale: Some(0.7), softcap: Some(2.0), is_causal: true }
            )
        ),
        case!(
            "grid_sample_2d",
            [(-1.0, 1.0, [1, 2, 3, 3]), (-0.9, 0.9, [1, 2, 2, 2])],
            no_reverse
                | x
                | at(&x, 0, [1, 2, 3, 3])
                    .grid_sample_2d(at(&x, 1, [1, 2, 2, 2]), GridSampleOptions::default())
        ),
        case!(
            "ctc_loss",
            [(-3.0, -0.5, [4, 1, 3])],
            no_reverse
                | x
                | module::ctc_loss(
                    at(&x, 0, [4, 1, 3]),
                    ints(&x[0], [[1, 2]]),
                    ints(&x[0], [4]),
                    ints(&x[0], [2]),
                    0
                )
        ),
        case!(
            "rfft",
            [(-1.0, 1.0, [2, 8])],
            no_reverse | x | {
                let (re, im) = signal::rfft(at(&x, 0, [2, 8]), 1, None);
                Tensor::cat(vec![re, im], 1)
            }
        ),
        case!(
            "irfft",
            [(-1.0, 1.0, [2, 5]), (-1.0, 1.0, [2, 5])],
            no_reverse | x | signal::irfft(at(&x, 0, [2, 5]), at(&x, 1, [2, 5]), 1, None)
        ),
    ]
}
