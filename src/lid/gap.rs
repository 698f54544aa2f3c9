//! The largest gap between singular values.

use super::{LidEstimator, Spectrum};

/// `LID(x) = argmax_i (log σ_i - log σ_{i+1})`: the number of singular values of J before the largest ratio of neighbours, at
/// no particular scale (Stanczuk et al. 2022, arXiv 2212.12611, choose the dimension of a diffusion's normal bundle so).
///
/// Singular values below what the Jacobian [resolves](Spectrum::resolution) count as that: between them are no gaps but those of
/// rounding.
#[derive(Clone, Copy, Debug)]
pub struct Gap;

impl LidEstimator for Gap {
    type Prepared = Spectrum;

    fn lid(&self, spectrum: &Spectrum, _r: f64) -> f64 {
        let floor = (2.0 * spectrum.resolution()).exp().max(f64::MIN_POSITIVE);
        let logs: Vec<f64> = spectrum.eigenvalues().iter().map(|l| l.max(floor).ln()).collect();
        let gaps = logs.windows(2).map(|pair| pair[0] - pair[1]);
        let widest = gaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        // Without any gap nothing is squashed.
        match widest {
            Some((i, gap)) if gap > 0.0 => (i + 1) as f64,
            _ => spectrum.eigenvalues().len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(values: &[f32]) -> Spectrum {
        let n = values.len();
        let mut jacobian = vec![0.0; n * n];
        values.iter().enumerate().for_each(|(i, v)| jacobian[i * n + i] = *v);
        Spectrum::new(&jacobian, &vec![0.0; n]).unwrap()
    }

    #[test]
    fn the_widest_ratio_counts() {
        assert_eq!(Gap.lid(&diagonal(&[4.0, 2.0, 1.0, 0.01, 0.005]), 0.0), 3.0);
        assert_eq!(Gap.lid(&diagonal(&[1.0, 1.0, 1.0]), 0.0), 3.0);
        assert_eq!(Gap.lid(&diagonal(&[7.0]), 0.0), 1.0);
        // 1e-30 and 1e-20 are both rounding beside 1: no gap between them.
        assert_eq!(Gap.lid(&diagonal(&[1.0, 0.9, 1e-20, 1e-30]), 0.0), 2.0);
    }
}
