#![no_main]

atypical_data_fuzz::target!("train.npz");
