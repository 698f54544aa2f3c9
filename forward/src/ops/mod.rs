//! The operations of burn's backend traits, on dual tensors.
//!
//! What a rule does is in most cases said by one of the helpers of [`dual`](crate::dual); burn's trait of float tensors
//! is one `impl`, so its rules are functions in files by kind, and [`float`] is the table that lists them.

mod activation;
mod bool;
mod elementwise;
mod float;
mod indexing;
mod int;
mod matmul;
mod module;
mod quantized;
mod reduce;
mod transaction;

/// Operations that do not concern tangents, handed to the inner backend as they are.
macro_rules! to_inner {
    ($($op:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $op($($arg: $kind),*) -> $out {
            B::$op($($arg),*)
        })*
    };
}

use to_inner;
