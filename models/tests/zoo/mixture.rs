//! Tests of `atypical_models::mixture`.

use crate::golden::Golden;
use atypical_forward::{Forward, jvp, on_forward};
use atypical_models::{
    DensityModel, FlowBackend, Learn, Learned, Objective,
    mixture::{Covariance, GaussianMixture, MixtureConfig, MixtureError},
};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Param},
    tensor::{Tensor, TensorData, backend::Backend},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FORMS: [Covariance; 2] = [Covariance::Full, Covariance::Diagonal];

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn tensor<B: Backend, const D: usize>(values: Vec<f64>, dims: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, dims), &Default::default())
}

fn set<B: Backend, const D: usize>(param: &mut Param<Tensor<B, D>>, values: Vec<f64>) {
    *param = Param::initialized(param.id, tensor(values, param.dims()));
}

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    };
    (0..n).map(|_| draw()).collect()
}

/// Two Gaussians in the plane, with all that is to be known about them: `Σ⁻¹ = W Wᵀ`.
struct Truth {
    weights: [f64; 2],
    means: [[f64; 2]; 2],
    covariances: [[[f64; 2]; 2]; 2],
    factors: [[[f64; 2]; 2]; 2],
}

/// `W = [[a, b], [0, c]]`, so `Σ = W⁻ᵀ W⁻¹`.
fn truth(form: Covariance) -> Truth {
    let b = if form == Covariance::Full { [-0.8, 1.5] } else { [0.0, 0.0] };
    let factors = [[[1.0, b[0]], [0.0, 2.0]], [[2.0, b[1]], [0.0, 1.25]]];
    let covariances = factors.map(|[[a, b], [_, c]]| {
        let (p, q, r) = (1.0 / a, -b / (a * c), 1.0 / c);
        // W⁻¹ = [[p, q], [0, r]].
        [[p * p, p * q], [p * q, q * q + r * r]]
    });
    Truth { weights: [0.25, 0.75], means: [[-2.0, 1.0], [1.0, -0.5]], covariances, factors }
}

impl Truth {
    fn log_joint(&self, x: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|k| {
            let [[a, b], [_, c]] = self.factors[k];
            let [u, v] = [0, 1].map(|i| x[i] - self.means[k][i]);
            let squares = (u * a).powi(2) + (u * b + v * c).powi(2);
            self.weights[k].ln() - 0.5 * squares + (a * c).ln() - std::f64::consts::TAU.ln()
        })
    }

    fn log_prob(&self, x: [f64; 2]) -> f64 {
        self.log_joint(x).into_iter().map(f64::exp).sum::<f64>().ln()
    }

    fn draw(&self, n: usize, seed: u64) -> Vec<[f64; 2]> {
        let noise = normals(2 * n, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed + 1000);
        let point = |y: &[f64]| {
            let k = usize::from(rng.random::<f64>() >= self.weights[0]);
            let [[a, b], [_, c]] = self.factors[k];
            // (x - μ) W = y.
            let u = y[0] / a;
            [self.means[k][0] + u, self.means[k][1] + (y[1] - u * b) / c]
        };
        noise.chunks(2).map(point).collect()
    }

    fn mixture<B: Backend>(&self, form: Covariance) -> GaussianMixture<B> {
        let config = MixtureConfig { components: 2, covariance: form, ..Default::default() };
        let mut mixture = GaussianMixture::new(&config, 0, &Default::default()).unwrap();
        let matrices = |m: &[[[f64; 2]; 2]; 2]| match form {
            Covariance::Full => m.as_flattened().as_flattened().to_vec(),
            Covariance::Diagonal => m.iter().flat_map(|m| [m[0][0], m[1][1]]).collect(),
        };
        set(&mut mixture.log_weights, self.weights.map(f64::ln).to_vec());
        set(&mut mixture.means, self.means.concat());
        set(&mut mixture.covariances, matrices(&self.covariances));
        set(&mut mixture.precision_factors, matrices(&self.factors));
        mixture
    }
}

fn batch<B: Backend>(points: &[[f64; 2]]) -> Tensor<B, 2> {
    tensor(points.concat(), [points.len(), 2])
}

/// Largest `|a - b| / (1 + |b|)`.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

fn whole_batches_like_scikit_learn<B: FlowBackend>() {
    for name in ["mixture_full", "mixture_diagonal"] {
        let golden = Golden::open(name);
        let config: MixtureConfig = serde_json::from_value(golden.metadata()).unwrap();
        let device = Default::default();
        let mut mixture = GaussianMixture::<B>::new(&config, 0, &device).unwrap();
        golden.load(&mut mixture.log_weights, "start.log_weights");
        golden.load(&mut mixture.means, "start.means");
        golden.load(&mut mixture.precision_factors, "start.precision_factors");
        let x = golden.batch::<B>("x");
        for steps in 1..=20 {
            mixture.em_step(x.clone(), 1.0);
            if steps != 1 && steps != 20 {
                continue;
            }
            let key = |what: &str| format!("{steps}.{what}");
            let floor = match config.covariance {
                Covariance::Full => Tensor::eye(4, &device),
                Covariance::Diagonal => Tensor::ones([1, 4], &device),
            };
            let covariances = mixture.covariances.val() + (floor * config.floor).unsqueeze();
            golden.close(mixture.log_weights.val().exp(), &key("weights"), 1e-5);
            golden.close(mixture.means.val(), &key("means"), 1e-5);
            golden.close(covariances, &key("covariances"), 1e-4);
            golden.close(mixture.log_prob(x.clone()), &key("log_prob"), 1e-4);
        }
        assert_eq!(values(mixture.replaced.val().float()), [0.0]);
        assert_eq!(values(mixture.raised.val().float()), [0.0]);
    }
}

fn density<B: FlowBackend>() {
    for form in FORMS {
        let truth = truth(form);
        let mixture = truth.mixture::<B>(form);
        let points = truth.draw(50, 1);
        let expected: Vec<f64> = points.iter().map(|x| truth.log_prob(*x)).collect();
        let got = values(mixture.log_prob(batch(&points)));
        assert!(deviation(&got, &expected) < 1e-5, "{form:?}: {got:?}, not {expected:?}");
        let alone: Vec<f64> =
            points.iter().flat_map(|x| values(mixture.log_prob(batch(&[*x])))).collect();
        assert!(deviation(&got, &alone) < 1e-6, "{form:?}: {got:?}, alone {alone:?}");
        assert_eq!(
            values(mixture.objective(batch(&points))),
            got.iter().map(|l| -l).collect::<Vec<_>>()
        );
    }
}

/// `∇ log p = -Σ_k r_k W_k W_kᵀ (x - μ_k)` in both modes.
fn gradients<B: FlowBackend>() {
    for form in FORMS {
        let truth = truth(form);
        let points = truth.draw(20, 2);
        let expected: Vec<f64> = points
            .iter()
            .flat_map(|x| {
                let joint = truth.log_joint(*x);
                let total = truth.log_prob(*x);
                let mut gradient = [0.0; 2];
                for (k, joint) in joint.into_iter().enumerate() {
                    let [[a, b], [_, c]] = truth.factors[k];
                    let [u, v] = [0, 1].map(|i| x[i] - truth.means[k][i]);
                    let y = [u * a, u * b + v * c];
                    let part = (joint - total).exp();
                    gradient[0] -= part * (a * y[0] + b * y[1]);
                    gradient[1] -= part * c * y[1];
                }
                gradient
            })
            .collect();
        let mixture = truth.mixture::<Autodiff<B>>(form);
        let x = batch::<Autodiff<B>>(&points).require_grad();
        let gradients = mixture.log_prob(x.clone()).sum().backward();
        let reverse = values(x.grad(&gradients).unwrap());
        assert!(deviation(&reverse, &expected) < 1e-4, "{form:?}: {reverse:?}, not {expected:?}");

        let twin: GaussianMixture<Forward<B>> = on_forward(mixture.valid());
        let directions =
            tensor::<B, 3>([[1.0, 0.0], [0.0, 1.0]].map(|e| e.repeat(20)).concat(), [2, 20, 2]);
        let (_, products): (_, Tensor<B, 2>) =
            jvp(|x| twin.log_prob(x), x.inner(), directions).unwrap();
        let forward = values(products.transpose());
        assert!(deviation(&forward, &expected) < 1e-4, "{form:?}: {forward:?}, not {expected:?}");
    }
}

fn far_away<B: FlowBackend>() {
    for form in FORMS {
        let mixture = truth(form).mixture::<Autodiff<B>>(form);
        for far in [1e3, 1e10, 1e18] {
            let x = batch::<Autodiff<B>>(&[[far, -far], [0.0, far]]).require_grad();
            let log_prob = mixture.log_prob(x.clone());
            assert!(values(log_prob.clone()).iter().all(|l| l.is_finite()), "{form:?} at {far}");
            let gradient = values(x.grad(&log_prob.sum().backward()).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{form:?} at {far}: {gradient:?}");
        }
        // Squares that f32 does not have.
        let beyond = values(mixture.log_prob(batch(&[[1e30, 1e30]])));
        assert_eq!(beyond, [f64::NEG_INFINITY]);
        assert!(values(mixture.log_prob(batch(&[[f64::NAN, 0.0]])))[0].is_nan());
    }
}

/// One step from sums of `1, x, x xᵀ`, as the paper has them.
fn one_step<B: FlowBackend>() {
    for form in FORMS {
        let truth = truth(form);
        let mut mixture = truth.mixture::<B>(form);
        let size = 0.3;
        let points: Vec<[f64; 2]> =
            truth.draw(40, 3).iter().map(|[u, v]| [u + 0.5, v * 1.5]).collect();
        let objective = values(mixture.em_step(batch(&points), size))[0];
        let expected = -points.iter().map(|x| truth.log_prob(*x)).sum::<f64>() / 40.0;
        assert!((objective - expected).abs() < 1e-5, "{objective}, not {expected}");
        assert_eq!(values(mixture.steps.val().float()), [1.0]);
        for k in 0..2 {
            let mean = truth.means[k];
            let pair = |i: usize, j: usize| truth.covariances[k][i][j] + mean[i] * mean[j];
            // Weight, means, products.
            let mut sums = [1.0, mean[0], mean[1], pair(0, 0), pair(0, 1), pair(1, 1)]
                .map(|s| s * truth.weights[k]);
            sums.iter_mut().for_each(|s| *s *= 1.0 - size);
            for x in &points {
                let part = (truth.log_joint(*x)[k] - truth.log_prob(*x)).exp() * size / 40.0;
                let [u, v] = *x;
                sums.iter_mut()
                    .zip([1.0, u, v, u * u, u * v, v * v])
                    .for_each(|(s, t)| *s += part * t);
            }
            let [weight, u, v, uu, uv, vv] = sums;
            let (u, v) = (u / weight, v / weight);
            let [uu, uv, vv] = [uu / weight - u * u, uv / weight - u * v, vv / weight - v * v];
            let covariance = match form {
                Covariance::Full => vec![uu, uv, uv, vv],
                Covariance::Diagonal => vec![uu, vv],
            };
            let own = |all: Vec<f64>, n: usize| all[k * n..][..n].to_vec();
            let got = own(values(mixture.covariances.val()), covariance.len());
            assert!(deviation(&got, &covariance) < 1e-5, "{form:?}: {got:?}, not {covariance:?}");
            let got = own(values(mixture.means.val()), 2);
            assert!(deviation(&got, &[u, v]) < 1e-5, "{form:?}: {got:?}, not {u}, {v}");
            let got = own(values(mixture.log_weights.val().exp()), 1)[0];
            assert!((got - weight).abs() < 1e-5, "{form:?}: {got}, not {weight}");
            // W Wᵀ (Σ + floor) = 1.
            if form == Covariance::Full {
                let w = own(values(mixture.precision_factors.val()), 4);
                assert_eq!(w[2], 0.0, "upper triangular");
                let precision = [w[0] * w[0] + w[1] * w[1], w[1] * w[3], w[3] * w[3]];
                let identity =
                    [precision[0] * uu + precision[1] * uv, precision[0] * uv + precision[1] * vv];
                assert!(deviation(&identity, &[1.0, 0.0]) < 1e-4, "{identity:?}");
            }
        }
    }
}

/// Batches of 50 from two Gaussians: the density of other draws comes within 0.02 nats of their own entropy.
fn learning<B: FlowBackend>()
where
    Autodiff<B>: FlowBackend,
{
    for form in FORMS {
        let truth = truth(form);
        let config = MixtureConfig { components: 2, covariance: form, ..Default::default() };
        let mut mixture =
            GaussianMixture::<Autodiff<B>>::new(&config, 1, &Default::default()).unwrap();
        let others = truth.draw(4000, 4);
        let optimum = -others.iter().map(|x| truth.log_prob(*x)).sum::<f64>() / 4000.0;
        let objective = |m: &GaussianMixture<Autodiff<B>>| {
            values(m.valid().objective(batch(&others)).mean())[0] - optimum
        };
        let data = truth.draw(10_000, 5);
        assert_eq!(mixture.initialize(batch(&data[..50])).coincident, 0);
        let start = objective(&mixture);
        for points in data.chunks(50) {
            let Learned::Moved(objective) = mixture.learn(0, batch(points)) else {
                panic!("it moves by itself")
            };
            assert!(values(objective)[0].is_finite());
        }
        let end = objective(&mixture);
        assert!(
            start > 0.05 && end < 0.02 && end > -0.01,
            "{form:?}: {start} and {end} from the optimum"
        );
        assert_eq!(values(mixture.steps.val().float()), [200.0]);
        assert!(!mixture.means.val().is_require_grad());
    }
}

fn samples<B: FlowBackend>() {
    for form in FORMS {
        let truth = truth(form);
        let mixture = truth.mixture::<B>(form);
        B::seed(&Default::default(), 3);
        let n = 20_000;
        let draws = values(mixture.sample(n, &Default::default()));
        let mean = |f: &dyn Fn(f64, f64) -> f64| {
            draws.chunks(2).map(|x| f(x[0], x[1])).sum::<f64>() / n as f64
        };
        let expected = |f: &dyn Fn(usize) -> f64| truth.weights[0] * f(0) + truth.weights[1] * f(1);
        let pair = |i: usize, j: usize| {
            expected(&|k| truth.covariances[k][i][j] + truth.means[k][i] * truth.means[k][j])
        };
        let got = [
            mean(&|u, _| u),
            mean(&|_, v| v),
            mean(&|u, _| u * u),
            mean(&|u, v| u * v),
            mean(&|_, v| v * v),
        ];
        let wanted = [
            expected(&|k| truth.means[k][0]),
            expected(&|k| truth.means[k][1]),
            pair(0, 0),
            pair(0, 1),
            pair(1, 1),
        ];
        assert!(deviation(&got, &wanted) < 0.03, "{form:?}: {got:?}, not {wanted:?}");
        // The second Gaussian's part of the half-plane u > 1 is half of it; the first has next to none there.
        let right = mean(&|u, _| f64::from(u8::from(u > 1.0)));
        assert!((right - 0.375).abs() < 0.015, "{form:?}: {right}");
    }
}

/// A component that takes nothing goes to where the others explain least.
fn empty_components<B: FlowBackend>() {
    for form in FORMS {
        let truth = truth(form);
        let mut mixture = truth.mixture::<B>(form);
        set(&mut mixture.means, vec![1e4, 1e4, 1.0, -0.5]);
        let mut points = truth.draw(30, 6);
        points[17] = [-9.0, 9.0];
        mixture.em_step(batch(&points), 1.0);
        assert_eq!(values(mixture.replaced.val().float()), [1.0]);
        assert_eq!(values(mixture.means.val())[..2], [-9.0, 9.0]);
        let weights = values(mixture.log_weights.val().exp());
        assert!(deviation(&weights, &[1.0 / 3.0, 2.0 / 3.0]) < 1e-6, "{weights:?}");
        let covariances = values(mixture.covariances.val());
        let half = covariances.len() / 2;
        assert_eq!(covariances[..half], covariances[half..]);
        assert!(values(mixture.log_prob(batch(&points))).iter().all(|l| l.is_finite()));
    }
}

fn batches_that_are_not_finite<B: FlowBackend>() {
    for form in FORMS {
        for bad in [f64::NAN, f64::INFINITY, 1e30] {
            let mut mixture = truth(form).mixture::<B>(form);
            let objective = values(mixture.em_step(batch(&[[0.0, 0.0], [0.0, bad]]), 0.5))[0];
            assert!(!objective.is_finite(), "{bad}");
            assert_eq!(values(mixture.steps.val().float()), [0.0]);
            assert_eq!(values(mixture.means.val()), truth(form).means.concat());
        }
        let mut mixture = truth(form).mixture::<B>(form);
        assert_eq!(mixture.initialize(batch(&[[f64::NAN, 0.0]])).coincident, 2);
        assert_eq!(values(mixture.means.val()), truth(form).means.concat());
        let start =
            mixture.initialize(batch(&[[f64::NAN, 0.0], [1.0, 2.0], [3.0, 4.0], [2.0, 3.5]]));
        assert_eq!(start.coincident, 0);
        assert!(values(mixture.log_prob(batch(&[[2.0, 3.0]])))[0].is_finite());
        // Variances that f32 does not have: no density, and an end to the search for one.
        mixture.initialize(batch(&[[1e30, 0.0], [0.0, 1e30], [-1e30, 1e30]]));
        let objective = values(mixture.em_step(batch(&[[0.0, 0.0], [1.0, 2.0]]), 0.5))[0];
        let next = values(mixture.em_step(batch(&[[0.0, 0.0], [1.0, 2.0]]), 0.5))[0];
        assert!(!(objective.is_finite() && next.is_finite()), "{form:?}: {objective}, {next}");
    }
}

/// Fewer inputs than dimensions, then flat data on a scale where f32 loses the floor.
fn degenerate_data<B: FlowBackend>() {
    let (d, n) = (200, 48);
    let config = MixtureConfig { shape: [d, 1, 1], components: 3, ..Default::default() };
    let mut mixture = GaussianMixture::<B>::new(&config, 0, &Default::default()).unwrap();
    mixture.initialize(tensor(normals(n * d, 7), [n, d]));
    for seed in 8..11 {
        let x = tensor::<B, 2>(normals(n * d, seed), [n, d]);
        assert!(values(mixture.em_step(x.clone(), 0.6))[0].is_finite());
        assert!(values(mixture.log_prob(x)).iter().all(|l| l.is_finite()));
    }

    let d = 6;
    let config = MixtureConfig { shape: [d, 1, 1], components: 1, ..Default::default() };
    let mut mixture = GaussianMixture::<B>::new(&config, 0, &Default::default()).unwrap();
    for seed in 0..20 {
        let line = normals(50, 20 + seed);
        let rows = line.iter().flat_map(|t| (1..=d).map(move |i| 1e4 * t * (i as f64).sqrt()));
        let x = tensor::<B, 2>(rows.collect(), [50, d]);
        if seed == 0 {
            mixture.initialize(x.clone());
        }
        mixture.em_step(x.clone(), 0.9);
        assert!(values(mixture.log_prob(x)).iter().all(|l| l.is_finite()));
    }
    let raised = values(mixture.raised.val().float())[0];
    assert!(raised > 0.0, "the floor of 1e-6 beside variances of 1e9 is not in f32");
}

fn starts<B: FlowBackend>() -> Vec<f64> {
    let device = Default::default();
    let points = truth(Covariance::Full).draw(100, 8);
    let config = MixtureConfig { components: 4, ..Default::default() };
    let mut mixture = GaussianMixture::<B>::new(&config, 5, &device).unwrap();
    assert_eq!(mixture.initialize(batch(&points)).coincident, 0);
    let means = values(mixture.means.val());
    for mean in means.chunks(2) {
        let taken = |x: &&[f64; 2]| deviation(mean, *x) < 1e-6;
        assert_eq!(points.iter().filter(taken).count(), 1, "{mean:?} is an input");
    }
    // Variances around the nearest mean, smaller than around the centre; no other covariance.
    let covariances = values(mixture.covariances.val());
    assert_eq!([covariances[1], covariances[2]], [0.0, 0.0]);
    let distance = |x: &[f64; 2], m: &[f64]| (x[0] - m[0]).powi(2) + (x[1] - m[1]).powi(2);
    let spread: f64 = points
        .iter()
        .map(|x| means.chunks(2).map(|m| distance(x, m)).fold(f64::MAX, f64::min))
        .sum::<f64>()
        / 96.0;
    assert!(
        (covariances[0] + covariances[3] - spread).abs() < 1e-4,
        "{covariances:?}, not {spread}"
    );

    // Two different inputs for four components.
    let start = mixture.initialize(batch(&[[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]));
    assert_eq!(start.coincident, 2);
    // All inputs are means: the spread is that around the centre.
    mixture.initialize(batch(&[[0.0, 0.0], [2.0, 0.0]]));
    let covariances = values(mixture.covariances.val());
    assert_eq!(covariances[..4], [1.0, 0.0, 0.0, 0.0]);
    assert!(values(mixture.log_prob(batch(&[[1.0, 1.0]])))[0].is_finite());
    means
}

#[test]
fn starts_are_the_same_on_every_backend() {
    let [flex, ndarray] =
        [starts::<burn::backend::Flex>(), starts::<burn::backend::NdArray<f32>>()];
    assert_eq!(flex, ndarray);
}

#[test]
fn values_that_cannot_be_are_named() {
    let wrong = |config: MixtureConfig| {
        let error = GaussianMixture::<burn::backend::Flex>::new(&config, 0, &Default::default())
            .unwrap_err();
        let (key, what) = config.check().unwrap_err();
        assert_eq!(error, MixtureError::Value { key, what });
        error.to_string()
    };
    let config = MixtureConfig::default;
    assert!(config().check().is_ok());
    assert_eq!(
        wrong(MixtureConfig { components: 0, ..config() }),
        "components is 0, but it must be at least 1"
    );
    assert_eq!(
        wrong(MixtureConfig { shape: [3, 0, 1], ..config() }),
        "shape is [3, 0, 1], but no side may be 0"
    );
    for floor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let message = format!("floor is {floor}, but it must be at least 1e-12");
        assert!(
            wrong(MixtureConfig { floor, ..config() }).starts_with(&message[..message.len() - 1])
        );
    }
    assert_eq!(
        wrong(MixtureConfig { shape: [3, 64, 64], components: 100, ..config() }),
        "components is 100, which with inputs of dimension 12288 makes 3.0e10 numbers, more than 1e9"
    );
}

macro_rules! suite {
    ($($backend:ident: $type:ty),*) => {$(
        mod $backend {
            #[test]
            fn whole_batches_like_scikit_learn() {
                super::whole_batches_like_scikit_learn::<$type>();
            }

            #[test]
            fn density_in_closed_form() {
                super::density::<$type>();
            }

            #[test]
            fn gradients_in_both_modes() {
                super::gradients::<$type>();
            }

            #[test]
            fn far_away() {
                super::far_away::<$type>();
            }

            #[test]
            fn one_step_from_sums() {
                super::one_step::<$type>();
            }

            #[test]
            fn learning() {
                super::learning::<$type>();
            }

            #[test]
            fn samples() {
                super::samples::<$type>();
            }

            #[test]
            fn empty_components() {
                super::empty_components::<$type>();
            }

            #[test]
            fn batches_that_are_not_finite() {
                super::batches_that_are_not_finite::<$type>();
            }

            #[test]
            fn degenerate_data() {
                super::degenerate_data::<$type>();
            }
        }
    )*};
}

suite!(flex: burn::backend::Flex, ndarray: burn::backend::NdArray<f32>);
