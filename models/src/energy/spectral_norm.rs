//! Spectral normalisation.

use crate::init::Init;
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Tensor, backend::Backend},
};

/// Power iterations of a new normalisation, after which the estimates are near enough to begin with.
const FIRST_ITERATIONS: usize = 15;
/// Shortest length that a vector is divided by, as in PyTorch: zeros stay zeros.
const MIN_LENGTH: f64 = 1e-12;

/// Spectral normalisation (Miyato et al. 2018, arXiv 1802.05957): every weight `W` of a module is divided by an estimate of its largest singular
/// value, `σ = uᵀ W v`. The singular vectors u and v are state: a step of training moves them by one power iteration,
///
/// `v ← Wᵀ u / |Wᵀ u|`, `u ← W v / |W v|`,
///
/// and since the weights move slowly, they keep up. They are constants to differentiation; σ is a function of `W`.
///
/// Weights are the parameters of at least two dimensions, as matrices with a row for each output: a kernel `[out, in, k, k]` is `[out, in k²]`. Its
/// norm bounds that of the convolution only up to the factor k.
#[derive(Module, Debug)]
pub struct SpectralNorm<B: Backend> {
    /// One for each weight, in the module's order.
    pub pairs: Vec<SingularPair<B>>,
}

/// Estimates of the singular vectors of a weight's largest singular value.
#[derive(Module, Debug)]
pub struct SingularPair<B: Backend> {
    /// u, `[out]`.
    pub left: Param<Tensor<B, 1>>,
    /// v, `[in]`.
    pub right: Param<Tensor<B, 1>>,
}

impl<B: Backend> SpectralNorm<B> {
    /// For the weights of `module`: random vectors, and some iterations.
    pub fn new<M: Module<B>>(module: &M, init: &mut Init, device: &B::Device) -> Self {
        let pairs = weights(module).into_iter().map(|weight| {
            let [left, right] = weight.dims().map(|n| unit(init.normal([n], device)));
            SingularPair {
                left: Param::initialized(ParamId::new(), left),
                right: Param::initialized(ParamId::new(), right),
            }
        });
        let mut norm = Self { pairs: pairs.collect() };
        (0..FIRST_ITERATIONS).for_each(|_| norm.iterate(module));
        norm
    }

    /// One power iteration for every weight of `module`.
    pub fn iterate<M: Module<B>>(&mut self, module: &M) {
        for (pair, weight) in self.pairs.iter_mut().zip(weights(module)) {
            let right = unit(apply(weight.clone().transpose(), pair.left.val().detach()));
            let left = unit(apply(weight, right.clone()));
            pair.left = Param::initialized(pair.left.id, left);
            pair.right = Param::initialized(pair.right.id, right);
        }
    }

    /// The module, with every weight divided by its σ.
    pub fn normalised<M: Module<B>>(&self, module: M) -> M {
        module.map(&mut Divide(self.pairs.iter()))
    }
}

/// `M x`, by sums of products: CUDA's usual products have less precision.
fn apply<B: Backend>(matrix: Tensor<B, 2>, x: Tensor<B, 1>) -> Tensor<B, 1> {
    (matrix * x.unsqueeze()).sum_dim(1).squeeze_dim(1)
}

/// The vector of length 1 in its direction.
fn unit<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    let length = x.clone().square().sum().sqrt().clamp_min(MIN_LENGTH);
    x / length
}

/// The weight as a matrix `[out, in]`.
fn matrix<B: Backend, const D: usize>(weight: Tensor<B, D>) -> Tensor<B, 2> {
    let outputs = weight.dims()[0];
    weight.reshape([outputs as i32, -1])
}

/// The weights of a module as matrices, constants to differentiation.
fn weights<B: Backend, M: Module<B>>(module: &M) -> Vec<Tensor<B, 2>> {
    struct Collect<B: Backend>(Vec<Tensor<B, 2>>);
    impl<B: Backend> ModuleVisitor<B> for Collect<B> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            if D >= 2 {
                self.0.push(matrix(param.val().detach()));
            }
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

/// Divides weights by `uᵀ W v` of the next pair.
struct Divide<'a, B: Backend>(std::slice::Iter<'a, SingularPair<B>>);

impl<B: Backend> ModuleMapper<B> for Divide<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if D < 2 {
            return param;
        }
        let pair = self.0.next().expect("the module is the one that the pairs were made for");
        let [left, right] = [&pair.left, &pair.right].map(|vector| vector.val().detach());
        let (id, weight, mapper) = param.consume();
        let norm = (apply(matrix(weight.clone()), right) * left).sum();
        Param::from_mapped_value(id, weight / norm.reshape([1; D]), mapper)
    }
}
