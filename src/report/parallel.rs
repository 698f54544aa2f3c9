//! Parallel coordinates: one line a trial, through an axis for each of its choices and one for its result.

use super::Figure;
use kuva::{
    backend::{png::PngBackend, svg::SvgBackend},
    render::render::{Primitive, Scene, TextAnchor},
};

/// Pixels between two axes, above them, below them and beside them.
const STEP: f64 = 150.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 24.0;
const BESIDE: f64 = 60.0;
/// Height of an axis.
const HEIGHT: f64 = 300.0;
/// Lines through one name lie beside each other over this height.
const SPREAD: f64 = 26.0;
/// Colours of the best trial and of the worst.
const BEST: [f64; 3] = [213.0, 94.0, 0.0];
const WORST: [f64; 3] = [205.0, 209.0, 216.0];

/// An axis of the figure.
#[derive(Clone, Debug)]
pub struct Vertical {
    /// What it is.
    pub title: String,
    /// What stands beside it, each at a height from 0 to 1.
    pub ticks: Vec<(f64, String)>,
    /// Whether its ticks are names, at which many lines meet.
    pub named: bool,
}

/// Lines at heights from 0 to 1 on each axis, the best trial first.
pub fn parallel(name: &str, caption: String, axes: &[Vertical], rows: &[Vec<f64>]) -> Figure {
    let width = 2.0 * BESIDE + STEP * (axes.len().max(2) - 1) as f64 + BESIDE;
    let height = TOP + HEIGHT + BOTTOM;
    let x = |axis: usize| BESIDE + STEP * axis as f64;
    let y = |place: f64| TOP + HEIGHT * (1.0 - place);
    let mut scene = Scene::new(width, height);
    // The best last: it lies on top.
    for (rank, row) in rows.iter().enumerate().rev() {
        let share = rank as f64 / (rows.len().max(2) - 1) as f64;
        let beside = SPREAD * (share - 0.5);
        let at = |(axis, place): (usize, &f64)| {
            (x(axis), y(*place) + if axes[axis].named { beside } else { 0.0 })
        };
        scene.elements.push(Primitive::PolyLine {
            points: row.iter().enumerate().map(at).collect(),
            stroke: mixed(share).as_str().into(),
            stroke_width: if rank == 0 { 2.6 } else { 1.4 },
            stroke_dasharray: None,
        });
    }
    for (i, axis) in axes.iter().enumerate() {
        let (x, black) = (x(i), "#1d2430");
        scene.elements.push(Primitive::Line {
            x1: x,
            y1: y(0.0) + SPREAD / 2.0,
            x2: x,
            y2: y(1.0) - SPREAD / 2.0,
            stroke: black.into(),
            stroke_width: 1.2,
            stroke_dasharray: None,
        });
        let mut text = |x: f64, y: f64, content: &str, size: u32, anchor| {
            scene.elements.push(Primitive::Text {
                x,
                y,
                content: content.to_owned(),
                size,
                anchor,
                rotate: None,
                bold: false,
                color: Some(black.into()),
            });
        };
        // On two levels: titles are longer than the way to the next axis.
        text(x, if i % 2 == 0 { 16.0 } else { 34.0 }, &axis.title, 12, TextAnchor::Middle);
        for (place, label) in &axis.ticks {
            text(x + 5.0, y(*place) + 4.0, label, 11, TextAnchor::Start);
        }
    }
    let svg = SvgBackend::default().render_scene(&scene);
    let png = PngBackend::new().with_scale(2.0).render_scene(&scene);
    Figure::drawn(name, caption, [width, height], svg, png)
}

/// The colour of a trial, from the best (0) to the worst (1).
fn mixed(share: f64) -> String {
    let [r, g, b] = std::array::from_fn(|i| (BEST[i] + share.sqrt() * (WORST[i] - BEST[i])) as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}
