//! A curve in a line of text.

use crate::report::extent;

/// The bars, from low to high.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values as bars between their lowest and their highest, at most `width` of them: where there are more, each is the mean of its
/// stretch. A stretch without a finite value is a gap.
pub fn sparkline(values: &[f64], width: usize) -> String {
    let count = values.len().min(width);
    let mean = |i: usize| {
        let part = &values[i * values.len() / count..(i + 1) * values.len() / count];
        let finite: Vec<f64> = part.iter().copied().filter(|v| v.is_finite()).collect();
        finite.iter().sum::<f64>() / finite.len() as f64
    };
    let means: Vec<f64> = (0..count).map(mean).collect();
    let (low, high) = extent(means.iter().copied());
    let bar = |value: &f64| match (value.is_finite(), high > low) {
        (false, _) => ' ',
        (true, false) => BARS[0],
        (true, true) => BARS[((value - low) / (high - low) * 7.0).round() as usize],
    };
    means.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn curves_fit_their_line() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 7.0], 8), "▁▂▃█");
        assert_eq!(sparkline(&[0.0, 0.0, 7.0, 7.0], 2), "▁█");
        assert_eq!(sparkline(&[f64::NAN, 1.0, 2.0], 3), " ▁█");
        assert_eq!(sparkline(&[3.0, 3.0], 9), "▁▁");
        assert_eq!(sparkline(&[], 9), "");
        assert_eq!(
            sparkline(&(0..1000).map(f64::from).collect::<Vec<_>>(), 16).chars().count(),
            16
        );
    }
}
