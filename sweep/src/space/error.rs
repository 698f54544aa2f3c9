//! What can be wrong with a sweep file.

use thiserror::Error;

/// A sweep file that cannot be used.
#[derive(Debug, Error)]
#[error("{place}: {problem}")]
pub struct SpaceError {
    /// The file; for what the reader sees, with line and column, from 1.
    pub place: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a sweep file.
#[derive(Debug, PartialEq, Error)]
pub enum Problem {
    /// Text that is no YAML, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A key, or a kind of something, that nobody reads.
    #[error("unknown key `{key}`; {guess}known here: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// "did you mean …? " or nothing.
        guess: String,
        /// What is known there.
        known: String,
    },
    /// A value outside what its key takes.
    #[error("`{key}` {problem}")]
    Value {
        /// The key in the sweep file.
        key: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An axis whose values cannot be made.
    #[error("the axis `{axis}`: {problem}")]
    Axis {
        /// The axis.
        axis: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// Two axes, none of which stands in the other, over one key.
    #[error("`{first}` and `{second}` both set `{key}`: leave it to one of them")]
    Conflict {
        /// An axis, or an option of a group.
        first: String,
        /// The other.
        second: String,
        /// The key; where one of them sets a whole mapping, the key inside it.
        key: String,
    },
    /// Two axes of one name that can be active together.
    #[error("two axes named `{0}` can be active in one trial: rename one of them")]
    SameName(String),
    /// An exclusion that names what is not there.
    #[error("exclude[{index}], {exclusion}: {problem}")]
    Exclusion {
        /// Its place in the list, from 0.
        index: usize,
        /// The exclusion.
        exclusion: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A grid that can only be a mistake.
    #[error(
        "the grid has {points} points, and more than {most} can only be a mistake: leave out values, or take `method: {{random: {{trials: …}}}}`",
        most = super::MOST
    )]
    TooLarge {
        /// How many points, as far as they can be counted.
        points: u64,
    },
    /// More axes than the Sobol sequence has dimensions.
    #[error(
        "the sweep has {axes} axes, those in groups included, and the Sobol sequence has {most} dimensions: put axes that belong together into a group, or take `method: {{random: …}}`"
    )]
    Dimensions {
        /// How many there are.
        axes: u32,
        /// How many there may be.
        most: u32,
    },
    /// Exclusions that leave no point.
    #[error("the exclusions leave none of the {points} points of the grid: drop one of them")]
    NothingLeft {
        /// How many there were.
        points: usize,
    },
    /// Draws that lead nowhere.
    #[error(
        "only {found} of {trials} trials could be drawn: {draws} draws brought no more that is neither excluded nor there already; lower `trials`, exclude less, or take `method: grid`"
    )]
    Exhausted {
        /// How many different trials were drawn.
        found: usize,
        /// How many were asked for.
        trials: u32,
        /// How many draws were made.
        draws: u32,
    },
}

/// "did you mean `x`? " with the most similar of the names, if any is similar.
pub(super) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, name)| format!("did you mean `{name}`? "))
}
