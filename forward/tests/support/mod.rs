//! The registry of operations and how each is checked.

#![allow(dead_code, unused_macros, unused_imports)]

mod check;
mod registry;

pub(crate) use check::case;
pub use check::{Case, Inner, deviations};
pub use registry::registry;
