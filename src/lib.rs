//! `atypical`
pub mod jacobian;
