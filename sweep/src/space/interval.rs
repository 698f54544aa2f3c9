//! Numbers between two bounds.

use serde_json::Value;

/// An interval that numbers are drawn from. Made by [`checked`](Self::checked).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Interval {
    Uniform([f64; 2]),
    LogUniform([f64; 2]),
    IntUniform([i64; 2]),
}

impl Interval {
    /// The interval, if it is one.
    pub fn checked(self) -> Result<Self, String> {
        let (text, [low, high]) = match self {
            Self::Uniform(bounds) => (format!("uniform: {bounds:?}"), bounds),
            Self::LogUniform(bounds) => (format!("log_uniform: {bounds:?}"), bounds),
            Self::IntUniform(bounds) => {
                (format!("int_uniform: {bounds:?}"), bounds.map(|bound| bound as f64))
            }
        };
        if !(high - low).is_finite() {
            return Err(format!("`{text}` has a bound, or a width, that is not a finite number"));
        }
        if low >= high {
            return Err(format!(
                "`{text}` is empty or a single value: the lower bound comes first, and the other is above it"
            ));
        }
        if matches!(self, Self::LogUniform(_)) && low <= 0.0 {
            return Err(format!(
                "`{text}` begins at {low}, which has no logarithm: bounds are above 0; or take `uniform`"
            ));
        }
        Ok(self)
    }

    /// The value below which the share `u` of all draws lies, `u` from 0 to 1.
    pub fn quantile(self, u: f64) -> Value {
        match self {
            Self::Uniform([low, high]) => {
                rounded(low * (1.0 - u) + high * u, high - low).clamp(low, high).into()
            }
            Self::LogUniform([low, high]) => {
                let (a, b) = (low.ln(), high.ln());
                let value = (a * (1.0 - u) + b * u).exp();
                rounded(value, value * (b - a)).clamp(low, high).into()
            }
            Self::IntUniform([low, high]) => {
                // The saturating cast and the bound keep what rounds up at the very end inside.
                let offset = (u * (high as f64 - low as f64 + 1.0)) as i128;
                let value = (i128::from(low) + offset).min(i128::from(high));
                i64::try_from(value).unwrap_or(high).into()
            }
        }
    }

    /// `count` values, evenly spaced, both bounds among them.
    pub fn points(self, count: usize) -> Result<Vec<Value>, String> {
        if !(2..=super::MOST).contains(&count) {
            return Err(format!("`points: {count}` is none of 2 to {}", super::MOST));
        }
        let last = count - 1;
        match self {
            Self::IntUniform([low, high]) => {
                let (width, last) = (i128::from(high) - i128::from(low), last as i128);
                if width < last {
                    return Err(format!(
                        "`points: {count}` are more than the {} whole numbers from {low} to {high}",
                        width + 1
                    ));
                }
                let point = |i| i128::from(low) + (width * i + last / 2) / last;
                Ok((0..=last)
                    .filter_map(|i| i64::try_from(point(i)).ok())
                    .map(Value::from)
                    .collect())
            }
            _ => Ok((0..count).map(|i| self.quantile(i as f64 / last as f64)).collect()),
        }
    }
}

/// `value` to a millionth of the interval's width there: more than any search resolves, and the label of a trial then says all of the
/// value, shortly.
fn rounded(value: f64, width: f64) -> f64 {
    if value == 0.0 {
        return value;
    }
    let magnitude = |x: f64| x.abs().log10().floor() as i32;
    let digits = magnitude(value).saturating_sub(magnitude(width)).saturating_add(6).clamp(0, 16);
    let text = format!("{value:.*e}", usize::try_from(digits).unwrap_or(16));
    text.parse().unwrap_or(value)
}
