//! Tables, figures and the report: what people read.

mod columns;
mod figures;
mod frame;
mod grid;
mod html;
mod lid;
mod matrix;
mod parallel;
mod pictures;
mod scores;
mod table;

pub use columns::Columns;
pub use figures::{
    Axes, Curve, Figure, Group, Series, band, curves, extent, file_name, histogram, lid_curve, roc,
    scatter,
};
pub use frame::{Frame, Values};
pub use grid::{grid_png, rows_png, to_pixels};
pub use html::{Page, html, page};
pub use lid::{LidRow, LidSummary, lid_summary, lid_text, lid_truth};
pub use matrix::{matrix_latex, matrix_markdown};
pub use parallel::{Vertical, parallel};
pub use pictures::{Ends, SHEET, Sheet, ends, picture, sheet};
pub use scores::{ScoreError, ScoreTable};
pub use table::{Row, aligned, latex, markdown, text, write_tables};
