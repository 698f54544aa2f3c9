//! Names of images, tables and files, which become paths in a tracker.

use crate::TrackError;
use std::path::{Component, Path};

/// The parts of a path that stays where it is put.
pub fn parts(path: &Path) -> Result<Vec<&str>, TrackError> {
    let part = |component| match component {
        Component::Normal(part) => part.to_str(),
        _ => None,
    };
    let parts: Option<Vec<_>> = path.components().map(part).collect();
    parts.filter(|parts| !parts.is_empty()).ok_or_else(|| TrackError::Event {
        what: format!("`{}`", path.display()),
        problem: "a name is UTF-8, has no `..` and does not begin with `/`".into(),
    })
}
