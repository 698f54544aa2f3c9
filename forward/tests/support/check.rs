//! One case: a function of several tensors, and its deviations from two references.

use atypical_forward::{Forward, constant, lift, parts};
use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};

/// Backends whose float tensors can be of f64.
pub trait Inner: Backend {}
impl<B: Backend> Inner for B {}

/// Tensors of any rank, flat: a case reshapes them to the shapes it states.
type Function<B> = fn(Vec<Tensor<B, 1>>) -> Tensor<B, 1>;

pub struct Case<B: Backend> {
    pub name: &'static str,
    /// Bounds and shape of each operand.
    pub operands: Vec<(f64, f64, Vec<usize>)>,
    pub plain: Function<B>,
    pub forward: Function<Forward<B>>,
    /// Absent where burn's reverse mode has no rule, or an approximate one.
    pub reverse: Option<Function<Autodiff<B>>>,
}

/// `case!(name, [(low, high, [shape]), ...], |x| f(x))`; the operands of rank 1 arrive as `x[0]`, `x[1]`, ...
macro_rules! case {
    ($name:expr, [$(($low:expr, $high:expr, $shape:expr)),*], |$x:ident| $f:expr) => {{
        let mut case = $crate::support::case!($name, [$(($low, $high, $shape)),*], no_reverse |$x| $f);
        fn f<B: burn::tensor::backend::Backend>($x: Vec<burn::tensor::Tensor<B, 1>>) -> burn::tensor::Tensor<B, 1> {
            let y = $f;
            let n = y.shape().num_elements();
            y.reshape([n])
        }
        case.reverse = Some(f);
        case
    }};
    ($name:expr, [$(($low:expr, $high:expr, $shape:expr)),*], no_reverse |$x:ident| $f:expr) => {{
        fn f<B: burn::tensor::backend::Backend>($x: Vec<burn::tensor::Tensor<B, 1>>) -> burn::tensor::Tensor<B, 1> {
            let y = $f;
            let n = y.shape().num_elements();
            y.reshape([n])
        }
        $crate::support::Case {
            name: $name,
            operands: vec![$(($low, $high, $shape.to_vec())),*],
            plain: f,
            forward: f,
            reverse: None,
        }
    }};
}
pub(crate) use case;

/// The largest deviations, relative to the larger of one and the reference, from reverse mode and from finite
/// differences: at three points, with one and three directions, and with tangents on every subset of the operands.
pub fn deviations<B: Backend>(case: &Case<B>) -> (Option<f64>, f64) {
    let mut random = Random(7);
    let (mut reverse, mut differences) = (case.reverse.map(|_| 0.0), 0.0);
    for _ in 0..3 {
        let point: Vec<Vec<f64>> =
            case.operands.iter().map(|(low, high, s)| random.draw(*low, *high, s)).collect();
        for k in [1, 3] {
            for subset in 1..1_usize << point.len() {
                let directions: Vec<Option<Vec<f64>>> = (0..point.len())
                    .map(|i| {
                        (subset >> i & 1 == 1).then(|| random.draw(-1.0, 1.0, &[k, point[i].len()]))
                    })
                    .collect();
                let products = forward(case, &point, &directions, k);
                if let (Some(f), Some(r)) = (case.reverse, &mut reverse) {
                    *r = worse(*r, deviation(&products, &by_reverse(f, &point, &directions, k)));
                }
                differences = worse(
                    differences,
                    deviation(&products, &by_differences(case, &point, &directions, k)),
                );
            }
        }
    }
    (reverse, differences)
}

/// The larger, where not a number is the largest.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn deviation(ours: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len(), "number of products");
    ours.iter().zip(reference).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, worse)
}

fn tensor<B: Backend, const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Default::default(), DType::F64))
}

fn values<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f64> {
    x.into_data().to_vec().expect("the tensors of a case stay in f64")
}

fn forward<B: Backend>(
    case: &Case<B>,
    point: &[Vec<f64>],
    directions: &[Option<Vec<f64>>],
    k: usize,
) -> Vec<f64> {
    let x = point.iter().zip(directions).map(|(x, t)| {
        let primal = tensor::<B, 1>(x, [x.len()]);
        match t {
            Some(t) => lift(primal, tensor::<B, 2>(t, [k, x.len()]))
                .expect("tangents of the primal's shape"),
            None => constant(primal),
        }
    });
    let (y, products) = parts::<B, 1, 2>((case.forward)(x.collect())).expect("two ranks");
    let plain = (case.plain)(point.iter().map(|x| tensor(x, [x.len()])).collect());
    let (y, plain) = (values(y), values(plain));
    assert!(deviation(&y, &plain) < 1e-9, "{}: the value itself is off", case.name);
    products.map_or(vec![0.0; k * y.len()], values)
}

fn by_reverse<B: Backend>(
    f: Function<Autodiff<B>>,
    point: &[Vec<f64>],
    directions: &[Option<Vec<f64>>],
    k: usize,
) -> Vec<f64> {
    let x: Vec<Tensor<Autodiff<B>, 1>> =
        point.iter().map(|x| tensor(x, [x.len()]).require_grad()).collect();
    // Burn 0.21 loses gradients of a concatenation while another thread has a backward pass of its own.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock();
    let outputs = f(x.clone()).dims()[0];
    let mut products = vec![0.0; k * outputs];
    for o in 0..outputs {
        // A backward pass uses the graph up.
        let grads = f(x.clone()).slice(o..o + 1).backward();
        for (x, t) in x.iter().zip(directions) {
            let (Some(t), Some(row)) = (t, x.grad(&grads)) else { continue };
            let row = values(row);
            for (d, t) in t.chunks(row.len()).enumerate() {
                products[d * outputs + o] += row.iter().zip(t).map(|(j, v)| j * v).sum::<f64>();
            }
        }
    }
    products
}

fn by_differences<B: Backend>(
    case: &Case<B>,
    point: &[Vec<f64>],
    directions: &[Option<Vec<f64>>],
    k: usize,
) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let at = |d: usize, step: f64| {
        let x = point.iter().zip(directions).map(|(x, t)| {
            let moved: Vec<f64> = match t {
                Some(t) => x.iter().zip(&t[d * x.len()..]).map(|(x, t)| x + step * t).collect(),
                None => x.clone(),
            };
            tensor(&moved, [x.len()])
        });
        values((case.plain)(x.collect()))
    };
    (0..k)
        .flat_map(|d| {
            let (above, below) = (at(d, STEP), at(d, -STEP));
            above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * STEP)).collect::<Vec<_>>()
        })
        .collect()
}

/// A small generator, so that the tests need no crate and are the same everywhere.
struct Random(u64);

impl Random {
    fn draw(&mut self, low: f64, high: f64, shape: &[usize]) -> Vec<f64> {
        (0..shape.iter().product())
            .map(|_| {
                self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                low + (high - low) * ((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
            })
            .collect()
    }
}
