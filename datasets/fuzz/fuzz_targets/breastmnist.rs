#![no_main]

atypical_data_fuzz::target!("breastmnist.npz");
