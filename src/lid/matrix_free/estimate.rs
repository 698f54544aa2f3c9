//! The estimate: which products are made, and when there are enough.

use super::{
    Krylov, Space,
    krylov::{Builder, Form, LATENT, TRACE, parts, variance},
    space::Rule,
};
use crate::jacobian::{Differential, JacobianError, Memory};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Spectral LID by stochastic Lanczos quadrature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct MatrixFree {
    /// Random probes of the trace in one Krylov space, at least 2: fewer have no standard error.
    pub probes: usize,
    /// Error of the quadrature, and standard error of the trace, that are asked for, in dimensions.
    pub tolerance: f64,
    /// Most steps of one Krylov space.
    pub max_steps: usize,
    /// Most probes in all.
    pub max_probes: usize,
    /// Most images whose products are computed together; fewer where the memory allows fewer.
    pub batch: usize,
}

impl Default for MatrixFree {
    fn default() -> Self {
        Self { probes: 2, tolerance: 7.0, max_steps: 40, max_probes: 64, batch: 64 }
    }
}

/// Where the LID is to be within the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum StopAt {
    /// At a scale r.
    Scale(f64),
    /// At the scale where an image's own LID is this.
    Dimension(f64),
    /// Nowhere in particular: all steps are taken.
    Everywhere,
}

/// Steps before a rule of stopping is asked: the first spaces see hardly more than the largest eigenvalues.
const FIRST: usize = 4;

/// One image while its space grows.
struct Growing {
    space: Space,
    builder: Builder,
    /// The rules after the last steps, the latest last.
    rules: Vec<Quadrature>,
    /// NaN or infinite entries of a product; the image is given up then.
    broken: usize,
    done: bool,
    converged: bool,
}

/// The rules of one space after one step.
pub(super) struct Quadrature {
    /// Gauss's.
    pub gauss: Rule,
    /// Gauss-Radau's.
    pub radau: Rule,
}

impl MatrixFree {
    /// Points whose spaces grow together within a memory, where one is linearised in `linearised` bytes and a direction takes
    /// `direction` bytes to pass.
    ///
    /// # Errors
    /// Not even one.
    pub fn points(
        &self,
        memory: Memory,
        dimension: usize,
        linearised: usize,
        direction: usize,
    ) -> Result<usize, JacobianError> {
        let width = 1 + self.probes;
        // The basis and its products, in f64.
        let space = 2 * 8 * self.max_steps * width * dimension;
        // The points that are left are selected out of all.
        memory.points(2 * linearised + width * direction + space, self.batch)
    }

    /// The Krylov spaces of every point of `at`, or why a point has none: the entries of its products that are not finite.
    ///
    /// # Shapes
    /// - z: `[points, D]`, the latents at which `at` was linearised
    ///
    /// # Errors
    /// Those of the products, other than values that are not finite.
    pub fn prepare<B: Backend>(
        &self,
        at: &impl Differential<B>,
        z: Tensor<B, 2>,
        stop: StopAt,
        seed: u64,
    ) -> Result<Vec<Result<Krylov, JacobianError>>, JacobianError> {
        let dimension = at.dimension();
        let device = z.device();
        let y = rows(at.jvp(z)?, dimension);
        let mut images: Vec<Growing> = y.iter().map(|y| Growing::new(y, dimension)).collect();
        // Rounds of probes, until the standard error is small enough everywhere; y has its space in the first.
        let mut made = 0;
        while made < self.max_probes.max(1) {
            let count = self.probes.min(self.max_probes - made).max(1);
            let probes: Vec<Vec<f64>> =
                (made..made + count).map(|i| signs(seed, i as u64, dimension)).collect();
            let y = (made == 0).then_some(&y);
            let wanting: Vec<usize> = (0..images.len())
                .filter(|&i| images[i].wants_probes(self.tolerance, stop, made == 0))
                .collect();
            if wanting.is_empty() {
                break;
            }
            for &i in &wanting {
                let starts: Vec<_> =
                    y.map(|y| y[i].clone()).into_iter().chain(probes.clone()).collect();
                images[i].begin(&starts);
            }
            self.run((at, &device), &mut images, &wanting, count, stop)?;
            for &i in &wanting {
                images[i].keep(&probes);
            }
            made += count;
        }
        Ok(images
            .into_iter()
            .map(|image| match image.broken {
                0 => {
                    let small = image.standard_error(stop) <= self.tolerance;
                    Ok(image.builder.finish(image.converged && small))
                }
                count => Err(JacobianError::NotFinite { count, dimension }),
            })
            .collect())
    }

    /// Make products for the images at `index` until each is done, or for the most steps.
    fn run<B: Backend, D: Differential<B>>(
        &self,
        (at, device): (&D, &B::Device),
        images: &mut [Growing],
        index: &[usize],
        probes: usize,
        stop: StopAt,
    ) -> Result<(), JacobianError> {
        let dimension = at.dimension();
        let mut active: Vec<usize> = index.to_vec();
        let mut selected: Option<(Vec<usize>, D)> = None;
        for steps in 1..=self.max_steps {
            active.retain(|&i| !images[i].done);
            if active.is_empty() {
                return Ok(());
            }
            // The derivative at the images that are left, made anew when an eighth of them has gone.
            let len = selected.as_ref().map_or(at.points(), |(index, _)| index.len());
            if active.len() * 8 <= len * 7 {
                selected = Some((active.clone(), at.select(&active)));
            }
            let all: Vec<usize> = (0..at.points()).collect();
            let (rows_of, derivative) =
                selected.as_ref().map_or((&all, at), |(index, selected)| (index, selected));
            let directions = gather(images, rows_of, dimension);
            let directions = Tensor::from_data(directions, device);
            let products = rows(derivative.jvp(derivative.vjp(directions)?)?, dimension);
            let row: Vec<Option<usize>> = (0..images.len())
                .map(|i| rows_of.iter().position(|r| *r == i).filter(|_| active.contains(&i)))
                .collect();
            images.par_iter_mut().zip(row).for_each(|(image, row)| {
                let Some(row) = row else { return };
                let count = image.space.block().len();
                let own: Vec<Vec<f64>> =
                    (0..count).map(|k| products[k * rows_of.len() + row].clone()).collect();
                image.broken = own.iter().map(|p| not_finite(p)).sum();
                image.done = image.broken > 0;
                if !image.done {
                    image.builder.add_products(count);
                    image.step(own);
                    if steps >= FIRST {
                        image.ask(self.tolerance, probes, stop);
                    }
                }
            });
        }
        for &i in index {
            images[i].converged &= images[i].done || stop == StopAt::Everywhere;
        }
        Ok(())
    }
}

impl Growing {
    fn new(y: &[f64], dimension: usize) -> Self {
        let broken = not_finite(y);
        Self {
            space: Space::new(&[]),
            builder: Builder::new(dimension),
            rules: Vec::new(),
            broken,
            done: broken > 0,
            converged: true,
        }
    }

    /// Whether another round of probes is to be made.
    fn wants_probes(&self, tolerance: f64, stop: StopAt, first: bool) -> bool {
        self.broken == 0 && (first || self.standard_error(stop) > tolerance)
    }

    /// Standard error where the LID is asked for; none is asked for everywhere.
    fn standard_error(&self, stop: StopAt) -> f64 {
        let krylov = self.builder.so_far();
        self.scale(stop).map_or(0.0, |r| krylov.read(r).standard_error)
    }

    /// The scale at which the LID so far is asked for.
    fn scale(&self, stop: StopAt) -> Option<f64> {
        let krylov = self.builder.so_far();
        match stop {
            StopAt::Scale(r) => Some(r),
            StopAt::Dimension(d) => Some(scale_of(|r| krylov.read(r).lid, d)),
            StopAt::Everywhere => None,
        }
    }

    fn begin(&mut self, starts: &[Vec<f64>]) {
        self.space = Space::new(starts);
        self.rules.clear();
        self.done = false;
    }

    fn step(&mut self, products: Vec<Vec<f64>>) {
        self.space.extend(products);
        if let Some(rule) = Quadrature::new(&self.space) {
            if self.rules.len() == 2 {
                self.rules.remove(0);
            }
            self.rules.push(rule);
        }
        // A closed space is exact.
        self.done = self.space.block().is_empty();
    }

    /// Whether the brackets are narrow enough.
    fn ask(&mut self, tolerance: f64, probes: usize, stop: StopAt) {
        let [before, now] = self.rules.as_slice() else { return };
        if self.done {
            return;
        }
        // In later rounds y has its form already.
        let with_latent = now.gauss.components.len() > probes;
        let forms = |r: f64| {
            let latent = match with_latent {
                true => now.latent(before, r),
                false => self.builder.so_far().latent(r),
            };
            (now.trace(before, r, probes), latent)
        };
        let r = match stop {
            StopAt::Scale(r) => r,
            StopAt::Dimension(d) => {
                let lid = |r: f64| {
                    let (trace, latent) = forms(r);
                    trace.value + latent.value
                };
                scale_of(lid, d)
            }
            StopAt::Everywhere => return,
        };
        let (trace, latent) = forms(r);
        let waiting = if with_latent { latent.error } else { 0.0 };
        self.done = trace.error.max(waiting) <= tolerance;
    }

    /// Keep the last rules, and the errors of the probes.
    fn keep(&mut self, probes: &[Vec<f64>]) {
        let rules = match self.rules.as_slice() {
            [before, now] => [now, before],
            // Closed after a single step.
            [now] => [now, now],
            // No eigenvalues, or broken.
            _ => {
                self.converged = false;
                return;
            }
        };
        self.builder.add_trace(&self.space, probes, rules);
        if rules[0].gauss.components.len() > probes.len() {
            self.builder.add_latent(rules);
        }
    }
}

impl Quadrature {
    fn new(space: &Space) -> Option<Self> {
        let gauss = space.gauss()?;
        let radau = space.radau(&gauss)?;
        Some(Self { gauss, radau })
    }

    fn sees(&self, r: f64) -> bool {
        self.gauss.nodes.iter().any(|node| *node < variance(r))
    }

    /// The trace at scale r, from the probes, which are the last starts; `before`: the rules a step earlier.
    fn trace(&self, before: &Self, r: f64, probes: usize) -> Form {
        let (_, f) = parts(variance(r));
        let first = self.gauss.components.len() - probes;
        let mean = |rule: &Rule| {
            (0..probes).map(|i| rule.form(first + i, &f)).sum::<f64>() / probes as f64
        };
        let bounds = |rules: &Self| [mean(&rules.gauss), mean(&rules.radau)];
        TRACE.within(bounds(self), bounds(before), self.sees(r))
    }

    /// The form of y, the first start, at scale r.
    fn latent(&self, before: &Self, r: f64) -> Form {
        let (f, _) = parts(variance(r));
        let bounds = |rules: &Self| [rules.gauss.form(0, &f), rules.radau.form(0, &f)];
        LATENT.within(bounds(self), bounds(before), self.sees(r))
    }
}

/// The scale at which a LID that falls with r is `dimension`, by bisection.
fn scale_of(lid: impl Fn(f64) -> f64, dimension: f64) -> f64 {
    let (mut low, mut high) = (-20.0, 20.0);
    while high - low > 1e-3 {
        let middle = (low + high) / 2.0;
        if lid(middle) > dimension { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Random signs: probe `probe` of `seed`.
pub(crate) fn signs(seed: u64, probe: u64, dimension: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(probe);
    (0..dimension).map(|_| if rng.next_u32() >> 31 == 0 { 1.0 } else { -1.0 }).collect()
}

/// The next vectors of the images at `index`, vector k of the i-th of them at row `k · index.len() + i`; zero where an image has
/// fewer, or is done.
fn gather(images: &[Growing], index: &[usize], dimension: usize) -> TensorData {
    let wanted = |i: &usize| if images[*i].done { &[] } else { images[*i].space.block() };
    let width = index.iter().map(|i| wanted(i).len()).max().unwrap_or(0);
    let mut values = vec![0.0f32; width * index.len() * dimension];
    for (at, i) in index.iter().enumerate() {
        for (k, vector) in wanted(i).iter().enumerate() {
            let row = &mut values[(k * index.len() + at) * dimension..][..dimension];
            row.iter_mut().zip(vector).for_each(|(out, v)| *out = *v as f32);
        }
    }
    TensorData::new(values, [width * index.len(), dimension])
}

/// Rows of a tensor, in f64.
fn rows<B: Backend>(tensor: Tensor<B, 2>, dimension: usize) -> Vec<Vec<f64>> {
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    values.chunks(dimension).map(<[f64]>::to_vec).collect()
}

fn not_finite(values: &[f64]) -> usize {
    values.iter().filter(|v| !v.is_finite()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jacobian::Matrices,
        lid::{LidEstimator, Spectral, Spectrum},
    };
    use burn::backend::Flex;

    const D: usize = 48;

    /// Jacobians, one a point; entry `[i][j]` of the k-th falls with j and with |i - j|, as a decoder's does.
    fn jacobians(points: usize) -> Vec<Vec<f32>> {
        let entry = |k: usize, i: usize, j: usize| {
            let wave = ((k + 2) * (i + 1) * (j + 3)) as f32;
            let near = 0.5f32.powi(i.abs_diff(j) as i32);
            (wave.sin() + if i == j { 2.0 } else { 0.0 }) * near * 0.8f32.powi((j / 2) as i32)
        };
        let matrix = |k| (0..D * D).map(|at| entry(k, at / D, at % D)).collect();
        (0..points).map(matrix).collect()
    }

    fn spectrum(point: usize) -> Spectrum {
        Spectrum::new(&jacobians(point + 1)[point], &latent(point)).unwrap()
    }

    fn latent(point: usize) -> Vec<f32> {
        (0..D).map(|i| ((point + 1) as f32 * (i as f32 + 0.5)).cos() * 1.4).collect()
    }

    fn prepare(
        settings: &MatrixFree,
        jacobians: &[Vec<f32>],
        stop: StopAt,
    ) -> Vec<Result<Krylov, JacobianError>> {
        let (points, device) = (jacobians.len(), Default::default());
        let entries = TensorData::new(jacobians.concat(), [points, D, D]);
        let matrices = Matrices::<Flex>::new(Tensor::from_data(entries, &device));
        let z: Vec<f32> = (0..points).flat_map(latent).collect();
        let z = Tensor::from_data(TensorData::new(z, [points, D]), &device);
        settings.prepare(&matrices, z, stop, 1).unwrap()
    }

    #[test]
    fn agrees_with_the_spectrum_within_its_standard_error() {
        let matrices = jacobians(5);
        let all = MatrixFree { max_probes: 8, probes: 8, ..Default::default() };
        for (i, krylov) in prepare(&all, &matrices, StopAt::Everywhere).into_iter().enumerate() {
            let krylov = krylov.unwrap();
            for r in [-3.0, -1.5, 0.0, 1.0] {
                let exact = Spectral.lid(&spectrum(i), r);
                let reading = krylov.read(r);
                let error = (reading.lid - exact).abs();
                assert!(error < 4.0 * reading.standard_error + 0.01, "{i} at {r}: {error}");
                assert!(reading.standard_error < 3.0 && reading.high - reading.low < 0.01);
            }
            // Every scale resolves to nothing or to everything at the ends.
            assert!(krylov.read(15.0).lid.abs() < 1e-3);
            assert!((krylov.read(-30.0).lid - D as f64).abs() < 0.1);
        }
    }

    #[test]
    fn the_tolerance_is_kept_and_tighter_costs_more() {
        let matrices = jacobians(6);
        let mut products = 0;
        for tolerance in [4.0, 0.6, 0.3] {
            let settings = MatrixFree { tolerance, max_probes: 512, ..Default::default() };
            let mut squares = 0.0;
            let mut now = 0;
            for (i, k) in prepare(&settings, &matrices, StopAt::Scale(-1.5)).into_iter().enumerate()
            {
                let krylov = k.unwrap();
                assert!(krylov.converged && krylov.read(-1.5).standard_error <= tolerance);
                let exact = Spectral.lid(&spectrum(i), -1.5);
                squares += (krylov.read(-1.5).lid - exact).powi(2) / 6.0;
                now += krylov.products;
            }
            // The quadrature and the probes each contribute up to the tolerance.
            assert!(squares.sqrt() < 2.0 * tolerance, "{} at {tolerance}", squares.sqrt());
            assert!(now > products);
            products = now;
        }
    }

    #[test]
    fn an_image_is_estimated_alike_in_every_company() {
        let matrices = jacobians(4);
        let settings = MatrixFree::default();
        let together = prepare(&settings, &matrices, StopAt::Dimension(20.0));
        for (i, krylov) in together.iter().enumerate() {
            let device = Default::default();
            let lone = TensorData::new(matrices[i].clone(), [1, D, D]);
            let lone = Matrices::<Flex>::new(Tensor::from_data(lone, &device));
            let z = Tensor::from_data(TensorData::new(latent(i), [1, D]), &device);
            let lone = settings.prepare(&lone, z, StopAt::Dimension(20.0), 1).unwrap().remove(0);
            let [a, b] = [krylov, &lone].map(|k| k.as_ref().unwrap().read(-1.0).lid);
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
    }

    #[test]
    fn a_broken_image_is_counted_and_leaves_the_others_alone() {
        let mut matrices = jacobians(3);
        let whole = prepare(&MatrixFree::default(), &matrices, StopAt::Scale(-1.0));
        matrices[1][5] = f32::NAN;
        let broken = prepare(&MatrixFree::default(), &matrices, StopAt::Scale(-1.0));
        let Err(JacobianError::NotFinite { count, dimension: D }) = broken[1] else {
            panic!("{:?}", broken[1]);
        };
        assert!(count > 0);
        for i in [0, 2] {
            let [a, b] = [&whole, &broken].map(|k| k[i].as_ref().unwrap().read(-1.0).lid);
            assert!((a - b).abs() < 1e-4);
        }
    }

    #[test]
    fn too_few_steps_are_owned_up_to() {
        let settings = MatrixFree { max_steps: 2, tolerance: 0.1, ..Default::default() };
        for krylov in prepare(&settings, &jacobians(2), StopAt::Scale(-3.0)) {
            assert!(!krylov.unwrap().converged);
        }
        let probes = MatrixFree { max_probes: 2, tolerance: 0.01, ..Default::default() };
        for krylov in prepare(&probes, &jacobians(2), StopAt::Scale(-1.0)) {
            assert!(!krylov.unwrap().converged, "the standard error stays above the tolerance");
        }
    }
}
