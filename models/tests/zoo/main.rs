//! Models beside the flows, on the CPU's backends.

#[allow(dead_code)]
#[path = "../golden/mod.rs"]
mod golden;

mod adversarial;
mod autoencoder;
mod autoregressive;
mod energy;
mod mixture;
mod network;
mod two_step;
