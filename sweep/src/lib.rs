//! Many trials of one command: what they are, and the queue that any number of agents work off.
//!
//! [`space`] makes trials out of a sweep's YAML; [`store`] keeps them, in an SQLite file or a PostgreSQL database, and gives each to one agent at a time. Nothing here knows what a
//! trial computes.

pub mod space;
pub mod store;
