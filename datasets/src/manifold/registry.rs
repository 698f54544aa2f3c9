//! The manifolds known by name.

use super::{
    Affine, Decoders, FlowWarped, KleinBottle, Law, Lollipop, MultiscaleGaussian, Points, Sphere,
    Squiggly, SwissRoll, TorusCircle, VonMises,
    affine::{Component, component},
    charts::{self, Charts},
};
use crate::{DataError, did_you_mean::did_you_mean};

/// A synthetic manifold.
#[derive(Debug)]
#[non_exhaustive]
pub struct Manifold {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from.
    pub citation: &'static str,
    /// Dimension D of the ambient space.
    pub dimension: usize,
    /// Its family, with the parameters it has here.
    pub family: Family,
}

/// The families of manifolds and their parameters.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// Affine subspaces.
    Affine(Affine),
    /// Rippled affine subspaces.
    Squiggly(Squiggly),
    /// Affine subspaces warped by a flow.
    FlowWarped(FlowWarped),
    /// Disc, segment and dot.
    Lollipop(Lollipop),
    /// Torus and circle.
    TorusCircle(TorusCircle),
    /// Swiss roll.
    SwissRoll(SwissRoll),
    /// Spheres.
    Sphere(Sphere),
    /// The Klein bottle.
    KleinBottle(KleinBottle),
    /// Circles of uneven density.
    VonMises(VonMises),
    /// Gaussian of falling variances.
    MultiscaleGaussian(MultiscaleGaussian),
}

impl Family {
    fn charts(&self) -> Box<dyn Charts + '_> {
        match self {
            Family::Affine(family) => Box::new(family.charts()),
            Family::Squiggly(family) => Box::new(family.charts()),
            Family::FlowWarped(family) => Box::new(family.charts()),
            Family::Lollipop(family) => Box::new(*family),
            Family::TorusCircle(family) => Box::new(*family),
            Family::SwissRoll(family) => Box::new(*family),
            Family::Sphere(family) => Box::new(*family),
            Family::KleinBottle(family) => Box::new(*family),
            Family::VonMises(family) => Box::new(*family),
            Family::MultiscaleGaussian(family) => Box::new(*family),
        }
    }
}

const fn mixture(dimensions: [usize; 3]) -> [Component; 3] {
    [
        component(dimensions[0], Law::Uniform),
        component(dimensions[1], Law::Normal),
        component(dimensions[2], Law::Laplace),
    ]
}

const AFFINE_10: Affine = Affine::new(10, &const { mixture([2, 5, 8]) });
const AFFINE_100: Affine = Affine::new(100, &const { mixture([10, 30, 90]) });
const AFFINE_800: Affine = Affine::new(800, &const { mixture([200, 400, 600]) });

const LIDL: &str = "Tempczyk et al. 2022, arXiv 2206.14882; Kamkari et al. 2024, arXiv 2406.03537";
const FLIPD: &str = "Kamkari et al. 2024, arXiv 2406.03537";

const fn affine(name: &'static str, affine: Affine) -> Manifold {
    let family = Family::Affine(affine);
    Manifold { name, citation: LIDL, dimension: affine.dimension, family }
}

const fn squiggly(name: &'static str, affine: Affine) -> Manifold {
    let family = Family::Squiggly(Squiggly { affine, frequency: 10.0, slope: 0.5 });
    Manifold { name, citation: FLIPD, dimension: affine.dimension, family }
}

const fn flow(name: &'static str, affine: Affine) -> Manifold {
    let family = Family::FlowWarped(FlowWarped { affine, layers: 4, strength: 0.5 });
    Manifold { name, citation: FLIPD, dimension: affine.dimension, family }
}

const fn sphere(name: &'static str, dimension: usize) -> Manifold {
    let family = Family::Sphere(Sphere { dimension });
    let citation = "Muller 1959, doi:10.1145/377939.377946";
    Manifold { name, citation, dimension: dimension + 1, family }
}

const fn von_mises(name: &'static str, circles: usize) -> Manifold {
    let family = Family::VonMises(VonMises { circles, concentration: 2.0 });
    Manifold { name, citation: FLIPD, dimension: 2 * circles, family }
}

/// All manifolds known by name.
pub const MANIFOLDS: &[Manifold] = &[
    affine("affine-10", AFFINE_10),
    affine("affine-100", AFFINE_100),
    affine("affine-800", AFFINE_800),
    squiggly("squiggly-10", AFFINE_10),
    squiggly("squiggly-100", AFFINE_100),
    squiggly("squiggly-800", AFFINE_800),
    flow("flow-10", AFFINE_10),
    flow("flow-100", AFFINE_100),
    flow("flow-800", AFFINE_800),
    Manifold {
        name: "lollipop",
        citation: LIDL,
        dimension: 2,
        family: Family::Lollipop(Lollipop {
            centre: 3.0,
            radius: 1.0,
            end: 1.5,
            weights: [4.0, 2.0, 1.0],
        }),
    },
    Manifold {
        name: "torus-circle",
        citation: FLIPD,
        dimension: 3,
        family: Family::TorusCircle(TorusCircle { major: 1.0, minor: 0.5, weights: [1.0, 1.0] }),
    },
    Manifold {
        name: "swiss-roll",
        citation: "Tenenbaum, de Silva & Langford 2000, doi:10.1126/science.290.5500.2319",
        dimension: 3,
        family: Family::SwissRoll(SwissRoll { height: 21.0 }),
    },
    sphere("sphere-2", 2),
    sphere("sphere-10", 10),
    Manifold {
        name: "klein-bottle",
        citation: "do Carmo 1976, Differential Geometry of Curves and Surfaces",
        dimension: 4,
        family: Family::KleinBottle(KleinBottle { major: 1.0, minor: 0.5 }),
    },
    von_mises("von-mises-circle", 1),
    von_mises("von-mises-torus", 2),
    Manifold {
        name: "multiscale-gaussian",
        citation: FLIPD,
        dimension: 10,
        family: Family::MultiscaleGaussian(MultiscaleGaussian { dimension: 10, ratio: 0.1 }),
    },
];

impl Manifold {
    /// The manifold of a name.
    ///
    /// # Errors
    /// There is none, with the most similar name.
    pub fn by_name(name: &str) -> Result<&'static Self, DataError> {
        MANIFOLDS.iter().find(|m| m.name == name).ok_or_else(|| {
            let names: Vec<&str> = MANIFOLDS.iter().map(|m| m.name).collect();
            DataError::Manifold {
                name: name.to_owned(),
                guess: did_you_mean(name, &names),
                known: names.join(", "),
            }
        })
    }

    /// `n` independent points; the same seed gives the same points, another one others of the same manifold.
    ///
    /// # Performance
    /// The geometry is made anew: at D = 800 some seconds on 2 cores, at D = 100 milliseconds. Points in parallel.
    pub fn sample(&self, n: usize, seed: u64) -> Points {
        charts::sample(&*self.family.charts(), self.dimension, n, seed)
    }

    /// Decoders of an ideal model of the manifold, blurred by `N(0, blur²)` along its normals, at the first `n` points of
    /// [`sample`](Self::sample): for estimators that read a model.
    pub fn decoders(&self, n: usize, seed: u64, blur: f64) -> Decoders<'_> {
        Decoders::new(self.family.charts(), self.dimension, n, seed, blur)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_tangent_space_has_the_stated_dimension_everywhere() {
        for manifold in MANIFOLDS {
            let charts = manifold.family.charts();
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let points = if manifold.dimension > 100 { 1 } else { 5 };
            for component in 0..charts.weights().len() {
                for _ in 0..points {
                    let z = charts.draw(component, &mut rng);
                    let h = 1e-5;
                    let columns: Vec<Vec<f64>> = (0..z.len())
                        .map(|i| {
                            let at = |h: f64| {
                                let mut z = z.clone();
                                z[i] += h;
                                charts.point(component, &z)
                            };
                            let (up, down) = (at(h), at(-h));
                            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect()
                        })
                        .collect();
                    let rank = if z.is_empty() {
                        0
                    } else {
                        let tangents = Mat::from_fn(manifold.dimension, z.len(), |row, column| {
                            columns[column][row]
                        });
                        let values = tangents.singular_values().unwrap();
                        // Rounding of the differences is 1e-10; the smallest deviation of the Gaussian 3e-5.
                        values.iter().filter(|v| **v > 1e-6 * values[0]).count()
                    };
                    assert_eq!(rank, z.len(), "{}, component {component}", manifold.name);
                }
            }
        }
    }

    #[test]
    fn samples_have_the_stated_shape_lid_and_proportions() {
        for manifold in MANIFOLDS.iter().filter(|m| m.dimension < 800) {
            let n = 3000;
            let points = manifold.sample(n, 7);
            assert_eq!(points.dimension, manifold.dimension);
            assert_eq!(points.values.len(), n * manifold.dimension);
            assert!(points.values.iter().all(|v| v.is_finite()));
            let charts = manifold.family.charts();
            let weights = charts.weights();
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            for (component, weight) in weights.iter().enumerate() {
                let lid = charts.draw(component, &mut rng).len() as f64;
                let own = (0..n).filter(|&i| points.component[i] == component);
                let own: Vec<f64> = own.map(|i| points.lid[i]).collect();
                assert!(own.iter().all(|l| *l == lid), "{}", manifold.name);
                let share = weight / weights.iter().sum::<f64>();
                let found = own.len() as f64 / n as f64;
                // Four standard deviations.
                assert!((found - share).abs() <= 4.0 * (share * (1.0 - share) / n as f64).sqrt());
            }
        }
    }

    #[test]
    fn seeds_decide_the_points_but_not_the_manifold() {
        for manifold in MANIFOLDS.iter().filter(|m| m.dimension < 800) {
            let points = manifold.sample(20, 1);
            assert_eq!(points, manifold.sample(20, 1), "{}", manifold.name);
            assert_ne!(points.values, manifold.sample(20, 2).values, "{}", manifold.name);
            // A longer sample begins with a shorter one.
            let longer = manifold.sample(30, 1);
            assert_eq!(points.values, longer.values[..points.values.len()]);
        }
    }

    #[test]
    fn names_are_unique_and_mistakes_explained() {
        for (i, manifold) in MANIFOLDS.iter().enumerate() {
            assert!(MANIFOLDS[..i].iter().all(|other| other.name != manifold.name));
            assert_eq!(Manifold::by_name(manifold.name).unwrap().name, manifold.name);
        }
        let message = Manifold::by_name("swis-roll").unwrap_err().to_string();
        assert!(message.contains("did you mean `swiss-roll`?"), "{message}");
        assert!(message.contains("lollipop, torus-circle"), "{message}");
    }
}
