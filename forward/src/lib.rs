#![doc = include_str!("lib.md")]

mod backend;
mod dual;
mod error;
mod jacobian;
mod jvp;
mod lift;
mod ops;

pub use backend::{Forward, NoGradients};
pub use dual::Dual;
pub use error::{ForwardError, catching};
pub use jacobian::jacobian;
pub use jvp::jvp;
pub use lift::{constant, lift, on_forward, parts};
