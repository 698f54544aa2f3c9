//! The registry of operations and how each is checked.

#![allow(dead_code, unused_macros, unused_imports)]

mod check;
mod registry;

pub use check::{Case, Inner, case, deviations};
pub use registry::registry;
