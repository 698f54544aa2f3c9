//! What runs say of themselves: their histories, how they stand, how they differ.

mod comparison;
mod experiment;
mod history;
mod live;
mod page;
mod settings;
mod sparkline;
mod summary;

pub use atypical_track::{Cell, Outcome, Table, TrackError};
pub use comparison::{Auroc, Compared, Comparison, aurocs, number};
pub use experiment::show;
pub use history::{History, Point, RECONSTRUCTION};
pub use live::{Delivery, Live};
pub use page::{PageError, of_runs};
pub use settings::{Difference, Settings, differences};
pub use sparkline::sparkline;
pub use summary::{Kind, State, Summary};
