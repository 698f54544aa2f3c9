//! Tests of `atypical_models::autoregressive`.

use crate::golden::Golden;
use atypical_forward::{Forward, jvp, on_forward};
use atypical_models::{DensityModel, FlowBackend, Learn, Learned, autoregressive::*};
use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param},
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{Tensor, TensorData, backend::Backend},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn batch<B: Backend>(rows: &[Vec<f64>]) -> Tensor<B, 2> {
    let dims = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), dims), &Default::default())
}

/// Images of levels as inputs, in the middle of each level.
fn images<B: Backend>(levels: &[Vec<usize>]) -> Tensor<B, 2> {
    let pixel = |level: &usize| (*level as f64 + 0.5) / 256.0;
    let rows: Vec<Vec<f64>> =
        levels.iter().map(|image| image.iter().map(pixel).collect()).collect();
    batch(&rows)
}

fn pixel_cnn<B: Backend>(shape: [usize; 3], seed: u64) -> PixelCnn<B> {
    let config = PixelCnnConfig { shape, hidden: 8, blocks: 2, mixtures: 3, ..Default::default() };
    PixelCnn::new(&config, seed, &Default::default()).unwrap()
}

fn lstm<B: Backend>(shape: [usize; 3], seed: u64) -> LstmMixture<B> {
    let config =
        LstmMixtureConfig { shape, hidden: 8, layers: 2, mixtures: 3, ..Default::default() };
    LstmMixture::new(&config, seed, &Default::default()).unwrap()
}

/// Multiplies every parameter.
struct Scale(f64);

impl<B: Backend> ModuleMapper<B> for Scale {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let factor = self.0;
        param.map(|tensor| {
            let tracked = tensor.is_require_grad();
            (tensor * factor).detach().set_require_grad(tracked)
        })
    }
}

/// Largest `|a - b| / (1 + |b|)`.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error = |(a, b): (&f64, &f64)| {
        let error = (a - b).abs() / (1.0 + b.abs());
        if error.is_nan() { f64::INFINITY } else { error }
    };
    a.iter().zip(b).map(error).fold(0.0, f64::max)
}

fn agrees<B: FlowBackend, const D: usize>(
    golden: &Golden,
    key: &str,
    got: Tensor<B, D>,
    tolerance: f64,
) {
    let error = deviation(&values(got), &golden.get(key).0);
    assert!(error < tolerance, "{key}: off by {error:.1e}");
}

/// Values of the real LSTM, and of discretised logistics with 60 digits.
fn goldens<B: FlowBackend>(tolerance: f64) {
    for name in ["logistic_mixture_1", "logistic_mixture_3"] {
        let golden = Golden::open(name);
        let channels = golden.metadata()["channels"].as_u64().unwrap() as usize;
        let dims = |key| golden.get(key).1.try_into().unwrap();
        let parameters = golden.tensor::<B, 3>("parameters", dims("parameters"));
        let levels = golden.tensor::<B, 3>("levels", dims("levels"));
        let mixture = LogisticMixture::new(parameters, channels, -7.0);
        agrees(&golden, "log_prob", mixture.log_prob(levels.clone()), tolerance);
        agrees(&golden, "log_conditionals", mixture.log_conditionals(levels), tolerance);
    }
    for name in ["pixel_cnn_1", "pixel_cnn_3"] {
        let golden = Golden::open(name);
        let config: PixelCnnConfig = serde_json::from_value(golden.metadata()).unwrap();
        let mut model = PixelCnn::<B>::new(&config, 0, &Default::default()).unwrap();
        load_causal(&golden, &mut model.vertical, "vertical");
        load_causal(&golden, &mut model.horizontal, "horizontal");
        for (i, layer) in model.layers.iter_mut().enumerate() {
            for (block, stream) in
                [(&mut layer.vertical, "vertical"), (&mut layer.horizontal, "horizontal")]
            {
                load_causal(&golden, &mut block.first, &format!("layers.{i}.{stream}.first"));
                load_causal(&golden, &mut block.second, &format!("layers.{i}.{stream}.second"));
            }
            golden.load_conv(&mut layer.link, &format!("layers.{i}.link"));
        }
        golden.load_conv(&mut model.output, "output");
        let x = golden.batch::<B>("x");
        agrees(&golden, "log_prob", model.log_prob(x.clone()), tolerance);
        agrees(&golden, "log_conditionals", model.log_conditionals(x), tolerance);
    }
    let golden = Golden::open("lstm_mixture");
    let config: LstmMixtureConfig = serde_json::from_value(golden.metadata()).unwrap();
    let mut model = LstmMixture::<B>::new(&config, 0, &Default::default()).unwrap();
    for (i, cell) in model.cells.iter_mut().enumerate() {
        golden.load(&mut cell.input, &format!("cells.{i}.input"));
        golden.load(&mut cell.recurrent, &format!("cells.{i}.recurrent"));
        golden.load(&mut cell.bias, &format!("cells.{i}.bias"));
    }
    golden.load(&mut model.output.weight, "output.weight");
    golden.load(&mut model.output.bias, "output.bias");
    let x = golden.batch::<B>("x");
    agrees(&golden, "log_prob", model.log_prob(x.clone()), tolerance);
    agrees(&golden, "log_conditionals", model.log_conditionals(x), tolerance);
}

fn load_causal<B: FlowBackend>(golden: &Golden, conv: &mut CausalConv<B>, key: &str) {
    golden.load(&mut conv.weight, &format!("{key}.weight"));
    golden.load(&mut conv.bias, &format!("{key}.bias"));
}

/// Coordinates in the order in which the models have them: pixel by pixel, channels after each other.
fn order([channels, height, width]: [usize; 3]) -> Vec<usize> {
    let pixels = height * width;
    (0..pixels).flat_map(|p| (0..channels).map(move |c| c * pixels + p)).collect()
}

/// A change of one coordinate changes no conditional before it, and not its own mixture; and it changes every one behind it, so that nothing is out of sight.
fn looks_only_back<B: Backend>(
    shape: [usize; 3],
    conditionals: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>,
    tolerance: f64,
) {
    let order = order(shape);
    let dimension = order.len();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let original: Vec<f64> = (0..dimension).map(|_| rng.random_range(0.0..0.99)).collect();
    let mut rows = vec![original.clone()];
    for &changed in &order {
        let mut row = original.clone();
        row[changed] = 0.99 - row[changed];
        rows.push(row);
    }
    let got = values(conditionals(batch(&rows)));
    let of = |row: usize, coordinate: usize| got[row * dimension + coordinate];
    for (j, &changed) in order.iter().enumerate() {
        for (i, &coordinate) in order.iter().enumerate() {
            let change = (of(j + 1, coordinate) - of(0, coordinate)).abs();
            if i < j {
                assert!(change <= tolerance, "{changed} changes {coordinate} by {change:e}");
            } else {
                assert!(change > tolerance, "{changed} does not change {coordinate}");
            }
        }
    }
}

fn causality<B: FlowBackend>() {
    // Maps too small for Winograd's tiles: no product with what is ahead is even computed but with zeros.
    let model = pixel_cnn::<B>([1, 3, 5], 0);
    looks_only_back([1, 3, 5], |x| model.log_conditionals(x), 0.0);
    let model = pixel_cnn::<B>([3, 3, 3], 1);
    looks_only_back([3, 3, 3], |x| model.log_conditionals(x), 0.0);
    let model = lstm::<B>([6, 1, 1], 2);
    looks_only_back([6, 1, 1], |x| model.log_conditionals(x), 0.0);
    let model = lstm::<B>([3, 2, 2], 3);
    looks_only_back([3, 2, 2], |x| model.log_conditionals(x), 0.0);
}

#[test]
fn no_blind_spot_on_larger_maps() {
    // In f64 every path is long enough to be seen, and zeros are zeros.
    let model = pixel_cnn::<NdArray<f64>>([1, 5, 4], 4).map(&mut Scale(2.0));
    looks_only_back([1, 5, 4], |x| model.log_conditionals(x), 0.0);
}

#[test]
fn winograd_looks_ahead_by_no_more_than_rounding() {
    let [height, width] = [6, 6];
    let model = pixel_cnn::<Flex>([1, height, width], 5);
    let dark = vec![20; height * width];
    let mut bright = dark.clone();
    bright[height * width / 2..].fill(250);
    let got = values(model.log_conditionals(images(&[dark, bright])));
    let (dark, bright) = got.split_at(height * width);
    let half = height * width / 2;
    assert!(deviation(&dark[..half], &bright[..half]) < 1e-6);
    assert!(deviation(&dark[half..], &bright[half..]) > 1e-3);
}

/// Every conditional of a few images sums to 1 over the levels.
fn conditionals_sum_to_one<B: FlowBackend>() {
    for shape in [[1, 2, 2], [2, 1, 2], [3, 1, 2]] {
        let model = pixel_cnn::<B>(shape, 6).map(&mut Scale(2.0));
        let dimension: usize = shape.iter().product();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let image: Vec<usize> = (0..dimension).map(|_| rng.random_range(0..256)).collect();
        let rows: Vec<Vec<usize>> = (0..dimension)
            .flat_map(|i| (0..256).map(move |level| (i, level)))
            .map(|(i, level)| {
                let mut row = image.clone();
                row[i] = level;
                row
            })
            .collect();
        let got = values(model.log_conditionals(images(&rows)));
        for i in 0..dimension {
            let sum: f64 = (0..256).map(|level| got[(256 * i + level) * dimension + i].exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{shape:?}: coordinate {i} sums to {sum}");
        }
    }
}

#[test]
fn all_images_of_two_pixels_sum_to_one() {
    let model = pixel_cnn::<Flex>([1, 1, 2], 7);
    let all: Vec<Vec<usize>> = (0..65536).map(|i| vec![i / 256, i % 256]).collect();
    let log_prob = values(model.log_prob(images(&all)));
    let sum: f64 = log_prob.iter().map(|l| (l - 2.0 * 256f64.ln()).exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn log_prob_is_the_sum_of_the_conditionals() {
    let x = images::<Flex>(&[vec![0, 17, 255, 128, 3, 90], vec![255; 6], vec![0; 6]]);
    let model = pixel_cnn::<Flex>([3, 1, 2], 8);
    let sums = values(model.log_conditionals(x.clone()).sum_dim(1) + 6.0 * 256f64.ln());
    assert!(deviation(&values(model.log_prob(x.clone())), &sums) < 1e-6);
    let model = lstm::<Flex>([3, 1, 2], 8);
    let sums = values(model.log_conditionals(x.clone()).sum_dim(1));
    assert!(deviation(&values(model.log_prob(x)), &sums) < 1e-6);
}

#[test]
fn the_density_is_constant_within_a_level_and_zero_outside_the_cube() {
    let model = pixel_cnn::<Flex>([1, 1, 2], 9);
    let inside =
        [[10.0 / 256.0, 255.0 / 256.0], [10.999 / 256.0, 255.999 / 256.0], [10.5 / 256.0, 1.0]];
    let got = values(model.log_prob(batch(&inside.map(Vec::from))));
    assert!(got[0].is_finite() && got.iter().all(|l| *l == got[0]), "{got:?}");
    let outside = [[-1e-6, 0.5], [0.5, 1.001], [f64::from(f32::MAX), 0.5]];
    let got = values(model.log_prob(batch(&outside.map(Vec::from))));
    assert!(got.iter().all(|l| *l == f64::NEG_INFINITY), "{got:?}");
    assert!(values(model.log_prob(batch(&[vec![f64::NAN, 0.5]])))[0].is_nan());
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let rows: Vec<Vec<f64>> =
        (0..7).map(|_| (0..75).map(|_| rng.random_range(0.0..1.0)).collect()).collect();
    let alone = |score: &dyn Fn(Tensor<Flex, 2>) -> Tensor<Flex, 1>| {
        let together = values(score(batch(&rows)));
        let each: Vec<f64> =
            rows.iter().flat_map(|row| values(score(batch(std::slice::from_ref(row))))).collect();
        assert!(deviation(&together, &each) < 1e-6);
    };
    let model = pixel_cnn::<Flex>([3, 5, 5], 10);
    alone(&|x| model.log_prob(x));
    let model = lstm::<Flex>([75, 1, 1], 10);
    alone(&|x| model.log_prob(x));
}

#[test]
fn dropout_is_for_training_alone() {
    let config = PixelCnnConfig {
        shape: [1, 4, 4],
        hidden: 8,
        blocks: 1,
        dropout: 0.5,
        ..Default::default()
    };
    type A = Autodiff<Flex>;
    let mut model = PixelCnn::<A>::new(&config, 0, &Default::default()).unwrap();
    let x = images::<A>(&[(0..16).map(|i| 16 * i).collect()]);
    let inner = values(model.valid().log_prob(x.clone().inner()));
    assert_eq!(values(model.log_prob(x.clone())), inner);
    let mut loss = || match model.learn(0, x.clone()) {
        Learned::Loss(loss) => values(loss)[0],
        Learned::Moved(_) => panic!("it learns by gradients"),
    };
    assert_ne!(loss(), loss());
}

/// Whether every gradient is there and finite.
struct Finite<'a, B: burn::tensor::backend::AutodiffBackend>(&'a B::Gradients);

impl<B: burn::tensor::backend::AutodiffBackend> ModuleVisitor<B> for Finite<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = values(param.val().grad(self.0).expect("every parameter has a gradient"));
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}

fn finite_gradients<B: FlowBackend>() {
    let device = Default::default();
    // The mixture alone, at levels on both edges and numbers far outside of what a network gives.
    let sizes = [-1e4, -50.0, 0.0, 50.0, 1e4];
    for (i, size) in sizes.into_iter().enumerate() {
        for (j, other) in sizes.into_iter().enumerate() {
            let numbers = [other, size, -size, 0.5, other, size, -other, size, 1.0, -1.0];
            let numbers = [numbers.map(|n| n * 0.5), numbers].concat();
            // A weight and a number of each component are neighbours.
            let parameters: Vec<f64> = (0..20).map(|k| numbers[(k % 2) * 10 + k / 2]).collect();
            let parameters = TensorData::new(parameters, [1, 20, 1]);
            let parameters =
                Tensor::<Autodiff<B>, 3>::from_data(parameters, &device).require_grad();
            for levels in [[0.0, 255.0, 128.0], [255.0, 3.0, 0.0]] {
                let levels =
                    Tensor::from_data(TensorData::new(levels.to_vec(), [1, 3, 1]), &device);
                let log_prob = LogisticMixture::new(parameters.clone(), 3, -7.0).log_prob(levels);
                let gradients = log_prob.clone().backward();
                let gradient = values(parameters.grad(&gradients).unwrap());
                let all = [values(log_prob), gradient].concat();
                assert!(all.iter().all(|g| g.is_finite()), "{i} {j}: {all:?}");
            }
        }
    }
    let model = pixel_cnn::<Autodiff<B>>([3, 2, 2], 11).map(&mut Scale(20.0));
    let x = images(&[vec![0; 12], vec![255; 12], [vec![0; 6], vec![255; 6]].concat()]);
    let log_prob = model.log_prob(x);
    assert!(values(log_prob.clone()).iter().all(|l| l.is_finite()));
    model.visit(&mut Finite(&log_prob.sum().backward()));
    let model = lstm::<Autodiff<B>>([4, 1, 1], 11).map(&mut Scale(20.0));
    let x = batch::<Autodiff<B>>(&[vec![0.0; 4], vec![1e6; 4], vec![-1e6, 1e6, -1e6, 0.0]]);
    let x = x.require_grad();
    let log_prob = model.log_prob(x.clone());
    let gradients = log_prob.clone().sum().backward();
    let all = [values(log_prob), values(x.grad(&gradients).unwrap())].concat();
    assert!(all.iter().all(|l| l.is_finite()), "{all:?}");
    model.visit(&mut Finite(&gradients));
}

#[test]
fn the_lstm_differentiates_in_both_modes() {
    let rows = [vec![0.3, -1.2, 0.7, 2.0], vec![-0.1, 0.0, 1.5, -2.5]];
    let model = lstm::<Autodiff<Flex>>([4, 1, 1], 12);
    let x = batch::<Autodiff<Flex>>(&rows).require_grad();
    let gradients = model.log_prob(x.clone()).sum().backward();
    let gradient = values(x.grad(&gradients).unwrap());
    let twin: LstmMixture<Forward<Flex>> = on_forward(model.valid());
    let eye = Tensor::<Flex, 2>::eye(4, &Default::default());
    let directions = eye.unsqueeze_dim::<3>(1).expand([4, 2, 4]);
    let (_, products) = jvp(|x| twin.log_prob(x), batch(&rows), directions).unwrap();
    let products: Tensor<Flex, 2> = products;
    assert!(deviation(&values(products.transpose()), &gradient) < 1e-5);
}

#[test]
fn levels_have_no_derivative() {
    let model = pixel_cnn::<Flex>([1, 2, 2], 13);
    let x = images::<Flex>(&[vec![0, 100, 200, 255]]);
    let expected = values(model.log_prob(x.clone()));
    let twin: PixelCnn<Forward<Flex>> = on_forward(model);
    let direction = Tensor::<Flex, 3>::ones([1, 1, 4], &Default::default());
    let (value, product) = jvp(|x| twin.log_prob(x), x, direction).unwrap();
    let product: Tensor<Flex, 2> = product;
    assert!(deviation(&values(value), &expected) < 1e-6);
    assert_eq!(values(product), [0.0]);
}

/// Largest difference of two distributions of pairs, `P(a ≤ s, b ≤ t)` over a grid of thresholds: of samples, and of weighted points.
fn distance(samples: &[f64], points: &[(f64, f64, f64)], thresholds: &[f64]) -> f64 {
    let n = samples.len() as f64 / 2.0;
    let mut largest = 0.0f64;
    for s in thresholds {
        for t in thresholds {
            let drawn = samples.chunks(2).filter(|x| x[0] <= *s && x[1] <= *t).count() as f64 / n;
            let expected: f64 = points
                .iter()
                .filter(|(a, b, _)| a <= s && b <= t)
                .map(|(_, _, weight)| weight)
                .sum();
            largest = largest.max((drawn - expected).abs());
        }
    }
    largest
}

/// Over the two pixels of an image, or the two channels of a pixel.
#[test]
fn samples_of_levels_are_distributed_as_the_model_says() {
    for shape in [[1, 1, 2], [2, 1, 1]] {
        let device = Default::default();
        let model = pixel_cnn::<Flex>(shape, 14).map(&mut Scale(2.0));
        Flex::seed(&device, 1);
        let samples = values(model.sample(4000, &device));
        let all: Vec<Vec<usize>> = (0..65536).map(|i| vec![i / 256, i % 256]).collect();
        let log_prob = values(model.log_prob(images(&all)));
        let points: Vec<(f64, f64, f64)> = log_prob
            .iter()
            .zip(&all)
            .map(|(l, levels)| {
                let weight = (l - 2.0 * 256f64.ln()).exp();
                (levels[0] as f64 / 256.0, levels[1] as f64 / 256.0, weight)
            })
            .collect();
        // Between two levels, so that neither samples nor points lie on a threshold.
        let thresholds: Vec<f64> = (0..8).map(|i| (32.0 * i as f64 + 0.99999) / 256.0).collect();
        // A difference of 0.03 is four standard deviations.
        let distance = distance(&samples, &points, &thresholds);
        assert!(distance < 0.03, "{shape:?}: {distance}");
        assert!(samples.iter().all(|x| (0.0..1.0).contains(x)));
    }
}

/// Where the conditionals are all but certain, a network that computed anything else while sampling would be certain of something else.
fn samples_are_likely<B: FlowBackend>() {
    for (shape, kernel) in [([1, 5, 6], 3), ([3, 4, 4], 5)] {
        let device = Default::default();
        let config = PixelCnnConfig {
            shape,
            hidden: 8,
            blocks: 2,
            kernel,
            mixtures: 1,
            ..Default::default()
        };
        let mut model = PixelCnn::<B>::new(&config, 15, &device).unwrap();
        model = model.map(&mut Scale(1.5));
        // One component with the smallest scale at every pixel; the bias' first entries are a logit and the means.
        let bias = model.output.bias.val();
        let small = Tensor::full([shape[0]], -20.0, &device);
        let bias = bias.slice_assign(1 + shape[0]..1 + 2 * shape[0], small);
        model.output.bias = Param::from_tensor(bias);
        B::seed(&device, 2);
        let samples = model.sample(6, &device);
        let conditionals = values(model.log_conditionals(samples.clone()));
        let mean = conditionals.iter().sum::<f64>() / conditionals.len() as f64;
        // The entropy of a logistic of scale e⁻⁷ over levels 1/127.5 apart is at most 0.7 nats; to be off by a level costs 8.6.
        assert!(mean > -0.7, "{shape:?}: {mean}");
        let levels: Vec<f64> = values(samples).iter().map(|x| (x * 256.0).floor()).collect();
        let inner = levels.iter().filter(|l| (1.0..255.0).contains(*l)).count();
        assert!(2 * inner > levels.len(), "most levels are not at an end: {levels:?}");
    }
}

/// Samples of two coordinates are distributed as the density says.
fn samples_of_vectors<B: FlowBackend>() {
    let device = Default::default();
    let model = lstm::<B>([2, 1, 1], 16).map(&mut Scale(2.0));
    B::seed(&device, 3);
    let samples = values(model.sample(4000, &device));
    let side = 240;
    let step = 24.0 / side as f64;
    let at = |i: usize| (i as f64 + 0.5) * step - 12.0;
    let grid: Vec<Vec<f64>> = (0..side * side).map(|i| vec![at(i / side), at(i % side)]).collect();
    let log_prob = values(model.log_prob(batch(&grid)));
    let points: Vec<(f64, f64, f64)> =
        grid.iter().zip(log_prob).map(|(x, l)| (x[0], x[1], l.exp() * step * step)).collect();
    let total: f64 = points.iter().map(|(_, _, weight)| weight).sum();
    assert!((total - 1.0).abs() < 1e-3, "{total}");
    let thresholds: Vec<f64> = (0..9).map(|i| (10 * i + 80) as f64 * step - 12.0).collect();
    let distance = distance(&samples, &points, &thresholds);
    assert!(distance < 0.03, "{distance}");
}

#[test]
fn images_are_sampled_in_the_order_of_the_density() {
    // Equal numbers of everything else: only the order of the coordinates tells the shapes apart.
    let device = Default::default();
    let model = lstm::<Flex>([3, 1, 2], 17).map(&mut Scale(3.0));
    Flex::seed(&device, 4);
    let samples = model.sample(2000, &device);
    let own = values(model.log_prob(samples.clone()).mean())[0];
    let other = samples.reshape([2000, 3, 2]).swap_dims(1, 2).reshape([2000, 6]);
    let swapped = values(model.log_prob(other).mean())[0];
    assert!(own > swapped + 0.1, "{own} {swapped}");
}

/// Steps of Adam on batches that `draw` makes, which takes the step's number.
fn train<M: Learn<Autodiff<Flex>>>(
    mut model: M,
    steps: usize,
    rate: f64,
    mut draw: impl FnMut() -> Tensor<Flex, 2>,
) -> M::InnerModule {
    let mut optimizer = AdamConfig::new().init();
    for step in 0..steps {
        let Learned::Loss(loss) = model.learn(0, Tensor::from_inner(draw())) else {
            panic!("it learns by gradients");
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let rate = rate * (1.0 - step as f64 / steps as f64);
        model = optimizer.step(rate, model, gradients);
    }
    model.valid()
}

#[test]
fn pixel_cnn_learns_the_entropy_of_small_images() {
    // The first pixel is uniform on 128 levels; every other one is what is left of it or above it, and normal noise.
    const SIGMA: f64 = 6.0;
    let of_noise = (SIGMA * (std::f64::consts::TAU * std::f64::consts::E).sqrt()).ln();
    let entropy = 128f64.ln() + 3.0 * of_noise;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut draw = move |n| {
        let mut image = |_| {
            let first = f64::from(rng.random_range(64..192));
            let mut near = |level: f64| {
                let (u, v): (f64, f64) = (rng.random(), rng.random());
                let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                (level + SIGMA * normal).round()
            };
            let (right, below) = (near(first), near(first));
            [first, right, below, near(right)].map(|level| level as usize).to_vec()
        };
        images::<Flex>(&(0..n).map(&mut image).collect::<Vec<_>>())
    };
    let config = PixelCnnConfig {
        shape: [1, 2, 2],
        hidden: 16,
        blocks: 2,
        mixtures: 4,
        ..Default::default()
    };
    let model = PixelCnn::new(&config, 0, &Default::default()).unwrap();
    let model = train(model, 500, 5e-3, || draw(32));
    let log_prob = values(model.log_prob(draw(4096)).mean())[0];
    let cost = 4.0 * 256f64.ln() - log_prob;
    // Without what is beside and above, a pixel costs almost as much as the first: 19.5 nats in all.
    assert!((cost - entropy).abs() < 0.7, "{cost} nats an image, entropy {entropy}");
}

#[test]
fn lstm_learns_a_correlated_gaussian() {
    let (rho, sigma): (f64, f64) = (0.9, 0.5);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut normal = move || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    };
    let mut draw = move |n| -> Vec<Vec<f64>> {
        let pair = |_| {
            let (a, b) = (normal(), normal());
            vec![1.0 + a, sigma * (rho * a + (1.0 - rho * rho).sqrt() * b)]
        };
        (0..n).map(pair).collect()
    };
    let config = LstmMixtureConfig { hidden: 32, mixtures: 3, ..Default::default() };
    let model = LstmMixture::new(&config, 0, &Default::default()).unwrap();
    let model = train(model, 400, 1e-2, || batch(&draw(128)));
    // On the same points as the true density: what chance does to their entropy does not count.
    let points = draw(4096);
    let log_prob = values(model.log_prob(batch(&points)).mean())[0];
    let truth = points.iter().map(|x| {
        let (a, b) = (x[0] - 1.0, x[1] / sigma);
        let square = (a * a - 2.0 * rho * a * b + b * b) / (1.0 - rho * rho);
        -0.5 * square - 0.5 * (1.0 - rho * rho).ln() - sigma.ln() - std::f64::consts::TAU.ln()
    });
    let truth = truth.sum::<f64>() / points.len() as f64;
    assert!((truth - log_prob).abs() < 0.05, "{log_prob}, truth {truth}");
}

#[test]
fn every_key_out_of_range_is_named() {
    let device = Default::default();
    assert_eq!(PixelCnnConfig::default().check(), Ok(()));
    assert_eq!(LstmMixtureConfig::default().check(), Ok(()));
    let wrong = |change: &dyn Fn(&mut PixelCnnConfig)| {
        let mut config = PixelCnnConfig::default();
        change(&mut config);
        PixelCnn::<Flex>::new(&config, 0, &device).unwrap_err().to_string()
    };
    assert_eq!(
        wrong(&|c| c.shape = [1, 0, 4]),
        "shape is [1, 0, 4], but every side must be at least 1"
    );
    assert_eq!(wrong(&|c| c.hidden = 0), "hidden is 0, but it must be at least 1");
    assert_eq!(wrong(&|c| c.blocks = 0), "blocks is 0, but it must be at least 1");
    for kernel in [0, 1, 4] {
        let message = format!("kernel is {kernel}, but it must be odd and at least 3");
        assert_eq!(wrong(&|c| c.kernel = kernel), message);
    }
    assert_eq!(wrong(&|c| c.mixtures = 0), "mixtures is 0, but it must be at least 1");
    for dropout in [-0.1, 1.0, f64::NAN] {
        let message = format!("dropout is {dropout}, but it must be in [0, 1)");
        assert_eq!(wrong(&|c| c.dropout = dropout), message);
    }
    for scale in [-20.5, 0.5, f64::NAN] {
        let message = format!("min_log_scale is {scale}, but it must be from -20 to 0");
        assert_eq!(wrong(&|c| c.min_log_scale = scale), message);
    }
    assert!(wrong(&|c| c.hidden = usize::MAX).contains("parameters, more than 1e9"));

    let wrong = |change: &dyn Fn(&mut LstmMixtureConfig)| {
        let mut config = LstmMixtureConfig::default();
        change(&mut config);
        LstmMixture::<Flex>::new(&config, 0, &device).unwrap_err().to_string()
    };
    assert_eq!(wrong(&|c| c.shape[0] = 0), "shape is [0, 1, 1], but every side must be at least 1");
    assert_eq!(wrong(&|c| c.hidden = 0), "hidden is 0, but it must be at least 1");
    assert_eq!(wrong(&|c| c.layers = 0), "layers is 0, but it must be at least 1");
    assert_eq!(wrong(&|c| c.mixtures = 0), "mixtures is 0, but it must be at least 1");
    for sigma in [0.0, -1.0, 1e7, f64::NAN] {
        let message = format!("min_sigma is {sigma}, but it must be from 1e-6 to 1e6");
        assert_eq!(wrong(&|c| c.min_sigma = sigma), message);
    }
    assert!(wrong(&|c| c.layers = usize::MAX).contains("parameters, more than 1e9"));
}

macro_rules! suite {
    ($($backend:ident: $type:ty, $tolerance:expr),*) => {$(
        mod $backend {
            #[test]
            fn goldens() {
                super::goldens::<$type>($tolerance);
            }

            #[test]
            fn causality() {
                super::causality::<$type>();
            }

            #[test]
            fn conditionals_sum_to_one() {
                super::conditionals_sum_to_one::<$type>();
            }

            #[test]
            fn finite_gradients() {
                super::finite_gradients::<$type>();
            }

            #[test]
            fn samples_are_likely() {
                super::samples_are_likely::<$type>();
            }

            #[test]
            fn samples_of_vectors() {
                super::samples_of_vectors::<$type>();
            }
        }
    )*};
}

suite!(flex: burn::backend::Flex, 2e-5, ndarray: burn::backend::NdArray<f32>, 2e-5);

/// Moves one of the parameters along a direction of its own.
struct Along {
    number: usize,
    seen: usize,
    step: f64,
}

fn direction<B: Backend, const D: usize>(like: &Tensor<B, D>) -> Tensor<B, D> {
    let n = like.shape().num_elements();
    let values: Vec<f64> = (0..n).map(|i| ((7 * i + 3) as f64).sin()).collect();
    Tensor::from_data(TensorData::new(values, like.shape()), &like.device())
}

impl<B: Backend> ModuleMapper<B> for Along {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.seen += 1;
        if self.seen - 1 != self.number {
            return param;
        }
        let step = self.step;
        param.map(|weight| weight.clone() + direction(&weight) * step)
    }
}

/// The derivatives of a loss along the directions of all parameters, from their gradients.
struct Derivatives<'a> {
    gradients: &'a <Autodiff<Flex> as burn::tensor::backend::AutodiffBackend>::Gradients,
    found: Vec<f64>,
}

impl ModuleVisitor<Autodiff<Flex>> for Derivatives<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<Flex>, D>>) {
        let derivative = param.val().grad(self.gradients).map_or(f64::NAN, |gradient| {
            values((gradient.clone() * direction(&gradient)).sum())[0]
        });
        self.found.push(derivative);
    }
}

/// Every parameter's gradient is that of finite differences: none is cut off.
#[test]
fn all_gradients_of_the_pixel_cnn_are_those_of_finite_differences() {
    let config = PixelCnnConfig {
        shape: [1, 4, 4],
        hidden: 4,
        blocks: 1,
        mixtures: 2,
        ..Default::default()
    };
    let model = PixelCnn::<Autodiff<Flex>>::new(&config, 3, &Default::default()).unwrap();
    let levels: Vec<Vec<usize>> =
        (0..6).map(|i| (0..16).map(|j| (37 * i + 11 * j * j) % 200 + 20).collect()).collect();
    let x = images::<Flex>(&levels);
    let loss = -model.log_prob(Tensor::from_inner(x.clone())).sum();
    let gradients = loss.backward();
    let mut derivatives = Derivatives { gradients: &gradients, found: Vec::new() };
    model.visit(&mut derivatives);
    let h = 2e-3;
    let moved = |number: usize, step: f64| {
        let model = model.valid().map(&mut Along { number, seen: 0, step });
        -values(model.log_prob(x.clone()).sum())[0]
    };
    let expected: Vec<f64> = (0..derivatives.found.len())
        .map(|number| (moved(number, h) - moved(number, -h)) / (2.0 * h))
        .collect();
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (number, (got, expected)) in derivatives.found.iter().zip(&expected).enumerate() {
        assert!(
            (got - expected).abs() < 0.05 * expected.abs() + 0.01 * largest,
            "{number}: {got}, not {expected}: {:?}",
            derivatives.found
        );
    }
}
