//! The figures: histograms, likelihood against LID, ROC curves, LID against scale.

use crate::{
    eval::{
        EvalError, Roc,
        bootstrap::Bootstrap,
        dual::{self, Pairs},
    },
    run::{RunError, write_atomic},
};
use kuva::{
    plot::{BandPlot, LegendPosition, LinePlot, ScatterPlot},
    prelude::{Layout, Plot},
};
use std::path::Path;

/// Colours that stay apart for colour-blind readers (Okabe & Ito, then of Tol's).
const COLOURS: [&str; 10] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#000000",
    "#999933", "#332288",
];

/// Size of a figure, in pixels.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 380.0;

/// Samples of one set.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its values.
    pub values: &'a [f64],
}

/// A figure, ready to be written.
#[derive(Clone, Debug)]
pub struct Figure {
    /// File name without extension.
    pub name: String,
    /// What to look at.
    pub caption: String,
    /// The drawing.
    pub svg: String,
    png: Result<Vec<u8>, String>,
}

impl Figure {
    fn new(
        name: &str,
        caption: String,
        plots: impl Fn() -> Vec<Plot>,
        layout: impl Fn() -> Layout,
    ) -> Self {
        Self::of_height(HEIGHT, name, caption, plots, layout)
    }

    fn of_height(
        height: f64,
        name: &str,
        caption: String,
        plots: impl Fn() -> Vec<Plot>,
        layout: impl Fn() -> Layout,
    ) -> Self {
        let layout = || layout().with_width(WIDTH).with_height(height).with_show_grid(false);
        let svg = kuva::render_to_svg(plots(), layout());
        let png = kuva::render_to_png(plots(), layout(), 2.0);
        Self::drawn(name, caption, [WIDTH, height], svg, png)
    }

    /// What was drawn, in two forms.
    pub(super) fn drawn(
        name: &str,
        caption: String,
        [width, height]: [f64; 2],
        svg: String,
        png: Result<Vec<u8>, String>,
    ) -> Self {
        // With a view box a figure scales to the width of the page around it; without one it is cut off.
        let svg = svg.replacen("<svg ", &format!("<svg viewBox=\"0 0 {width} {height}\" "), 1);
        Self { name: file_name(name), caption, svg, png }
    }

    /// The same under another name and caption.
    pub fn renamed(self, name: String, caption: String) -> Self {
        Self { name: file_name(&name), caption, ..self }
    }

    /// Write `<name>.svg` and `<name>.png` into a folder.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_atomic(&folder.join(format!("{}.svg", self.name)), self.svg.as_bytes())?;
        let path = folder.join(format!("{}.png", self.name));
        match &self.png {
            Ok(png) => write_atomic(&path, png),
            Err(problem) => {
                let source = std::io::Error::other(problem.clone());
                Err(RunError::Write { path, source, hint: String::new() })
            }
        }
    }
}

/// What a file can be named: runs, sets and columns have names that none can.
pub fn file_name(name: &str) -> String {
    name.replace(|c: char| !c.is_alphanumeric() && !"-_.".contains(c), "_")
}

/// Smallest and largest finite value; infinite, the wrong way round, where there is none.
pub fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
}

/// Smallest and largest finite value of all groups, a little apart.
fn range(groups: &[Group]) -> (f64, f64) {
    let (low, high) = extent(groups.iter().flat_map(|g| g.values).copied());
    if low < high { (low, high) } else { (low.min(0.0) - 0.5, low.max(0.0) + 0.5) }
}

/// Overlaid histograms of one score, each with area 1.
pub fn histogram(name: &str, label: &str, caption: String, groups: &[Group]) -> Figure {
    const BINS: usize = 40;
    let (low, high) = range(groups);
    let width = (high - low) / BINS as f64;
    let outline = |values: &[f64]| -> Vec<(f64, f64)> {
        let mut counts = [0usize; BINS];
        for v in values.iter().filter(|v| v.is_finite()) {
            counts[(((v - low) / width) as usize).min(BINS - 1)] += 1;
        }
        let total = values.len().max(1) as f64 * width;
        let mut points = vec![(low, 0.0)];
        for (i, count) in counts.iter().enumerate() {
            let (x, y) = (low + i as f64 * width, *count as f64 / total);
            points.extend([(x, y), (x + width, y)]);
        }
        points.push((high, 0.0));
        points
    };
    let plots = || -> Vec<Plot> {
        groups
            .iter()
            .zip(COLOURS.iter().cycle())
            .map(|(group, colour)| {
                LinePlot::new()
                    .with_data(outline(group.values))
                    .with_color(*colour)
                    .with_stroke_width(1.5)
                    .with_fill()
                    .with_fill_opacity(0.35)
                    .with_legend(group.name)
                    .into()
            })
            .collect()
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_x_label(label)
            .with_y_label("density")
            .with_legend_position(LegendPosition::OutsideTopCenter)
            .with_legend_box(false)
    };
    Figure::new(name, caption, plots, layout)
}

/// Log-likelihood against LID, one dot a sample.
pub fn scatter(name: &str, caption: String, groups: &[(&str, &[f64], &[f64])]) -> Figure {
    let plots = || -> Vec<Plot> {
        groups
            .iter()
            .zip(COLOURS.iter().cycle())
            .map(|((label, likelihood, lid), colour)| {
                let points: Vec<(f64, f64)> = likelihood
                    .iter()
                    .copied()
                    .zip(lid.iter().copied())
                    .filter(|(a, b)| a.is_finite() && b.is_finite())
                    .collect();
                ScatterPlot::new()
                    .with_data(points)
                    .with_color(*colour)
                    .with_size(3.0)
                    .with_marker_opacity(0.6)
                    .with_legend(*label)
                    .into()
            })
            .collect()
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_x_label("log-likelihood (nats)")
            .with_y_label("local intrinsic dimension")
            .with_legend_position(LegendPosition::OutsideTopCenter)
            .with_legend_box(false)
    };
    Figure::new(name, caption, plots, layout)
}

/// Estimates against the truth, both on logarithmic axes, with the line on which they agree; values of 0 are left out.
pub(super) fn truth(name: &str, caption: String, groups: &[(&str, Vec<(f64, f64)>)]) -> Figure {
    let positive = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().copied().filter(|(t, e)| *t > 0.0 && *e > 0.0).collect()
    };
    let largest = groups.iter().flat_map(|(_, points)| points).fold(1.0, |m: f64, p| m.max(p.0));
    let estimates = groups.iter().flat_map(|(_, points)| positive(points));
    let smallest = estimates.fold(1.0, |m: f64, p| m.min(p.1));
    let plots = || -> Vec<Plot> {
        let agree = LinePlot::new()
            .with_data(vec![(1.0, 1.0), (largest, largest)])
            .with_color("#999999")
            .with_dashed()
            .with_legend("truth");
        groups
            .iter()
            .zip(COLOURS.iter().cycle())
            .map(|((label, points), colour)| {
                ScatterPlot::new()
                    .with_data(positive(points))
                    .with_color(*colour)
                    .with_size(4.0)
                    .with_marker_opacity(0.7)
                    .with_legend(*label)
                    .into()
            })
            .chain([agree.into()])
            .collect()
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_log_scale()
            .with_x_axis_min(0.7)
            .with_x_axis_max(2.0 * largest)
            .with_y_axis_min(smallest / 2.0)
            .with_x_label("true local intrinsic dimension")
            .with_y_label("mean estimate")
            .with_legend_position(LegendPosition::OutsideRightTop)
            .with_legend_box(false)
    };
    Figure::new(name, caption, plots, layout)
}

/// A ROC curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// The area beneath it, as the table has it.
    pub auroc: f64,
    /// Its vertices, `(fpr, tpr)`.
    pub points: Vec<(f64, f64)>,
    /// Where it may run: `[fpr, low, high]`, empty for none.
    pub band: Vec<[f64; 3]>,
}

impl Curve {
    /// The curve of a score, with its band.
    ///
    /// # Errors
    /// An empty side or NaN.
    pub fn new(
        name: &str,
        inside: &[f64],
        outside: &[f64],
        bootstrap: &Bootstrap,
    ) -> Result<Self, EvalError> {
        let roc = Roc::new(inside, outside)?;
        let band = bootstrap.roc_band(inside, outside)?;
        Ok(Self { name: name.to_owned(), auroc: roc.auroc(), points: roc.points(), band })
    }

    /// The curve of two thresholds that are chosen on what they are measured on, without a band.
    ///
    /// # Errors
    /// As [`dual::frontier`].
    pub fn dual(name: &str, inside: Pairs, outside: Pairs) -> Result<Self, EvalError> {
        let auroc = dual::oracle(inside, outside)?.auroc;
        let points = dual::frontier(inside, outside)?;
        let points = points.iter().map(|p| (p.fpr, p.tpr)).collect();
        Ok(Self { name: name.to_owned(), auroc, points, band: Vec::new() })
    }
}

/// Bands beyond this number hide each other.
const BANDS: usize = 4;

/// ROC curves with the diagonal of a coin, over their bands; where the curves are many, over those of the first and of the best curve only.
pub fn roc(name: &str, caption: String, curves: &[Curve]) -> Figure {
    // More lines than find room above the axes.
    let legend = match curves.len() {
        0..=3 => LegendPosition::OutsideTopCenter,
        _ => LegendPosition::OutsideRightTop,
    };
    let plots = || -> Vec<Plot> {
        let coin = LinePlot::new()
            .with_data(vec![(0.0, 0.0), (1.0, 1.0)])
            .with_color("#999999")
            .with_dashed()
            .with_legend("chance");
        let colour = |i: usize| COLOURS[i % COLOURS.len()];
        let best = (0..curves.len()).max_by(|a, b| curves[*a].auroc.total_cmp(&curves[*b].auroc));
        let shown = |i: &usize| curves.len() <= BANDS || *i == 0 || Some(*i) == best;
        // All bands before all lines: none of them dulls another's curve.
        let banded =
            curves.iter().enumerate().filter(|(i, curve)| shown(i) && !curve.band.is_empty());
        let bands = banded.map(|(i, curve)| -> Plot {
            let column = |k: usize| curve.band.iter().map(move |b| b[k]);
            BandPlot::new(column(0), column(1), column(2))
                .with_color(colour(i))
                .with_opacity(0.15)
                .into()
        });
        let lines = curves.iter().enumerate().map(|(i, curve)| -> Plot {
            let line = LinePlot::new()
                .with_data(curve.points.clone())
                .with_color(colour(i))
                .with_stroke_width(2.0)
                .with_legend(format!("{} {:.3}", curve.name, curve.auroc));
            // A colour's second line is dotted.
            if i < COLOURS.len() { line.into() } else { line.with_dotted().into() }
        });
        bands.chain(lines).chain([coin.into()]).collect()
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_x_label("false-positive rate (OOD images accepted)")
            .with_y_label("true-positive rate")
            .with_legend_position(legend)
            .with_legend_box(false)
            .with_clamp_axis()
    };
    // A legend that does not find room is cut short.
    let height = HEIGHT.max(18.0 * (curves.len() + 4) as f64);
    Figure::of_height(height, name, caption, plots, layout)
}

/// The middle 80 % of values and their mean, `[10 %, mean, 90 %]`, of those that are known; NaN where fewer than half are.
pub fn band(mut values: Vec<f64>) -> [f64; 3] {
    let all = values.len();
    values.retain(|v| v.is_finite());
    if values.is_empty() || 2 * values.len() < all {
        return [f64::NAN; 3];
    }
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize];
    [at(0.1), values.iter().sum::<f64>() / values.len() as f64, at(0.9)]
}

/// What the axes of curves say.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// Along.
    pub x: &'a str,
    /// Up.
    pub y: &'a str,
}

/// A line of a figure.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its points; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis.
pub fn curves(name: &str, caption: String, axes: Axes, series: &[Series]) -> Figure {
    let legend = match series.len() {
        0..=3 => LegendPosition::OutsideTopCenter,
        _ => LegendPosition::OutsideRightTop,
    };
    let plots = || -> Vec<Plot> {
        series
            .iter()
            .enumerate()
            .map(|(i, series)| {
                let finite = series.points.iter().copied().filter(|(_, y)| y.is_finite());
                let points: Vec<(f64, f64)> = finite.collect();
                if points.len() == 1 {
                    let dot = ScatterPlot::new().with_data(points).with_size(4.0);
                    let colour = COLOURS[i % COLOURS.len()];
                    return dot.with_color(colour).with_legend(series.name).into();
                }
                let line = LinePlot::new()
                    .with_data(points)
                    .with_color(COLOURS[i % COLOURS.len()])
                    .with_stroke_width(2.0)
                    .with_legend(series.name);
                // A colour's second line is dotted.
                if i < COLOURS.len() { line.into() } else { line.with_dotted().into() }
            })
            .collect()
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_x_label(axes.x)
            .with_y_label(axes.y)
            .with_legend_position(legend)
            .with_legend_box(false)
    };
    let height = HEIGHT.max(18.0 * (series.len() + 4) as f64);
    Figure::of_height(height, name, caption, plots, layout)
}

/// Mean LID with a band of quantiles against the scale, and the scale that was chosen.
pub fn lid_curve(
    name: &str,
    caption: String,
    scales: &[f64],
    groups: &[(&str, Vec<[f64; 3]>)],
    chosen: &[(&str, f64)],
    dimension: usize,
) -> Figure {
    // Spectral LID has no bound; where it leaves [0, D] there is nothing to see but that it does.
    let top = dimension as f64;
    let cut = |v: f64| v.clamp(0.0, 1.02 * top);
    let plots = || -> Vec<Plot> {
        let mut plots: Vec<Plot> = Vec::new();
        for ((label, bands), colour) in groups.iter().zip(COLOURS.iter().cycle()) {
            let known = || scales.iter().zip(bands).filter(|(_, b)| b[1].is_finite());
            let column = |i: usize| known().map(|(_, b)| cut(b[i])).collect::<Vec<f64>>();
            let scales: Vec<f64> = known().map(|(r, _)| *r).collect();
            plots.push(
                BandPlot::new(scales.clone(), column(0), column(2))
                    .with_color(*colour)
                    .with_opacity(0.2)
                    .into(),
            );
            let mean: Vec<(f64, f64)> = scales.iter().copied().zip(column(1)).collect();
            plots.push(
                LinePlot::new()
                    .with_data(mean)
                    .with_color(*colour)
                    .with_stroke_width(2.0)
                    .with_legend(*label)
                    .into(),
            );
        }
        for (label, r) in chosen {
            let mark = LinePlot::new().with_data(vec![(*r, 0.0), (*r, top)]).with_dashed();
            // In the colour of the curve it belongs to, where it belongs to one.
            let own = groups.iter().position(|(name, _)| name == label);
            let colour = own.map_or("#666666", |i| COLOURS[i % COLOURS.len()]);
            plots
                .push(mark.with_color(colour).with_legend(format!("{label}: scale {r:.2}")).into());
        }
        plots
    };
    let layout = || {
        Layout::auto_from_plots(&plots())
            .with_x_label("scale r (log-sigma)")
            .with_y_label("local intrinsic dimension")
            .with_y_axis_min(0.0)
            .with_y_axis_max(highest(groups).min(1.02 * top))
            .with_legend_position(LegendPosition::OutsideTopCenter)
            .with_legend_box(false)
    };
    Figure::new(name, caption, plots, layout)
}

/// The largest finite value of the bands, with some air.
fn highest(groups: &[(&str, Vec<[f64; 3]>)]) -> f64 {
    let values = groups.iter().flat_map(|(_, bands)| bands.iter().flatten());
    1.05 * values.copied().filter(|v| v.is_finite()).fold(1.0, f64::max)
}
