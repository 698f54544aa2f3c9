//! Mixtures of rippled affine subspaces.
//!
//! In the spirit of FLIPD's squiggly mixtures (Kamkari et al. 2024, arXiv 2406.03537): sines make the affine mixture wavy, with
//! slopes that are bounded whatever the frequency. Here they displace it along its normals, so that the equation is explicit.

use super::{affine::Affine, charts::Charts, draw::frame};
use faer::Mat;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `x = T z + N h(z) + c`: [T N] an orthonormal frame of the ambient space, `h_j(z) = a sin(ω z_(j mod d) + φ_j)`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Squiggly {
    /// The mixture to ripple.
    pub affine: Affine,
    /// Frequency ω of the sines.
    pub frequency: f64,
    /// Largest slope a ω of the sines.
    pub slope: f64,
}

impl Squiggly {
    pub(super) fn charts(&self) -> SquigglyCharts<'_> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.affine.geometry);
        let n = self.affine.dimension;
        let charts = self.affine.components.iter().map(|c| {
            let phases = (c.dimension..n).map(|_| rng.random_range(0.0..std::f64::consts::TAU));
            (phases.collect(), frame(n, n, &mut rng))
        });
        let (phases, frames) = charts.unzip();
        SquigglyCharts { mixture: self, phases, frames }
    }
}

pub(super) struct SquigglyCharts<'a> {
    mixture: &'a Squiggly,
    phases: Vec<Vec<f64>>,
    frames: Vec<Mat<f64>>,
}

impl SquigglyCharts<'_> {
    /// Displacements along the normals: D - d values.
    fn ripples(&self, component: usize, z: &[f64]) -> impl Iterator<Item = f64> {
        let Squiggly { frequency, slope, .. } = *self.mixture;
        let phases = self.phases[component].iter();
        phases
            .zip(z.iter().cycle())
            .map(move |(phase, z)| slope / frequency * (frequency * z + phase).sin())
    }
}

impl Charts for SquigglyCharts<'_> {
    fn weights(&self) -> Vec<f64> {
        self.mixture.affine.weights()
    }

    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.mixture.affine.draw(component, rng)
    }

    fn point(&self, component: usize, z: &[f64]) -> Vec<f64> {
        let y: Vec<f64> = z.iter().copied().chain(self.ripples(component, z)).collect();
        self.mixture.affine.place(component, &self.frames[component], &y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifold::{
        affine::tests::{PLANES, coordinates},
        charts::sample,
    };

    #[test]
    fn normal_coordinates_are_sines_of_tangential_ones() {
        let squiggly = Squiggly { affine: PLANES, frequency: 6.0, slope: 0.5 };
        let charts = squiggly.charts();
        let points = sample(&charts, 7, 60, 1);
        let mut largest = 0.0f64;
        for (x, &component) in points.values.chunks(7).zip(&points.component) {
            let y = coordinates(&PLANES, component, &charts.frames[component], x);
            let (z, normal) = y.split_at(PLANES.components[component].dimension);
            for (i, y) in normal.iter().enumerate() {
                let phase = charts.phases[component][i];
                let h = 0.5 / 6.0 * (6.0 * z[i % z.len()] + phase).sin();
                assert!((y - h).abs() < 1e-12);
                largest = largest.max(y.abs());
            }
        }
        assert!(largest > 0.08, "the sheets are wavy: {largest}");
    }
}
