//! The list of the estimators that need no model.

use super::{ModelFreeError, corrint, ess, lpca, mle, twonn};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model-free estimators by name.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum ModelFree {
    /// Principal components above 5 % of the largest (Fukunaga & Olsen 1971).
    #[default]
    Lpca,
    /// Maximum likelihood of distances to neighbours (Levina & Bickel 2004; MacKay & Ghahramani 2005).
    Mle,
    /// Ratio of the distances to two neighbours (Facco et al. 2017).
    Twonn,
    /// Expected simplex skewness (Johnsson, Soneson & Fontes 2015).
    Ess,
    /// Correlation integral (Grassberger & Procaccia 1983).
    Corrint,
}

impl ModelFree {
    /// All of them.
    pub const ALL: [ModelFree; 5] =
        [ModelFree::Lpca, ModelFree::Mle, ModelFree::Twonn, ModelFree::Ess, ModelFree::Corrint];

    /// Its name, as configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            ModelFree::Lpca => "lpca",
            ModelFree::Mle => "mle",
            ModelFree::Twonn => "twonn",
            ModelFree::Ess => "ess",
            ModelFree::Corrint => "corrint",
        }
    }

    /// The number of neighbours for [`local`](Self::local): the one asked for, or what is usual.
    pub fn k(self, asked: Option<usize>) -> usize {
        asked.unwrap_or(if self == ModelFree::Mle { 20 } else { 100 })
    }

    /// Dimension around every point, from the point and its k nearest neighbours: n values.
    ///
    /// # Shapes
    /// - points: `n x dimension` values, row-major
    ///
    /// # Errors
    /// Those of the estimator: too few points or neighbours, coordinates that are not finite, identical points, points without
    /// an estimate (counted).
    pub fn local(
        self,
        points: &[f64],
        dimension: usize,
        k: usize,
    ) -> Result<Vec<f64>, ModelFreeError> {
        match self {
            ModelFree::Lpca => lpca::local(points, dimension, k, lpca::ALPHA)
                .map(|counts| counts.into_iter().map(|count| count as f64).collect()),
            ModelFree::Mle => mle::local(points, dimension, k),
            ModelFree::Twonn => twonn::local(points, dimension, k),
            ModelFree::Ess => ess::local(points, dimension, k),
            ModelFree::Corrint => corrint::local(points, dimension, k),
        }
    }

    /// Dimension of all points together; `k` matters to `mle` and `ess` only, which average local estimates.
    ///
    /// # Errors
    /// As [`local`](Self::local).
    pub fn global(self, points: &[f64], dimension: usize, k: usize) -> Result<f64, ModelFreeError> {
        match self {
            ModelFree::Lpca => {
                lpca::global(points, dimension, lpca::ALPHA).map(|count| count as f64)
            }
            ModelFree::Mle => mle::global(points, dimension, k),
            ModelFree::Twonn => twonn::global(points, dimension),
            ModelFree::Ess => ess::global(points, dimension, k),
            ModelFree::Corrint => corrint::global(points, dimension),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    /// n points uniform in a cube of `d` dimensions, the other coordinates linear in the first.
    pub(in crate::lid::model_free) fn uniform(
        n: usize,
        d: usize,
        dimension: usize,
        seed: u64,
    ) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n)
            .flat_map(|_| {
                let z: Vec<f64> = (0..d).map(|_| rng.random_range(-1.0..1.0)).collect();
                (0..dimension)
                    .map(|i| if i < d { z[i] } else { 0.5 * z[i % d] - 0.25 * z[(i + 1) % d] })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        dimension: usize,
        k: usize,
        points: Vec<f64>,
        local: BTreeMap<ModelFree, Vec<f64>>,
        global: BTreeMap<ModelFree, f64>,
    }

    #[test]
    fn they_agree_with_scikit_dimension() {
        let text =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/model_free.json"));
        let goldens: Vec<Golden> = serde_json::from_str(text).unwrap();
        assert!(goldens.len() >= 5);
        for estimator in ModelFree::ALL {
            let mut largest = 0.0f64;
            for g in &goldens {
                let local = estimator.local(&g.points, g.dimension, g.k).unwrap();
                let global = estimator.global(&g.points, g.dimension, g.k).unwrap();
                assert_eq!(local.len(), g.local[&estimator].len());
                let expected = g.local[&estimator].iter().chain([&g.global[&estimator]]);
                for (got, expected) in local.iter().chain([&global]).zip(expected) {
                    let deviation = (got / expected - 1.0).abs();
                    let name = estimator.name();
                    assert!(deviation < 1e-10, "{name}, {}: {got}, not {expected}", g.name);
                    largest = largest.max(deviation);
                }
            }
            println!("{}: {largest:.1e}", estimator.name());
        }
    }

    /// n points uniform on the unit sphere of `d` dimensions, in d + 2: constant density without a boundary.
    fn sphere(n: usize, d: usize) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut points = Vec::new();
        while points.len() < n * (d + 2) {
            let mut x: Vec<f64> = (0..d + 1).map(|_| rng.random_range(-1.0..1.0)).collect();
            let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length < 1.0 {
                x.push(0.0);
                points.extend(x.iter().map(|x| x / length));
            }
        }
        points
    }

    #[test]
    fn a_sphere_has_its_dimension() {
        // Local means are biased: that of `mle` by about 1 / (k - 2); `corrint` misses the pairs that leave a neighbourhood.
        for (estimator, k, tolerance) in [
            (ModelFree::Mle, 20, 0.08),
            (ModelFree::Twonn, 60, 0.08),
            (ModelFree::Ess, 40, 0.08),
            (ModelFree::Corrint, 60, 0.3),
        ] {
            for d in [2, 5] {
                let points = sphere(1500, d);
                let global = estimator.global(&points, d + 2, k).unwrap() / d as f64;
                let local = estimator.local(&points, d + 2, k).unwrap();
                let mean = local.iter().sum::<f64>() / (1500 * d) as f64;
                let name = estimator.name();
                assert!((global - 1.0).abs() < 0.08, "{name}, {d}: {global}");
                assert!((mean - 1.0).abs() < tolerance, "{name}, {d}: local {mean}");
            }
        }
    }

    #[test]
    fn a_flat_cube_has_its_principal_components() {
        let points = uniform(500, 3, 9, 1);
        assert_eq!(ModelFree::Lpca.global(&points, 9, 30), Ok(3.0));
        let local = ModelFree::Lpca.local(&points, 9, 30).unwrap();
        assert!(local.iter().filter(|d| **d == 3.0).count() > 490);
    }

    #[test]
    fn unusable_points_are_errors_of_every_estimator() {
        let mut points = uniform(40, 2, 3, 1);
        for estimator in ModelFree::ALL {
            let both = |points: &[f64], k| {
                [
                    estimator.local(points, 3, k).map(|_| ()).unwrap_err(),
                    estimator.global(points, 3, k).map(|_| ()).unwrap_err(),
                ]
            };
            assert_eq!(both(&[0.1; 90], 25), [ModelFreeError::Constant; 2]);
            let shape = || ModelFreeError::Shape { values: 119, dimension: 3 };
            assert_eq!(both(&points[1..], 25), [shape(), shape()]);
            let few = ModelFreeError::TooFew { points: 40, needed: 41 };
            assert_eq!(estimator.local(&points, 3, 40), Err(few));
            let value = std::mem::replace(&mut points[7], f64::NAN);
            assert_eq!(both(&points, 25), [ModelFreeError::NotFinite(1); 2]);
            points[7] = value;
        }
        for (estimator, needed) in [
            (ModelFree::Mle, 2),
            (ModelFree::Twonn, 2),
            (ModelFree::Ess, 3),
            (ModelFree::Corrint, 21),
        ] {
            let few = ModelFreeError::FewNeighbours { k: needed - 1, needed };
            assert_eq!(estimator.local(&points, 3, needed - 1), Err(few));
        }
    }

    /// Points without an estimate.
    fn undefined<T: std::fmt::Debug>(result: Result<T, ModelFreeError>) -> usize {
        match result.unwrap_err() {
            ModelFreeError::Undefined { undefined, .. } => undefined,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_atom_has_dimension_0_and_a_lone_duplicate_no_dimension() {
        let mut points = uniform(60, 2, 3, 1);
        points.extend([100.0; 90]);
        for estimator in ModelFree::ALL {
            let local = estimator.local(&points, 3, 25).unwrap();
            assert!(local[..60].iter().all(|d| *d > 0.0), "{}", estimator.name());
            assert_eq!(local[60..], [0.0; 30], "{}", estimator.name());
        }
        assert_eq!(undefined(ModelFree::Mle.global(&points, 3, 25)), 30);
        assert_eq!(undefined(ModelFree::Twonn.global(&points, 3, 25)), 30);

        points.truncate(180);
        points.copy_within(0..3, 3);
        assert_eq!(undefined(ModelFree::Mle.local(&points, 3, 25)), 2);
        assert_eq!(undefined(ModelFree::Mle.global(&points, 3, 25)), 2);
        assert_eq!(undefined(ModelFree::Twonn.global(&points, 3, 25)), 2);
        assert!(undefined(ModelFree::Twonn.local(&points, 3, 25)) > 2);
        // A duplicate among them does not disturb the others.
        for estimator in [ModelFree::Lpca, ModelFree::Ess, ModelFree::Corrint] {
            assert!(estimator.local(&points, 3, 25).is_ok(), "{}", estimator.name());
        }
    }

    #[test]
    fn equally_far_neighbours_have_no_dimension() {
        // The corners of a regular simplex.
        let n = 30;
        let points: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
        for estimator in [ModelFree::Mle, ModelFree::Twonn, ModelFree::Corrint] {
            assert_eq!(undefined(estimator.local(&points, n, 25)), n, "{}", estimator.name());
            assert_eq!(undefined(estimator.global(&points, n, 25)), n, "{}", estimator.name());
        }
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for estimator in ModelFree::ALL {
            assert_eq!(serde_json::to_value(estimator).unwrap(), estimator.name());
        }
    }
}
