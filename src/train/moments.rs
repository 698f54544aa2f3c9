//! Mean and standard deviation of each coordinate of many points.

/// Standard deviation, in parts of 1 and the mean's size, below which a coordinate is taken for a constant, which no division makes standard.
const CONSTANT: f64 = 1e-6;

/// Mean and sum of squared distances from it, of each of d coordinates, point by point (Welford 1962).
#[derive(Debug)]
pub struct Moments {
    n: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Of no point yet.
    pub fn new(d: usize) -> Self {
        Self { n: 0.0, mean: vec![0.0; d], squares: vec![0.0; d] }
    }

    /// More points, row-major.
    pub fn add(&mut self, points: &[f32]) {
        for point in points.chunks_exact(self.mean.len()) {
            self.n += 1.0;
            for ((mean, square), value) in self.mean.iter_mut().zip(&mut self.squares).zip(point) {
                let distance = f64::from(*value) - *mean;
                *mean += distance / self.n;
                *square += distance * (f64::from(*value) - *mean);
            }
        }
    }

    /// Mean and standard deviation of each coordinate, and how many coordinates are constant: their deviation is 1 here.
    pub fn standards(&self) -> ([Vec<f32>; 2], usize) {
        let deviation = |(square, mean): (&f64, &f64)| {
            let deviation = (square / self.n).sqrt();
            // Beside a large mean, f32 has only its own rounding left to vary.
            (deviation >= CONSTANT * (1.0 + mean.abs())).then_some(deviation as f32)
        };
        let deviations: Vec<Option<f32>> =
            self.squares.iter().zip(&self.mean).map(deviation).collect();
        let constant = deviations.iter().filter(|deviation| deviation.is_none()).count();
        let mean = self.mean.iter().map(|m| *m as f32).collect();
        ([mean, deviations.into_iter().map(|d| d.unwrap_or(1.0)).collect()], constant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_all_points_and_constants_stay() {
        let mut moments = Moments::new(2);
        moments.add(&[1.0, 5.0, 3.0, 5.0]);
        moments.add(&[5.0, 5.0]);
        let ([mean, deviation], constant) = moments.standards();
        assert_eq!((mean, constant), (vec![3.0, 5.0], 1));
        assert!((deviation[0] - (8.0f32 / 3.0).sqrt()).abs() < 1e-6 && deviation[1] == 1.0);
    }

    #[test]
    fn a_far_mean_costs_no_digits() {
        let mut moments = Moments::new(1);
        moments.add(&[65_535.0, 65_536.0, 65_537.0]);
        let ([mean, deviation], _) = moments.standards();
        assert_eq!((mean[0], deviation[0]), (65_536.0, (2.0f64 / 3.0).sqrt() as f32));
    }
}
