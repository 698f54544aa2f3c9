//! Why a dimension cannot be estimated.

use thiserror::Error;

/// Points whose dimension cannot be estimated. Every message says the way out.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum ModelFreeError {
    /// Values that do not make whole points.
    #[error(
        "{values} values do not make points of dimension {dimension}; give n x dimension values, row-major"
    )]
    Shape {
        /// Values given.
        values: usize,
        /// Dimension given.
        dimension: usize,
    },
    /// Fewer points than the estimate needs.
    #[error(
        "{points} points are too few, the estimate needs {needed}; give more points or ask for fewer neighbours"
    )]
    TooFew {
        /// Points given.
        points: usize,
        /// Points needed.
        needed: usize,
    },
    /// Fewer neighbours than the estimate needs.
    #[error("k = {k} neighbours are too few, the estimate needs {needed}; raise k")]
    FewNeighbours {
        /// Neighbours asked for.
        k: usize,
        /// Neighbours needed.
        needed: usize,
    },
    /// NaN or infinite coordinates.
    #[error("{0} coordinates are NaN or infinite; remove or repair their points")]
    NotFinite(usize),
    /// Coordinates whose squares overflow.
    #[error("the squares of the coordinates overflow; scale the points down")]
    TooLarge,
    /// All points are the same.
    #[error("all points are identical: they have no dimension to measure; give points that differ")]
    Constant,
    /// Points at which the estimator is undefined.
    #[error("no estimate at {undefined} of {points} points, {problem}")]
    Undefined {
        /// Points without an estimate.
        undefined: usize,
        /// Points given.
        points: usize,
        /// What is wrong, and the way out.
        problem: &'static str,
    },
    /// The eigenvalue iteration did not converge.
    #[error(
        "the eigenvalues of the covariance did not converge; scale the points to coordinates around 1"
    )]
    NoConvergence,
}
