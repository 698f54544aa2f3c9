//! The entry points: constants, errors, Jacobians, nesting.

use atypical_forward::{Forward, ForwardError, catching, constant, jacobian, jvp, lift, parts};
use burn::backend::{Autodiff, Flex};
use burn::module::Module;
use burn::tensor::ops::DeformConvOptions;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation, module};

type Plain<const D: usize> = Tensor<Flex, D>;

fn row(values: &[f32]) -> Plain<2> {
    Plain::<1>::from_floats(values, &Default::default()).reshape([1, -1])
}

fn values<const D: usize>(x: Plain<D>) -> Vec<f32> {
    x.into_data().to_vec().unwrap()
}

#[test]
fn constants_carry_no_tangents() {
    let c = constant(row(&[0.1, -0.2, 0.3]));
    let layer: burn::nn::Linear<Forward<Flex>> =
        burn::nn::LinearConfig::new(3, 3).init(&Default::default());
    let y = activation::softmax(layer.forward(c.clone()).tanh() * c.clone() + 1.0, 1);
    let y = Tensor::cat(vec![y.sort(1), c.cumsum(1)], 0).max_dim(1).reshape([2]);
    assert!(parts::<Flex, 1, 2>(y).unwrap().1.is_none());
}

#[test]
fn detaching_and_rounding_stop_tangents() {
    let x = lift(row(&[0.1, 0.2]), Plain::<3>::ones([2, 1, 2], &Default::default())).unwrap();
    assert!(parts::<Flex, 2, 3>(x.clone().detach()).unwrap().1.is_none());
    assert!(parts::<Flex, 2, 3>(x.clone().round()).unwrap().1.is_none());
    assert!(parts::<Flex, 2, 3>(x).unwrap().1.is_some());
}

#[test]
fn an_output_that_does_not_depend_on_the_input_has_zeros() {
    let (value, products): (_, Plain<2>) = jvp(
        |_| constant(Plain::<1>::ones([3], &Default::default())),
        row(&[1.0]),
        Plain::<3>::ones([2, 1, 1], &Default::default()),
    )
    .unwrap();
    assert_eq!(
        (values(value), products.dims(), values(products)),
        (vec![1.0; 3], [2, 3], vec![0.0; 6])
    );
}

#[test]
fn an_operation_without_a_rule_is_named() {
    let ones = Plain::<4>::ones([1, 1, 3, 3], &Default::default());
    let weight = constant(Plain::<4>::ones([1, 1, 2, 2], &Default::default()));
    let offset = constant(Plain::<4>::zeros([1, 8, 2, 2], &Default::default()));
    let options = || DeformConvOptions::new([1, 1], [0, 0], [1, 1], 1, 1);
    let f = |x| module::deform_conv2d(x, offset.clone(), weight.clone(), None, None, options());

    let error = jvp::<_, 4, 5, 4, 5>(f, ones.clone(), ones.clone().unsqueeze()).unwrap_err();
    assert_eq!(error, ForwardError::NoRule { op: "deform_conv2d" });
    assert!(error.to_string().contains("deform_conv2d"));
    // The same operation on a constant is computed.
    assert!(values(parts::<Flex, 4, 5>(f(constant(ones))).unwrap().0).iter().all(|&y| y == 4.0));
}

#[test]
fn a_scatter_that_takes_extrema_has_no_rule() {
    let indices = Tensor::<Forward<Flex>, 2, Int>::from_data([[0]], &Default::default());
    let f = |x: Tensor<Forward<Flex>, 1>| {
        let values = x.clone().slice(0..1);
        x.scatter_nd::<2, 1>(indices.clone(), values, IndexingUpdateOp::Max)
    };
    let x = Plain::<1>::ones([2], &Default::default());
    let result = jvp::<_, 1, 2, 1, 2>(f, x.clone(), x.unsqueeze());
    assert_eq!(result.unwrap_err(), ForwardError::NoRule { op: "float_scatter_nd" });
}

#[test]
#[should_panic(expected = "the function's own")]
fn other_panics_go_on() {
    let _ = catching(|| panic!("the function's own"));
}

#[test]
#[should_panic(expected = "has tangents and no gradients")]
#[expect(unreachable_code, reason = "there is no value of the type of these gradients")]
fn a_backward_pass_names_the_misuse() {
    let x = constant(row(&[1.0]));
    x.backward();
}

#[test]
#[should_panic(expected = "tangents of 1 and of 3 directions cannot be combined")]
fn directions_do_not_broadcast() {
    let with = |k| lift(row(&[1.0]), Plain::<3>::ones([k, 1, 1], &Default::default())).unwrap();
    let _ = with(1) + with(3);
}

#[test]
fn shapes_are_checked() {
    let x = row(&[1.0, 2.0]);
    let wrong = lift(x.clone(), Plain::<3>::ones([1, 2, 1], &Default::default())).unwrap_err();
    assert_eq!(wrong, ForwardError::TangentShape { primal: vec![1, 2], tangents: vec![1, 2, 1] });
    let rank = lift(x.clone(), x.clone()).unwrap_err();
    assert_eq!(rank.to_string(), "the tangents of a tensor of rank 2 have rank 3, not 2");
    assert_eq!(jacobian(|x| x, x.clone(), 0).unwrap_err(), ForwardError::EmptyChunk);
    let column = jacobian(|x| x.transpose(), x.clone(), 1).unwrap_err();
    assert_eq!(column, ForwardError::NotARow { which: "output", shape: vec![2, 1] });
    let batch = jacobian(|x| x, x.repeat_dim(0, 2), 1).unwrap_err();
    assert_eq!(batch, ForwardError::NotARow { which: "input", shape: vec![2, 2] });
}

#[test]
fn a_jacobian_is_the_same_in_any_chunks() {
    let matrix = Plain::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &Default::default());
    for chunk in [1, 2, 3, 10] {
        let f = |x: Tensor<Forward<Flex>, 2>| x.powi_scalar(2).matmul(constant(matrix.clone()));
        let jacobian = jacobian(f, row(&[1.0, -1.0, 0.5]), chunk).unwrap();
        assert_eq!(jacobian.dims(), [2, 3]);
        assert_eq!(values(jacobian), [2.0, -6.0, 5.0, 4.0, -8.0, 6.0], "{chunk}");
    }
}

/// f(x) = Σ x³ + (Σ x)²: H v = 6 x v + 2 Σ v.
#[test]
fn forward_over_reverse_gives_hessian_vector_products() {
    let x = Tensor::<Autodiff<Flex>, 1>::from_floats([1.0, -2.0, 0.5], &Default::default())
        .require_grad();
    let v = Tensor::<Autodiff<Flex>, 2>::from_floats([[1.0, 0.5, -1.0]], &Default::default());
    let f = |x: Tensor<Forward<Autodiff<Flex>>, 1>| {
        x.clone().powi_scalar(3).sum() + x.sum().powi_scalar(2)
    };
    let (_, slope): (_, Tensor<Autodiff<Flex>, 2>) = jvp(f, x.clone(), v).unwrap();
    let product = x.grad(&slope.backward()).unwrap();
    product.into_data().assert_approx_eq::<f32>(&[7.0, -5.0, -2.0].into(), Default::default());
}

/// The same with the modes in the other order.
#[test]
fn reverse_over_forward_gives_hessian_vector_products() {
    let point = Plain::<1>::from_floats([1.0, -2.0, 0.5], &Default::default());
    let v = Plain::<2>::from_floats([[1.0, 0.5, -1.0]], &Default::default());
    let x =
        Tensor::<Autodiff<Forward<Flex>>, 1>::from_inner(lift(point, v).unwrap()).require_grad();
    let y = x.clone().powi_scalar(3).sum() + x.clone().sum().powi_scalar(2);
    let (_, product) = parts::<Flex, 1, 2>(x.grad(&y.backward()).unwrap()).unwrap();
    product
        .unwrap()
        .into_data()
        .assert_approx_eq::<f32>(&[[7.0, -5.0, -2.0]].into(), Default::default());
}

/// Σ over the pooled squares: the second derivative of max and of average pooling is that of the squares.
#[test]
fn reverse_over_forward_passes_pooling() {
    let point = Plain::<4>::from_floats([[[[1.0, -2.0], [0.5, 3.0]]]], &Default::default());
    let lifted = lift(point, Plain::<5>::ones([1, 1, 1, 2, 2], &Default::default())).unwrap();
    let x = Tensor::<Autodiff<Forward<Flex>>, 4>::from_inner(lifted).require_grad();
    let square = x.clone().powi_scalar(2);
    let y = module::max_pool2d(square.clone(), [2, 2], [1, 1], [0, 0], [1, 1], false)
        + module::avg_pool2d(square, [2, 2], [1, 1], [0, 0], true, false);
    let (_, product) = parts::<Flex, 4, 5>(x.grad(&y.backward()).unwrap()).unwrap();
    assert_eq!(values(product.unwrap()), [0.5, 0.5, 0.5, 2.5]);
}

#[test]
fn a_module_moves_and_counts_as_elsewhere() {
    let layer: burn::nn::Linear<Forward<Flex>> =
        burn::nn::LinearConfig::new(3, 2).init(&Default::default());
    assert_eq!(layer.to_device(&Default::default()).num_params(), 8);
}
