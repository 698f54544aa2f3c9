//! Ideal models of a manifold: what a generative model that has learned it would decode.

use super::charts::{Charts, Points, latents, points};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Decoders of a density on a blurred manifold, at points of the manifold.
///
/// On each component, `f(u, w) = φ(m + s u) + β N(u) w` with `u, w ~ N(0, I)`: φ the component's chart, m and s the means and
/// deviations of its coordinates, N an orthonormal frame of its normals, β the blur. At `w = 0`, where the points are, the Jacobian
/// is `[Dφ s, β N]` exactly: the component's LID is the number of singular values that are not β.
pub struct Decoders<'a> {
    charts: Box<dyn Charts + 'a>,
    latents: Vec<(usize, Vec<f64>)>,
    /// Mean and deviation of every coordinate, by component.
    moments: Vec<Vec<(f64, f64)>>,
    blur: f64,
    points: Points,
}

/// The decoder at one point, to first order.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Its Jacobian: `D x D`, row-major.
    pub jacobian: Vec<f32>,
    /// The latent `(u, 0)` of the point: D values.
    pub latent: Vec<f32>,
}

impl<'a> Decoders<'a> {
    pub(super) fn new(
        charts: Box<dyn Charts + 'a>,
        dimension: usize,
        n: usize,
        seed: u64,
        blur: f64,
    ) -> Self {
        let components = 0..charts.weights().len();
        let moments = components.map(|component| moments(&*charts, component)).collect();
        let latents = latents(&*charts, n, seed);
        let points = points(&*charts, dimension, &latents);
        Self { charts, latents, moments, blur, points }
    }

    /// The points: the first of a [sample](super::Manifold::sample) of the same seed.
    pub fn points(&self) -> &Points {
        &self.points
    }

    /// Standard deviation of the density along the normals.
    pub fn blur(&self) -> f64 {
        self.blur
    }

    /// The decoder at a point.
    pub fn at(&self, point: usize) -> Decoder {
        let (component, z) = &self.latents[point];
        let (moments, rows) = (&self.moments[*component], self.points.dimension);
        let columns: Vec<Vec<f64>> =
            (0..z.len()).map(|i| self.tangent(*component, z, i, moments[i].1)).collect();
        let tangents = Mat::from_fn(rows, z.len(), |row, column| columns[column][row]);
        // The last columns of Q are orthogonal to all tangents.
        let q = tangents.qr().compute_Q();
        let mut jacobian = Vec::with_capacity(rows * rows);
        for row in 0..rows {
            jacobian.extend(columns.iter().map(|tangent| tangent[row] as f32));
            jacobian.extend((z.len()..rows).map(|column| (self.blur * q[(row, column)]) as f32));
        }
        let standard = z.iter().zip(moments).map(|(z, (mean, s))| ((z - mean) / s) as f32);
        let mut latent: Vec<f32> = standard.collect();
        latent.resize(rows, 0.0);
        Decoder { jacobian, latent }
    }

    /// `s ∂φ/∂z_i`, by central differences: exact to some 1e-10, f32 to 6e-8.
    fn tangent(&self, component: usize, z: &[f64], i: usize, s: f64) -> Vec<f64> {
        const STEP: f64 = 1e-5;
        let at = |step: f64| {
            let mut z = z.to_vec();
            z[i] += step;
            self.charts.point(component, &z)
        };
        let (up, down) = (at(STEP), at(-STEP));
        up.iter().zip(&down).map(|(u, d)| s * (u - d) / (2.0 * STEP)).collect()
    }
}

/// Mean and deviation of every coordinate of a component, from draws of their own.
fn moments(charts: &dyn Charts, component: usize) -> Vec<(f64, f64)> {
    const DRAWS: usize = 1000;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let draws: Vec<Vec<f64>> = (0..DRAWS).map(|_| charts.draw(component, &mut rng)).collect();
    let mean = |of: &dyn Fn(&Vec<f64>) -> f64| draws.iter().map(of).sum::<f64>() / DRAWS as f64;
    (0..draws[0].len())
        .map(|i| {
            let centre = mean(&|z| z[i]);
            (centre, mean(&|z| (z[i] - centre).powi(2)).sqrt())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::manifold::{MANIFOLDS, Manifold};

    #[test]
    fn decoders_are_those_of_the_points() {
        for manifold in MANIFOLDS.iter().filter(|m| m.dimension < 800) {
            let decoders = manifold.decoders(8, 3, 1e-7);
            assert_eq!(decoders.points().values, manifold.sample(8, 3).values);
        }
    }

    #[test]
    fn a_gaussian_has_its_decoder() {
        // x_i = s_i z_i.
        let gaussian = Manifold::by_name("multiscale-gaussian").unwrap();
        let decoders = gaussian.decoders(3, 0, 1e-3);
        for point in 0..3 {
            let decoder = decoders.at(point);
            for i in 0..10 {
                let s = 0.1f64.sqrt().powi(i as i32);
                let x = decoders.points().values[point * 10 + i];
                assert!((f64::from(decoder.latent[i]) - x / s).abs() < 0.2, "moments of draws");
                for j in 0..10 {
                    let expected = if i == j { s } else { 0.0 };
                    let got = f64::from(decoder.jacobian[i * 10 + j]);
                    assert!((got - expected).abs() < 0.1 * s, "moments of draws");
                }
            }
        }
    }
}
