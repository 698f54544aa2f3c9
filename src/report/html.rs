//! The report: one self-contained HTML page.

use super::{Ends, Figure, Row, Sheet, matrix, table::of_several_runs};
use crate::ood::Timing;
use minijinja::{Environment, Error, context};

/// What the page shows.
#[derive(Debug)]
pub struct Page<'a> {
    /// Title.
    pub title: String,
    /// What was seen, in two sentences.
    pub finding: String,
    /// The results.
    pub rows: &'a [Row],
    /// The figures.
    pub figures: &'a [Figure],
    /// Contact sheets.
    pub sheets: Vec<Sheet>,
    /// The images of each set at both ends of a score, which its name says.
    pub ends: Vec<Ends>,
    /// Label convention of the numbers.
    pub convention: &'a str,
    /// `name: value` pairs about the run.
    pub facts: Vec<(String, String)>,
    /// What the measurements took.
    pub timings: &'a [Timing],
    /// The resolved configuration.
    pub config: String,
}

/// Render the page: inline SVG, no script, nothing fetched.
///
/// # Errors
/// A template that does not render.
pub fn html(page: &Page) -> Result<String, Error> {
    let figures: Vec<_> = page
        .figures
        .iter()
        .map(|f| context! { svg => f.svg, caption => f.caption, name => f.name })
        .collect();
    let values = context! {
        title => page.title,
        finding => page.finding,
        rows => page.rows,
        coverage => page.rows.first().map(|row| row.auroc.coverage()),
        matrix => matrix::parts(page.rows),
        marks => matrix::caption(page.rows),
        figures => figures,
        sheets => page.sheets,
        ends => page.ends,
        convention => page.convention,
        facts => page.facts,
        several => of_several_runs(page.rows),
        timings => page.timings,
        config => page.config,
        version => env!("CARGO_PKG_VERSION"),
    };
    self::page("report.html", include_str!("templates/report.html"), values)
}

/// Render a page from its template, in the frame and the style of all pages.
///
/// # Errors
/// A template that does not render.
pub fn page(name: &str, template: &str, values: minijinja::Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.add_template("style.css", include_str!("templates/style.css"))?;
    environment.add_template("page.html", include_str!("templates/page.html"))?;
    environment.add_template(name, template)?;
    environment.get_template(name)?.render(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::Interval,
        report::{ends, histogram, sheet},
    };

    #[test]
    fn the_page_is_whole_and_escaped() {
        let values = [1.0, 2.0, 3.0];
        let group = super::super::Group { name: "a<b", values: &values };
        let dots = crate::data::Images::of_pixels("x".into(), [1, 1, 1], vec![0, 200], None);
        let figures = [histogram("h", "score", "look <here>".into(), &[group])];
        let rows = [Row {
            run: "r".into(),
            inside: "x".into(),
            outside: "<y>".into(),
            method: "likelihood".into(),
            auroc: Interval { value: 0.5, low: 0.4, high: 0.6, level: 0.8, n: 4 },
            metrics: None,
            intervals: None,
            behind_best: None,
        }];
        let page = Page {
            title: "A & B".into(),
            finding: "Seen.".into(),
            rows: &rows,
            figures: &figures,
            sheets: vec![sheet("some <images>".into(), &[0, 200], [1, 1, 1])],
            ends: vec![ends(&dots, &[0.25, 0.75]).unwrap()],
            convention: "higher is in",
            facts: vec![("seed".into(), "0".into())],
            timings: &[Timing { what: "LID <1>".into(), computed: 3, kept: 1, seconds: 6.0 }],
            config: "a: <b>".into(),
        };
        let html = html(&page).unwrap();
        for part in [
            "A &amp; B",
            "&lt;y&gt;",
            "look &lt;here&gt;",
            "a: &lt;b&gt;",
            "<svg viewBox",
            "0.500",
            "some &lt;images&gt;",
            "src=\"data:image/png;base64,",
            "0.75",
            "80 % interval",
            "LID &lt;1&gt;",
            "2.00",
        ] {
            assert!(html.contains(part), "{part}");
        }
        for foreign in ["<script", "src=\"http", "href=\"http", "<link"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }
}
