//! The nearest local optimum of the density.

use crate::config::OptimumConfig;
use atypical_models::{DensityModel, FlowBackend, Model};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module, Param},
    optim::{GradientsParams, LBFGSConfig, LineSearchFn},
    tensor::{Tensor, backend::Backend},
};

/// Where an ascent from an image ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimum {
    /// `log p(x*) - log p(x)`, in nats, at least 0.
    pub rise: f64,
    /// `‖x* - x‖₂`, in units of x.
    pub distance: f64,
}

/// A point of the unit cube, `x = sin²(angle)` in every coordinate, so that every angle is one.
#[derive(Module, Debug)]
struct Point<B: Backend> {
    angles: Param<Tensor<B, 2>>,
}

impl<B: Backend> Point<B> {
    fn x(&self) -> Tensor<B, 2> {
        self.angles.val().sin().powi_scalar(2)
    }
}

/// Climb from x `[1, D]`, in the unit cube, where log p rises, by L-BFGS with a strong Wolfe line search (Liu & Nocedal 1989). The best point met counts, if the
/// search goes astray after it; NaN where log p(x) is not finite.
pub fn climb<B: FlowBackend>(model: &Model<B>, x: &Tensor<B, 2>, config: OptimumConfig) -> Optimum {
    let model = Model::<Autodiff<B>>::from_inner(model.clone()).no_grad().without_dropout();
    let angles = x.clone().clamp(0.0, 1.0).sqrt().asin();
    let angles = Param::from_tensor(Tensor::from_inner(angles));
    let start = Point::<Autodiff<B>> { angles };
    let mut met: Vec<(f64, Tensor<B, 2>)> = Vec::new();
    let visit = |point: Point<Autodiff<B>>| {
        let x = point.x();
        let loss = -model.log_prob(x.clone()).sum();
        let value = loss.clone().into_data().iter::<f64>().sum::<f64>();
        let better = met.last().is_none_or(|(best, _)| value < *best);
        if better {
            met.push((value, x.inner()));
        }
        (value, GradientsParams::from_grads(loss.backward(), &point))
    };
    let search = LBFGSConfig::new()
        .with_max_iter(config.steps)
        .with_history_size(10)
        .with_line_search_fn(LineSearchFn::StrongWolfe);
    search.init::<Autodiff<B>>().step(1.0, start, visit);
    let (first, best) = (met[0].0, met[met.len() - 1].clone());
    let square = (best.1 - x.clone()).powi_scalar(2).sum().into_data().iter::<f64>().sum::<f64>();
    Optimum { rise: first - best.0, distance: square.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ood::statistic::tests::gaussian;
    use burn::backend::Flex;

    #[test]
    fn of_a_gaussian_it_is_the_mode_or_the_nearest_point_of_the_cube() {
        // A mode at (0.3, 0.8) and, beyond the cube, at -0.5.
        let (s, mode) = (0.25, [0.3, 0.8, -0.5]);
        let flow = gaussian(&mode, &[s; 3]);
        let from = [0.9f32, 0.1, 0.4];
        let x = Tensor::<Flex, 2>::from_floats([from], &Default::default());
        let got = climb(&flow, &x, OptimumConfig { steps: 60 });
        let to = [0.3, 0.8, 0.0];
        let square = |a: [f64; 3], b: [f64; 3]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let from = from.map(f64::from);
        let rise = (square(from, mode) - square(to, mode)) / (2.0 * s * s);
        assert!((got.rise - rise).abs() < 1e-2, "{got:?}, not {rise}");
        assert!((got.distance - square(from, to).sqrt()).abs() < 1e-2, "{got:?}");
        // There already.
        let x = Tensor::<Flex, 2>::from_floats([[0.3, 0.8, 0.0]], &Default::default());
        let got = climb(&flow, &x, OptimumConfig { steps: 60 });
        assert!(got.rise < 1e-3 && got.distance < 1e-2, "{got:?}");
    }
}
