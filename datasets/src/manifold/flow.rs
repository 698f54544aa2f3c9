//! Affine mixtures warped by a fixed random normalizing flow.
//!
//! The hardest family of FLIPD's benchmark (Kamkari et al. 2024, arXiv 2406.03537), there by spline flows, here by affine
//! coupling layers (Dinh, Sohl-Dickstein & Bengio 2017, arXiv 1605.08803): a diffeomorphism of the ambient space changes no
//! intrinsic dimension.

use super::{
    affine::{Affine, AffineCharts},
    charts::Charts,
    draw::normal,
};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Every layer keeps one half a of the coordinates, in turn the first and the second, and sends the other to
/// `b exp(s(a)) + t(a)`, with `s, t = strength tanh(W a + w)`, W and w random.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FlowWarped {
    /// The mixture to warp.
    pub affine: Affine,
    /// Number of coupling layers.
    pub layers: usize,
    /// Largest log-scale and shift of a layer.
    pub strength: f64,
}

impl FlowWarped {
    pub(super) fn charts(&self) -> FlowCharts<'_> {
        // Another stream than that of the frames.
        let mut rng = ChaCha8Rng::seed_from_u64(self.affine.geometry);
        rng.set_stream(1);
        let n = self.affine.dimension;
        let half = n / 2;
        let layers = (0..self.layers)
            .map(|layer| {
                let kept = if layer % 2 == 0 { half } else { n - half };
                Coupling {
                    first: layer % 2 == 0,
                    scale: Tanh::new(n - kept, kept, &mut rng),
                    shift: Tanh::new(n - kept, kept, &mut rng),
                }
            })
            .collect();
        FlowCharts { affine: self.affine.charts(), strength: self.strength, layers }
    }
}

pub(super) struct FlowCharts<'a> {
    affine: AffineCharts<'a>,
    strength: f64,
    layers: Vec<Coupling>,
}

impl Charts for FlowCharts<'_> {
    fn weights(&self) -> Vec<f64> {
        self.affine.weights()
    }

    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.affine.draw(component, rng)
    }

    fn point(&self, component: usize, z: &[f64]) -> Vec<f64> {
        let mut x = self.affine.point(component, z);
        for layer in &self.layers {
            layer.apply(&mut x, |b, s, t| b * (self.strength * s).exp() + self.strength * t);
        }
        x
    }
}

struct Coupling {
    /// Whether the first half is kept.
    first: bool,
    scale: Tanh,
    shift: Tanh,
}

impl Coupling {
    /// Replace the coordinates that are not kept by `change(coordinate, tanh of scale, tanh of shift)`.
    fn apply(&self, x: &mut [f64], change: impl Fn(f64, f64, f64) -> f64) {
        let (low, high) = x.split_at_mut(x.len() / 2);
        let (kept, changed) = if self.first { (low, high) } else { (high, low) };
        let (scale, shift) = (self.scale.of(kept), self.shift.of(kept));
        for ((b, s), t) in changed.iter_mut().zip(scale).zip(shift) {
            *b = change(*b, s, t);
        }
    }
}

/// `tanh(W a + w)`.
struct Tanh {
    weight: Mat<f64>,
    bias: Vec<f64>,
}

impl Tanh {
    fn new(outputs: usize, inputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let size = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: Mat::from_fn(outputs, inputs, |_, _| size * normal(rng)),
            bias: (0..outputs).map(|_| normal(rng)).collect(),
        }
    }

    fn of(&self, a: &[f64]) -> Vec<f64> {
        let mut sum = self.bias.clone();
        for (j, a) in a.iter().enumerate() {
            for (sum, w) in sum.iter_mut().zip(self.weight.col_as_slice(j)) {
                *sum += a * w;
            }
        }
        sum.into_iter().map(f64::tanh).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::{affine::tests::PLANES, charts::sample};

    #[test]
    fn the_warp_can_be_undone() {
        // Of an odd dimension: the halves differ in size.
        let warped = FlowWarped { affine: PLANES, layers: 4, strength: 0.5 };
        let charts = warped.charts();
        let (flat, points) = (sample(&charts.affine, 7, 40, 2), sample(&charts, 7, 40, 2));
        let mut moved = 0.0f64;
        for (before, after) in flat.values.chunks(7).zip(points.values.chunks(7)) {
            let mut x = after.to_vec();
            for layer in charts.layers.iter().rev() {
                layer.apply(&mut x, |b, s, t| (b - 0.5 * t) / (0.5 * s).exp());
            }
            assert!(x.iter().zip(before).all(|(x, b)| (x - b).abs() < 1e-12));
            let distance: f64 = after.iter().zip(before).map(|(a, b)| (a - b).abs()).sum();
            moved = moved.max(distance);
        }
        assert!(moved > 1.0, "the warp moves points: {moved}");
    }
}
