//! What can go wrong, and how an operation without a rule says so.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::backend::Backend;
use thiserror::Error;

use crate::dual::{Dual, directions};

/// Why a function cannot be differentiated forwards.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// The function applies, to a tensor with tangents, an operation for which this crate has no rule.
    #[error("`{op}` has no forward-mode rule, but was applied to a tensor with tangents")]
    NoRule {
        /// The operation, by its name in burn's backend traits.
        op: &'static str,
    },
    /// The tangents are not of the shape `[K, ...]` that belongs to the primal.
    #[error(
        "tangents of shape {tangents:?} do not belong to a tensor of shape {primal:?}: expected [K, ...{primal:?}]"
    )]
    TangentShape {
        /// The shape of the primal.
        primal: Vec<usize>,
        /// The shape of the tangents.
        tangents: Vec<usize>,
    },
    /// The tangents were asked for, or given, as a tensor that has not exactly one dimension more than the primal.
    #[error("the tangents of a tensor of rank {primal} have rank {}, not {tangents}", primal + 1)]
    TangentRank {
        /// The rank of the primal.
        primal: usize,
        /// The rank of the tangents.
        tangents: usize,
    },
    /// The Jacobian was asked for of something that does not map `[1, D]` to `[1, O]`.
    #[error("the {which} of a Jacobian is a row [1, n], not of shape {shape:?}")]
    NotARow {
        /// Whether the input or the output is at fault.
        which: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The Jacobian was asked for in chunks of no direction at all.
    #[error("a Jacobian is computed by at least one direction at a time")]
    EmptyChunk,
}

/// The payload that carries the name of an operation without a rule up to [`catching`].
struct NoRule {
    op: &'static str,
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Gives up on an operation without a rule if an operand has tangents.
///
/// The operations of a backend cannot return errors, so this unwinds: within [`catching`] quietly, elsewhere as a
/// panic whose message names the operation.
pub(crate) fn no_rule<'a, B: Backend>(
    op: &'static str,
    operands: impl IntoIterator<Item = &'a Dual<B>>,
) {
    if directions(operands).is_none() {
        return;
    }
    if CATCHING.get() {
        resume_unwind(Box::new(NoRule { op }));
    }
    panic!("{}", ForwardError::NoRule { op });
}

/// Runs `f`, and returns as an error that it met an operation without a rule.
///
/// For functions that are run on [lifted](crate::lift) tensors by hand; [`jvp`](crate::jvp) and
/// [`jacobian`](crate::jacobian) already do this. Any other panic goes on.
///
/// # Errors
///
/// [`ForwardError::NoRule`] if `f` applies an operation without a rule to a tensor with tangents.
pub fn catching<T>(f: impl FnOnce() -> T) -> Result<T, ForwardError> {
    let outer = CATCHING.replace(true);
    // A function that unwinds is given up with all that it owned: only what it shares with the caller could be seen
    // half-changed, as with any panic that is caught.
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(outer);
    result.map_err(|payload| match payload.downcast::<NoRule>() {
        Ok(no_rule) => ForwardError::NoRule { op: no_rule.op },
        Err(payload) => resume_unwind(payload),
    })
}
