//! Tests of `atypical_models::autoencoder`.

mod ae;
mod likelihood;
mod vae;
