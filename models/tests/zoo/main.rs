//! Models beside the flows, on the CPU's backends, and a look at each on WGPU.

#[allow(dead_code)]
#[path = "../golden/mod.rs"]
mod golden;

mod adversarial;
mod autoencoder;
mod autoregressive;
mod backends;
mod energy;
mod mixture;
mod network;
mod two_step;
