//! What can be wrong with the description of a flow.

use thiserror::Error;

/// A flow that cannot be built. `step` is its place in the description, `transform.1.steps.0` for the first step of what the second repeats.
#[derive(Debug, Error, PartialEq)]
pub enum FlowError {
    /// A squeeze whose factor does not divide the image.
    #[error(
        "{step}: squeeze by {factor} needs sides that are multiples of {factor}, but the map is {height}x{width}"
    )]
    Squeeze {
        /// The step.
        step: String,
        /// The factor.
        factor: usize,
        /// Height of the map there.
        height: usize,
        /// Width of the map there.
        width: usize,
    },
    /// A coupling or a split with fewer than two channels.
    #[error(
        "{step}: a {what} needs at least 2 channels, but the map has {channels}; put a squeeze before it"
    )]
    TooFewChannels {
        /// The step.
        step: String,
        /// What needs them.
        what: &'static str,
        /// Channels there.
        channels: usize,
    },
    /// A number outside its range.
    #[error("{step}: {key} is {value}, but it must be {range}")]
    OutOfRange {
        /// The step.
        step: String,
        /// The key.
        key: &'static str,
        /// The value given.
        value: f64,
        /// The range allowed.
        range: &'static str,
    },
    /// A whitening after a step that learns, or a second one.
    #[error(
        "{step}: whiten looks at the training data once, before anything is learned; put one whiten before every act_norm, conv1x1, coupling and split, and no second one"
    )]
    Whiten {
        /// The step.
        step: String,
    },
    /// More weights than any machine at hand holds.
    #[error(
        "{step}: the flow has {parameters:.1e} parameters up to here, more than 1e9; lower hidden, blocks, kernel or times"
    )]
    TooLarge {
        /// The step.
        step: String,
        /// Parameters up to and with it.
        parameters: f64,
    },
    /// More steps than a flow can use.
    #[error("the flow has more than {0} steps; lower times")]
    TooManySteps(usize),
    /// An empty input shape.
    #[error("the input shape {0:?} has a side of length 0")]
    EmptyShape([usize; 3]),
}
