//! Samples as points of a Euclidean space.

use super::{EvalError, GENERATED, REAL};
use crate::data::{Images, Kind};

/// Points, f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    values: Vec<f64>,
    dimension: usize,
}

impl Points {
    /// # Shapes
    /// - values: `[n, dimension]`, row-major
    ///
    /// # Panics
    /// On values that do not make whole points.
    pub fn new(values: Vec<f64>, dimension: usize) -> Self {
        assert!(dimension > 0 && values.len().is_multiple_of(dimension), "values of whole points");
        Self { values, dimension }
    }

    /// Samples by their own values: grey levels scaled to [-1, 1], or the numbers of vectors.
    ///
    /// # Errors
    /// Samples on disk that cannot be read back.
    pub fn of_values(images: &Images) -> Result<Self, EvalError> {
        let values = images.numbers();
        let mut values = values.map_err(|problem| EvalError::Unreadable(problem.to_string()))?;
        if images.kind == Kind::Pixels {
            values.iter_mut().for_each(|value| *value = *value / 127.5 - 1.0);
        }
        Ok(Self::new(values, images.dimension()))
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Coordinates of a point.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Point i.
    pub fn point(&self, i: usize) -> &[f64] {
        &self.values[i * self.dimension..][..self.dimension]
    }

    /// All of them, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The points at `index`, in that order.
    pub(super) fn select(&self, index: &[usize]) -> Self {
        let values = index.iter().flat_map(|&i| self.point(i)).copied().collect();
        Self::new(values, self.dimension)
    }

    /// Refuse two sides that cannot be compared: of different dimensions, fewer than `needed` on either, numbers that are not finite.
    pub(super) fn check(generated: &Self, real: &Self, needed: usize) -> Result<(), EvalError> {
        if generated.dimension != real.dimension {
            let [generated, real] =
                [generated, real].map(|points| format!("points of dimension {}", points.dimension));
            return Err(EvalError::Different { generated, real });
        }
        for (side, points) in [(REAL, real), (GENERATED, generated)] {
            if points.len() < needed {
                return Err(EvalError::TooFewSamples { side, count: points.len(), needed });
            }
            if let Some(first) = points.values.iter().position(|v| !v.is_finite()) {
                let count = points.values.iter().filter(|v| !v.is_finite()).count();
                let first = first / points.dimension;
                return Err(EvalError::NotFinite { side, count, first });
            }
        }
        Ok(())
    }

    /// Every coordinate of both relative to the mean of the real ones, in units of their standard deviation; of one that is constant there, in its own.
    pub(super) fn standardise(generated: &mut Self, real: &mut Self) {
        let n = real.len() as f64;
        for d in 0..real.dimension {
            let column = || real.values.iter().skip(d).step_by(real.dimension);
            let mean = column().sum::<f64>() / n;
            let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
            for points in [&mut *generated, &mut *real] {
                let coordinates = points.values.iter_mut().skip(d).step_by(points.dimension);
                coordinates.for_each(|value| *value = (*value - mean) / scale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_by_the_real_ones() {
        let mut generated = Points::new(vec![4.0, 7.0], 2);
        let mut real = Points::new(vec![1.0, 5.0, 3.0, 5.0], 2);
        Points::standardise(&mut generated, &mut real);
        assert_eq!(real.values(), [-1.0, 0.0, 1.0, 0.0]);
        assert_eq!(generated.values(), [2.0, 2.0]);
    }

    #[test]
    fn grey_levels_are_scaled_and_vectors_are_not() {
        let images = Images::of_pixels("a".into(), [1, 1, 2], vec![0, 255, 51, 204], None);
        let points = Points::of_values(&images).unwrap();
        assert_eq!(points.values(), [-1.0, 1.0, -0.6, 0.6000000000000001]);
        let vectors = Images::of_vectors("v".into(), 2, &[0.5, -30.0], None);
        assert_eq!(Points::of_values(&vectors).unwrap().values(), [0.5, -30.0]);
    }
}
