//! exp and log in f64 on several numbers at a time: plain sums and products that the compiler turns into vectors, the same
//! bits on every instruction set. The errors stay below 1e-15 of the result.

/// Numbers worked on together: two of the longest vectors.
pub(crate) const LANES: usize = 16;

/// Several numbers.
pub(crate) type Lanes = [f64; LANES];

/// `[f(0), f(1), …]`.
#[inline(always)]
pub(crate) fn lanes(f: impl Fn(usize) -> f64) -> Lanes {
    let mut out = [0.0; LANES];
    for (l, out) in out.iter_mut().enumerate() {
        *out = f(l);
    }
    out
}

/// Numbers from `start` on, the last one repeated where there are too few.
#[inline(always)]
pub(crate) fn load(from: &[f32], start: usize) -> Lanes {
    let from = &from[start..];
    if let Some(from) = from.first_chunk::<LANES>() {
        return lanes(|l| f64::from(from[l]));
    }
    lanes(|l| f64::from(from[l.min(from.len() - 1)]))
}

/// Write numbers from `start` on, as many as there is room for.
#[inline(always)]
pub(crate) fn store(values: &Lanes, to: &mut [f32], start: usize) {
    to[start..].iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
}

/// 1.5 · 2^52: added to a number below 2^51, it leaves the nearest integer in the lowest bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts, the first with zeros at its end, so that small multiples are exact.
const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];

/// `aₙ + x (aₙ₋₁ + x (…))`, the coefficients from the highest power down.
#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = 0.0;
    for a in coefficients {
        sum = sum * x + a;
    }
    sum
}

/// `exp x` for x up to 0; a NaN stays one.
#[inline(always)]
pub(crate) fn exp(x: &Lanes) -> Lanes {
    lanes(|l| {
        let x = x[l];
        let shifted = x * std::f64::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = x - n * LN_2[0] - n * LN_2[1];
        // The Taylor series, |r| ≤ ln 2 / 2.
        let series = polynomial(
            r,
            [
                1.0 / 6_227_020_800.0,
                1.0 / 479_001_600.0,
                1.0 / 39_916_800.0,
                1.0 / 3_628_800.0,
                1.0 / 362_880.0,
                1.0 / 40_320.0,
                1.0 / 5_040.0,
                1.0 / 720.0,
                1.0 / 120.0,
                1.0 / 24.0,
                1.0 / 6.0,
                0.5,
                1.0,
                1.0,
            ],
        );
        let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
        // Below, the power leaves the range of normal numbers.
        if x < -708.0 { 0.0 } else { series * power }
    })
}

/// `1/(2N - 1), …, 1/5, 1/3, 1`.
const fn odd_reciprocals<const N: usize>() -> [f64; N] {
    let mut out = [1.0; N];
    let mut n = 0;
    while n < N {
        out[n] = 1.0 / (2 * (N - n) - 1) as f64;
        n += 1;
    }
    out
}

/// `2 artanh s = ln((1 + s) / (1 - s))` by N terms of its series.
#[inline(always)]
fn twice_artanh<const N: usize>(s: f64) -> f64 {
    2.0 * s * polynomial(s * s, const { odd_reciprocals::<N>() })
}

/// `ln x` for positive normal x; a NaN stays one.
#[inline(always)]
pub(crate) fn ln(x: &Lanes) -> Lanes {
    /// The bits of √½: mantissas lie in [√½, √2).
    const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const FRACTION: u64 = (1 << 52) - 1;
    lanes(|l| {
        let x = x[l];
        let bits = x.to_bits().wrapping_add(ONE - ROOT_HALF);
        let exponent = f64::from_bits(SHIFT.to_bits() + (bits >> 52)) - (SHIFT + 1023.0);
        let mantissa = f64::from_bits((bits & FRACTION) + ROOT_HALF);
        // At most (√2 - 1) / (√2 + 1), whose 22nd power is below the rounding.
        let small = twice_artanh::<11>((mantissa - 1.0) / (mantissa + 1.0));
        // The last term is zero, or keeps a NaN.
        exponent * LN_2[0] + (small + exponent * LN_2[1]) + x * 0.0
    })
}

/// `softplus x = ln(1 + exp x)`.
#[inline(always)]
pub(crate) fn softplus(x: &Lanes) -> Lanes {
    let small = exp(&lanes(|l| -x[l].abs()));
    lanes(|l| {
        let e = small[l];
        let positive = if x[l] > 0.0 { x[l] } else { 0.0 };
        // At most 1/3.
        positive + twice_artanh::<17>(e / (2.0 + e))
    })
}

/// `1 / (1 + exp -x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: &Lanes) -> Lanes {
    let small = exp(&lanes(|l| -x[l].abs()));
    lanes(|l| {
        let e = small[l];
        (if x[l] >= 0.0 { 1.0 } else { e }) / (1.0 + e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error over a range.
    fn worst(from: f64, to: f64, ours: fn(&Lanes) -> Lanes, std: fn(f64) -> f64) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..20_000 {
            let x =
                lanes(|l| from + (to - from) * (i * LANES + l) as f64 / (20_000 * LANES) as f64);
            for (x, y) in x.iter().zip(ours(&x)) {
                worst = worst.max((y - std(*x)).abs() / std(*x).abs().max(f64::MIN_POSITIVE));
            }
        }
        worst
    }

    #[test]
    fn agree_with_the_library() {
        assert!(worst(-700.0, 0.0, exp, f64::exp) < 1e-15);
        assert!(worst(-2.0, 0.0, exp, f64::exp) < 1e-15);
        assert!(worst(1e-300, 0.7, ln, f64::ln) < 1e-15);
        assert!(worst(0.7, 1.5, ln, f64::ln) < 1e-15);
        assert!(worst(1.5, 1e9, ln, f64::ln) < 1e-15);
        let softplus_std = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        assert!(worst(-600.0, 600.0, softplus, softplus_std) < 1e-15);
        assert!(worst(-3.0, 3.0, softplus, softplus_std) < 1e-15);
        let sigmoid_std =
            |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
        assert!(worst(-600.0, 600.0, sigmoid, sigmoid_std) < 1e-15);
        assert!(worst(-3.0, 3.0, sigmoid, sigmoid_std) < 1e-15);
    }

    #[test]
    fn extremes() {
        assert_eq!(exp(&[0.0; LANES])[0], 1.0);
        for x in [-709.0, -1e4, -1e300, f64::NEG_INFINITY] {
            assert_eq!(exp(&[x; LANES])[0], 0.0, "{x}");
        }
        for f in [exp, ln, softplus, sigmoid] {
            assert!(f(&[f64::NAN; LANES])[0].is_nan());
        }
    }
}
