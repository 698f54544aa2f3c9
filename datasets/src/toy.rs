//! Distributions in the plane that people look at: within about [-4, 4]².

use super::{Images, did_you_mean, noise, normal};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::{PI, TAU};

/// A draw from one of them: a point, and the number of the piece that it is from.
type Draw = fn(&mut Xoshiro256PlusPlus) -> ([f64; 2], i64);

/// The toys by name.
const TOYS: [(&str, Draw); 16] = [
    ("two-moons", two_moons),
    ("circles", circles),
    ("eight-gaussians", eight_gaussians),
    ("checkerboard", checkerboard),
    ("pinwheel", pinwheel),
    ("two-spirals", two_spirals),
    ("sine", sine),
    ("gaussian", gaussian),
    ("rings", rings),
    ("swiss-roll", swiss_roll),
    ("diamond", diamond),
    ("crescent", crescent),
    ("crescent-cubed", crescent_cubed),
    ("abs", abs),
    ("sign", sign),
    ("line", line),
];

/// Keeps the stream of the toys apart from others of the same seed.
const STREAM: u64 = 0x746f_7973;

/// Names of the toys.
pub(super) fn names() -> [&'static str; TOYS.len()] {
    TOYS.map(|(name, _)| name)
}

/// Whether there is a toy of that name.
///
/// # Errors
/// There is none: what is wrong, and those that there are.
pub(super) fn check(name: &str) -> Result<(), String> {
    match names().contains(&name) {
        true => Ok(()),
        false => Err(format!(
            "no toy is called `{name}`; {}There are {}",
            did_you_mean(name, &names()),
            names().join(", ")
        )),
    }
}

/// `n` points of a toy, by seed; the first of them are the same whatever `n`.
pub(super) fn sample(name: &str, n: usize, seed: u64) -> Option<Images> {
    let (_, draw) = TOYS.into_iter().find(|(toy, _)| *toy == name)?;
    let mut rng = noise::rng(noise::mix(seed, STREAM));
    let (points, labels): (Vec<[f64; 2]>, Vec<i64>) = (0..n).map(|_| draw(&mut rng)).unzip();
    let values: Vec<f32> = points.into_iter().flatten().map(|v| v as f32).collect();
    Some(Images::of_vectors(format!("toy:{name}"), 2, &values, Some(labels)))
}

/// Gaussian noise of that standard deviation on both coordinates.
fn noisy([x, y]: [f64; 2], sigma: f64, rng: &mut Xoshiro256PlusPlus) -> [f64; 2] {
    [x + sigma * normal(rng), y + sigma * normal(rng)]
}

/// Two half circles, one in the other's mouth.
fn two_moons(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let (angle, lower) = (rng.random_range(0.0..PI), rng.random::<bool>());
    let [x, y] = [angle.cos(), angle.sin()];
    let point = if lower { [1.0 - x, 0.5 - y] } else { [x, y] };
    let [x, y] = noisy(point, 0.1, rng);
    ([2.0 * (x - 0.5), 2.0 * (y - 0.25)], i64::from(lower))
}

/// Two circles about the origin.
fn circles(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let (angle, outer) = (rng.random_range(0.0..TAU), rng.random::<bool>());
    let radius = if outer { 3.0 } else { 1.5 };
    (noisy([radius * angle.cos(), radius * angle.sin()], 0.12, rng), i64::from(outer))
}

/// Eight Gaussians on a circle.
fn eight_gaussians(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let which = rng.random_range(0..8);
    let angle = f64::from(which) * TAU / 8.0;
    (noisy([3.0 * angle.cos(), 3.0 * angle.sin()], 0.25, rng), i64::from(which))
}

/// The black fields of a 4 x 4 board on [-4, 4]².
fn checkerboard(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let (column, pair) = (rng.random_range(0..4), rng.random_range(0..2));
    let row = 2 * pair + column % 2;
    let place = |field: i32, rng: &mut Xoshiro256PlusPlus| {
        2.0 * f64::from(field) - 4.0 + 2.0 * rng.random::<f64>()
    };
    let point = [place(column, rng), place(row, rng)];
    (point, i64::from(2 * column + pair))
}

/// Five arms, bent as they go outwards.
fn pinwheel(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let arm = rng.random_range(0..5);
    let radius = 2.0 + 0.6 * normal(rng);
    let across = 0.2 * normal(rng);
    let angle = f64::from(arm) * TAU / 5.0 + 0.5 * (radius - 2.0);
    let [cos, sin] = [angle.cos(), angle.sin()];
    ([radius * cos - across * sin, radius * sin + across * cos], i64::from(arm))
}

/// Two spirals, one turned by half a circle.
fn two_spirals(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let (along, second) = (rng.random::<f64>().sqrt(), rng.random::<bool>());
    let (angle, radius) = (1.5 * TAU * along, 3.5 * along);
    let sign = if second { -1.0 } else { 1.0 };
    (
        noisy([-sign * radius * angle.cos(), sign * radius * angle.sin()], 0.1, rng),
        i64::from(second),
    )
}

/// A sine wave.
fn sine(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let x = rng.random_range(-4.0..4.0);
    (noisy([x, 2.0 * f64::sin(1.5 * x)], 0.1, rng), 0)
}

/// A standard normal.
fn gaussian(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    ([normal(rng), normal(rng)], 0)
}

/// Four circles about the origin.
fn rings(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let (angle, which) = (rng.random_range(0.0..TAU), rng.random_range(0..4));
    let radius = 0.9 * f64::from(which + 1);
    (noisy([radius * angle.cos(), radius * angle.sin()], 0.08, rng), i64::from(which))
}

/// One spiral of one turn and a half, from its middle outwards.
fn swiss_roll(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let angle = 1.5 * PI * (1.0 + 2.0 * rng.random::<f64>());
    let radius = angle / 4.0;
    (noisy([radius * angle.cos(), radius * angle.sin()], 0.1, rng), 0)
}

/// A grid of 5 x 5 Gaussians, on one of its corners.
fn diamond(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let [column, row] = [rng.random_range(0..5), rng.random_range(0..5)];
    let [x, y] = [column, row].map(|place| 1.1 * (f64::from(place) - 2.0));
    let corner = std::f64::consts::FRAC_1_SQRT_2;
    (noisy([corner * (x - y), corner * (x + y)], 0.12, rng), i64::from(5 * row + column))
}

/// A Gaussian bent to a parabola.
fn crescent(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let y = 0.9 * normal(rng);
    ([0.35 * y * y - 0.28 + 0.3 * normal(rng), y], 0)
}

/// A Gaussian bent twice, to a cubic.
fn crescent_cubed(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let y = 0.9 * normal(rng);
    ([y.powi(3) / 8.0 + 0.3 * normal(rng), y], 0)
}

/// The absolute value.
fn abs(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let x: f64 = rng.random_range(-3.0..3.0);
    (noisy([x, x.abs() - 1.5], 0.1, rng), 0)
}

/// The sign, a function that jumps.
fn sign(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let x: f64 = rng.random_range(-3.0..3.0);
    (noisy([x, 1.5 * x.signum()], 0.1, rng), i64::from(x > 0.0))
}

/// A straight line.
fn line(rng: &mut Xoshiro256PlusPlus) -> ([f64; 2], i64) {
    let x: f64 = rng.random_range(-3.0..3.0);
    (noisy([x, x], 0.1, rng), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Noise;

    #[test]
    fn toys_are_seeded_bounded_and_prefixes_of_themselves() {
        for name in names() {
            let values = |n, seed| {
                let images = sample(name, n, seed).unwrap();
                images.unit(&(0..n).collect::<Vec<_>>(), Noise::Off).unwrap()
            };
            let all = values(2000, 0);
            assert!(all.iter().all(|v| v.abs() < 6.0), "{name}");
            assert_eq!(all[..100], values(50, 0));
            assert_ne!(all[..100], values(50, 1));
            let mean = all.iter().map(|v| f64::from(*v)).sum::<f64>() / all.len() as f64;
            assert!(mean.abs() < 0.3, "{name} {mean}");
        }
        assert!(check("two-mons").unwrap_err().contains("did you mean `two-moons`?"));
    }

    #[test]
    fn a_checkerboard_has_its_points_on_the_black_fields() {
        let points = sample("checkerboard", 1000, 3).unwrap();
        let values = points.unit(&(0..1000).collect::<Vec<_>>(), Noise::Off).unwrap();
        for point in values.chunks(2) {
            let [column, row] = [point[0], point[1]].map(|v| ((v + 4.0) / 2.0).floor() as i64);
            assert_eq!((column + row) % 2, 0, "{point:?}");
        }
    }
}
