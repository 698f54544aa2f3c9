//! Mixtures of affine subspaces: random variables of few dimensions in random orthonormal frames of many.
//!
//! The standard benchmark of LIDL (Tempczyk et al. 2022, arXiv 2206.14882) and FLIPD (Kamkari et al. 2024, arXiv 2406.03537).

use super::{
    charts::Charts,
    draw::{Law, frame},
};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// One component of a mixture.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Component {
    /// Its intrinsic dimension.
    pub dimension: usize,
    /// The law of its latent coordinates.
    pub law: Law,
    /// Its weight.
    pub weight: f64,
}

/// `x = F z + c`: z of the component's law, F orthonormal (D x d), the centres c on the corners of a regular simplex.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Affine {
    /// Dimension D of the ambient space.
    pub dimension: usize,
    /// The components, of at most D dimensions each, at most D of them.
    pub components: &'static [Component],
    /// Distance between any two centres. (10 in the literature: in hundreds of dimensions less than the components' own
    /// radii, so that a point's nearest neighbours can lie on another component.)
    pub distance: f64,
    /// Seed of the geometry.
    pub geometry: u64,
}

impl Affine {
    /// With centres 10 apart.
    pub(super) const fn new(dimension: usize, components: &'static [Component]) -> Self {
        Self { dimension, components, distance: 10.0, geometry: 0 }
    }

    pub(super) fn charts(&self) -> AffineCharts<'_> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.geometry);
        let frames = self.components.iter();
        let frames = frames.map(|c| frame(self.dimension, c.dimension, &mut rng)).collect();
        AffineCharts { mixture: self, frames }
    }

    pub(super) fn weights(&self) -> Vec<f64> {
        self.components.iter().map(|c| c.weight).collect()
    }

    pub(super) fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let Component { dimension, law, .. } = self.components[component];
        (0..dimension).map(|_| law.draw(rng)).collect()
    }

    /// `F y + c` with a component's centre c.
    pub(super) fn place(&self, component: usize, frame: &Mat<f64>, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.dimension];
        x[component] = self.distance / std::f64::consts::SQRT_2;
        for (j, y) in y.iter().enumerate() {
            for (x, f) in x.iter_mut().zip(frame.col_as_slice(j)) {
                *x += y * f;
            }
        }
        x
    }
}

/// A component of weight 1.
pub(super) const fn component(dimension: usize, law: Law) -> Component {
    Component { dimension, law, weight: 1.0 }
}

pub(super) struct AffineCharts<'a> {
    mixture: &'a Affine,
    pub(super) frames: Vec<Mat<f64>>,
}

impl Charts for AffineCharts<'_> {
    fn weights(&self) -> Vec<f64> {
        self.mixture.weights()
    }

    fn draw(&self, component: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        self.mixture.draw(component, rng)
    }

    fn point(&self, component: usize, z: &[f64]) -> Vec<f64> {
        self.mixture.place(component, &self.frames[component], z)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::manifold::charts::sample;

    /// Of an odd dimension.
    pub(in crate::manifold) const PLANES: Affine =
        Affine::new(7, &[component(2, Law::Uniform), component(4, Law::Laplace)]);

    /// Coordinates of a point in a frame, from the component's centre.
    pub(in crate::manifold) fn coordinates(
        mixture: &Affine,
        component: usize,
        frame: &Mat<f64>,
        x: &[f64],
    ) -> Vec<f64> {
        let centre = mixture.place(component, frame, &[]);
        let from_centre = x.iter().zip(centre).map(|(x, c)| x - c).collect::<Vec<_>>();
        (0..frame.ncols())
            .map(|j| frame.col_as_slice(j).iter().zip(&from_centre).map(|(f, x)| f * x).sum())
            .collect()
    }

    #[test]
    fn points_lie_in_their_component_s_frame() {
        let charts = PLANES.charts();
        let points = sample(&charts, 7, 50, 3);
        for (x, &component) in points.values.chunks(7).zip(&points.component) {
            let frame = &charts.frames[component];
            let z = coordinates(&PLANES, component, frame, x);
            let back = PLANES.place(component, frame, &z);
            assert!(x.iter().zip(back).all(|(x, b)| (x - b).abs() < 1e-12));
        }
    }
}
