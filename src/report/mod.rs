//! Tables, figures and the report: what people read.

mod figures;
mod grid;
mod html;
mod lid;
mod scores;
mod table;

pub use figures::{Figure, Group, band, histogram, lid_curve, roc, scatter};
pub use grid::{grid_png, to_pixels};
pub use html::{Page, html};
pub use lid::{LidRow, LidSummary, lid_summary, lid_text, lid_truth};
pub use scores::{ScoreError, ScoreTable};
pub use table::{Row, latex, markdown, text};
